"""Commands and their descendants end when they should, and say how."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from evomerge_compiler.errors import EvomergeError, MissingPrerequisite, RecipeError, WorkFailed
from evomerge_compiler.processes import (
    TAIL_BYTES,
    run_command,
    start_process,
    stop_process,
    verdict,
    worker_environment,
)

# A command with a child in its own session, the kind that survives the killing of a group.
FAMILY = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
    time.sleep(60)
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
time.sleep(float(sys.argv[2]))
"""


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code, *arguments]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: object, limit_s: float = 10.0) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def pids(path: Path, count: int) -> list[int]:
    assert wait_until(lambda: path.exists() and len(path.read_text().split()) >= count)
    return [int(word) for word in path.read_text().split()]


def test_result_holds_code_and_both_tails(tmp_path: Path) -> None:
    code = "import sys; print('to out'); print('to err', file=sys.stderr); sys.exit(7)"
    result = run_command(python(code), log_path=tmp_path / "log")
    assert (result.returncode, result.timed_out, result.reason) == (7, False, "crashed")
    assert (result.stdout_tail, result.stderr_tail) == ("to out\n", "to err\n")
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["to err", "to out"]
    assert run_command(python("pass")).reason is None


def test_a_flood_of_output_keeps_its_end_only() -> None:
    result = run_command(python("print('x' * 3_000_000 + 'end')"))
    assert result.returncode == 0
    assert len(result.stdout_tail) == TAIL_BYTES and result.stdout_tail.endswith("end\n")


def test_cwd_and_env_are_exactly_those_given(tmp_path: Path) -> None:
    code = "import os, json; print(json.dumps([os.getcwd(), dict(os.environ)]))"
    env = {"PATH": os.environ["PATH"], "ONLY": "this"}
    result = run_command(python(code), cwd=tmp_path, env=env)
    cwd, seen = json.loads(result.stdout_tail)
    assert Path(cwd) == tmp_path.resolve()
    assert {name for name in seen if name != "LC_CTYPE"} == {"PATH", "ONLY"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_signal_is_passed_on(number: signal.Signals) -> None:
    result = run_command(python(f"import os; os.kill(os.getpid(), {int(number)})"))
    assert result.returncode == -number
    assert result.reason == ("out_of_memory" if number == signal.SIGKILL else "crashed")


def test_missing_program_and_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingPrerequisite, match="no-such-program"):
        run_command(["no-such-program"])
    with pytest.raises(MissingPrerequisite, match="nowhere"):
        run_command(python("pass"), cwd=tmp_path / "nowhere")


def test_timeout_kills_descendants_that_left_the_session(tmp_path: Path) -> None:
    result = run_command(python(FAMILY, str(tmp_path / "pids"), "60"), timeout_s=1.0)
    assert result.timed_out and result.reason == "timeout"
    family = pids(tmp_path / "pids", 2)
    assert len(family) == 2 and not any(alive(pid) for pid in family)


def test_time_limit_holds_for_a_command_that_closed_its_output() -> None:
    code = "import os, time; os.close(1); os.close(2); time.sleep(60)"
    assert run_command(python(code), timeout_s=0.5).timed_out


def test_a_command_that_ignores_sigterm_is_killed() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True)"
    process = start_process(python(code + "; time.sleep(60)"), stdout=subprocess.PIPE, grace_s=0.1)
    assert process.stdout is not None and process.stdout.read(1)
    assert stop_process(process, grace_s=0.1) == -signal.SIGKILL


def test_the_end_of_a_command_ends_what_it_left_behind(tmp_path: Path) -> None:
    result = run_command(python(FAMILY, str(tmp_path / "pids"), "0.3"))
    assert result.returncode == 0
    assert not any(alive(pid) for pid in pids(tmp_path / "pids", 2))


def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from evomerge_compiler.processes import run_command\n"
        f"run_command({python(FAMILY, str(tmp_path / 'pids'), '60')!r})\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    family = pids(tmp_path / "pids", 2)
    assert all(alive(pid) for pid in family)
    parent.kill()
    parent.wait()
    assert wait_until(lambda: not any(alive(pid) for pid in family))


def test_ctrl_c_kills_the_command_and_is_raised(tmp_path: Path) -> None:
    path = tmp_path / "pids"

    def press() -> None:
        pids(path, 2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_command(python(FAMILY, str(path), "60"), timeout_s=30.0)
    thread.join()
    assert not any(alive(pid) for pid in pids(path, 2))


def test_the_end_of_the_starting_thread_is_not_the_end_of_the_process() -> None:
    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(
        target=lambda: started.append(start_process(python("import time; time.sleep(60)")))
    )
    thread.start()
    thread.join()
    time.sleep(0.6)  # longer than the supervisor's look at its parent
    assert started[0].poll() is None
    assert stop_process(started[0]) == -signal.SIGTERM


def test_worker_environment_lets_no_secret_through(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("HF_HOME", "/somewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    env = worker_environment()
    assert "canary" not in env.values()
    assert env["HF_HOME"] == "/somewhere" and "PATH" in env
    assert (env["OMP_NUM_THREADS"], env["PYTHONHASHSEED"]) == ("1", "0")
    assert "HF_HUB_OFFLINE" not in env
    assert worker_environment(offline=True)["HF_HUB_OFFLINE"] == "1"
    assert worker_environment(OMP_NUM_THREADS="4", MORE="x")["OMP_NUM_THREADS"] == "4"
    seen = run_command(python("import os; print(*os.environ.values())")).stdout_tail
    assert "canary" not in seen and "/somewhere" in seen


@pytest.mark.parametrize(
    ("outcome", "text", "reason"),
    [
        (-9, "", "out_of_memory"),
        (137, "", "out_of_memory"),
        (1, "torch.OutOfMemoryError: CUDA out of memory. Tried", "out_of_memory"),
        (-6, "terminate called after throwing an instance of 'std::bad_alloc'", "out_of_memory"),
        (1, "MemoryError", "out_of_memory"),
        (MemoryError(), "", "out_of_memory"),
        (RuntimeError("CUDA out of memory"), "", "out_of_memory"),
        (TimeoutError(), "", "timeout"),
        (subprocess.TimeoutExpired("x", 1), "", "timeout"),
        (124, "", "timeout"),
        (-signal.SIGXCPU, "", "timeout"),
        (FloatingPointError("overflow"), "", "non_finite"),
        (RuntimeError("probability tensor contains either `inf`, `nan` or element < 0"), "",
         "non_finite"),
        (1, "ValueError: non-finite weight in model.layers.0", "non_finite"),
        (1, "Weights only load failed. This file can still be loaded", "unsafe"),
        (ValueError("The repository x contains custom code which must be executed"), "", "unsafe"),
        (RecipeError("density is above 1"), "", "invalid"),
        (2, "error: no such key", "invalid"),
        (MissingPrerequisite("no model"), "", "crashed"),
        (WorkFailed("x", reason="non_finite", step="merge"), "out of memory", "non_finite"),
        (-11, "", "crashed"),
        (1, "KeyError: 'x'", "crashed"),
        (1, "FutureWarning: weights_only=False", "crashed"),
        (KeyError("x"), "", "crashed"),
        (None, "", "crashed"),
    ],
)  # fmt: skip
def test_verdict(outcome: int | BaseException | None, text: str, reason: str) -> None:
    assert verdict(outcome, text) == reason


def test_errors_name_the_remedy() -> None:
    with pytest.raises(EvomergeError) as caught:
        run_command(["no-such-program"])
    assert caught.value.exit_code == 3 and caught.value.hint
