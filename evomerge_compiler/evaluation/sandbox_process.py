"""Starts the sandbox server, inside bubblewrap where need be, and talks to it.

Knows processes and pipes; what a program and a result are is
:mod:`evomerge_compiler.evaluation.sandbox`'s matter.
"""

from __future__ import annotations

import json
import os
import select
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evomerge_compiler.errors import MissingPrerequisite
from evomerge_compiler.processes import start_process, stop_process

START_LIMIT_S = 30.0
STALL_S = 30.0
_SERVER = Path(__file__).with_name("sandbox_server.py")
_PARTS = (_SERVER, Path(__file__).with_name("sandbox_layers.py"))


class SandboxUnavailable(MissingPrerequisite):
    """This machine has nothing that could hold generated code, or the sandbox broke down."""


class ServerLost(Exception):
    """The server ended or fell silent."""


class Server:
    """A running sandbox server, seen from outside.

    Attributes:
        layers: The layers that hold.
        folder: Parent of the programs' private folders, as the server sees it.
        python: Version of the interpreter that runs programs.
    """

    def __init__(self, command: Sequence[str], box: tuple[str, ...] = ()) -> None:
        self._process: subprocess.Popen[bytes] = start_process(
            command,
            cwd="/",
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            grace_s=0.0,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        self._received = self._unsent = b""
        try:
            hello = self._lines(time.monotonic() + START_LIMIT_S)[0]
        except ServerLost as error:
            assert self._process.stderr is not None
            self._process.kill()
            last_words = self._process.stderr.read().decode("utf-8", "replace").strip()
            self.close()
            raise SandboxUnavailable(
                f"the sandbox for generated code does not start: {last_words or error}",
                hint="`evomerge doctor` shows what is missing",
            ) from error
        about = json.loads(hello)
        self.layers = (*box, *about["layers"])
        self.folder, self.python = about["folder"], about["python"]

    def run(self, jobs: Mapping[str, str], slowest_s: float) -> Iterator[dict[str, Any]]:
        """Sends jobs and yields the answers as they come, each with the ``id`` of its job.

        Args:
            jobs: Id -> JSON object.
            slowest_s: How long the slowest of them may take.

        Raises:
            ServerLost: It ended, or gave no sign for longer than any program may take.
        """
        text = "".join(f'{{"id": "{key}", {job[1:]}\n' for key, job in jobs.items())
        self._unsent = text.encode()
        missing = set(jobs)
        while missing:
            for line in self._lines(time.monotonic() + slowest_s + STALL_S):
                message = json.loads(line)
                missing.discard(message["id"])
                yield message

    def _lines(self, deadline: float) -> list[bytes]:
        """Writes as much as the server takes until it has said at least one whole line."""
        while True:
            writers = [self._in] if self._unsent else []
            left_s = deadline - time.monotonic()
            readable, writable, _ = select.select([self._out], writers, [], max(0.0, left_s))
            if not readable and not writable:
                raise ServerLost("it fell silent")
            if writable:
                try:
                    self._unsent = self._unsent[os.write(self._in, self._unsent[: 1 << 16]) :]
                except BrokenPipeError as error:
                    raise ServerLost("it ended") from error
            if readable:
                data = os.read(self._out, 1 << 16)
                if not data:
                    raise ServerLost("it ended")
                *lines, self._received = (self._received + data).split(b"\n")
                if lines:
                    return lines

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()  # the sign to clean up and go
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            stop_process(self._process, grace_s=0.0)
        self._process.stdout.close()
        if self._process.stderr is not None:
            self._process.stderr.close()


def server_command(workers: int, layers: Sequence[str]) -> list[str]:
    return [pick_python(), "-I", "-S", str(_SERVER), str(workers), ",".join(layers) or "none"]


def pick_python() -> str:
    """An interpreter whose library the sandbox's user can read.

    As root, the server gives programs an unused user id; a Python below a closed home folder
    would then be lost. The system's own is the second choice; where there is none, ours serves
    and the server does without that layer.
    """
    own = os.path.realpath(sys.executable)
    if os.geteuid() != 0 or _open_to_all(Path(own)):
        return own
    for path in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if os.path.exists(path) and _open_to_all(Path(path).resolve()):
            return path
    return own


def _open_to_all(path: Path) -> bool:
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents))


def try_bubblewrap(
    box: str, prefix: Sequence[str], workers: int, layers: Sequence[str]
) -> Server | None:
    """The server inside bubblewrap, which then is the wall around files; None if it fails."""
    python, *rest = server_command(workers, [name for name in layers if name == "seccomp"])
    library = Path(python).resolve().parent.parent
    command = [
        *prefix, box, "--unshare-all", "--die-with-parent", "--clearenv", "--cap-drop", "ALL",
        "--ro-bind", "/usr", "/usr", "--ro-bind", str(library), str(library),
    ]  # fmt: skip
    for name in ("lib", "lib64", "bin"):
        root = Path("/", name)
        if root.is_symlink():
            command += ["--symlink", os.readlink(root), str(root)]
        elif root.exists():
            command += ["--ro-bind", str(root), str(root)]
    for part in _PARTS:
        command += ["--ro-bind", str(part), f"/sandbox/{part.name}"]
    rest[rest.index(str(_SERVER))] = f"/sandbox/{_SERVER.name}"
    command += ["--dev", "/dev", "--tmpfs", "/tmp", "--uid", "65534", "--gid", "65534", "--chdir"]
    command += ["/tmp", str(Path(python).resolve()), *rest]
    try:
        server = Server(command, box=("bubblewrap",))
    except SandboxUnavailable:
        return None
    if "seccomp" in server.layers:
        return server
    server.close()
    return None
