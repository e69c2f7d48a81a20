"""Where the weights of a model come from: a folder, or a merge that never reaches the disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from evomerge_compiler.merging.weights import INDEX_FILE, SINGLE_FILE, TensorSpec

if TYPE_CHECKING:
    from torch import Tensor


class Weights(Protocol):
    """A model that can be loaded.

    Attributes:
        shell: Folder with all files of the model but its weights.
    """

    @property
    def shell(self) -> Path:
        """Folder with all files of the model; its weights are not read from here."""

    @property
    def tensors(self) -> Mapping[str, TensorSpec]:
        """Name to dtype and shape of every tensor."""

    def stream(self, into: Mapping[str, Tensor] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Yields each tensor once, in any order, to be copied at once.

        Args:
            into: Contiguous tensors of the right dtype and shape that may be filled, and are
                then yielded themselves.

        Raises:
            WorkFailed: The tensors cannot be made, or hold NaN or infinity.
        """


class FolderWeights:
    """The safetensors of a model folder.

    Args:
        folder: A transformers folder.
    """

    def __init__(self, folder: Path) -> None:
        from safetensors import safe_open

        self.shell = folder
        self.tensors: dict[str, TensorSpec] = {}
        self._files = _weight_files(folder)
        for file in self._files:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118  (not a mapping)
                    piece = tensors.get_slice(name)
                    spec = TensorSpec(piece.get_dtype(), tuple(piece.get_shape()))
                    self.tensors[name] = spec

    def stream(self, into: Mapping[str, Tensor] | None = None) -> Iterator[tuple[str, Tensor]]:
        """See :class:`Weights`; tensors are those of the mapped files, unchecked."""
        from safetensors import safe_open

        for file in self._files:
            with safe_open(file, framework="pt", device="cpu") as tensors:
                for name in tensors.keys():  # noqa: SIM118
                    yield name, tensors.get_tensor(name)


def _weight_files(folder: Path) -> list[Path]:
    index = folder / INDEX_FILE
    if index.is_file():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return [folder / name for name in sorted(shards)]
    return [folder / SINGLE_FILE] if (folder / SINGLE_FILE).is_file() else []
