"""Fork-server that runs generated Python, one locked-down process a program.

Run by :mod:`evomerge_compiler.evaluation.sandbox` as a bare script, never imported::

    python -I -S sandbox_server.py WORKERS LAYERS

Standard library only, and any Python from 3.8 on: when root runs evomerge from an interpreter
that other users cannot read, the system's own interpreter serves. One JSON line a job on standard
input, one a result on standard output, the first line out names the layers that hold:

``namespaces``  no network, no view of other processes, own mounts (unshare(2)); the server is
                process 1 of its own pid namespace, each program of one more: killing it kills all
``uid``         root only: an unused user id for each worker
``landlock``    files: standard library read-only, a private folder read-write, nothing else
``seccomp``     system calls from a list: no sockets, no new processes, no exec, no signals

Resource limits, an empty environment and a wall-clock limit come on top in any case. A program
gets its source and the arguments of its calls; what the calls should return is never here.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evomerge_compiler.evaluation import sandbox_layers as walls
else:  # isolated mode leaves the script's own folder out of the path
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import sandbox_layers as walls

    del sys.path[0]

OUTPUT_LIMIT_BYTES = 1 << 16
FOLDER_LIMIT_BYTES = 16 << 20
FILE_LIMIT_BYTES = 1 << 20
MAX_DEPTH = 100

# --- one program ---


def encode(value: object, depth: int = 0) -> str:
    """JSON of plain values only; exact types, so an object with a forged ``__eq__`` is refused."""
    kind = type(value)
    if depth > MAX_DEPTH:
        raise ValueError("the value is nested too deeply")
    if kind is float and (value != value or value in (float("inf"), -float("inf"))):
        raise ValueError("a number that is not finite")
    if value is None or kind in (bool, int, float, str):
        return json.dumps(value)
    if kind in (list, tuple):
        return "[" + ",".join(encode(item, depth + 1) for item in value) + "]"  # type: ignore[attr-defined]
    if kind is dict:
        items = list(value.items())  # type: ignore[attr-defined]
        if all(type(key) is str for key, _ in items):
            return (
                "{" + ",".join(json.dumps(k) + ":" + encode(v, depth + 1) for k, v in items) + "}"
            )
        raise TypeError("a dict key that is not a string")
    raise TypeError("a value of type " + kind.__name__ + " is not plain JSON")


def limit_resources(job: dict[str, Any], own_uid: bool) -> None:
    """Memory, processor time, file size, open files, threads, no core dumps."""
    limits = {
        resource.RLIMIT_AS: int(job["memory_bytes"]),
        resource.RLIMIT_CPU: int(job["timeout_s"]) + 2,
        resource.RLIMIT_FSIZE: FILE_LIMIT_BYTES,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    if own_uid:  # the kernel counts the threads of a user, and this user has no others
        limits[resource.RLIMIT_NPROC] = 64
    for kind, limit in limits.items():
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, limit))


def run_program(job: dict[str, Any]) -> bytes:
    """Executes the source, then the calls; the answer is a letter and a text."""
    source, name = str(job["source"]), str(job["function"])
    try:
        module = types.ModuleType("program")
        sys.modules["program"] = module
        exec(compile(source, "<program>", "exec"), module.__dict__)
        if name not in module.__dict__:
            return b"e" + ("there is no function " + name).encode()
        function = module.__dict__[name]
        values = [encode(function(*arguments)) for arguments in job["calls"]]
        return b"v" + ("[" + ",".join(values) + "]").encode("ascii")
    except MemoryError:
        return b"m"
    except BaseException as error:
        return b"e" + (type(error).__name__ + ": " + str(error))[:500].encode("utf-8", "replace")


def program_process(
    job: dict[str, Any], layers: frozenset[str], slot: int, folder: str, ruleset: int,
    filter_: bytes, result_fd: int,
) -> None:  # fmt: skip
    """The forked child: locks itself in, runs, answers, ends. Never returns."""
    answer = b""
    try:
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        kept = sorted({2, result_fd, max(2, ruleset)})
        for low, high in zip(kept, [*kept[1:], 1024]):  # noqa: B905 not before Python 3.10
            os.closerange(low + 1, high)
        os.environ.clear()
        limit_resources(job, "uid" in layers)  # while that system call is still open
        walls.lock_in(layers, slot, folder, ruleset, filter_)
        gc.enable()
    except BaseException as error:
        os.write(result_fd, b"r" + (type(error).__name__ + ": " + str(error)).encode())
        os._exit(1)
    try:
        answer = run_program(job)
        while answer:
            answer = answer[os.write(result_fd, answer) :]
    finally:
        os._exit(0)


# --- the server ---


class Server:
    """Hands jobs to locked-down children, at most ``workers`` at a time."""

    def __init__(self, workers: int, layers: frozenset[str]) -> None:
        self.layers = layers
        self.base = make_base("namespaces" in layers)
        self.folders = [os.path.join(self.base, str(slot)) for slot in range(workers)]
        for slot, folder in enumerate(self.folders):
            self.make_folder(slot, folder)
        locked = "landlock" in layers
        self.rulesets = [
            walls.landlock_ruleset(folder) if locked else -1 for folder in self.folders
        ]
        self.filter = walls.seccomp_program(os.uname().machine) if "seccomp" in layers else b""
        self.own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY) if "namespaces" in layers else -1
        self.free = list(range(workers))
        self.moved = 0
        self.queue: list[dict[str, Any]] = []
        self.running: dict[int, dict[str, Any]] = {}

    def make_folder(self, slot: int, folder: str) -> None:
        """A worker's private folder, of limited size where we can mount."""
        os.mkdir(folder, 0o700)
        if "namespaces" in self.layers:
            options = f"size={FOLDER_LIMIT_BYTES},nr_inodes=1024,mode=700".encode()
            flags = walls.MS_NOSUID | walls.MS_NODEV | walls.MS_NOEXEC
            walls.check(
                walls.libc.mount(b"tmpfs", folder.encode(), b"tmpfs", flags, options),
                "mount tmpfs",
            )
        if "uid" in self.layers:
            os.chown(folder, walls.FIRST_UID + slot, walls.FIRST_UID + slot)

    def empty_folder(self, slot: int) -> None:
        """Removes what a program left, however deep it dug and whatever modes it chose."""
        left = [self.folders[slot]]
        while left:
            folder = left.pop()
            for entry in list(os.scandir(folder)):
                if entry.is_dir(follow_symlinks=False):
                    # Brought up first: a path from the top may be longer than the kernel takes.
                    self.moved += 1
                    left.append(os.path.join(self.folders[slot], f".{self.moved}"))
                    os.chmod(entry.path, 0o700)
                    os.rename(entry.path, left[-1])
                else:
                    os.unlink(entry.path)
            if folder != self.folders[slot]:
                os.rmdir(folder)

    def start(self, job: dict[str, Any]) -> None:
        slot = self.free.pop()
        result_fd, child_fd = os.pipe()
        if self.own_pids >= 0:
            walls.check(walls.libc.unshare(walls.CLONE_NEWPID), "unshare pids")
        pid = os.fork()
        if pid == 0:
            program_process(
                job, self.layers, slot, self.folders[slot], self.rulesets[slot], self.filter,
                child_fd,
            )  # fmt: skip
        if self.own_pids >= 0:  # back, or the next unshare would be refused
            walls.check(walls.libc.setns(self.own_pids, walls.CLONE_NEWPID), "setns pids")
        os.close(child_fd)
        now = time.monotonic()
        self.running[result_fd] = {
            "id": job["id"], "pid": pid, "slot": slot, "started": now,
            "deadline": now + job["timeout_s"], "answer": b"",
        }  # fmt: skip

    def finish(self, fd: int, status: str | None) -> None:
        """Kills what is left of a program and reports it."""
        entry = self.running.pop(fd)
        os.close(fd)
        for kill in (os.killpg, os.kill):
            try:
                kill(entry["pid"], signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        _, how = os.waitpid(entry["pid"], 0)
        self.empty_folder(entry["slot"])
        self.free.append(entry["slot"])
        send({
            "id": entry["id"], "status": status, "signal": os.WTERMSIG(how),
            "answer": entry["answer"].decode("utf-8", "replace"),
            "seconds": round(time.monotonic() - entry["started"], 4),
        })  # fmt: skip

    def serve(self) -> None:
        """Until standard input ends: the caller closed it or is dead."""
        pending = b""
        while True:
            while self.queue and self.free:
                self.start(self.queue.pop(0))
            deadlines = [entry["deadline"] for entry in self.running.values()]
            wait_s = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
            ready, _, _ = select.select([0, *self.running], [], [], wait_s)
            if 0 in ready:
                data = os.read(0, 1 << 16)
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                self.queue += [json.loads(line) for line in lines]
            for fd in list(self.running):
                self.look_at(fd, fd in ready)

    def look_at(self, fd: int, readable: bool) -> None:
        entry = self.running[fd]
        if readable:
            data = os.read(fd, 1 << 16)
            entry["answer"] += data
            if not data:
                self.finish(fd, None)
                return
            if len(entry["answer"]) > OUTPUT_LIMIT_BYTES:
                entry["answer"] = b""
                self.finish(fd, "refused")
                return
        if time.monotonic() >= entry["deadline"]:
            self.finish(fd, "timeout")


def make_base(private_mounts: bool) -> str:
    """The folder that holds the workers' folders; with private mounts it leaves no trace."""
    if private_mounts:
        library = os.path.realpath(os.__file__)
        for path in ("/mnt", "/media", "/srv", "/tmp"):
            if os.path.isdir(path) and not library.startswith(path + "/"):
                walls.check(
                    walls.libc.mount(b"tmpfs", path.encode(), b"tmpfs", 6, b"mode=711"), "mount"
                )
                return path
    base = tempfile.mkdtemp(prefix="evomerge-sandbox-")
    os.chmod(base, 0o711)
    return base


def send(message: dict[str, Any]) -> None:
    """One JSON line to the caller."""
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(1, data) :]


