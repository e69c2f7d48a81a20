"""A search that is scored from outside: ask for what is open, tell what became of it.

The run folder stays the only state. What is told stands in the same files as what evomerge scores
itself, under an ``eval_key`` of its own kind, so the two may be mixed: a run that goes on with
``evolve`` scores what is still open and leaves alone what was told.

    for candidate in ask(run).open:
        tell(run, candidate.id, {"code": {"value": my_score(candidate.plan.text)}, ...})
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evomerge_compiler import fitness as fit
from evomerge_compiler.candidate import TOLD, CandidateId, Failure, Fitness, Scores
from evomerge_compiler.compiler import MergePlan, compile_recipe
from evomerge_compiler.errors import FAILURE_REASONS, Place, UsageError, did_you_mean
from evomerge_compiler.evaluation.spec import EvaluationPlan, eval_key
from evomerge_compiler.evaluation.told import Told, read_scores
from evomerge_compiler.evolution import Evolution, told_key
from evomerge_compiler.executors.base import Executor, Job, JobResult, Split
from evomerge_compiler.executors.local import identity
from evomerge_compiler.genome import Genome
from evomerge_compiler.launch import Options, evaluation_of
from evomerge_compiler.run_folder import RunFolder, StoredCandidate
from evomerge_compiler.run_folder.files import rounded_scores
from evomerge_compiler.run_folder.setup import resolved_changes
from evomerge_compiler.seeds import SEED_OPERATOR, written_genome

PROPOSE_OPERATOR = "tell.propose"


@dataclass(frozen=True)
class OpenCandidate:
    """A candidate that waits for its outcome.

    Attributes:
        id: Its place.
        genome: Its genome.
        plan: Its merge.
    """

    id: CandidateId
    genome: Genome
    plan: MergePlan


@dataclass(frozen=True)
class State:
    """Where a run stands.

    Attributes:
        open: What waits for an outcome, in slot order; of candidates with equal merges the first.
        ended: Why there is nothing to wait for, None while something is open.
    """

    open: tuple[OpenCandidate, ...]
    ended: str | None = None


@dataclass(frozen=True)
class Answer:
    """What telling came to.

    Attributes:
        id: The candidate.
        fitness: What the search sees of its scores; None for a failure.
        changed: Whether anything was written; False when the same was told before.
        sealed: Whether that completed the generation.
        open: What of the generation still waits.
        warnings: What a person should know about the scores.
    """

    id: CandidateId
    fitness: Fitness | None
    changed: bool
    sealed: bool
    open: tuple[CandidateId, ...]
    warnings: tuple[str, ...] = ()


class _Left(Exception):
    """Jobs that nobody but the outside can do."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        super().__init__(f"{len(jobs)} candidates are open")
        self.jobs = jobs


class _Outside(Executor):
    """Knows what evomerge itself would call a score, and scores nothing."""

    def __init__(self, plan: EvaluationPlan | None) -> None:
        self._plan = plan

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, JobResult]]:
        """Raises :class:`_Left`: the loop has compiled and reused all that it can by then."""
        models = [job.label for job in jobs if job.genome is None]
        if models:
            raise UsageError(
                f"a constraint is relative to {', '.join(models)}, which nobody has scored yet",
                hint="write the bound as a number, or let `evomerge evolve` score them once",
            )
        raise _Left(jobs)

    def eval_key(self, job: Job, split: Split) -> str:
        """See :class:`~evomerge_compiler.executors.base.Executor`."""
        if self._plan is None:
            return TOLD + identity(job)
        return eval_key(identity(job), self._plan, split)

    def close(self) -> None:
        """There is nothing to end."""


# --------------------------------------------------------------------------------------


def ask(run: str | Path, generations: int | None = None) -> State:
    """What is open in the generation in work; the next one is made when the last is complete.

    Args:
        run: The run folder.
        generations: In all, at least 1; None takes the recipe's number.

    Raises:
        UsageError: The models, the template or mergekit are not those of the run.
        RunLocked: Another process holds the run.
        RunDamaged: A sealed generation was changed.
    """
    folder = RunFolder.open(run)
    with folder.hold():
        evolution = _evolution(folder)
        return _advance(evolution, generations or max(1, evolution.search.generations))


