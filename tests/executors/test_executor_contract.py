"""What every executor promises, whatever becomes of its jobs."""

from __future__ import annotations

import time
from typing import Any

from evomerge_compiler.executors.base import Executor, Job, JobResult

TIMEOUT_S = 6.0  # time enough for the others on a busy machine


def run(executor: Executor, jobs: list[Job]) -> dict[int, JobResult]:
    results = list(executor.run(jobs))
    found = dict(results)
    assert len(found) == len(results) == len(jobs), "one result for each job"
    for result in found.values():
        assert bool(result.scores) != (result.failure is not None), "a score or a failure"
    return found


def test_each_job_gets_its_own_result(any_kit: Any) -> None:
    values = [0.1 * i for i in range(4)]
    jobs = [any_kit.job(f"000/c{i:02d}", f"score {v}") for i, v in enumerate(values)]
    with any_kit.executor(2) as executor:
        found = run(executor, jobs)
        for index, job in enumerate(jobs):
            scores = found[index].scores["search"]
            assert scores.eval_key == executor.eval_key(job, "search")
    keys = {result.scores["search"].eval_key for result in found.values()}
    assert len(keys) == len(jobs)


def test_every_split_that_is_asked_for(any_kit: Any) -> None:
    splits = ("search", "full_search", "held_out")
    job = any_kit.job("winner", splits=splits)
    with any_kit.executor(1) as executor:
        (result,) = run(executor, [job]).values()
        assert tuple(result.scores) == splits
        keys = {split: executor.eval_key(job, split) for split in splits}
    assert {split: scores.eval_key for split, scores in result.scores.items()} == keys
    assert keys["search"] != keys["held_out"]
    # No kit has a limit.
    assert keys["search"] == keys["full_search"]
    assert result.scores["search"].domains == result.scores["full_search"].domains


def test_scores_do_not_depend_on_the_number_of_workers(any_kit: Any) -> None:
    jobs = [any_kit.job(f"j{i}", f"slow {(4 - i) / 20}") for i in range(4)]
    found = []
    for n_workers in (1, 2):
        with any_kit.executor(n_workers) as executor:
            results = run(executor, jobs)
            found.append([results[i].scores for i in range(4)])
    assert found[0] == found[1]


def test_a_failure_is_a_result_and_the_rest_goes_on(any_kit: Any) -> None:
    jobs = [any_kit.job("bad", "fail")]
    with any_kit.executor(1) as executor:
        (result,) = run(executor, jobs).values()
    assert result.failure is not None
    assert result.failure.reason == "crashed"
    assert result.failure.step in ("merge", "evaluate")


def test_a_crash_costs_one_retry(any_kit: Any) -> None:
    jobs = [any_kit.job("once", "crash_once"), any_kit.job("good")]
    with any_kit.executor(1) as executor:
        found = run(executor, jobs)
    assert found[0].failure is None and found[1].failure is None


def test_a_job_that_always_kills_its_worker_fails_alone(any_kit: Any) -> None:
    jobs = [any_kit.job("good0"), any_kit.job("killer", "crash"), any_kit.job("good1")]
    with any_kit.executor(2) as executor:
        found = run(executor, jobs)
        again = run(executor, [jobs[0]])
    failure = found[1].failure
    # A kill that nobody here sent is what running out of memory looks like.
    assert failure is not None and (failure.step, failure.reason) == ("evaluate", "out_of_memory")
    assert found[0].failure is None and found[2].failure is None
    assert again[0].scores == found[0].scores


def test_a_job_that_hangs_fails_with_timeout_and_keeps_nobody_waiting(
    any_kit: Any, tmp_path: Any
) -> None:
    jobs = [any_kit.job("hang", "hang"), any_kit.job("killer", "crash"), any_kit.job("good")]
    with any_kit.executor(2, timeout_s=TIMEOUT_S) as executor:
        results = list(executor.run(jobs))
    found = dict(results)
    failure = found[0].failure
    assert failure is not None and (failure.step, failure.reason) == ("evaluate", "timeout")
    assert found[2].failure is None
    assert results[-1][0] == 0, "the others did not wait for it"
    # Failures are tracked in git: they must not say where they happened.
    messages = [result.failure.message for result in found.values() if result.failure]
    assert len(messages) == 2 and not [text for text in messages if str(tmp_path) in text]


def test_leaving_early_ends_the_work(any_kit: Any) -> None:
    jobs = [any_kit.job("good"), any_kit.job("hang", "hang")]
    executor = any_kit.executor(2)
    started = time.monotonic()
    results = executor.run(jobs)
    assert next(results)[0] == 0
    results.close()
    assert time.monotonic() - started < 300, "it did not wait for the job that hangs"
    # And it can be used again.
    assert run(executor, [any_kit.job("more")])[0].failure is None
    executor.close()
    executor.close()


def test_no_jobs(any_kit: Any) -> None:
    with any_kit.executor(1) as executor:
        assert run(executor, []) == {}


def test_one_worker_takes_jobs_in_order(any_kit: Any) -> None:
    jobs = [any_kit.job("one"), any_kit.job("two"), any_kit.job("three")]
    with any_kit.executor(1) as executor:
        assert [index for index, _ in executor.run(jobs)] == [0, 1, 2]
