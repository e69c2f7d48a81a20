"""Memory that merge kernels use again: buffers, and what is known of a model's differences.

Fresh memory costs more than the arithmetic of a merge (the kernel zeroes each page at its first
touch), so a worker keeps one :class:`Scratch` for all its merges.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# float32 buffers of this many elements stay in the second-level cache, and are large enough that
# the 1 us that a torch call costs does not count.
CHUNK_ELEMENTS = 1 << 17
# A buffer above this goes back to the system when its kernel is done: the few huge tensors of a
# model (its embeddings) must not set the size of an idle worker.
_KEPT_BYTES = 192 << 20


@dataclass(frozen=True)
class Cut:
    """Which elements a window of magnitudes keeps.

    Attributes:
        above: Magnitudes above this one are kept,
        below: if they are below this one; None sets no limit.
        tied: Sorted indices (n_tied,) int32 of the elements kept among those equal to a limit.
    """

    above: float
    below: float | None
    tied: torch.Tensor

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return self.tied.numel() * self.tied.element_size()


class ThresholdCache:
    """Magnitude cuts of earlier merges, the latest used last, below a limit of bytes.

    Args:
        limit_bytes: The oldest cuts are dropped above it.
    """

    def __init__(self, limit_bytes: int = 256 << 20) -> None:
        self._limit_bytes = limit_bytes
        self._n_bytes = 0
        self._cuts: OrderedDict[Hashable, Cut] = OrderedDict()

    def __len__(self) -> int:
        return len(self._cuts)

    def get(self, key: Hashable) -> Cut | None:
        """What was stored under a key, or None."""
        cut = self._cuts.get(key)
        if cut is not None:
            self._cuts.move_to_end(key)
        return cut

    def put(self, key: Hashable, cut: Cut) -> None:
        """Stores a cut; drops those that were not used for longest above the limit."""
        if key in self._cuts:
            self._n_bytes -= self._cuts.pop(key).nbytes
        self._cuts[key] = cut
        self._n_bytes += cut.nbytes
        while self._n_bytes > self._limit_bytes and self._cuts:
            self._n_bytes -= self._cuts.popitem(last=False)[1].nbytes


class Scratch:
    """Buffers by name. One for each thread that merges.

    Args:
        cuts: Where magnitude cuts are kept between merges; None keeps none.
        chunk: Elements that a kernel works on at once.
    """

    def __init__(self, cuts: ThresholdCache | None = None, chunk: int = CHUNK_ELEMENTS) -> None:
        self.cuts = cuts
        self.chunk = chunk
        self._buffers: dict[str, torch.Tensor] = {}

    def take(self, slot: str, n: int, dtype: torch.dtype) -> torch.Tensor:
        """A buffer (n,) with any content, the same memory each time for the same slot.

        Args:
            slot: Its name; what an earlier call with the same name returned is overwritten.
            n: Its elements.
            dtype: Its type.
        """
        import torch

        n_bytes = n * dtype.itemsize
        buffer = self._buffers.get(slot)
        if buffer is None or buffer.numel() < n_bytes:
            self._buffers.pop(slot, None)  # before the new one is allocated
            buffer = torch.empty(n_bytes, dtype=torch.uint8)
            self._buffers[slot] = buffer
        return buffer[:n_bytes].view(dtype)

    def trim(self) -> None:
        """Gives the largest buffers back."""
        self._buffers = {k: b for k, b in self._buffers.items() if b.numel() <= _KEPT_BYTES}