def tell(run: str | Path, id: CandidateId, data: object) -> Answer:
    """Writes the scores of an open candidate, and seals its generation when it is the last.

    Args:
        run: The run folder.
        id: A candidate of the open generation.
        data: Its scores, as :mod:`evomerge_compiler.evaluation.told` describes.

    Raises:
        UsageError: The scores are not usable, or the candidate has another outcome.
        RunLocked, RunDamaged: As :func:`ask`.
    """
    folder = RunFolder.open(run)
    with folder.hold():
        evolution = _evolution(folder)
        stored = _stored(folder, id)
        plan = _plan(evolution, stored)
        told = _read(evolution, plan, data)
        scores, fitness = rounded_scores(told.scores, evolution.fitness(told.scores))
        if stored.done:
            _must_equal(folder, stored, same=_equal(stored.scores, scores))
            return _known(evolution, id, stored.fitness, told.warnings)
        folder.commit_outcome(id, scores, fitness)
        state = _settle(evolution, id.generation)
    return _answer(id, fitness, state, told.warnings)


def tell_failure(run: str | Path, id: CandidateId, reason: str, message: str) -> Answer:
    """Writes that an open candidate failed, and seals its generation when it is the last.

    Args:
        run: The run folder.
        id: A candidate of the open generation.
        reason: One of :data:`evomerge_compiler.errors.FAILURE_REASONS`.
        message: What happened.

    Raises:
        UsageError: There is no such reason, or the candidate has another outcome.
        RunLocked, RunDamaged: As :func:`ask`.
    """
    if reason not in FAILURE_REASONS:
        raise UsageError(
            f"no reason {reason!r} to fail for", hint=did_you_mean(reason, FAILURE_REASONS)
        )
    # The file is the record: what did not come from evomerge says so.
    failure = Failure("evaluate", reason, f"{TOLD} {' '.join(message.split())}")
    folder = RunFolder.open(run)
    with folder.hold():
        evolution = _evolution(folder)
        stored = _stored(folder, id)
        if stored.done:
            _must_equal(folder, stored, same=stored.failure == failure)
            return _known(evolution, id, None, ())
        _plan(evolution, stored)
        folder.commit_outcome(id, failure)
        state = _settle(evolution, id.generation)
    return _answer(id, None, state, ())


def propose(run: str | Path, recipe: Path) -> CandidateId:
    """Puts a hand-written candidate into a slot of the open generation that has no outcome.

    It takes the place of what the strategy asked for there; the lineage keeps both. The last slot
    goes first, since strategies put what they trust most in front.

    Args:
        run: The run folder.
        recipe: A merge recipe with the template, models and genes of the run's experiment.

    Returns:
        The slot. A genome that is in the generation already keeps the slot it has.

    Raises:
        EvomergeError: The recipe is mistaken, does not compile or is another experiment's.
        UsageError: No generation is open, or no slot of it is free.
        RunLocked, RunDamaged: As :func:`ask`.
    """
    folder = RunFolder.open(run)
    with folder.hold():
        evolution = _evolution(folder)
        genome = written_genome(evolution.recipe, recipe)
        compile_recipe(evolution.recipe, genome=genome, world=evolution.world)
        number = folder.open_generation()
        if number is None:
            raise UsageError("no generation is open", hint=f"evomerge ask {run} makes the next")
        stored = folder.candidates(number)
        there = next((c for c in stored if c.genome == genome), None)
        if there is not None:
            return there.id
        free = [c for c in stored if _is_free(c)]
        if not free:
            raise UsageError(
                f"no slot of generation {number:03d} is free: each has an outcome, or a genome "
                "that a person put there",
                hint=f"tell the outcomes that are missing, then `evomerge ask {run}`",
            )
        folder.propose(free[-1].id, genome, PROPOSE_OPERATOR)
        return free[-1].id


# --------------------------------------------------------------------------------------


def _evolution(folder: RunFolder) -> Evolution:
    """The run's own loop, with nothing that scores.

    Raises:
        UsageError: What decides the merges is not what the run was started with.
    """
    recipe = folder.recipe
    locked = folder.lock.resolved
    # A simulated run has no tasks, and nothing that evomerge scores with.
    plan = evaluation_of(recipe, Options()) if "tasks" in locked else None
    evolution = Evolution(recipe, folder, _Outside(plan))
    now = {
        "models": {alias: model.identity for alias, model in evolution.world.sources.items()},
        "template": f"{recipe.template.name} sha256:{recipe.template.sha256}",
        "versions": {"mergekit": importlib.metadata.version("mergekit")},
    }
    now = {key: value for key, value in now.items() if key in locked}
    then = {key: locked[key] for key in now}
    if "versions" in then:
        then["versions"] = {"mergekit": then["versions"].get("mergekit")}
    drift = resolved_changes(then, now)
    if drift:
        raise UsageError(
            f"this machine is not set up as the run {folder.root} was started with:\n"
            + "\n".join(f"    {line}" for line in drift),
            hint="install what the lock names; `evomerge evolve --accept-lock` mixes the two",
            place=Place(str(folder.root / "recipe.lock.yaml")),
        )
    return evolution


