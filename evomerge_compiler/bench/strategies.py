"""Every strategy at an equal budget of merges, beside guessing and ``cma.fmin2``.

Each search of the quickstart recipe may have 200 merges scored on the 32 items a task that the
recipe limits it to, and ends as a run does: the best 8 of them are asked all search items, and the
best on these is its winner. That merge is then scored on all held-out items, which no search has
seen: this is the figure, a mean over seeds with Student's interval. Differences are of searches
with the same seed; seeds take turns over the strategies, so that an experiment that was cut short
compares equals.

The two best strategies are searched with again, from fresh seeds, and so is the control: the
best of several is partly the luckiest, and that half of it goes when the seeds are new.
"""

from __future__ import annotations

import queue
import statistics
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass

from evomerge_compiler import launch
from evomerge_compiler import recipe as recipes
from evomerge_compiler.baselines import SPLITS, uniform_plan
from evomerge_compiler.bench.figures import Figure, lead, mean
from evomerge_compiler.bench.kept_scores import KeptScores
from evomerge_compiler.bench.searches import Lab, Ledger, ask_and_tell, fmin2
from evomerge_compiler.bench.setting import Setting
from evomerge_compiler.bench.work import RECIPE
from evomerge_compiler.candidate import Outcome
from evomerge_compiler.compiler import MergePlan, gather
from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.shortlist import FULL
from evomerge_compiler.strategies import all_strategies

BUDGET, SHORTLIST, SEEDS, FRESH_SEED = 200, 8, 10, 11
CONTROL, RIVAL = "random", "cma.fmin2"
# nsga2 stands here with the one objective that the others have; a recipe gives it several.
STRATEGIES = ("elite_recovery", "tournament", "cma_es", "map_elites", "nsga2", "sobol", CONTROL)
ARMS = (*STRATEGIES, RIVAL)
N_CONFIRMED = 2
UNIT = "held-out score"
# Tiny sizes: a few items for search and end. Nearly all are search items then: no shortlist.
_QUICK = ("evaluation.limit=2", "evaluation.holdout=0.01")


@dataclass(frozen=True)
class Searched:
    """What one search came to.

    Attributes:
        search: Score of its winner on the items of the search.
        full_search: Its score on all search items; None where there was no shortlist.
        held_out: Its score on held-out items.
        n_merges: Merges paid for.
        n_asked: Genomes asked for.
        n_failed: Those without a score.
    """

    search: float
    full_search: float | None
    held_out: float
    n_merges: int
    n_asked: int
    n_failed: int


Found = Mapping[str, Sequence[Searched]]


def run(setting: Setting) -> Iterator[Figure]:
    """Searches with every arm, then again with the best and fresh seeds."""
    n_seeds = setting.seeds or setting.size(SEEDS, 2)
    recipe = recipes.load(RECIPE, overrides=_QUICK if setting.quick else ())
    lab = Lab(recipe, gather(recipe), setting.size(BUDGET, 2), setting.size(SHORTLIST, 0))
    with ExitStack() as stack:
        bench = stack.enter_context(closing(_Bench(lab, setting)))
        uniform = bench.uniform()
        found = bench.search(ARMS, range(1, n_seeds + 1))
        yield from _figures(found, uniform, "")
        best = sorted(
            (name for name in STRATEGIES if name != CONTROL),
            key=lambda name: -statistics.mean(each.held_out for each in found[name]),
        )
        arms = (*best[:N_CONFIRMED], CONTROL)
        again = bench.search(arms, range(FRESH_SEED, FRESH_SEED + n_seeds))
        yield from _figures(again, uniform, "fresh seeds: ")


def _figures(found: Found, uniform: Searched, stage: str) -> Iterator[Figure]:
    for name, searched in found.items():
        yield mean(
            f"{stage}{name}", [each.held_out for each in searched], UNIT, note=_note(searched)
        )
    if not stage:
        note = f"one merge, {_on_search_items([uniform])}"
        yield mean("uniform merge", [uniform.held_out], UNIT, note=note)
    control = [each.held_out for each in found[CONTROL]]
    plain = [uniform.held_out] * len(control)
    for name, searched in found.items():
        own = [each.held_out for each in searched]
        if name != CONTROL:
            yield lead((name, CONTROL), own, control, UNIT, stage=stage)
        yield lead((name, "uniform merge"), own, plain, UNIT, stage=stage)


def _note(searched: Sequence[Searched]) -> str:
    """What the winners scored on search items, and what the searches cost."""
    parts = [_on_search_items(searched)]
    merges, asked, failed = (
        sum(values)
        for values in zip(*((s.n_merges, s.n_asked, s.n_failed) for s in searched), strict=True)
    )
    parts.append(f"{merges} merges")
    if asked > merges:
        parts.append(f"{asked} asked for")
    if failed:
        parts.append(f"{failed} failed")
    return ", ".join(parts)


