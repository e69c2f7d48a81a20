"""A worker that crashes, hangs or is killed costs its own task only."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from evomerge_compiler.errors import RecipeError, WorkFailed
from evomerge_compiler.process_pool import WorkerCrashed, WorkerPool, WorkerTimeout, announce
from evomerge_compiler.processes import verdict

STATE: list[object] = []


def remember(*values: object) -> None:
    STATE.extend(values)


def state() -> tuple[int, list[object]]:
    return os.getpid(), list(STATE)


def identity(value: object) -> object:
    return value


def kill_self(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def leave(code: int) -> None:
    print("last words", file=sys.stderr, flush=True)
    os._exit(code)


def in_phases(limits: list[tuple[str, float | None]], end: str) -> str:
    for name, timeout_s in limits:
        announce(name, timeout_s)
    if end == "hang":
        time.sleep(60)
    if end == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return end


def raise_error(error: BaseException) -> None:
    raise error


def spawn_and_sleep(path: str) -> None:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        time.sleep(60)
    Path(path).write_text(f"{pid} {os.getpid()}")
    time.sleep(60)


def variables() -> dict[str, str]:
    return dict(os.environ)


def sigint_is_ignored() -> bool:
    return signal.getsignal(signal.SIGINT) == signal.SIG_IGN


class Stubborn(Exception):
    """Cannot be unpickled."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__("stubborn")


def raise_stubborn() -> None:
    raise Stubborn(1, 2)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_workers_keep_their_state_and_import_where_the_parent_does() -> None:
    with WorkerPool(1, initializer=remember, initargs=("warm", 1)) as pool:
        first, second = pool.submit(state).result(30), pool.submit(state).result(30)
    assert first == second and first[1] == ["warm", 1] and first[0] != os.getpid()


def test_results_come_back_for_many_tasks() -> None:
    with WorkerPool(2) as pool:
        futures = [pool.submit(identity, index) for index in range(200)]
        assert [future.result(30) for future in futures] == list(range(200))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_worker_costs_its_task(number: int) -> None:
    with WorkerPool(1) as pool:
        before = pool.submit(state).result(30)[0]
        doomed, after = pool.submit(kill_self, int(number)), pool.submit(state)
        with pytest.raises(WorkerCrashed) as caught:
            doomed.result(30)
        assert after.result(30)[0] != before
    assert caught.value.returncode == -number
    assert caught.value.reason == ("out_of_memory" if number == signal.SIGKILL else "crashed")


def test_an_idle_worker_that_is_killed_is_replaced() -> None:
    with WorkerPool(1) as pool:
        pid = pool.submit(state).result(30)[0]
        os.kill(pid, signal.SIGKILL)
        while not gone(pid):
            time.sleep(0.01)
        # The task may meet the dying worker or the new one; the one after it never does.
        with_luck = pool.submit(identity, 1)
        assert with_luck.exception(30) is None or isinstance(with_luck.exception(), WorkerCrashed)
        assert pool.submit(identity, 2).result(30) == 2


@pytest.mark.parametrize("code", [0, 3])
def test_a_worker_that_exits_is_a_crash_even_with_code_zero(code: int) -> None:
    with WorkerPool(1) as pool:
        with pytest.raises(WorkerCrashed, match=f"exit code {code}") as caught:
            pool.submit(leave, code).result(30)
        assert "last words" in caught.value.stderr_tail
        assert pool.submit(identity, 1).result(30) == 1


def test_timeout_kills_the_worker_and_its_children(tmp_path: Path) -> None:
    with WorkerPool(1) as pool:
        pool.submit(identity, 0).result(30)
        with pytest.raises(WorkerTimeout, match="spawn_and_sleep ran longer than 1 s") as caught:
            pool.submit(spawn_and_sleep, str(tmp_path / "p"), timeout_s=1.0).result(30)
        assert caught.value.reason == "timeout"
        assert all(gone(int(pid)) for pid in (tmp_path / "p").read_text().split())
        assert pool.submit(identity, 1).result(30) == 1


def test_the_limit_is_for_the_call_and_not_for_the_queue() -> None:
    with WorkerPool(1) as pool:
        pool.submit(identity, 0).result(30)
        futures = [pool.submit(time.sleep, 0.3, timeout_s=5.0) for _ in range(3)]
        futures += [pool.submit(time.sleep, 0.01, timeout_s=0.8)]
        assert [future.result(30) for future in futures] == [None] * 4


