"""``evomerge cp``: a copy to edit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from evomerge_compiler.cli.common import is_run_reference, split_run_reference
from evomerge_compiler.errors import UsageError, did_you_mean


@click.command(
    epilog="Examples: evomerge cp quickstart recipes/mine.yaml  |  "
    "evomerge cp runs/quickstart:003/c05 recipes/found.yaml"
)
@click.argument("name", metavar="NAME|RUN:ID")
@click.argument("destination", type=click.Path(path_type=Path), metavar="DEST")
@click.option("-n", "--no-clobber", is_flag=True, help="Leave an existing DEST alone.")
@click.option("--make-parents", is_flag=True, help="Make the folders of DEST.")
def command(name: str, destination: Path, no_clobber: bool, make_parents: bool) -> None:
    """Copy a shipped recipe or template, or a candidate as a recipe that needs nothing else."""
    source_name, write = _source(name)
    target = destination / source_name if destination.is_dir() else destination
    if target.exists() and no_clobber:
        click.echo(f"{target} exists, left alone", err=True)
        return
    if make_parents:
        target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.is_dir():
        raise UsageError(f"no folder {target.parent}", hint="--make-parents makes it")
    for path in write(target):
        click.echo(path)


def _source(name: str) -> tuple[str, Callable[[Path], list[Path]]]:
    """The name of what is copied, and what writes it."""
    from evomerge_compiler import assets
    from evomerge_compiler.yamlio import write_atomic

    if ":" in name and is_run_reference(name):
        from evomerge_compiler.standalone import write_standalone

        folder, candidate = split_run_reference(name)
        if candidate is None:
            raise UsageError(f"{name!r} names no candidate", hint="for example RUN:003/c05")
        file = f"{folder.name}-{candidate.slot_name}.yaml"
        return file, lambda target: write_standalone(folder, candidate, target)

    def write(target: Path) -> list[Path]:
        write_atomic(target, known[name].read_text(encoding="utf-8"))
        return [target]

    for kind in ("recipes", "templates"):
        known = assets.names(kind)
        if name in known:
            return known[name].name, write
    everything = [*assets.names("recipes"), *assets.names("templates")]
    raise UsageError(f"no recipe or template {name!r}", hint=did_you_mean(name, everything))
