"""Sizes of the suites, and how their sides take turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """How the suites run.

    Attributes:
        work: Folder for models and runs that are made on the spot.
        quick: Tiny sizes, which show that everything works and measure nothing.
        layers: Layers of the large models; None takes those of Qwen2-1.5B where the disk allows.
        device: ``cpu`` or ``cuda``.
        cache: Where suites of hours keep their scores, so that they go on when called again; None
            keeps nothing.
        seeds: Of suites that search; None takes each suite's own number.
        jobs: Workers of suites that search; all others have one.
    """

    work: Path
    quick: bool = False
    layers: int | None = None
    device: str = "cpu"
    cache: Path | None = None
    seeds: int | None = None
    jobs: int = 1

    def size(self, full: T, quick: T) -> T:
        """The one or the other."""
        return quick if self.quick else full

    def folder(self, name: str) -> Path:
        """A folder of its own for a suite."""
        path = self.work / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def in_turns(sides: Mapping[str, Callable[[int], T]], rounds: int) -> dict[str, list[T]]:
    """Runs all sides once a round, so that a busy minute falls on all of them.

    Args:
        sides: Name to what is run, given the number of the round.
        rounds: How often.

    Returns:
        Name to what each round gave.
    """
    found: dict[str, list[T]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, call in sides.items():
            found[name].append(call(number))
    return found
