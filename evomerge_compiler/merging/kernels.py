"""Merge kernels that give the bits of mergekit's methods, faster and in little memory.

A kernel stands in for ``method._execute_resolved((group,), [parameters], dtype=, out_dtype=)`` of
mergekit's ``ExecuteMergeMethodTask.execute``, after that task's own checks (optional tensors,
buffers that hold no floats, equal shapes)::

    scratch = Scratch(Findings())                   # one for each worker, kept between merges
    kernel = kernels.fast("ties")                   # None: no kernel for this method
    result = kernel and kernel(
        tensors,                                    # in the order of the group's entries
        base_index,                                 # of the base among them, or None
        per_input,                                  # for each tensor, e.g. {"weight": 0.4}
        options,                                    # what the task's inputs share, with defaults
        scratch,
        dtype=..., out_dtype=...,                   # the task's, as torch types, or None
        out=resident,                               # optional: where the result is written
        keys=keys,                                  # optional: a content key for each tensor
    )
    if result is None:                              # not covered: nothing was drawn or written
        ...mergekit's own...

``out`` is contiguous, has the tensors' shape and ``out_dtype`` (else ``dtype``, else the promoted
type), and overlaps no input. Without it each call allocates its result, which costs more time than
a linear merge: pass resident parameters, or ``scratch.take(name, n, dtype).view(shape)``.
``per_input`` of the base may be empty where mergekit's method takes no value for it.
``keys`` lets the findings serve again (the angle of slerp, the cuts of ties and breadcrumbs):
equal keys promise equal bytes.

A kernel works through the inputs in chunks that stay in the processor's cache. Element-wise
operations give the same bits in chunks; reductions are the same torch call on the same numbers as
mergekit's, and random masks take the same numbers from torch's global generator. Held by
``tests/merging/test_kernels.py``. Covered are CPU tensors of bfloat16, float16 and float32. Chunks
are for one thread: more of them give the same bits, but have too little to share.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from evomerge_compiler.merging import kernel_differences
from evomerge_compiler.merging.kernel_job import Job, prepare
from evomerge_compiler.merging.kernel_scratch import Findings, Scratch

if TYPE_CHECKING:
    import torch

__all__ = ["Findings", "Kernel", "Scratch", "fast"]

# mergekit takes norms and dot products over pieces of this size; their rounding depends on it.
_SLERP_PIECE = 1024 * 1024
_SLERP_EPS = 1e-8
_SLERP_COLLINEAR = 0.9995


class Kernel(Protocol):
    """Merges the tensors of one output; see the head of this module."""

    def __call__(
        self,
        tensors: Sequence[torch.Tensor],
        base_index: int | None,
        per_input: Sequence[Mapping[str, Any]],
        options: Mapping[str, Any],
        scratch: Scratch,
        *,
        dtype: torch.dtype | None = None,
        out_dtype: torch.dtype | None = None,
        out: torch.Tensor | None = None,
        keys: Sequence[Hashable | None] | None = None,
    ) -> torch.Tensor | None:
        """Merges; None when it does not cover these inputs, and then nothing has changed."""


def fast(method: str) -> Kernel | None:
    """The kernel for a method of mergekit, or None when there is none."""
    merge = _KERNELS.get(method)
    return None if merge is None else partial(_run, merge)


def _run(
    merge: Callable[[Job], bool],
    tensors: Sequence[torch.Tensor],
    base_index: int | None,
    per_input: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    scratch: Scratch,
    *,
    dtype: torch.dtype | None = None,
    out_dtype: torch.dtype | None = None,
    out: torch.Tensor | None = None,
    keys: Sequence[Hashable | None] | None = None,
) -> torch.Tensor | None:
    job = prepare(
        tensors, base_index, per_input, options, scratch,
        dtype=dtype, out_dtype=out_dtype, out=out, keys=keys,
    )  # fmt: skip
    if job is None or not merge(job):
        return None
    scratch.trim()
    return job.result.view(job.shape)


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
        mixed = job.float_buffer("mixed", target)
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
    import torch

    if job.base_index is None or len(job.sources) != 2:
        return False
    base, other = job.sources[job.base_index], job.sources[1 - job.base_index]
    key = job.key(job.base_index, 1 - job.base_index)
    cosine = job.scratch.findings.recall(
        None if key is None else ("cosine", key), lambda: _cosine(job, base, other), lambda _: 64
    )
    share = torch.tensor([[job.options["t"]]], dtype=torch.float32)
    straight = cosine.abs() > _SLERP_COLLINEAR
    angle = torch.acos(torch.where(straight, 0, cosine))
    sine = torch.sin(angle)
    first = torch.where(straight, 1 - share, torch.sin((1 - share) * angle) / sine).view(1)
    second = torch.where(straight, share, torch.sin(share * angle) / sine).view(1)
    for _, pieces, target in job.chunks((base, other)):
        x = job.float_buffer("x", target)
        y = job.float_buffer("y", target)
        torch.mul(job.load(pieces[0], "x"), first, out=x)
        torch.mul(job.load(pieces[1], "y"), second, out=y)
        job.store(torch.add(x, y, out=x), target)
    return True


def _cosine(job: Job, base: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The cosine (1, 1) of the angle between two inputs."""
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
    return torch.stack(products).sum(dim=0).clamp(-1, 1)


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
        target.copy_(value)
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
