"""Memory that merge kernels use again: buffers, and what they found out about their inputs.

Fresh memory costs more than the arithmetic of a merge (the kernel zeroes each page at its first
touch), so a worker keeps one :class:`Scratch` for all its merges.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

# A handful of float32 buffers of this many elements stay in the processor's caches, and each is so
# long that the microsecond that a torch call costs does not count.
CHUNK_ELEMENTS = 1 << 18
_ENTRY_BYTES = 1 << 10  # of a finding's keys and objects, about
# A buffer above this goes back to the system when its kernel is done: the few huge tensors of a
# model (its embeddings) must not set the size of an idle worker.
_KEPT_BYTES = 192 << 20


class Findings:
    """What kernels found out about inputs, the latest used last, below a limit of bytes.

    Candidates of a search share their source models. What depends on these alone, and not on
    weights, is found once: the angle between two tensors, the cut of a difference at a density.

    Args:
        limit_bytes: Above it, what was not used for longest is dropped.
    """

    def __init__(self, limit_bytes: int = 64 << 20) -> None:
        self._limit_bytes = limit_bytes
        self._n_bytes = 0
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def asked(self, key: Hashable) -> bool:
        """Whether this was asked before with this key, as far as it is remembered."""
        known = key in self
        self.recall(key, lambda: None, lambda _: 0)
        return known

    def recall(self, key: Hashable | None, find: Callable[[], T], size: Callable[[T], int]) -> T:
        """What was found under a key, or what ``find`` finds now.

        Args:
            key: Of the inputs' content and of all else that counts; None finds anew.
            find: Finds it.
            size: Bytes that it holds, besides what any entry takes.
        """
        if key is None:
            return find()
        if key in self:
            self._values.move_to_end(key)
            found: T = self._values[key][0]
            return found
        value = find()
        self._values[key] = value, _ENTRY_BYTES + size(value)
        self._n_bytes += self._values[key][1]
        while self._n_bytes > self._limit_bytes:
            self._n_bytes -= self._values.popitem(last=False)[1][1]
        return value


class Scratch:
    """Buffers by name. One for each thread that merges.

    Args:
        findings: What is remembered between merges; None remembers nothing.
        chunk: Elements that a kernel works on at once.
    """

    def __init__(self, findings: Findings | None = None, chunk: int = CHUNK_ELEMENTS) -> None:
        self.findings = Findings(limit_bytes=0) if findings is None else findings
        self.chunk = chunk
        self._buffers: dict[str, torch.Tensor] = {}
        self._largest_bytes = 0  # no buffer has more

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
            self._largest_bytes = max(self._largest_bytes, n_bytes)
        return buffer[:n_bytes].view(dtype)

    def trim(self, kept_bytes: int = _KEPT_BYTES) -> None:
        """Gives buffers above a size back to the system."""
        if self._largest_bytes > kept_bytes:
            self._buffers = {k: b for k, b in self._buffers.items() if b.numel() <= kept_bytes}
            self._largest_bytes = kept_bytes
