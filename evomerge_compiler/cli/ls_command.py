"""``evomerge ls``: what ships, what the project adds, what has run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evomerge_compiler.cli.common import json_option, print_json, table

if TYPE_CHECKING:
    from evomerge_compiler.evaluation.task_index import LocalTask

KINDS = ("recipes", "templates", "methods", "strategies", "evaluators", "models", "runs")


@click.command(epilog="Example: evomerge ls templates")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@json_option
def command(kind: str | None, as_json: bool) -> None:
    """List recipes, templates, methods, strategies, evaluators, models or runs."""
    found = {name: _LISTS[name]() for name in ([kind] if kind else KINDS)}
    if as_json:
        print_json(found)
        return
    for name, rows in found.items():
        if kind is None:
            click.secho(name, bold=True)
        text = table(("name", "what"), rows.items()).split("\n", 1)
        click.echo(text[1] if len(text) > 1 else f"no {name} here")
        if kind is None:
            click.echo()


def _first_comment(path: Path) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "yaml-language-server" not in line:
            return line.lstrip("# ")
    return ""


def _recipes() -> dict[str, str]:
    from evomerge_compiler import assets

    return {name: _first_comment(path) for name, path in assets.names("recipes").items()}


def _templates() -> dict[str, str]:
    from evomerge_compiler import assets, templates

    return {name: templates.load(name).summary for name in assets.names("templates")}


def _methods() -> dict[str, str]:
    from evomerge_compiler.compiler import mergekit_grammar

    out = {}
    for name, method in mergekit_grammar.installed().methods.items():
        out[name] = ", ".join(method.parameters) or "no parameters"
    return out


def _strategies() -> dict[str, str]:
    from evomerge_compiler.strategies import all_strategies

    return {name: kind.summary for name, kind in all_strategies().items()}


def _evaluators() -> dict[str, str]:
    from evomerge_compiler.evaluation import plugin
    from evomerge_compiler.evaluation.presets import load_presets
    from evomerge_compiler.evaluation.task_index import include_paths, local_tasks

    out = {}
    for name, preset in load_presets().by_name.items():
        needs = f" ({preset.needs})" if preset.needs else ""
        out[name] = f"preset: {preset.about}{needs}"
    for entry in plugin.installed():
        out[plugin.PREFIX + entry.name] = f"plug-in of {plugin.distribution_of(entry)}"
    paths = include_paths((), Path())
    found = local_tasks(paths)
    return {**out, **{name: _evaluator(found[name], paths) for name in sorted(found)}}


def _evaluator(task: LocalTask, paths: Sequence[Path]) -> str:
    """Kind, size, place, metric and needs of a task file or group."""
    what = task.kind if task.kind == "task" else f"{task.kind} of {len(task.tasks)}"
    roots = [(folder, path) for folder in task.folders for path in paths if path in folder.parents]
    places = ", ".join(dict.fromkeys(str(folder.relative_to(path)) for folder, path in roots))
    notes = [f"{what} in {places}", task.metric or "several metrics"]
    if task.runs_code:
        notes.append("runs code in the sandbox")
    if not task.offline:
        notes.append("downloads its data")
    return "; ".join(notes)


def _models() -> dict[str, str]:
    from evomerge_compiler import assets

    return {f"zoo:{name}": str(path) for name, path in assets.names("zoo").items()}


def _runs() -> dict[str, str]:
    out = {}
    for lock in sorted(Path("runs").glob("*/recipe.lock.yaml")):
        generations = sorted(lock.parent.glob("generations/*/SEALED"))
        out[lock.parent.name] = f"{len(generations)} generations"
    return out


_LISTS = {
    "recipes": _recipes,
    "templates": _templates,
    "methods": _methods,
    "strategies": _strategies,
    "evaluators": _evaluators,
    "models": _models,
    "runs": _runs,
}
