"""The loop: ask, write, score, tell, seal. A small state machine with no I/O of its own.

What is durable goes through the run folder, what is slow through the executor, what is clever
through the strategy. A run resumes by replaying the sealed generations through ``ask`` and
``tell`` and going on with the open one; a generation's results do not depend on the order in
which they arrived, nor on how often the process was killed on the way.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import time
from collections.abc import Callable, Iterator, Sequence

from evomerge_compiler import baselines, recipe_phases
from evomerge_compiler import fitness as fit
from evomerge_compiler.candidate import (
    RACED,
    TOLD,
    CandidateId,
    Failure,
    Fitness,
    Outcome,
    Proposal,
    Scores,
)
from evomerge_compiler.compiler import MergePlan, compile_recipe, gather
from evomerge_compiler.compiler.crossovers import must_be_older
from evomerge_compiler.errors import EvomergeError, Place, RecipeError, RunDamaged
from evomerge_compiler.events import (
    CandidateDone,
    Event,
    GenerationSealed,
    GenerationStarted,
    Observer,
    Started,
)
from evomerge_compiler.executors.base import Executor, Job, JobResult
from evomerge_compiler.history import Ending, History
from evomerge_compiler.racing import race_of
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.run_folder import RunFolder, StoredCandidate
from evomerge_compiler.run_folder.tables import PopulationRow
from evomerge_compiler.seeds import SEED_OPERATOR, seed_proposals
from evomerge_compiler.strategies import Strategy
from evomerge_compiler.strategies.base import ranked
from evomerge_compiler.strategies.factory import build
from evomerge_compiler.time_budget import REASON, TimeBudget


class Evolution:
    """Runs a recipe's search in a run folder.

    Args:
        recipe: The experiment.
        folder: Its run folder, held by this process.
        executor: Runs the merges and evaluations.
        observers: Are told what happens.
        clock: Seconds, for the time budget; they are counted over all calls.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        executor: Executor,
        observers: Sequence[Observer] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert recipe.search is not None and recipe.evaluation is not None
        self.recipe = recipe.in_run(folder.root)
        self.search = recipe.search
        self.shares = fit.weights(recipe.evaluation)
        self.folder = folder
        self.executor = executor
        self.observers = observers
        self.time = TimeBudget(folder, recipe.search.budget.hours, clock)
        self.strategy: Strategy = build(recipe)
        self.history = History(recipe.search)
        self.world = gather(recipe)

    def run(self, generations: int) -> Ending:
        """Goes on until a stop rule holds.

        Args:
            generations: How many generations there are to be in all. 0 writes generation 0
                unscored, for editing, and stops.

        Raises:
            EvomergeError: Something stops every candidate, or the folder is damaged; all that
                was scored stays.
        """
        sealed = self.folder.sealed_generations()
        self._tell_observers(Started(self.recipe, str(self.folder.root), generations, len(sealed)))
        with _no_collection():
            for number in sealed:
                self._replay(number)
        if generations == 0:
            if not sealed and self.folder.open_generation() is None:
                self._begin(0)
            return self.history.ending("generations")
        while (reason := self._stop(generations)) is None:
            self._generation(len(self.history.best_so_far))
        return self.history.ending(reason)

    # -- one generation ---------------------------------------------------------------------

    def _generation(self, number: int) -> None:
        if self.folder.open_generation() == number:
            stored = self.folder.candidates(number, strict=False)
            self._check_asked(number, self._ask(number), stored)
        else:
            self._begin(number)
        stored = self.folder.candidates(number)
        done = sum(candidate.done for candidate in stored)
        begins = recipe_phases.begun_by(self.search.phases, number)
        self._tell_observers(GenerationStarted(number, len(stored), done, begins))
        self.score(stored)
        stored = self.folder.candidates(number)
        rows = population(stored, constrained=bool(self.search.constraints))
        self.folder.seal(number, rows)
        self._add(number, self.folder.outcomes(number), replayed=False)

    def _begin(self, number: int) -> None:
        state = self.strategy.state()
        proposals = self._ask(number)
        self.folder.begin_generation(number, proposals, state)

    def _ask(self, number: int) -> list[Proposal]:
        proposals = self.strategy.ask(number)
        if number == 0:
            proposals = [*proposals, *seed_proposals(self.recipe)]
        return arrange(proposals)

    def _replay(self, number: int) -> None:
        stored = self.folder.past(number)
        self._check_asked(number, self._ask(number), stored)
        self._add(number, [candidate.outcome for candidate in stored], replayed=True)

    def _add(self, number: int, outcomes: Sequence[Outcome], *, replayed: bool) -> None:
        self.strategy.tell(number, outcomes)
        before, front = self.history.best, self.history.front
        self.history.add(outcomes)
        best = self.history.best
        if best is not None and (best is not before or not replayed):
            self.folder.write_best(best)
        if best is not None and (self.history.front != front or not replayed):
            self._write_front(best)
        self._tell_observers(GenerationSealed(number, outcomes, best, replayed))

    def _write_front(self, knee: Outcome) -> None:
        if len(self.search.objectives) > 1:
            self.folder.write_front(self.search.objectives, self.history.front, knee)

    def _check_asked(
        self, number: int, proposals: Sequence[Proposal], stored: Sequence[StoredCandidate]
    ) -> None:
        """The genomes asked for again must be those on record: a free check of the whole past.

        Raises:
            RunDamaged: They differ, so the files and this version of evomerge do not agree.
        """
        asked = [p.lineage.asked for p in proposals if p.lineage.origin != "seed"]
        # A seed file may have been edited since; the folder holds what it was.
        recorded = [c.lineage.asked for c in stored if c.lineage.operator != SEED_OPERATOR]
        if asked != recorded:
            where = self.folder.root / "generations" / f"{number:03d}"
            raise RunDamaged(
                "the strategy asks for other genomes than this generation records",
                hint="the run was made by another version, or an earlier generation was changed; "
                f"branch off with: evomerge fork {self.folder.root}@{number:03d} DEST",
                place=Place(str(where)),
            )

    # -- scoring ----------------------------------------------------------------------------

    def score(self, stored: Sequence[StoredCandidate]) -> None:
        """Gives every candidate of the open generation an outcome."""
        # Before the jobs, for it may have jobs of its own, and an executor has one list at a time.
        _ = self.constraints
        race = race_of(self.recipe, self.history)
        waiting: dict[str, list[StoredCandidate]] = {}
        jobs: list[Job] = []
        for candidate in stored:
            self.history.know(candidate.scores, candidate.fitness)
        for candidate in stored:
            plan = self.compile(candidate)
            if plan is None or self._is_done(candidate):
                continue
            job = Job(str(candidate.id), plan=plan, genome=candidate.genome, race=race)
            key = self.executor.eval_key(job, "search")
            names = score_names(plan, key)
            known = next(filter(None, map(self.history.known.get, names)), None)
            if known is not None:
                self._commit(candidate, *known, reused=True)
            elif key in waiting:
                waiting[key].append(candidate)
            else:
                waiting[key] = [candidate]
                jobs.append(job)
        groups = list(waiting.values())
        for index, result in self._results(jobs):
            for position, candidate in enumerate(groups[index]):
                self._take(candidate, result, reused=position > 0)

    def _results(self, jobs: Sequence[Job]) -> Iterator[tuple[int, JobResult]]:
        return self.executor.run(jobs) if jobs else iter(())

    def compile(self, candidate: StoredCandidate) -> MergePlan | None:
        """Compiles a candidate and writes its merge; a genome that cannot be is its failure.

        Raises:
            EvomergeError: A person's own genome does not compile.
        """
        assert candidate.genome is not None
        try:
            must_be_older(candidate.genome, candidate.id)
            plan = compile_recipe(self.recipe, genome=candidate.genome, world=self.world)
        except EvomergeError as error:
            if candidate.edited or candidate.lineage.operator == SEED_OPERATOR:
                raise RecipeError(
                    f"candidate {candidate.id} does not compile: {error.message}",
                    hint=error.hint,
                    place=error.place,
                ) from None
            if candidate.failure is None:
                failure = Failure("compile", "invalid", error.message)
                self.folder.commit_outcome(candidate.id, failure)
                self._announce(candidate, failure=failure)
            return None
        text = plan.written()
        if candidate.text != text:
            self.folder.commit_compiled(candidate.id, text)
        return plan

    def _is_done(self, candidate: StoredCandidate) -> bool:
        return candidate.done and self.folder.candidate(candidate.id).done

    def _take(self, candidate: StoredCandidate, result: JobResult, *, reused: bool) -> None:
        if result.failure is not None:
            self.folder.commit_outcome(candidate.id, result.failure)
            self._announce(candidate, failure=result.failure, result=result)
            return
        scores = result.scores["search"]
        self._commit(candidate, scores, self.fitness(scores), reused=reused, result=result)

    def fitness(self, scores: Scores) -> Fitness:
        """What the search makes of scores."""
        return fit.fitness(scores, self.shares, self.search.objectives, self.constraints)

    @functools.cached_property
    def constraints(self) -> tuple[fit.Constraint, ...]:
        """The recipe's constraints as numbers; models that they are relative to are scored.

        Raises:
            MissingPrerequisite: One of those models cannot be scored.
        """
        specs = self.search.constraints
        scores = {}
        if fit.needs_models(specs):
            scores = baselines.search_scores(self.recipe, self.folder, self.executor)
        parents = {alias: scores[alias] for alias in self.recipe.models if alias in scores}
        return fit.bounds(specs, parents, scores.get(self.recipe.base))

    def _commit(
        self,
        candidate: StoredCandidate,
        scores: Scores,
        value: Fitness,
        *,
        reused: bool,
        result: JobResult | None = None,
    ) -> None:
        self.folder.commit_outcome(candidate.id, scores, value)
        self.history.n_reused += reused
        self._announce(candidate, scores=scores, value=value, reused=reused, result=result)

    def _announce(
        self,
        candidate: StoredCandidate,
        *,
        scores: Scores | None = None,
        value: Fitness | None = None,
        failure: Failure | None = None,
        reused: bool = False,
        result: JobResult | None = None,
    ) -> None:
        assert candidate.genome is not None
        outcome = Outcome(candidate.id, candidate.genome, value, failure, scores)
        merge_s, evaluate_s = (result.merge_s, result.evaluate_s) if result else (0.0, 0.0)
        self.time.keep()
        self._tell_observers(CandidateDone(outcome, reused, merge_s, evaluate_s))

    def _tell_observers(self, event: Event) -> None:
        for observer in self.observers:
            observer.notice(event)

    # -- stopping ---------------------------------------------------------------------------

    def _stop(self, generations: int) -> str | None:
        """Why to stop now, or None. An open generation is always finished first."""
        if self.folder.open_generation() is not None:
            return None
        if len(self.history.best_so_far) >= generations:
            return "generations"
        if self.history.on_plateau():
            return "plateau"
        budget = self.search.budget
        if budget.candidates is not None and self.history.n_candidates >= budget.candidates:
            return "candidates"
        return REASON if self.time.used_up else None


