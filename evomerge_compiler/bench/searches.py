"""One search with a budget of merges: a strategy by ask and tell, or ``cma.fmin2``.

The loop is that of :mod:`evomerge_compiler.evolution` without its run folder. What is paid for is
a merge that this search has not had before, since evomerge scores equal merges once. A generation
that the budget does not reach to the end of is scored as far as it does.

``cma.fmin2`` is driven as mergekit-evolve 0.1.5 drives it (``mergekit/scripts/evolve.py``): one
real number for each value of the genome, started at the plain genome with steps of 1/6, with the
library's own population and no bounds, its values brought into range by ``abs`` and a limit at 1.
That tool has no choices; here a choice is its number's place in the list, as in
:mod:`evomerge_compiler.gene_units`. It pays for every point, for it has no memory of merges, and
the first point that has no score ends it, with the best so far.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evomerge_compiler import fitness as fit
from evomerge_compiler.bench.kept_scores import KeptScores
from evomerge_compiler.candidate import CandidateId, Failure, Outcome, genome_hash
from evomerge_compiler.compiler import MergePlan, World, compile_recipe
from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.evolution import arrange
from evomerge_compiler.executors.base import JobResult
from evomerge_compiler.gene_units import from_unit, to_unit
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.strategies import Strategy
from evomerge_compiler.strategies.base import merit

# A search that asks for nothing new any more has converged.
MAX_GENERATIONS_WITHOUT_NEWS = 50
SIGMA = 1 / 6  # the default of mergekit-evolve's --sigma0


@dataclass(frozen=True)
class Lab:
    """What all searches share.

    Attributes:
        recipe: Says what a genome is and how merges are scored.
        world: Its models, as the compiler gathered them.
        budget: Merges that a search may have scored.
        shortlist: How many of its best are then asked all search items, as in
            :mod:`evomerge_compiler.shortlist`; 0 takes what the search found best.
    """

    recipe: Recipe
    world: World
    budget: int
    shortlist: int = 0

    @property
    def shares(self) -> dict[str, float]:
        """Domain to its share of the fitness."""
        assert self.recipe.evaluation is not None
        return fit.weights(self.recipe.evaluation)

    def value(self, result: JobResult) -> float:
        """The fitness of a result with one split.

        Raises:
            EvomergeError: It is a failure.
        """
        if result.failure is not None:
            raise EvomergeError(f"{result.failure.step} failed: {result.failure.message}")
        [scores] = result.scores.values()
        return fit.fitness(scores, self.shares).value


@dataclass
class Ledger:
    """The merges of one search: what was paid for, and what was best.

    Attributes:
        lab: What all searches share.
        scores: Scores merges.
        repeats_cost: Whether an equal merge is paid for again.
        history: Every outcome, in the order asked for, with its merge; None where there is none.
        n_paid: Merges paid for.
    """

    lab: Lab
    scores: KeptScores
    repeats_cost: bool = False

    def __post_init__(self) -> None:
        self.history: list[tuple[Outcome, MergePlan | None]] = []
        self.n_paid = 0
        self._known: set[str] = set()

    @property
    def spent(self) -> bool:
        """Whether the budget is used up."""
        return self.n_paid >= self.lab.budget

    @property
    def best(self) -> tuple[Outcome, MergePlan] | None:
        """The best on search items, with its merge; of equal ones the first."""
        return next(iter(self.leaders(1)), None)

    def leaders(self, n: int) -> list[tuple[Outcome, MergePlan]]:
        """At most ``n`` of the best on search items, with their merges; equal ones count once."""
        found: dict[str, tuple[Outcome, MergePlan]] = {}
        scored = [(o, plan) for o, plan in self.history if plan is not None and o.scored]
        for outcome, plan in sorted(scored, key=lambda pair: merit(pair[0])):
            found.setdefault(plan.merge_key, (outcome, plan))
        return list(found.values())[:n]

    def take(self, generation: int, genomes: Sequence[Genome]) -> list[Outcome]:
        """Scores a generation, or as much of it as the budget allows.

        Returns:
            An outcome for each genome, fewer once the budget is spent.
        """
        kept: list[tuple[Genome, MergePlan | Failure]] = []
        for genome in genomes:
            made = self._compiled(genome)
            key = genome_hash(genome) if isinstance(made, Failure) else made.merge_key
            costs = self.repeats_cost or key not in self._known
            if costs and self.spent:
                break
            self.n_paid += costs
            self._known.add(key)
            kept.append((genome, made))
        pairs = [(genome, made) for genome, made in kept if isinstance(made, MergePlan)]
        results = iter(
            self.scores.score([plan for _, plan in pairs], "search", [g for g, _ in pairs])
        )
        outcomes = []
        for slot, (genome, made) in enumerate(kept):
            failed = JobResult(failure=made) if isinstance(made, Failure) else None
            outcome = self._outcome(CandidateId(generation, slot), genome, failed or next(results))
            outcomes.append(outcome)
            self.history.append((outcome, made if isinstance(made, MergePlan) else None))
        return outcomes

    def _compiled(self, genome: Genome) -> MergePlan | Failure:
        try:
            return compile_recipe(self.lab.recipe, genome=genome, world=self.lab.world)
        except EvomergeError as error:
            return Failure("compile", "invalid", error.message)

    def _outcome(self, id: CandidateId, genome: Genome, result: JobResult) -> Outcome:
        if result.failure is not None:
            return Outcome(id, genome, None, result.failure)
        scores = result.scores["search"]
        return Outcome(id, genome, fit.fitness(scores, self.lab.shares), scores=scores)


def ask_and_tell(strategy: Strategy, ledger: Ledger) -> None:
    """Searches until the budget is spent, or nothing new is asked for any more."""
    idle = 0
    for generation in itertools.count():
        paid = ledger.n_paid
        genomes = [proposal.genome for proposal in arrange(strategy.ask(generation))]
        outcomes = ledger.take(generation, genomes)
        idle = 0 if ledger.n_paid > paid else idle + 1
        if ledger.spent or idle == MAX_GENERATIONS_WITHOUT_NEWS:
            return
        strategy.tell(generation, outcomes)


class _Over(Exception):
    """Leaves ``fmin2``: the budget is spent, or a point has no score."""


def fmin2(space: GenomeSpace, ledger: Ledger, seed: int) -> None:
    """Searches with ``cma.fmin2`` until the budget is spent, a point fails, or it stops itself.

    Args:
        space: The genomes.
        ledger: Takes the points; its repeats should cost.
        seed: Of the draws.
    """
    import cma  # type: ignore[import-untyped, unused-ignore]

    flat = space.initial_values
    start = [to_unit(c.gene, v) for c, v in zip(space.coordinates, flat, strict=True)]
    generations = itertools.count()
    # numpy's global generator, which the library would take, is shared by all threads.
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))

    def evaluate(points: Sequence[NDArray[np.float64]]) -> list[float]:
        outcomes = ledger.take(next(generations), [decoded(space, point) for point in points])
        losses = [-o.fitness.value for o in outcomes if o.fitness is not None]
        if len(losses) < len(points):
            raise _Over
        return losses

    options = {
        "maxfevals": ledger.lab.budget,
        "randn": lambda *shape: random.standard_normal(shape),
        "seed": np.nan,
        "verbose": -10,
        "verb_log": 0,
    }
    try:
        cma.fmin2(None, start, SIGMA, options, parallel_objective=evaluate)
    except _Over:
        return


def decoded(space: GenomeSpace, point: Sequence[float] | NDArray[np.float64]) -> Genome:
    """The genome of a point.

    Args:
        space: The genomes.
        point: ``(n_coordinates,)`` real numbers of any size.
    """
    units = np.minimum(np.abs(np.asarray(point, dtype=float)), 1.0)
    pairs = zip(space.coordinates, units, strict=True)
    return space.from_flat([from_unit(c.gene, float(unit)) for c, unit in pairs])
