"""Executor ``warm``: workers that merge in memory, into the model that they score.

A candidate costs the bytes of its merge and the forward passes of its evaluation. Its tensors
equal those of executor ``cli`` bit for bit. What cannot be merged in memory goes through the
command, which is announced once.

Where the CPU merges and a GPU scores, other workers merge the next candidates meanwhile, by the
same code, each into a model folder that is removed when it is scored. vLLM needs such a folder
too.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

from evomerge_compiler import worker
from evomerge_compiler.executors.base import Job, JobResult
from evomerge_compiler.executors.local import LocalExecutor, remove_model
from evomerge_compiler.executors.pool import Step, Work

LOG = logging.getLogger(__name__)
_Ways = Generator[Step, Any, JobResult | worker.NotInMemory]


class WarmExecutor(LocalExecutor):
    """Merges in memory and evaluates, in worker processes; see :class:`LocalExecutor`."""

    _told = False
    _in_memory = True

    def _candidate(self, index: int, job: Job) -> Work:
        reason = self._needs_folder()
        if not reason:
            if self.placement.overlaps or self.evaluation.backend == "vllm":
                done = yield from self._ahead(index, job)
            else:
                done = yield from self._at_once(job)
            if isinstance(done, JobResult):
                return done
            reason = done.reason
        if not self._told:
            LOG.warning("merging through mergekit-yaml and the disk: %s", reason)
            self._told = True
        return (yield from super()._candidate(index, job))

    def _needs_folder(self) -> str:
        """Why every model has to be on disk, or nothing."""
        if self.settings.keep_models:
            return "the models are to be kept"
        programs = [task.domain for task in self.evaluation.tasks if task.external]
        return f"a program judges {programs[0]}, and reads a model folder" if programs else ""

    def _at_once(self, job: Job) -> _Ways:
        """Merges into the model that is scored, in one call."""
        assert job.plan is not None
        args = (
            job.plan,
            self._sources(job.plan),
            self._placed()[0],
            job.splits,
            self.settings.work,
            self._merge_options(),
            job.race,
        )
        # The call announces its phases, each with its own limit.
        done = yield Step("merge", worker.merge_and_score, args)
        if isinstance(done, worker.Scored):
            return JobResult(done.scores, merge_s=done.merge_s, evaluate_s=done.evaluate_s)
        assert isinstance(done, worker.NotInMemory)
        return done

    def _ahead(self, index: int, job: Job) -> _Ways:
        """Merges into a folder, which is scored when a GPU is free."""
        assert job.plan is not None
        out = self._candidate_folder(index, job)
        try:
            merged = yield self._merge(job.plan, out, worker.merge_in_memory)
            if isinstance(merged, worker.NotInMemory):
                return merged
            return (yield from self._scored(job, merged))
        finally:
            remove_model(out)
