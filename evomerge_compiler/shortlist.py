"""The best of a search are asked all search items before a claim is made of any of them.

With ``evaluation.limit`` a search asks few items, so the best of many candidates is mostly the
luckiest. All other search items lie idle, and held-out ones must not choose. So the best
``search.shortlist`` candidates are asked all search items, and finalists are chosen by these: the
last rounds of sequential halving, in which the few that are left get the larger part of the budget
(Karnin, Koren and Somekh, *Almost Optimal Exploration in Multi-Armed Bandits*, ICML 2013).

The answers stand in ``baselines/<ID>/full_search``. No file of a candidate changes, and what the
search was told stays what it was told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evomerge_compiler import baselines
from evomerge_compiler import fitness as fit
from evomerge_compiler.baselines import Contender
from evomerge_compiler.candidate import CandidateId, Outcome, Scores
from evomerge_compiler.evaluation.plugin import PREFIX
from evomerge_compiler.evaluation.spec import COMMAND_PREFIX
from evomerge_compiler.events import Observer
from evomerge_compiler.executors.base import Executor, Split
from evomerge_compiler.history import Ending, spread_of, tied
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.recipe_schema import SearchSpec
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.strategies.base import merit

FULL: Split = "full_search"


@dataclass(frozen=True)
class Listed:
    """A candidate that was asked all search items.

    Attributes:
        searched: What the search knew of it.
        full: The same candidate with scores and fitness on all search items.
        place: Its place in the search, 1 is the best; of a front the knee has 1.
    """

    searched: Outcome
    full: Outcome
    place: int


@dataclass(frozen=True)
class Shortlist:
    """What all search items say of the best of a search.

    Attributes:
        listed: Best on all search items first; those that could not be asked are left out.
        failed: Name of such a one to the reason.
        searched: What the search came to.
        ending: The same with best, finalists and spread as all search items have them.
        constraints: The recipe's, with their bounds on all search items.
        places: Name and split of the scores that it rests on, below ``baselines/``.
    """

    listed: tuple[Listed, ...]
    failed: Mapping[str, str]
    searched: Ending
    ending: Ending
    constraints: tuple[fit.Constraint, ...]
    places: frozenset[tuple[str, str]]

    def scores(self, id: CandidateId) -> Scores | None:
        """A candidate's scores on all search items."""
        return next((one.full.scores for one in self.listed if one.full.id == id), None)

    def plain(self) -> dict[str, object]:
        """What ``final.yaml`` holds."""
        rows = []
        for one in self.listed:
            searched, full = one.searched.fitness, one.full.fitness
            assert searched is not None and full is not None
            row: dict[str, object] = {
                "id": str(one.full.id),
                "place": one.place,
                "search": searched.value,
                FULL: full.value,
                "stderr": full.stderr,
            }
            rows.append(row if full.feasible else {**row, "violation": full.violation})
        leader = self.ending.best.id if self.listed and self.ending.best else None
        return {
            "leader": str(leader) if leader else None,
            "items": _n_items([one.searched for one in self.listed]),
            "of": _n_items([one.full for one in self.listed]),
            "candidates": rows,
        }


def contenders(recipe: Recipe, executor: Executor, ending: Ending) -> list[Contender]:
    """The candidates that are to be asked all search items; none where the search asked them.

    Args:
        recipe: The experiment, in its run.
        executor: Says whether that would be another evaluation.
        ending: What the search came to.
    """
    if not ending.shortlist or not _cut_short(recipe, ending.shortlist):
        return []
    out = [baselines.candidate(recipe, outcome, (FULL,)) for outcome in ending.shortlist]
    job = out[0].job
    return out if executor.eval_key(job, FULL) != executor.eval_key(job, "search") else []


