"""Torch tensors as this package needs them: as a file would hold them, finite, drawn by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evomerge_compiler.merging.weights import (
    DTYPE_NAMES,
    TensorsHash,
    TensorSpec,
    read_tensors,
)

if TYPE_CHECKING:
    import torch

DTYPE_CODES = {name: code for code, name in DTYPE_NAMES.items()} | {
    "float8_e5m2": "F8_E5M2", "float8_e4m3fn": "F8_E4M3", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
_NAMES = {code: name for name, code in DTYPE_CODES.items()}


def torch_dtype(code: str) -> torch.dtype:
    """The torch dtype of a dtype as safetensors headers name it."""
    import torch

    dtype: torch.dtype = getattr(torch, _NAMES[code])
    return dtype


def spec_of(tensor: torch.Tensor) -> TensorSpec:
    """What a header would say of a tensor."""
    code = DTYPE_CODES[str(tensor.dtype).removeprefix("torch.")]
    return TensorSpec(code, tuple(tensor.shape))


def add_tensor(digest: TensorsHash, name: str, tensor: torch.Tensor) -> None:
    """Adds a tensor to a content hash, as if it were read from a file."""
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    digest.add(name, spec_of(tensor), [flat.numpy().data])


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity, in one pass and no memory."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    low, high = tensor.aminmax()  # NaN wins both
    return math.isfinite(low.item()) and math.isfinite(high.item())


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two contiguous tensors are equal bit for bit."""
    import torch

    if spec_of(one) != spec_of(other):
        return False
    return torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))


class SourceModel:
    """The weights of a model folder: their headers, and the files mapped into memory.

    Attributes:
        tensors: Name to place of every tensor.
    """

    def __init__(self, folder: Path) -> None:
        from safetensors import safe_open

        self.tensors = read_tensors(folder)
        files = {info.file for info in self.tensors.values()}
        self._open: dict[Path, Any] = {file: safe_open(file, framework="pt") for file in files}
        self._views: dict[str, torch.Tensor] = {}

    def read(self, name: str) -> torch.Tensor:
        """A view of the mapped file."""
        if name not in self._views:
            self._views[name] = self._open[self.tensors[name].file].get_tensor(name)
        return self._views[name]


class Draws:
    """The random numbers of one stage: those of a process that was seeded for it alone.

    They are torch's global ones while this context is entered, and stand still outside of it.

    Args:
        seed: mergekit's ``--random-seed``.
        device: Where mergekit computes.
    """

    def __init__(self, seed: int, device: str) -> None:
        import torch

        self._device = None if torch.device(device).type == "cpu" else torch.device(device)
        self._states = [torch.Generator().manual_seed(seed).get_state()]
        if self._device is not None:
            self._states.append(torch.Generator(self._device).manual_seed(seed).get_state())
        self._outside: list[torch.Tensor] = []

    def __enter__(self) -> None:
        self._outside = self._swap(self._states)

    def __exit__(self, *_: object) -> None:
        self._states = self._swap(self._outside)

    def _swap(self, states: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        import torch

        before = [torch.get_rng_state()]
        torch.set_rng_state(states[0])
        if self._device is not None:
            of_device = getattr(torch, self._device.type)
            before.append(of_device.get_rng_state(self._device))
            of_device.set_rng_state(states[1], self._device)
        return before
