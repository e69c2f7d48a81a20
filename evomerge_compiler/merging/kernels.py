"""Merge kernels that give the bits of mergekit's methods, faster and in little memory.

A kernel stands in for ``method._execute_resolved((group, ...), [parameters, ...], dtype=,
out_dtype=)`` of mergekit's ``ExecuteMergeMethodTask.execute``, after that task's own checks
(optional tensors, buffers that hold no floats, equal shapes)::

    scratch = Scratch(Findings())                   # one for each worker, kept between merges
    kernel = kernels.fast("ties")                   # None: no kernel for this method
    result = kernel and kernel(
        [Group(tensors, out, keys)],                # for each output: its inputs, in one order
        base_index,                                 # of the base among them, or None
        per_input,                                  # for each input, e.g. {"weight": 0.4}
        options,                                    # what the task's inputs share, with defaults
        scratch,
        dtype=..., out_dtype=...,                   # the task's, as torch types, or None
    )
    if result is None:                              # not covered: nothing was drawn or written
        ...mergekit's own...

Outputs of a call have the same parameters; several at once are small, ``scratch.chunk`` elements
together at most. ``out`` is contiguous, has the tensors' shape and ``out_dtype`` (else ``dtype``,
else the promoted type), and overlaps no input. Without it the call allocates its results, which
costs more time than a linear merge of large tensors: pass resident parameters, or
``scratch.take(name, n, dtype).view(shape)``. ``per_input`` of the base may be empty where
mergekit's method takes no value for it. ``keys`` lets the findings serve again (the angle of
slerp, the cuts of ties and breadcrumbs): equal keys promise equal bytes.

A kernel works through the inputs in chunks that stay in the processor's cache. Element-wise
operations give the same bits in chunks; reductions are the same torch call on the same numbers as
mergekit's, and random masks take the same numbers from torch's global generator. Held by
``tests/merging/test_kernels.py``. Covered are CPU tensors of bfloat16, float16 and float32. Chunks
are for one thread: more of them give the same bits, but have too little to share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from evomerge_compiler.merging import kernel_differences
from evomerge_compiler.merging.kernel_job import Group, Job, Span, deliver, prepare
from evomerge_compiler.merging.kernel_scratch import Findings, Scratch

if TYPE_CHECKING:
    import torch

__all__ = ["Findings", "Group", "Kernel", "Result", "Scratch", "fast"]

# mergekit takes norms and dot products over pieces of this size; their rounding depends on it.
_SLERP_PIECE = 1024 * 1024
_SLERP_EPS = 1e-8
_SLERP_COLLINEAR = 0.9995


@dataclass(frozen=True)
class Result:
    """What a kernel gives.

    Attributes:
        tensors: The merged tensor of each group: its ``out``, where it has one.
        finite: Whether none of them holds NaN or infinity.
    """

    tensors: list[torch.Tensor]
    finite: bool


class Kernel(Protocol):
    """Merges the tensors of some outputs; see the head of this module."""

    def __call__(
        self,
        groups: Sequence[Group],
        base_index: int | None,
        per_input: Sequence[Mapping[str, Any]],
        options: Mapping[str, Any],
        scratch: Scratch,
        *,
        dtype: torch.dtype | None = None,
        out_dtype: torch.dtype | None = None,
    ) -> Result | None:
        """Merges; None when it does not cover these inputs, and then nothing has changed."""


def fast(method: str) -> Kernel | None:
    """The kernel for a method of mergekit, or None when there is none."""
    merge = _KERNELS.get(method)
    return None if merge is None else partial(_run, merge)


def _run(
    merge: Callable[[Job], bool],
    groups: Sequence[Group],
    base_index: int | None,
    per_input: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    scratch: Scratch,
    *,
    dtype: torch.dtype | None = None,
    out_dtype: torch.dtype | None = None,
) -> Result | None:
    job = prepare(
        groups, base_index, per_input, options, scratch, dtype=dtype, out_dtype=out_dtype
    )
    if job is None or not merge(job):
        return None
    scratch.trim()
    return Result(deliver(job, groups), all(job.checks))


def _linear(job: Job) -> bool:
    """Weighted mean; Model Soups (Wortsman et al. 2022, arXiv 2203.05482)."""
    import torch

    if not job.has_values("weight"):
        return False
    weights = torch.tensor([[values["weight"] for values in job.per_input]], dtype=torch.float32)
    total = weights.sum(dim=1)
    divides = bool(job.options["normalize"]) and total.item() != 1.0
    zeros = job.scratch.take("zeros", min(job.scratch.chunk, job.n), torch.float32).zero_()
    for _, pieces, target in job.chunks():
        mixed = job.memory(target, torch.float32, "mixed")
        start = zeros[: target.numel()]
        for piece, weight in zip(pieces, weights.unbind(1), strict=True):
            # mergekit's call: a multiplication and an addition may round otherwise than this.
            torch.addcmul(start, job.load(piece, "x"), weight, out=mixed)
            start = mixed
        if divides:
            mixed.div_(total)
        job.store(mixed, target)
    return True


def _slerp(job: Job) -> bool:
    """Spherical interpolation of whole tensors; Shoemake 1985, SIGGRAPH 19(3)."""
    if job.base_index is None or len(job.sources) != 2:
        return False
    order = (job.base_index, 1 - job.base_index)
    base, other = (job.sources[i] for i in order)
    shares = [_slerp_shares(job, span, *order) for span in job.spans]
    first, second = zip(*shares, strict=True)
    for _, pieces, target in job.chunks((base, other)):
        x = _times(job, pieces[0], "x", first)
        y = _times(job, pieces[1], "y", second)
        job.store(x.add_(y), target)
    return True


def _times(
    job: Job, piece: torch.Tensor, slot: str, factors: Sequence[torch.Tensor]
) -> torch.Tensor:
    """A piece of an input in float32, each span of it times its own factor (1,)."""
    import torch

    values = job.parts(job.load(piece, slot))
    product = job.float_buffer(slot, piece)
    for value, factor, out in zip(values, factors, job.parts(product), strict=True):
        torch.mul(value, factor, out=out)
    return product


def _slerp_shares(
    job: Job, span: Span, base: int, other: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the two inputs of a span are multiplied with, each (1,)."""
    import torch

    key = job.key(span, base, other)
    cosine = job.scratch.findings.recall(
        None if key is None else ("cosine", key),
        lambda: _cosine(job, span.of(job.sources[base]), span.of(job.sources[other])),
        lambda cosine: cosine.nbytes,
    )
    share = torch.tensor([job.options["t"]], dtype=torch.float32)
    if cosine.abs() > _SLERP_COLLINEAR:
        return 1 - share, share
    angle = torch.acos(cosine)
    sine = torch.sin(angle)
    return torch.sin((1 - share) * angle) / sine, torch.sin(share * angle) / sine


