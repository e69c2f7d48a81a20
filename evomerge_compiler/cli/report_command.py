"""``evomerge report``: a run as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from evomerge_compiler.cli.common import json_option, print_json, run_path


@click.command(epilog="Example: evomerge report runs/quickstart")
@click.argument("run")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Default: RUN/report.html.")
@json_option
def command(run: str, out: Path | None, as_json: bool) -> None:
    """Write a run as one HTML file that needs no network."""
    from evomerge_compiler.report.html import page
    from evomerge_compiler.report.summary import run_status
    from evomerge_compiler.yamlio import write_atomic

    folder = run_path(run)
    target = out or folder / "report.html"
    write_atomic(target, page(folder))
    if as_json:
        # What the page says in one line; `evomerge show --json` has its tables.
        print_json({"path": str(target), **run_status(folder)})
    else:
        click.echo(target)
