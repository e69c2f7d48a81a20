"""``evomerge fork``: a new run from a generation of an old one."""

from __future__ import annotations

from pathlib import Path

import click

from evomerge_compiler.cli.common import run_path
from evomerge_compiler.errors import UsageError


@click.command(epilog="Example: evomerge fork runs/quickstart@003 runs/branch")
@click.argument("source", metavar="RUN@GEN")
@click.argument("destination", type=click.Path(path_type=Path), metavar="DEST")
def command(source: str, destination: Path) -> None:
    """Start a new run from a generation of an old one; GEN is open again, for hand edits."""
    from evomerge_compiler.run_folder import fork as run_fork
    from evomerge_compiler.run_folder.files import parse_generation

    run, at, generation = source.rpartition("@")
    if not at:
        raise UsageError(f"expected RUN@GEN, got {source!r}", hint="for example runs/a@003")
    run_fork.fork(run_path(run), parse_generation(generation.partition("/")[0]), destination)
    click.echo(destination)
