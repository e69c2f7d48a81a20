"""The inputs of one merge kernel, checked and laid end to end, with their conversions.

A job is one output tensor, or several small ones whose parameters are the same: what is done
element by element is then done for all of them in one call. What depends on the bounds of a
tensor (its norm, its ranks, what is drawn for it) goes by its :class:`Span`.

mergekit converts the inputs to ``dtype`` (else to their promoted type), computes in that type or
in float32, rounds to that type, and then to ``out_dtype``. The same roundings happen here, a
chunk at a time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from evomerge_compiler.merging.tensors import is_finite

if TYPE_CHECKING:
    import torch

    from evomerge_compiler.merging.kernel_scratch import Scratch


@dataclass(frozen=True)
class Group:
    """What one output tensor is merged from, and where it goes.

    Attributes:
        tensors: The inputs.
        out: Memory of the result; None has the kernel allocate it.
        keys: A content key for each input, or None where nothing is to be remembered of it.
    """

    tensors: Sequence[torch.Tensor]
    out: torch.Tensor | None = None
    keys: Sequence[Hashable | None] | None = None


@dataclass(frozen=True)
class Span:
    """Where one output tensor lies within a job.

    Attributes:
        start: Its first element.
        n: Its elements.
        shape: Its shape.
        keys: A content key for each input, or None.
    """

    start: int
    n: int
    shape: torch.Size
    keys: Sequence[Hashable | None]

    def of(self, flat: torch.Tensor) -> torch.Tensor:
        """Its elements (n,) among those of the whole job."""
        return flat[self.start : self.start + self.n]


@dataclass(frozen=True)
class Job:
    """One call of a kernel; all tensors are flat, contiguous and on the CPU.

    Attributes:
        sources: The inputs, each (n,), those of all output tensors end to end.
        base_index: Which of them is the base, or None.
        per_input: The parameters of each input.
        options: The parameters that all inputs share.
        dtype: The type that mergekit converts the inputs to.
        result: Where the result goes (n,), in its final type.
        spans: The output tensors.
        scratch: Buffers.
        has_target: Whether the caller gave the memory of the result.
        checks: For each piece that was stored, whether it holds neither NaN nor infinity.
    """

    sources: tuple[torch.Tensor, ...]
    base_index: int | None
    per_input: tuple[Mapping[str, Any], ...]
    options: Mapping[str, Any]
    dtype: torch.dtype
    result: torch.Tensor
    spans: tuple[Span, ...]
    scratch: Scratch
    has_target: bool
    checks: list[bool] = field(default_factory=list)

    @property
    def n(self) -> int:
        """Elements of each input."""
        return self.result.numel()

    def has_values(self, name: str) -> bool:
        """Whether every input has a value for a parameter."""
        return all(name in values for values in self.per_input)

    def key(self, span: Span, *indices: int) -> Hashable | None:
        """A key of some inputs as mergekit converts them; None when the caller gave none."""
        keys = tuple(span.keys[i] for i in indices)
        return None if None in keys else (keys, span.shape, self.dtype)

    def chunks(
        self, sources: Sequence[torch.Tensor] | None = None
    ) -> Iterator[tuple[int, tuple[torch.Tensor, ...], torch.Tensor]]:
        """Walks inputs and result together; a job of several spans is one chunk.

        Args:
            sources: Which inputs; None takes all.

        Yields:
            Index of the first element, a piece of each source, and that of the result.
        """
        for start, (target, *pieces) in self.pieces(
            [self.result, *(self.sources if sources is None else sources)]
        ):
            yield start, tuple(pieces), target

    def pieces(
        self, columns: Sequence[torch.Tensor], size: int | None = None
    ) -> Iterator[tuple[int, tuple[torch.Tensor, ...]]]:
        """Walks tensors of one length together, by the scratch's chunk or another size."""
        import torch

        size = size or self.scratch.chunk
        for i, row in enumerate(
            zip(*(torch.split(column, size) for column in columns), strict=True)
        ):
            yield i * size, row

    def parts(self, piece: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Divides a chunk by span."""
        import torch

        if len(self.spans) == 1:
            return (piece,)
        return torch.split(piece, [span.n for span in self.spans])

    def float_buffer(self, slot: str, like: torch.Tensor) -> torch.Tensor:
        """A float32 buffer of a piece's length; :meth:`load` uses the same slots."""
        import torch

        return self.scratch.take(f"float.{slot}", like.numel(), torch.float32)

    def memory(self, target: torch.Tensor, dtype: torch.dtype, slot: str) -> torch.Tensor:
        """Where a piece of the result is computed: in its place where that has the type."""
        if target.dtype == dtype == self.dtype:
            return target
        return self.scratch.take(f"memory.{slot}", target.numel(), dtype)

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
        if value is not target:
            target.copy_(value)
        self.checks.append(is_finite(target))  # while it is in the cache


@dataclass(frozen=True)
class Difference:
    """What one model adds to the base.

    Attributes:
        job: The merge.
        index: Of the model among its inputs.
        span: The one output tensor that is meant; None means all of the job.
    """

    job: Job
    index: int
    span: Span | None = None

    @property
    def n(self) -> int:
        """Its elements."""
        return self.job.n if self.span is None else self.span.n

    @property
    def key(self) -> Hashable | None:
        """A content key, or None when the caller gave none."""
        assert self.job.base_index is not None and self.span is not None
        return self.job.key(self.span, self.index, self.job.base_index)

    def by_span(self) -> list[Difference]:
        """The difference of each output tensor."""
        return [replace(self, span=span) for span in self.job.spans]

    def pieces(self, size: int | None = None) -> Iterator[tuple[int, torch.Tensor]]:
        """Computes it piece by piece.

        Args:
            size: Of a piece; None takes the usual one.

        Yields:
            Index of the first element, and a piece in a buffer that the next one overwrites.
        """
        import torch

        job = self.job
        assert job.base_index is not None
        sources = [job.sources[self.index], job.sources[job.base_index]]
        if self.span is not None:
            sources = [self.span.of(source) for source in sources]
        for start, (mine, base) in job.pieces(sources, size):
            piece = job.typed_buffer("difference", mine)
            torch.sub(job.cast(mine, "x"), job.cast(base, "base"), out=piece)
            yield start, piece


def prepare(
    groups: Sequence[Group],
    base_index: int | None,
    per_input: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    scratch: Scratch,
    *,
    dtype: torch.dtype | None,
    out_dtype: torch.dtype | None,
) -> Job | None:
    """Checks what a kernel was given.

    Returns:
        The job, or None when kernels do not cover such inputs.

    Raises:
        ValueError: An ``out`` has another shape or type than the result.
    """
    import torch

    if not groups or not all(_covers(group) for group in groups):
        return None
    if dtype is None:
        types = {reduce(torch.promote_types, (t.dtype for t in g.tensors)) for g in groups}
        if len(types) > 1:
            return None
        (dtype,) = types
    final = out_dtype or dtype
    if dtype not in _covered() or final not in (*_covered(), torch.float64):
        return None
    spans: list[Span] = []
    n = 0
    for group in groups:
        shape = group.tensors[0].shape
        if group.out is not None and not _takes(group.out, shape, final):
            return None
        spans.append(Span(n, shape.numel(), shape, group.keys or (None,) * len(group.tensors)))
        n += spans[-1].n
    if len(groups) > 1 and n > scratch.chunk:
        return None
    outs = [group.out for group in groups]
    return Job(
        sources=_end_to_end(groups, n, dtype, scratch),
        base_index=base_index,
        per_input=tuple(per_input),
        options=options,
        dtype=dtype,
        result=_memory(outs, n, final, scratch),
        spans=tuple(spans),
        scratch=scratch,
        has_target=all(out is not None for out in outs),
    )


def deliver(job: Job, groups: Sequence[Group]) -> list[torch.Tensor]:
    """The result of each group, in its own memory or in that of the job."""
    delivered = []
    for group, span, part in zip(groups, job.spans, job.parts(job.result), strict=True):
        if group.out is None:
            delivered.append(part.view(span.shape))
        else:
            whole = group.out.detach()
            delivered.append(whole if len(groups) == 1 else whole.copy_(part.view(span.shape)))
    return delivered


def _covered() -> tuple[torch.dtype, ...]:
    import torch

    return torch.bfloat16, torch.float16, torch.float32


def _covers(group: Group) -> bool:
    first = group.tensors[0] if group.tensors else None
    # Places are kept as int32.
    if first is None or first.ndim == 0 or not 0 < first.numel() < 1 << 31:
        return False
    covered = _covered()
    return all(
        tensor.dtype in covered
        and tensor.is_cpu
        and tensor.shape == first.shape
        and not tensor.requires_grad
        and tensor.is_contiguous()
        for tensor in group.tensors
    )


def _takes(out: torch.Tensor, shape: torch.Size, dtype: torch.dtype) -> bool:
    """Whether a kernel writes to such memory.

    Raises:
        ValueError: It has another shape or type than the result.
    """
    if out.shape != shape or out.dtype != dtype or not out.is_contiguous():
        raise ValueError(
            f"out must be a contiguous {dtype} tensor of shape {tuple(shape)}, "
            f"not {out.dtype} of shape {tuple(out.shape)}"
        )
    return out.is_cpu


def _end_to_end(
    groups: Sequence[Group], n: int, dtype: torch.dtype, scratch: Scratch
) -> tuple[torch.Tensor, ...]:
    """Each input (n,) of all groups: a view where there is one group, else a copy."""
    import torch

    columns = [
        [tensor.view(-1) for tensor in column]
        for column in zip(*(group.tensors for group in groups), strict=True)
    ]
    if len(groups) == 1:
        return tuple(column[0] for column in columns)
    found = []
    for i, column in enumerate(columns):
        (own, *others) = {tensor.dtype for tensor in column}
        whole = scratch.take(f"source.{i}", n, dtype)
        if others or own == dtype:
            torch.cat(column, out=whole)
        else:  # faster than a conversion on the way
            whole.copy_(torch.cat(column, out=scratch.take("source", n, own)))
        found.append(whole)
    return tuple(found)


def _memory(
    outs: Sequence[torch.Tensor | None], n: int, dtype: torch.dtype, scratch: Scratch
) -> torch.Tensor:
    """Where a job puts its result (n,)."""
    import torch

    given = [out for out in outs if out is not None]
    if len(given) < len(outs):
        return torch.empty(n, dtype=dtype)
    return given[0].detach().view(-1) if len(outs) == 1 else scratch.take("result", n, dtype)