def _advance(evolution: Evolution, generations: int) -> State:
    """Replays, seals what is complete, begins what comes next."""
    try:
        ending = evolution.run(generations)
    except _Left as left:
        return _state(left)
    return State((), ending.reason)


def _settle(evolution: Evolution, number: int) -> State:
    """Shares what was just told with equal merges, and seals the generation when that was all.

    The past is replayed only for the seal: there may be thousands of candidates in it.
    """
    try:
        evolution.score(evolution.folder.candidates(number))
    except _Left as left:
        return _state(left)
    return _advance(evolution, number + 1)


def _state(left: _Left) -> State:
    found = []
    for job in left.jobs:
        assert job.genome is not None and job.plan is not None
        found.append(OpenCandidate(CandidateId.parse(job.label), job.genome, job.plan))
    return State(tuple(found))


def _answer(
    id: CandidateId,
    fitness: Fitness | None,
    state: State,
    warnings: tuple[str, ...],
    *,
    changed: bool = True,
) -> Answer:
    left = tuple(candidate.id for candidate in state.open)
    return Answer(id, fitness, changed, not left, left, warnings)


def _known(
    evolution: Evolution, id: CandidateId, fitness: Fitness | None, warnings: tuple[str, ...]
) -> Answer:
    """The answer where the same was told before.

    An earlier call may have ended between the last outcome and the seal.
    """
    if evolution.folder.open_generation() != id.generation:
        return Answer(id, fitness, False, False, (), warnings)
    state = _settle(evolution, id.generation)
    return _answer(id, fitness, state, warnings, changed=False)


def _is_free(candidate: StoredCandidate) -> bool:
    """Whether a genome of the experiment may take the slot; a crossing's is none of them."""
    asked = candidate.lineage.operator != SEED_OPERATOR and not candidate.lineage.crossover
    return asked and not (candidate.done or candidate.edited)


def _stored(folder: RunFolder, id: CandidateId) -> StoredCandidate:
    stored = folder.candidate(id)
    if stored.problem is not None:
        raise stored.problem
    return stored


def _plan(evolution: Evolution, stored: StoredCandidate) -> MergePlan:
    """The candidate's merge; of an open one it is written down, since outcomes belong to it.

    Raises:
        UsageError: It does not compile, which is its outcome.
    """
    assert stored.genome is not None
    if stored.done:
        return compile_recipe(evolution.recipe, genome=stored.genome, world=evolution.world)
    plan = evolution.compile(stored)
    if plan is None:
        raise UsageError(f"{stored.id} has failed: its genome does not compile")
    return plan


def _read(evolution: Evolution, plan: MergePlan, data: object) -> Told:
    """Scores from outside.

    Raises:
        UsageError: They cannot be used.
    """
    assert evolution.recipe.evaluation is not None
    told = read_scores(
        data,
        evolution.recipe.evaluation,
        lambda: evaluation_of(evolution.recipe, Options()),
        key=told_key(plan),
        measured_key=lambda asked: eval_key(plan.merge_key, asked),
    )
    tokens = any(items.tokens for items in told.scores.items.values())
    if fit.TOKENS in evolution.search.objectives and not tokens:
        raise UsageError(
            "objective 'tokens' needs the lengths of the answers",
            hint='tell them with items: {"set": NAME, "values": [...], "tokens": [...]}',
        )
    return told


def _equal(old: Scores | None, new: Scores) -> bool:
    """Whether scores say the same; those without items say nothing about items."""
    if old is None or old.domains != new.domains:
        return False
    return not new.items or old.items == new.items


def _must_equal(folder: RunFolder, stored: StoredCandidate, *, same: bool) -> None:
    """An outcome stands: other work may have built on it.

    Raises:
        UsageError: Something else is told.
    """
    if same:
        return
    id, root = stored.id, folder.root
    file, has = "scores.yaml", "other scores"
    if stored.failure is not None:
        file, has = "failure.yaml", f"failed ({stored.failure.reason})"
    hint = f"remove {root / 'generations' / str(id) / file} first"
    if id.generation != folder.open_generation():
        hint = f"it is sealed; branch off: evomerge fork {root}@{id.generation:03d} DEST"
    raise UsageError(f"{id} has an outcome already: {has}", hint=hint)
