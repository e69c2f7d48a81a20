"""Keeps actors on a Ray cluster at work: one thread and one actor a slot, one queue for all.

Ray places the actors and tells when one is gone; nothing here schedules. Whatever the reason, an
actor that is gone is replaced, and its job goes back to the queue, where any slot may take it.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evomerge_compiler.candidate import Failure
from evomerge_compiler.errors import MissingPrerequisite
from evomerge_compiler.executors.base import Job, JobResult
from evomerge_compiler.executors.ray_node import Answer

if TYPE_CHECKING:
    from ray.actor import ActorHandle

LOG = logging.getLogger(__name__)
# A job that takes this many actors along is to blame itself.
MAX_LOST = 3
# Actors that end before they are ready, one after another, are no accident.
MAX_FALSE_STARTS = 5
NOTICE_S = 30.0
STOP_S = 10.0


@dataclass
class _Task:
    job: Job
    future: Future[JobResult] = field(default_factory=Future)
    n_lost: int = 0


class _Closing(Exception):
    """The pool closes: whoever waits stops waiting."""


class RayPool:
    """Runs jobs in actors.

    Args:
        n_slots: Jobs at a time.
        start: Asks Ray for an actor of :class:`.ray_node.NodeSlot`.
        needs: What ``start`` asks for, in words.
        wait_s: How long to wait for a node when no slot has one.
    """

    def __init__(
        self, n_slots: int, start: Callable[[], ActorHandle], needs: str, *, wait_s: float
    ) -> None:
        self._start = start
        self._needs = needs
        self._wait_s = wait_s
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._ready: set[Any] = set()
        self._actors: set[Any] = set()
        self._broken: Exception | None = None
        self._told: set[str] = set()
        self._closing: Future[None] = Future()
        self._threads = [
            threading.Thread(target=self._attend, name=f"ray-slot-{index}", daemon=True)
            for index in range(n_slots)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> Future[JobResult]:
        """Queues a job.

        Returns:
            A future that ends with the job's result, or with the error that stops every job. It
            is cancelled when the pool closes first.
        """
        task = _Task(job)
        with self._lock:
            if self._broken is not None:
                task.future.set_exception(self._broken)
            else:
                self._tasks.put(task)
        return task.future

    def close(self) -> None:
        """Ends all workers and actors; jobs that were waiting or running are cancelled."""
        import ray

        self._closing.set_result(None)
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()
        self._empty(None)
        with _cluster_may_be_gone():
            # A killed actor would take its worker along, and leave its folder.
            stopped = [actor.stop.remote() for actor in self._ready]
            if stopped:
                ray.wait(stopped, num_returns=len(stopped), timeout=STOP_S)
        for actor in list(self._actors):
            self._drop(actor)

    # -- one slot -----------------------------------------------------------------------------

    def _attend(self) -> None:
        """One thread's life: keeps one actor, hands it one job at a time."""
        actor: ActorHandle | None = None
        task: _Task | None = None
        try:
            while not self._closing.done():
                actor = actor or self._new_actor()
                task = self._tasks.get()
                if task is None:
                    break
                if not self._run(actor, task):
                    self._drop(actor)
                    actor = None
                task = None
        except _Closing:
            if task is not None:
                task.future.cancel()
        except Exception as error:  # a slot that ends in silence would leave the run waiting
            if task is not None:
                self._tasks.put(task)
            self._break(error)

    def _run(self, actor: ActorHandle, task: _Task) -> bool:
        """Runs a job; False when the actor is lost."""
        from ray.exceptions import RayError, RayTaskError

        try:
            answer = self._answer(actor.run.remote(task.job))
        except RayTaskError as error:
            task.future.set_exception(error.cause or error)
            return True
        except RayError as error:
            self._lost(task, error)
            return False
        for note in answer.notes:
            self._tell(note)
        if answer.error is not None:
            task.future.set_exception(answer.error)
        else:
            assert answer.result is not None
            task.future.set_result(answer.result)
        return True

    def _lost(self, task: _Task, error: Exception) -> None:
        """Runs a job again whose actor is gone, unless it is to blame itself."""
        task.n_lost += 1
        if task.n_lost < MAX_LOST:
            LOG.warning("%s: its worker %s; trying again", task.job.label, _what_became(error))
            LOG.info("%s", error)
            self._tasks.put(task)
            return
        reason = "out_of_memory" if _for_memory(error) else "crashed"
        step = "evaluate" if task.job.plan is None else "merge"
        message = f"its worker {_what_became(error)}, {MAX_LOST} times"
        task.future.set_result(JobResult(failure=Failure(step, reason, message)))

    def _new_actor(self) -> ActorHandle:
        """An actor that is placed and ready.

        Raises:
            MissingPrerequisite: There is no place for it, or its node is not as it must be.
        """
        from ray.exceptions import RayError, RayTaskError

        for _ in range(MAX_FALSE_STARTS):
            actor = self._start()
            self._actors.add(actor)
            try:
                answer = self._answer(actor.prepare.remote(), self._while_waiting())
            except RayError as error:
                if isinstance(error, RayTaskError) or getattr(error, "actor_init_failed", False):
                    raise _unusable(error) from error
                became = _what_became(error)
                LOG.info("%s", error)
                self._drop(actor)
                continue
            if answer.error is not None:
                raise answer.error
            self._ready.add(actor)
            return actor
        raise MissingPrerequisite(
            f"{MAX_FALSE_STARTS} workers in a row ended before they were ready: the last {became}",
            hint="see /tmp/ray/session_latest/logs on the nodes, and evomerge -v",
        )

    def _answer(self, ref: Any, notices: Iterator[float | None] | None = None) -> Answer:
        """The value of a call, unless the pool closes first."""
        future = ref.future()
        while True:
            limit_s = next(notices) if notices else None
            done, _ = wait((future, self._closing), limit_s, return_when=FIRST_COMPLETED)
            if self._closing in done:
                raise _Closing
            if done:
                answer: Answer = future.result()
                return answer

    def _while_waiting(self) -> Iterator[float]:
        """Seconds to wait for a node, again and again; says so, and gives up in the end."""
        waited_s = 0.0
        while waited_s < self._wait_s or self._ready:
            yield min(NOTICE_S, self._wait_s)
            waited_s += NOTICE_S
            self._tell(f"waiting for a node of the Ray cluster that has {self._needs} free")
        raise MissingPrerequisite(
            f"no node of the Ray cluster has had {self._needs} free for {self._wait_s:g} s",
            hint="see `ray status`; the recipe's ray: section says what a worker asks for",
        )

    def _drop(self, actor: ActorHandle) -> None:
        """Ends an actor, if it is not gone, and all it holds."""
        import ray

        self._ready.discard(actor)
        self._actors.discard(actor)
        with _cluster_may_be_gone():
            ray.kill(actor)

    # -- all slots ----------------------------------------------------------------------------

    def _break(self, error: Exception) -> None:
        """Nothing can be run any more."""
        with self._lock:
            self._broken = self._broken or error
        self._empty(self._broken)

    def _empty(self, error: Exception | None) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                task = self._tasks.get_nowait()
                if task is not None and error is None:
                    task.future.cancel()
                elif task is not None:
                    task.future.set_exception(error)

    def _tell(self, note: str) -> None:
        """A warning that several slots may have, once."""
        with self._lock:
            known = note in self._told
            self._told.add(note)
        if not known:
            LOG.warning("%s", note)


def _for_memory(error: Exception) -> bool:
    from ray.exceptions import OutOfMemoryError

    return isinstance(error, OutOfMemoryError)


def _what_became(error: Exception) -> str:
    if _for_memory(error):
        return "was killed by Ray for lack of memory"
    return "was lost with its node or actor"


def _unusable(error: Exception) -> MissingPrerequisite:
    """The error for a node where the class of the actors cannot even be imported."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return MissingPrerequisite(
        f"a node of the Ray cluster cannot run evomerge: {lines[-1]}",
        hint="install evomerge-compiler, in the same version, on every node",
    )


@contextmanager
def _cluster_may_be_gone() -> Iterator[None]:
    """What tidies up a cluster has nothing to do when there is none."""
    from ray.exceptions import RayError

    with contextlib.suppress(RayError, ConnectionError, ValueError):
        yield
