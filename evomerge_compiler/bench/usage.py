"""What this process and all that it started use: processor time and private memory (Linux)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PERIOD_S = 0.01
# Fields of /proc/PID/stat behind the name: utime, stime, and those of children waited for.
_CPU_FIELDS = slice(11, 15)


def cpu_seconds() -> float:
    """Processor time of this process and of its descendants, so far.

    The clock of the kernel's table ticks a hundred times a second, which is enough for work that
    takes some seconds.
    """
    return sum(_cpu_ticks(pid) for pid in (os.getpid(), *descendants(os.getpid()))) / _TICKS


def _cpu_ticks(pid: int) -> int:
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:  # it has ended: whoever waited for it has its time
        return 0
    fields = stat.rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[_CPU_FIELDS])


def descendants(pid: int) -> list[int]:
    """All processes below one that are alive."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = _children(waiting.pop())
        found += below
        waiting += below
    return found


def _children(pid: int) -> list[int]:
    out: list[int] = []
    for path in (_PROC / str(pid) / "task").glob("*/children"):
        try:
            out += [int(child) for child in path.read_text().split()]
        except OSError:  # the thread or the process has ended meanwhile
            continue
    return out


def private_bytes(pid: int) -> int:
    """Resident memory that only this process has: no mapped file counts."""
    try:
        status = (_PROC / str(pid) / "status").read_text()
    except OSError:
        return 0
    kib = [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")]
    return kib[0] * 1024 if kib else 0


@dataclass
class Peak:
    """The most private memory that one process below this one had.

    Attributes:
        n_bytes: So far.
    """

    n_bytes: int = 0


@contextmanager
def watched_memory(pids: Callable[[], Iterable[int]]) -> Iterator[Peak]:
    """Watches the private memory of processes.

    Args:
        pids: Says which, again and again.

    Yields:
        The peak of the largest of them, growing while the block runs.
    """
    peak = Peak()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_PERIOD_S):
            for pid in pids():
                peak.n_bytes = max(peak.n_bytes, private_bytes(pid))

    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def started_from_now() -> Callable[[], set[int]]:
    """Says which processes this one has started since, and which these have started."""
    before = set(descendants(os.getpid()))
    return lambda: set(descendants(os.getpid())) - before
