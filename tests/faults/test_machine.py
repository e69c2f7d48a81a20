"""A full disk, a failing disk, a second process: clear errors, and nothing lost."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import run_folder_toys as toys
from kill_points import in_child

from evomerge_compiler.errors import (
    EXIT_MISSING_PREREQUISITE,
    EXIT_RUN_LOCKED,
    MissingPrerequisite,
    RunLocked,
)
from evomerge_compiler.run_folder import RunFolder, RunSetup


def evolve(folder: Path, given: RunSetup) -> RunFolder:
    run = RunFolder.open(folder / "runs" / "x", create_from=given)
    with run.hold():
        toys.evolve(run, 1)
    return run


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    return toys.tree(evolve(folder, toys.setup(toys.project(folder))).root)


@pytest.mark.parametrize("limit_bytes", [30, 120, 300, 600, 1000])
def test_files_that_may_not_grow(
    tmp_path: Path, wanted: dict[str, bytes], limit_bytes: int
) -> None:
    given = toys.setup(toys.project(tmp_path))

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        evolve(tmp_path, given)

    code, _ = in_child(work)
    assert code == EXIT_MISSING_PREREQUISITE
    root = tmp_path / "runs" / "x"
    there = toys.tree(root) if root.exists() else {}
    assert there.items() <= wanted.items(), "half a file"
    assert toys.tree(evolve(tmp_path, given).root) == wanted


class FailingDisk:
    """Makes the ``at``-th of the chosen calls of ``os`` fail with ``number``, once."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int, at: int) -> None:
        self.number = number
        self.left = at
        for name in ("fsync", "replace", "rename", "mkdir"):
            patch.setattr(os, name, self.wrapped(getattr(os, name)))

    def wrapped(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == -1:
                raise OSError(self.number, os.strerror(self.number))
            return original(*args, **kwargs)

        return call


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE]
)
def test_a_disk_that_fails_once(tmp_path: Path, wanted: dict[str, bytes], number: int) -> None:
    failed = 0
    for at in range(0, 400, 11):
        folder = tmp_path / str(at)
        given = toys.setup(toys.project(folder))
        with pytest.MonkeyPatch.context() as patch:
            disk = FailingDisk(patch, number, at)
            try:
                evolve(folder, given)
            except MissingPrerequisite as error:
                failed += 1
                assert error.exit_code == EXIT_MISSING_PREREQUISITE
                assert str(folder) in error.message
                assert os.strerror(number) in error.message
            if disk.left >= 0:
                break
        assert toys.tree(evolve(folder, given).root) == wanted
    assert failed > 5


def test_a_full_disk_names_path_and_size(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 1)
    with run.hold(), pytest.MonkeyPatch.context() as patch:
        FailingDisk(patch, errno.ENOSPC, 0)
        with pytest.raises(MissingPrerequisite) as caught:
            run.write_final({"a": 1})
    size_bytes = len("a: 1\ncheck: sha256:\n") + 64
    assert f"{run.root / 'final.yaml'} ({size_bytes} bytes)" in caught.value.message
    assert "free some space" in (caught.value.hint or "")


# -- two processes -------------------------------------------------------------------------


class Holder:
    """A child process that holds a run folder until it is killed."""

    def __init__(self, root: Path, *, forks: bool = False) -> None:
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            with RunFolder.open(root).hold():
                if forks and os.fork() == 0:
                    os.write(writer, b"held")
                    time.sleep(5)
                    os._exit(0)
                if not forks:
                    os.write(writer, b"held")
                time.sleep(60)
            os._exit(0)
        os.close(writer)
        assert os.read(reader, 4) == b"held"
        os.close(reader)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def test_the_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 1)
    holder = Holder(run.root)
    try:
        with pytest.raises(RunLocked) as caught, run.hold():
            pass
        message = caught.value.message
        assert caught.value.exit_code == EXIT_RUN_LOCKED
        assert f"process {holder.pid} on {os.uname().nodename} (" in message
        assert "since 2" in message and str(run.root) in message
        assert run.outcomes(0), "reading needs no lock"
    finally:
        holder.kill()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 1)
    Holder(run.root).kill()
    with run.hold():
        pass


def test_a_forked_worker_does_not_keep_the_lock_of_its_driver(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 1)
    Holder(run.root, forks=True).kill()
    with run.hold():
        pass


def test_a_copy_of_a_held_folder_is_free(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 1)
    with run.hold():
        copy = tmp_path / "runs" / "copy"
        shutil.copytree(run.root, copy)
        with RunFolder.open(copy).hold():
            pass


def test_a_second_process_may_not_even_change_the_recipe(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 1)
    before = toys.tree(run.root)
    path = toys.project(tmp_path, toys.RECIPE.replace("generations: 3", "generations: 9"))
    with run.hold(), pytest.raises(RunLocked):
        RunFolder.open(run.root, create_from=toys.setup(path))
    assert toys.tree(run.root) == before
