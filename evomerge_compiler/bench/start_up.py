"""Whole commands, from the start of Python to the last line."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from evomerge_compiler import recipe as recipes
from evomerge_compiler.bench.commands import evomerge, seconds
from evomerge_compiler.bench.figures import Figure, at_most, figure
from evomerge_compiler.bench.setting import Setting, in_turns

RECIPE = "quickstart"


def run(setting: Setting) -> Iterator[Figure]:
    """Times commands that load no model; the first round warms the caches and does not count."""
    path = str(recipes.find(RECIPE).resolve())
    sides = {
        "evomerge --help": (["--help"], at_most(0.3)),
        "evomerge compile recipes/quickstart.yaml": (["compile", path], at_most(1.0)),
        "evomerge validate recipes/quickstart.yaml": (["validate", path], None),
        "evomerge plan recipes/quickstart.yaml": (["plan", path], None),
    }
    folder = setting.folder("start_up")
    calls = {name: partial(_time, arguments, folder) for name, (arguments, _) in sides.items()}
    found = in_turns(calls, setting.size(8, 1) + 1)
    for name, (_, bound) in sides.items():
        yield figure(name, found[name][1:], "s", bound=bound)


def _time(arguments: list[str], folder: Path, _round: int) -> float:
    return seconds(evomerge(*arguments), folder)
