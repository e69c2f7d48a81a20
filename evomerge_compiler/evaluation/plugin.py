"""Evaluators that other distributions bring: functions behind entry points.

A distribution declares one in its ``pyproject.toml``::

    [project.entry-points."evomerge.evaluators"]
    safety = "my_package.judge:safety"

and a recipe names it in place of a task::

    tasks:
      safety: {task: "plugin:safety", metric: harmless}

The function takes the model's folder and the split (``search``, ``held_out`` or ``all``) and
returns a mapping such as ``{"harmless": 0.93, "harmless_stderr": 0.01, "n": 400}``, with the
results of single items if it has them (:mod:`.command`). Which items belong to a split is its own
affair; it must not show fitness the held-out ones.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
from pathlib import Path
from typing import Any

from evomerge_compiler.errors import (
    EvomergeError,
    MissingPrerequisite,
    RecipeError,
    WorkFailed,
    did_you_mean,
)
from evomerge_compiler.evaluation.split import Split
from evomerge_compiler.processes import verdict

PREFIX = "plugin:"
ENTRY_POINTS = "evomerge.evaluators"


def find(task: str) -> importlib.metadata.EntryPoint:
    """The entry point behind ``plugin:NAME``.

    Raises:
        RecipeError: No installed distribution has one of that name, or several have.
    """
    name = task[len(PREFIX) :].strip()
    known = installed()
    found = [entry for entry in known if entry.name == name]
    if not found:
        names = [entry.name for entry in known]
        none = f"no installed distribution has entry points of {ENTRY_POINTS}"
        hint = did_you_mean(name, names) if names else none
        raise RecipeError(f"no evaluator plug-in {name!r}", hint=hint)
    if len(found) > 1:
        owners = ", ".join(sorted(distribution_of(entry) for entry in found))
        raise RecipeError(
            f"{len(found)} distributions have an evaluator plug-in {name!r}: {owners}",
            hint="uninstall all but one of them",
        )
    return found[0]


def installed() -> list[importlib.metadata.EntryPoint]:
    """All evaluator plug-ins, each of a distribution once."""
    found = {
        (entry.name, entry.value, distribution_of(entry)): entry
        for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)
    }
    return [found[key] for key in sorted(found)]


def distribution_of(entry: importlib.metadata.EntryPoint) -> str:
    """Name and version of the distribution that brings a plug-in."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"


def identity(task: str) -> str:
    """What decides the scores of ``plugin:NAME``: its function, distribution and version.

    Raises:
        RecipeError: As :func:`find`.
    """
    entry = find(task)
    return f"{entry.value} {distribution_of(entry)}"


def call(task: str, model: Path, split: Split) -> Any:
    """What the function behind ``plugin:NAME`` says of a model.

    What it prints goes to stderr: stdout belongs to the command that is running.

    Args:
        task: ``plugin:NAME``.
        model: Folder of the model.
        split: Which items.

    Raises:
        RecipeError: As :func:`find`, or the entry point names no function.
        MissingPrerequisite: It cannot be imported.
        WorkFailed: It raised.
    """
    entry = find(task)
    try:
        function = entry.load()
    except Exception as error:  # an import runs other people's code
        raise MissingPrerequisite(
            f"evaluator plug-in {entry.name!r} cannot be loaded: {type(error).__name__}: {error}",
            hint=f"mend or reinstall {distribution_of(entry)}",
        ) from error
    if not callable(function):
        raise RecipeError(
            f"evaluator plug-in {entry.name!r}: {entry.value} is a {type(function).__name__}, "
            "expected a function of model folder and split",
            hint=f"mend the entry point in {distribution_of(entry)}",
        )
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return function(model, split)
    except EvomergeError:
        raise
    except (Exception, SystemExit) as error:  # whatever it raises is this candidate's failure
        message = f"plug-in {entry.name} raised {type(error).__name__}: {error}"
        raise WorkFailed(
            # A folder's place is no part of what happened.
            message.replace(str(model.resolve()), "MODEL").replace(str(model), "MODEL"),
            reason=verdict(error),
            step="evaluate",
        ) from error
