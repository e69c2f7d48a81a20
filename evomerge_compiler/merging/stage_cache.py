"""Merged stages kept by content, so that candidates that share a stage merge it once.

A folder is named by its stage key, appears whole (rename) and is never changed. Two locks a key,
both released by the kernel when their holder dies: ``build`` is held while the stage is made, so
that parallel workers make it once; ``use`` is held shared by whoever reads it, so that pruning
leaves it alone. Whoever builds a stage may wait for the stages that it is made from, and these are
never made from it (a key holds its inputs' keys), hence nobody waits in a circle.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from evomerge_compiler.yamlio import write_atomic

MARKER = "OK"
_LOCKS = ".locks"


class StageCache:
    """The folders of finished stages.

    Args:
        folder: Where they lie; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / _LOCKS).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def stage(self, key: str, build: Callable[[Path], str]) -> Iterator[Path]:
        """The folder of a stage, made when it is not there, held while the caller reads it.

        Args:
            key: Stage key.
            build: Fills an empty folder and returns the hash of its tensors.
        """
        with self._locked(key, "use", fcntl.LOCK_SH):
            if not self.is_whole(key):
                with self._locked(key, "build", fcntl.LOCK_EX):
                    if not self.is_whole(key):
                        self._build(key, build)
            os.utime(self.folder / key / MARKER)
            yield self.folder / key

    def is_whole(self, key: str) -> bool:
        """Whether a stage is there with all its files at their full sizes."""
        try:
            marker = json.loads((self.folder / key / MARKER).read_text("utf-8"))
            return all(
                (self.folder / key / name).stat().st_size == size
                for name, size in marker["files"].items()
            )
        except FileNotFoundError:
            return False

    def _build(self, key: str, build: Callable[[Path], str]) -> None:
        # Both may be left over from a process that was killed, or a disk that lost files.
        temporary = self.folder / f".{key}.part"
        for old in (temporary, self.folder / key):
            if old.exists():
                shutil.rmtree(old)
        temporary.mkdir()
        try:
            tensors_sha256 = build(temporary)
            sizes = {
                path.relative_to(temporary).as_posix(): path.stat().st_size
                for path in sorted(temporary.rglob("*"))
                if path.is_file()
            }
            marker = {"tensors_sha256": tensors_sha256, "files": sizes}
            write_atomic(temporary / MARKER, json.dumps(marker, indent=2) + "\n")
            temporary.rename(self.folder / key)
        except BaseException:
            if temporary.exists():  # a writer that fails takes along what it was to replace
                shutil.rmtree(temporary)
            raise

    def prune(self, limit_bytes: int) -> int:
        """Removes the stages used longest ago until at most ``limit_bytes`` are left.

        Stages that some process reads at the moment stay.

        Returns:
            Bytes that were freed.
        """
        self._sweep()
        found = []
        for folder in self.folder.iterdir():
            marker = folder / MARKER
            if not folder.name.startswith(".") and marker.is_file():
                found.append((marker.stat().st_mtime_ns, folder.name, folder_bytes(folder)))
        total = sum(size for _, _, size in found)
        freed = 0
        for _, key, size in sorted(found):
            if total - freed <= limit_bytes:
                break
            if self._remove(key):
                freed += size
        return freed

    def _sweep(self) -> None:
        """Removes what processes that were killed left half made or half removed."""
        for suffix, purpose in ((".part", "build"), (".old", "use")):
            for folder in self.folder.glob(f".*{suffix}"):
                key = folder.name
                # Whoever builds a stage may write beside its folder, as `..KEY.part.part`.
                while key.startswith(".") and key.endswith(suffix):
                    key = key[1 : -len(suffix)]
                lock = self._locked(key, purpose, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Blocked when somebody is at work on it.
                with contextlib.suppress(BlockingIOError), lock:
                    if folder.exists():
                        shutil.rmtree(folder)

    def _remove(self, key: str) -> bool:
        try:
            with self._locked(key, "use", fcntl.LOCK_EX | fcntl.LOCK_NB):
                doomed = self.folder / f".{key}.old"
                if doomed.exists():
                    shutil.rmtree(doomed)
                (self.folder / key).rename(doomed)
                shutil.rmtree(doomed)
                return True
        except BlockingIOError:
            return False

    @contextmanager
    def _locked(self, key: str, purpose: str, kind: int) -> Iterator[None]:
        # Lock files stay: removing one would let two processes hold "the" lock at once.
        with _open_lock(self.folder / _LOCKS / f"{key}.{purpose}") as stream:
            fcntl.flock(stream, kind)
            yield


def _open_lock(path: Path) -> IO[bytes]:
    return path.open("ab")


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
