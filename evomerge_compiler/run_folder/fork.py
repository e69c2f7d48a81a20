"""Branches a run off: everything before a generation is kept, that generation is opened again."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from evomerge_compiler.durability import sync_folder
from evomerge_compiler.errors import UsageError
from evomerge_compiler.run_folder.candidates import CANDIDATE_FILES
from evomerge_compiler.run_folder.folder import GENERATIONS, RunFolder
from evomerge_compiler.run_folder.store import RunStore, check_new_name, machine_error
from evomerge_compiler.run_folder.tables import damaged


def fork(source: str | Path, generation: int, dest: str | Path) -> RunFolder:
    """Makes a new run that shares the past of another.

    Generations before ``generation`` are copied as they are. ``generation`` itself is open in the
    new run, so that its genomes may be edited; genomes that were edited in the old run, sealed or
    not, come along as edits, without the outcomes they no longer have.

    Args:
        source: The run folder to branch off. It is only read.
        generation: The first generation that may differ.
        dest: The new run's folder, which does not exist yet.

    Returns:
        The new run.

    Raises:
        UsageError: There is no such generation, or the folder exists.
        RunDamaged: Something other than genomes was changed in what is to be copied.
        MissingPrerequisite: The disk is full.
    """
    run = RunFolder.open(source)
    if generation not in run.generations():
        raise UsageError(f"{run.root} has no generation {generation:03d}")
    root = Path(dest)
    if os.path.lexists(root):
        raise UsageError(f"{root} exists already", hint="name a new folder")
    check_new_name(root.absolute().name)
    names = [".gitignore", ".gitattributes", "recipe.yaml"]
    for number in range(generation):
        run.verify(number)
        here = f"{GENERATIONS}/{number:03d}"
        names += [f"{here}/{name}" for name in (*run.seal_names(number), "SEALED")]
    names += _reopened(run, generation)
    # A folder gets its name when it is whole, so half a copy is never taken for a run.
    building = root.with_name(f".{root.name}.tmp")
    parent = root.parent.resolve()
    lock = replace(
        run.lock,
        folder=os.path.relpath((run.root / run.lock.folder).resolve(), parent / root.name),
        forked_from=f"{run.name}@{generation:03d}",
    )
    try:
        if building.exists():
            shutil.rmtree(building)
        store = RunStore(building)
        for name in names:
            raw = run.read(name)
            if raw is not None:
                store.commit(name, raw)
        store.commit("recipe.lock.yaml", lock.text())
        os.rename(building, root)
        sync_folder(root.parent)
    except OSError as error:
        raise machine_error(error, root) from error
    return RunFolder(root, lock)


def _reopened(run: RunFolder, number: int) -> list[str]:
    """The files of a generation that it keeps when it is open again.

    Raises:
        RunDamaged: Something other than a genome was changed after sealing.
    """
    here = f"{GENERATIONS}/{number:03d}"
    edited: set[str] = set()
    if number in run.sealed_generations():
        for name, what in run.seal_differences(number):
            slot, _, file = name.partition("/")
            if file != "recipe.yaml" or what != "was changed":
                raise damaged(str(run.root / here / name), f"{what} after sealing")
            edited.add(slot)
    names = [f"{here}/search.yaml"]
    for id in run.ids(number):
        kept = ("recipe.yaml", "lineage.yaml") if id.slot_name in edited else CANDIDATE_FILES
        names += [f"{here}/{id.slot_name}/{name}" for name in kept]
    return names
