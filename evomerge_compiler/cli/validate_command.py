"""``evomerge validate``: every mistake of a recipe at once; offline, and no weights are loaded."""

from __future__ import annotations

from pathlib import Path

import click

from evomerge_compiler.cli.common import json_option, print_json
from evomerge_compiler.errors import EXIT_OK, ErrorList, EvomergeError


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
    """Everything that is wrong with one recipe: its shape, its merges, and its dead genes."""
    from evomerge_compiler import compiler, recipe
    from evomerge_compiler.strategies.factory import build

    try:
        loaded = recipe.load(path)
        compiler.compile_recipe(loaded)
        if loaded.kind == "experiment":
            build(loaded)
            compiler.check_dead_genes(loaded)
    except ErrorList as errors:
        return list(errors.errors)
    except EvomergeError as error:
        return [error]
    return []


def _as_data(error: EvomergeError) -> dict[str, object]:
    place = error.place
    return {
        "message": error.message,
        "help": error.hint,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
    }
