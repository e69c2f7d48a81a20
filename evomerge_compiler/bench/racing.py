"""What racing costs and what it saves: whole searches with and without it, seed by seed.

Each search of the quickstart recipe runs as ``evomerge evolve`` does, in a run folder of its own,
and ends with what was best on search items. That merge is scored on all held-out items, which no
search has seen: the loss is how much lower that is than where every candidate was asked
everything. Items are counted over candidates, equal merges once; those of the end are left out,
they are the same in every arm.

Answers come from a table of every merge on all search items, kept on disk. So arms that meet in a
merge have it answered once, and each estimate of a dropped candidate is compared with the score
that it stood for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace

from evomerge_compiler import fitness as fit
from evomerge_compiler import launch, yamlio
from evomerge_compiler import recipe as recipes
from evomerge_compiler.bench.commands import tools_environment
from evomerge_compiler.bench.figures import Figure, at_most, lead, mean
from evomerge_compiler.bench.kept_scores import KeptScores
from evomerge_compiler.bench.setting import Setting
from evomerge_compiler.bench.work import RECIPE
from evomerge_compiler.candidate import Score, Scores
from evomerge_compiler.compiler import compile_recipe
from evomerge_compiler.durability import volatile
from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.evaluation import race as races
from evomerge_compiler.evaluation.irt import calibrate
from evomerge_compiler.evaluation.results import mean_stderr
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.evolution import Evolution
from evomerge_compiler.executors.base import Executor, Job, JobResult, Split
from evomerge_compiler.process_pool import WorkerPool
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.run_folder.setup import RunSetup

# The first generation is asked everything. The default plateau lets no search end before this one.
LIMIT, GENERATIONS, SEEDS = 200, 6, 10
UNIT = "held-out score"
FULL = "every item"
MAX_LOSS = 0.02
RUNGS = (20, 50, 100)
QUICK_LIMIT = 30  # enough for a look


@dataclass(frozen=True)
class Arm:
    """A way to spend items.

    Attributes:
        settings: Of the recipe.
        limit: Items a task that its searches have.
        share: Of the items of :data:`FULL` that it may ask, None for any number.
    """

    settings: tuple[str, ...]
    limit: int
    share: float | None = None


# A quarter of the items is less than the first generation and the survivors are asked of 200 a
# task, so that arm has fewer of them to begin with.
ARMS = {
    FULL: Arm((), LIMIT),
    "racing": Arm(("evaluation.racing.audit=0",), LIMIT, 0.55),
    "racing, 60 items a task": Arm(("evaluation.racing.audit=0",), 60, 0.25),
}


@dataclass(frozen=True)
class Searched:
    """What one search came to.

    Attributes:
        held_out: Its best candidate on held-out items.
        asked: Items that its candidates were asked.
        errors: Of each dropped candidate, the estimate less the score on all items.
        by_rung: Items a task, and whether earlier answers helped, to the sizes of the errors of
            estimates of all candidates after the first generation; where all were asked
            everything.
    """

    held_out: float
    asked: int
    errors: tuple[float, ...]
    by_rung: Mapping[tuple[int, bool], Sequence[float]] = field(default_factory=dict)


def run(setting: Setting) -> Iterator[Figure]:
    """Searches with every arm from every seed."""
    n_seeds = setting.seeds or setting.size(SEEDS, 2)
    found: dict[str, list[Searched]] = {name: [] for name in ARMS}
    with ExitStack() as stack:
        bench = stack.enter_context(closing(_Bench(setting)))
        for seed in range(1, n_seeds + 1):
            for name, arm in ARMS.items():
                found[name].append(bench.search(arm, seed))
    yield from figures(found)


def figures(found: Mapping[str, Sequence[Searched]]) -> Iterator[Figure]:
    """The figures of all arms' searches, each ``(n_seeds,)``."""
    whole = found[FULL]
    for name, searched in found.items():
        held = [each.held_out for each in searched]
        yield mean(name, held, UNIT, note=_note(searched))
        if name == FULL:
            yield from _estimates(searched)
            continue
        shares = [a.asked / b.asked for a, b in zip(searched, whole, strict=True)]
        limit = ARMS[name].share
        bound = None if limit is None else at_most(limit)
        yield replace(mean(f"{name}: items asked", shares, "of every item"), bound=bound)
        loss = lead((FULL, name), [each.held_out for each in whole], held, UNIT)
        yield loss
        # What is promised is the upper end, not the mean.
        yield replace(
            loss,
            name=f"{name}: loss at the upper end of its interval",
            value=loss.high,
            bound=at_most(MAX_LOSS),
        )
        off = [error for each in searched for error in each.errors]
        if off:
            yield mean(f"{name}: estimate of a dropped candidate less its score", off, "score")
            sizes = [abs(error) for error in off]
            yield mean(f"{name}: size of that error", sizes, "score")