def test_a_task_has_phases_with_limits_of_their_own() -> None:
    with WorkerPool(1) as pool:
        free_then_short = [("merge", None), ("evaluate", 0.05)]
        with pytest.raises(WorkerTimeout, match=r"0\.05 s") as late:
            pool.submit(in_phases, free_then_short, "hang", timeout_s=30).result()
        assert late.value.step == "evaluate" and late.value.reason == "timeout"
        with pytest.raises(WorkerCrashed) as dead:
            pool.submit(in_phases, [("merge", None)], "die").result()
        assert dead.value.step == "merge"
        # A phase ends with its task: the next one has its own limit and no name.
        assert pool.submit(in_phases, [("merge", None)], "well").result() == "well"
        with pytest.raises(WorkerCrashed) as dead:
            pool.submit(kill_self, signal.SIGKILL).result()
        assert dead.value.step == "worker"
    assert in_phases([("merge", 0.0)], "well") == "well", "outside a worker it is heard by nobody"


def test_each_worker_may_have_variables_of_its_own() -> None:
    with WorkerPool(1, own=lambda number: {"CUDA_VISIBLE_DEVICES": str(number + 3)}) as pool:
        assert pool.submit(variables).result()["CUDA_VISIBLE_DEVICES"] == "3"


def test_exceptions_arrive_with_their_traceback() -> None:
    with WorkerPool(1) as pool:
        error = pool.submit(raise_error, RecipeError("wrong", hint="mend it")).exception(30)
        exit_ = pool.submit(raise_error, SystemExit(3)).exception(30)
        stubborn = pool.submit(raise_stubborn).exception(30)
        assert pool.submit(identity, 1).result(30) == 1
    assert isinstance(error, RecipeError) and error.hint == "mend it"
    assert "in raise_error" in str(error.__cause__)
    assert isinstance(exit_, SystemExit)
    assert isinstance(stubborn, WorkerCrashed) and "Stubborn: stubborn" in stubborn.message


def raise_from(error: BaseException, cause: BaseException) -> None:
    raise error from cause


@pytest.mark.parametrize(
    ("call", "errors"),
    [
        (raise_error, [RuntimeError("CUDA error: device-side assert triggered")]),
        (
            raise_from,
            [
                WorkFailed("judging raised", reason="crashed", step="evaluate"),
                RuntimeError("CUDA error: an illegal memory access was encountered"),
            ],
        ),
    ],
)
def test_a_worker_whose_gpu_is_lost_to_it_is_replaced(
    call: Callable[..., None], errors: list[BaseException]
) -> None:
    with WorkerPool(1) as pool:
        before = pool.submit(state).result(30)[0]
        found = pool.submit(call, *errors).exception(30)
        assert type(found) is type(errors[0]) and verdict(found) == "crashed"
        assert pool.submit(state).result(30)[0] != before


def test_a_worker_that_raised_goes_on() -> None:
    with WorkerPool(1) as pool:
        before = pool.submit(state).result(30)[0]
        assert pool.submit(raise_error, RuntimeError("an error of its own")).exception(30)
        assert pool.submit(state).result(30)[0] == before


def test_a_failing_initializer_fails_each_task_with_its_words() -> None:
    with WorkerPool(1, initializer=raise_error, initargs=(ValueError("no such model"),)) as pool:
        for _ in range(2):
            with pytest.raises(WorkerCrashed) as caught:
                pool.submit(identity, 1).result(30)
            assert "no such model" in caught.value.stderr_tail


def test_workers_see_no_secret_and_no_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "canary")
    with WorkerPool(1) as pool:
        env = pool.submit(variables).result(30)
        assert pool.submit(sigint_is_ignored).result(30)
    assert "canary" not in env.values() and env["PYTHONHASHSEED"] == "0"


def test_close_cancels_and_leaves_nothing(tmp_path: Path) -> None:
    pool = WorkerPool(1)
    running = pool.submit(spawn_and_sleep, str(tmp_path / "p"))
    waiting = pool.submit(identity, 1)
    while not (tmp_path / "p").exists() or len((tmp_path / "p").read_text().split()) < 2:
        time.sleep(0.01)
    pool.close()
    with pytest.raises(CancelledError):
        running.result(0)
    assert waiting.cancelled()
    assert all(gone(int(pid)) for pid in (tmp_path / "p").read_text().split())
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(identity, 1)
    pool.close()


def test_worker_count_is_checked() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        WorkerPool(0)


def test_errors_travel_between_processes() -> None:
    import pickle

    crash = pickle.loads(pickle.dumps(WorkerCrashed("x", returncode=-9, stderr_tail="t")))
    assert (crash.message, crash.returncode, crash.reason) == ("x", -9, "out_of_memory")
    assert pickle.loads(pickle.dumps(WorkerTimeout("y"))).reason == "timeout"
