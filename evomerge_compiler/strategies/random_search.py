"""``random``: uniform, independent genomes. The honest control for every other strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evomerge_compiler.candidate import Outcome, Proposal
from evomerge_compiler.strategies.base import Parameters, Search, strategy
from evomerge_compiler.strategies.operators import propose, rng, sample_genome


class RandomParameters(Parameters):
    """None."""


@strategy("random")
class RandomSearch(Search):
    """Draws every genome uniformly from the space; learns nothing."""

    summary = "uniform random genomes, the control every search has to beat"
    parameters = RandomParameters
    max_objectives = None

    def propose(self, generation: int) -> list[Proposal]:
        """``population`` uniform genomes."""
        genomes = [
            sample_genome(self.space, rng(self.seed, generation, slot))
            for slot in range(self.population)
        ]
        return [propose(genome, "sampled", "random.sample") for genome in genomes]

    def learn(self, generation: int, outcomes: Sequence[Outcome]) -> None:
        """Nothing to learn."""

    def state(self) -> Mapping[str, object]:
        """Nothing but the size."""
        return {"strategy": "random", "population": self.population}
