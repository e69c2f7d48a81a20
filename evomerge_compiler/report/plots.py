"""What the plots of a run's page show, as coordinates: its progress, its front, its phases.

Drawings are ``WIDTH`` by ``HEIGHT`` units, with the origin in the upper left corner as SVG has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from evomerge_compiler.recipe_phases import phase_of, starts
from evomerge_compiler.run_folder import RunFolder

WIDTH, HEIGHT = 200.0, 100.0
# Of phases in turn; neighbours differ in lightness too, for eyes that see colours otherwise.
COLOURS = ("#3b82f6", "#d97706", "#059669", "#a855f7")


@dataclass(frozen=True)
class Axis:
    """Places values along a line.

    Attributes:
        low: The value at 0.
        high: The value at ``length``.
        length: Units of the drawing.
    """

    low: float
    high: float
    length: float

    @classmethod
    def over(cls, values: Sequence[float], length: float) -> Axis:
        """An axis from the least to the largest of at least one value."""
        return cls(min(values), max(values), length)

    def at(self, value: float) -> float:
        """Where a value is; the middle where there is only one."""
        if self.high == self.low:
            return self.length / 2
        return self.length * (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Phase:
    """A phase of a search, so far as the run has come.

    Attributes:
        name: Its name.
        first: The generation that it begins with.
        moves: Genes that it moves.
        starts_from: The candidate whose other genes it holds; None for the first.
        colour: What it is drawn in.
    """

    name: str
    first: int
    moves: tuple[str, ...]
    starts_from: str | None
    colour: str


def phases_of(run: RunFolder) -> list[Phase]:
    """The phases that have begun; empty where the search has none."""
    search = run.recipe.search
    assert search is not None
    begun, found = run.generations(), []
    for index, first in enumerate(starts(search.phases)):
        if search.phases and first in begun:
            spec, colour = search.phases[index], COLOURS[index % len(COLOURS)]
            start = run.search_state(first)["starts_from"]
            found.append(Phase(spec.name, first, tuple(spec.genes), start, colour))
    return found


def phase_in(run: RunFolder, phases: Sequence[Phase], generation: int) -> Phase | None:
    """The phase that a generation belongs to."""
    assert run.recipe.search is not None
    index = phase_of(run.recipe.search.phases, generation)
    return None if index is None or index >= len(phases) else phases[index]


@dataclass(frozen=True)
class Progress:
    """Best and mean over generations.

    Attributes:
        low: The value at the foot of the drawing.
        high: The value at its head.
        last: Number of the last generation.
        best: Points of the best so far, as SVG writes them.
        mean: Points of the mean of each generation.
        phases: Name, colour, left end and width of each phase.
    """

    low: float
    high: float
    last: int
    best: str
    mean: str
    phases: tuple[tuple[str, str, float, float], ...] = ()


def progress(
    best: Sequence[float | None], mean: Sequence[float | None], phases: Sequence[Phase]
) -> Progress | None:
    """The progress of a run; None with fewer than two generations that have a best.

    Args:
        best: ``(n_generations,)`` the best of each, None where nothing counts.
        mean: ``(n_generations,)`` their means, likewise.
        phases: Those that have begun.
    """
    so_far = list(_so_far(best))
    known = [value for value in (*so_far, *mean) if value is not None]
    if sum(value is not None for value in so_far) < 2:
        return None
    last = len(best) - 1
    x, y = Axis(0, last, WIDTH), Axis.over(known, HEIGHT)
    drawn = [phase for phase in phases if phase.first <= last]
    # A phase begins between two generations.
    edges = [*(max(0.0, x.at(phase.first - 0.5)) for phase in drawn), WIDTH]
    return Progress(
        y.low,
        y.high,
        last,
        _points(x, y, so_far),
        _points(x, y, mean),
        tuple(
            (phase.name, phase.colour, start, end - start)
            for phase, (start, end) in zip(drawn, pairwise(edges), strict=True)
        ),
    )


def _so_far(best: Sequence[float | None]) -> Iterator[float | None]:
    """The largest up to each place."""
    return accumulate(
        best,
        lambda known, new: new if known is None else known if new is None else max(known, new),
    )


def _points(x: Axis, y: Axis, values: Sequence[float | None]) -> str:
    return " ".join(
        f"{x.at(number):.2f},{HEIGHT - y.at(value):.2f}"
        for number, value in enumerate(values)
        if value is not None
    )


@dataclass(frozen=True)
class FrontPoint:
    """A candidate of the front.

    Attributes:
        id: Which one.
        knee: Whether it is the knee.
        values: Its objectives.
        phase: The phase that it is of, if any.
        at: Where it is drawn; None unless there are two objectives.
    """

    id: str
    knee: bool
    values: tuple[float, ...]
    phase: Phase | None = None
    at: tuple[float, float] | None = None


@dataclass(frozen=True)
class Front:
    """What no candidate beats in all objectives.

    Attributes:
        names: The objectives.
        points: The candidates.
    """

    names: tuple[str, ...]
    points: tuple[FrontPoint, ...] = field(repr=False)


def front_of(run: RunFolder, phases: Sequence[Phase]) -> Front | None:
    """The front of a run of several objectives; None before there is one."""
    rows = run.front()
    if not rows:
        return None
    names = tuple(rows[0].objectives)
    axes = None
    if len(names) == 2:
        lengths = zip(names, (WIDTH, HEIGHT), strict=True)
        axes = [Axis.over([row.objectives[name] for row in rows], n) for name, n in lengths]
    points = []
    for row in rows:
        values = tuple(row.objectives.values())
        at = None
        if axes is not None:
            at = axes[0].at(values[0]), HEIGHT - axes[1].at(values[1])
        phase = phase_in(run, phases, row.id.generation)
        points.append(FrontPoint(str(row.id), row.knee, values, phase, at))
    return Front(names, tuple(points))
