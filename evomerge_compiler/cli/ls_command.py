"""``evomerge ls``: what ships, what the project adds, what has run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evomerge_compiler.cli.common import json_option, print_json, table
from evomerge_compiler.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from evomerge_compiler.evaluation.task_index import LocalTask
    from evomerge_compiler.gene import Gene

KINDS = ("recipes", "templates", "methods", "strategies", "evaluators", "models", "runs")


@click.command(epilog="Examples: evomerge ls templates  |  evomerge ls strategies cma_es")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.argument("name", required=False)
@json_option
def command(kind: str | None, name: str | None, as_json: bool) -> None:
    """List recipes, templates, methods, strategies, evaluators, models or runs.

    With NAME one of them, with its parameters where it has some: what a strategy takes under
    search.parameters, a template's genes, a method's parameters.
    """
    if kind is not None and name is not None:
        _one(kind, name, as_json=as_json)
        return
    found = {listed: _LISTS[listed]() for listed in ([kind] if kind else KINDS)}
    if as_json:
        print_json(found)
        return
    for listed, rows in found.items():
        if kind is None:
            click.secho(listed, bold=True)
        text = table(("name", "what"), rows.items()).split("\n", 1)
        click.echo(text[1] if len(text) > 1 else f"no {listed} here")
        if kind is None:
            click.echo()


def _one(kind: str, name: str, *, as_json: bool) -> None:
    """One entry of a list, with its parameters."""
    known = _LISTS[kind]()
    if name not in known:
        raise UsageError(f"no {kind} {name!r}", hint=did_you_mean(name, known))
    parameters = _PARAMETERS[kind](name) if kind in _PARAMETERS else []
    if as_json:
        print_json({"name": name, "what": known[name], "parameters": list(map(vars, parameters))})
        return
    click.echo(f"{name}: {known[name]}")
    if parameters:
        rows = [(p.name, _plain(p.default), p.takes, p.what) for p in parameters]
        click.echo(table(("parameter", "default", "takes", "what"), rows))


@dataclass(frozen=True)
class Taken:
    """What a strategy, template or method takes.

    Attributes:
        name: Its key.
        default: What holds when it is left out.
        takes: Its kind and bounds, or its choices.
        what: One sentence.
    """

    name: str
    default: object
    takes: str
    what: str


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    return "-" if value is None else json.dumps(value)


def _strategy_parameters(name: str) -> list[Taken]:
    from evomerge_compiler.strategies import all_strategies

    schema = all_strategies()[name].parameters.model_json_schema()
    return [
        Taken(key, part.get("default"), _schema_takes(part), part.get("description", ""))
        for key, part in schema["properties"].items()
    ]


def _schema_takes(part: Mapping[str, Any]) -> str:
    """``float, > 0, <= 1`` for a part of a JSON schema."""
    options = [option for option in part.get("anyOf", [part]) if option.get("type") != "null"]
    (only,) = options
    if "enum" in only:
        return ", ".join(map(_plain, only["enum"]))
    kind = {"number": "float", "integer": "int"}.get(only["type"], only["type"])
    bounds = [f"{sign} {only[key]}" for key, sign in _BOUNDS.items() if key in only]
    return ", ".join([kind, *bounds])


def _template_parameters(name: str) -> list[Taken]:
    from evomerge_compiler import templates

    template = templates.load(name)
    return [
        Taken(gene.name, template.fixed.get(gene.name, gene.init), _gene_takes(gene), gene.help)
        for gene in template.genes
    ]


def _gene_takes(gene: Gene) -> str:
    takes = ", ".join(map(_plain, gene.choices))
    if gene.kind != "choice":
        takes = f"{gene.kind}, {gene.low:g} to {gene.high:g}"
    return f"{takes}; per {gene.per}" if gene.per else takes


def _method_parameters(name: str) -> list[Taken]:
    from evomerge_compiler.compiler import mergekit_grammar

    scopes = {"shared": "", "input": "for each model", "non_base": "for each model but the base"}
    return [
        Taken(
            key, part.default, f"{part.type}, required" if part.required else part.type,
            scopes[part.scope],
        )
        for key, part in mergekit_grammar.installed().methods[name].parameters.items()
    ]  # fmt: skip


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
_PARAMETERS = {
    "templates": _template_parameters,
    "methods": _method_parameters,
    "strategies": _strategy_parameters,
}
# Keys of a bound in a JSON schema; pydantic leaves its own words inside an optional type.
_BOUNDS = {
    "exclusiveMinimum": ">", "gt": ">", "minimum": ">=", "ge": ">=",
    "exclusiveMaximum": "<", "lt": "<", "maximum": "<=", "le": "<=",
}  # fmt: skip
