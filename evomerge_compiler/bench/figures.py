"""A measured figure, and the bound that it is meant to keep."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Bound:
    """What a figure is meant to be.

    Attributes:
        kind: ``at most`` or ``at least``.
        limit: In the figure's unit.
    """

    kind: Literal["at most", "at least"]
    limit: float

    def holds(self, value: float) -> bool:
        """Whether a value keeps it."""
        return value <= self.limit if self.kind == "at most" else value >= self.limit

    def __str__(self) -> str:
        return f"{self.kind} {self.limit:g}"


def at_most(limit: float) -> Bound:
    """A bound from above."""
    return Bound("at most", limit)


def at_least(limit: float) -> Bound:
    """A bound from below."""
    return Bound("at least", limit)


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        name: What was measured.
        value: The median; for searches the mean over seeds.
        low: The smallest; for searches the lower end of the mean's 95 % interval.
        high: The largest, or the upper end.
        unit: ``s``, ``ms``, ``candidates/min``, ``times``, ``GB``, ``GB/s``, ``held-out score``.
        n: Rounds, or seeds.
        sides: Of a ratio: what is divided, and by what; of a lead: what leads, and before what.
        bound: What it is meant to be, or None.
        note: What else a reader must know.
        suite: The suite that it belongs to.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    n: int
    sides: tuple[str, str] | None = None
    bound: Bound | None = None
    note: str = ""
    suite: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the median keeps the bound; None without one."""
        return None if self.bound is None else self.bound.holds(self.value)

    def plain(self) -> dict[str, Any]:
        """Plain data for JSON."""
        data: dict[str, Any] = {
            "suite": self.suite, "name": self.name, "value": self.value, "low": self.low,
            "high": self.high, "unit": self.unit, "n": self.n,
        }  # fmt: skip
        if self.sides is not None:
            data["sides"] = list(self.sides)
        if self.bound is not None:
            data["bound"] = str(self.bound)
            data["holds"] = self.holds
        if self.note:
            data["note"] = self.note
        return data


def figure(
    name: str, values: Sequence[float], unit: str, *, bound: Bound | None = None, note: str = ""
) -> Figure:
    """The median of several rounds, with the smallest and the largest."""
    median = statistics.median(values)
    return Figure(
        name, median, min(values), max(values), unit, len(values), bound=bound, note=note
    )


def ratio(
    sides: tuple[str, str],
    over: Sequence[float],
    under: Sequence[float],
    *,
    name: str = "",
    bound: Bound | None = None,
    note: str = "",
) -> Figure:
    """The ratio of two sides, round by round.

    Args:
        sides: What they are called.
        over: ``(n_rounds,)`` of the first side.
        under: ``(n_rounds,)`` of the second, measured in turn with the first.
        name: What it means; the sides' names by default.
        bound: What it is meant to be.
        note: What else a reader must know.
    """
    values = [a / b for a, b in zip(over, under, strict=True)]
    median = statistics.median(values)
    return Figure(
        name or f"{sides[0]} / {sides[1]}", median, min(values), max(values), "times",
        len(values), sides=sides, bound=bound, note=note,
    )  # fmt: skip


def mean(
    name: str, values: Sequence[float], unit: str, *,
    sides: tuple[str, str] | None = None, note: str = "",
) -> Figure:  # fmt: skip
    """The mean over seeds with its 95 % interval, Student's; one value is its own interval.

    Source: Student, The probable error of a mean, Biometrika 6, 1908.
    """
    centre, reach = statistics.mean(values), 0.0
    if len(values) > 1:
        from scipy import stats

        stderr = statistics.stdev(values) / math.sqrt(len(values))
        reach = float(stats.t.ppf(0.975, len(values) - 1)) * stderr
    return Figure(
        name, centre, centre - reach, centre + reach, unit, len(values), sides=sides, note=note
    )


def lead(
    sides: tuple[str, str],
    over: Sequence[float],
    under: Sequence[float],
    unit: str,
    *,
    stage: str = "",
) -> Figure:
    """How much one side is ahead of another, seed by seed.

    Args:
        sides: What they are called.
        over: ``(n_seeds,)`` of the first side.
        under: ``(n_seeds,)`` of the second, with the same seeds.
        unit: Of both.
        stage: Comes before the name.
    """
    values = [a - b for a, b in zip(over, under, strict=True)]
    return mean(f"{stage}{sides[0]} - {sides[1]}", values, unit, sides=sides)
