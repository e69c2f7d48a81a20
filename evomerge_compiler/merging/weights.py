"""Reads safetensors folders without torch: headers, content hash, non-finite values.

The hash covers names, dtypes, shapes and bytes, so that it depends neither on how the tensors are
spread over files nor on the order in which they come: it is taken over one line a tensor, sorted
by name. Memory stays at one chunk whatever the size of the model.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evomerge_compiler.errors import MissingPrerequisite, UsageError, WorkFailed

if TYPE_CHECKING:
    from typing_extensions import Buffer

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_CHUNK_BYTES = 8 << 20
_HEADER_LIMIT_BYTES = 100_000_000  # the limit of the safetensors format itself

# A float is infinite or NaN when all bits of its exponent are set (IEEE 754; bfloat16 likewise).
_EXPONENT_MASKS = {
    "F64": ("<u8", 0x7FF0_0000_0000_0000),
    "F32": ("<u4", 0x7F80_0000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
    "F8_E5M2": ("<u1", 0x7C),
    # e4m3fn has no infinity and a single NaN pattern, all bits set.
    "F8_E4M3": ("<u1", 0x7F),
}
_ITEM_BYTES = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "BF16": 2, "F16": 2, "I16": 2,
    "U16": 2, "F8_E5M2": 1, "F8_E4M3": 1, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
DTYPE_NAMES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}
EMBEDDING_ENDINGS = (
    "embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight",
    "tok_embeddings.weight",
)  # fmt: skip
HEAD_ENDINGS = ("lm_head.weight", "embed_out.weight")


@dataclass(frozen=True)
class TensorSpec:
    """What a tensor is, wherever its bytes are.

    Attributes:
        dtype: As in the safetensors header, e.g. ``BF16``.
        shape: Its shape.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def n_elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Size of all elements."""
        return self.n_elements * _ITEM_BYTES[self.dtype]


@dataclass(frozen=True)
class TensorInfo(TensorSpec):
    """Where a tensor lies.

    Attributes:
        file: Path of the file that holds it.
        start: Byte offset of its first element in that file.
        end: Byte offset behind its last element.
    """

    file: Path
    start: int
    end: int

    @property
    def n_bytes(self) -> int:
        """Size of all elements."""
        return self.end - self.start


@dataclass(frozen=True)
class Scan:
    """What one pass over a model's tensors found.

    Attributes:
        sha256: Hash of the tensors, see :class:`TensorsHash`.
        n_parameters: Elements of all tensors.
        n_bytes: Bytes of all tensors.
        non_finite: Names of the tensors that hold NaN or infinity.
    """

    sha256: str
    n_parameters: int
    n_bytes: int
    non_finite: tuple[str, ...]


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers would load from a folder.

    Raises:
        UsageError: There are none, or the index names a file that is not there.
    """
    if (folder / SINGLE_FILE).is_file():
        return [folder / SINGLE_FILE]
    if (folder / INDEX_FILE).is_file():
        index = json.loads((folder / INDEX_FILE).read_text("utf-8"))
        files = [folder / name for name in sorted(set(index["weight_map"].values()))]
        absent = [path.name for path in files if not path.is_file()]
        if absent:
            raise UsageError(
                f"{folder.name}: {INDEX_FILE} names {absent[0]}, which is not there",
                hint="download the model again, or let the folder hold all of its files",
            )
        return files
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    pickles += sorted(path.name for path in folder.glob("*.pt*"))
    if pickles:
        raise UsageError(
            f"{folder.name} holds pickled weights ({pickles[0]}), which run code when read",
            hint="convert it once, where you trust it: AutoModelForCausalLM.from_pretrained(...)"
            ".save_pretrained(folder) writes safetensors",
        )
    raise UsageError(
        f"{folder.name} holds no {SINGLE_FILE} and no {INDEX_FILE}",
        hint="name a folder with a whole transformers model",
    )


def read_tensors(folder: Path) -> dict[str, TensorInfo]:
    """Name to place of every tensor of a model folder, in order of names.

    Raises:
        UsageError: A file is cut short or is no safetensors file, or a tensor is there twice.
    """
    found: dict[str, TensorInfo] = {}
    for file in weight_files(folder):
        for name, info in _read_header(file):
            if name in found:
                raise UsageError(f"{file.name} and {found[name].file.name} both hold {name}")
            found[name] = info
    return dict(sorted(found.items()))


