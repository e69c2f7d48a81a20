"""Sealed generations are parsed once, and never taken for whole when they are not."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from simulated_run import digest, evolve

from evomerge_compiler.errors import RunDamaged
from evomerge_compiler.run_folder import RunFolder, kept

CROSSING = (
    "search.plateau.patience=0",
    "search.population=12",
    "search.parameters={recover: model}",
    "search.model_crossover={share: 0.25}",
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    evolve(tmp_path / "run", 3, overrides=CROSSING, final=False)
    return tmp_path / "run"


def settle(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if what was written is not of just now, and was read since."""
    monkeypatch.setattr(kept, "_RACY_NS", -(10**15))
    for number in range(3):
        RunFolder.open(run).past(number)


def unread(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A folder whose candidates' files must not be read."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was read")

    monkeypatch.setattr(folder, "candidates", refuse)
    monkeypatch.setattr(folder, "verify", refuse)
    return folder


def test_what_is_kept_is_what_the_files_say(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(run, monkeypatch)
    folder = RunFolder.open(run)
    wanted = [[replace(c, text=None) for c in folder.candidates(n)] for n in range(3)]
    assert any(type(c.genome).__name__ == "Crossing" for c in wanted[2])
    unread(folder, monkeypatch)
    found = [folder.past(number) for number in range(3)]
    assert found == wanted
    assert [type(c.genome) for n in found for c in n] == [
        type(c.genome) for n in wanted for c in n
    ]
    assert repr(found) == repr(wanted), "numbers keep their types, genes their order"
    assert folder.outcomes(1) == [candidate.outcome for candidate in wanted[1]]


def test_a_resumed_run_reads_what_is_kept_and_gives_the_same_bytes(
    run: Path, tmp_path: Path
) -> None:
    evolve(run, 5, overrides=CROSSING)
    evolve(tmp_path / "once", 5, overrides=CROSSING)
    assert digest(run) == digest(tmp_path / "once")


@pytest.mark.parametrize("name", ["recipe.yaml", "lineage.yaml", "scores.yaml", "items.tsv"])
def test_a_change_is_found_though_size_and_time_are_those_of_before(
    run: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    settle(run, monkeypatch)
    path = run / "generations" / "001" / "c02" / name
    before, raw = path.stat(), bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(RunDamaged, match=f"c02/{name} was changed"):
        RunFolder.open(run).past(1)


def test_files_of_just_now_are_checked_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder.open(run)
    folder.past(1)
    monkeypatch.setattr(folder, "candidates", None)  # parsed they need not be
    checked = []
    monkeypatch.setattr(folder, "verify", checked.append)
    assert len(folder.past(1)) == 12 and checked == [1]


def test_a_file_that_came_or_went_is_found(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(run, monkeypatch)
    (run / "generations/000/c01/failure.yaml").write_text("x: 1\n")
    (run / "generations/001/c01/items.tsv").unlink()
    for number, what in ((0, "was added"), (1, "was removed")):
        with pytest.raises(RunDamaged, match=what):
            RunFolder.open(run).past(number)


@pytest.mark.parametrize("damage", [b"", b"{}", b"ab\n{}"])
def test_what_is_kept_may_be_damaged_or_gone(
    run: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    settle(run, monkeypatch)
    file = run / kept.FOLDER / "001.json"
    whole, wanted = file.read_bytes(), RunFolder.open(run).past(1)
    for text in (damage, whole[:-5], whole.replace(b"elite", b"elitf"), None):
        file.unlink()
        if text is not None:
            file.write_bytes(text)
        assert RunFolder.open(run).past(1) == wanted
        unread(RunFolder.open(run), monkeypatch).past(1)


def test_a_folder_to_look_at_only_can_be_read(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    wanted = RunFolder.open(run).past(1)
    (run / kept.FOLDER / "001.json").unlink()
    monkeypatch.setattr(kept.yamlio, "write_atomic", refuse)
    assert RunFolder.open(run).past(1) == wanted
