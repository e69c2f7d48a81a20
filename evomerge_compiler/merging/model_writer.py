"""Writes a merge as a model folder without a second copy of it in memory.

The safetensors file is made at its full size and mapped; the merge fills the tensors in it. Its
layout is the format's own (https://github.com/huggingface/safetensors): 8 bytes length, a JSON
header, then the tensors.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from evomerge_compiler.merging.tensors import torch_dtype
from evomerge_compiler.merging.weights import SINGLE_FILE, TensorSpec, require_space

if TYPE_CHECKING:
    import torch

# Each tensor starts at a multiple of the largest element.
_ALIGNMENT = 8


class Merge(Protocol):
    """What is written: see :class:`evomerge_compiler.merging.in_memory.PreparedMerge`."""

    @property
    def shell(self) -> Path:
        """Folder with all files of the model but its weights."""

    @property
    def tensors(self) -> Mapping[str, TensorSpec]:
        """What the model holds."""

    def stream(
        self, into: Mapping[str, torch.Tensor] | None = None
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Yields each tensor once, filling those of ``into``."""


def write_model(merge: Merge, out: Path) -> None:
    """Merges into a folder that transformers, and vLLM, can load.

    Args:
        merge: The merge.
        out: The folder; one that is there is replaced. It appears whole, or not at all.

    Raises:
        WorkFailed: The merge failed, or a tensor holds NaN or infinity.
        MissingPrerequisite: The disk is too full.
    """
    part = out.with_name(f".{out.name}.part")
    for left in (part, out):
        if left.exists():
            shutil.rmtree(left)
    header, places = _layout(merge.tensors)
    size = len(header) + sum(spec.n_bytes for spec in merge.tensors.values())
    require_space(out.parent, size)
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(merge.shell, part)
    try:
        into = _mapped(part / SINGLE_FILE, header, size, merge.tensors, places)
        for name, tensor in merge.stream(into):
            if tensor.data_ptr() != into[name].data_ptr():  # a GPU's, or a view of a source
                into[name].copy_(tensor)
        del into
        part.rename(out)
    except BaseException:
        shutil.rmtree(part)
        raise


def _layout(tensors: Mapping[str, TensorSpec]) -> tuple[bytes, dict[str, int]]:
    """The file's bytes before the tensors, and name to byte offset behind them."""
    # As the safetensors library orders them: large elements first, so that all are aligned.
    order = sorted(tensors, key=lambda name: (-_itemsize(tensors[name]), name))
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    places, end = {}, 0
    for name in order:
        spec, start = tensors[name], end
        end += spec.n_bytes
        places[name] = start
        entries[name] = {
            "dtype": spec.dtype, "shape": list(spec.shape), "data_offsets": [start, end],
        }  # fmt: skip
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text, places


def _itemsize(spec: TensorSpec) -> int:
    return torch_dtype(spec.dtype).itemsize


def _mapped(
    file: Path,
    header: bytes,
    size: int,
    tensors: Mapping[str, TensorSpec],
    places: Mapping[str, int],
) -> dict[str, torch.Tensor]:
    """Makes the file, and tensors that are its bytes."""
    import torch

    with file.open("wb") as stream:
        # Reserved, not only made long: a full disk would end the process by a signal later.
        os.posix_fallocate(stream.fileno(), 0, size)
        stream.write(header)
    whole = torch.from_file(str(file), shared=True, size=size, dtype=torch.uint8)
    out = {}
    for name, spec in tensors.items():
        start = len(header) + places[name]
        out[name] = whole[start : start + spec.n_bytes].view(torch_dtype(spec.dtype))
        out[name] = out[name].view(spec.shape)
    return out
