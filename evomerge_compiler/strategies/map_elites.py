"""``map_elites``: quality diversity, a niche for each domain, as in CycleQD.

Source: Kuroki, Nakamura, Akiba and Tang, Agent Skill Acquisition for Large Language Models via
CycleQD, arXiv:2410.14735, after MAP-Elites (Mouret and Clune, arXiv:1504.04909).

Each domain has an archive. In it the domain's own score is the quality, and the scores of all
other domains, in ``bins`` steps each between the worst and the best seen, are the behaviour: a
cell holds the best candidate of its behaviour. Every scored candidate enters every archive. The
roles rotate: generation g breeds from the archive of domain g modulo the number of domains. Two
parents are drawn from its cells with a probability that is the product, over all domains, of a
number that grows from ``low`` for the worst to ``high`` for the best (elite sampling). They are
crossed, and each value of the child changes with probability ``mutation_rate``. In a cell, what
breaks a constraint loses to what breaks it less, and only where nothing else is it a parent.

CycleQD mixes and mutates task vectors; here genomes are crossed and mutated, which merges them.
Candidates without domain scores are placed by their objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evomerge_compiler.candidate import Outcome, Proposal
from evomerge_compiler.errors import UsageError
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.recipe_schema import Number
from evomerge_compiler.strategies.base import Parameters, Search, feasible_of, scored_of, strategy
from evomerge_compiler.strategies.operators import (
    cross,
    first_generation,
    mutate,
    propose,
    rng,
    unlike,
)


class MapElitesParameters(Parameters):
    """The numbers of the scheme."""

    bins: int = Field(15, ge=1, le=1000, description="steps of each behaviour axis")
    crossover_rate: Number = Field(0.9, ge=0, le=1, description="share of children of two")
    crossover: Literal["blend", "uniform", "arithmetic", "one_point"] = Field(
        "arithmetic", description="how two genomes are crossed"
    )
    mutation_rate: Number = Field(0.15, ge=0, le=1, description="chance of each value to change")
    sigma: Number = Field(0.1, gt=0, description="mutation step as a share of the gene's range")
    low: Number = Field(0.5, gt=0, le=1, description="weight of the worst as a parent")
    high: Number = Field(0.8, gt=0, le=1, description="weight of the best as a parent")


@strategy("map_elites")
class MapElites(Search):
    """An archive a domain; generations take turns in breeding from them."""

    summary = "quality diversity: an archive a domain, bred from in turn (CycleQD)"
    parameters = MapElitesParameters
    p: MapElitesParameters

    def __init__(
        self, space: GenomeSpace, population: int, seed: int, parameters: MapElitesParameters
    ) -> None:
        super().__init__(space, population, seed, parameters)
        if parameters.low > parameters.high:
            raise UsageError(
                f"low {parameters.low:g} is above high {parameters.high:g}: the worst would be "
                "the likeliest parents"
            )
        # Domain to its archive; the same candidate is usually in several.
        self.archives: dict[str, list[Outcome]] = {}

    def propose(self, generation: int) -> list[Proposal]:
        """Children of the archive whose turn it is."""
        if not self.archives:
            return first_generation(
                self.space, self.population, self.seed, generation, "map_elites"
            )
        elites = self.archives[self.role(generation)]
        parents = feasible_of(elites) or elites
        chances = self._chances(parents)
        known = {outcome.genome for archive in self.archives.values() for outcome in archive}
        proposals = []
        for slot in range(self.population):
            child = self._child(parents, chances, known, rng(self.seed, generation, slot))
            known.add(child.genome)
            proposals.append(child)
        return proposals

    def learn(self, generation: int, outcomes: Sequence[Outcome]) -> None:
        """Every scored candidate takes the cells in which it is the best."""
        elites = {o.id: o for archive in self.archives.values() for o in archive}
        elites |= {o.id: o for o in scored_of(outcomes)}
        if not elites:
            return
        candidates = [elites[id] for id in sorted(elites)]
        names = list(qualities(candidates[0]))
        table = np.array([list(qualities(o).values()) for o in candidates])
        broken = [o.fitness.violation for o in candidates if o.fitness is not None]
        self.archives = {
            name: [candidates[i] for i in best_of_cells(table, axis, self.p.bins, broken)]
            for axis, name in enumerate(names)
        }

    def role(self, generation: int) -> str:
        """The domain whose score is the quality in a generation."""
        return list(self.archives)[generation % len(self.archives)]

    def state(self) -> Mapping[str, object]:
        """Whose turn it is, and who holds the cells."""
        state: dict[str, object] = {"strategy": "map_elites"}
        if self.archives:
            state["quality"] = self.role(self._generation + 1)
            state["archives"] = {
                name: [str(elite.id) for elite in archive]
                for name, archive in self.archives.items()
            }
        return state

    def _chances(self, parents: Sequence[Outcome]) -> NDArray[np.float64]:
        """Elite sampling: ``(n_parents,)`` chances to be drawn."""
        table = np.array([list(qualities(o).values()) for o in parents])
        share = spread(table)
        weights = (self.p.low + share * (self.p.high - self.p.low)).prod(axis=1)
        chances: NDArray[np.float64] = weights / weights.sum()
        return chances

    def _child(
        self,
        parents: Sequence[Outcome],
        chances: NDArray[np.float64],
        known: set[Genome],
        random: np.random.Generator,
    ) -> Proposal:
        crossed = len(parents) > 1 and random.random() < self.p.crossover_rate
        drawn = random.choice(len(parents), size=1 + crossed, replace=False, p=chances)
        chosen = [parents[int(index)] for index in drawn]
        genome = chosen[0].genome
        if crossed:
            genome = cross(self.space, genome, chosen[1].genome, self.p.crossover, random)
        genome = mutate(
            self.space, genome, self.p.mutation_rate, self.p.sigma, random, surely=False
        )
        genome = unlike(genome, known, self.space, self.p.sigma, random)
        ids = [parent.id for parent in chosen]
        if crossed:
            return propose(genome, "crossover", "map_elites.crossover", ids)
        return propose(genome, "mutation", "map_elites.mutate", ids)


def qualities(outcome: Outcome) -> dict[str, float]:
    """What places a candidate: its domain scores, or its objectives where it has none."""
    if outcome.scores is not None and outcome.scores.domains:
        return {name: score.value for name, score in outcome.scores.domains.items()}
    assert outcome.fitness is not None
    return {f"objective_{i}": v for i, v in enumerate(outcome.fitness.objectives, start=1)}


def spread(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(n, n_domains)`` values brought to 0..1 column by column; equal ones are all 1."""
    # Halved first: the distance of two huge numbers may be no number.
    low, high = table.min(axis=0) / 2, table.max(axis=0) / 2
    width = high - low
    return np.where(width > 0, (table / 2 - low) / np.where(width > 0, width, 1.0), 1.0)


def best_of_cells(
    table: NDArray[np.float64], axis: int, bins: int, broken: Sequence[float]
) -> list[int]:
    """Rows that are the best of their cell; of equal ones the first.

    Args:
        table: ``(n, n_domains)`` scores.
        axis: The domain that is the quality; the others are the behaviour.
        bins: Steps of each behaviour axis, between the least and the largest value.
        broken: ``(n,)`` violations; less of them goes before quality.

    Returns:
        Row numbers in the order of the table.
    """
    steps = np.minimum((spread(table) * bins).astype(int), bins - 1)
    cells = np.delete(steps, axis, axis=1)
    merits = [(-broken[row], table[row, axis]) for row in range(len(table))]
    best: dict[tuple[int, ...], int] = {}
    for row, cell in enumerate(map(tuple, cells.tolist())):
        if cell not in best or merits[row] > merits[best[cell]]:
            best[cell] = row
    return sorted(best.values())
