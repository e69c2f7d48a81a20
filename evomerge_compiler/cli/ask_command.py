"""``evomerge ask``: what is to be scored, for those who score it themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evomerge_compiler.cli.common import run_path

if TYPE_CHECKING:
    from evomerge_compiler.ask_tell import OpenCandidate


@click.command(
    epilog="Examples: evomerge evolve recipes/quickstart.yaml --gens 0 (makes a run)  |  "
    "evomerge ask runs/quickstart -n 1  |  evomerge ask runs/quickstart -o to-score/"
)
@click.argument("run")
@click.option("-n", "--count", type=click.IntRange(min=1), help="So many at most.")
@click.option(
    "--gens", type=click.IntRange(min=1), help="Generations in all; the recipe's number."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write DIR/ID/recipe.yaml and mergekit.yaml, which need nothing of the run.",
)
def command(run: str, count: int | None, gens: int | None, out: Path | None) -> None:
    """Print the candidates that wait for an outcome, one JSON object a line.

    When all of a generation have one, it is sealed and the next one is made. Nothing is printed
    when the search is over. Of candidates with equal merges one is shown; the others share its
    scores. `evomerge tell` takes what they scored.
    """  # fmt: skip
    from evomerge_compiler.ask_tell import ask

    folder = run_path(run)
    state = ask(folder, gens)
    for candidate in state.open[:count]:
        click.echo(json.dumps(_line(folder, candidate, out), ensure_ascii=False))
    if state.ended is not None:
        click.echo(
            f"the search is over ({state.ended}); `evomerge evolve {folder}` compares its winner",
            err=True,
        )
    else:
        shown = len(state.open[:count])
        click.echo(f"{shown} of {len(state.open)} open candidates", err=True)


def _line(folder: Path, candidate: OpenCandidate, out: Path | None) -> dict[str, Any]:
    here = folder / "generations" / str(candidate.id)
    if out is not None:
        here = out / str(candidate.id)
        _write(folder, candidate, here)
    return {
        "id": str(candidate.id),
        "recipe": str(here / "recipe.yaml"),
        "mergekit": str(here / "mergekit.yaml"),
        "random_seed": candidate.plan.random_seed,
        "merge_key": candidate.plan.merge_key,
        "genome": candidate.genome.plain(),
    }


def _write(folder: Path, candidate: OpenCandidate, here: Path) -> None:
    from evomerge_compiler.standalone import standalone_plan, write_standalone
    from evomerge_compiler.yamlio import write_atomic

    here.mkdir(parents=True, exist_ok=True)
    write_standalone(folder, candidate.id, here / "recipe.yaml")
    plan = standalone_plan(folder, candidate.id, candidate.plan)
    references = {alias: model.reference for alias, model in plan.models.items()}
    text = plan.written(references, how=f"run in {here}")
    write_atomic(here / "mergekit.yaml", text)
