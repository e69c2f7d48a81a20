"""Files of a run folder, written so that a kill at any moment leaves them whole or absent.

Everything durable below a run folder goes through :class:`RunStore`: one file at a time with
temporary name, ``fsync``, rename and ``fsync`` of the folder, or one whole folder that gets its
name when it is complete. Names are checked, and symbolic links are refused, so that a run folder
from someone else cannot make evomerge read or write outside of it.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from evomerge_compiler import yamlio
from evomerge_compiler.durability import sync_file, sync_folder
from evomerge_compiler.errors import MissingPrerequisite, Place, RunDamaged, UsageError

# What `yamlio.write_atomic` leaves when it is killed. Editors' own files (.x.swp) never match.
_TEMPORARY = re.compile(r"\.[A-Za-z0-9._-]+\.[a-z0-9_]{8}\Z")
# Parts of paths below the run folder.
_PART = re.compile(r"\.?[A-Za-z0-9][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9_-]{1,16}){0,3}\Z")
# Names that Windows keeps for devices; a checkout of the run there would fail.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(1, 10))}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BUILDING = re.compile(r"\.[0-9]{3,6}\.tmp\Z")


def check_name(part: str) -> str:
    """One path component that is safe to join, returned unchanged.

    Raises:
        UsageError: It could leave the folder it is joined to, or some system cannot hold it.
    """
    if not _PART.match(part) or part == ".git":
        raise UsageError(
            f"not a usable name: {part!r}",
            hint="use letters, digits, '-' and '_', at most 63 of them",
        )
    return part


def check_new_name(part: str) -> str:
    """As :func:`check_name`, for a name that a person chose and that has to travel.

    Raises:
        UsageError: It is not a safe name, or it starts with a dot, or Windows keeps it.
    """
    if part.startswith(".") or part.split(".")[0].lower() in _DEVICES:
        raise UsageError(f"not a usable name: {part!r}", hint="choose another")
    return check_name(part)


def machine_error(error: OSError, path: str | Path, size_bytes: int | None = None) -> Exception:
    """What the machine refused, as an error that says what to do about it."""
    what = f"cannot write {path}"
    if size_bytes is not None:
        what += f" ({size_bytes} bytes)"
    if error.errno in _FULL:
        hint = "free some space and give the same command again; what is committed stays"
    else:
        hint = "make the folder writable and give the same command again"
    return MissingPrerequisite(f"{what}: {error.strerror or error}", hint=hint)


class RunStore:
    """Reads and durably writes the files below one folder.

    Args:
        root: The run folder. Paths given to the methods are relative to it, with ``/``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, relative: str) -> Path:
        """The file's path, once every part of it is known to be harmless.

        Raises:
            UsageError: A part of the name is not allowed.
            RunDamaged: A part of it is a symbolic link.
        """
        # Strings, not paths: this is the innermost loop of reading a large run.
        path = str(self.root)
        for part in relative.split("/"):
            if part == "." == relative:
                break
            path = f"{path}{os.sep}{check_name(part)}"
            if os.path.islink(path):
                raise RunDamaged(
                    "expected a plain file or folder, got a symbolic link",
                    hint="remove it: a run folder holds its own files only",
                    place=Place(path),
                )
        return Path(path)

    def read(self, relative: str) -> bytes | None:
        """The file's bytes, or None where there is no such file.

        Raises:
            RunDamaged: It is there and cannot be read.
        """
        path = self.path(relative)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunDamaged(f"cannot be read: {error.strerror}", place=Place(str(path))) from None

    def exists(self, relative: str) -> bool:
        """Whether there is such a file or folder."""
        return self.path(relative).exists()

    def commit(self, relative: str, data: str | bytes) -> None:
        """Makes the file hold ``data``, durably and in one step.

        A file that holds these bytes already is left alone.

        Raises:
            MissingPrerequisite: The disk is full, or the folder cannot be written.
        """
        path = self.path(relative)
        raw = data.encode("utf-8") if isinstance(data, str) else data
        if self.read(relative) == raw:
            return
        try:
            self._make_folder(path.parent)
            yamlio.write_atomic(path, raw)
        except OSError as error:
            raise machine_error(error, path, len(raw)) from error

    def remove(self, *relatives: str) -> None:
        """Removes the files that are there, in the order given, durably.

        Raises:
            MissingPrerequisite: The folder cannot be written.
        """
        for relative in relatives:
            path = self.path(relative)
            try:
                os.unlink(path)
                sync_folder(path.parent)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise machine_error(error, path) from error

    def remove_empty(self, relative: str) -> None:
        """Removes a folder that has nothing in it; one that has stays."""
        path = self.path(relative)
        try:
            os.rmdir(path)
            sync_folder(path.parent)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise machine_error(error, path) from error

    def commit_folder(self, relative: str, files: Mapping[str, str]) -> None:
        """Makes a new folder with all of ``files`` in it, in one step.

        Args:
            relative: The folder; its name is all digits.
            files: Path below the folder to text.

        Raises:
            MissingPrerequisite: The disk is full, or the folder cannot be written.
        """
        target = self.path(relative)
        building = target.parent / f".{target.name}.tmp"
        size_bytes = sum(len(text.encode("utf-8")) for text in files.values())
        try:
            if os.path.lexists(building):
                shutil.rmtree(building)
            self._make_folder(building)
            folders = {building}
            for name, text in files.items():
                path = building.joinpath(*map(check_name, name.split("/")))
                path.parent.mkdir(parents=True, exist_ok=True)
                folders.add(path.parent)
                with path.open("wb") as stream:
                    stream.write(text.encode("utf-8"))
                    sync_file(stream)
            for folder in sorted(folders, reverse=True):
                sync_folder(folder)
            os.rename(building, target)
            sync_folder(target.parent)
        except OSError as error:
            shutil.rmtree(building, ignore_errors=True)
            raise machine_error(error, target, size_bytes) from error

    def sweep(self, *relatives: str) -> list[Path]:
        """Removes what killed writers left directly below the folders named; returns it."""
        removed = []
        for path in self.leftovers(*relatives):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                os.unlink(path)
            removed.append(path)
        return removed

    def leftovers(self, *relatives: str) -> Iterator[Path]:
        """What killed writers left directly below the folders named."""
        for relative in relatives:
            folder = self.path(relative)
            if not folder.is_dir():
                continue
            for path in sorted(folder.iterdir()):
                unfinished = _BUILDING.match(path.name) and path.is_dir()
                if unfinished or (_TEMPORARY.match(path.name) and path.is_file()):
                    yield path

    def _make_folder(self, folder: Path) -> None:
        """Makes the folder and its missing parents, each durable in its parent."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        try:
            os.mkdir(folder)
        except FileExistsError:
            return
        sync_folder(folder.parent)