def warm_up() -> None:
    """Imports what programs often need, so that each fork has it for nothing."""
    for name in (
        "bisect", "collections", "copy", "csv", "dataclasses", "datetime", "decimal", "enum",
        "fractions", "functools", "heapq", "io", "itertools", "math", "operator", "random", "re",
        "statistics", "string", "textwrap", "typing", "unicodedata",
    ):  # fmt: skip
        __import__(name)


def main() -> None:
    """Finds the layers, becomes process 1 of the new pid namespace, serves."""
    workers, wanted = int(sys.argv[1]), frozenset(sys.argv[2].split(","))
    warm_up()
    layers: frozenset[str] = frozenset()
    if "namespaces" in wanted and walls.holds(walls.namespaces_hold):
        layers = frozenset(["namespaces"])
        walls.enter_namespaces()
        pid = os.fork()
        if pid:  # a process cannot change its own pid namespace: the child serves
            os._exit(os.WEXITSTATUS(os.waitpid(pid, 0)[1]))
        walls.libc.prctl(walls.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    layers |= walls.other_layers(wanted)
    server = Server(workers, layers)
    gc.disable()
    gc.freeze()
    names = [name for name in walls.LAYERS if name in layers]
    send({"layers": names, "folder": server.base, "python": sys.version.split()[0]})
    try:
        server.serve()
    finally:
        if "namespaces" not in layers:
            shutil.rmtree(server.base, ignore_errors=True)


if __name__ == "__main__":
    main()
