"""``tournament``: a genetic algorithm that picks parents by tournament.

Generation 0 is the recipe's initial genome and uniform samples. Each later generation keeps the
``elitism`` best as they are (an equal candidate is not scored twice) and fills up with children.
For a child, each parent is the winner of a tournament: ``size`` candidates of the last generation
are drawn, and from the best downwards each wins with probability ``selection_pressure`` over all
that are worse (Goldberg and Deb, A comparative analysis of selection schemes, FOGA 1, 1991).
With probability ``crossover_rate`` the child is a cross of two parents, else a copy of one; then
each of its values changes with probability ``mutation_rate``. A child that equals a candidate of
this or the last generation is mutated until it does not.

The search stops early as every search does: by ``search.plateau``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from evomerge_compiler.candidate import Outcome, Proposal
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.recipe_schema import Number
from evomerge_compiler.strategies.base import Parameters, Search, ranked, scored_of, strategy
from evomerge_compiler.strategies.operators import (
    cross,
    first_generation,
    mutate,
    propose,
    rng,
    unlike,
)

Crossover = Literal["blend", "uniform", "arithmetic", "one_point"]


class TournamentParameters(Parameters):
    """The numbers of the scheme."""

    size: int = Field(3, ge=2, description="candidates in a tournament")
    selection_pressure: Number = Field(
        0.7, ge=0, le=1, description="chance that the better one wins"
    )
    elitism: int = Field(1, ge=0, description="best candidates kept; always fewer than all")
    crossover_rate: Number = Field(0.8, ge=0, le=1, description="share of children of two")
    crossover: Crossover = Field("blend", description="how two genomes are crossed")
    mutation_rate: Number = Field(0.15, ge=0, le=1, description="chance of each value to change")
    sigma: Number = Field(0.1, gt=0, description="mutation step as a share of the gene's range")


@strategy("tournament")
class Tournament(Search):
    """Elites stay; winners of tournaments have children."""

    summary = "genetic algorithm: tournaments choose parents, elites stay"
    parameters = TournamentParameters
    p: TournamentParameters

    def __init__(
        self, space: GenomeSpace, population: int, seed: int, parameters: TournamentParameters
    ) -> None:
        super().__init__(space, population, seed, parameters)
        # The last generation that had a scored candidate, from best to worst.
        self.parents: list[Outcome] = []
        # Genomes of the last generation: those that failed are not asked again either.
        self.last: set[Genome] = set()

    def propose(self, generation: int) -> list[Proposal]:
        """The elites, then children."""
        if not self.parents:
            return self._fresh(generation)
        n_elite = min(self.p.elitism, self.population - 1)
        proposals = [
            propose(elite.genome, "elite", "tournament.elite", (elite.id,))
            for elite in self.parents[:n_elite]
        ]
        known = {outcome.genome for outcome in self.parents} | self.last
        for slot in range(len(proposals), self.population):
            child = self._child(known, rng(self.seed, generation, slot))
            known.add(child.genome)
            proposals.append(child)
        return proposals

    def learn(self, generation: int, outcomes: Sequence[Outcome]) -> None:
        """The scored candidates are the next parents; where all failed, the last ones stay."""
        self.parents = ranked(scored_of(outcomes)) or self.parents
        self.last = {outcome.genome for outcome in outcomes}

    def state(self) -> Mapping[str, object]:
        """The parents by rank."""
        ranks = {str(o.id): o.fitness.value for o in self.parents if o.fitness is not None}
        return {"strategy": "tournament", "ranks": ranks}

    def _fresh(self, generation: int) -> list[Proposal]:
        """Generation 0, or new samples while nothing at all could be scored."""
        return first_generation(self.space, self.population, self.seed, generation, "tournament")

    def _child(self, known: set[Genome], random: np.random.Generator) -> Proposal:
        parents = [self._winner(random)]
        genome = parents[0].genome
        crossed = random.random() < self.p.crossover_rate
        if crossed:
            parents.append(self._winner(random))
            genome = cross(
                self.space, parents[0].genome, parents[1].genome, self.p.crossover, random
            )
        rate, sigma = self.p.mutation_rate, self.p.sigma
        genome = mutate(self.space, genome, rate, sigma, random, surely=False)
        genome = unlike(genome, known, self.space, sigma, random)
        ids = [parent.id for parent in parents]
        if crossed:
            return propose(genome, "crossover", "tournament.crossover", ids)
        return propose(genome, "mutation", "tournament.mutate", ids)

    def _winner(self, random: np.random.Generator) -> Outcome:
        """The winner of one tournament; the parents are sorted, so a lower index is better."""
        size = min(self.p.size, len(self.parents))
        drawn: list[int] = sorted(random.choice(len(self.parents), size, replace=False).tolist())
        for index in drawn[:-1]:
            if random.random() < self.p.selection_pressure:
                return self.parents[index]
        return self.parents[drawn[-1]]
