"""A run killed at any moment and given again ends with the bytes of an unbroken one."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import run_folder_toys as toys
from kill_points import in_child

from evomerge_compiler import yamlio
from evomerge_compiler.run_folder import RunFolder

GENERATIONS = 2


def working_in(folder: Path, generations: int = GENERATIONS) -> Callable[[], None]:
    """The whole command: open or resume, hold, evolve."""
    given = toys.setup(toys.project(folder))

    def work() -> None:
        run = RunFolder.open(folder / "runs" / "x", create_from=given)
        with run.hold():
            toys.evolve(run, generations)

    return work


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], int]:
    """The tree of an unbroken run, and how many points it passed."""
    folder = tmp_path_factory.mktemp("unbroken")
    code, n_points = in_child(working_in(folder))
    assert code == 0
    return toys.tree(folder / "runs" / "x"), n_points


def broken_at(folder: Path, point: int, generations: int = GENERATIONS) -> dict[str, bytes] | None:
    """The tree of a run that was killed at a point and given again; None where that failed."""
    work = working_in(folder, generations)
    code, _ = in_child(work, point)
    assert code == -signal.SIGKILL
    code, _ = in_child(work)
    return toys.tree(folder / "runs" / "x") if code == 0 else None


def test_some_kills(unbroken: tuple[dict[str, bytes], int], tmp_path: Path) -> None:
    wanted, n_points = unbroken
    assert n_points > 200
    for point in range(0, n_points, 40):
        assert broken_at(tmp_path / str(point), point) == wanted, f"killed at point {point}"


@pytest.mark.long
def test_all_kills(unbroken: tuple[dict[str, bytes], int], tmp_path: Path) -> None:
    wanted, n_points = unbroken
    for point in range(n_points):
        assert broken_at(tmp_path / str(point), point) == wanted, f"killed at point {point}"


@pytest.mark.parametrize("n_trials", [2, pytest.param(15, marks=pytest.mark.long)])
def test_repeated_kills(
    unbroken: tuple[dict[str, bytes], int], tmp_path: Path, n_trials: int
) -> None:
    wanted, n_points = unbroken
    for trial in range(n_trials):
        draw = random.Random(trial)
        folder = tmp_path / str(trial)
        work = working_in(folder)
        # Ever shorter lives at first, so that some trials die many times.
        for _ in range(100):
            code, _ = in_child(work, draw.randrange(n_points // 4))
            if code == 0:
                break
            assert code == -signal.SIGKILL
        else:
            code, _ = in_child(work)
        assert code == 0
        assert toys.tree(folder / "runs" / "x") == wanted, f"trial {trial}"


def test_writing_in_place_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kills have teeth: a store that writes in place does not survive them."""

    def in_place(path: str | os.PathLike[str], text: str | bytes) -> None:
        with open(path, "wb") as stream:
            stream.write(text.encode() if isinstance(text, str) else text)
            stream.flush()
            os.fsync(stream.fileno())

    monkeypatch.setattr(yamlio, "write_atomic", in_place)
    _, n_points = in_child(working_in(tmp_path / "whole", 1))
    wanted = toys.tree(tmp_path / "whole" / "runs" / "x")
    points = range(n_points - 1, 0, -1)
    assert any(broken_at(tmp_path / str(point), point, 1) != wanted for point in points)


def test_files_are_durable_before_they_get_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power loss cannot be tested by killing; the order of the calls can."""
    log: list[str] = []
    sync, replace, rename = os.fsync, os.replace, os.rename

    def fsync(descriptor: int) -> None:
        log.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        sync(descriptor)

    def logged(call: Callable[..., None]) -> Callable[..., None]:
        def moved(source: str, target: str) -> None:
            log.append(f"name {Path(target).name}")
            call(source, target)

        return moved

    run = toys.finished(tmp_path, 1)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", logged(replace))
    monkeypatch.setattr(os, "rename", logged(rename))
    with run.hold():
        run.write_final({"other": 1})
        written = [*log]
        log.clear()
        run.begin_generation(1, toys.proposals(1), {})
    assert written[0].startswith("sync .final.yaml.")
    assert written[1:] == ["name final.yaml", "sync x"]
    assert log[-2:] == ["name 001", "sync generations"]
    assert log[0] == "sync generations"  # the folder that is being built
    files, folders = log[1 : 2 + 2 * toys.N_SLOTS], log[2 + 2 * toys.N_SLOTS : -2]
    assert all(line.endswith(".yaml") for line in files)
    assert sorted(folders) == ["sync .001.tmp", *(f"sync c0{i}" for i in range(toys.N_SLOTS))]
