"""Phases: one strategy after the other, each in the genes that its phase moves.

A phase's strategy sees a space of its genes alone, whose initial genome is the best so far, and
never learns of the genes that are held. What leaves here and what comes back are genomes of the
whole space. So parameter space and data-flow space are searched in turn by any strategy, as in
Akiba et al., Evolutionary Optimization of Model Merging Recipes, arXiv:2403.13187, section 3.3.

The best that a phase starts from is a parent of what the phase draws, for the genes held are its.
A genome that a person wrote with other values of held genes is no point of the phase's space: its
strategy is told that there is no score, and the next phase may start from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evomerge_compiler import fitness as fit
from evomerge_compiler.candidate import Failure, Outcome, Proposal, genome_hash
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.recipe_phases import phase_of, starts
from evomerge_compiler.recipe_schema import PhaseSpec
from evomerge_compiler.strategies.base import Strategy, feasible_of, merit
from evomerge_compiler.yamlio import Scalar

OUTSIDE = Failure("compile", "invalid", "holds other values than the phase")
# Makes the strategy of a phase, given its index, its space and its seed.
Maker = Callable[[int, GenomeSpace, int], Strategy]


@dataclass(frozen=True)
class Subspace:
    """Some genes of a space, all others held.

    Attributes:
        whole: The space.
        space: Its moving genes; they start where the held genome has them.
        held: ``(n_coordinates,)`` values of all coordinates of the whole.
    """

    whole: GenomeSpace
    space: GenomeSpace
    held: tuple[Scalar, ...]

    @classmethod
    def of(cls, whole: GenomeSpace, moving: Sequence[str], around: Genome) -> Subspace:
        """The space of the genes ``moving`` around a genome of the whole."""
        held = whole.complete(around)
        values = whole.nested(held)
        still = {name: gene for name, gene in whole.by_name.items() if name not in moving}
        space = GenomeSpace(
            genes=tuple(
                replace(gene, init=values[gene.name])
                for gene in whole.genes
                if gene.name in moving
            ),
            fixed={**whole.fixed, **{name: values[name] for name in still}},
            fixed_genes={**whole.fixed_genes, **still},
            models=whole.models,
            n_groups=whole.n_groups,
        )
        return cls(whole, space, held)

    def widen(self, genome: Genome) -> Genome:
        """A genome of the subspace as one of the whole."""
        moved = iter(self.space.complete(genome))
        return self.whole.from_flat(
            [
                next(moved) if coordinate.gene.name in self.space.by_name else value
                for coordinate, value in zip(self.whole.coordinates, self.held, strict=True)
            ]
        )

    def narrow(self, genome: Genome) -> Genome | None:
        """A genome of the whole as one of the subspace, None where a held gene differs."""
        moving = self.space.by_name
        inside = Genome({n: v for n, v in genome.values.items() if n in moving})
        inside = self.space.from_flat(self.space.complete(inside))
        return inside if self.widen(inside) == genome else None


class Phases:
    """A :class:`~evomerge_compiler.strategies.base.Strategy` made of several.

    Args:
        space: The whole space.
        phases: What each phase moves, and for how long; the last goes on.
        seed: The recipe's; every phase has one of its own that follows from it.
        make: Makes the strategy of a phase.
    """

    def __init__(
        self, space: GenomeSpace, phases: Sequence[PhaseSpec], seed: int, make: Maker
    ) -> None:
        self.whole, self.phases, self.seed, self._make = space, phases, seed, make
        self._best: Outcome | None = None
        self._front: list[Outcome] = []
        self._n_asked = 0
        self._begin(0)

    def _begin(self, index: int) -> None:
        """Turns to a phase, from the best so far."""
        self.index = index
        self.start = self._best
        around = self.whole.initial() if self.start is None else self.start.genome
        self.sub = Subspace.of(self.whole, self.phases[index].genes, around)
        # With the recipe's own seed, two phases would draw the same numbers.
        seed = self.seed
        if index:
            seed = int(np.random.SeedSequence((self.seed, index)).generate_state(1)[0])
        self.inner = self._make(index, self.sub.space, seed)

    def ask(self, generation: int) -> list[Proposal]:
        """The proposals of the phase's strategy, as genomes of the whole space.

        Raises:
            RuntimeError: It is not this generation's turn.
        """
        asked = self.inner.ask(generation - starts(self.phases)[self.index])
        self._n_asked = len(asked)
        return [self._widened(proposal) for proposal in asked]

    def _widened(self, proposal: Proposal) -> Proposal:
        genome = self.sub.widen(proposal.genome)
        parents = proposal.lineage.parents
        if self.start is not None and not parents:
            parents = (self.start.id,)
        lineage = replace(proposal.lineage, parents=parents, asked=genome_hash(genome))
        return replace(proposal, genome=genome, lineage=lineage)

    def tell(self, generation: int, outcomes: Sequence[Outcome]) -> None:
        """What became of them, in slot order; the last of a phase begins the next.

        Raises:
            RuntimeError: ``ask`` was not called for this generation.
            ValueError: As of every strategy.
        """
        told = []
        for index, outcome in enumerate(outcomes):
            genome = self.sub.narrow(outcome.genome)
            if genome is not None:
                told.append(replace(outcome, genome=genome))
            elif index < self._n_asked:
                start = self.sub.space.initial()
                told.append(Outcome(outcome.id, start, None, outcome.failure or OUTSIDE))
        self.inner.tell(generation - starts(self.phases)[self.index], told)
        self._remember(outcomes)
        following = phase_of(self.phases, generation + 1)
        if following is not None and following != self.index:
            self._begin(following)

    def _remember(self, outcomes: Sequence[Outcome]) -> None:
        """The best so far; of several objectives the knee of the front. Estimates do not count."""
        scored = [outcome for outcome in outcomes if outcome.complete]
        if any(o.fitness is not None and len(o.fitness.objectives) > 1 for o in scored):
            self._front = fit.front([*self._front, *feasible_of(scored)])
        known = [self._best] if self._best is not None else []
        # Of equal ones the earlier.
        best = min([*known, *scored], key=merit, default=None)
        self._best = fit.knee(self._front) or best

    def state(self) -> Mapping[str, object]:
        """Which phase it is, what it moves, what it started from, and its strategy's state."""
        phase = {
            "phase": self.phases[self.index].name,
            "moves": list(self.phases[self.index].genes),
            "starts_from": None if self.start is None else str(self.start.id),
        }
        return {**phase, **self.inner.state()}
