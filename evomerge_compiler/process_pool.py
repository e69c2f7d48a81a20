"""Long-lived Python workers: a crash, a kill or a hang costs one task, never the pool.

Each worker has its own pair of pipes and its own thread in the parent. The usual pools share one
queue and its lock among workers, so that one killed at the wrong moment takes the pool with it
(``concurrent.futures`` gives up on any death; pebble 5.2 on the death of an idle worker).
"""

from __future__ import annotations

import atexit
import fcntl
import io
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import IO, Any, ParamSpec, TypeVar

from evomerge_compiler.errors import WorkFailed
from evomerge_compiler.processes import (
    TAIL_BYTES,
    has_lost_gpu,
    start_process,
    stop_process,
    verdict,
    worker_environment,
)

P = ParamSpec("P")
T = TypeVar("T")

_LOG_LIMIT_BYTES = 1 << 20
# The worker finds modules where its parent does, whatever put them there.
_BOOT = "import sys; sys.path[:] = {path!r}; from {module} import _serve; _serve({read}, {write})"


class WorkerCrashed(WorkFailed):
    """A worker process ended in the middle of a task.

    Args:
        message: What happened.
        returncode: Exit code, or minus the signal's number.
        stderr_tail: The last lines that it wrote.
        phase: The phase of the task that it had announced.
    """

    def __init__(
        self,
        message: str,
        *,
        returncode: int | None = None,
        stderr_tail: str = "",
        phase: str = "worker",
    ) -> None:
        super().__init__(message, reason=verdict(returncode, stderr_tail), step=phase)
        self.returncode = returncode
        self.stderr_tail = stderr_tail

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_crash, (self.message, self.returncode, self.stderr_tail, self.step))


def _rebuild_crash(
    message: str, returncode: int | None, stderr_tail: str, phase: str
) -> WorkerCrashed:
    return WorkerCrashed(message, returncode=returncode, stderr_tail=stderr_tail, phase=phase)


class WorkerTimeout(WorkFailed):
    """A task ran past its time limit and was killed with all it had started.

    Args:
        message: What happened.
        phase: The phase of the task that it had announced.
    """

    def __init__(self, message: str, phase: str = "worker") -> None:
        super().__init__(message, reason="timeout", step=phase)

    def __reduce__(self) -> tuple[object, ...]:
        return (WorkerTimeout, (self.message, self.step))


class RemoteTraceback(Exception):
    """The traceback inside the worker, as the cause of the exception raised here.

    Attributes:
        text: The traceback.
        phase: The phase of the task that it had announced.
    """

    def __init__(self, text: str, phase: str = "worker") -> None:
        super().__init__(text)
        self.text = text
        self.phase = phase

    def __str__(self) -> str:
        return f"\n{self.text}"


@dataclass(frozen=True)
class _Phase:
    """Part of a task, announced by its worker.

    Attributes:
        name: Names it in the errors of a worker that dies or hangs.
        timeout_s: Wall time of this part; None is no limit.
    """

    name: str
    timeout_s: float | None


# In a worker: how to reach the parent. None in every other process.
_answers: Connection | None = None


def announce(phase: str, timeout_s: float | None = None) -> None:
    """Begins a part of the running task that has a name and a time limit of its own.

    Called inside a task. Elsewhere it does nothing, so that the same code runs in-process.

    Args:
        phase: Becomes the ``step`` of :class:`WorkerCrashed` and :class:`WorkerTimeout`.
        timeout_s: Wall time of this part, in place of the limit that held before.
    """
    if _answers is not None:
        _answers.send_bytes(pickle.dumps(_Phase(phase, timeout_s)))


@dataclass(frozen=True)
class _Task:
    call: bytes
    name: str
    timeout_s: float | None
    future: Future[Any]


