"""Runs generated code where it can do no harm, and brings back the values it computed.

A program is source text, the name of a function in it, and the calls to make. It runs in a
process that sees no file but Python's own library, no network, no other process and no
environment, with limits on time, memory and output
(:mod:`evomerge_compiler.evaluation.sandbox_server` lists the layers). Only plain JSON comes back,
and the caller compares it with what it expects: nothing inside the sandbox decides whether an
answer is right, so patching the harness gains a program nothing.

    >>> from evomerge_compiler.evaluation import sandbox
    >>> program = sandbox.Program("def double(x): return 2 * x", "double", ((3,), ("ab",)))
    >>> sandbox.shared().run([program])[0].values
    (6, 'abab')
"""

from __future__ import annotations

import atexit
import hashlib
import json
import math
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evomerge_compiler.evaluation.sandbox_process import (
    SandboxUnavailable,
    Server,
    ServerLost,
    server_command,
    try_bubblewrap,
)

__all__ = [
    "LAYERS",
    "Program",
    "Run",
    "Sandbox",
    "SandboxUnavailable",
    "Status",
    "configure",
    "shared",
]

Status = Literal["ok", "error", "timeout", "memory", "refused"]

LAYERS = ("namespaces", "uid", "landlock", "seccomp")
MEMO_ENTRIES = 20_000
SOURCE_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True)
class Program:
    """Generated code and what to call in it.

    Attributes:
        source: Python text; it is executed once, before the calls.
        function: Name of the function that the text defines.
        calls: Arguments of each call, plain JSON values.
    """

    source: str
    function: str
    calls: tuple[tuple[object, ...], ...]


@dataclass(frozen=True)
class Run:
    """What became of a program.

    Attributes:
        status: ``ok``: every call returned a plain JSON value. ``error``: an exception, an exit,
            a value that is not plain JSON. ``timeout``, ``memory``: over the limit. ``refused``:
            the source or the output is too large.
        values: One value a call when ``ok``, else empty. Tuples come back as lists.
        error: What went wrong, empty when ``ok``.
        seconds: Wall time of the process; not part of equality, which compares results.
    """

    status: Status
    values: tuple[object, ...]
    error: str
    seconds: float = field(compare=False)


class Sandbox:
    """Runs programs in locked-down processes. Starts its server with the first program.

    Args:
        workers: Programs at a time.
        unsafe: Run even where the layers do not hold; those that do are still used.
        layers: The layers to use of those that this machine has.
        bubblewrap: Fall back to ``bwrap`` where Landlock is missing.
        prefix: Command put before the server's own.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        unsafe: bool = False,
        layers: Collection[str] = LAYERS,
        bubblewrap: bool = True,
        prefix: Sequence[str] = (),
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        self._workers, self._unsafe, self._bubblewrap = workers, unsafe, bubblewrap
        self._wanted, self._prefix = tuple(layers), tuple(prefix)
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._memo: OrderedDict[str, Run] = OrderedDict()
        atexit.register(self.close)

    def run(
        self,
        programs: Sequence[Program],
        *,
        timeout_s: float = 2.0,
        memory_bytes: int = 1 << 30,
    ) -> list[Run]:
        """Runs programs, equal ones once.

        Args:
            programs: What to run.
            timeout_s: Wall time of each.
            memory_bytes: Address space of each; Python itself needs some 50 MB of it.

        Returns:
            One result a program, in order.

        Raises:
            SandboxUnavailable: No layer holds here, or the server died twice in a row.
            TypeError: An argument of a call is not plain JSON.
        """
        jobs = [_job(program, timeout_s, memory_bytes) for program in programs]
        keys = [hashlib.sha256(job.encode()).hexdigest() for job in jobs]
        with self._lock:
            todo = {key: job for key, job in zip(keys, jobs, strict=True) if key not in self._memo}
            results: dict[str, Run] = {}
            for key in keys:
                if key in self._memo:
                    results[key] = self._memo[key]
                    self._memo.move_to_end(key)
            for key, job in list(todo.items()):
                if len(job) > SOURCE_LIMIT_BYTES:
                    results[key] = Run("refused", (), "the program is larger than 1 MiB", 0.0)
                    del todo[key]
            try:
                self._run_all(todo, results, timeout_s)
            except BaseException:  # answers may still be on their way: start afresh next time
                self._stop()
                raise
            self._memo.update(results)
            while len(self._memo) > MEMO_ENTRIES:
                self._memo.popitem(last=False)
        return [results[key] for key in keys]

    def _run_all(self, jobs: dict[str, str], results: dict[str, Run], timeout_s: float) -> None:
        """Fills in ``results``; jobs that a dead server left are given to a second one."""
        for attempt in (1, 2):
            left = {key: job for key, job in jobs.items() if key not in results}
            if not left:
                return
            try:
                for message in self._running().run(left, timeout_s):
                    results[message["id"]] = _result(message, json.loads(jobs[message["id"]]))
            except ServerLost as error:
                self._stop()
                if attempt == 2:
                    raise SandboxUnavailable(
                        f"the sandbox for generated code broke down twice: {error}",
                        hint="see whether the machine is out of memory or processes",
                    ) from error

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that hold, ``bubblewrap`` among them where it is used; starts the server.

        Raises:
            SandboxUnavailable: Too few of them hold.
        """
        with self._lock:
            return self._running().layers

    def close(self) -> None:
        """Ends the server and all that runs in it; the next run starts another."""
        with self._lock:
            self._stop()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        atexit.unregister(self.close)

    def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _running(self) -> Server:
        if self._server is None:
            self._server = self._start()
        return self._server

    def _start(self) -> Server:
        server = Server([*self._prefix, *server_command(self._workers, self._wanted)])
        if {"landlock", "seccomp"} <= set(server.layers):
            return server
        box = shutil.which("bwrap") if self._bubblewrap else None
        if box is not None and "seccomp" in server.layers:
            boxed = try_bubblewrap(box, self._prefix, self._workers, self._wanted)
            if boxed is not None:
                server.close()
                return boxed
        if self._unsafe:
            return server
        found = ", ".join(server.layers) or "none"
        server.close()
        raise SandboxUnavailable(
            "generated code must be run, and this machine cannot hold it: Landlock and seccomp "
            f"are needed; of the layers, these hold: {found}",
            hint="use Linux 5.13 or newer on x86_64 or aarch64, install bubblewrap, or accept the "
            "danger with --no-sandbox",
        )


def _job(program: Program, timeout_s: float, memory_bytes: int) -> str:
    """The job as a canonical JSON object: equal programs give equal text."""
    for call in program.calls:
        for argument in call:
            _check_plain(argument)
    return json.dumps(
        {
            "source": program.source,
            "function": program.function,
            "calls": program.calls,
            "timeout_s": timeout_s,
            "memory_bytes": memory_bytes,
        }
    )


def _check_plain(value: object) -> None:
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return
    if isinstance(value, float) and kind is float and math.isfinite(value):
        return
    if isinstance(value, list | tuple) and kind in (list, tuple):
        for item in value:
            _check_plain(item)
    elif isinstance(value, dict) and kind is dict and all(type(key) is str for key in value):
        for item in value.values():
            _check_plain(item)
    else:
        raise TypeError(f"arguments of a call are plain JSON values, got {value!r}")


def _result(message: dict[str, Any], job: dict[str, Any]) -> Run:
    """Reads an answer as what it is: bytes that the program itself may have written."""
    seconds = float(message["seconds"])
    kind, text = message["answer"][:1], message["answer"][1:]
    if message["status"] == "timeout":
        return Run("timeout", (), f"ran longer than {job['timeout_s']:g} s", seconds)
    if message["status"] == "refused":
        return Run("refused", (), "returned more than 64 KiB", seconds)
    if kind == "m":
        return Run("memory", (), f"used more than {job['memory_bytes']} bytes", seconds)
    if kind == "e":
        return Run("error", (), text, seconds)
    if kind == "r":
        raise SandboxUnavailable(f"a program could not be locked in: {text}")
    if kind == "":
        how = f"was ended by signal {message['signal']}" if message["signal"] else "exited"
        return Run("error", (), f"the program {how} before its calls were done", seconds)
    try:
        values = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        values = None
    if kind != "v" or not isinstance(values, list) or len(values) != len(job["calls"]):
        return Run("error", (), "the program wrote something else than its values", seconds)
    return Run("ok", tuple(values), "", seconds)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_shared: Sandbox | None = None
_shared_pid = 0
_shared_lock = threading.Lock()
_options: dict[str, Any] = {}


def configure(*, unsafe: bool | None = None, workers: int | None = None) -> None:
    """Sets what :func:`shared` gives out from now on in this process.

    Args:
        unsafe: See :class:`Sandbox`; unchanged when None.
        workers: See :class:`Sandbox`; unchanged when None.
    """
    global _shared
    given = {"unsafe": unsafe, "workers": workers}
    with _shared_lock:
        _options.update({name: value for name, value in given.items() if value is not None})
        if _shared is not None and _shared_pid == os.getpid():
            _shared.close()
        _shared = None


def shared() -> Sandbox:
    """The one sandbox of this process, started when first used, ended with the process."""
    global _shared, _shared_pid
    with _shared_lock:
        if _shared is None or _shared_pid != os.getpid():  # a fork must not share our pipes
            _shared, _shared_pid = Sandbox(**_options), os.getpid()
        return _shared
