"""The search distributions of ``cma_es``: cmaes' optimisers over the values of a genome.

Numbers are searched as units in [0, 1] (see :mod:`evomerge_compiler.gene_units`), whole numbers
of few values as steps of it, and choices as categories. cmaes documents no way to tell it a point
that it did not draw; how :meth:`Distribution.inject` does it rests on attributes of cmaes 0.13.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge_compiler.gene import Gene
from evomerge_compiler.gene_units import from_unit, index_of, to_unit
from evomerge_compiler.genome import GenomeSpace
from evomerge_compiler.yamlio import Scalar

Vector = NDArray[np.float64]
Flat = Sequence[Scalar]
# Whole numbers with more values than this are searched as real numbers and rounded.
MAX_STEPS = 64


@dataclass(frozen=True)
class Point:
    """A point that an optimiser drew, or that was brought to it.

    Attributes:
        flat: ``(n_coordinates,)`` values of the genome, active or not.
        drawn: The same point as cmaes wants it back.
    """

    flat: tuple[Scalar, ...]
    drawn: Any


class Layout:
    """Which value of a genome is a number, a step, a category, or the same always.

    Args:
        space: The genomes.
    """

    def __init__(self, space: GenomeSpace) -> None:
        self.genes = [coordinate.gene for coordinate in space.coordinates]
        self.labels = [coordinate.label for coordinate in space.coordinates]
        self.start = space.initial_values
        self.numbers = [i for i, gene in enumerate(self.genes) if _is_number(gene)]
        self.steps = [i for i, gene in enumerate(self.genes) if _is_step(gene)]
        self.categories = [i for i, gene in enumerate(self.genes) if len(options(gene)) > 1]
        self.size = len(self.numbers) + len(self.steps) + len(self.categories)

    @property
    def is_real(self) -> bool:
        """Whether nothing but real numbers is searched."""
        return not self.steps and not self.categories

    def units(self, flat: Flat) -> Vector:
        """``(n_numbers + n_steps,)`` units of the numbers and steps."""
        indices = [*self.numbers, *self.steps]
        return np.array([to_unit(self.genes[i], flat[i]) for i in indices])

    def flat(
        self, units: Vector | Sequence[float], categories: Sequence[int] = ()
    ) -> tuple[Scalar, ...]:
        """The values at units and category numbers; all others at the start."""
        values = list(self.start)
        for i, unit in zip([*self.numbers, *self.steps], units, strict=True):
            gene = self.genes[i]
            values[i] = gene.quantise(from_unit(gene, float(unit)))
        for i, number in zip(self.categories, categories, strict=True):
            values[i] = options(self.genes[i])[number]
        return tuple(values)

    def step_units(self) -> list[list[float]]:
        """For each step gene the units of its values."""
        return [
            [to_unit(gene, value) for value in range(int(gene.low), int(gene.high) + 1)]
            for gene in (self.genes[i] for i in self.steps)
        ]


def options(gene: Gene) -> tuple[Scalar, ...]:
    """The categories of a gene; none where it is searched as a number.

    cmaes advises categories for whole numbers that have but two values.
    """
    if gene.kind == "choice":
        return gene.choices
    two = gene.kind == "int" and gene.high - gene.low == 1
    return (int(gene.low), int(gene.high)) if two else ()


def _is_step(gene: Gene) -> bool:
    return gene.kind == "int" and 1 < gene.high - gene.low < MAX_STEPS


def _is_number(gene: Gene) -> bool:
    return gene.kind == "float" or (gene.kind == "int" and gene.high - gene.low >= MAX_STEPS)


class Distribution(ABC):
    """What is drawn from, and moves towards what is good.

    Args:
        layout: What the values are.
        optimiser: One of cmaes' optimisers over them.
    """

    def __init__(self, layout: Layout, optimiser: Any) -> None:
        self.layout = layout
        self.optimiser = optimiser

    @abstractmethod
    def ask(self) -> Point:
        """The next point."""

    @abstractmethod
    def inject(self, flat: Flat, carried: Point | None) -> Point:
        """A point that was scored but not drawn: someone edited or wrote it.

        A point far outside would throw the step size; it counts as lying in its direction at
        the distance that Hansen gives (Injecting external solutions into CMA-ES,
        arXiv:1110.4181, section 3: sqrt(n) + 2 n / (n + 2) standard deviations).

        Args:
            flat: ``(n_coordinates,)`` values, None where inactive.
            carried: The point that was edited: inactive values are taken from it, or else from
                the centre.
        """

    def tell(self, points: Sequence[Point], ranks: Sequence[float]) -> None:
        """Moves the distribution; a lower rank is better, equal ranks are ties."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)  # medians and spreads of ties
            # A list of its own: cmaes sorts what it is given.
            told = [(point.drawn, rank) for point, rank in zip(points, ranks, strict=True)]
            self.optimiser.tell(told)

    @property
    def sigma(self) -> float:
        """The overall step, as a share of the ranges; 0 where only choices are searched."""
        return float(getattr(self.optimiser, "_sigma", 0.0))

    @property
    def centre(self) -> Vector:
        """``(n_numbers + n_steps,)`` units of the mean."""
        return np.asarray(getattr(self.optimiser, "_mean", np.zeros(0)), dtype=float)

    def likeliest(self) -> tuple[Scalar, ...]:
        """The values at the centre."""
        return self.layout.flat(self.centre)

    def chances(self) -> dict[str, dict[str, float]]:
        """For each category gene its options and their probabilities."""
        return {}

    def finished(self) -> bool:
        """Whether cmaes finds that numbers leave it no way to go on."""
        if not np.isfinite(self.sigma) or not np.all(np.isfinite(self.centre)):
            return True
        if not len(self.centre):
            return False
        with np.errstate(all="ignore"):
            return bool(self.optimiser.should_stop())

    def _near(self, units: Vector, spread: Vector | float = 1.0) -> Vector:
        """Units no further from the centre than Hansen's distance."""
        away = units - self.centre
        n = len(away)
        limit = math.sqrt(n) + 2 * n / (n + 2)
        length = float(np.linalg.norm(self._whitened(away / spread))) / self.sigma
        return units if length <= limit else self.centre + away * (limit / length)

    def _whitened(self, away: Vector) -> Vector:
        """Distances in units of the covariance's own axes."""
        axes, scales = self.optimiser._eigen_decomposition()
        white: Vector = axes.T @ away / scales
        return white

    def _filled(self, flat: Flat, carried: Point | None) -> list[Scalar]:
        rest = carried.flat if carried is not None else self.likeliest()
        return [b if a is None else a for a, b in zip(flat, rest, strict=True)]


