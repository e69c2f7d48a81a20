"""Which elements of a difference a sparsifying merge method keeps, with mergekit's own choices.

Three rules: the largest magnitudes (TIES, arXiv 2306.01708), a window of magnitudes (Model
Breadcrumbs, arXiv 2312.06795), and chance (DARE, arXiv 2311.03099; DELLA, arXiv 2406.11617).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from evomerge_compiler.merging.kernel_cuts import Cut, cut
from evomerge_compiler.merging.kernel_job import Difference, Job

if TYPE_CHECKING:
    import torch

_DRAW_BITS = 24  # of a float32 that torch draws from [0, 1)


class Mask(Protocol):
    """What is kept of a model's difference."""

    def mask(self, start: int, piece: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """For a piece that begins at ``start``: 1 for what is kept of it, else 0.

        It is in ``out``, or in memory of the mask that is not to be changed.
        """


class Window:
    """Keeps the elements whose rank of magnitude lies in a window.

    Args:
        job: Whose elements.
        cuts: The window of each of its spans, in magnitudes.
    """

    def __init__(self, job: Job, cuts: Sequence[Cut]) -> None:
        import torch

        self._job = job
        self._cuts = cuts
        self._tied = cuts[0].tied
        if len(cuts) > 1:
            placed = zip(cuts, job.spans, strict=True)
            self._tied = torch.cat([window.tied + span.start for window, span in placed])

    def mask(self, start: int, piece: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """See :class:`Mask`."""
        import torch

        magnitudes = torch.abs(piece, out=out)
        for part, window in zip(self._job.parts(magnitudes), self._cuts, strict=True):
            if window.below is None:
                part.gt_(window.above)
            else:
                high = torch.lt(part, window.below, out=torch.empty_like(part))
                part.gt_(window.above).mul_(high)
        # Of another type than the places, torch would convert all of these.
        ends = torch.tensor([start, start + piece.numel()], dtype=self._tied.dtype)
        begin, end = torch.searchsorted(self._tied, ends)
        tied = self._tied[begin:end].long() - start
        if tied.numel():
            magnitudes.index_fill_(0, tied, 1)
        return magnitudes


class Drawn:
    """Keeps what was drawn before.

    mergekit draws for all models before it merges the first element of a tensor. Of a long one
    only a bit an element is held.

    Args:
        job: Whose elements.
        index: Of the model; no two have the same memory.
    """

    def __init__(self, job: Job, index: int) -> None:
        import torch

        self._packed = job.n > job.scratch.chunk
        size, dtype = (-(-job.n // 8), torch.uint8) if self._packed else (job.n, job.dtype)
        self._kept = job.scratch.take(f"kept.{index}", size, dtype)

    def keep(self, start: int, draws: torch.Tensor, limits: torch.Tensor | int) -> None:
        """Keeps elements from ``start`` on whose draw (n_piece,) is below their limit.

        Where there are more elements than a chunk has, ``start`` is a multiple of 8.
        """
        import torch

        if self._packed:
            bits = np.packbits((draws < limits).numpy(), bitorder="little")
            self._kept.numpy()[start // 8 : start // 8 + len(bits)] = bits
        else:
            torch.lt(draws, limits, out=self._kept[start : start + draws.numel()])

    def mask(self, start: int, piece: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """See :class:`Mask`."""
        import torch

        end = start + piece.numel()
        if not self._packed:
            kept = self._kept[start:end]
            return kept if kept.dtype == out.dtype else out.copy_(kept)
        packed = self._kept.numpy()[start // 8 : -(-end // 8)]
        bits = np.unpackbits(packed, bitorder="little")
        return out.copy_(torch.from_numpy(bits[start % 8 : start % 8 + piece.numel()]))


def largest(difference: Difference, density: float) -> Window:
    """The share ``density`` in (0, 1) of largest magnitude, at least one element."""
    cuts = [
        cut(part, part.n - max(1, int(density * part.n)), part.n, descending=True)
        for part in difference.by_span()
    ]
    return Window(difference.job, cuts)


def middle(difference: Difference, density: float, gamma: float) -> Window:
    """The share ``density`` in [0, 1) below the share ``gamma`` of largest magnitude."""
    cuts = []
    for part in difference.by_span():
        kept = int(density * part.n)
        low = max(0, part.n - kept - int(gamma * part.n))
        cuts.append(cut(part, low, low + kept, descending=False))
    return Window(difference.job, cuts)


def drawn(job: Job, densities: Mapping[int, float]) -> dict[int, Mask]:
    """Each element with the probability of its model; draws as ``torch.bernoulli`` does.

    Args:
        job: The merge.
        densities: Index of a model to its probability, in the order of the models.
    """
    import torch

    limits = {
        index: int(_draw_limits(torch.tensor(density, dtype=work_type(job.dtype))))
        for index, density in densities.items()
    }
    kept = {index: Drawn(job, index) for index in densities}
    size = _whole_bytes(job.scratch.chunk)
    for span in job.spans:
        for index, limit in limits.items():
            for start in range(0, span.n, size):
                draws = _draws(job, min(size, span.n - start))
                kept[index].keep(span.start + start, draws, limit)
    return {**kept}


def rank_probabilities(
    n_columns: int, density: float, epsilon: float, dtype: torch.dtype
) -> torch.Tensor:
    """The probability (n_columns,) that DELLA keeps the element of each rank in its row.

    They rise with the rank from ``density - epsilon`` to ``density + epsilon``, in the type and
    with the roundings of mergekit.
    """
    import torch

    ranks = torch.arange(n_columns).to(work_type(dtype)) + 1
    share = ((ranks - ranks.min()) / (ranks.max() - ranks.min())).clamp(0, 1)
    return (density - epsilon) + share * 2 * epsilon


def drawn_by_rank(job: Job, chances: Mapping[int, tuple[float, float]]) -> dict[int, Mask]:
    """Each element with the probability of its rank in its row.

    Args:
        job: The merge.
        chances: Index of a model to density and epsilon, in the order of the models.
    """
    kept = {index: Drawn(job, index) for index in chances}
    for span in job.spans:
        for index, (density, epsilon) in chances.items():
            probabilities = rank_probabilities(span.shape[-1], density, epsilon, job.dtype)
            difference = Difference(job, index, span)
            for start, limits in _limits_by_rank(difference, _draw_limits(probabilities)):
                kept[index].keep(span.start + start, _draws(job, limits.numel()), limits)
    return {**kept}


def _limits_by_rank(
    difference: Difference, limits: torch.Tensor
) -> Iterator[tuple[int, torch.Tensor]]:
    """First element of each piece, and the limits (n_piece,) by the ranks of its elements."""
    import torch

    job, n_columns = difference.job, limits.numel()
    # Rows are ranked one by one: a block of whole rows gives what the whole tensor gives.
    block = _whole_bytes(job.scratch.chunk // n_columns) * n_columns
    for start, piece in difference.pieces(block):
        order = torch.argsort(piece.abs_().view(-1, n_columns), dim=1)
        limit = torch.empty(order.shape, dtype=torch.int32)
        limit.scatter_(1, order, limits.expand_as(order))
        yield start, limit.view(-1)


def _whole_bytes(n_bits: int) -> int:
    """So many bits or fewer, that fill bytes; at least one byte."""
    return max(1, n_bits // 8) * 8


def work_type(dtype: torch.dtype) -> torch.dtype:
    """The type in which mergekit draws and rescales on the CPU."""
    import torch

    return torch.bfloat16 if dtype == torch.bfloat16 else torch.float32


@lru_cache(maxsize=1)
def draws_as_bernoulli() -> bool:
    """Whether this torch draws 32-bit integers from the stream that its bernoulli consumes."""
    import torch

    ours, theirs = torch.Generator().manual_seed(7), torch.Generator().manual_seed(7)
    for dtype in (torch.bfloat16, torch.float32):
        probability = torch.full((1000,), 0.3, dtype=dtype)
        draws = torch.empty(1000, dtype=torch.int32).random_(generator=ours)
        draws.bitwise_and_((1 << _DRAW_BITS) - 1)
        kept = torch.bernoulli(probability, generator=theirs)
        if not torch.equal(draws < _draw_limits(probability), kept.bool()):
            return False
    return torch.equal(ours.get_state(), theirs.get_state())


def _draws(job: Job, n: int) -> torch.Tensor:
    """Integers (n,) below 2**24; an element is kept when its is below its limit."""
    import torch

    draws = job.scratch.take("draws", n, torch.int32)
    return draws.random_().bitwise_and_((1 << _DRAW_BITS) - 1)


def _draw_limits(probabilities: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.ceil(probabilities.double() * (1 << _DRAW_BITS)).int()
