"""``nsga2``: several objectives at once, towards all of the best trade-offs.

Source: Deb, Pratap, Agarwal and Meyarivan, A fast and elitist multiobjective genetic algorithm:
NSGA-II, IEEE TEC 6(2), 2002; ranking, crowding and operators are those of the library pymoo.

Generation 0 is the recipe's initial genome and uniform samples. After each generation the
``population`` best of parents and children together become parents: by front first (how many
others dominate it), by distance from their neighbours on the front second. Parents of children win
binary tournaments. Real numbers are crossed by simulated binary crossover and mutated
polynomially (log genes in log space), whole numbers the same and rounded, choices are swapped and
redrawn. Children that equal a parent or each other are made again, as far as the space allows.
Candidates that break a constraint survive and win by how little they break it, after all that
break none (section VI of the paper). Failed candidates are never parents.

It needs two objectives or more: ``search.objectives: [code, math]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evomerge_compiler.candidate import CandidateId, Outcome, Proposal
from evomerge_compiler.gene import Gene
from evomerge_compiler.gene_units import from_unit, index_of, to_unit
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.recipe_schema import Number
from evomerge_compiler.strategies.base import Parameters, Search, scored_of, strategy
from evomerge_compiler.strategies.operators import (
    TRIES,
    Flat,
    both_complete,
    first_generation,
    propose,
    rng,
)
from evomerge_compiler.yamlio import Scalar


class Nsga2Parameters(Parameters):
    """The numbers of the operators; the defaults are pymoo's."""

    crossover_rate: Number = Field(0.9, ge=0, le=1, description="share of pairs that are crossed")
    crossover_eta: Number = Field(15.0, ge=1, description="larger: children nearer to parents")
    mutation_rate: Number | None = Field(
        None,
        gt=0,
        le=1,
        description="chance of each number to change, 1 / their number if left out; a choice is "
        "drawn again with at most 0.5, which is also its chance if left out",
    )
    mutation_eta: Number = Field(20.0, ge=1, le=100, description="larger: smaller mutations")


