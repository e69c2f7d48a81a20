"""Known benchmarks: which task, metric, filter and prompt they stand for.

``evaluators/presets.yaml`` lists them; a project's own file of that name adds to the shipped one
and wins. A recipe that writes ``task: gsm8k`` and no metric gets the preset; one that writes the
metric gets lm-eval's task as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import Field

from evomerge_compiler import assets, yamlio
from evomerge_compiler.recipe_errors import validate
from evomerge_compiler.recipe_schema import EvaluationSpec, Strict
from evomerge_compiler.yamlio import Document

log = logging.getLogger(__name__)
FILE_NAME = "presets.yaml"


class Preset(Strict):
    """What a short name stands for."""

    task: str = Field(min_length=1, description="a *, taken from the name, is put for its *")
    metric: str = Field(min_length=1)
    filter: str = "none"
    num_fewshot: int | None = Field(None, ge=0)
    gen_kwargs: dict[str, Any] = Field(default_factory=dict)
    domain: str = Field(description="code, math, multilingual, structured_data or other")
    about: str = Field(min_length=1, description="one line")
    needs: str = Field("", description="what is downloaded, what must be installed")
    benchmark: bool = Field(False, description="its items are public")
    also: list[str] = Field(default_factory=list, description="other tasks with the same items")


class PresetFile(Strict):
    """The shape of ``presets.yaml``."""

    presets: dict[str, Preset]


@dataclass(frozen=True)
class Presets:
    """The presets of a project and the shipped ones.

    Attributes:
        by_name: In order, the project's first. A name may hold one ``*``.
    """

    by_name: Mapping[str, Preset]

    def find(self, name: str) -> Preset | None:
        """The preset of that name, with its task's ``*`` filled in."""
        if name in self.by_name:
            return self.by_name[name]
        for pattern, preset in self.by_name.items():
            head, star, tail = pattern.partition("*")
            if star and fnmatchcase(name, pattern):
                variant = name[len(head) : len(name) - len(tail)]
                return preset.model_copy(update={"task": preset.task.replace("*", variant)})
        return None

    def benchmark(self, task: str) -> str | None:
        """The name of the benchmark whose items a task has, if it is a known one."""
        for name, preset in self.by_name.items():
            known = (name, preset.task, *preset.also)
            if preset.benchmark and any(fnmatchcase(task, pattern) for pattern in known):
                return name.rstrip("_*")
        return None


def load_presets() -> Presets:
    """All presets.

    Raises:
        RecipeError: A file is not of the right shape.
    """
    found: dict[str, Preset] = {}
    for folder in assets.folders("evaluators"):
        path = folder / FILE_NAME
        if path.is_file():
            document = yamlio.read_file(path, kind="presets")
            for name, preset in validate(PresetFile, document).presets.items():
                found.setdefault(name, preset)
    # Of patterns that match a name, the one that says more comes first.
    patterns = sorted((name for name in found if "*" in name), key=len, reverse=True)
    names = [name for name in found if "*" not in name]
    return Presets({name: found[name] for name in (*names, *patterns)})


def warn_of_benchmarks(spec: EvaluationSpec, document: Document) -> None:
    """Says once for each task that a search is about to optimise a public benchmark.

    Args:
        spec: The evaluation of an experiment.
        document: Its recipe as read, for the place.
    """
    presets = load_presets()
    for domain, task in spec.tasks.items():
        name = presets.benchmark(task.task)
        if name is not None and not task.benchmark:
            log.warning(
                "%s: %s is a public benchmark: a search that optimises it overfits it, and its "
                "test items may be in the models' training data; claims need other items. Say "
                "`benchmark: true` under the task if you mean it",
                document.place(("evaluation", "tasks", domain, "task")),
                name,
            )
