"""Executor ``cli``: worker processes on this machine that merge by running ``mergekit-yaml``.

Every worker has one torch thread, a GPU of its own where there are some, and keeps an evaluation
session. A candidate's weights are removed as soon as it is scored: they can be made again from its
recipe. Stages stay, below a limit, for other candidates that share them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evomerge_compiler import worker
from evomerge_compiler.compiler import MergePlan
from evomerge_compiler.compiler.merge_plan import WrittenMerge
from evomerge_compiler.compiler.model_headers import SourceModel
from evomerge_compiler.errors import WorkFailed
from evomerge_compiler.evaluation.spec import EvaluationPlan, eval_key
from evomerge_compiler.executors.base import Executor, Job, JobResult, Split
from evomerge_compiler.executors.placement import NO_GPU, Placement, place, placed, tell
from evomerge_compiler.executors.pool import Step, Work, drive
from evomerge_compiler.merging.cli import MergedModel
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.merging.parents import PARENTS
from evomerge_compiler.merging.sources import link_source, materialise
from evomerge_compiler.merging.stage_cache import StageCache
from evomerge_compiler.process_pool import WorkerPool
from evomerge_compiler.processes import worker_environment


@dataclass(frozen=True)
class LocalSettings:
    """How the local executor works; nothing here changes a score.

    Attributes:
        work: Folder for stages, candidates and converted sources, ignored by git.
        recipe_folder: What relative paths in the recipe are relative to.
        n_workers: Jobs at a time.
        merge: Flags of mergekit.
        timeout_s: For one merge, and for one evaluation.
        retries: Further tries after a crash.
        stage_limit_bytes: Stages are kept up to here, those used last first.
        offline: Models are not fetched from the hub.
        keep_models: Leave every merged model under ``work/candidates``.
    """

    work: Path
    recipe_folder: Path
    n_workers: int = 1
    merge: MergeOptions = field(default_factory=MergeOptions)
    timeout_s: float | None = None
    retries: int = 1
    stage_limit_bytes: int = 20_000_000_000
    offline: bool = False
    keep_models: bool = False


class LocalExecutor(Executor):
    """Merges and evaluates in worker processes.

    Args:
        evaluation: How models are scored.
        settings: How the work is done.
    """

    # Whether merges that are written for others are made by the workers themselves.
    _in_memory = False

    def __init__(self, evaluation: EvaluationPlan, settings: LocalSettings) -> None:
        self.evaluation = evaluation
        self.settings = settings
        self._pool: WorkerPool | None = None
        self._mergers: WorkerPool | None = None
        self._folders: dict[str, Path] = {}
        self._placement: Placement | None = None

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, JobResult]]:
        """See :class:`~evomerge_compiler.executors.base.Executor`."""
        if self._pool is None:
            self._pool = self._workers(self.placement)
            if self.placement.overlaps:
                self._mergers = self._workers(NO_GPU)
            tell(self.placement, self.settings.n_workers)
        yield from drive(
            jobs,
            self._work,
            self._pool,
            merging=self._mergers,
            # One is scored by each worker, and one is merged or waits for it.
            n_at_once=self.settings.n_workers * (1 if self._mergers is None else 2),
            retries=self.settings.retries,
            abandon=self.close,
        )

    def eval_key(self, job: Job, split: Split) -> str:
        """See :class:`~evomerge_compiler.executors.base.Executor`."""
        return eval_key(identity(job), self.evaluation, split)

    def close(self) -> None:
        """Ends all workers and what they have started."""
        for pool in (self._pool, self._mergers):
            if pool is not None:
                pool.close()
        self._pool = self._mergers = None

    @property
    def placement(self) -> Placement:
        """Where its workers compute; looked up when the first of them is needed."""
        if self._placement is None:
            self._placement = place(self.evaluation.device, self.settings.merge)
        return self._placement

    def _workers(self, placement: Placement) -> WorkerPool:
        return WorkerPool(
            self.settings.n_workers,
            environment=worker_environment(offline=self.evaluation.offline),
            own=placement.environment,
        )

    def _placed(self) -> tuple[EvaluationPlan, MergeOptions]:
        """Evaluation and merge as a worker is told of them."""
        settings = self.settings
        merge = replace(settings.merge, timeout_s=settings.timeout_s, offline=settings.offline)
        return placed(self.evaluation, merge, self.placement, settings.n_workers)

    # -- one job ------------------------------------------------------------------------------

    def _work(self, index: int, job: Job) -> Work:
        if job.model is not None:
            folder = self._folder(job.model)
            scores, seconds = yield self._evaluate(folder, job)
            return JobResult(scores, evaluate_s=seconds)
        assert job.plan is not None
        parents = StageCache(self.settings.work / PARENTS)
        with ExitStack() as held:
            yield from self._written(job.plan, parents, held)
            result: JobResult = yield from self._candidate(index, job)
        parents.prune(self.settings.stage_limit_bytes)
        return result

    def _written(
        self, plan: MergePlan, cache: StageCache, held: ExitStack
    ) -> Generator[Step, Any, None]:
        """Sees to it that the merges which a plan reads as models are on disk, and stay there."""
        for model in plan.models.values():
            if not isinstance(model, WrittenMerge):
                continue
            key = model.plan.merge_key
            if not cache.is_whole(key):
                yield from self._written(model.plan, cache, held)
                yield self._write(model.plan)
            folder = held.enter_context(cache.stage(key, _gone))
            self._folders[model.identity] = folder
            link_source(self.settings.work, model.alias, folder)

    def _write(self, plan: MergePlan) -> Step:
        args = (
            plan,
            self._sources(plan),
            self.settings.work,
            self._merge_options(),
            self._in_memory,
        )
        return Step("merge", worker.write_parent, args, self._merge_limit_s())

    def _candidate(self, index: int, job: Job) -> Work:
        """Merges a candidate to disk, scores it, and removes it."""
        assert job.plan is not None
        out = self._candidate_folder(index, job)
        try:
            merged = yield self._merge(job.plan, out, worker.merge_plan)
            return (yield from self._scored(job, merged))
        finally:
            if not self.settings.keep_models:
                remove_model(out)
            StageCache(self.settings.work / "stages").prune(self.settings.stage_limit_bytes)

    def _candidate_folder(self, index: int, job: Job) -> Path:
        return self.settings.work / "candidates" / candidate_folder(index, job.label)

    def _scored(self, job: Job, merged: MergedModel) -> Work:
        """Scores a merged model."""
        scores, seconds = yield self._evaluate(merged.path, job)
        scores = {
            split: replace(found, weights=merged.tensors_sha256) for split, found in scores.items()
        }
        return JobResult(scores, merge_s=merged.seconds, evaluate_s=seconds)

    def _merge(self, plan: MergePlan, out: Path, call: Callable[..., object]) -> Step:
        args = (plan, self._sources(plan), self.settings.work, out, self._merge_options())
        return Step("merge", call, args, self._merge_limit_s())

    def _merge_limit_s(self) -> float | None:
        limit_s = self.settings.timeout_s
        return None if limit_s is None else limit_s + worker.MERGE_SLACK_S

    def _merge_options(self) -> MergeOptions:
        return self._placed()[1]

    def _sources(self, plan: MergePlan) -> dict[str, Path]:
        return {alias: self._folder(model) for alias, model in plan.models.items()}

    def _evaluate(self, folder: Path, job: Job) -> Step:
        evaluation, limit_s = self._placed()[0], self.settings.timeout_s
        args = (evaluation, folder, job.splits, identity(job), job.race, limit_s)
        # The call announces its phases, each with its own limit.
        return Step("evaluate", worker.score_model, args)

    def _folder(self, model: SourceModel) -> Path:
        if model.identity not in self._folders:
            self._folders[model.identity] = materialise(
                model,
                self.settings.recipe_folder,
                self.settings.work,
                offline=self.settings.offline,
                trust_remote_code=self.settings.merge.trust_remote_code,
            )
        return self._folders[model.identity]


def _gone(_part: Path) -> str:
    message = "a parent was removed from disk while it was needed"
    raise WorkFailed(message, reason="crashed", step="merge")


def identity(job: Job) -> str:
    """What a job's scores are scores of: a merge, or a model as it is."""
    if job.plan is not None and job.model is None:
        return job.plan.merge_key
    if job.model is not None and job.plan is None:
        return job.model.identity
    raise ValueError(f"job {job.label} needs a plan or a model, and not both")


def candidate_folder(index: int, label: str) -> str:
    """A folder name for a job's model: its label where that is safe in mergekit's paths."""
    safe = "".join(char if char.isalnum() or char in "-_" else "-" for char in label)
    return f"{index:04d}-{safe}"


def remove_model(folder: Path) -> None:
    """Removes a merged model, whole or half written."""
    for path in (folder, folder.with_name(f".{folder.name}.part")):
        if path.exists():
            shutil.rmtree(path)