class WorkerPool:
    """Runs calls in worker processes.

    A worker is started with its first task, runs ``initializer`` once, and keeps its modules and
    caches between tasks. One that died is replaced before the next task. SIGINT never reaches a
    worker: the parent decides. What a worker prints goes to a bounded scratch file, whose end is
    in :class:`WorkerCrashed`.

    Args:
        n_workers: Tasks at a time.
        initializer: Importable callable, run in each new worker.
        initargs: Its arguments, picklable.
        environment: Environment of the workers; :func:`worker_environment` when None.
        own: Further variables of the worker with this number, say the GPU that is its own.
    """

    def __init__(
        self,
        n_workers: int,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[object, ...] = (),
        environment: Mapping[str, str] | None = None,
        own: Callable[[int], Mapping[str, str]] | None = None,
    ) -> None:
        if n_workers < 1:
            raise ValueError(f"n_workers must be at least 1, got {n_workers}")
        self._setup = pickle.dumps((initializer, initargs))
        shared = dict(worker_environment() if environment is None else environment)
        environments = [shared | dict(own(i) if own else {}) for i in range(n_workers)]
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._submitting = threading.Lock()
        self._closed = False
        # Readable once the pool closes, which wakes every thread that waits for a worker.
        self._closing, self._close_signal = os.pipe()
        self._threads = [
            threading.Thread(
                target=self._attend, args=(each,), name=f"worker-{index}", daemon=True
            )
            for index, each in enumerate(environments)
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)

    def submit(
        self, fn: Callable[..., T], *args: object, timeout_s: float | None = None
    ) -> Future[T]:
        """Queues ``fn(*args)``.

        Args:
            fn: Importable callable.
            *args: Picklable arguments.
            timeout_s: Wall time of the call itself, not of its wait in the queue.

        Returns:
            A future that ends with the value, the call's own exception,
            :class:`WorkerCrashed`, :class:`WorkerTimeout`, or ``CancelledError`` when the pool
            is closed before the call is over.

        Raises:
            RuntimeError: The pool is closed.
        """
        future: Future[T] = Future()
        name = getattr(fn, "__name__", str(fn))
        task = _Task(pickle.dumps((fn, args)), name, timeout_s, future)
        with self._submitting:
            if self._closed:
                raise RuntimeError("the worker pool is closed")
            self._tasks.put(task)
        return future

    def close(self) -> None:
        """Ends all workers at once; calls that were waiting or running are cancelled."""
        with self._submitting:
            if self._closed:
                return
            self._closed = True
            os.close(self._close_signal)
            for _ in self._threads:
                self._tasks.put(None)
        for thread in self._threads:
            thread.join()
        os.close(self._closing)
        atexit.unregister(self.close)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _attend(self, environment: Mapping[str, str]) -> None:
        """One thread's life: keeps one worker, hands it one task at a time."""
        worker: _Worker | None = None
        while (task := self._tasks.get()) is not None:
            if self._closed:
                task.future.cancel()
            elif task.future.set_running_or_notify_cancel():
                try:
                    if worker is None or not worker.alive():
                        worker = _Worker(self._setup, environment)
                except Exception as error:  # say no memory: a later task may be luckier
                    task.future.set_exception(error)
                    continue
                self._run(worker, task)
        if worker is not None:
            worker.stop()

    def _run(self, worker: _Worker, task: _Task) -> None:
        try:
            succeeded, value = worker.call(task.call, task.timeout_s, self._closing)
        except EOFError:
            task.future.set_exception(worker.crash(task.name))
            worker.stop()
        except TimeoutError:
            worker.stop()
            limit = f"{worker.phase.timeout_s:g} s"
            task.future.set_exception(
                WorkerTimeout(f"{task.name} ran longer than {limit}", worker.phase.name)
            )
        except CancelledError as error:
            worker.stop()
            task.future.set_exception(error)
        except Exception as error:  # a value that cannot be unpickled here: the task's, not ours
            task.future.set_exception(error)
        else:
            if succeeded:
                task.future.set_result(value)
            else:
                if _costs_others(value):
                    worker.stop()
                task.future.set_exception(_in_phase(value, worker.phase.name))


def _costs_others(error: BaseException) -> bool:
    """Whether the next task would fail for what this one did to its worker.

    What it still holds is memory that the next one lacks, or it can reach its GPU no more.
    """
    return verdict(error) == "out_of_memory" or has_lost_gpu(f"{error}\n{error.__cause__}")


def _in_phase(error: BaseException, phase: str) -> BaseException:
    """Adds what the worker was at when it raised: it tells only its parent."""
    if isinstance(error, WorkerCrashed):  # in place of what could not travel
        error.step = phase
    elif isinstance(error.__cause__, RemoteTraceback):
        error.__cause__.phase = phase
    return error


