"""``evomerge retry``: failed candidates once more."""

from __future__ import annotations

from pathlib import Path

import click

from evomerge_compiler.cli.common import run_path
from evomerge_compiler.errors import UsageError


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
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="As of evolve.")
@click.option("--timeout_s", type=float, help="Another time limit from here on, in seconds.")
def command(
    run: str,
    select: str | None,
    destination: Path | None,
    jobs: int | None,
    timeout_s: float | None,
) -> int:
    """Run the failed candidates of the open generation again, and finish that generation.

    Failures in the last sealed generation are history: with --to DEST the run is branched there
    with that generation open again.
    """  # fmt: skip
    from evomerge_compiler import launch
    from evomerge_compiler.cli import progress
    from evomerge_compiler.run_folder import RunFolder
    from evomerge_compiler.run_folder.fork import fork

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
    with folder.hold():
        for candidate in failed:
            folder.clear_outcome(candidate)
    click.echo(f"{len(failed)} candidates of generation {number:03d} run again", err=True)
    changed = () if timeout_s is None else (f"evaluation.timeout_s={timeout_s}",)
    options = launch.Options(generations=number + 1, jobs=jobs, overrides=changed)
    shown = progress.PlainProgress()
    return launch.evolve(folder.root, options, lambda _: [shown]).exit_code


def _failed(folder, number: int, select: str | None):  # type: ignore[no-untyped-def]
    return [
        c.id
        for c in folder.candidates(number)
        if c.failure is not None and select in (None, c.failure.reason)
    ]
