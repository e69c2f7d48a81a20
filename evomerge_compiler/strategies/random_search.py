"""``random``: uniform, independent genomes. The honest control for every other strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evomerge_compiler.candidate import Lineage, Outcome, Proposal, genome_hash
from evomerge_compiler.genome import GenomeSpace
from evomerge_compiler.strategies.base import Parameters, rng, sample_genome, strategy


class RandomParameters(Parameters):
    """None."""


@strategy("random")
class RandomSearch:
    """Draws every genome uniformly from the space; learns nothing."""

    summary = "uniform random genomes, the control every search has to beat"
    parameters = RandomParameters

    def __init__(
        self, space: GenomeSpace, population: int, seed: int, parameters: RandomParameters
    ) -> None:
        self.space, self.population, self.seed = space, population, seed

    def ask(self, generation: int) -> list[Proposal]:
        """``population`` uniform genomes."""
        genomes = [
            sample_genome(self.space, rng(self.seed, generation, slot))
            for slot in range(self.population)
        ]
        return [
            Proposal(genome, Lineage("sampled", "random.sample", asked=genome_hash(genome)))
            for genome in genomes
        ]

    def tell(self, generation: int, outcomes: Sequence[Outcome]) -> None:
        """Nothing to learn."""

    def state(self) -> Mapping[str, object]:
        """Nothing but the size."""
        return {"strategy": "random", "population": self.population}
