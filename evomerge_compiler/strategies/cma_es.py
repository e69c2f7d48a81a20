"""``cma_es``: covariance matrix adaptation, with restarts.

Sources: Hansen, The CMA evolution strategy: a tutorial, arXiv:1604.00772; for genomes with choices
or whole numbers CatCMA with margin, arXiv:2504.07884; both as the library cmaes has them. Where
all genes are real numbers ``covariance: diagonal`` takes sep-CMA-ES (Ros and Hansen, PPSN 2008),
for very many of them.

The search starts at the recipe's initial genome, with a step of ``sigma`` times each range (log
genes in log space). Only ranks are told to the optimiser, so that scores may be of any size; what
breaks a constraint ranks below all that breaks none, and failures share the last rank. The value
of a gene that is not active stays with the optimiser and is not written into the genome. An
edited genome counts as what it is, and seeds take the places of the worst of their batch.

The optimiser learns from a batch: a generation, or as many generations as hold 4 candidates. It
*stalls* when ``patience`` batches (10 + 30 n / batch, as cmaes, for n values) brought nothing
better, when a whole batch is one genome (steps are finer than genes are written), or when cmaes
finds its numbers exhausted. Then it starts again elsewhere, with a batch ``growth`` times as many
generations long (Auger and Hansen, A restart CMA evolution strategy with increasing population
size, CEC 2005). A batch whose candidates all failed, or all scored the same, teaches nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from evomerge_compiler.candidate import Outcome, Proposal
from evomerge_compiler.errors import UsageError
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.recipe_schema import Number
from evomerge_compiler.strategies.base import NO_MERIT, Merit, Parameters, Search, merit, strategy
from evomerge_compiler.strategies.distributions import (
    Distribution,
    Layout,
    MixedDistribution,
    Point,
    RealDistribution,
)
from evomerge_compiler.strategies.operators import propose

# Fewer points rank too little: two of them would be a coin that is tossed.
MIN_BATCH = 4


class CmaEsParameters(Parameters):
    """How the search starts, and when it starts again."""

    sigma: Number = Field(0.25, gt=0, le=1, description="first step as a share of each range")
    covariance: Literal["full", "diagonal"] = Field(
        "full", description="what is learnt of how genes act together"
    )
    patience: int | None = Field(
        None,
        ge=0,
        description="batches without a better one before a restart; 0 for no such restart",
    )
    growth: int = Field(2, ge=1, le=10, description="how much longer a batch is after a restart")


@strategy("cma_es")
class CmaEs(Search):
    """Draws from a distribution that moves towards what scored well."""

    summary = "covariance matrix adaptation for mixed genomes, with restarts (CMA-ES, CatCMAwM)"
    parameters = CmaEsParameters
    p: CmaEsParameters

    def __init__(
        self, space: GenomeSpace, population: int, seed: int, parameters: CmaEsParameters
    ) -> None:
        super().__init__(space, population, seed, parameters)
        self.layout = Layout(space)
        if parameters.covariance == "diagonal" and not self.layout.is_real:
            raise UsageError(
                "covariance: diagonal is for genomes of real numbers alone, and this one has "
                "choices or whole numbers",
                hint="leave covariance out",
            )
        self.restarts = 0
        # What was drawn for the current generation, and what waits for its batch to be full.
        self._drawn: list[tuple[Point, Genome]] = []
        self._batch: list[tuple[Point, Merit]] = []
        self._n_drawn = 0
        self._best: Merit | None = None
        self._idle_batches = 0
        self._distribution: Distribution | None = None

    @property
    def batch(self) -> int:
        """Candidates of one update: whole generations."""
        generations = math.ceil(MIN_BATCH / self.population) * self.p.growth**self.restarts
        return int(self.population * generations)

    def propose(self, generation: int) -> list[Proposal]:
        """The next draws."""
        if self.layout.size == 0:
            start = propose(self.space.initial(), "initial", "cma_es.initial")
            return [start] * self.population
        points = [self.distribution.ask() for _ in range(self.population)]
        self._drawn = [(point, self.space.from_flat(point.flat)) for point in points]
        return [propose(genome, "sampled", "cma_es.sample") for _, genome in self._drawn]

    def learn(self, generation: int, outcomes: Sequence[Outcome]) -> None:
        """Moves the distribution once a batch is complete."""
        if self.layout.size == 0:
            return
        for index, outcome in enumerate(outcomes):
            self._batch.append((self._point(index, outcome.genome), merit(outcome)))
        self._n_drawn += len(self._drawn)
        if self._n_drawn < self.batch:
            return
        # Stable: of equal ones the first stay. There are too many only where there are seeds.
        full = sorted(self._batch, key=lambda told: told[1])[: self.batch]
        self._batch, self._n_drawn = [], 0
        self._update([point for point, _ in full], [loss for _, loss in full])

    def state(self) -> Mapping[str, object]:
        """Centre, step and batch of the distribution."""
        state: dict[str, object] = {"strategy": "cma_es", "restarts": self.restarts}
        if self.layout.size:
            now, layout = self.distribution, self.layout
            values = now.likeliest()
            state |= {"batch": self.batch, "waiting": self._n_drawn, "sigma": _short(now.sigma)}
            state["centre"] = {layout.labels[i]: values[i] for i in layout.numbers + layout.steps}
            state["chances"] = {
                label: {word: _short(chance) for word, chance in words.items()}
                for label, words in now.chances().items()
            }
        return state

    # ---------------------------------------------------------------------------------------

    @property
    def distribution(self) -> Distribution:
        """What is drawn from; made when it is first needed, for that imports scipy."""
        if self._distribution is None:
            self._distribution = self._start()
        return self._distribution

    def _start(self) -> Distribution:
        """A new distribution: at the initial genome first, anywhere after a restart."""
        layout, sigma, batch = self.layout, self.p.sigma, self.batch
        sequence = np.random.SeedSequence((self.seed, self.restarts))
        seed = int(sequence.generate_state(1)[0])
        mean = layout.units(layout.start)
        if self.restarts:
            mean = np.random.Generator(np.random.PCG64(sequence)).random(len(mean))
        if layout.is_real:
            diagonal = self.p.covariance == "diagonal"
            return RealDistribution(layout, mean, sigma, batch, seed, diagonal)
        return MixedDistribution(layout, mean, sigma, batch, seed)

    def _point(self, index: int, genome: Genome) -> Point:
        """Where the optimiser sees an outcome: as drawn, or brought in by a person."""
        if index >= len(self._drawn):
            return self.distribution.inject(self.space.flatten(genome), None)
        point, asked = self._drawn[index]
        if genome == asked:
            return point
        return self.distribution.inject(self.space.flatten(genome), point)

    def _update(self, points: Sequence[Point], losses: Sequence[Merit]) -> None:
        """Tells a batch that is sorted from best to worst."""
        rank = {loss: float(place) for place, loss in enumerate(dict.fromkeys(losses))}
        if len(rank) > 1:
            self.distribution.tell(points, [rank[loss] for loss in losses])
        better = losses[0] < NO_MERIT and (self._best is None or losses[0] < self._best)
        if better:
            self._best = losses[0]
        self._idle_batches = 0 if better else self._idle_batches + 1
        if self._stalled(points):
            self.restarts += 1
            self._best, self._idle_batches = None, 0
            self._distribution = None

    def _stalled(self, points: Sequence[Point]) -> bool:
        patience = self.p.patience
        if patience is None:
            patience = 10 + math.ceil(30 * self.layout.size / self.batch)
        if self.distribution.finished():
            return True
        if patience == 0:
            return False
        one = len({self.space.from_flat(point.flat) for point in points}) == 1
        return one or self._idle_batches >= patience


def _short(value: float) -> float:
    """Four significant digits: enough for people, and no noise."""
    return float(f"{value:.4g}")
