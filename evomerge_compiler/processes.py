"""The only place that starts processes: commands, worker pools, servers.

Everything started here has a supervisor (:mod:`evomerge_compiler.process_supervisor`) above it.
Killing the supervisor's process, or the death of evomerge itself by whatever signal, takes all
descendants along. Nothing here runs code between fork and exec: with torch loaded, that costs
tens of milliseconds a start and is not safe beside threads.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from evomerge_compiler.errors import EXIT_BAD_INPUT, EvomergeError, MissingPrerequisite, WorkFailed

Reason = Literal["crashed", "out_of_memory", "timeout", "non_finite", "invalid", "unsafe"]

TAIL_BYTES = 8192
GRACE_S = 2.0
_SUPERVISOR = Path(__file__).with_name("process_supervisor.py")

# What a worker may know of the caller's environment: no token, no key, no proxy password.
_ALLOWED_NAMES = frozenset((
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TMP", "TEMP",
    "SHELL", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUBLAS_WORKSPACE_CONFIG",
    "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES",
    "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "HF_HOME", "HF_HUB_CACHE",
    "HF_DATASETS_CACHE", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE",
    "TORCH_HOME", "TRITON_CACHE_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "VLLM_CACHE_ROOT", "VLLM_ATTENTION_BACKEND",
    "VLLM_BATCH_INVARIANT", "VLLM_WORKER_MULTIPROC_METHOD",
))  # fmt: skip


@dataclass(frozen=True)
class CommandResult:
    """How a command ended.

    Attributes:
        returncode: Exit code, or minus the number of the signal that ended it.
        stdout_tail: The last bytes of its standard output, by default :data:`TAIL_BYTES`.
        stderr_tail: The same of standard error.
        seconds: Wall time.
        timed_out: It was ended by us because it ran past ``timeout_s``.
    """

    returncode: int
    stdout_tail: str
    stderr_tail: str
    seconds: float
    timed_out: bool = False

    @property
    def reason(self) -> Reason | None:
        """Why it failed, None when it did not."""
        if self.timed_out:
            return "timeout"
        return verdict(self.returncode, self.stderr_tail) if self.returncode else None


def worker_environment(*, offline: bool = False, **extra: str) -> dict[str, str]:
    """The environment of every process that merges or evaluates.

    Args:
        offline: Let Hugging Face libraries use their caches only.
        **extra: Further variables; they win over all others.

    Returns:
        Allowed variables of the caller, plus one thread for each math library (parallel workers
        share the cores), a fixed hash seed (mergekit iterates over sets), and huge pages.
    """
    env = {
        name: value
        for name, value in os.environ.items()
        if name in _ALLOWED_NAMES or name.startswith("LC_")
    }
    env.update(
        OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1",
        TOKENIZERS_PARALLELISM="false", PYTHONHASHSEED="0", HF_HUB_DISABLE_TELEMETRY="1",
        # Huge pages for large tensors: fresh small ones are half the time of many merge methods.
        # These tensors have maps of their own: in the heap they leave holes as large as a model.
        GLIBC_TUNABLES="glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=16777216",
    )  # fmt: skip
    if offline:
        env.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    return env | extra


def start_process(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    grace_s: float = GRACE_S,
) -> subprocess.Popen[bytes]:
    """Starts a command under a supervisor, in a session of its own.

    Args:
        argv: Program and arguments; the program is looked up in the PATH of ``env``.
        cwd: Working directory.
        env: Its whole environment; :func:`worker_environment` when None.
        stdin: As for :class:`subprocess.Popen`; likewise ``stdout`` and ``stderr``.
        stdout: See ``stdin``.
        stderr: See ``stdin``.
        pass_fds: File descriptors that it inherits.
        grace_s: Time between SIGTERM and SIGKILL when it is stopped.

    Returns:
        The supervisor: its return code is the command's. End it with :func:`stop_process`.

    Raises:
        MissingPrerequisite: The program or the working directory is not there.
    """
    command = [os.fspath(part) for part in argv]
    env = worker_environment() if env is None else dict(env)
    program = shutil.which(command[0], path=env.get("PATH", os.defpath))
    if program is None:
        raise MissingPrerequisite(
            f"the program {command[0]!r} is not there or cannot be executed",
            hint="install it, or put its folder on PATH",
        )
    supervisor = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(os.getpid()), str(grace_s)]
    try:
        return subprocess.Popen(
            [*supervisor, program, *command[1:]],
            cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr,
            pass_fds=tuple(pass_fds), start_new_session=True, bufsize=0,
        )  # fmt: skip
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingPrerequisite(f"cannot start {command[0]!r} in {cwd}: {error}") from error


def stop_process(process: subprocess.Popen[bytes], *, grace_s: float = GRACE_S) -> int:
    """Ends a process of :func:`start_process` with all its descendants, and waits for it.

    Args:
        process: What :func:`start_process` returned; it may have ended already.
        grace_s: The one given at the start: how long the supervisor may wait before it kills.

    Returns:
        The return code.
    """
    if process.poll() is None:
        process.terminate()
        try:
            return process.wait(grace_s + 3.0)
        except subprocess.TimeoutExpired:  # the supervisor itself is stuck: take the session down
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def run_command(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    log_path: str | os.PathLike[str] | None = None,
    tail_bytes: int = TAIL_BYTES,
) -> CommandResult:
    """Runs a command to its end; on a time limit or any exception it and its children are killed.

    Args:
        argv: Program and arguments.
        cwd: Working directory.
        env: Its whole environment; :func:`worker_environment` when None.
        timeout_s: Wall time after which it is ended.
        log_path: File that both output streams are written to as they come.
        tail_bytes: What is kept of each output stream.

    Returns:
        How it ended. A non-zero exit is a result, not an exception.

    Raises:
        MissingPrerequisite: The program or the working directory is not there.
    """
    started = time.monotonic()
    deadline = None if timeout_s is None else started + timeout_s
    tails = {"stdout": b"", "stderr": b""}
    timed_out = False
    with ExitStack() as stack:
        log = stack.enter_context(open(log_path, "wb", buffering=0)) if log_path else None
        process = start_process(
            argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        stack.callback(stop_process, process)
        assert process.stdout is not None and process.stderr is not None
        streams = stack.enter_context(selectors.DefaultSelector())
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
            stack.callback(stream.close)
            streams.register(stream, selectors.EVENT_READ, name)
        while streams.get_map():
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = streams.select(left_s)
            if not ready and not timed_out:
                timed_out, deadline = True, None
                stop_process(process)
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                if not data:
                    streams.unregister(key.fileobj)
                    continue
                tails[key.data] = (tails[key.data] + data)[-tail_bytes:]
                if log is not None:
                    log.write(data)
        returncode = _wait(process, deadline)
        if returncode is None:
            timed_out, returncode = True, stop_process(process)
    stdout, stderr = (tails[name].decode("utf-8", "replace") for name in ("stdout", "stderr"))
    return CommandResult(returncode, stdout, stderr, time.monotonic() - started, timed_out)


def _wait(process: subprocess.Popen[bytes], deadline: float | None) -> int | None:
    """Return code once it ended (it may close its output long before), None at the deadline."""
    try:
        return process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None


_MEMORY_WORDS = (
    "out of memory", "outofmemoryerror", "memoryerror", "std::bad_alloc",
    "cannot allocate memory", "can't allocate memory", "cublas_status_alloc_failed",
    "defaultcpuallocator: not enough memory",
)  # fmt: skip
_NON_FINITE_WORDS = ("non-finite", "non_finite", "nonfinite", "contains either `inf`, `nan`")
# After these, every later call of the process on its GPU fails alike (torch's words, cuDNN's).
_LOST_GPU_WORDS = (
    "cuda error", "cuda driver error", "hip error", "device-side assert triggered",
    "an illegal memory access was encountered", "cudnn_status_execution_failed",
    "cudnn_status_internal_error",
)  # fmt: skip
_UNSAFE_WORDS = (
    "weights only load failed", "unpicklingerror", "contains custom code which must be executed",
    "requires you to execute the",
)  # fmt: skip


def verdict(outcome: int | BaseException | None, stderr_tail: str = "") -> Reason:
    """Names why a piece of work failed, from what is known from outside.

    Args:
        outcome: Return code of a process (negative: a signal), the exception that a task raised,
            or None when nothing but text is known.
        stderr_tail: The last lines that the process wrote.

    Returns:
        The word written to ``failure.yaml``. SIGKILL that we did not send is the kernel's way of
        freeing memory, so it reads as out of memory.
    """
    if isinstance(outcome, WorkFailed):
        return outcome.reason  # type: ignore[return-value]
    if isinstance(outcome, MemoryError):
        return "out_of_memory"
    if isinstance(outcome, TimeoutError | subprocess.TimeoutExpired):
        return "timeout"
    if isinstance(outcome, FloatingPointError):
        return "non_finite"
    if isinstance(outcome, EvomergeError) and outcome.exit_code == EXIT_BAD_INPUT:
        return "invalid"
    if isinstance(outcome, BaseException):
        stderr_tail = f"{stderr_tail}\n{type(outcome).__name__}: {outcome}"
    text = stderr_tail.lower()
    tables: tuple[tuple[Reason, tuple[str, ...]], ...] = (
        ("out_of_memory", _MEMORY_WORDS),
        ("non_finite", _NON_FINITE_WORDS),
        ("unsafe", _UNSAFE_WORDS),
    )
    for reason, words in tables:
        if any(word in text for word in words):
            return reason
    if outcome in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return "out_of_memory"
    if outcome in (-signal.SIGXCPU, 124):
        return "timeout"
    return "invalid" if outcome == EXIT_BAD_INPUT else "crashed"


def has_lost_gpu(text: str) -> bool:
    """Whether an error's text says that its process can compute on its GPU no more."""
    text = text.lower()
    return any(words in text for words in _LOST_GPU_WORDS)
