"""``evomerge cp``: a copy to edit."""

from __future__ import annotations

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
    from evomerge_compiler.yamlio import write_atomic

    source_name, text = _text(name, destination)
    target = destination / source_name if destination.is_dir() else destination
    if target.exists() and no_clobber:
        click.echo(f"{target} exists, left alone", err=True)
        return
    if make_parents:
        target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.is_dir():
        raise UsageError(f"no folder {target.parent}", hint="--make-parents makes it")
    write_atomic(target, text)
    click.echo(target)


def _text(name: str, destination: Path) -> tuple[str, str]:
    from evomerge_compiler import assets

    if ":" in name and is_run_reference(name):
        from evomerge_compiler.single import standalone_text

        folder, candidate = split_run_reference(name)
        assert candidate is not None
        where = destination if destination.is_dir() else destination.parent
        return f"{folder.name}-{candidate.slot_name}.yaml", standalone_text(
            folder, candidate, where
        )
    for kind in ("recipes", "templates"):
        known = assets.names(kind)
        if name in known:
            return known[name].name, known[name].read_text(encoding="utf-8")
    everything = [*assets.names("recipes"), *assets.names("templates")]
    raise UsageError(f"no recipe or template {name!r}", hint=did_you_mean(name, everything))
