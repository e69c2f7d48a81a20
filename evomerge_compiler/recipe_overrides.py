"""What the command line sets in a recipe before it is checked: ``-S`` and ``--models``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evomerge_compiler import yamlio
from evomerge_compiler.errors import Place, RecipeError
from evomerge_compiler.yamlio import Document


def replace_models(document: Document, data: dict[str, Any], paths: Sequence[str]) -> None:
    """Puts other paths in the place of the recipe's models, in order.

    Raises:
        RecipeError: There are more or fewer of them.
    """
    if not paths:
        return
    specs = data.get("models")
    if not isinstance(specs, dict) or len(specs) != len(paths):
        count = len(specs) if isinstance(specs, dict) else 0
        raise document.error(
            f"--models names {len(paths)} models, the recipe has {count}", ("models",), key=True
        )
    for spec, path in zip(specs.values(), paths, strict=True):
        # The facts and the revision belong to the model that is replaced.
        if isinstance(spec, dict):
            spec.clear()
            spec["path"] = path


def override(document: Document, text: str) -> None:
    """Sets ``a.b.c=value`` in the document; the value is read as YAML.

    Raises:
        RecipeError: It is no such text, or what it names cannot hold a value.
    """
    key, equals, raw = text.partition("=")
    place = Place(f"-S {text}")
    if not equals or not key:
        raise RecipeError("expected key=value", place=place)
    value = yamlio.parse(raw, file=f"-S {text}").data
    part = document.data
    steps = key.split(".")
    for depth, step in enumerate(steps[:-1]):
        if not isinstance(part, dict):
            where = ".".join(steps[:depth])
            raise RecipeError(f"{where} holds a single value, it has no {step!r}", place=place)
        part = part.setdefault(step, {})
    if not isinstance(part, dict):
        raise RecipeError(f"{'.'.join(steps[:-1])} holds a single value", place=place)
    part[steps[-1]] = value
