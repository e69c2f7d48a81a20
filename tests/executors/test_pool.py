"""Jobs through a worker pool: what a failure says of where it was."""

from __future__ import annotations

import errno

import pytest

from evomerge_compiler.errors import MissingPrerequisite
from evomerge_compiler.executors.base import Job, JobResult
from evomerge_compiler.executors.pool import Step, Work, drive
from evomerge_compiler.process_pool import WorkerPool, announce


class Lost(Exception):
    """Cannot be unpickled."""

    def __init__(self, one: object, two: object) -> None:
        super().__init__("lost")


def surprise(phase: str, kind: str) -> None:
    if phase:
        announce(phase)
    raise Lost(1, 2) if kind == "lost" else KeyError("max_gen_tok")


@pytest.mark.parametrize("kind", ["plain", "lost"])
def test_a_surprise_is_told_of_the_step_that_was_announced(kind: str) -> None:
    def work(index: int, job: Job) -> Work:
        phase = ("merge", "evaluate", "")[index]
        yield Step("merge", surprise, (phase, kind))
        return JobResult()

    with WorkerPool(1) as pool:
        jobs = [Job(name) for name in ("000/c00", "000/c01", "000/c02")]
        found = dict(drive(jobs, work, pool, n_at_once=1, retries=0, abandon=pool.close))
    failures = [found[index].failure for index in range(3)]
    assert [f.step for f in failures if f] == ["merge", "evaluate", "merge"]
    assert {f.reason for f in failures if f} == {"crashed"}


def stop_the_run(lacking: str) -> None:
    raise MissingPrerequisite(f"there is no {lacking}")


def test_what_stops_the_run_closes_the_job_that_met_it() -> None:
    begun, closed = [], []

    def steps(index: int) -> Work:
        try:
            yield Step("merge", stop_the_run, ("mergekit",))
        finally:
            closed.append(index)
        return JobResult()

    def work(index: int, job: Job) -> Work:
        begun.append(steps(index))  # held: a generator that nobody refers to closes itself
        return begun[-1]

    with WorkerPool(1) as pool, pytest.raises(MissingPrerequisite, match="no mergekit"):
        list(drive([Job("c")], work, pool, n_at_once=1, retries=0, abandon=pool.close))
    assert len(begun) == 1 and closed == [0]


def write_where_nothing_fits(number: int) -> None:
    raise OSError(number, "nothing more can be written", "/somewhere/model.safetensors")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("where", ["worker", "job"])
def test_a_full_disk_stops_the_run(number: int, where: str) -> None:
    def work(index: int, job: Job) -> Work:
        if where == "job":
            write_where_nothing_fits(number)
        yield Step("merge", write_where_nothing_fits, (number,))
        return JobResult()

    with WorkerPool(1) as pool, pytest.raises(MissingPrerequisite) as caught:
        list(drive([Job("c")], work, pool, n_at_once=1, retries=1, abandon=pool.close))
    assert "/somewhere/model.safetensors" in caught.value.message
    assert caught.value.hint is not None and "free some space" in caught.value.hint


def test_another_error_of_the_system_is_the_candidates() -> None:
    def work(index: int, job: Job) -> Work:
        yield Step("merge", write_where_nothing_fits, (errno.EACCES,))
        return JobResult()

    with WorkerPool(1) as pool:
        found = list(drive([Job("c")], work, pool, n_at_once=1, retries=0, abandon=pool.close))
    assert found[0][1].failure is not None and found[0][1].failure.reason == "crashed"
