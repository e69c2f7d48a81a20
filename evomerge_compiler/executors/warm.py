"""Executor ``warm``: workers that merge in memory, into the model that they score.

A candidate costs the bytes of its merge and the forward passes of its evaluation. Its tensors
equal those of executor ``cli`` bit for bit. What cannot be merged in memory goes through the
command, which is announced once.
"""

from __future__ import annotations

import logging

from evomerge_compiler import worker
from evomerge_compiler.executors.base import Job, JobResult
from evomerge_compiler.executors.local import LocalExecutor
from evomerge_compiler.executors.pool import Step, Work

LOG = logging.getLogger(__name__)


class WarmExecutor(LocalExecutor):
    """Merges in memory and evaluates, in worker processes; see :class:`LocalExecutor`."""

    _told = False

    def _candidate(self, index: int, job: Job) -> Work:
        reason = self._needs_folder()
        if not reason:
            assert job.plan is not None
            done = yield self._merge_and_score(job)
            if isinstance(done, worker.Scored):
                return JobResult(done.scores, merge_s=done.merge_s, evaluate_s=done.evaluate_s)
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

    def _merge_and_score(self, job: Job) -> Step:
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
        return Step("merge", worker.merge_and_score, args)