class _Worker:
    """One worker process, seen from its parent."""

    def __init__(self, setup: bytes, environment: Mapping[str, str]) -> None:
        child_read, parent_write = os.pipe()
        parent_read, child_write = os.pipe()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 closed in stop()
        # Both sides share one offset: without O_APPEND a truncated log would be a hole and a tail.
        fcntl.fcntl(self._log, fcntl.F_SETFL, fcntl.fcntl(self._log, fcntl.F_GETFL) | os.O_APPEND)
        boot = _BOOT.format(path=sys.path, module=__name__, read=child_read, write=child_write)
        try:
            self._process: subprocess.Popen[bytes] = start_process(
                [sys.executable, "-c", boot],
                env=environment,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(child_read, child_write),
                grace_s=0.0,
            )
        finally:
            os.close(child_read)
            os.close(child_write)
        self._input = Connection(parent_write, readable=False)
        self._output = Connection(parent_read, writable=False)
        self.phase = _Phase("worker", None)
        self._send(setup)

    def alive(self) -> bool:
        return self._process.poll() is None

    def _send(self, data: bytes) -> None:
        try:
            self._input.send_bytes(data)
        except BrokenPipeError:
            return  # it has died; the reader finds out and knows how

    def call(self, call: bytes, timeout_s: float | None, closing: int) -> tuple[bool, Any]:
        """Result of one call: ``(True, value)`` or ``(False, exception)``.

        Raises:
            EOFError: The worker is gone.
            TimeoutError: No answer in time.
            CancelledError: ``closing`` became readable.
        """
        if os.fstat(self._log.fileno()).st_size > _LOG_LIMIT_BYTES:
            self._log.truncate(0)
        self._send(call)
        self.phase = _Phase("worker", timeout_s)
        while True:
            # Each phase has a limit of its own, which starts with its announcement.
            ready = wait([self._output, closing], self.phase.timeout_s)
            if self._output not in ready:
                raise CancelledError if ready else TimeoutError
            message: _Phase | tuple[bool, Any] = pickle.loads(self._output.recv_bytes())
            if not isinstance(message, _Phase):
                return message
            self.phase = message

    def crash(self, name: str) -> WorkerCrashed:
        """The error for a call that the worker did not live to answer."""
        try:
            code = self._process.wait(2.0)
        except subprocess.TimeoutExpired:  # it closed its pipe and lives on
            code = stop_process(self._process, grace_s=0.0)
        how = f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self._log.seek(max(0, self._log.seek(0, io.SEEK_END) - TAIL_BYTES))
        tail = self._log.read().decode("utf-8", "replace")
        return WorkerCrashed(
            f"the worker running {name} was {how}" if code < 0 else f"the worker {how} in {name}",
            returncode=code,
            stderr_tail=tail,
            phase=self.phase.name,
        )

    def stop(self) -> None:
        self._input.close()
        stop_process(self._process, grace_s=0.0)
        self._output.close()
        self._log.close()


def _serve(read_fd: int, write_fd: int) -> None:
    """A worker's life: setup, then calls, until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(read_fd, False)
    os.set_inheritable(write_fd, False)
    global _answers
    calls = Connection(read_fd, writable=False)
    _answers = answers = Connection(write_fd, readable=False)
    initializer, initargs = pickle.loads(calls.recv_bytes())
    if initializer is not None:
        initializer(*initargs)
    while True:
        try:
            data = calls.recv_bytes()
        except EOFError:
            return
        answers.send_bytes(_answer(data))


def _answer(data: bytes) -> bytes:
    """Runs one pickled call; an exception is an answer too."""
    try:
        fn, args = pickle.loads(data)
        return pickle.dumps((True, fn(*args)))
    except BaseException as error:  # SystemExit too: it must not end a worker
        text = traceback.format_exc()
        error.__cause__ = RemoteTraceback(text)
        try:
            answer = pickle.dumps((False, _Raised(error, text)))
            pickle.loads(answer)
            return answer
        except Exception:  # an exception class that cannot travel: its text can
            lost = WorkerCrashed(f"{type(error).__name__}: {error}", stderr_tail=text)
            return pickle.dumps((False, lost))


class _Raised:
    """Pickles an exception together with the traceback that pickle would drop."""

    def __init__(self, error: BaseException, text: str) -> None:
        self.error, self.text = error, text

    def __reduce__(self) -> tuple[object, ...]:
        return (_raise_with, (self.error, self.text))


def _raise_with(error: BaseException, text: str) -> BaseException:
    error.__cause__ = RemoteTraceback(text)
    return error
