"""Looks through a whole run folder for damage, and frees what can be rebuilt."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.errors import ErrorList, EvomergeError, RunDamaged
from evomerge_compiler.recipe import CONTROL
from evomerge_compiler.run_folder.candidates import CANDIDATE_FILES
from evomerge_compiler.run_folder.folder import GENERATION_NAME, GENERATIONS, SLOT_NAME, RunFolder
from evomerge_compiler.run_folder.setup import GITATTRIBUTES, GITIGNORE, LOCK_FILE
from evomerge_compiler.run_folder.store import machine_error
from evomerge_compiler.run_folder.tables import sha256

_ROOT_FILES = (
    ".gitattributes",
    ".gitignore",
    "best.yaml",
    "final.yaml",
    "front.tsv",
    "recipe.lock.yaml",
    "recipe.yaml",
    "report.html",
)
# A run inside the run: random candidates at equal cost.
_ROOT_FOLDERS = (".evomerge", "baselines", CONTROL, GENERATIONS, "models")
_GENERATION_FILES = ("search.yaml", "population.tsv", "SEALED")
# What programs other than evomerge leave behind, and what git does not track.
_NOT_OURS = ("logs", "attempt.json")


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        path: Where, relative to the run folder.
        level: ``damage`` when a file is not what evomerge wrote, ``note`` when a person or a kill
            left something that does no harm.
        message: What is wrong.
        hint: What to do about it.
    """

    path: str
    level: Literal["damage", "note"]
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.level}: {self.message}"


def check(root: str | Path) -> list[Finding]:
    """Everything that is wrong with a run folder; nothing is changed.

    Every tracked file is read. In sealed generations each byte counts. In the open one, edits of
    genomes are legal; all other files must be whole and belong together.

    Args:
        root: The run folder.

    Raises:
        UsageError: It is none.
    """
    found = list(_links(Path(root)))
    if found:
        # Nothing that may point anywhere is read any further.
        return found
    try:
        run = RunFolder.open(root)
    except RunDamaged as error:
        # Without its lock, what the files should be is not known.
        return [Finding("recipe.lock.yaml", "damage", error.message, error.hint)]
    found += _top(run)
    try:
        numbers = run.generations()
        sealed = run.sealed_generations()
    except EvomergeError as error:
        return [*found, _finding(run, GENERATIONS, error)]
    found += _strangers(run)
    for number in numbers:
        found += _sealed(run, number) if number in sealed else _open(run, number)
    found += _baselines(run)
    if (run.root / CONTROL).is_dir():
        inside = check(run.root / CONTROL)
        found += [replace(finding, path=f"{CONTROL}/{finding.path}") for finding in inside]
    return found


def _finding(run: RunFolder, path: str, error: EvomergeError) -> Finding:
    if error.place and error.place.file.startswith(f"{run.root}{os.sep}"):
        path = os.path.relpath(error.place.file, run.root)
    return Finding(path, "damage", error.message, error.hint)


def _attempt(run: RunFolder, path: str, read: Callable[[], object]) -> Iterator[Finding]:
    """What reading something raises, as findings."""
    try:
        read()
    except ErrorList as errors:
        for error in errors.errors:
            yield _finding(run, path, error)
    except EvomergeError as error:
        yield _finding(run, path, error)


def _links(root: Path) -> Iterator[Finding]:
    for folder, folders, names in os.walk(root):
        if Path(folder) == root:
            folders[:] = [name for name in folders if name not in (".evomerge", "models")]
        for name in sorted([*folders, *names]):
            path = Path(folder, name)
            if path.is_symlink():
                shown = path.relative_to(root).as_posix()
                yield Finding(shown, "damage", "is a symbolic link", "remove it")


def _strangers(run: RunFolder) -> Iterator[Finding]:
    """Files and folders that evomerge did not make, and what killed processes left."""
    for path in run.unfinished():
        shown = path.relative_to(run.root).as_posix()
        yield Finding(shown, "note", "was left by a killed process; the next run removes it")
    generations = run.root / GENERATIONS
    yield from _others(run, run.root, (*_ROOT_FILES, *_ROOT_FOLDERS), None)
    yield from _others(run, generations, (), GENERATION_NAME)
    for generation in sorted(generations.glob("[0-9]*")):
        yield from _others(run, generation, _GENERATION_FILES, SLOT_NAME)
        for slot in sorted(generation.glob("c[0-9]*")):
            yield from _others(run, slot, CANDIDATE_FILES, None)


