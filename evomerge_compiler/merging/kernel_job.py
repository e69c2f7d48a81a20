"""The inputs of one merge kernel, checked and laid flat, with their conversions.

mergekit converts the inputs to ``dtype`` (else to their promoted type), computes in that type or
in float32, rounds to that type, and then to ``out_dtype``. The same roundings happen here, a
chunk at a time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from evomerge_compiler.merging.kernel_scratch import Scratch


@dataclass(frozen=True)
class Job:
    """One merge; all tensors are flat, contiguous and on the CPU.

    Attributes:
        sources: The inputs, each (n,), in their own types.
        base_index: Which of them is the base, or None.
        per_input: The parameters of each input.
        options: The parameters that all inputs share.
        dtype: The type that mergekit converts the inputs to.
        result: Where the result goes (n,), in its final type.
        shape: Of the inputs before they were laid flat.
        scratch: Buffers.
        keys: A content key for each input, or None.
        has_target: Whether the caller gave the memory of the result.
    """

    sources: tuple[torch.Tensor, ...]
    base_index: int | None
    per_input: tuple[Mapping[str, Any], ...]
    options: Mapping[str, Any]
    dtype: torch.dtype
    result: torch.Tensor
    shape: torch.Size
    scratch: Scratch
    keys: tuple[Hashable | None, ...]
    has_target: bool

    @property
    def n(self) -> int:
        """Elements of each input."""
        return self.result.numel()

    def has_values(self, name: str) -> bool:
        """Whether every input has a value for a parameter."""
        return all(name in values for values in self.per_input)

    def key(self, *indices: int) -> Hashable | None:
        """A key of some inputs as mergekit converts them; None when the caller gave none."""
        keys = tuple(self.keys[i] for i in indices)
        return None if None in keys else (keys, self.shape, self.dtype)

    def chunks(
        self, sources: Sequence[torch.Tensor] | None = None, size: int | None = None
    ) -> Iterator[tuple[int, tuple[torch.Tensor, ...], torch.Tensor]]:
        """Walks inputs and result together.

        Args:
            sources: Which inputs; None takes all.
            size: Elements of a piece; None takes the scratch's.

        Yields:
            Index of the first element, a piece of each source, and that of the result.
        """
        import torch

        size = size or self.scratch.chunk
        sources = self.sources if sources is None else sources
        columns = [torch.split(source, size) for source in sources]
        for i, target in enumerate(torch.split(self.result, size)):
            yield i * size, tuple(column[i] for column in columns), target

    def float_buffer(self, slot: str, like: torch.Tensor) -> torch.Tensor:
        """A float32 buffer of a piece's length; :meth:`load` uses the same slots."""
        import torch

        return self.scratch.take(f"float.{slot}", like.numel(), torch.float32)

    def typed_buffer(self, slot: str, like: torch.Tensor) -> torch.Tensor:
        """A buffer of ``dtype`` and of a piece's length."""
        return self.scratch.take(f"typed.{slot}", like.numel(), self.dtype)

    def whole(self, dtype: torch.dtype) -> torch.Tensor:
        """Memory (n,) of a type; that of the result, in which nothing is yet, where it fits."""
        if self.result.dtype == dtype:
            return self.result
        return self.scratch.take("whole", self.n, dtype)

    def cast(self, piece: torch.Tensor, slot: str) -> torch.Tensor:
        """A piece of an input in ``dtype``; the piece itself when it has that type."""
        if piece.dtype == self.dtype:
            return piece
        return self.typed_buffer(slot, piece).copy_(piece)

    def load(self, piece: torch.Tensor, slot: str) -> torch.Tensor:
        """A piece of an input in ``dtype``, then in float32; perhaps the piece itself."""
        import torch

        typed = self.cast(piece, slot)
        if typed.dtype == torch.float32:
            return typed
        return self.float_buffer(slot, piece).copy_(typed)

    def store(self, value: torch.Tensor, target: torch.Tensor) -> None:
        """Rounds a value to ``dtype``, then to the type of the result."""
        if value.dtype != self.dtype and target.dtype != self.dtype:
            value = self.typed_buffer("store", value).copy_(value)
        target.copy_(value)


def prepare(
    tensors: Sequence[torch.Tensor],
    base_index: int | None,
    per_input: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    scratch: Scratch,
    *,
    dtype: torch.dtype | None,
    out_dtype: torch.dtype | None,
    out: torch.Tensor | None,
    keys: Sequence[Hashable | None] | None,
) -> Job | None:
    """Checks what a kernel was given.

    Returns:
        The job, or None when kernels do not cover such inputs.

    Raises:
        ValueError: ``out`` has another shape or type than the result.
    """
    import torch

    covered = (torch.bfloat16, torch.float16, torch.float32)
    first = tensors[0] if tensors else None
    # Places are kept as int32.
    if first is None or first.ndim == 0 or not 0 < first.numel() < 1 << 31:
        return None
    for tensor in tensors:
        if (
            tensor.dtype not in covered
            or tensor.device.type != "cpu"
            or tensor.shape != first.shape
            or tensor.requires_grad
            or not tensor.is_contiguous()
        ):
            return None
    if dtype is None:
        dtype = reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
    final = out_dtype or dtype
    has_target = out is not None
    if dtype not in covered or final not in (*covered, torch.float64):
        return None
    if out is None:
        out = torch.empty(first.shape, dtype=final)
    elif out.shape != first.shape or out.dtype != final or not out.is_contiguous():
        raise ValueError(
            f"out must be a contiguous {final} tensor of shape {tuple(first.shape)}, "
            f"not {out.dtype} of shape {tuple(out.shape)}"
        )
    elif out.device.type != "cpu":
        return None
    return Job(
        sources=tuple(tensor.view(-1) for tensor in tensors),
        base_index=base_index,
        per_input=tuple(per_input),
        options=options,
        dtype=dtype,
        result=out.detach().view(-1),
        shape=first.shape,
        scratch=scratch,
        keys=tuple(keys) if keys is not None else (None,) * len(tensors),
        has_target=has_target,
    )
