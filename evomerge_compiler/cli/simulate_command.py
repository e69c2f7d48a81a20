"""``evomerge simulate``: the same search on a simulated landscape, in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evomerge_compiler.candidate import Outcome
from evomerge_compiler.cli.common import (
    json_option,
    print_json,
    recipe_options,
    split_models,
    table,
)
from evomerge_compiler.events import Event, GenerationSealed, Observer, generation_metrics

if TYPE_CHECKING:
    from evomerge_compiler.launch import Result

BAR_CELLS = 30
BEST_SCORE = 100.0
EIGHTHS = " ▏▎▍▌▋▊▉"


@click.command(
    epilog="Examples: evomerge simulate recipes/simulate.yaml  |  "
    "evomerge simulate recipes/simulate.yaml -S search.strategy=tournament "
    "-S simulation.landscape=rastrigin --run-dir runs/hard"
)
@click.argument("recipe", metavar="RECIPE|RUN")
@click.option("--gens", type=click.IntRange(min=0), help="Generations in all; 0 only writes 000.")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Default: runs/NAME-simulated.")
@recipe_options
@json_option
@click.pass_context
def command(ctx: click.Context, /, recipe: str, as_json: bool, **flags: Any) -> int:
    """Search on a simulated landscape: no model, the same run folder.

    The recipe's simulation: names the landscape; any recipe has one.
    """
    from evomerge_compiler.launch import Options
    from evomerge_compiler.simulation import simulate

    quiet = as_json or (ctx.obj or {}).get("quiet")
    shown = Generations(show=not quiet)
    options = Options(
        run_dir=flags["run_dir"],
        generations=flags["gens"],
        overrides=tuple(flags["overrides"]),
        models=split_models(flags["models"]),
    )
    result = simulate(recipe, options, lambda _: [shown])
    if as_json:
        print_json({"generations": shown.rows, "final": result.final})
    elif result.final is None:
        click.echo(f"generation 000 is in {result.folder.root}; edit its recipes, then simulate")
    else:
        click.echo(ending(result, shown.outcomes))
    return result.exit_code


class Generations(Observer):
    """A line for each generation, as it is sealed.

    Args:
        show: Print the lines; they are kept either way.
    """

    def __init__(self, *, show: bool) -> None:
        self.show = show
        self.rows: list[dict[str, float | None]] = []
        self.outcomes: list[Outcome] = []
        self.low: float | None = None

    def notice(self, event: Event) -> None:
        """Takes up a sealed generation, replayed ones too: the table is of the whole run."""
        if not isinstance(event, GenerationSealed):
            return
        self.outcomes += event.outcomes
        numbers = generation_metrics(event)
        scored = [o.fitness.objectives for o in event.outcomes if o.fitness and o.fitness.feasible]
        row: dict[str, float | None] = {
            "generation": event.number,
            "best": numbers.get("best_fitness"),
            "best_here": max((objectives[0] for objectives in scored), default=None),
            "mean": numbers.get("avg_fitness"),
            "failed": numbers["failed"],
        }
        for index in range(1, len(scored[0]) if scored else 0):
            row[f"best_{index + 1}"] = max(objectives[index] for objectives in scored)
        self.rows.append(row)
        if self.show:
            self._print(row)

    def _print(self, row: Mapping[str, float | None]) -> None:
        if len(self.rows) == 1:
            click.echo("  ".join(f"{name:>10}" for name in row))
        if self.low is None:
            self.low = row["mean"]
        cells = "  ".join(_cell(name, value) for name, value in row.items())
        plot = bar(row["best"], self.low) if "best_2" not in row else ""
        click.echo(f"{cells}  {plot}".rstrip())


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return f"{'-':>10}"
    whole = name in ("generation", "failed")
    return f"{value:10.0f}" if whole else f"{value:10.3f}"


def bar(value: float | None, low: float | None) -> str:
    """A bar from the first generation's mean to the landscapes' best score."""
    if value is None or low is None or low >= BEST_SCORE:
        return ""
    share = (value - low) / (BEST_SCORE - low)
    eighths = round(8 * BAR_CELLS * min(max(share, 0.0), 1.0))
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def ending(result: Result, outcomes: Sequence[Outcome]) -> str:
    """How the search ended: the winner, or the front where there are several objectives."""
    final = result.final
    assert final is not None
    lines = [f"\nended by {final['reason']} after {final['candidates']} candidates"]
    best = result.ending.best
    if best is None or best.fitness is None:
        broken = final["infeasible"]
        lines.append("nothing keeps to the constraints" if broken else "nothing could be scored")
    elif len(best.fitness.objectives) > 1:
        lines += _front(result, outcomes)
    else:
        lines += _winner(result, outcomes, best)
    return "\n".join([*lines, f"run: {result.folder.root}"])


def _front(result: Result, outcomes: Sequence[Outcome]) -> list[str]:
    """The candidates that no other one beats in all objectives."""
    from evomerge_compiler.fitness import front

    search = result.folder.recipe.search
    assert search is not None
    found = front(outcomes)
    rows = [[str(o.id), *(f"{v:.3f}" for v in o.fitness.objectives)] for o in found if o.fitness]
    title = f"no other candidate beats these {len(found)} in all objectives:"
    return [title, table(["candidate", *search.objectives], rows)]


def _winner(result: Result, outcomes: Sequence[Outcome], best: Outcome) -> list[str]:
    """The winner on search items and on held-out ones, and its genes."""
    assert result.final is not None
    # Items that the search did not ask have a say in which candidate wins.
    named = result.final["winner"]
    best = next((outcome for outcome in outcomes if str(outcome.id) == named), best)
    models: Any = result.final["models"]
    lines = []
    if "winner" in models:
        row = models["winner"]
        told = [f"winner {best.id}: {_score(row['search'])}"]
        for split, items in (("full_search", "all search"), ("held_out", "held-out")):
            told += [f"on {items} items {_score(row[split])}"] if split in row else []
        lines.append(", ".join(told))
    space = result.folder.recipe.space
    for coordinate, value in zip(space.coordinates, space.flatten(best.genome), strict=True):
        if value is not None:
            lines.append(f"  {coordinate.label}: {value}")
    return lines


def _score(row: Mapping[str, Any]) -> str:
    stderr = row["stderr"]
    return f"{row['mean']:.3f}" + (f" ± {stderr:.3f}" if stderr is not None else "")
