"""``evomerge retry``: failed candidates once more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.cli import progress
from evomerge_compiler.cli.common import run_path, work_of, work_options
from evomerge_compiler.errors import UsageError
from evomerge_compiler.events import Observer

if TYPE_CHECKING:
    from evomerge_compiler.run_folder import RunFolder


@click.command(epilog="Example: evomerge retry runs/quickstart --select timeout")
@click.argument("run")
@click.option("--select", metavar="REASON", help="Only those that failed for this reason.")
@click.option(
    "--to",
    "destination",
    type=click.Path(path_type=Path),
    metavar="DEST",
    help="Where to branch to when the failures are sealed.",
)
@work_options
def command(run: str, select: str | None, destination: Path | None, **flags: Any) -> int:
    """Run the failed candidates of the open generation again, and finish that generation.

    Failures in the last sealed generation are history: with --to DEST the run is branched there
    with that generation open again. Give the flags that evolve had.
    """  # fmt: skip
    from evomerge_compiler import launch
    from evomerge_compiler.run_folder import RunFolder
    from evomerge_compiler.run_folder.fork import fork

    options = work_of(flags)
    folder = RunFolder.open(run_path(run))
    number = folder.open_generation()
    if number is None:
        number = max(folder.sealed_generations(), default=None)
        if number is None:
            raise UsageError(f"{run} has no generation yet")
        failed = _failed(folder, number, select)
        if failed and destination is None:
            raise UsageError(
                f"generation {number:03d} with {len(failed)} failures is sealed",
                hint=f"evomerge retry {run} --to DEST branches off and runs them again",
            )
        if failed and destination is not None:
            folder = fork(folder.root, number, destination)
    failed = _failed(folder, number, select)
    if not failed:
        click.echo("nothing to retry")
        return 0

    def observers(_: Path) -> list[Observer]:
        """Asked for when the run may go on: before, the failures stand."""
        click.echo(f"{len(failed)} candidates of generation {number:03d} run again", err=True)
        return [progress.PlainProgress()]

    options = replace(options, generations=number + 1)
    return launch.evolve(folder.root, options, observers, again=failed).exit_code


def _failed(folder: RunFolder, number: int, select: str | None) -> list[CandidateId]:
    return [
        c.id
        for c in folder.candidates(number)
        if c.failure is not None and select in (None, c.failure.reason)
    ]
