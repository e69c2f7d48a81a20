"""When what was written must be on disk, and when the disk is not worth waiting for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import IO

_DURABLE: ContextVar[bool] = ContextVar("durable", default=True)


def sync_file(stream: IO[bytes]) -> None:
    """Makes what was written to an open file durable."""
    stream.flush()
    if _DURABLE.get():
        os.fsync(stream.fileno())


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Makes renames inside ``folder`` durable."""
    if not _DURABLE.get():
        return
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def volatile() -> Iterator[None]:
    """Inside, writes stay atomic and survive a kill, but not a loss of power.

    For work that takes less time to do again than to wait for the disk.
    """
    token = _DURABLE.set(False)
    try:
        yield
    finally:
        _DURABLE.reset(token)
