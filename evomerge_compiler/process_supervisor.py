"""Stands between evomerge and a process it starts, so that no descendant outlives either of them.

Run by :mod:`evomerge_compiler.processes` as a bare script, never imported::

    python -I -S process_supervisor.py PARENT_PID GRACE_S COMMAND [ARGUMENT...]

It runs COMMAND, waits, and ends the way COMMAND ended (same exit code or same signal). When
PARENT_PID dies, when it gets SIGTERM itself, and when COMMAND is over, all descendants are
killed, also those that started a session of their own: on Linux the supervisor is their
"child subreaper", so an orphan becomes its child (prctl(2)). A death signal set by the starting
process instead would need code between fork and exec, which copies the page tables of a process
that holds torch, and would fire when the starting *thread* ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_MS = 250  # for kernels without pidfd_open, and as a second look at the parent
COMMAND_NOT_RUN = 127


def prctl(option: int, value: int) -> None:
    """Calls prctl(2) where there is one; elsewhere process groups have to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants() -> list[int]:
    """Process ids below this one, from the parent column of ``/proc/*/stat``."""
    parent_of = {}
    for entry in os.listdir("/proc"):  # pathlib would double the start-up time
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as stat:
                    # The command name may hold spaces and brackets: read after the last bracket.
                    parent_of[int(entry)] = int(stat.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError):  # it ended while we looked
                continue
    found: set[int] = set()
    frontier = {os.getpid()}
    while frontier:
        frontier = {pid for pid, parent in parent_of.items() if parent in frontier} - found
        found |= frontier
    return sorted(found)


def reap(statuses: dict[int, int]) -> bool:
    """Collects every ended child into ``statuses``; False when no child is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        statuses[pid] = status


def end_all(statuses: dict[int, int], grace_s: float) -> None:
    """Asks all descendants to end, and kills those that have not after ``grace_s``."""
    if sys.platform != "linux":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(os.getpgrp(), signal.SIGTERM)
        time.sleep(grace_s)
        os.killpg(os.getpgrp(), signal.SIGKILL)
    deadline = time.monotonic() + grace_s
    first = True
    while reap(statuses):
        late = time.monotonic() >= deadline
        if late or first:
            for pid in descendants():
                try:
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
                except ProcessLookupError:
                    continue
        first = False
        time.sleep(0.005)


def start(command: list[str]) -> int:
    """Forks and executes the command; the child dies with the supervisor."""
    pid = os.fork()
    if pid:
        return pid
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode())
    os._exit(COMMAND_NOT_RUN)


def leave_like(status: int) -> None:
    """Ends this process the way the command ended."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def main(argv: list[str]) -> None:
    """Runs the command and holds the promise of the module docstring."""
    parent, grace_s, command = int(argv[1]), float(argv[2]), argv[3:]
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake_read, wake_write = os.pipe()
    for fd in (wake_read, wake_write):
        os.set_blocking(fd, False)
    asked_to_end: list[int] = []
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda number, _: asked_to_end.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    poll = select.poll()
    poll.register(wake_read, select.POLLIN)
    # Without pidfd on this kernel, the loop below looks at getppid four times a second.
    with contextlib.suppress(AttributeError, OSError):
        poll.register(os.pidfd_open(parent), select.POLLIN)
    statuses: dict[int, int] = {}
    child = start(command)
    while child not in statuses:
        poll.poll(POLL_MS)
        with contextlib.suppress(BlockingIOError):
            os.read(wake_read, 512)
        reap(statuses)
        orphaned = os.getppid() != parent
        if child not in statuses and (asked_to_end or orphaned):
            end_all(statuses, 0.0 if orphaned else grace_s)
    end_all(statuses, 0.0)
    leave_like(statuses[child])


if __name__ == "__main__":
    main(sys.argv)