@strategy("nsga2")
class Nsga2(Search):
    """Fronts of what nothing else beats in every objective."""

    summary = "several objectives at once: non-dominated sorting and crowding (NSGA-II)"
    parameters = Nsga2Parameters
    min_objectives = 2
    max_objectives = None
    p: Nsga2Parameters

    def __init__(
        self, space: GenomeSpace, population: int, seed: int, parameters: Nsga2Parameters
    ) -> None:
        super().__init__(space, population, seed, parameters)
        # Survivors with the numbers that tournaments compare.
        self.parents: list[Outcome] = []
        self._ranks: list[int] = []
        self._crowding: list[float] = []

    def propose(self, generation: int) -> list[Proposal]:
        """Children of the survivors."""
        if not self.parents or not self.space.coordinates:
            return first_generation(self.space, self.population, self.seed, generation, "nsga2")
        random = rng(self.seed, generation, 0)
        known = {outcome.genome for outcome in self.parents}
        proposals: list[Proposal] = []
        for attempt in range(TRIES):
            for genome, parents in self._children(self.population - len(proposals), random):
                # A small space has no new genomes left: then the last attempt stands.
                if genome not in known or attempt == TRIES - 1:
                    known.add(genome)
                    proposals.append(propose(genome, "crossover", "nsga2.mate", parents))
            if len(proposals) == self.population:
                break
        return proposals

    def learn(self, generation: int, outcomes: Sequence[Outcome]) -> None:
        """Keeps the best of parents and children."""
        # The latest score of equal genomes counts, so that no genome holds two places.
        pool = {outcome.genome: outcome for outcome in [*self.parents, *scored_of(outcomes)]}
        if not pool:
            return
        candidates = list(pool.values())
        population = _population(candidates)
        kept = _survival().do(
            _problem([]),
            population,
            n_survive=self.population,
            random_state=rng(self.seed, generation, self.population),
        )
        self.parents = [candidates[i] for i in kept.get("index")]
        feasible = [bool(fits) for fits in kept.get("feas")]
        # The library ranks feasible ones only.
        self._ranks = [
            int(one.get("rank")) if fits else self.population
            for one, fits in zip(kept, feasible, strict=True)
        ]
        self._crowding = [
            float(one.get("crowding")) if fits else 0.0
            for one, fits in zip(kept, feasible, strict=True)
        ]

    def state(self) -> Mapping[str, object]:
        """The first front with its objectives, and the other parents."""
        front, others = {}, []
        for outcome, rank in zip(self.parents, self._ranks, strict=True):
            assert outcome.fitness is not None
            if rank == 0:
                front[str(outcome.id)] = list(outcome.fitness.objectives)
            else:
                others.append(str(outcome.id))
        return {"strategy": "nsga2", "front": front, "others": others}

    def _children(
        self, n: int, random: np.random.Generator
    ) -> list[tuple[Genome, tuple[CandidateId, CandidateId]]]:
        """``n`` children, each with its parents."""
        pairs = self._pairs((n + 1) // 2, random)
        genes = [coordinate.gene for coordinate in self.space.coordinates]
        matings = []
        for a, b in pairs:
            flats = both_complete(self.space, a.genome, b.genome)
            matings.append([_individual(genes, flat) for flat in flats])
        children = self._mating().do(
            _problem(genes), matings, 2 * len(pairs), parents=True, random_state=random
        )
        out = []
        for index, child in enumerate(children[:n]):
            # pymoo lists the first children of all pairs, then the second ones.
            a, b = pairs[index % len(pairs)]
            flat = [_value(gene, child.X[i]) for i, gene in enumerate(genes)]
            out.append((self.space.from_flat(flat), (a.id, b.id)))
        return out

    def _pairs(self, n: int, random: np.random.Generator) -> list[tuple[Outcome, Outcome]]:
        """Winners of binary tournaments: by dominance first, by crowding second."""
        from pymoo.algorithms.moo.nsga2 import binary_tournament
        from pymoo.operators.selection.tournament import TournamentSelection

        population = _population(self.parents)
        population.set("rank", self._ranks)
        population.set("crowding", self._crowding)
        rules = SimpleNamespace(tournament_type="comp_by_dom_and_crowding", random_state=random)
        if len(self.parents) == 1:
            return [(self.parents[0], self.parents[0])] * n
        chosen = TournamentSelection(func_comp=binary_tournament).do(
            None, population, n, 2, to_pop=False, random_state=random, algorithm=rules
        )
        return [(self.parents[a], self.parents[b]) for a, b in chosen.tolist()]

    def _mating(self) -> Any:
        from pymoo.core.mixed import MixedVariableMating
        from pymoo.core.variable import Choice, Integer, Real
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.crossover.ux import UX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.mutation.rm import ChoiceRandomMutation
        from pymoo.operators.repair.rounding import RoundingRepair

        cross = {"prob": self.p.crossover_rate, "eta": self.p.crossover_eta}
        change = {"prob_var": self.p.mutation_rate, "eta": self.p.mutation_eta}
        whole = {"vtype": float, "repair": RoundingRepair()}
        return MixedVariableMating(
            eliminate_duplicates=None,  # genomes are compared as they are written
            crossover={
                Real: SBX(**cross),
                Integer: SBX(**cross, **whole),
                Choice: UX(prob=self.p.crossover_rate),
            },
            mutation={
                Real: PM(**change),
                Integer: PM(**change, **whole),
                Choice: ChoiceRandomMutation(prob_var=self.p.mutation_rate),
            },
        )


# -- to pymoo and back ---------------------------------------------------------------------
# Real numbers are units, whole numbers themselves, choices their places in the list.


def _is_whole(gene: Gene) -> bool:
    return gene.kind == "int" and not gene.log


def _problem(genes: Sequence[Gene]) -> Any:
    """The variables, as pymoo's operators want to see them, and that there are constraints."""
    from pymoo.core.problem import Problem
    from pymoo.core.variable import Choice, Integer, Real

    variables: dict[int, object] = {}
    for index, gene in enumerate(genes):
        if gene.kind == "choice":
            variables[index] = Choice(options=list(range(len(gene.choices))))
        elif _is_whole(gene):
            variables[index] = Integer(bounds=(int(gene.low), int(gene.high)))
        else:
            variables[index] = Real(bounds=(0.0, 1.0))
    return Problem(vars=variables, n_ieq_constr=1)


def _individual(genes: Sequence[Gene], flat: Flat) -> Any:
    from pymoo.core.individual import Individual

    values: dict[int, float] = {}
    for index, (gene, value) in enumerate(zip(genes, flat, strict=True)):
        if gene.kind == "choice":
            values[index] = index_of(gene, value)
        elif _is_whole(gene):
            values[index] = int(value)  # type: ignore[arg-type]
        else:
            values[index] = to_unit(gene, value)
    return Individual(X=values)


def _value(gene: Gene, at: Any) -> Scalar:
    if gene.kind == "choice":
        return gene.choices[int(at)]
    return int(at) if _is_whole(gene) else from_unit(gene, float(at))


def _population(outcomes: Sequence[Outcome]) -> Any:
    """Outcomes as a pymoo population: objectives, which pymoo minimises, violation, place."""
    from pymoo.core.population import Population

    scored = [o.fitness for o in outcomes if o.fitness is not None]
    objectives: NDArray[np.float64] = np.array([[-v for v in f.objectives] for f in scored])
    violations: NDArray[np.float64] = np.array([[f.violation] for f in scored])
    places = np.arange(len(outcomes))
    return Population.new("F", objectives, "G", violations, "index", places)


def _survival() -> Any:
    from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

    return RankAndCrowding()