def _on_search_items(searched: Sequence[Searched]) -> str:
    """Mean scores on the items of the search, and on all search items."""
    text = f"{statistics.mean(each.search for each in searched):.3f} on search items"
    full = [each.full_search for each in searched if each.full_search is not None]
    return f"{text}, {statistics.mean(full):.3f} on all of them" if full else text


class _Bench:
    """Runs searches, one for each worker at a time.

    Args:
        lab: What all searches share.
        setting: Folder and number of workers.
    """

    def __init__(self, lab: Lab, setting: Setting) -> None:
        self.lab = lab
        self._stack = ExitStack()
        self._idle: queue.SimpleQueue[KeptScores] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(setting.jobs)
        folder = setting.folder("strategies")
        options = launch.Options(device=setting.device)
        evaluation = launch.evaluation_of(lab.recipe, options)
        (setting.cache or folder).mkdir(parents=True, exist_ok=True)
        for number in range(setting.jobs):
            executor = self._stack.enter_context(
                launch.executor_for(lab.recipe, evaluation, folder / str(number), options)
            )
            path = (setting.cache or folder) / "scores.sqlite"
            self._idle.put(self._stack.enter_context(closing(KeptScores(path, executor))))

    def close(self) -> None:
        """Ends the workers; a search that is under way ends with them."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._stack.close()
        self._threads.shutdown()

    def uniform(self) -> Searched:
        """The plain average of the models."""
        scores = self._idle.get()
        plan = uniform_plan(self.lab.recipe)
        few, held = (self.lab.value(scores.score([plan], split)[0]) for split in SPLITS)
        full = self.lab.value(scores.score([plan], FULL)[0]) if self.lab.shortlist else None
        self._idle.put(scores)
        return Searched(few, full, held, 1, 1, 0)

    def search(self, arms: Sequence[str], seeds: Sequence[int]) -> dict[str, list[Searched]]:
        """Searches with each arm from each seed.

        Returns:
            Arm to ``(n_seeds,)`` searches.
        """
        turns = [(seed, arm) for seed in seeds for arm in arms]
        found: dict[str, list[Searched]] = {arm: [] for arm in arms}
        searched = self._threads.map(lambda turn: self._search(*turn), turns)
        for (_, arm), each in zip(turns, searched, strict=True):
            found[arm].append(each)
        return found

    def _search(self, seed: int, arm: str) -> Searched:
        scores = self._idle.get()
        try:
            return search(self.lab, scores, arm, seed)
        finally:
            self._idle.put(scores)


def search(lab: Lab, scores: KeptScores, arm: str, seed: int) -> Searched:
    """One search, and the test of its winner.

    Args:
        lab: What all searches share.
        scores: Scores merges.
        arm: One of :data:`ARMS`.
        seed: Of all its draws.

    Raises:
        EvomergeError: Nothing could be scored.
    """
    assert lab.recipe.search is not None
    ledger = Ledger(lab, scores, repeats_cost=arm == RIVAL)
    if arm == RIVAL:
        fmin2(lab.recipe.space, ledger, seed)
    else:
        kind = all_strategies()[arm]
        population = lab.recipe.search.population
        strategy = kind(lab.recipe.space, population, seed, kind.parameters())
        ask_and_tell(strategy, ledger)
    if ledger.best is None:
        raise EvomergeError(f"{arm} with seed {seed}: nothing could be scored")
    winner, plan, full = _winner(lab, scores, ledger) or (*ledger.best, None)
    assert winner.fitness is not None
    [held_out] = scores.score([plan], "held_out", [winner.genome])
    n_failed = sum(not outcome.scored for outcome, _ in ledger.history)
    return Searched(
        winner.fitness.value,
        full,
        lab.value(held_out),
        ledger.n_paid,
        len(ledger.history),
        n_failed,
    )


def _winner(
    lab: Lab, scores: KeptScores, ledger: Ledger
) -> tuple[Outcome, MergePlan, float] | None:
    """The best of the shortlist on all search items, with its score there.

    Of equal ones it is the search's favourite. None where there is no shortlist, or nothing on it
    could be asked.
    """
    listed = ledger.leaders(lab.shortlist)
    results = scores.score([plan for _, plan in listed], FULL, [o.genome for o, _ in listed])
    found = [
        (outcome, plan, lab.value(result))
        for (outcome, plan), result in zip(listed, results, strict=True)
        if result.failure is None
    ]
    return max(found, key=lambda each: each[2], default=None)