def _cosine(job: Job, base: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The cosine (1,) of the angle between two inputs."""
    import torch

    norms = []
    for source in (base, other):
        parts = [
            torch.linalg.vector_norm(job.load(piece, "whole").view(1, -1), dim=1, keepdim=True)
            for piece in torch.split(source, _SLERP_PIECE)
        ]
        norm = torch.linalg.vector_norm(torch.stack(parts), dim=0)
        norms.append(torch.where(norm > _SLERP_EPS, norm, 1).view(1))
    products = []
    for piece, other_piece in zip(
        torch.split(base, _SLERP_PIECE), torch.split(other, _SLERP_PIECE), strict=True
    ):
        product = job.float_buffer("whole", piece)
        for x, y, xy in zip(
            torch.split(piece, job.scratch.chunk),
            torch.split(other_piece, job.scratch.chunk),
            torch.split(product, job.scratch.chunk),
            strict=True,
        ):
            right = job.float_buffer("y", xy)
            torch.div(job.load(x, "x"), norms[0], out=xy)
            torch.div(job.load(y, "y"), norms[1], out=right)
            xy.mul_(right)
        products.append(product.view(1, -1).sum(dim=1, keepdim=True))
    return torch.stack(products).sum(dim=0).clamp(-1, 1).view(1)


def _passthrough(job: Job) -> bool:
    """One input, scaled where a scale is given."""
    import torch

    if len(job.sources) != 1 or not job.has_values("scale"):
        return False
    scale = job.per_input[0]["scale"]
    if scale is None and not job.has_target:
        return False  # mergekit's own returns the input itself
    for _, (piece,), target in job.chunks():
        value = job.cast(piece, "x")
        if scale is not None:
            value = torch.mul(value, scale, out=job.typed_buffer("scaled", target))
        job.store(value, target)
    return True


_KERNELS: dict[str, Callable[[Job], bool]] = {
    "linear": _linear,
    "slerp": _slerp,
    "passthrough": _passthrough,
    **{
        name: partial(kernel_differences.merge, method=method)
        for name, method in kernel_differences.METHODS.items()
    },
}
