"""``sobol``: points spread evenly over the space. The control that wastes no luck.

A scrambled Sobol sequence (Sobol 1967; Owen 1998), as scipy has it, with one dimension for each
value of the genome. It goes on from generation to generation, so that a run of any length covers
the space evenly; a choice gets each of its values equally often. The recipe's seed scrambles it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evomerge_compiler.candidate import Outcome, Proposal
from evomerge_compiler.gene_units import from_quantile
from evomerge_compiler.strategies.base import Parameters, Search, strategy
from evomerge_compiler.strategies.operators import propose


class SobolParameters(Parameters):
    """None."""


@strategy("sobol")
class Sobol(Search):
    """Asks for the points of a low-discrepancy sequence; learns nothing."""

    summary = "evenly spread points of a Sobol sequence, the control without clusters and gaps"
    parameters = SobolParameters
    max_objectives = None
    _engine: Any = None

    def propose(self, generation: int) -> list[Proposal]:
        """The next ``population`` points."""
        coordinates = self.space.coordinates
        if not coordinates:
            return [propose(self.space.initial(), "initial", "sobol.initial")] * self.population
        engine = self._sequence(len(coordinates))
        proposals = []
        for _ in range(self.population):
            # One by one: scipy warns of any other number that is no power of two.
            (point,) = engine.random(1)
            flat = [from_quantile(c.gene, u) for c, u in zip(coordinates, point, strict=True)]
            proposals.append(propose(self.space.from_flat(flat), "sampled", "sobol.sample"))
        return proposals

    def learn(self, generation: int, outcomes: Sequence[Outcome]) -> None:
        """Nothing to learn."""

    def state(self) -> Mapping[str, object]:
        """How far the sequence is."""
        drawn = self._engine.num_generated if self._engine is not None else 0
        return {"strategy": "sobol", "points_drawn": drawn}

    def _sequence(self, n_dimensions: int) -> Any:
        """The sequence, at the point where the last generation left it."""
        if self._engine is None:
            from scipy.stats import qmc

            random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed)))
            self._engine = qmc.Sobol(n_dimensions, scramble=True, seed=random)
        return self._engine
