"""``evomerge plan``: what would run, and why. Also ``evolve -n``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from evomerge_compiler.cli.common import (
    json_option,
    print_json,
    recipe_options,
    split_models,
    table,
)


@click.command(epilog="Example: evomerge plan recipes/quickstart.yaml --gens 3")
@click.argument("recipe", metavar="RECIPE|RUN")
@click.option("--gens", type=click.IntRange(min=0), help="Generations in all.")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Default: runs/NAME.")
@recipe_options
@json_option
def command(
    recipe: str,
    gens: int | None,
    run_dir: Path | None,
    overrides: tuple[str, ...],
    models: str,
    as_json: bool,
) -> int:
    """Show every step of the next generation with its reason, and what it all needs."""
    from evomerge_compiler import launch, planning
    from evomerge_compiler.errors import UsageError

    options = launch.Options(
        run_dir=run_dir, generations=gens, overrides=overrides, models=split_models(models)
    )
    loaded, _, folder = launch.load(recipe, options)
    if loaded.search is None:
        raise UsageError(f"recipe {loaded.name!r} is a single merge, there is nothing to plan")
    total = loaded.search.generations if gens is None else gens
    plan = planning.plan(loaded, folder, total)
    if as_json:
        print_json({**vars(plan), "steps": [vars(step) for step in plan.steps]})
        return 0
    rows = [(s.candidate, s.what, "run" if s.runs else "skip", s.reason) for s in plan.steps]
    click.echo(table(("candidate", "step", "", "reason"), rows))
    kinds = Counter(f"{s.what.split()[0]} {'to run' if s.runs else 'reused'}" for s in plan.steps)
    click.echo(f"\nthis generation: {', '.join(f'{n} {kind}' for kind, n in kinds.items())}")
    click.echo(
        f"to come: {plan.generations_left} generations, at most {plan.candidates_left} candidates"
    )
    click.echo(
        f"peak disk {size(plan.disk_bytes)}, weights in RAM {size(plan.ram_bytes)} a worker"
    )
    if plan.gpu_bytes:
        click.echo(f"weights on the GPU {size(plan.gpu_bytes)} a worker")
    time = "unknown before the first candidate" if plan.seconds is None else hours(plan.seconds)
    click.echo(f"expected time with one worker: {time}")
    return 0


def size(n_bytes: int) -> str:
    """Bytes in the unit that suits them."""
    value, units = float(n_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.1f} {units[0]}"


def hours(seconds: float) -> str:
    """Seconds as hours and minutes."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
