"""Bounds on what a search will do: items of a race and of the shortlist, parents on disk.

What is dropped, and who is crossed with whom, is not known before. What it can come to at least
and at most follows from the recipe, the sizes of its tasks and models, and how far the run is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from evomerge_compiler import needs
from evomerge_compiler.crossing import LINEAR, N_PARENTS, SPLIT_SLERP
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.plan_time import CandidateTime
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.recipe_schema import SearchSpec
from evomerge_compiler.strategies.factory import n_crossings, recovers_models


@dataclass(frozen=True)
class RaceRange:
    """Items that candidates still to come are asked in a search that races.

    Attributes:
        racing: Candidates that race.
        whole: Candidates that are asked everything, for there is no rival yet.
        rung: Items a task at the first look.
        first_look: Items of a candidate that is dropped there, over all tasks.
        items: All items of a candidate.
        audited: Dropped candidates that are asked everything at the end, at most.
    """

    racing: int
    whole: int
    rung: int
    first_look: int
    items: int
    audited: int

    @property
    def at_most(self) -> int:
        """Items where nothing is dropped."""
        return (self.racing + self.whole) * self.items

    @property
    def at_least(self) -> int:
        """Items where all that race are dropped at their first look."""
        return self.whole * self.items + self.racing * self.first_look

    @property
    def saves(self) -> bool:
        """Whether a look comes before the last item, so that something can be dropped."""
        return self.first_look < self.items

    @property
    def audit_items(self) -> int:
        """Items that the check of the estimates adds at the end: each is asked all of them."""
        return self.audited * self.items


def race_range(
    recipe: Recipe, evaluation: EvaluationPlan, candidates: int, calibrating: int
) -> RaceRange | None:
    """What racing may save; None where candidates do not race.

    Args:
        recipe: The experiment.
        evaluation: How candidates are scored.
        candidates: Still to come.
        calibrating: Those of them that have no rival.
    """
    assert recipe.evaluation is not None
    spec = recipe.evaluation.racing
    if spec is None:
        return None
    items, rung = needs.n_items(evaluation), spec.rungs[0]
    limit = rung if evaluation.limit is None else min(rung, evaluation.limit)
    first_look = needs.n_items(replace(evaluation, limit=limit))
    racing = candidates - calibrating
    audited = min(spec.audit, racing)
    return RaceRange(racing, calibrating, rung, first_look, items, audited)


@dataclass(frozen=True)
class ShortlistItems:
    """What the best of a search are asked at its end.

    Attributes:
        candidates: How many of them, at most.
        items: All search items, of each.
        searched: What the search asks of each.
    """

    candidates: int
    items: int
    searched: int


def shortlist_items(
    recipe: Recipe, evaluation: EvaluationPlan, candidates: int
) -> ShortlistItems | None:
    """What the shortlist is asked; None where there is none, or the search asks everything.

    Args:
        recipe: The experiment.
        evaluation: How candidates are scored.
        candidates: Of the whole search, at most.
    """
    assert recipe.search is not None
    n = min(recipe.search.n_shortlisted, candidates)
    items, searched = needs.n_items(replace(evaluation, limit=None)), needs.n_items(evaluation)
    return ShortlistItems(n, items, searched) if n and items > searched else None


@dataclass(frozen=True)
class FinalItems:
    """What is asked when a search has ended, besides its shortlist.

    Attributes:
        models: Base and parents, asked all items of search and held-out split.
        finalists: Candidates asked the held-out items, at most; the uniform merge is asked both.
        control: Random candidates, asked what those of the search are.
        searched: What the search asks of a candidate.
        held_out: Held-out items.
    """

    models: int
    finalists: int
    control: int
    searched: int
    held_out: int

    def seconds(self, time: CandidateTime) -> float:
        """What all that takes with one worker."""
        both = time.scored(self.searched) + time.scored(self.held_out)
        uniform = time.merge_s + both
        finalists = self.finalists * time.asked(self.held_out)
        return self.models * both + uniform + finalists + self.control * time.seconds


def final_items(recipe: Recipe, evaluation: EvaluationPlan, candidates: int) -> FinalItems:
    """What the end of a search asks.

    Args:
        recipe: The experiment.
        evaluation: How candidates are scored.
        candidates: Of the whole search, at most.
    """
    search = recipe.search
    assert search is not None
    whole = needs.n_items(replace(evaluation, limit=None, holdout=0.0))
    held_out = whole - needs.n_items(replace(evaluation, limit=None))
    finalists = min(search.finalists, candidates)
    control = candidates if search.control else 0
    models = len(recipe.all_models)
    return FinalItems(models, finalists, control, needs.n_items(evaluation), held_out)


@dataclass(frozen=True)
class WrittenParents:
    """Candidates that others may read from disk.

    Attributes:
        at_most: How many may be written.
        bytes_each: Size of each.
        per_candidate: How many one candidate reads at most.
        since: The first generation whose chains can be long enough; None where none can.
        max_stages: Merges in one chain at most; None for no limit.
    """

    at_most: int
    bytes_each: int
    per_candidate: int
    since: int | None
    max_stages: int | None


def written_parents(
    recipe: Recipe, *, first: int, generations: int, n_stages: int, bytes_each: int
) -> WrittenParents | None:
    """What crossings may write to ``models/parents/``; None where no candidates are crossed.

    Args:
        recipe: The experiment.
        first: The generation that comes next.
        generations: In all.
        n_stages: Merges of a candidate that is no crossing.
        bytes_each: Size of a merged model.
    """
    assert recipe.search is not None
    search, limit = recipe.search, recipe.search.model_crossover.max_stages
    per_generation = _parents(search)
    if not per_generation:
        return None
    most = N_PARENTS[LINEAR if recovers_models(search) else SPLIT_SLERP][1]
    since = _first_too_long(n_stages, most, limit, generations)
    n = 0
    if since is not None:
        # Parents are of earlier generations, and each is written once.
        before = search.population * (generations - 1)
        n = max(0, min(per_generation * (generations - max(first, since)), before))
    return WrittenParents(n, bytes_each, most, since, limit)


def _parents(search: SearchSpec) -> int:
    """Parents that the crossings of a generation have at most."""
    children = n_crossings(search)
    # elite_recovery has each candidate in one triple at most.
    recovered = search.population - children if recovers_models(search) else 0
    return N_PARENTS[SPLIT_SLERP][1] * children + recovered


def _first_too_long(n_stages: int, most: int, limit: int | None, generations: int) -> int | None:
    """The first generation in which a chain may be longer than allowed.

    The longest chain of a generation is a crossing of the ``most`` longest of all before.
    """
    if limit is None:
        return None
    longest = n_stages
    for generation in range(1, generations):
        longest = 1 + most * longest
        if longest > limit:
            return generation
    return None