def _estimates(searched: Sequence[Searched]) -> Iterator[Figure]:
    """How far estimates are off, with p-IRT and without."""
    for rung in RUNGS:
        for irt in (False, True):
            sizes = [size for each in searched for size in each.by_rung.get((rung, irt), ())]
            how = "p-IRT" if irt else "their mean"
            if sizes:
                yield mean(f"{rung} items a task, {how}: size of the error", sizes, "score")


def _note(searched: Sequence[Searched]) -> str:
    asked = sum(each.asked for each in searched)
    dropped = sum(len(each.errors) for each in searched)
    return f"{asked} items asked, {dropped} candidates dropped"


class _Bench:
    """Runs searches on a table of answers.

    Args:
        setting: Folder and sizes.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.limit = setting.size(LIMIT, QUICK_LIMIT)
        recipe = recipes.load(RECIPE, overrides=(f"evaluation.limit={self.limit}",))
        folder = setting.folder("racing")
        self._stack = ExitStack()
        options = launch.Options(device=setting.device)
        evaluation = launch.evaluation_of(recipe, options)
        executor = self._stack.enter_context(
            launch.executor_for(recipe, evaluation, folder, options)
        )
        cache = setting.cache or folder
        cache.mkdir(parents=True, exist_ok=True)
        self.scores = self._stack.enter_context(
            closing(KeptScores(cache / "scores.sqlite", executor))
        )
        limits = sorted({min(arm.limit, self.limit) for arm in ARMS.values()})
        with WorkerPool(1, environment=tools_environment()) as pool:
            self.places: Places = pool.submit(places, evaluation, limits).result()

    def close(self) -> None:
        """Ends the worker and closes the table."""
        self._stack.close()

    def search(self, arm: Arm, seed: int) -> Searched:
        """One search, and the test of its best candidate.

        Raises:
            EvomergeError: Nothing could be scored.
        """
        limit = min(arm.limit, self.limit)
        overrides = (
            *arm.settings, f"seed={seed}", f"evaluation.limit={limit}",
            "search.plateau.patience=0",
        )  # fmt: skip
        recipe = recipes.load(RECIPE, overrides=overrides)
        setup = RunSetup(recipe, yamlio.dump(recipe.document.data).encode(), {}, overrides)
        path = self.setting.folder("racing") / f"run-{len(arm.settings)}-{limit}-{seed}"
        folder = RunFolder.open(path, create_from=setup)
        executor = TableExecutor(self.scores, self.places[limit])
        with folder.hold(), volatile():
            evolution = Evolution(recipe, folder, executor)
            ending = evolution.run(self.setting.size(GENERATIONS, 2))
        if ending.best is None:
            raise EvomergeError(f"seed {seed}: nothing could be scored")
        assert recipe.evaluation is not None
        shares = fit.weights(recipe.evaluation)
        plan = compile_recipe(recipe, genome=ending.best.genome)
        [held] = self.scores.score([plan], "held_out", [ending.best.genome])
        errors = []
        for outcome in ending.dropped:
            job = Job("", plan=compile_recipe(recipe, genome=outcome.genome))
            [(_, whole)] = executor.run([job])
            assert outcome.fitness is not None
            scored = fit.fitness(whole.scores["search"], shares)
            errors.append(outcome.fitness.value - scored.value)
        value = fit.fitness(held.scores["held_out"], shares).value
        by_rung = {}
        if recipe.evaluation.racing is None:
            answers = list(evolution.history.answers.values())
            by_rung = estimate_errors(answers, evolution.search.population, shares, seed)
        return Searched(value, ending.items.asked, tuple(errors), by_rung)


def estimate_errors(
    answers: Sequence[Scores], n_first: int, shares: Mapping[str, float], seed: int
) -> dict[tuple[int, bool], list[float]]:
    """How far estimates of models are off that were asked everything, as if they were not.

    Args:
        answers: Their scores.
        n_first: So many of them come first, and calibrate.
        shares: Domain to its weight.
        seed: Of the order of items.

    Returns:
        Items a task and whether with p-IRT, to ``(n_models - n_first,)`` sizes of errors.
    """
    out: dict[tuple[int, bool], list[float]] = {}
    for irt in (False, True):
        tracks = {}
        for domain, items in answers[0].items.items():
            known = [one.items[domain].values for one in answers[:n_first]]
            calibration = calibrate(known) if irt else None
            tracks[domain] = races.track(len(items.values), f"{seed} {domain}", calibration)
        most = max(len(track.order) for track in tracks.values())
        for rung in (rung for rung in RUNGS if rung < most):
            out[rung, irt] = [
                abs(math.fsum(share * _error(one, domain, tracks[domain], rung)
                              for domain, share in shares.items()))
                for one in answers[n_first:]
            ]  # fmt: skip
    return out


def _error(scores: Scores, domain: str, track: races.Track, rung: int) -> float:
    """Estimate of a domain after a rung, less its score."""
    values = scores.items[domain].values
    seen = {index: values[index] for index in sorted(track.order[:rung])}
    return races.estimate("", track, seen).value - scores.domains[domain].value


# -- the table -----------------------------------------------------------------------------

# Limit to domain: hash of the items below that limit, and their places among all.
Places = dict[int, dict[str, tuple[str, tuple[int, ...]]]]


def places(evaluation: EvaluationPlan, limits: Sequence[int]) -> Places:
    """Which of the search items remain below smaller limits; runs in a worker.

    Args:
        evaluation: With the items of the table.
        limits: Items a task, none above the evaluation's own.
    """
    from evomerge_compiler.evaluation.items import asked_items

    domains = evaluation.domains
    whole, _ = asked_items(evaluation, domains)
    out: Places = {}
    for limit in limits:
        fewer, _ = asked_items(replace(evaluation, limit=limit), domains)
        out[limit] = {}
        for domain in domains:
            kept = {(item.task, item.item_hash) for item in fewer[domain].items}
            at = (
                place
                for place, item in enumerate(whole[domain].items)
                if (item.task, item.item_hash) in kept
            )
            out[limit][domain] = (fewer[domain].item_set, tuple(at))
    return out


class TableExecutor(Executor):
    """Scores merges from a table of their answers, races among them.

    Args:
        scores: The table; what is not in it is merged and scored.
        kept: Domain to the items that there are, see :data:`Places`.
    """

    def __init__(
        self, scores: KeptScores, kept: Mapping[str, tuple[str, tuple[int, ...]]]
    ) -> None:
        self.scores = scores
        self.kept = kept

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, JobResult]]:
        """See :class:`~evomerge_compiler.executors.base.Executor`."""
        for index, job in enumerate(jobs):
            assert job.plan is not None
            genomes = None if job.genome is None else [job.genome]
            [result] = self.scores.score([job.plan], "search", genomes)
            if result.failure is None:
                whole = self._below_limit(result.scores["search"])
                if job.race is not None:
                    ask = functools.partial(races.answers_of, whole.items)
                    whole = races.run(job.race, ask, whole.eval_key)
                result = JobResult({"search": whole})
            yield index, result

    def eval_key(self, job: Job, split: Split) -> str:
        """See :class:`~evomerge_compiler.executors.base.Executor`."""
        return self.scores.executor.eval_key(job, split)

    def close(self) -> None:
        """The table is its owner's."""

    def _below_limit(self, scores: Scores) -> Scores:
        items = races.answers_of(scores.items, {d: at for d, (_, at) in self.kept.items()})
        items = {d: replace(i, item_set=self.kept[d][0]) for d, i in items.items()}
        domains = {
            domain: Score(
                scores.domains[domain].metric,
                math.fsum(found.values) / len(found.values),
                mean_stderr(found.values),
                len(found.values),
            )
            for domain, found in items.items()
        }
        return replace(scores, domains=domains, items=items)