def _others(
    run: RunFolder, folder: Path, known: tuple[str, ...], folders: re.Pattern[str] | None
) -> Iterator[Finding]:
    """What is in ``folder`` beside known files, folders of a pattern, and editors' files."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        name = path.name
        if name in known or name in _NOT_OURS or name.startswith(".") or name.endswith("~"):
            continue
        if folders is None or not folders.match(name):
            shown = path.relative_to(run.root).as_posix()
            yield Finding(shown, "note", "is not a file of evomerge's; it is ignored")


def _top(run: RunFolder) -> Iterator[Finding]:
    for name, wanted in ((".gitignore", GITIGNORE), (".gitattributes", GITATTRIBUTES)):
        raw = run.read(name)
        if raw != wanted.encode():
            yield Finding(name, "note", "is not as evomerge wrote it")
    raw = run.read("recipe.yaml")
    if raw is None:
        yield Finding("recipe.yaml", "damage", "is missing", "restore it from git")
    elif sha256(raw) != run.lock.recipe_sha256:
        yield Finding("recipe.yaml", "note", "was edited since the run was last started")
    yield from _attempt(run, "recipe.yaml", lambda: run.recipe)
    yield from _attempt(run, "best.yaml", run.best)
    yield from _attempt(run, "final.yaml", run.final)
    yield from _attempt(run, "front.tsv", run.front)


def _sealed(run: RunFolder, number: int) -> Iterator[Finding]:
    here = f"{GENERATIONS}/{number:03d}"
    try:
        differences = run.seal_differences(number)
    except EvomergeError as error:
        yield _finding(run, f"{here}/SEALED", error)
        return
    branch = f"restore it from git, or branch off: evomerge fork {run.root}@{number:03d} DEST"
    for name, what in differences:
        yield Finding(f"{here}/{name}", "damage", f"{what} after sealing", branch)
    if not differences:
        yield from _attempt(run, here, lambda: run.candidates(number))
        yield from _attempt(run, here, lambda: run.search_state(number))


def _open(run: RunFolder, number: int) -> Iterator[Finding]:
    here = f"{GENERATIONS}/{number:03d}"
    yield from _attempt(run, here, lambda: run.search_state(number))
    if run.read(f"{here}/population.tsv") is not None:
        yield Finding(f"{here}/population.tsv", "note", "is written again when it is sealed")
    for id in run.ids(number):
        yield from _open_candidate(run, id)


def _open_candidate(run: RunFolder, id: CandidateId) -> Iterator[Finding]:
    here = f"{GENERATIONS}/{id}"
    try:
        stored = run.candidate(id)
    except EvomergeError as error:
        yield _finding(run, here, error)
        return
    if stored.problem is not None:
        yield _finding(run, f"{here}/recipe.yaml", stored.problem)
    elif stored.lineage.origin == "edited":
        yield Finding(f"{here}/recipe.yaml", "note", "was edited by hand")
    outcome = next(
        (n for n in ("scores.yaml", "failure.yaml") if run.read(f"{here}/{n}") is not None), None
    )
    if outcome is not None and not stored.done:
        message = "is damaged, or belongs to another genome or merge; it is made again"
        yield Finding(f"{here}/{outcome}", "damage", message, "run the same command again")


def _baselines(run: RunFolder) -> Iterator[Finding]:
    for folder in run.baseline_folders():
        _, name, split = folder.split("/")
        if run.baseline(name, split) is None:
            yield Finding(folder, "damage", "is cut or was altered; it is made again")


# -- space ---------------------------------------------------------------------------------


def gc(root: str | Path, *, dry_run: bool = False) -> int:
    """Removes what can be rebuilt: ``models/`` and the folders in ``.evomerge/``.

    Plain files in ``.evomerge/`` are small and some cannot be rebuilt: they stay.

    Args:
        root: The run folder; nobody else may hold it.
        dry_run: Whether to count only.

    Returns:
        Bytes that were, or would be, freed.

    Raises:
        RunLocked: The run is in work.
    """
    run = RunFolder.open(root)
    with run.hold():
        state = run.root / LOCK_FILE.parent
        rebuildable = [run.root / "models", *sorted(state.iterdir())]
        size_bytes = 0
        for path in rebuildable:
            if not path.is_dir() or path.is_symlink():
                continue
            size_bytes += _size_bytes(path)
            if dry_run:
                continue
            try:
                shutil.rmtree(path)
            except OSError as error:
                raise machine_error(error, path) from error
    return size_bytes


def _size_bytes(path: Path) -> int:
    """Bytes of the files below a folder; links count as themselves, shared files once."""
    seen: dict[tuple[int, int], int] = {}
    for folder, _, names in os.walk(path):
        for name in names:
            status = os.lstat(os.path.join(folder, name))
            seen[(status.st_dev, status.st_ino)] = status.st_size
    return sum(seen.values())
