"""One run folder, one process: an advisory lock that the kernel frees when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from evomerge_compiler.errors import MissingPrerequisite, RunLocked
from evomerge_compiler.run_folder.store import machine_error

# Descriptors of lock files that this process has open.
_held: set[int] = set()


def _close_in_child() -> None:
    # A forked worker that kept the descriptor would keep the lock after its driver was killed.
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Holds the lock file for as long as the block runs.

    Args:
        path: The lock file; made where it is missing. It stays: only its lock comes and goes.

    Raises:
        RunLocked: Another process holds it; the message names it.
        MissingPrerequisite: The file cannot be written, or its file system has no locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise machine_error(error, path) from error
    _held.add(descriptor)
    try:
        _take(descriptor, path)
        _sign(descriptor, path)
        yield
    finally:
        # A forked child that comes by here has closed it already.
        if descriptor in _held:
            _held.discard(descriptor)
            # This frees the lock. What the file says of its holder stays and counts for nothing.
            os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise MissingPrerequisite(
                f"cannot lock {path}: {error.strerror}",
                hint="put the run folder on a file system with locks, a local one",
            ) from None
        run = path.parent.parent
        raise RunLocked(
            f"run folder {run} is in use by {_holder(descriptor)}",
            hint="wait for it, stop it, or use another folder with --run-dir",
        ) from None


def _sign(descriptor: int, path: Path) -> None:
    """Says in the lock file who holds it, for the message of whoever comes second."""
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "since": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime()),
    }
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
    except OSError as error:
        raise machine_error(error, path) from error


def _holder(descriptor: int) -> str:
    """Who holds the lock, as the file tells it."""
    try:
        holder = json.loads(os.pread(descriptor, 65536, 0))
        return (
            f"process {holder['pid']} on {holder['host']} ({holder['command']}), "
            f"since {holder['since']}"
        )
    except (ValueError, KeyError, TypeError):
        # The holder has the lock but has not signed yet.
        return "another process that has just started"