# --------------------------------------------------------------------------------------


def told_key(plan: MergePlan) -> str:
    """The ``eval_key`` of scores that were told from outside: all that is known is the merge."""
    return TOLD + plan.merge_key


def score_names(plan: MergePlan, key: str) -> tuple[str, ...]:
    """The ``eval_key`` of all scores that a candidate may take over from an equal one.

    Args:
        plan: Its merge.
        key: The ``eval_key`` that its own scores would have.
    """
    return told_key(plan), key, RACED + key


def arrange(proposals: Sequence[Proposal]) -> list[Proposal]:
    """The proposals in the order of slots: each in its first parent's slot when that is free.

    Steady slots keep the difference between two generation folders small.
    """
    slots: list[Proposal | None] = [None] * len(proposals)
    waiting = []
    for proposal in proposals:
        lineage = proposal.lineage
        # A draw continues no parent, though its held genes may come from one.
        follows = lineage.parents and lineage.origin != "sampled"
        slot = lineage.parents[0].slot if follows else len(slots)
        if slot < len(slots) and slots[slot] is None:
            slots[slot] = proposal
        else:
            waiting.append(proposal)
    rest = iter(waiting)
    return [proposal if proposal is not None else next(rest) for proposal in slots]


def population(
    stored: Sequence[StoredCandidate], *, constrained: bool = False
) -> list[PopulationRow]:
    """The rows of ``population.tsv``.

    Args:
        stored: The candidates.
        constrained: Whether the search has constraints.
    """
    order = [o.id for o in ranked([c.outcome for c in stored]) if o.fitness is not None]
    rows = []
    for candidate in stored:
        scores = candidate.scores.domains if candidate.scores else {}
        rows.append(
            PopulationRow(
                slot=candidate.id.slot,
                state=_state(candidate),
                fitness=candidate.fitness.objectives if candidate.fitness else (),
                stderr=candidate.fitness.stderr if candidate.fitness else None,
                rank=order.index(candidate.id) + 1 if candidate.id in order else None,
                origin=candidate.lineage.origin,
                parents=candidate.lineage.parents,
                domains={domain: score.value for domain, score in scores.items()},
                violation=candidate.fitness.violation if candidate.fitness else None,
                constrained=constrained,
                race=candidate.scores.race if candidate.scores else None,
            )
        )
    return rows


def _state(candidate: StoredCandidate) -> str:
    if candidate.failure is not None:
        return candidate.failure.reason
    return "scored" if candidate.scores is None or candidate.scores.complete else "dropped"


def best_id(ending: Ending) -> CandidateId | None:
    """The id of the best candidate, if there is one."""
    return ending.best.id if ending.best else None


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """While the past is read: all of it stays, so that looking for garbage in it takes a third
    of the time and finds none.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