class RealDistribution(Distribution):
    """Numbers alone: CMA-ES, or sep-CMA-ES with a diagonal covariance.

    Args:
        layout: What the values are.
        mean: ``(n,)`` units to start from.
        sigma: First step as a share of the ranges.
        batch: Points an update.
        seed: Of all draws.
        diagonal: Learn a scale for each value instead of all correlations.
    """

    def __init__(
        self, layout: Layout, mean: Vector, sigma: float, batch: int, seed: int, diagonal: bool
    ) -> None:
        import cmaes

        kind = cmaes.SepCMA if diagonal else cmaes.CMA
        bounds = np.array([[0.0, 1.0]] * len(mean))
        super().__init__(
            layout, kind(mean, sigma, bounds=bounds, population_size=batch, seed=seed)
        )
        self.diagonal = diagonal

    def ask(self) -> Point:
        """See :meth:`Distribution.ask`."""
        with np.errstate(all="ignore"):
            units = self.optimiser.ask()
        return Point(self.layout.flat(units), units)

    def inject(self, flat: Flat, carried: Point | None) -> Point:
        """See :meth:`Distribution.inject`."""
        values = self._filled(flat, carried)
        return Point(tuple(values), self._near(self.layout.units(values)))

    def _whitened(self, away: Vector) -> Vector:
        if self.diagonal:
            white: Vector = away / np.sqrt(self.optimiser._C)
            return white
        return super()._whitened(away)


class MixedDistribution(Distribution):
    """Numbers, steps and categories together: CatCMA with margin.

    Source: Hamano, Nomura, Saito, Uchida and Shirakawa, CatCMA with Margin for Single- and
    Multi-Objective Mixed-Variable Black-Box Optimization, arXiv:2504.07884.

    Args:
        layout: What the values are.
        mean: ``(n,)`` units to start from.
        sigma: First step as a share of the ranges.
        batch: Points an update.
        seed: Of all draws.
    """

    def __init__(self, layout: Layout, mean: Vector, sigma: float, batch: int, seed: int) -> None:
        import cmaes

        counts = [len(options(layout.genes[i])) for i in layout.categories]
        n = len(mean)
        optimiser = cmaes.CatCMAwM(
            x_space=[[0.0, 1.0]] * len(layout.numbers) or None,
            z_space=layout.step_units() or None,
            c_space=counts or None,
            population_size=batch,
            mean=mean.copy() if n else None,
            sigma=sigma,
            cov=np.eye(n) if n else None,
            seed=seed,
        )
        super().__init__(layout, optimiser)
        self._width = max(counts, default=0)

    def ask(self) -> Point:
        """See :meth:`Distribution.ask`."""
        with np.errstate(all="ignore"):
            solution = self.optimiser.ask()
        parts = [part for part in (solution.x, solution.z) if part is not None]
        units = np.concatenate(parts) if parts else np.zeros(0)
        chosen = [] if solution.c is None else [int(row.argmax()) for row in solution.c]
        return Point(self.layout.flat(units, chosen), solution)

    def inject(self, flat: Flat, carried: Point | None) -> Point:
        """See :meth:`Distribution.inject`."""
        values = self._filled(flat, carried)
        units = self.layout.units(values)
        n = len(self.layout.numbers)
        raw = self._near(units, self.optimiser._A) if len(units) else None
        hot = np.zeros((len(self.layout.categories), self._width), dtype=bool)
        for row, i in enumerate(self.layout.categories):
            gene = self.layout.genes[i]
            hot[row, _number(gene, values[i])] = True
        solution = type(self.optimiser).Solution(
            units[:n] if n else None,
            units[n:] if len(units) > n else None,
            hot if len(hot) else None,
            raw,
        )
        return Point(tuple(values), solution)

    def likeliest(self) -> tuple[Scalar, ...]:
        """See :meth:`Distribution.likeliest`."""
        return self.layout.flat(self.centre, [int(row.argmax()) for row in self._rows()])

    def chances(self) -> dict[str, dict[str, float]]:
        """See :meth:`Distribution.chances`."""
        out = {}
        for row, i in zip(self._rows(), self.layout.categories, strict=True):
            words = map(str, options(self.layout.genes[i]))
            out[self.layout.labels[i]] = dict(zip(words, row.tolist(), strict=True))
        return out

    def _rows(self) -> list[Vector]:
        counts = [len(options(self.layout.genes[i])) for i in self.layout.categories]
        return [self.optimiser._q[row, :count] for row, count in enumerate(counts)]

    def finished(self) -> bool:
        """See :meth:`Distribution.finished`."""
        return not all(np.all(np.isfinite(row)) for row in self._rows()) or super().finished()


def _number(gene: Gene, value: Scalar) -> int:
    if gene.kind == "choice":
        return index_of(gene, value)
    return options(gene).index(value)
