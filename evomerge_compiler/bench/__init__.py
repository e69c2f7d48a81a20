"""Measures this machine: ``evomerge bench``.

A suite is a module of this package with one function, ``run(setting)``, that yields figures as
they are measured. Figures are medians of several rounds; the two sides of a ratio take turns in
the same run, so that what else the machine does falls on both. A figure may stand beside the
bound that it is meant to keep; nothing here fails when it does not.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from evomerge_compiler.bench.figures import Figure
from evomerge_compiler.bench.setting import Setting
from evomerge_compiler.errors import MissingPrerequisite, UsageError, did_you_mean
from evomerge_compiler.merging.options import gpu_available

__all__ = ["SUITES", "Figure", "Setting", "Suite", "chosen", "device", "require", "run"]


@dataclass(frozen=True)
class Suite:
    """What a suite measures.

    Attributes:
        summary: One line for people.
        minutes: About how long it takes on two cores.
        reading: How its figures are to be read, where they are no medians of rounds.
        by_name: Whether it runs only when it is named.
        package: What it needs that is not always installed, an extra of the same name.
    """

    summary: str
    minutes: float
    reading: str = ""
    by_name: bool = False
    package: str = ""


SUITES = {
    "start_up": Suite("commands from start to end", 0.5),
    "run_folders": Suite("status, show and resume on a run of 10,000 candidates", 5),
    "sandbox": Suite("200 code answers run and judged", 0.5),
    "candidates": Suite(
        "candidates a minute: warm, cli, plain commands, a loop in one process", 8
    ),
    "overhead": Suite("a warm candidate against bare generation of the same answers", 2),
    "profile": Suite("where the milliseconds of a warm candidate go", 1),
    "many_tensors": Suite("a merge of 7,000 small tensors", 3),
    "merges": Suite("merges at the shape of Qwen2-1.5B: time, memory, bandwidth", 60),
    "ray": Suite("candidates a minute with one and two Ray workers", 2, package="ray"),
    "strategies": Suite(
        "what every strategy finds with 200 merges of the quickstart recipe",
        240,
        reading="Means over seeds, all on the same held-out items; low and high are the ends of "
        "95 % intervals over seeds.",
        by_name=True,
    ),
    "racing": Suite(
        "what searches lose and save that do not ask every candidate all items",
        60,
        reading="Means over seeds, all on the same held-out items; low and high are the ends of "
        "95 % intervals over seeds.",
        by_name=True,
    ),
}


def chosen(names: Sequence[str]) -> list[str]:
    """The suites to run, in their order; when none is named, all but those that take hours.

    Raises:
        UsageError: There is no such suite.
    """
    for name in names:
        if name not in SUITES:
            raise UsageError(f"no suite {name!r}", hint=did_you_mean(name, SUITES))
    return [
        name
        for name, suite in SUITES.items()
        if name in names or (not names and not suite.by_name)
    ]


def require(names: Sequence[str]) -> None:
    """Looks for what suites need, before the first of them spends hours.

    Raises:
        MissingPrerequisite: A package is not installed.
    """
    for name in names:
        package = SUITES[name].package
        if package and importlib.util.find_spec(package) is None:
            raise MissingPrerequisite(
                f"suite {name} measures {package}, which is not installed",
                hint=f"pip install 'evomerge-compiler[{package}]', or name the other suites",
            )


def run(name: str, setting: Setting) -> Iterator[Figure]:
    """Runs a suite.

    Args:
        name: Of :data:`SUITES`.
        setting: Sizes and folder.

    Yields:
        Each figure as soon as it is measured.

    Raises:
        EvomergeError: Something that is measured does not work, or this machine lacks it.
    """
    module = importlib.import_module(f"{__name__}.{name}")
    for figure in module.run(setting):
        # Tiny sizes keep every bound, or none: neither says anything.
        yield replace(figure, suite=name, bound=None if setting.quick else figure.bound)


def device() -> str:
    """Where models are merged and scored: the GPU where there is one."""
    return "cuda" if gpu_available() else "cpu"
