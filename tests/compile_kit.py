"""Compiles templates and recipes that a test writes as text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from evomerge_compiler import recipe
from evomerge_compiler.compiler import MergePlan, compile_recipe

HEADER = "summary: x\nmethods: [{methods}]\n{more}genes:{genes}\n---\n"


def write_template(
    folder: Path, body: str, *, methods: str = "linear", genes: str = "", more: str = ""
) -> Path:
    """``t.yaml.j2`` with a body, and genes as indented YAML."""
    block = "\n" + textwrap.indent(textwrap.dedent(genes).strip(), "  ") if genes else " {}"
    path = folder / "t.yaml.j2"
    text = HEADER.format(methods=methods, genes=block, more=more)
    path.write_text(text + textwrap.dedent(body).lstrip("\n"))
    return path


def write_recipe(
    folder: Path,
    *,
    models: Mapping[str, object],
    base: object = None,
    template: str = "./t.yaml.j2",
    rest: str = "",
    kind: str = "merge",
    name: str = "r.yaml",
) -> Path:
    """A recipe of models given as folders or as YAML text."""
    lines = [f"kind: {kind}", "models:"]
    lines += [f"  {alias}: {_model(spec)}" for alias, spec in models.items()]
    if base is not None:
        lines.append(f"base: {_model(base)}")
    lines.append(f"template: {template}")
    path = folder / name
    path.write_text("\n".join(lines) + "\n" + textwrap.dedent(rest).lstrip("\n"))
    return path


def _model(spec: object) -> str:
    return spec if isinstance(spec, str) else f"{{path: {spec}}}"


def compile_file(path: Path) -> MergePlan:
    """The plan of a recipe file."""
    return compile_recipe(recipe.load(path))