def _read_header(file: Path) -> Iterator[tuple[str, TensorInfo]]:
    """Tensors of one file, after the format's own description (8 bytes length, JSON, data)."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > _HEADER_LIMIT_BYTES:
                raise ValueError("header too long")
            header = json.loads(stream.read(length))
        size_bytes = file.stat().st_size
        header.pop("__metadata__", None)
        for name, entry in header.items():
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            if end > size_bytes:
                raise ValueError("data cut short")
            yield name, TensorInfo(entry["dtype"], tuple(entry["shape"]), file, start, end)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{file.name} is not a whole safetensors file: {error}",
            hint="download or write the model again",
        ) from error


class TensorsHash:
    """The content hash of a model, fed one tensor after another in any order.

    It is the sha256 of one line a tensor, sorted by name: name, dtype, shape and the sha256 of its
    bytes, each ended by a zero byte.
    """

    def __init__(self) -> None:
        self._lines: dict[str, bytes] = {}

    def add(self, name: str, spec: TensorSpec, chunks: Iterable[Buffer]) -> None:
        """Adds a tensor whose bytes, row by row, come in ``chunks``."""
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
        shape = ",".join(map(str, spec.shape))
        self._lines[name] = f"{name}\0{spec.dtype}\0{shape}\0{digest.hexdigest()}\0".encode()

    def hexdigest(self) -> str:
        """The hash of all tensors that were added."""
        lines = (self._lines[name] for name in sorted(self._lines))
        return hashlib.sha256(b"".join(lines)).hexdigest()


def scan(folder: Path) -> Scan:
    """Hashes a model and looks for non-finite values, in one pass over its bytes."""
    digest = TensorsHash()
    non_finite: list[str] = []

    def watched(name: str, info: TensorInfo) -> Iterator[bytes]:
        finite = True
        for chunk in _chunks(info):
            finite = finite and _all_finite(chunk, info.dtype)
            yield chunk
        if not finite:
            non_finite.append(name)

    tensors = read_tensors(folder)
    for name, info in tensors.items():
        digest.add(name, info, watched(name, info))
    n_parameters = sum(info.n_elements for info in tensors.values())
    n_bytes = sum(info.n_bytes for info in tensors.values())
    return Scan(digest.hexdigest(), n_parameters, n_bytes, tuple(non_finite))


def _chunks(info: TensorInfo) -> Iterator[bytes]:
    # Not a map of the file: one that shrinks meanwhile would end the process by a signal.
    with info.file.open("rb", buffering=0) as stream:
        stream.seek(info.start)
        left_bytes = info.end - info.start
        while left_bytes:
            chunk = stream.read(min(_CHUNK_BYTES, left_bytes))
            if not chunk:
                raise UsageError(f"{info.file.name} was cut short while it was read")
            left_bytes -= len(chunk)
            yield chunk


def _all_finite(chunk: bytes, dtype: str) -> bool:
    import numpy as np

    if dtype not in _EXPONENT_MASKS:
        return True
    bits, mask = _EXPONENT_MASKS[dtype]
    values = np.frombuffer(chunk, dtype=bits)
    return not bool(((values & values.dtype.type(mask)) == mask).any())


def tensors_sha256(folder: Path) -> str:
    """Content hash of a model's tensors, whatever files they are in."""
    return scan(folder).sha256


def check_finite(folder: Path) -> Scan:
    """Scans a model and refuses non-finite values.

    Raises:
        WorkFailed: A tensor holds NaN or infinity (reason ``non_finite``).
    """
    result = scan(folder)
    refuse_non_finite(result)
    return result


def refuse_non_finite(result: Scan) -> None:
    """Raises WorkFailed (reason ``non_finite``) when a scan found NaN or infinity."""
    if result.non_finite:
        count = len(result.non_finite)
        raise WorkFailed(
            f"{count} merged tensor{'s hold' if count > 1 else ' holds'} NaN or infinity, "
            f"first {result.non_finite[0]}",
            reason="non_finite",
            step="merge",
        )


def same_bytes(one: TensorInfo, other: TensorInfo) -> bool:
    """Whether two tensors are equal bit for bit."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return all(a == b for a, b in zip(_chunks(one), _chunks(other), strict=True))


_FIRST_NUMBER = re.compile(r"(?P<prefix>(?:[^.\d][^.]*\.)*)(?P<index>\d+)\.(?P<rest>.+)\Z")


@dataclass(frozen=True)
class LayerName:
    """A tensor name taken apart at its layer number.

    Attributes:
        prefix: ``model.layers.``
        index: Number of the layer.
        rest: ``mlp.up_proj.weight``
    """

    prefix: str
    index: int
    rest: str

    @classmethod
    def parse(cls, name: str) -> LayerName | None:
        """Takes a name apart at its first number; None when it has none."""
        match = _FIRST_NUMBER.match(name)
        return cls(match["prefix"], int(match["index"]), match["rest"]) if match else None


def layer_prefix(tensors: Mapping[str, object], n_layers: int) -> str | None:
    """The prefix of the decoder's layers: the one with ``n_layers`` numbers 0, 1, ...

    Args:
        tensors: Tensor names.
        n_layers: How many layers the model's configuration declares.

    Returns:
        E.g. ``model.layers.``; None when no prefix has just those numbers. Of several, the one
        with the most tensors (a vision tower may be as deep as the decoder).
    """
    indices: dict[str, set[int]] = {}
    counts: Counter[str] = Counter()
    for name in tensors:
        parsed = LayerName.parse(name)
        if parsed is not None:
            indices.setdefault(parsed.prefix, set()).add(parsed.index)
            counts[parsed.prefix] += 1
    fitting = [p for p, found in indices.items() if found == set(range(n_layers))]
    return max(fitting, key=lambda p: (counts[p], p)) if fitting else None


def find_ending(tensors: Mapping[str, object], endings: tuple[str, ...]) -> str | None:
    """The first tensor whose name ends in one of ``endings``."""
    return next((name for name in tensors if name.endswith(endings)), None)


def free_space_bytes(folder: Path) -> int:
    """Bytes that may still be written below ``folder``, which need not exist yet."""
    place = folder
    while not place.exists():
        place = place.parent
    stats = os.statvfs(place)
    return stats.f_bavail * stats.f_frsize


def require_space(folder: Path, needed_bytes: int) -> None:
    """Refuses work that would fill the disk.

    Raises:
        MissingPrerequisite: Less than ``needed_bytes`` are free.
    """
    free_bytes = free_space_bytes(folder)
    if free_bytes < needed_bytes:
        raise MissingPrerequisite(
            f"a merge needs {needed_bytes / 1e9:.1f} GB of disk, {free_bytes / 1e9:.1f} are free",
            hint="free some space (evomerge gc RUN), or put the run folder on a larger disk",
        )
