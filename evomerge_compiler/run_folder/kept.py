"""What sealed generations hold, parsed once: ``.evomerge/sealed/003.json``.

A sealed generation never changes, so reading ten thousand candidates again, file by file, tells a
resumed run nothing new. What is kept is of the bytes of one ``SEALED`` and can be made again at
any time. As in git's index, a file whose size, times and inode are those of when it was checked
against the seal is taken to be the same; all others are checked again. ``evomerge check`` reads
every byte, whatever is kept.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evomerge_compiler import __version__, yamlio
from evomerge_compiler.candidate import CandidateId, Failure, Fitness, Lineage, Scores
from evomerge_compiler.crossing import Crossing
from evomerge_compiler.genome import Genome
from evomerge_compiler.run_folder.candidates import CANDIDATE_FILES, StoredCandidate
from evomerge_compiler.run_folder.tables import sha256

log = logging.getLogger(__name__)

FOLDER = Path(".evomerge") / "sealed"
# A file that was written this shortly before it was looked at may be written again without a sign.
_RACY_NS = 2_000_000_000
Stamp = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Record:
    """A candidate as it is kept."""

    id: CandidateId
    genome: dict[str, Any]
    template: str
    models: tuple[CandidateId, ...]
    lineage: Lineage
    fitness: Fitness | None
    scores: Scores | None
    failure: Failure | None


@dataclass(frozen=True)
class _Kept:
    """One generation as it is kept.

    Attributes:
        made_of: Hash of the seal, of what genomes are read by, and of this program's version.
        seen_ns: When files were looked at.
        stamps: File to its size, times and inode.
        records: Its candidates, in the order of slots.
    """

    made_of: str
    seen_ns: int
    stamps: dict[str, Stamp]
    records: list[_Record]

    def vouches_for(self, stamps: Mapping[str, Stamp]) -> bool:
        """Whether all files are certainly those that were checked."""
        settled = self.seen_ns - _RACY_NS
        return stamps == self.stamps and all(
            max(modified, changed) < settled for _, modified, changed, _ in stamps.values()
        )


class KeptGenerations:
    """Reads sealed generations of a run, from what is kept where that can be.

    Args:
        root: The run folder.
        reads_by: Says what genomes are read by; another answer is another genome.
    """

    def __init__(self, root: Path, reads_by: Callable[[], object]) -> None:
        self._root = root
        self._reads_by = reads_by

    def read(
        self,
        folder: Path,
        verify: Callable[[], None],
        parse: Callable[[], Sequence[StoredCandidate]],
    ) -> list[StoredCandidate]:
        """The candidates of a generation, without their merges.

        Args:
            folder: Of the generation, sealed.
            verify: Checks its files against the seal, or raises.
            parse: Does that too, and reads them.
        """
        seen_ns = time.time_ns()
        stamps = _stamps(folder)
        if stamps is None:
            return _without_merges(parse())
        seal = (folder / "SEALED").read_bytes()
        made_of = sha256(f"{__version__} {sha256(seal)} {self._reads_by()!r}".encode())
        path = self._root / FOLDER / f"{folder.name}.json"
        kept = _load(path, made_of)
        if kept is not None and kept.vouches_for(stamps):
            return [_candidate(record) for record in kept.records]
        if kept is not None:
            verify()
            found, records = [_candidate(record) for record in kept.records], kept.records
        else:
            found = _without_merges(parse())
            records = [_record(candidate) for candidate in found]
        if _stamps(folder) == stamps:
            _save(path, _Kept(made_of, seen_ns, stamps, records))
        return found


def _stamps(folder: Path) -> dict[str, Stamp] | None:
    """File to what the system knows of it; None where something is no plain file or folder."""
    found: dict[str, Stamp] = {}
    for prefix, name, entry in _entries(folder):
        if entry.is_symlink():
            return None
        if name in CANDIDATE_FILES or not prefix:
            status = entry.stat(follow_symlinks=False)
            found[f"{prefix}{name}"] = (
                status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino,
            )  # fmt: skip
    return found


def _entries(folder: Path) -> Iterator[tuple[str, str, os.DirEntry[str]]]:
    with os.scandir(folder) as top:
        entries = sorted(top, key=lambda entry: entry.name)
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            yield "", entry.name, entry
            continue
        with os.scandir(entry.path) as inside:
            for below in inside:
                yield f"{entry.name}/", below.name, below


# -- the file ------------------------------------------------------------------------------


@functools.cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(_Kept)


def _load(path: Path, made_of: str) -> _Kept | None:
    """What is kept, if it is whole and of the same."""
    try:
        check, _, body = path.read_bytes().partition(b"\n")
        if check.decode("ascii", "replace") != sha256(body):
            return None
        kept: _Kept = _adapter().validate_json(body)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.info("%s cannot be used: %s", path.name, error)
        return None
    return kept if kept.made_of == made_of else None


def _save(path: Path, kept: _Kept) -> None:
    try:
        body: bytes = _adapter().dump_json(kept)
        path.parent.mkdir(parents=True, exist_ok=True)
        yamlio.write_atomic(path, sha256(body).encode() + b"\n" + body)
    except OSError as error:  # a folder to look at only, or no room: all can be read again
        log.info("%s is not kept: %s", path.name, error)


def _record(candidate: StoredCandidate) -> _Record:
    genome = candidate.genome
    assert genome is not None
    template, models = "", tuple[CandidateId, ...]()
    if isinstance(genome, Crossing):
        template, models = genome.template, genome.models
    return _Record(
        id=candidate.id,
        genome=dict(genome.values),
        template=template,
        models=models,
        lineage=candidate.lineage,
        fitness=candidate.fitness,
        scores=candidate.scores,
        failure=candidate.failure,
    )


def _candidate(record: _Record) -> StoredCandidate:
    genome = Genome(record.genome)
    if record.template:
        genome = Crossing(record.genome, record.template, record.models)
    return StoredCandidate(
        id=record.id,
        genome=genome,
        lineage=record.lineage,
        fitness=record.fitness,
        scores=record.scores,
        failure=record.failure,
    )


def _without_merges(candidates: Sequence[StoredCandidate]) -> list[StoredCandidate]:
    return [replace(candidate, text=None) for candidate in candidates]
