"""``elite_recovery``: mutate the best, recover the rest by crossover in triples.

Generation 0 is every combination of the single-valued choice genes (for the three-stage
template: {linear, slerp} x {ties, dare_ties} x {frankenmerge, dfs} = 8), filled up with uniform
samples. After that the ``n_elite`` best each give ``n_mutants`` mutants (each active coordinate
changes with probability ``mutation_rate`` by a normal step of ``sigma`` times its range), and the
others form triples by rank: ranks 3, 4, 5 and so on, each triple giving one child (numbers: mean
weighted by fitness; choices: majority, ties to the best parent). A parent that breaks a
constraint has no weight beside one that breaks none. Triples that share their floats often agree
on what one of them already is: a child or mutant that equals an earlier candidate is mutated
until it does not.

With ``recover: model`` a triple's child is the weighted average of the three models in place of
one of their genomes: its genes are the three weights, which are the parents' shares of the fitness
at first, and mutate when it becomes an elite.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evomerge_compiler.candidate import Outcome, Proposal
from evomerge_compiler.crossing import LINEAR, Crossing, crossing
from evomerge_compiler.errors import UsageError
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.recipe_schema import Number
from evomerge_compiler.strategies.base import Parameters, Search, ranked, strategy
from evomerge_compiler.strategies.operators import (
    choice_combinations,
    different,
    mutate,
    propose,
    rng,
    sample_genome,
    unlike,
)
from evomerge_compiler.yamlio import Scalar

PARENTS_PER_CHILD = 3


class EliteRecoveryParameters(Parameters):
    """The numbers of the scheme; the defaults are those of the 2x2x2 pipeline."""

    n_elite: int = Field(2, ge=1, description="best candidates that give mutants")
    n_mutants: int = Field(3, ge=1, description="mutants of each elite")
    mutation_rate: Number = Field(0.15, gt=0, le=1, description="chance of each value to change")
    sigma: Number = Field(0.1, gt=0, description="mutation step as a share of the gene's range")
    recover: Literal["genome", "model"] = Field(
        "genome", description="what of a triple is averaged: genomes, or the merged models"
    )


@strategy("elite_recovery")
class EliteRecovery(Search):
    """Elites give mutants, everyone else is recovered by crossover."""

    summary = "mutants of the best, crossover of the rest in triples (the 2x2x2 pipeline)"
    parameters = EliteRecoveryParameters
    p: EliteRecoveryParameters

    def __init__(
        self,
        space: GenomeSpace,
        population: int,
        seed: int,
        parameters: EliteRecoveryParameters,
    ) -> None:
        super().__init__(space, population, seed, parameters)
        mutants = min(parameters.n_elite, population) * parameters.n_mutants
        if parameters.recover == "model" and population < mutants + 1:
            raise UsageError(
                f"recover: model never has its turn: the {mutants} mutants of n_elite times "
                f"n_mutants fill a population of {population}",
                hint=f"a population of at least {mutants + 1}, or fewer mutants",
            )
        self.last: list[Outcome] = []
        self.known: set[Genome] = set()

    def propose(self, generation: int) -> list[Proposal]:
        """The combinations of choices in generation 0, mutants and children later."""
        if generation == 0:
            return self._first()
        scored = [outcome for outcome in ranked(self.last) if outcome.scored]
        if not scored:
            # Nothing survived: start again from fresh samples rather than from failures.
            return [self._sampled(generation, slot) for slot in range(self.population)]
        proposals: list[Proposal] = []
        for elite in scored[: self.p.n_elite]:
            for _ in range(self.p.n_mutants):
                proposals.append(self._mutant(elite, generation, len(proposals)))
        rest = scored[self.p.n_elite :]
        if self.p.recover == "model":
            rest = different(rest)
        for start in range(0, len(rest) - PARENTS_PER_CHILD + 1, PARENTS_PER_CHILD):
            triple = rest[start : start + PARENTS_PER_CHILD]
            proposals.append(self._child(triple, generation, len(proposals)))
        # Failures leave triples short; the population is kept whole by mutants of the best.
        while len(proposals) < self.population:
            elite = scored[len(proposals) % min(self.p.n_elite, len(scored))]
            proposals.append(self._mutant(elite, generation, len(proposals)))
        return proposals[: self.population]

    def learn(self, generation: int, outcomes: Sequence[Outcome]) -> None:
        """Remembers the generation: the next one is bred from it."""
        self.last = list(outcomes)
        self.known.update(outcome.genome for outcome in outcomes)

    def state(self) -> Mapping[str, object]:
        """The parents by rank."""
        return {
            "strategy": "elite_recovery",
            "elites": [str(o.id) for o in ranked(self.last) if o.scored][: self.p.n_elite],
            "ranks": {
                str(o.id): o.fitness.value for o in ranked(self.last) if o.fitness is not None
            },
        }

    # -- operators --------------------------------------------------------------------------

    def _first(self) -> list[Proposal]:
        genomes = choice_combinations(self.space)
        if len(genomes) > self.population:
            # More combinations than places: an even spread over the list keeps every choice in.
            at = np.linspace(0, len(genomes) - 1, self.population).round().astype(int)
            genomes = [genomes[i] for i in at]
        proposals = [propose(g, "initial", "elite_recovery.combinations") for g in genomes]
        while len(proposals) < self.population:
            proposals.append(self._sampled(0, len(proposals)))
        return proposals

    def _sampled(self, generation: int, slot: int) -> Proposal:
        genome = sample_genome(self.space, rng(self.seed, generation, slot))
        return propose(genome, "sampled", "elite_recovery.sample")

    def _mutant(self, parent: Outcome, generation: int, slot: int) -> Proposal:
        random = rng(self.seed, generation, slot)
        genome = mutate(self.space, parent.genome, self.p.mutation_rate, self.p.sigma, random)
        genome = self._unlike_any(genome, random)
        return propose(genome, "mutation", "elite_recovery.mutate", (parent.id,))

    def _child(self, parents: Sequence[Outcome], generation: int, slot: int) -> Proposal:
        ids = tuple(parent.id for parent in parents)
        random = rng(self.seed, generation, slot)
        if self.p.recover == "model":
            mixed = self._unlike_any(average(parents), random)
            return propose(mixed, "crossover", "elite_recovery.recover_model", ids)
        genome = self._unlike_any(crossover(self.space, parents), random)
        return propose(genome, "crossover", "elite_recovery.crossover", ids)

    def _unlike_any(self, genome: Genome, random: np.random.Generator) -> Genome:
        """The genome, or a mutant of it that is no earlier candidate."""
        genome = unlike(genome, self.known, self.space, self.p.sigma, random)
        self.known.add(genome)
        return genome


def crossover(space: GenomeSpace, parents: Sequence[Outcome]) -> Genome:
    """One child: numbers are the fitness-weighted mean, choices the majority.

    Args:
        space: The space of the genomes.
        parents: Scored outcomes from best to worst; ties of a choice go to the first.
    """
    rows = [space.flatten(parent.genome) for parent in parents]
    fitness = [_worth(parent) for parent in parents]
    flat: list[Scalar] = []
    for index, coordinate in enumerate(space.coordinates):
        # A parent in which the gene is inactive has no say in it.
        held = [
            (row[index], f) for row, f in zip(rows, fitness, strict=True) if row[index] is not None
        ]
        if not held:
            flat.append(space.initial_values[index])
        elif coordinate.gene.kind == "choice":
            flat.append(_majority([value for value, _ in held]))
        else:
            flat.append(_weighted_mean(held))
    return space.from_flat(flat)


def average(parents: Sequence[Outcome]) -> Crossing:
    """The average of the parents' models, weighted by fitness."""
    weights = _shares(tuple(_worth(parent) for parent in parents))
    return crossing(LINEAR, [parent.id for parent in parents], weights.tolist())


def _worth(parent: Outcome) -> float:
    """What a parent is weighted by."""
    return parent.fitness.value if parent.fitness and parent.fitness.feasible else 0.0


def _majority(values: Sequence[Scalar]) -> Scalar:
    """The most frequent value; among equals the one of the best parent."""
    counts = Counter(map(repr, values))
    most = max(counts.values())
    return next(value for value in values if counts[repr(value)] == most)


def _weighted_mean(held: Sequence[tuple[Scalar, float]]) -> float:
    """The mean weighted by fitness."""
    values = np.array([value for value, _ in held], dtype=float)
    return float(np.dot(_shares(tuple(fitness for _, fitness in held)), values))


@functools.lru_cache(maxsize=16)  # the same for nearly all numbers of a child
def _shares(fitness: tuple[float, ...]) -> NDArray[np.float64]:
    """``(n,)`` shares of the whole fitness; equal ones where no fitness is above 0."""
    weights = np.maximum(np.array(fitness, dtype=float), 0.0)
    if weights.sum() <= 0:
        weights = np.ones(len(weights))
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares
