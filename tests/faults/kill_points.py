"""Kills a process at a chosen moment of its durable work.

Every call that makes something durable or visible is wrapped: ``fsync``, ``replace``, ``rename``,
``unlink`` and ``mkdir``. Each has a point before and a point after it; ``fsync`` of a file has a
third, at which only half of the bytes have arrived. The product itself has no hooks.
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable
from typing import Any, NoReturn

CALLS = ("replace", "rename", "unlink", "mkdir")


def in_child(work: Callable[[], None], at: int | None = None) -> tuple[int, int]:
    """Runs ``work`` in a child process that dies by SIGKILL at point ``at``.

    Returns:
        Its exit status (minus the signal that ended it), and how many points it passed.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _work(work, at, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        passed = stream.read().count(b".")
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), passed


def _work(work: Callable[[], None], at: int | None, writer: int) -> NoReturn:
    code = 1
    try:
        install(at, lambda: os.write(writer, b"."))
        work()
        code = 0
    except Exception as error:
        code = int(getattr(error, "exit_code", 1))
    finally:
        os._exit(code)


def install(at: int | None, passed: Callable[[], object]) -> None:
    """Wraps the calls in this process; ``passed`` is told of every point."""
    count = -1

    def point(before_death: Callable[[], object] = lambda: None) -> None:
        nonlocal count
        count += 1
        passed()
        if count == at:
            before_death()
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            point()
            result = original(*args, **kwargs)
            point()
            return result

        return call

    sync = os.fsync

    def fsync(descriptor: int) -> None:
        point()
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            point(lambda: os.ftruncate(descriptor, status.st_size // 2))
        sync(descriptor)
        point()

    for name in CALLS:
        setattr(os, name, wrapped(name))
    os.fsync = fsync
