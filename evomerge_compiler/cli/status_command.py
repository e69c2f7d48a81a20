"""``evomerge status``: where a run is."""

from __future__ import annotations

import click

from evomerge_compiler.cli.common import json_option, print_json, run_path


@click.command(epilog="Example: evomerge status runs/quickstart")
@click.argument("run")
@json_option
def command(run: str, as_json: bool) -> None:
    """Say where a run is: generations, best so far, failures, what it ended with."""
    from evomerge_compiler.report.summary import run_status

    status = run_status(run_path(run))
    if as_json:
        print_json(status)
        return
    width = max(map(len, status))
    for key, value in status.items():
        click.echo(f"{key.replace('_', ' '):{width}}  {'-' if value is None else value}")
