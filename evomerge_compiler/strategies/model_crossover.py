"""Crossover of models, beside any strategy: candidates become the models of other candidates.

Of each generation after the first, a share of the slots goes to children of two candidates: a
split-point SLERP of their models (template ``split_slerp``), so that recipes compose. The strategy
has the other slots, and neither asks for crossings nor is told of them.

Parents come from an archive by competition and attraction, as in M2N2 (Abrantes, Lange and Tang,
Competition and attraction improve model fusion, arXiv:2508.16204). Every search item is a resource
that is shared among those that answer it. With ``s_ij`` the score of candidate i on item j and
``z_j = sum_k s_kj`` over the archive:

    competition    f_i = sum_j c_j s_ij / z_j                           decides who stays, and is
                                                                        the chance to be parent A
    attraction     g_AB = sum_j c_j max(s_Bj - s_Aj, 0) / z_j           the chance to be parent B

All items of a domain share a capacity ``c_j`` of 1 equally. The cut and the place t on the arc are
uniform draws; behind the cut the child is at 1 - t.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evomerge_compiler.candidate import Outcome, Proposal
from evomerge_compiler.crossing import SPLIT_SLERP, Crossing, crossing
from evomerge_compiler.genome import GenomeSpace
from evomerge_compiler.strategies.base import Strategy, check_told, feasible_of
from evomerge_compiler.strategies.operators import different, propose, rng, sample_genome

Array = NDArray[np.float64]
OPERATOR = "model_crossover.split_slerp"


class ModelCrossover:
    """A :class:`~evomerge_compiler.strategies.base.Strategy` with crossings of models beside it.

    Args:
        inner: The strategy, whose population is smaller by ``n_children``.
        space: The experiment's.
        n_children: Crossings in a generation.
        archive: Candidates that parents are drawn from.
        seed: The recipe's.
    """

    def __init__(
        self, inner: Strategy, space: GenomeSpace, n_children: int, archive: int, seed: int
    ) -> None:
        self.inner, self.space, self.seed = inner, space, seed
        self.n_children, self.size = n_children, archive
        self.archive: list[Outcome] = []
        # What fills the slots while there is nobody to cross; the strategy did not ask for it.
        self._samples: list[Proposal] = []
        self._n_asked = 0

    def ask(self, generation: int) -> list[Proposal]:
        """The strategy's proposals, then the crossings.

        Raises:
            RuntimeError: It is not this generation's turn.
        """
        proposals = self.inner.ask(generation)
        self._n_asked = len(proposals) + self.n_children
        slots = range(len(proposals), self._n_asked)
        if len(self.archive) > 1:
            self._samples = []
            return [*proposals, *(self._child(generation, slot) for slot in slots)]
        self._samples = [self._sampled(generation, slot) for slot in slots]
        return [*proposals, *self._samples]

    def tell(self, generation: int, outcomes: Sequence[Outcome]) -> None:
        """What became of them, in slot order.

        Raises:
            RuntimeError: ``ask`` was not called for this generation.
            ValueError: As of every strategy.
        """
        check_told(generation, self._n_asked, outcomes)
        self.inner.tell(generation, self._inner_outcomes(generation, outcomes))
        self._remember(outcomes)

    def state(self) -> Mapping[str, object]:
        """The strategy's, and who may become a parent, with the chance to be the first one."""
        shares: dict[str, float] = {}
        if self.archive:
            chances = _chances(competition(resources(self.archive))).tolist()
            shares = {
                str(outcome.id): float(f"{chance:.4g}")
                for outcome, chance in zip(self.archive, chances, strict=True)
            }
        return {**self.inner.state(), "model_crossover": shares}

    # -- making ---------------------------------------------------------------------------------

    def _sampled(self, generation: int, slot: int) -> Proposal:
        genome = sample_genome(self.space, rng(self.seed, generation, slot))
        return propose(genome, "sampled", "model_crossover.sample")

    def _child(self, generation: int, slot: int) -> Proposal:
        random = rng(self.seed, generation, slot)
        first, second = (self.archive[at] for at in draw_parents(self.archive, random))
        place = random.random()
        flat = [random.random(), place, 1.0 - place]
        child = crossing(SPLIT_SLERP, [first.id, second.id], flat)
        return propose(child, "crossover", OPERATOR, child.models)

    # -- learning -------------------------------------------------------------------------------

    def _inner_outcomes(self, generation: int, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """What the strategy asked for, or a person wrote in its place."""
        own = [outcome for outcome in outcomes if not _is_child(outcome)]
        if generation == 0:
            return own  # to a strategy, samples are as welcome as seeds
        sampled = {proposal.genome for proposal in self._samples}
        # A sample that a person changed is known by its place alone: samples come last.
        order = sorted(range(len(own)), key=lambda at: (own[at].genome in sampled, at))
        kept = sorted(order[: len(own) - len(self._samples)])
        return [own[at] for at in kept]

    def _remember(self, outcomes: Sequence[Outcome]) -> None:
        """Takes new candidates in one by one; each time the one that competes worst goes."""
        known = [outcome for outcome in outcomes if outcome.complete]
        for outcome in known:
            archive = different([*self.archive, outcome])
            # What keeps to the constraints never leaves for what does not.
            archive = feasible_of(archive) or archive
            if len(archive) > self.size:
                archive.pop(int(np.argmin(competition(resources(archive)))))
            self.archive = archive


def _is_child(outcome: Outcome) -> bool:
    genome = outcome.genome
    return isinstance(genome, Crossing) and genome.template == SPLIT_SLERP


# --------------------------------------------------------------------------------------


def resources(outcomes: Sequence[Outcome]) -> Array:
    """What each candidate gets of what they compete for, ``(n_outcomes, n_items)``.

    Args:
        outcomes: At least one, all with a fitness.
    """
    scores, capacity = _scores(outcomes)
    scores = scores - np.minimum(scores.min(axis=0), 0.0)
    taken = scores.sum(axis=0)
    shares: Array = np.divide(scores, taken, out=np.zeros_like(scores), where=taken > 0)
    return capacity * shares


def competition(shares: Array) -> Array:
    """``(n_outcomes,)`` what each gets in all, of ``(n_outcomes, n_items)`` shares."""
    return np.asarray(shares.sum(axis=1))


def draw_parents(outcomes: Sequence[Outcome], random: np.random.Generator) -> tuple[int, int]:
    """Indices of two different parents: one that competes well, one that is strong elsewhere."""
    shares = resources(outcomes)
    first = int(random.choice(len(outcomes), p=_chances(competition(shares))))
    attraction = np.maximum(shares - shares[first], 0.0).sum(axis=1)
    if not attraction.any():
        attraction = np.ones(len(outcomes))
    attraction[first] = 0.0
    return first, int(random.choice(len(outcomes), p=_chances(attraction)))


def _chances(worth: Array) -> Array:
    """Chances in proportion to what each is worth; equal ones where nothing is worth anything."""
    total = float(worth.sum())
    if total <= 0:
        return np.full(len(worth), 1 / len(worth))
    chances: Array = worth / total
    return chances


def _scores(outcomes: Sequence[Outcome]) -> tuple[Array, Array]:
    """``(n_outcomes, n_items)`` scores and ``(n_items,)`` capacities.

    Without the same items in all of them, whole domains are what they compete for, or else
    objectives.
    """
    sets = [
        {domain: items.item_set for domain, items in o.scores.items.items()} if o.scores else {}
        for o in outcomes
    ]
    tables = [o.scores for o in outcomes if o.scores is not None]
    if sets[0] and all(found == sets[0] for found in sets):
        parts = [np.array([t.items[d].values for t in tables], dtype=float) for d in sets[0]]
        capacity = [np.full(part.shape[1], 1 / part.shape[1]) for part in parts]
        return np.concatenate(parts, axis=1), np.concatenate(capacity)
    if len(tables) == len(outcomes):
        found = np.array([[s.value for s in t.domains.values()] for t in tables], dtype=float)
    else:
        found = np.array([o.fitness.objectives for o in outcomes if o.fitness], dtype=float)
    return found, np.ones(found.shape[1])
