"""``evomerge validate``: every mistake of a recipe at once; offline, and no weights are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evomerge_compiler.cli.common import json_option, print_json
from evomerge_compiler.errors import EXIT_OK, ErrorList, EvomergeError

if TYPE_CHECKING:
    from evomerge_compiler.recipe import Recipe


@click.command(epilog="Example: evomerge validate recipes/*.yaml")
@click.argument("recipes", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def command(recipes: tuple[Path, ...], as_json: bool) -> int:
    """Check recipes: every mistake at once, with file, line, column and the nearest right word."""
    report = {str(path): problems(path) for path in recipes}
    if as_json:
        print_json({name: [_as_data(e) for e in found] for name, found in report.items()})
    else:
        for name, found in report.items():
            for error in found:
                click.echo(error.render(), err=True)
            click.echo(f"{name}: {f'{len(found)} errors' if found else 'ok'}")
    return max((e.exit_code for found in report.values() for e in found), default=EXIT_OK)


def problems(path: Path) -> list[EvomergeError]:
    """Everything wrong with one recipe, from its shape to its landscape."""
    from evomerge_compiler import recipe

    found: list[EvomergeError] = []
    try:
        loaded = recipe.load(path)
    except EvomergeError as error:
        return _each(error)
    for check in (_check_merges, _check_evaluation, _check_search, _check_simulation):
        try:
            check(loaded)
        except EvomergeError as error:
            found += _each(error)
    return found


def _each(error: EvomergeError) -> list[EvomergeError]:
    return list(error.errors) if isinstance(error, ErrorList) else [error]


def _check_merges(loaded: Recipe) -> None:
    from evomerge_compiler import compiler

    compiler.compile_recipe(loaded)
    if loaded.kind == "experiment":
        compiler.check_dead_genes(loaded)


def _check_evaluation(loaded: Recipe) -> None:
    from evomerge_compiler.evaluation.presets import warn_of_benchmarks
    from evomerge_compiler.evaluation.spec import plan_evaluation

    if loaded.evaluation is not None:
        if loaded.kind == "experiment":
            warn_of_benchmarks(loaded.evaluation, loaded.document)
        plan_evaluation(loaded.evaluation, folder=loaded.folder, document=loaded.document)


def _check_search(loaded: Recipe) -> None:
    from evomerge_compiler.strategies.factory import build

    if loaded.kind == "experiment":
        build(loaded)


def _check_simulation(loaded: Recipe) -> None:
    from evomerge_compiler.executors import landscapes

    landscapes.check(loaded)


def _as_data(error: EvomergeError) -> dict[str, object]:
    place = error.place
    return {
        "message": error.message,
        "help": error.hint,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
    }
