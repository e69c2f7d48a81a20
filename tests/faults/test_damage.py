"""Cut and altered files are found, and are never taken for whole ones."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import run_folder_toys as toys

from evomerge_compiler.errors import EvomergeError, RunDamaged
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.run_folder.check import check

# What people may change in an open run: seen, and no damage.
NOTES = {".gitignore", ".gitattributes", "recipe.yaml"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = toys.finished(tmp_path_factory.mktemp("whole")).root
    assert check(root) == []
    return root


def cuts(size_bytes: int, n: int) -> list[int]:
    """Up to ``n`` lengths below ``size_bytes``, both ends among them."""
    step = max(1, size_bytes // n)
    return sorted({0, *range(step // 2, size_bytes, step), size_bytes - 1})


def refuse_or_ignore(root: Path, name: str) -> None:
    """Everything that reads a finished run raises, or the file is one that does not count."""
    run = RunFolder.open(root)
    for number in run.sealed_generations():
        run.outcomes(number)
        run.search_state(number)
    run.best()
    run.final()
    assert name in NOTES or name.startswith("baselines/")


def find_all_cuts(root: Path, n: int, skip: tuple[str, ...] = ()) -> None:
    for name, raw in toys.tree(root).items():
        if any(f"/{slot}/" in name for slot in skip):
            continue
        path = root / name
        for length in cuts(len(raw), n):
            path.write_bytes(raw[:length])
            found = check(root)
            assert found, f"{name} cut at byte {length} is not found"
            level = "note" if name in NOTES else "damage"
            assert name == "recipe.yaml" or level in {f.level for f in found}
            try:
                refuse_or_ignore(root, name)
            except EvomergeError as error:
                assert error.exit_code in (2, 5)
        path.write_bytes(raw)
    assert check(root) == []


def test_cut_files_of_a_finished_run(whole: Path) -> None:
    find_all_cuts(whole, 1, skip=("c01", "c03"))


@pytest.mark.long
def test_files_of_a_finished_run_cut_at_many_bytes(whole: Path) -> None:
    find_all_cuts(whole, 40)


def test_removed_files_of_a_finished_run(whole: Path) -> None:
    for name, raw in toys.tree(whole).items():
        if name in ("best.yaml", "final.yaml", "generations/001/SEALED"):
            continue  # made again by the next run
        (whole / name).unlink()
        if name == "recipe.lock.yaml":
            with pytest.raises(EvomergeError, match="not a run folder"):
                check(whole)
        else:
            assert check(whole) or name == "baselines/base/held_out/scores.yaml", name
        (whole / name).write_bytes(raw)


@pytest.mark.parametrize(
    "seeds",
    [
        range(1),
        *(pytest.param(range(n, n + 40), marks=pytest.mark.long) for n in range(0, 200, 40)),
    ],
    ids=str,
)
def test_flipped_bits_are_all_found(whole: Path, seeds: range) -> None:
    for seed in seeds:
        draw = random.Random(seed)
        for name, raw in toys.tree(whole).items():
            altered = bytearray(raw)
            altered[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
            (whole / name).write_bytes(altered)
            assert check(whole), f"{name}: seed {seed} is not found"
            (whole / name).write_bytes(raw)


def resume(root: Path, folder: Path) -> None:
    run = RunFolder.open(root, create_from=toys.setup(toys.project(folder)))
    with run.hold():
        toys.evolve(run, 2)


@pytest.mark.parametrize("n", [1, pytest.param(25, marks=pytest.mark.long)])
def test_cut_files_of_an_open_generation_are_made_again_or_refused(tmp_path: Path, n: int) -> None:
    wanted = toys.tree(toys.finished(tmp_path / "whole").root)
    start = toys.with_open(tmp_path / "open").root
    made_again = set()
    for path in sorted((start / "generations" / "001").rglob("*.*")):
        name = path.relative_to(start).as_posix()
        raw = path.read_bytes()
        for index, length in enumerate(cuts(len(raw), n)):
            root = start.with_name(f"{path.parent.name}-{path.stem}-{index}")
            shutil.copytree(start, root)
            (root / name).write_bytes(raw[:length])
            try:
                resume(root, tmp_path / "open")
            except RunDamaged:
                assert path.name in ("lineage.yaml", "search.yaml")
            except EvomergeError as error:
                assert path.name == "recipe.yaml"
                assert error.place is not None and error.place.file.endswith("recipe.yaml")
            else:
                made_again.add(path.name)
                assert toys.tree(root) == wanted, f"{name} cut at byte {length}"
            shutil.rmtree(root)
    assert made_again == {"mergekit.yaml", "scores.yaml", "items.tsv", "failure.yaml"}


def test_flipped_bits_in_an_open_generation_never_count(tmp_path: Path) -> None:
    wanted = toys.tree(toys.finished(tmp_path / "whole").root)
    start = toys.with_open(tmp_path / "open").root
    draw = random.Random(1)
    for name in ("mergekit.yaml", "scores.yaml", "items.tsv"):
        for index in range(3):
            root = start.with_name(f"{name}-{index}"[:-1])
            shutil.copytree(start, root)
            path = root / "generations" / "001" / "c00" / name
            raw = bytearray(path.read_bytes())
            raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
            path.write_bytes(raw)
            resume(root, tmp_path / "open")
            assert toys.tree(root) == wanted
            shutil.rmtree(root)


def test_a_garbled_state_folder_costs_nothing(tmp_path: Path) -> None:
    run = toys.with_open(tmp_path)
    wanted = toys.tree(toys.finished(tmp_path / "whole").root)
    (run.root / ".evomerge" / "lock").write_bytes(b"\xff\x00{" * 100)
    resume(run.root, tmp_path)
    assert toys.tree(run.root) == wanted
    shutil.rmtree(run.root / ".evomerge")
    resume(run.root, tmp_path)
    assert toys.tree(run.root) == wanted
