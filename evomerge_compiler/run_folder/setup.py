"""What a run was started with: ``recipe.lock.yaml``, and what may change when it goes on.

The lock holds the recipe as it was read, what it resolved to on this machine (revisions, hashes,
versions, device kind), and the format of the folder. A run goes on with another stop rule or time
limit, and with nothing else changed: its candidates would not compare any more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evomerge_compiler import yamlio
from evomerge_compiler.errors import Place, RunDamaged, UsageError
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.recipe_schema import ExperimentFile
from evomerge_compiler.run_folder.files import checked_data, checked_text
from evomerge_compiler.run_folder.lock import hold
from evomerge_compiler.run_folder.store import RunStore, check_new_name
from evomerge_compiler.run_folder.tables import decoded, sha256

FORMAT = 1
LOCK_FILE = Path(".evomerge") / "lock"
GITIGNORE = """# Rebuilt at will; everything else in this folder is worth keeping.
/.evomerge/
/models/
/report.html
logs/
attempt.json
.*
!/.gitignore
!/.gitattributes
*~
"""
GITATTRIBUTES = """# Sealed files are hashed byte for byte, and a merge of two runs means nothing.
* -text
/generations/** -merge
# A digit an item and a hash a file: what changed in them is said better by scores and recipes.
/generations/**/items.tsv -diff
/generations/*/SEALED -diff
"""
# Dotted recipe keys that a resumed run may change; what stands below them may change too.
MAY_CHANGE = (
    "search.generations",
    "search.plateau",
    "search.budget",
    "search.max_failed_share",
    "search.finalists",
    "search.shortlist",
    "search.control",
    "evaluation.timeout_s",
    # The one that scores is among what the recipe resolved to, where a change has to be accepted.
    "evaluation.backend",
    "ray",
)
# The order of these is the order of coordinates and columns.
_ORDERED = (("models",), ("genome",), ("evaluation", "tasks"))
_MISSING = "(absent)"
# What a simulated run resolved to holds this, and what a real one did never does.
SIMULATION = "simulation"


@dataclass(frozen=True)
class RunSetup:
    """What the command that starts or resumes a run knows.

    Attributes:
        recipe: The experiment, with overrides applied.
        source: The bytes of its file.
        resolved: Plain data without times, hosts and absolute paths: versions, model identities,
            template hash, device kind; whatever must be the same when the run goes on.
        overrides: ``key=value`` as given with ``-S``.
        models: Paths as given with ``--models``.
        accept_lock: Whether other ``resolved`` values than the lock's are accepted.
    """

    recipe: Recipe
    source: bytes = field(repr=False)
    resolved: Mapping[str, object]
    overrides: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    accept_lock: bool = False


@dataclass(frozen=True)
class RunLock:
    """``recipe.lock.yaml``.

    Attributes:
        recipe_sha256: Hash of ``recipe.yaml``.
        folder: What relative paths in the recipe are relative to, itself relative to the run.
        overrides: As in :class:`RunSetup`.
        models: What ``--models`` named, relative to ``folder`` as the recipe's own paths are.
        resolved: As in :class:`RunSetup`.
        recipe: The recipe's data, overrides applied.
        accepted: Changes of ``resolved`` that a person accepted: the generation from which the
            new values hold, and the changes.
        forked_from: Run and generation that this run branched off, if it did.
    """

    recipe_sha256: str
    folder: str
    overrides: tuple[str, ...]
    models: tuple[str, ...]
    resolved: Mapping[str, Any]
    recipe: Mapping[str, Any]
    accepted: tuple[Mapping[str, Any], ...] = ()
    forked_from: str | None = None

    @classmethod
    def of(cls, setup: RunSetup, root: Path) -> RunLock:
        """The lock of a new run."""

        data = setup.recipe.document.data
        assert isinstance(data, dict)
        return cls(
            recipe_sha256=sha256(setup.source),
            folder=os.path.relpath(setup.recipe.folder.resolve(), root.resolve()),
            overrides=setup.overrides,
            models=_paths(data) if setup.models else (),
            resolved=setup.resolved,
            recipe=data,
        )

    def text(self) -> str:
        """The file."""
        data: dict[str, object] = {
            "format": FORMAT,
            "recipe_sha256": self.recipe_sha256,
            "folder": self.folder,
            "overrides": list(self.overrides),
            "models": list(self.models),
            "forked_from": self.forked_from,
            "resolved": self.resolved,
            "accepted": list(self.accepted),
            "recipe": self.recipe,
        }
        return checked_text(data)

    @classmethod
    def read(cls, text: str, file: str) -> RunLock:
        """Reads the file.

        Raises:
            RunDamaged: It is cut or altered, or of another format.
        """
        _check_format(text, file)
        data = checked_data(text, file)
        return cls(
            recipe_sha256=data["recipe_sha256"],
            folder=data["folder"],
            overrides=tuple(data["overrides"]),
            models=tuple(data["models"]),
            resolved=data["resolved"],
            recipe=data["recipe"],
            accepted=tuple(data["accepted"]),
            forked_from=data["forked_from"],
        )


def _paths(data: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(spec["path"] for spec in data["models"].values())


def _check_format(text: str, file: str) -> None:
    first = text.split("\n", 1)[0]
    key, _, number = first.partition(": ")
    if key != "format" or not number.isascii() or not number.isdigit():
        raise RunDamaged(
            f"expected the line 'format: {FORMAT}' first, got {first[:60]!r}",
            hint="restore the file from git",
            place=Place(file),
        )
    if int(number) != FORMAT:
        newer = int(number) > FORMAT
        age = "a newer" if newer else "an older"
        raise RunDamaged(
            f"the run folder is of {age} format {number}, this evomerge reads format {FORMAT}",
            hint=f"use the evomerge that wrote it, or {'a newer' if newer else 'an older'} one",
            place=Place(file, 1, 1, first),
        )


# -- what changed --------------------------------------------------------------------------


def recipe_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """How two recipes differ in meaning, defaults filled in.

    Returns:
        Changes that a resumed run may make, and those it may not, as ``key: old -> new``.
    """
    before, after = _normal(old), _normal(new)
    allowed: list[str] = []
    refused: list[str] = []
    for key, line in _differences(before, after):
        free = any(key == name or key.startswith(f"{name}.") for name in MAY_CHANGE)
        (allowed if free else refused).append(line)
    for path in _ORDERED:
        first, second = _keys(before, path), _keys(after, path)
        if first != second and sorted(first) == sorted(second):
            refused.append(f"{'.'.join(path)}: order {first} -> {second}")
    return allowed, refused


def resolved_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """How what a recipe resolved to differs, as ``key: old -> new``."""
    return [line for _, line in _differences(old, new)]


def refuse_recipe(changes: list[str], run: Path) -> None:
    """Stops a run that would go on with another experiment.

    Raises:
        UsageError: There are changes.
    """
    if changes:
        raise UsageError(
            f"the recipe is not the one that {run} was started with:\n"
            + "\n".join(f"    {line}" for line in changes),
            hint=f"use another folder with --run-dir; only {', '.join(MAY_CHANGE)} may change",
            place=Place(str(run / "recipe.yaml")),
        )


def _normal(data: Mapping[str, Any]) -> dict[str, Any]:
    try:
        file = ExperimentFile.model_validate(data)
    except ValidationError:
        # A recipe of another version of the schema: compared as it stands.
        return dict(data)
    normal: dict[str, Any] = file.model_dump(mode="json", by_alias=True)
    return normal


def _keys(data: Any, path: tuple[str, ...]) -> list[str]:
    for step in path:
        data = data.get(step, {}) if isinstance(data, Mapping) else {}
    return list(data) if isinstance(data, Mapping) else []


def _differences(old: object, new: object, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            inner = f"{key}.{name}" if key else str(name)
            yield from _differences(old.get(name, _MISSING), new.get(name, _MISSING), inner)
    elif type(old) is not type(new) or old != new:
        yield key, f"{key}: {_shown(old)} -> {_shown(new)}"


def _shown(value: object) -> str:
    if value is _MISSING:
        return _MISSING
    plain = value is None or isinstance(value, (str, int, float))
    return yamlio.scalar_text(value) if plain else repr(value)


# -- starting and resuming -----------------------------------------------------------------


def read_lock(root: Path) -> RunLock:
    """The lock of an existing run.

    Raises:
        UsageError: There is no run in the folder.
        RunDamaged: Its lock cannot be read.
    """
    store = RunStore(root)
    raw = store.read("recipe.lock.yaml") if root.is_dir() else None
    if raw is None:
        raise UsageError(
            f"{root} is not a run folder: it has no recipe.lock.yaml",
            hint="`evomerge ls runs` lists the runs here",
        )
    file = str(root / "recipe.lock.yaml")
    return RunLock.read(decoded(raw, file), file)


def start(root: Path, setup: RunSetup) -> RunLock:
    """Makes a run folder, or checks and brings up to date the one that is there.

    Raises:
        UsageError: The folder holds something else, or a run of another recipe.
        RunLocked: Another process holds the folder.
        MissingPrerequisite: The folder cannot be written.
    """
    if not os.path.lexists(root):
        check_new_name(root.absolute().name)
    elif not root.is_dir():
        raise UsageError(f"cannot make a run folder: {root} is a file")
    store = RunStore(root)
    if not store.exists("recipe.lock.yaml"):
        return _create(store, setup)
    lock = read_lock(root)
    wanted = _resumed(store, lock, setup)
    if wanted != lock or store.read("recipe.yaml") != setup.source:
        with hold(root / LOCK_FILE):
            # The recipe first: a lock that names a recipe not yet there would look damaged.
            store.commit("recipe.yaml", setup.source)
            store.commit("recipe.lock.yaml", wanted.text())
    return wanted


def _create(store: RunStore, setup: RunSetup) -> RunLock:
    root = store.root
    own = {".evomerge", ".gitignore", ".gitattributes", "recipe.yaml"}
    if root.is_dir():
        temporary = {path.name for path in store.leftovers(".")}
        others = sorted({path.name for path in root.iterdir()} - own - temporary)
        if others:
            raise UsageError(
                f"{root} is not a run folder and not empty: it holds {', '.join(others[:5])}",
                hint="name a new folder with --run-dir",
            )
    lock = RunLock.of(setup, root)
    with hold(root / LOCK_FILE):
        store.sweep(".")
        store.commit(".gitignore", GITIGNORE)
        store.commit(".gitattributes", GITATTRIBUTES)
        store.commit("recipe.yaml", setup.source)
        store.commit("recipe.lock.yaml", lock.text())
    return lock


def _resumed(store: RunStore, lock: RunLock, setup: RunSetup) -> RunLock:
    """The lock with which the run goes on."""
    data = setup.recipe.document.data
    assert isinstance(data, dict)
    refuse_recipe(recipe_changes(lock.recipe, data)[1], store.root)
    kept = store.read("recipe.yaml")
    if kept is not None and sha256(kept) != lock.recipe_sha256 and kept != setup.source:
        raise UsageError(
            f"{store.root / 'recipe.yaml'} was edited and is not the recipe given",
            hint=f"go on with the edited one: evomerge evolve {store.root / 'recipe.yaml'}",
        )
    _same_kind(store, lock.resolved, setup.resolved)
    drift = resolved_changes(lock.resolved, setup.resolved)
    accepted = lock.accepted
    if drift and not setup.accept_lock:
        raise UsageError(
            f"this machine is not set up as the run {store.root} was started with:\n"
            + "\n".join(f"    {line}" for line in drift),
            hint="install what the lock names, or mix the two with --accept-lock",
            place=Place(str(store.root / "recipe.lock.yaml")),
        )
    if drift:
        sealed = sorted(store.path("generations").glob("[0-9]*/SEALED"))
        accepted = (*accepted, {"from_generation": len(sealed), "changes": drift})
    fresh = replace(RunLock.of(setup, store.root), accepted=accepted, forked_from=lock.forked_from)
    own = (store.root / "recipe.yaml").resolve()
    if Path(setup.recipe.document.file).resolve() == own:
        # The run's own recipe was loaded with the lock's overrides, then those given now.
        # Of two equal ones the later counts, since of two for one key the later wins.
        given = (*lock.overrides, *setup.overrides)
        overrides = tuple(reversed(dict.fromkeys(reversed(given))))
        fresh = replace(fresh, overrides=overrides, models=fresh.models or lock.models)
    return fresh


def _same_kind(store: RunStore, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """A simulated run stays one: scores of a landscape and of models are never mixed.

    Raises:
        UsageError: One of the two is simulated and the other is not.
    """
    if (SIMULATION in old) == (SIMULATION in new):
        return
    command, others = ("simulate", "evolve") if SIMULATION in old else ("evolve", "simulate")
    kind = "simulated" if SIMULATION in old else "real"
    raise UsageError(
        f"{store.root} is a {kind} run: its scores do not compare with those of {others}",
        hint=f"go on with `evomerge {command} {store.root}`, or name another folder: --run-dir",
        place=Place(str(store.root / "recipe.lock.yaml")),
    )
