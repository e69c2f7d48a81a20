"""What the generations of a search add up to: its best, its front, what a claim may rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evomerge_compiler import fitness as fit
from evomerge_compiler import recipe_phases
from evomerge_compiler.candidate import Fitness, Outcome, Scores
from evomerge_compiler.recipe_schema import SearchSpec
from evomerge_compiler.strategies.base import feasible_of, merit


@dataclass(frozen=True)
class ItemCount:
    """Items that candidates were asked.

    Attributes:
        asked: Over all candidates that were scored here, equal merges once.
        of: What they come to where every candidate is asked everything.
    """

    asked: int = 0
    of: int = 0


@dataclass(frozen=True)
class Ending:
    """How an evolution ended.

    Attributes:
        reason: ``generations``, ``plateau``, ``candidates`` or ``time``.
        best: The best outcome, None when nothing could be scored or nothing keeps to the
            constraints; of several objectives the knee of the front.
        n_candidates: Candidates over all generations.
        failures: Failure reason to count.
        n_reused: Candidates that equalled one scored before, in this process.
        n_infeasible: Scored candidates that break a constraint.
        finalists: Those that are tested on held-out items, best first.
        front: Of several objectives what nothing beats; else empty.
        dropped: Those that a race ended, equal merges once; their fitness is an estimate.
        items: What was asked.
        spread: Of the front, those that are measured on held-out items beside the knee.
        shortlist: Those that may be asked all search items, best first; of a front the knee first.
    """

    reason: str
    best: Outcome | None
    n_candidates: int
    failures: Mapping[str, int]
    n_reused: int
    n_infeasible: int = 0
    finalists: tuple[Outcome, ...] = ()
    front: tuple[Outcome, ...] = ()
    dropped: tuple[Outcome, ...] = ()
    items: ItemCount = ItemCount()
    spread: tuple[Outcome, ...] = ()
    shortlist: tuple[Outcome, ...] = ()


@dataclass
class History:
    """Adds up generations.

    Attributes:
        search: The recipe's.
        best: The best feasible outcome so far; of several objectives the knee of the front.
        front: Of several objectives what nothing beats so far; else empty.
        best_so_far: After each generation, the best value of each objective, feasible ones only.
        known: Scores by eval key: an equal candidate is never scored twice.
        leaders: The best few that were asked everything, of equal merges the first.
        answers: Scores with per-item results by eval key, of all that were asked everything here.
        dropped: Outcomes by eval key, of all that a race ended.
        items: What was asked.
    """

    search: SearchSpec
    best: Outcome | None = None
    front: list[Outcome] = field(default_factory=list)
    best_so_far: list[tuple[float, ...] | None] = field(default_factory=list)
    n_candidates: int = 0
    n_infeasible: int = 0
    n_reused: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    known: dict[str, tuple[Scores, Fitness]] = field(default_factory=dict)
    leaders: list[Outcome] = field(default_factory=list)
    answers: dict[str, Scores] = field(default_factory=dict)
    dropped: dict[str, Outcome] = field(default_factory=dict)
    items: ItemCount = ItemCount()

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Takes in a generation."""
        for outcome in outcomes:
            self.n_candidates += 1
            if outcome.failure is not None:
                reason = outcome.failure.reason
                self.failures[reason] = self.failures.get(reason, 0) + 1
            if outcome.fitness is not None:
                self.n_infeasible += not outcome.fitness.feasible
            self.know(outcome.scores, outcome.fitness)
            self._count(outcome)
        # An estimate is never the best of anything.
        feasible = [outcome for outcome in feasible_of(outcomes) if outcome.complete]
        self.leaders = self._best_of([*self.leaders, *feasible])
        if len(self.search.objectives) > 1:
            self.front = fit.front([*self.front, *feasible])
            self.best = fit.knee(self.front)
        elif self.leaders:
            self.best = self.leaders[0]
        rows = [o.fitness.objectives for o in feasible if o.fitness is not None]
        if self.best_so_far and self.best_so_far[-1] is not None:
            rows.append(self.best_so_far[-1])
        self.best_so_far.append(tuple(map(max, zip(*rows, strict=True))) if rows else None)

    def know(self, scores: Scores | None, value: Fitness | None) -> None:
        """Keeps scores for equal candidates to come."""
        if scores is not None and value is not None:
            self.known[scores.eval_key] = (scores, value)

    def _count(self, outcome: Outcome) -> None:
        """Keeps account of what was asked; an equal merge is asked nothing again."""
        scores = outcome.scores
        if scores is None or scores.told:
            return
        if scores.eval_key in self.answers or scores.eval_key in self.dropped:
            return
        asked = of = sum(score.n for score in scores.domains.values())
        if scores.race is not None:
            asked, of = scores.race.seen, scores.race.of
        self.items = ItemCount(self.items.asked + asked, self.items.of + of)
        if scores.complete:
            self.answers[scores.eval_key] = scores
        else:
            self.dropped[scores.eval_key] = outcome

    def _best_of(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """The best few; earlier ones go before later ones of the same merit."""
        best: dict[str, Outcome] = {}
        # Sorting is stable, and earlier generations come first.
        for outcome in sorted(outcomes, key=merit):
            assert outcome.scores is not None
            best.setdefault(outcome.scores.eval_key, outcome)
        return list(best.values())[: max(self.search.finalists, self.search.n_shortlisted)]

    def finalists(self) -> list[Outcome]:
        """The best few that the search cannot tell apart. A knee has no rivals: what is better in
        one objective is worse in another.
        """
        if self.best is None or self.front:
            return [] if self.best is None else [self.best]
        return tied(self.leaders, self.search.finalists)

    def spread(self) -> list[Outcome]:
        """Of the front as many as there may be finalists, the knee not counted."""
        return [] if self.best is None else spread_of(self.front, self.best, self.search.finalists)

    def shortlist(self) -> list[Outcome]:
        """The best few; of several objectives the knee and what the front spreads over."""
        if self.search.shortlist == 0 or self.best is None:
            return []
        n = self.search.n_shortlisted
        return (
            [self.best, *spread_of(self.front, self.best, n)] if self.front else self.leaders[:n]
        )

    def on_plateau(self) -> bool:
        """Whether no objective gained enough of late; of several phases only the last counts."""
        plateau = self.search.plateau
        # A phase begins with the best of the one before it.
        first = max(0, *(start - 1 for start in (0, *recipe_phases.starts(self.search.phases))))
        columns = [
            [None if row is None else row[index] for row in self.best_so_far[first:]]
            for index in range(len(self.search.objectives))
        ]
        return all(on_plateau(column, plateau.patience, plateau.threshold) for column in columns)

    def ending(self, reason: str) -> Ending:
        """What it all came to."""
        return Ending(
            reason,
            self.best,
            self.n_candidates,
            dict(sorted(self.failures.items())),
            self.n_reused,
            self.n_infeasible,
            tuple(self.finalists()),
            tuple(self.front),
            dropped=tuple(self.dropped.values()),
            items=self.items,
            spread=tuple(self.spread()),
            shortlist=tuple(self.shortlist()),
        )


def tied(best_first: Sequence[Outcome], n: int) -> list[Outcome]:
    """At most ``n`` of the best that cannot be told from the first: within its standard error."""
    first = best_first[0].fitness
    assert first is not None
    least = first.value - (first.stderr or 0.0)
    return [
        outcome
        for outcome in best_first[:n]
        if outcome.fitness is not None and outcome.fitness.value >= least
    ]


def spread_of(front: Sequence[Outcome], knee: Outcome, n: int) -> list[Outcome]:
    """At most ``n - 1`` of a front beside its knee: the two ends, and even steps between them.

    A front is the best of many in each of its points, so each looks better on search items than
    it is.
    """
    rest = [outcome for outcome in front if outcome is not knee]
    room = min(n - 1, len(rest))
    if room <= 1:
        return rest[:room]
    return [rest[round(step * (len(rest) - 1) / (room - 1))] for step in range(room)]


def on_plateau(best_so_far: Sequence[float | None], patience: int, threshold: float) -> bool:
    """Whether the best so far gained less than ``threshold``, relative, in ``patience``.

    Args:
        best_so_far: ``(n_generations,)`` best fitness after each generation.
        patience: Generations to look back; 0 never stops.
        threshold: Relative gain that counts as progress.
    """
    if patience == 0 or len(best_so_far) <= patience:
        return False
    now, then = best_so_far[-1], best_so_far[-1 - patience]
    if now is None or then is None:
        return False
    return now - then < threshold * abs(then) if then else now <= then
