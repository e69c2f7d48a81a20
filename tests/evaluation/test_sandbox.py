"""Generated code computes values and does nothing else; each attack is looked for outside too."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evomerge_compiler.evaluation import sandbox
from evomerge_compiler.evaluation.sandbox import LAYERS, Program, Run, Sandbox, SandboxUnavailable

NATIVE = ("landlock", "seccomp")


def _skip_unless_it_holds(box: Sandbox) -> None:
    try:
        assert box.layers
    except SandboxUnavailable as error:
        pytest.skip(f"this machine cannot: {error.message}")


@pytest.fixture(scope="module")
def everything() -> Iterator[Sandbox]:
    with Sandbox() as box:
        _skip_unless_it_holds(box)
        yield box


@pytest.fixture(scope="module")
def walls_only() -> Iterator[Sandbox]:
    """What a machine offers that forbids namespaces, as many containers do."""
    with Sandbox(layers=NATIVE, bubblewrap=False) as box:
        _skip_unless_it_holds(box)
        yield box


@pytest.fixture(scope="module")
def boxed() -> Iterator[Sandbox]:
    """What a machine without Landlock offers."""
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    with Sandbox(layers=("seccomp",)) as box:
        _skip_unless_it_holds(box)
        yield box


@pytest.fixture(params=["everything", "walls_only", "boxed"])
def box(request: pytest.FixtureRequest) -> Sandbox:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Sandbox)
    return found


def call(box: Sandbox, source: str, *arguments: object, timeout_s: float = 5.0) -> Run:
    """Runs ``source``, which defines f, with one call."""
    return box.run([Program(source, "f", (arguments,))], timeout_s=timeout_s)[0]


def attempt(box: Sandbox, body: str, *arguments: object) -> object:
    """Value of ``body`` (which sets r), or the name of the exception inside the sandbox."""
    lines = "\n".join("        " + line for line in body.splitlines())
    source = (
        f"def f(*a):\n    try:\n{lines}\n"
        "    except BaseException as e:\n        return type(e).__name__\n    return r\n"
    )
    run = call(box, source, *arguments)
    assert run.status == "ok", run
    return run.values[0]


def descendants() -> set[int]:
    """Living processes below this one; others on the machine may come and go."""
    parent_of = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parent_of[int(name)] = int(fields[1])
    found: set[int] = set()
    frontier = {os.getpid()}
    while frontier:
        frontier = {pid for pid, parent in parent_of.items() if parent in frontier}
        found |= frontier
    return found


def gone(pids: set[int]) -> bool:
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                return False
        except OSError:
            continue
    return True


def commands() -> bytes:
    """Command lines of all processes of the machine."""
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                lines.append((entry / "cmdline").read_bytes())
            except OSError:
                continue
    return b"\n".join(lines)


# --- values ---


def test_the_layers_hold(box: Sandbox, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.params["box"]
    if kind == "everything":
        assert set(NATIVE) <= set(box.layers)
        # Where the system's own tool can enter namespaces, we can.
        tool = ["unshare", "--net", "--pid", "--fork", "--mount", "--ipc", "--uts", "true"]
        if shutil.which("unshare") and subprocess.run(tool, capture_output=True).returncode == 0:
            assert "namespaces" in box.layers
    else:
        assert box.layers == (NATIVE if kind == "walls_only" else ("bubblewrap", "seccomp"))


def test_values_come_back_as_plain_json(box: Sandbox) -> None:
    source = "def f(x): return [x, (1, 2.5), {'k': None}, True, 'ü\\n', -10**30]"
    assert call(box, source, {"a": [1]}).values == (
        [{"a": [1]}, [1, 2.5], {"k": None}, True, "ü\n", -(10**30)],
    )
    assert box.run([Program("def f(a, b): return a + b", "f", ((1, 2), ("x", "y")))])[
        0
    ].values == (3, "xy")
    assert box.run([Program("def f(): return 1", "f", ())])[0].values == ()


def test_floats_come_back_to_the_last_bit(everything: Sandbox) -> None:
    numbers = [0.1, 1 / 3, 1e308, 5e-324, -0.0]
    values = call(everything, "def f(x): return [v for v in x]", numbers).values[0]
    assert json.dumps(values) == json.dumps(numbers)


def test_calls_do_not_share_their_arguments_but_share_the_module(everything: Sandbox) -> None:
    source = "n = []\ndef f(x):\n    x.append(1); n.append(1)\n    return [x, len(n)]"
    run = everything.run([Program(source, "f", (([],), ([],)))])[0]
    assert run.values == ([[1], 1], [[1], 2])


@pytest.mark.parametrize(
    "source",
    [
        "import dataclasses\n@dataclasses.dataclass\nclass P:\n    x: 'int'\n"
        "def f(): return P(1).x",
        "import tempfile\ndef f():\n    with tempfile.TemporaryFile(dir='.') as t:\n"
        "        t.write(b'1'); t.seek(0); return int(t.read())",
        "import concurrent.futures as c\ndef f():\n    with c.ThreadPoolExecutor(4) as p:\n"
        "        return sum(p.map(int, '1000'))",
        "import datetime, zoneinfo\ndef f(): return datetime.datetime(2020, 1, 1, "
        "tzinfo=datetime.timezone.utc).day",
        "import json, csv, re, math, random, statistics, decimal, hashlib, sqlite3, ssl, zlib\n"
        "def f(): return int(hashlib.sha256(b'').hexdigest()[0] == 'e')",
        "import time, asyncio\nasync def g():\n    await asyncio.sleep(0); return 1\n"
        "def f(): time.sleep(0.001); return 1",
        "import os\ndef f():\n    os.mkdir('d'); open('d/x', 'w').write('1')\n"
        "    os.rename('d/x', 'd/y'); return int(open('d/y').read())",
        "import unicodedata, encodings.idna, email, html, xml.etree.ElementTree as e\n"
        "def f(): return int(e.fromstring('<a>1</a>').text)",
        "if __name__ == '__main__':\n    raise SystemExit\ndef f(): return 1",
        "import sys\ndef f():\n    sys.setrecursionlimit(5000)\n"
        "    g = lambda n: n and 1 + g(n - 1)\n    return g(3000) - 2999",
    ],
)
def test_ordinary_programs_run(box: Sandbox, source: str) -> None:
    run = call(box, source)
    assert (run.status, run.values) == ("ok", (1,)), run


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def f(: pass", "SyntaxError"),
        ("def g(): pass", "no function f"),
        ("f = 3", "not callable"),
        ("def f(): return 1", "positional argument"),
        ("def f(x): raise ValueError('mine')", "ValueError: mine"),
        ("def f(x): return object()", "type object is not plain JSON"),
        ("def f(x): return {1: 2}", "key that is not a string"),
        ("def f(x): return {1, 2}", "type set"),
        ("def f(x): return float('nan')", "not finite"),
        ("def f(x): return [float('inf')]", "not finite"),
        ("def f(x): return b'x'", "type bytes"),
        ("def f(x): return lambda: 1", "type function"),
        ("class I(int): pass\ndef f(x): return I(3)", "type I"),
        ("class S(str): pass\ndef f(x): return {S('a'): 1}", "key that is not a string"),
        ("def f(x):\n    l = []; l.append(l); return l", "nested too deeply"),
        ("def f(x): return f(x)", "RecursionError"),
        ("def f(x): return 10 ** 5000", "ValueError"),
        ("class A:\n    def __eq__(s, o): return True\n    __class__ = int\ndef f(x): return A()",
         "type A"),
        ("class M(type):\n    def __instancecheck__(c, o): return True\n"
         "class A(metaclass=M):\n    def __eq__(s, o): return True\ndef f(x): return [A()]",
         "type A"),
        ("class E(Exception):\n    def __str__(s): raise KeyError\ndef f(x): raise E", "exited"),
        ("raise SystemExit(0)", "SystemExit"),
        ("import sys\ndef f(x): sys.exit(0)", "SystemExit"),
        ("import os\nos._exit(0)", "exited before"),
        ("import os\ndef f(x): os._exit(0)", "exited before"),
        ("import os\ndef f(x): os.abort()", "ended by signal"),
        ("import ctypes\ndef f(x): ctypes.string_at(0)", "ended by signal 11"),
        ("def f(x): return input()", "EOFError"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_an_error(everything: Sandbox, source: str, words: str) -> None:
    run = call(everything, source, 1)
    assert (run.status, run.values) == ("error", ()), run
    assert words in run.error


# --- cheating ---


def test_patching_the_harness_gains_nothing(box: Sandbox) -> None:
    source = (
        "import builtins, json, sys, os\n"
        "builtins.type = lambda x: int\n"
        "json.dumps = lambda *a, **k: '42'\n"
        "json.JSONEncoder.encode = lambda *a: '42'\n"
        "builtins.isinstance = lambda *a: True\n"
        "for m in list(sys.modules.values()):\n"
        "    if hasattr(m, 'encode') and hasattr(m, 'run_program'): m.encode = lambda *a: '42'\n"
        "def f(x): return 'wrong'\n"
    )
    run = call(box, source, 1)
    # It can choose what it answers, as any program can; it cannot choose what is expected.
    assert run.values in ((42,), ("wrong",), ()), run


def test_printing_success_is_not_heard(box: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    line = json.dumps({"id": "0", "status": "ok", "answer": "v[1]"})
    source = (
        f"import os, sys\nprint({line!r}); sys.stderr.write('PASSED')\n"
        f"for fd in (0, 1, 2): os.write(fd, {line!r}.encode() + b'\\n')\n"
        "def f(x): return x"
    )
    assert call(box, source, 5).values == (5,)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "answer", ["v[1,2,3]", "v1", "vNaN", "v[NaN]", "v" + "[" * 5000, "x[1]", "v[1]v[1]", "v{}"]
)
def test_bytes_forged_on_the_result_pipe_are_read_with_care(
    everything: Sandbox, answer: str
) -> None:
    source = (
        "import os\ndef f(x):\n    for fd in range(3, 64):\n"
        f"        try: os.write(fd, {answer!r}.encode())\n        except OSError: pass\n"
        "    os._exit(0)"
    )
    assert call(everything, source, 1).status == "error"


# --- files, network, processes ---


def test_files_outside_cannot_be_read(box: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        folder.chmod(0o755)
    secret.chmod(0o644)
    for path in (str(secret), __file__, "/etc/passwd", "/etc/shadow", "/proc/1/environ"):
        assert attempt(box, "r = open(a[0]).read()", path) in (
            "PermissionError", "FileNotFoundError", "NotADirectoryError",
        )  # fmt: skip
    assert attempt(box, "import os; r = os.listdir(a[0])", str(tmp_path)) in (
        "PermissionError", "FileNotFoundError",
    )  # fmt: skip


def test_files_outside_cannot_be_written(box: Sandbox, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("whole")
    for path in (tmp_path, *tmp_path.parents[:-1], victim):
        path.chmod(0o777) if path in (tmp_path, victim) else path.chmod(0o755)
    written = victim.stat().st_mtime
    attacks = (
        "open(a[0], 'w').write('x'); r = 1",
        "import os; os.truncate(a[0], 0); r = 1",
        "import os; os.unlink(a[0]); r = 1",
        "import os; os.rename(a[0], a[0] + '2'); r = 1",
        "import os; os.chmod(a[0], 0); r = 1",
        "import os; os.utime(a[0], (1, 1)); r = 1",
        "import os; os.chown(a[0], 1, 1); r = 1",
        "import os; os.open(a[0], os.O_RDONLY | os.O_TRUNC); r = 1",
        "import os; os.setxattr(a[0], 'user.x', b'1'); r = 1",
        "import os; os.symlink(a[0], 'l'); open('l', 'w').write('x'); r = 1",
        "import os; os.link(a[0], 'l'); open('l', 'w').write('x'); r = 1",
    )
    for attack in attacks:
        attempt(box, attack, str(victim))
    for name in ("/tmp/evomerge-canary", "/dev/shm/evomerge-canary", str(tmp_path / "canary")):
        attempt(box, "open(a[0], 'w').write('x'); r = 1", name)
        assert not Path(name).exists()
    now = victim.stat()
    assert (now.st_uid, now.st_nlink, now.st_mtime) == (os.geteuid(), 1, written)
    assert os.listxattr(victim) == []
    assert victim.read_text() == "whole" and victim.stat().st_mode & 0o777 == 0o777
    assert [path.name for path in tmp_path.iterdir()] == ["victim"]


def test_nothing_is_left_for_the_next_program(box: Sandbox) -> None:
    nest = (
        "import os\nos.mkdir('d'); open('d/x', 'w').write('x'); os.mkdir('d/closed', 0)\n"
        "os.symlink('d', 'l')\n"
        "for i in range(900):\n    os.mkdir('a' * 100); os.chdir('a' * 100)\nr = a[0]"
    )
    for index in range(4):  # both workers, more than once
        assert attempt(box, nest, index) == index
        assert attempt(box, "import os; r = os.listdir('.') + list(a[:0])", index) == []


def test_the_private_folder_is_small(everything: Sandbox) -> None:
    assert attempt(everything, "open('x', 'wb').write(b'x' * (2 << 20)); r = 1") == "OSError"
    many = "for i in range(40): open(str(i), 'wb').write(b'x' * (1 << 20))\nr = 1"
    assert attempt(everything, many) == "OSError"


def test_no_socket_of_any_kind(box: Sandbox, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "s"))
        unix.listen()
        tcp.settimeout(0.1)
        unix.settimeout(0.1)
        for code in (
            "socket.create_connection(('127.0.0.1', a[0]), 1)",
            "socket.socket(socket.AF_UNIX).connect(a[1])",
            "socket.socket(socket.AF_UNIX).connect('\\0abstract')",
            "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', a[0]))",
            "socket.socketpair()",
        ):
            outcome = attempt(
                box, f"import socket; {code}; r = 1", tcp.getsockname()[1], str(tmp_path / "s")
            )
            assert outcome == "PermissionError"
        for server in (tcp, unix):
            with pytest.raises(TimeoutError):
                server.accept()


def test_no_new_process_of_any_kind(box: Sandbox) -> None:
    for code in (
        "os.fork()",
        "os.execv('/bin/sh', ['sh'])",
        "os.system('sleep 60 # evomerge-canary')",
        "subprocess.Popen(['/bin/sleep', '60', 'evomerge-canary'])",
        "multiprocessing.Process(target=print).start()",
        "os.posix_spawn('/bin/sh', ['sh'], {})",
        "os.forkpty()",
    ):
        outcome = attempt(box, f"import os, subprocess, multiprocessing; r = {code}")
        assert outcome in ("PermissionError", "OSError", -1, 32512), (code, outcome)
    assert b"evomerge-canary" not in commands()


def test_a_fork_bomb_stays_one_process(box: Sandbox) -> None:
    assert call(box, "def f(): return 0").status == "ok"
    before = len(descendants())
    most = 0
    source = (
        "import os, threading, time\ndef f():\n    n = 0\n    while True:\n"
        "        try: n += 1 if n < 6 and os.fork() >= 0 else 0\n        except OSError: pass\n"
    )
    thread = threading.Thread(target=call, args=(box, source), kwargs={"timeout_s": 1.0})
    thread.start()
    while thread.is_alive():
        most = max(most, len(descendants()))
        thread.join(0.05)
    assert call(box, source, timeout_s=1.0).status == "timeout"
    assert before < most <= before + 1
    threads = (
        "import threading, time\ndef f():\n    n = 0\n    try:\n        for n in range(100000):\n"
        "            threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
        "    except (RuntimeError, MemoryError): pass\n    return n\n"
    )
    run = call(box, threads)
    assert run.status in ("ok", "memory") and (not run.values or run.values[0] < 2000)  # type: ignore[operator]


def test_nothing_outlives_its_program(box: Sandbox) -> None:
    box.run([Program("def f(): return 1", "f", ((),))])
    before = descendants()
    source = (
        "import threading, os\ndef g():\n    while True: pass\n"
        "def f():\n    threading.Thread(target=g).start()\n    try: os.fork()\n"
        "    except OSError: pass\n    return 7"
    )
    assert call(box, source).values == (7,)
    assert descendants() == before


def test_the_parent_cannot_be_harmed(box: Sandbox) -> None:
    for code in (
        "os.kill(os.getppid(), 9)",
        f"os.kill({os.getpid()}, 0)",
        "os.kill(-1, 0)",  # signal 0: no harm to the machine should it get through
        "os.killpg(0, 9)",
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
        "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))",
        "os.setuid(12345)",
        f"fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, {os.getpid()})",
        "fcntl.fcntl(os.pipe()[0], 10, 9)",
        "fcntl.ioctl(os.pipe()[0], 0x8901, b'\\1\\0\\0\\0')",
    ):
        outcome = attempt(box, f"import os, resource, fcntl; {code}; r = 'did it'")
        assert outcome in ("PermissionError", "ProcessLookupError", "OSError"), (code, outcome)
    assert call(box, "def f(): return 1").values == (1,)


def test_system_calls_off_the_list_fail(box: Sandbox) -> None:
    numbers = {"ptrace": 101, "mount": 165, "unshare": 272, "setns": 308, "bpf": 321,
               "io_uring_setup": 425, "memfd_create": 319, "keyctl": 250, "execve": 59,
               "process_vm_readv": 310, "pidfd_open": 434, "chroot": 161, "prctl": 157,
               "seccomp": 317, "setrlimit": 160, "prlimit64": 302, "shmget": 29}  # fmt: skip
    if os.uname().machine != "x86_64":
        pytest.skip("numbers are x86_64's")
    code = "import ctypes\nl = ctypes.CDLL(None, use_errno=True)\nr = [[l.syscall(n, 0, 0, 0, 0), "
    outcome = attempt(box, code + "ctypes.get_errno()] for n in a[0]]", list(numbers.values()))
    assert outcome == [[-1, 1]] * len(numbers), list(numbers)


def test_the_environment_is_empty(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "canary")
    with Sandbox(layers=("seccomp",), bubblewrap=False, unsafe=True) as fresh:
        for sandbox_ in (box, fresh):
            assert attempt(sandbox_, "import os; r = dict(os.environ)") == {}
            code = "import ctypes; g = ctypes.CDLL(None).getenv; g.restype = ctypes.c_char_p\n"
            assert attempt(sandbox_, code + "r = str(g(b'HF_TOKEN'))") == "None"


# --- limits ---


def test_an_endless_loop_is_ended(box: Sandbox) -> None:
    run = call(box, "def f():\n    while True: pass", timeout_s=0.5)
    assert (run.status, run.error) == ("timeout", "ran longer than 0.5 s")
    sleeper = (
        "import time\ndef f():\n    while True:\n        try: time.sleep(9)\n        except: pass"
    )
    assert call(box, sleeper, timeout_s=0.5).status == "timeout"
    assert call(box, "while True: pass", timeout_s=0.5).status == "timeout"


def test_sixteen_gigabytes_are_not_to_be_had(box: Sandbox) -> None:
    assert call(box, "def f(): return len(bytearray(16 << 30))").status == "memory"
    growing = "def f():\n    x = []\n    while True: x.append('x' * (1 << 20) + str(len(x)))"
    assert call(box, growing, timeout_s=20.0).status == "memory"


def test_a_flood_of_output_is_cut(box: Sandbox) -> None:
    flood = "import sys\ndef f():\n    for _ in range(2000): print('x' * 65536)\n    return 1"
    assert call(box, flood).values == (1,)
    assert call(box, "def f(): return 'x' * 100_000").status == "refused"
    pipe = (
        "import os\ndef f():\n    while True:\n        for fd in range(3, 9):\n"
        "            try: os.write(fd, b'v' * 65536)\n            except OSError: pass\n"
    )
    assert call(box, pipe).status == "refused"
    huge = Program("#" + "x" * (2 << 20) + "\ndef f(): return 1", "f", ((),))
    assert box.run([huge])[0].status == "refused"


# --- the sandbox as a service ---


def test_order_is_kept_and_equal_programs_run_once(everything: Sandbox) -> None:
    clock = "import time\ndef f(x): return [x, time.time_ns()]"
    programs = [Program(clock, "f", ((index % 3,),)) for index in range(60)]
    runs = everything.run(programs)
    assert [run.values[0][0] for run in runs] == [index % 3 for index in range(60)]  # type: ignore[index]
    assert len({json.dumps(run.values) for run in runs}) == 3
    assert everything.run(programs) == runs


def test_many_large_programs_do_not_clog_the_pipes(everything: Sandbox) -> None:
    pad = "#" + "x" * 50_000
    programs = [
        Program(f"def f(): return '{index:05d}' * 10000\n{pad}", "f", ((),)) for index in range(40)
    ]
    runs = everything.run(programs)
    assert [str(run.values[0])[:5] for run in runs] == [f"{index:05d}" for index in range(40)]


def test_arguments_must_be_plain(everything: Sandbox) -> None:
    for argument in (object(), float("nan"), {1: 2}, {"a": {1}}, b"x"):
        with pytest.raises(TypeError, match="plain JSON"):
            call(everything, "def f(x): return 1", argument)


def test_a_server_that_dies_is_replaced(everything: Sandbox) -> None:
    with Sandbox() as box:
        assert call(box, "def f(): return 1").values == (1,)
        server = box._server
        assert server is not None
        os.killpg(server._process.pid, signal.SIGKILL)
        assert call(box, "def f(): return 2").values == (2,)
        assert box._server is not server


def test_threads_may_share_a_sandbox() -> None:
    with Sandbox() as box:
        found: list[object] = []
        threads = [
            threading.Thread(
                target=lambda i=i: found.append(call(box, f"def f(): return {i}").values[0])
            )
            for i in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == list(range(8))  # type: ignore[type-var]


@pytest.mark.parametrize("layers", [LAYERS, NATIVE])
def test_close_leaves_no_process_and_no_folder(layers: tuple[str, ...]) -> None:
    before = descendants()
    box = Sandbox(layers=layers)
    call(box, "def f(): return 1")
    started = descendants() - before
    assert started and box._server is not None
    folder = Path(box._server.folder)
    assert folder.exists()
    box.close()
    assert gone(started)
    # With mounts of its own the server covers a folder that was there before.
    assert not (folder / "0").exists() and (layers == LAYERS or not folder.exists())


def test_the_sandbox_dies_with_its_owner() -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from evomerge_compiler.evaluation.sandbox import *\n"
        "print(shared().run([Program('def f(): return 1', 'f', ((),))])[0].values, flush=True)\n"
        "shared().run([Program('def f():\\n    while True: pass', 'f', ((),))], timeout_s=60)\n"
    )
    before = descendants()
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"(1,)\n"
    deadline = time.monotonic() + 20
    while len(family := descendants() - before) < 4:  # owner, supervisor, server, program
        assert time.monotonic() < deadline
        time.sleep(0.02)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    while not gone(family):
        assert time.monotonic() < deadline, "the sandbox outlived its owner"
        time.sleep(0.02)


def test_without_walls_it_refuses_and_says_what_to_do() -> None:
    for layers, bubblewrap in ((("namespaces", "uid"), True), (("landlock",), False), ((), False)):
        with (
            pytest.raises(SandboxUnavailable) as caught,
            Sandbox(layers=layers, bubblewrap=bubblewrap) as box,
        ):
            call(box, "def f(): return 1")
        assert caught.value.exit_code == 3
        assert "--no-sandbox" in str(caught.value) and "bubblewrap" in str(caught.value)


def test_unsafe_runs_where_nothing_holds() -> None:
    with Sandbox(layers=(), bubblewrap=False, unsafe=True) as box:
        assert box.layers == ()
        assert call(box, "def f(): return 1").values == (1,)
        assert call(box, "def f():\n    while True: pass", timeout_s=0.3).status == "timeout"


def test_shared_is_one_and_follows_configure() -> None:
    first = sandbox.shared()
    assert sandbox.shared() is first
    assert first.run([Program("def f(): return 1", "f", ((),))])[0].values == (1,)
    sandbox.configure(workers=1)
    second = sandbox.shared()
    assert second is not first and second._workers == 1
    sandbox.configure(workers=2, unsafe=False)


def test_it_starts_beside_torch() -> None:
    pytest.importorskip("torch")
    with Sandbox() as box:
        assert call(box, "def f(): return 1").values == (1,)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_it_holds_for_a_user_who_is_not_root(tmp_path: Path) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is not installed")
    parts = Path(sandbox.__file__).parent
    for name in ("sandbox_server.py", "sandbox_layers.py"):
        shutil.copy(parts / name, tmp_path / name)
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        folder.chmod(0o755)
    from evomerge_compiler.evaluation import sandbox_process

    command = [setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    before = sandbox_process._SERVER
    sandbox_process._SERVER = tmp_path / "sandbox_server.py"
    try:
        with Sandbox(prefix=command) as box:
            assert set(NATIVE) <= set(box.layers) and "uid" not in box.layers
            assert attempt(box, "r = open('/etc/passwd').read()") == "PermissionError"
            assert attempt(box, "import os; os.fork(); r = 1") == "PermissionError"
            assert attempt(box, "import socket; socket.socket(); r = 1") == "PermissionError"
            assert call(box, "def f(): return 1").values == (1,)
    finally:
        sandbox_process._SERVER = before