def _cut_short(recipe: Recipe, outcomes: Sequence[Outcome]) -> bool:
    """Whether a limit may have left items unasked: it has not where it allows more than came."""
    assert recipe.evaluation is not None
    limit, tasks = recipe.evaluation.limit, recipe.evaluation.tasks
    # Programs know of no limit.
    limited = [d for d in tasks if not tasks[d].task.startswith((COMMAND_PREFIX, PREFIX))]
    found = [o.scores.domains for o in outcomes if o.scores is not None]
    return limit is not None and any(
        domains[domain].n >= limit for domains in found for domain in limited if domain in domains
    )


def ask(
    recipe: Recipe,
    folder: RunFolder,
    executor: Executor,
    ending: Ending,
    observers: Sequence[Observer] = (),
) -> Shortlist | None:
    """Asks the best of a search all search items; what an earlier call committed is taken.

    Args:
        recipe: The experiment, in its run.
        folder: Its run folder, held by this process.
        executor: Scores models.
        ending: What the search came to.
        observers: Are told of each candidate that was asked now.

    Returns:
        What they say; None where the search left nothing unasked, or no shortlist is wanted.

    Raises:
        MissingPrerequisite: A constraint is relative to a model that cannot be scored.
    """
    wanted = contenders(recipe, executor, ending)
    if not wanted:
        return None
    assert recipe.evaluation is not None and recipe.search is not None
    constraints, models = _constraints(recipe, folder, executor)
    scored, failed = baselines.score(folder, executor, wanted, observers)
    shares, listed = fit.weights(recipe.evaluation), []
    for place, (contender, outcome) in enumerate(zip(wanted, ending.shortlist, strict=True), 1):
        if contender.name in scored:
            full = scored[contender.name][FULL]
            value = fit.fitness(full, shares, recipe.search.objectives, constraints)
            listed.append(Listed(outcome, replace(outcome, scores=full, fitness=value), place))
    # Sorting is stable: of equal ones the search's favourite comes first.
    listed.sort(key=lambda one: merit(one.full))
    return Shortlist(
        tuple(listed),
        failed,
        ending,
        _decided(recipe.search, ending, listed),
        constraints,
        frozenset(baselines.places([*wanted, *models])),
    )


def _constraints(
    recipe: Recipe, folder: RunFolder, executor: Executor
) -> tuple[tuple[fit.Constraint, ...], list[Contender]]:
    """The constraints on all search items, and the models that had to be asked for them."""
    assert recipe.search is not None
    specs, models, scores = recipe.search.constraints, [], {}
    if fit.needs_models(specs):
        models = baselines.models(recipe, (FULL,))
        scores = baselines.search_scores(recipe, folder, executor, FULL)
    parents = {alias: scores[alias] for alias in recipe.models if alias in scores}
    return fit.bounds(specs, parents, scores.get(recipe.base)), models


def _decided(search: SearchSpec, ending: Ending, listed: Sequence[Listed]) -> Ending:
    """The ending with best, finalists and spread as all search items have them.

    What breaks a constraint on all search items comes after all that do not. Where nothing keeps
    to the constraints, the nearest is the best: on what the search asked, it kept to them.
    """
    if not listed:
        return ending
    full = [one.full for one in listed]
    feasible = [outcome for outcome in full if outcome.fitness and outcome.fitness.feasible]
    front = fit.front(feasible or full[:1]) if len(search.objectives) > 1 else []
    best = fit.knee(front) if front else full[0]
    assert best is not None
    finalists = [best] if ending.front else tied(feasible or [best], search.finalists)
    chosen = {one.full.id: one.searched for one in listed}

    def of(outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
        return tuple(chosen[outcome.id] for outcome in outcomes)

    return replace(
        ending,
        best=chosen[best.id],
        finalists=of(finalists),
        spread=of(spread_of(front, best, search.finalists)),
    )


def _n_items(outcomes: Sequence[Outcome]) -> int:
    """Items that each was asked; who was scored from outside was asked who knows what."""
    measured = [o.scores for o in outcomes if o.scores is not None and not o.scores.told]
    return max((sum(s.n for s in scores.domains.values()) for scores in measured), default=0)
