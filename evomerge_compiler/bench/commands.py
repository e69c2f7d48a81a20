"""Times whole commands, from the start of their process to its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.processes import run_command, worker_environment

_LIMIT_S = 7200.0


def seconds(argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> float:
    """Wall time of a command that must succeed.

    Args:
        argv: Program and arguments.
        cwd: Working folder.
        env: Its environment; this process's own by default.

    Raises:
        EvomergeError: It failed.
    """
    done = run_command(
        argv, cwd=cwd, env=dict(os.environ) if env is None else env, timeout_s=_LIMIT_S
    )
    if done.returncode != 0:
        tail = "\n".join(done.stderr_tail.splitlines()[-5:])
        raise EvomergeError(f"{' '.join(argv[:3])} ended with {done.returncode}: {tail}")
    return done.seconds


def evomerge(*arguments: str) -> list[str]:
    """The command line of this installation."""
    return [sys.executable, "-m", "evomerge_compiler", *arguments]


def tools_environment(threads: int = 1) -> dict[str, str]:
    """The environment of a worker, for other tools: offline, with this installation on PATH."""
    env = worker_environment(offline=True)
    here = os.path.dirname(sys.executable)
    env["PATH"] = os.pathsep.join([here, env.get("PATH", os.defpath)])
    return env | thread_counts(threads)


def thread_counts(threads: int) -> dict[str, str]:
    """The variables by which math libraries learn how many threads they may use."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(names, str(threads))
