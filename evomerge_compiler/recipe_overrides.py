"""What the command line sets in a recipe before it is checked: ``-S`` and ``--models``.

What is set there stands there: a mistake in it is shown at the flag, not in the recipe.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evomerge_compiler import yamlio
from evomerge_compiler.errors import ErrorList, EvomergeError, Place, RecipeError
from evomerge_compiler.yamlio import Document, PathKey

# What holds of a model's part in the recipe, whichever model plays it.
_KEPT = ("domain", "weight")
_LOCAL_STARTS = (".", "/", "~")
_LOCAL_SUFFIXES = (".yaml", ".yml", ".gguf")


def from_here(path: str, folder: Path) -> str:
    """A model given on the command line, as a recipe in another folder names it.

    Args:
        path: Hub id, ``zoo:NAME``, or a path that is relative to the current folder.
        folder: What relative paths in the recipe are relative to.

    Raises:
        RecipeError: It can only be a file or folder, and there is none.
    """
    there = os.path.exists(os.path.expanduser(path))
    local = path.startswith(_LOCAL_STARTS) or path.endswith(_LOCAL_SUFFIXES)
    if local and not there:
        raise RecipeError(f"no model at {path!r}", hint=f"it is looked for in {Path.cwd()}")
    if not there or path.startswith(("/", "~")):
        return path
    seen = os.path.relpath(os.path.abspath(path), folder.resolve())
    # A plain owner/name would be a hub id on a machine that lacks the folder.
    return seen if seen.startswith(".") else f"./{seen}"


def replace_models(
    document: Document, models: Sequence[str], folder: Path | None = None
) -> Document:
    """The document with other models in the place of the recipe's own, in order.

    Facts, revision and adapter go with the model that is replaced; domain and weight stay.

    Args:
        document: The recipe.
        models: As ``--models`` names them; nothing changes where there are none.
        folder: What paths in the recipe are relative to; None where those of ``models`` are too.

    Raises:
        RecipeError: There are more or fewer of them, or one is not there.
    """
    if not models:
        return document
    text = ",".join(models)
    data = document.data
    found = data.get("models") if isinstance(data, dict) else None
    specs = found if isinstance(found, dict) else {}
    if len(specs) != len(models):
        raise RecipeError(
            f"--models names {len(models)} models, the recipe has {len(specs)}",
            hint="name one for each of: " + ", ".join(specs) if specs else None,
            place=Place(f"--models {text}"),
        )
    problems: list[EvomergeError] = []
    column = 1
    for alias, path in zip(specs, models, strict=True):
        place = Place(f"--models {text}", 1, column, text)
        column += len(path) + 1
        try:
            seen = path if folder is None else from_here(path, folder)
        except RecipeError as error:
            error.place = place
            problems.append(error)
            continue
        spec = specs[alias] if isinstance(specs[alias], dict) else {}
        kept = {key: spec[key] for key in _KEPT if key in spec}
        at = ("models", alias, "path")
        document = document.with_value(at[:2], {"path": seen, **kept}, {at[:2]: place, at: place})
    if problems:
        raise ErrorList(problems)
    return document


def override(document: Document, text: str) -> Document:
    """The document with ``a.b.c=value`` set in it; the value is read as YAML.

    Raises:
        RecipeError: It is no such text, or what it names cannot hold a value.
    """
    file = f"-S {text}"
    key, equals, raw = text.partition("=")
    if not equals or not key:
        raise RecipeError("expected key=value", place=Place(file))
    steps = key.split(".")
    columns = [1 + sum(len(step) + 1 for step in steps[:depth]) for depth in range(len(steps))]
    lines = text.splitlines()

    def moved(place: Place) -> Place:
        """A place in the value as one in the whole text."""
        column = place.column + len(key) + 1 if place.line == 1 else place.column
        return Place(file, place.line, column, lines[place.line - 1] if place.line else "")

    try:
        value = yamlio.parse(raw, file=file)
    except RecipeError as error:
        error.place = moved(error.place) if error.place else None
        raise
    keys = [Place(file, 1, column, lines[0]) for column in columns]
    places: dict[PathKey, Place] = {}
    part: Any = document.data
    for depth, step in enumerate(steps):
        at = tuple(steps[: depth + 1])
        if not isinstance(part, dict):
            where = ".".join(at[:-1])
            raise RecipeError(f"{where} has no keys, so no {step!r}", place=keys[depth])
        if step not in part or depth == len(steps) - 1:
            places |= {at: keys[depth], (*at, "\0key"): keys[depth]}
        part = part.get(step, {})
    path = tuple(steps)
    places[path] = moved(Place(file, 1, 1))
    places |= {(*path, *inner): moved(value.place(inner)) for inner in value.places}
    return document.with_value(path, value.data, places)
