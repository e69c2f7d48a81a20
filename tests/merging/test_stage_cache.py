from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from evomerge_compiler.merging.stage_cache import MARKER, StageCache


def _builder(log: list[str], key: str, size: int = 10):
    def build(part: Path) -> str:
        log.append(key)
        (part / "weights").write_bytes(b"x" * size)
        return "hash"

    return build


def test_a_stage_is_made_once_and_appears_whole(tmp_path: Path) -> None:
    cache, log = StageCache(tmp_path), []
    for _ in range(2):
        with cache.stage("k", _builder(log, "k")) as folder:
            assert (folder / "weights").read_bytes() == b"x" * 10
    assert log == ["k"] and cache.is_whole("k")


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    cache = StageCache(tmp_path)

    def build(part: Path) -> str:
        (part / "half").write_text("")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), cache.stage("k", build):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".locks"]


def test_a_failed_build_that_took_its_folder_along_fails_with_its_own_words(
    tmp_path: Path,
) -> None:
    """A writer replaces the folder that it is given, and removes what it has begun."""

    def build(part: Path) -> str:
        part.rmdir()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), StageCache(tmp_path).stage("k", build):
        pass


def test_pruning_leaves_alone_what_a_writer_makes_beside_the_folder_it_was_given(
    tmp_path: Path,
) -> None:
    cache = StageCache(tmp_path)
    nested = tmp_path / "..k.part.part"

    def build(part: Path) -> str:
        nested.mkdir()
        part.rmdir()
        StageCache(tmp_path).prune(limit_bytes=0)  # another worker's
        nested.rename(part)
        return "hash"

    with cache.stage("k", build):
        pass
    nested.mkdir()  # of a process that was killed
    cache.prune(limit_bytes=0)
    assert [path.name for path in tmp_path.iterdir()] == [".locks"]


@pytest.mark.parametrize("damage", ["marker", "file", "size"])
def test_a_damaged_stage_is_made_again(tmp_path: Path, damage: str) -> None:
    cache, log = StageCache(tmp_path), []
    with cache.stage("k", _builder(log, "k")) as folder:
        pass
    if damage == "marker":
        (folder / MARKER).unlink()
    elif damage == "file":
        (folder / "weights").unlink()
    else:
        (folder / "weights").write_bytes(b"x")
    (tmp_path / ".k.part").mkdir()
    (tmp_path / ".k.part" / "of a killed process").write_text("")
    with cache.stage("k", _builder(log, "k")) as folder:
        assert sorted(path.name for path in folder.iterdir()) == [MARKER, "weights"]
    assert log == ["k", "k"]


def test_parallel_users_wait_for_the_one_that_builds(tmp_path: Path) -> None:
    cache, log = StageCache(tmp_path), []
    building, go = threading.Event(), threading.Event()

    def slow(part: Path) -> str:
        building.set()
        assert go.wait(10)
        return _builder(log, "slow")(part)

    def use(build) -> None:
        with cache.stage("k", build) as folder:
            assert (folder / "weights").exists()

    first = threading.Thread(target=use, args=(slow,))
    first.start()
    assert building.wait(10)
    second = threading.Thread(target=use, args=(_builder(log, "second"),))
    second.start()
    go.set()
    for thread in (first, second):
        thread.join(10)
        assert not thread.is_alive()
    assert log == ["slow"]


def test_pruning_takes_the_oldest_that_nobody_reads(tmp_path: Path) -> None:
    cache, log = StageCache(tmp_path), []
    for age, key in enumerate(("old", "middle", "new")):
        with cache.stage(key, _builder(log, key, 1000)) as folder:
            pass
        os.utime(folder / MARKER, (1000 + age, 1000 + age))
    (tmp_path / ".gone.part").mkdir()
    (tmp_path / ".gone.old").mkdir()
    with cache.stage("old", _builder(log, "old")):  # a use makes it the newest, and holds it
        assert cache.prune(limit_bytes=2500) > 1000
        assert [cache.is_whole(key) for key in ("old", "middle", "new")] == [True, False, True]
        cache.prune(limit_bytes=0)
        assert [cache.is_whole(key) for key in ("old", "middle", "new")] == [True, False, False]
    cache.prune(limit_bytes=0)
    assert [path.name for path in tmp_path.iterdir()] == [".locks"]
    assert log == ["old", "middle", "new"]
