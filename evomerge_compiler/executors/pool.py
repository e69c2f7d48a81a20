"""Drives jobs through a worker pool: a bounded number in flight, retries, failures as results.

A job is a generator of steps. It is sent each step's value, or gets the step's exception thrown
in, and returns its result; its ``finally`` clauses tidy up however it ends. So an executor says
what a job does, and this module what happens when a worker dies in the middle of it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass
from typing import Any

from evomerge_compiler.candidate import Failure
from evomerge_compiler.errors import EvomergeError, MissingPrerequisite, WorkFailed, full_disk
from evomerge_compiler.executors.base import Job, JobResult
from evomerge_compiler.merging.failures import scrub
from evomerge_compiler.process_pool import RemoteTraceback, WorkerPool
from evomerge_compiler.processes import verdict

LOG = logging.getLogger(__name__)
# A crash or a lack of memory may be another process's doing; a time limit that was hit stands.
RETRIED = frozenset(("crashed", "out_of_memory"))


@dataclass(frozen=True)
class Step:
    """One call in a worker.

    Attributes:
        name: ``merge`` or ``evaluate``, as written to ``failure.yaml``.
        call: Importable callable.
        args: Its arguments, picklable.
        timeout_s: Wall time of the call after which its worker is killed; None is no limit.
    """

    name: str
    call: Callable[..., Any]
    args: tuple[object, ...]
    timeout_s: float | None = None


Work = Generator[Step, Any, JobResult]
_Pools = Mapping[str, WorkerPool]


@dataclass
class _Flight:
    """A job under way: its generator, the step it waits for, and the tries of that step."""

    index: int
    label: str
    work: Work
    step: Step | None = None
    tries: int = 0


def drive(
    jobs: Sequence[Job],
    work: Callable[[int, Job], Work],
    pool: WorkerPool,
    *,
    merging: WorkerPool | None = None,
    n_at_once: int,
    retries: int,
    abandon: Callable[[], None],
) -> Iterator[tuple[int, JobResult]]:
    """Runs jobs and yields each result as it completes.

    Args:
        jobs: What to run.
        work: Makes the generator of a job from its index and the job.
        pool: Runs the steps.
        merging: Runs those called ``merge`` in its place: they then overlap evaluations.
        n_at_once: Jobs that are begun and not finished, at most: each may hold a model on disk.
        retries: Further tries of a step whose worker crashed.
        abandon: Ends all workers; called when jobs are left because of an error, or because the
            caller stops asking for results.

    Raises:
        EvomergeError: What stops every job.
    """
    waiting = deque(enumerate(jobs))
    pools = {"merge": merging or pool, "evaluate": pool}
    flights: dict[Future[Any], _Flight] = {}
    try:
        while waiting or flights:
            while waiting and len(flights) < n_at_once:
                index, job = waiting.popleft()
                flight = _Flight(index, job.label, work(index, job))
                result = _advance(flight, pools, flights, lambda w: next(w))
                if result is not None:
                    yield index, result
            done, _ = wait(flights, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda future: flights[future].index):
                flight = flights.pop(future)
                try:
                    result = _land(flight, future, pools, flights, retries)
                except BaseException:
                    flight.work.close()  # nothing of it is running, and it is among no flights
                    raise
                if result is not None:
                    yield flight.index, result
    finally:
        if flights:
            abandon()  # first: what a worker still writes could not be tidied up
            for flight in flights.values():
                flight.work.close()


def _advance(
    flight: _Flight,
    pools: _Pools,
    flights: dict[Future[Any], _Flight],
    resume: Callable[[Work], Step],
) -> JobResult | None:
    """Runs a job's own code up to its next step, which is submitted, or to its result."""
    try:
        flight.step = resume(flight.work)
    except StopIteration as end:
        result: JobResult = end.value
        return result
    except WorkFailed as error:
        return JobResult(failure=failure_of(error, flight.step))
    except OSError as error:
        full = full_disk(error)
        if full is None:
            raise
        raise full from error
    flight.tries = 0
    _submit(flight, pools, flights)
    return None


def _submit(flight: _Flight, pools: _Pools, flights: dict[Future[Any], _Flight]) -> None:
    step = flight.step
    assert step is not None
    flight.tries += 1
    pool = pools[step.name]
    flights[pool.submit(step.call, *step.args, timeout_s=step.timeout_s)] = flight


def _land(
    flight: _Flight,
    future: Future[Any],
    pools: _Pools,
    flights: dict[Future[Any], _Flight],
    retries: int,
) -> JobResult | None:
    """Takes a step's end: goes on with its value, tries it again, or ends the job."""
    error = future.exception()
    if error is None:
        value = future.result()
        return _advance(flight, pools, flights, lambda work: work.send(value))
    failed = as_work_failed(error, flight.step)
    if failed.reason in RETRIED and flight.tries <= retries:
        LOG.warning("%s: %s; trying again", flight.label, failed.message)
        _submit(flight, pools, flights)
        return None
    return _advance(flight, pools, flights, lambda work: work.throw(failed))


def as_work_failed(error: BaseException, step: Step | None) -> WorkFailed:
    """What a step raised, as the failure of its candidate.

    Raises:
        EvomergeError: It is no candidate's own fault; every other job would meet it too.
        BaseException: It is no error of the work: an interrupt, a closed pool.
    """
    if isinstance(error, WorkFailed):
        return error
    if isinstance(error, EvomergeError | CancelledError | KeyboardInterrupt):
        raise error
    full = full_disk(error)
    if full is not None:
        raise full from error
    if isinstance(error, ImportError):
        raise MissingPrerequisite(
            f"a worker cannot import what it needs: {error}",
            hint="install evomerge-compiler again, in an environment of its own",
        ) from error
    # Models and judges can raise anything. One candidate's surprise must not end a night's run,
    # and max_failed_share speaks up when it is no surprise but a bug.
    LOG.warning("unexpected error in %s", step.name if step else "a job", exc_info=error)
    remote = error.__cause__
    where = remote.phase if isinstance(remote, RemoteTraceback) else ""
    return WorkFailed(_first_line(error), reason=verdict(error), step=where)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {scrub(lines[0])}" if lines else type(error).__name__


def failure_of(error: WorkFailed, step: Step | None) -> Failure:
    """The failure that is written down: where, why, and a message that is the same anywhere."""
    # A call of several steps announces each; of one that does not we know what it was for.
    where = error.step
    if where not in ("compile", "merge", "evaluate"):
        where = step.name if step else "merge"
    return Failure(step=where, reason=error.reason, message=scrub(error.message))
