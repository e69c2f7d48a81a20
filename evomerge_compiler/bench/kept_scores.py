"""Scores of merges kept on disk, so that an experiment of hours goes on where it was interrupted.

A merge is scored once for each evaluation, whoever asks for it: several searches meet in the same
merges. One file serves several processes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from evomerge_compiler.compiler import MergePlan
from evomerge_compiler.executors.base import Executor, Job, JobResult, Split
from evomerge_compiler.genome import Genome

_JSON = TypeAdapter(JobResult)
_TABLE = """
create table if not exists results (
  eval_key text primary key, merge_key text, split text, genome text, result text
) without rowid
"""
# How long to wait for another process that writes.
_PATIENCE_S = 60.0


class KeptScores:
    """Scores merges through an executor, each but once.

    Failures are kept as well: a search that is gone through again must meet the same ones.

    Args:
        path: The file, SQLite; made where there is none.
        executor: Merges and scores what is not there; used by one thread at a time.
    """

    def __init__(self, path: Path, executor: Executor) -> None:
        self.executor = executor
        self.n_scored = 0
        self._file = sqlite3.connect(path, timeout=_PATIENCE_S, check_same_thread=False)
        with self._file:
            self._file.execute("pragma journal_mode = wal")
            self._file.execute(_TABLE)

    def score(
        self,
        plans: Sequence[MergePlan],
        split: Split = "search",
        genomes: Sequence[Genome] | None = None,
    ) -> list[JobResult]:
        """What became of merges, in their order; equal ones share a result.

        Args:
            plans: ``(n,)`` merges.
            split: The items.
            genomes: ``(n,)`` what they were compiled from, kept for those who analyse the file.
        """
        jobs = [Job(plan.merge_key[:12], plan=plan, splits=(split,)) for plan in plans]
        keys = [self.executor.eval_key(job, split) for job in jobs]
        found = {key: kept for key in dict.fromkeys(keys) if (kept := self._kept(key)) is not None}
        missing = [at for at, key in enumerate(keys) if key not in found]
        # Of equal merges the first is scored.
        missing = list({keys[at]: at for at in reversed(missing)}.values())[::-1]
        for index, result in self._run([jobs[at] for at in missing]):
            at = missing[index]
            genome = json.dumps(genomes[at].plain()) if genomes is not None else None
            self._keep(keys[at], plans[at].merge_key, split, genome, result)
            found[keys[at]] = result
        return [found[key] for key in keys]

    def close(self) -> None:
        """Closes the file; the executor is its owner's."""
        self._file.close()

    def _run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, JobResult]]:
        """Results as they come: an interrupt loses no more than what is under way."""
        self.n_scored += len(jobs)
        return self.executor.run(jobs) if jobs else iter(())

    def _kept(self, eval_key: str) -> JobResult | None:
        query = "select result from results where eval_key = ?"
        row = self._file.execute(query, (eval_key,)).fetchone()
        return None if row is None else _JSON.validate_json(row[0])

    def _keep(
        self, eval_key: str, merge_key: str, split: Split, genome: str | None, result: JobResult
    ) -> None:
        row = (eval_key, merge_key, split, genome, _JSON.dump_json(result).decode())
        with self._file:
            self._file.execute("insert or ignore into results values (?, ?, ?, ?, ?)", row)
