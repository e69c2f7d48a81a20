"""Where recipes, templates, evaluators and zoo models are found.

The project's own folder comes first, then what the package ships. The project folder is
``EVOMERGE_PROJECT``, else the nearest folder at or above the working directory that holds a
``recipes``, ``templates``, ``evaluators`` or ``zoo`` folder. In a checkout the shipped files are
the repository's own top-level folders; in an installed wheel they lie inside the package.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from evomerge_compiler.errors import MissingPrerequisite, UsageError, did_you_mean

KINDS = ("recipes", "templates", "evaluators", "zoo")
ZOO_PREFIX = "zoo:"


def project_folder() -> Path | None:
    """The folder whose own recipes, templates, evaluators and zoo come first, if any."""
    named = os.environ.get("EVOMERGE_PROJECT")
    if named:
        return Path(named).resolve()
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if any((folder / kind).is_dir() for kind in KINDS):
            return folder
        if (folder / ".git").exists():
            return None
    return None


def shipped_folder(kind: str) -> Path:
    """The folder of one kind that came with evomerge.

    Raises:
        MissingPrerequisite: The installation lacks it.
    """
    package = Path(__file__).resolve().parent
    for candidate in (package / "shipped" / kind, package.parent / kind):
        if candidate.is_dir():
            return candidate
    raise MissingPrerequisite(
        f"the installation has no {kind} folder",
        hint="install evomerge-compiler again: its wheel carries it",
    )


def folders(kind: str) -> list[Path]:
    """All folders that hold one kind of asset, the project's own first."""
    found: list[Path] = []
    project = project_folder()
    if project is not None and (project / kind).is_dir():
        found.append((project / kind).resolve())
    shipped = shipped_folder(kind).resolve()
    if shipped not in found:
        found.append(shipped)
    return found


def names(kind: str) -> dict[str, Path]:
    """Asset name to path; a project's own asset hides a shipped one of the same name."""
    out: dict[str, Path] = {}
    for folder in folders(kind):
        for name, path in _entries(kind, folder):
            out.setdefault(name, path)
    return dict(sorted(out.items()))


def _entries(kind: str, folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if kind == "recipes" and path.suffix in (".yaml", ".yml"):
            yield path.stem, path
        elif kind == "templates" and path.name.endswith(".yaml.j2"):
            yield path.name[: -len(".yaml.j2")], path
        elif kind == "evaluators" and path.is_dir():
            yield path.name, path
        elif kind == "zoo" and (path / "config.json").is_file():
            yield path.name, path


def zoo_model(reference: str) -> Path:
    """The folder of ``zoo:NAME``.

    Raises:
        UsageError: There is no such zoo model.
    """
    name = reference[len(ZOO_PREFIX) :]
    known = names("zoo")
    if name not in known:
        raise UsageError(f"no zoo model {name!r}", hint=did_you_mean(name, known))
    return known[name]
