"""Which elements of a difference a sparsifying merge method keeps, with mergekit's own choices.

Three rules: the largest magnitudes (TIES, arXiv 2306.01708), a window of magnitudes (Model
Breadcrumbs, arXiv 2312.06795), and chance (DARE, arXiv 2311.03099; DELLA, arXiv 2406.11617).

Magnitudes are counted instead of sorted. Only when a cut falls among equal magnitudes does it
matter in which order torch's unstable sort leaves those. A bfloat16 difference has some thousand
distinct magnitudes, so there that is the usual case; :mod:`kernel_order` finds it out, and the
findings of a scratch save it for the next candidate.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from evomerge_compiler.merging import kernel_order

if TYPE_CHECKING:
    import torch

    from evomerge_compiler.merging.kernel_job import Job

_DRAW_BITS = 24  # of a float32 that torch draws from [0, 1)


@dataclass(frozen=True)
class Difference:
    """What one model adds to the base.

    Attributes:
        job: The merge.
        index: Of the model among its inputs.
    """

    job: Job
    index: int

    @property
    def key(self) -> Hashable | None:
        """A content key, or None when the caller gave none."""
        assert self.job.base_index is not None
        return self.job.key(self.index, self.job.base_index)

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
        sources = (job.sources[self.index], job.sources[job.base_index])
        for start, (mine, base), target in job.chunks(sources, size):
            piece = job.typed_buffer("difference", target)
            torch.sub(job.cast(mine, "x"), job.cast(base, "base"), out=piece)
            yield start, piece


@dataclass(frozen=True)
class Cut:
    """A window of magnitudes.

    Attributes:
        above: Magnitudes above this one are kept,
        below: if they are below this one; None sets no limit.
        tied: Sorted indices (n_tied,) int32 of the elements kept among those equal to a limit.
    """

    above: float
    below: float | None
    tied: torch.Tensor


class Window:
    """Keeps the elements whose rank of magnitude lies in a window.

    Args:
        cut: The window, in magnitudes.
    """

    def __init__(self, cut: Cut) -> None:
        self._cut = cut

    def mask(self, start: int, piece: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """Writes 1 for what is kept of a piece that begins at ``start``, else 0."""
        import torch

        cut = self._cut
        magnitude = torch.abs(piece, out=out)
        if cut.below is None:
            magnitude.gt_(cut.above)
        else:
            high = torch.lt(magnitude, cut.below, out=torch.empty_like(magnitude))
            magnitude.gt_(cut.above).mul_(high)
        begin, end = torch.searchsorted(cut.tied, torch.tensor([start, start + piece.numel()]))
        tied = cut.tied[begin:end].long() - start
        if tied.numel():
            magnitude.index_fill_(0, tied, 1)
        return magnitude


class Drawn:
    """Keeps what was drawn before.

    It is a bit an element: mergekit draws for all models before it merges the first element.

    Args:
        job: Whose elements.
        index: Of the model; no two have the same memory.
    """

    def __init__(self, job: Job, index: int) -> None:
        import torch

        n_bytes = -(-job.n // 8)
        self._bits = job.scratch.take(f"kept.{index}", n_bytes, torch.uint8).numpy()

    def keep(self, start: int, kept: torch.Tensor) -> None:
        """Takes in what is kept from ``start`` on, a multiple of 8: true or false, (n_piece,)."""
        bits = np.packbits(kept.numpy(), bitorder="little")
        self._bits[start // 8 : start // 8 + len(bits)] = bits

    def mask(self, start: int, piece: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """Writes 1 for what is kept of a piece that begins at ``start``, else 0."""
        import torch

        end = start + piece.numel()
        bits = np.unpackbits(self._bits[start // 8 : -(-end // 8)], bitorder="little")
        return out.copy_(torch.from_numpy(bits[start % 8 : start % 8 + piece.numel()]))


def largest(difference: Difference, density: float) -> Window:
    """The share ``density`` in (0, 1) of largest magnitude, at least one element."""
    n = difference.job.n
    return Window(_cut(difference, n - max(1, int(density * n)), n, descending=True))


def middle(difference: Difference, density: float, gamma: float) -> Window:
    """The share ``density`` in [0, 1) below the share ``gamma`` of largest magnitude."""
    n = difference.job.n
    kept = int(density * n)
    low = max(0, n - kept - int(gamma * n))
    return Window(_cut(difference, low, low + kept, descending=False))


def drawn(difference: Difference, density: float) -> Drawn:
    """Each element with probability ``density``; draws as ``torch.bernoulli`` does."""
    import torch

    job = difference.job
    probability = torch.tensor(density, dtype=work_type(job.dtype))
    limit = _draw_limits(probability).item()
    kept = Drawn(job, difference.index)
    size = _whole_bytes(job.scratch.chunk)
    for start in range(0, job.n, size):
        kept.keep(start, _draws(job, min(size, job.n - start)) < limit)
    return kept


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


def drawn_by_rank(difference: Difference, probabilities: torch.Tensor) -> Drawn:
    """Each element with the probability of its rank in its row."""
    import torch

    job = difference.job
    n_columns = probabilities.numel()
    limits = _draw_limits(probabilities)
    kept = Drawn(job, difference.index)
    # Rows are ranked one by one: a block of whole rows gives what the whole tensor gives.
    block = _whole_bytes(job.scratch.chunk // n_columns) * n_columns
    for start, piece in difference.pieces(block):
        order = torch.argsort(piece.abs_().view(-1, n_columns), dim=1)
        limit = torch.empty(order.shape, dtype=torch.int32)
        limit.scatter_(1, order, limits.expand_as(order))
        draws = _draws(job, piece.numel()).view(order.shape)
        kept.keep(start, (draws < limit).view(-1))
    return kept


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


def _cut(difference: Difference, low: int, high: int, *, descending: bool) -> Cut:
    """The cut that keeps the ascending ranks ``low`` to ``high`` (excluded) of magnitude."""
    job, key = difference.job, difference.key
    return job.scratch.findings.recall(
        None if key is None else ("cut", key, low, high, descending),
        lambda: _find_cut(difference, low, high, descending=descending),
        lambda cut: cut.tied.numel() * cut.tied.element_size(),
    )


@dataclass(frozen=True)
class _Run:
    """Elements of one magnitude.

    Attributes:
        bits: Of the magnitude, as an integer; they rise with it.
        begin: The first of their ascending ranks.
        end: One more than the last.
    """

    bits: int
    begin: int
    end: int


def _find_cut(difference: Difference, low: int, high: int, *, descending: bool) -> Cut:
    import torch

    n, dtype = difference.job.n, difference.job.dtype
    nothing = torch.empty(0, dtype=torch.int32)
    if low >= high:
        return Cut(above=float("inf"), below=None, tied=nothing)
    bottom, top = _runs(difference, (low, high - 1))
    # A run that the window holds whole needs no order. Nor do zeros: masked or not, they are zero.
    split = [
        run
        for run in dict.fromkeys((bottom, top))
        if run.bits and not low <= run.begin < run.end <= high
    ]
    tied = nothing
    if split:
        kept = [_kept_of_run(difference, run, low, high, descending=descending) for run in split]
        tied = torch.from_numpy(np.sort(np.concatenate(kept)))
    below = None if high == n else _value(top.bits + (top not in split), dtype)
    return Cut(_value(bottom.bits - (bottom not in split), dtype), below, tied)


def _runs(difference: Difference, ranks: tuple[int, ...]) -> list[_Run]:
    """The runs in which some ascending ranks of magnitude lie."""
    import torch

    if difference.job.dtype != torch.float32:
        counts = _count(difference, 0, None)
        return [_run_of(rank, counts, 0, 0) for rank in ranks]
    counts = _count(difference, 16, None)
    found = []
    for rank in ranks:
        coarse = _run_of(rank, counts, 0, 0)
        found.append(
            _run_of(rank, _count(difference, 0, coarse.bits), coarse.bits << 16, coarse.begin)
        )
    return found


def _run_of(rank: int, counts: torch.Tensor, first_bits: int, first_rank: int) -> _Run:
    import torch

    ends = counts.cumsum(0)
    i = int(torch.searchsorted(ends, rank - first_rank, right=True))
    end = first_rank + int(ends[i])
    return _Run(first_bits + i, end - int(counts[i]), end)


def _count(difference: Difference, shift: int, upper: int | None) -> torch.Tensor:
    """How often each magnitude occurs.

    Args:
        difference: Whose magnitudes.
        shift: Lower bits that are left out.
        upper: Count the lower 16 bits of the magnitudes with these upper bits; None counts all.

    Returns:
        Counts (2**15 or 2**16,) int64 by bits.
    """
    import torch

    n_bins = 1 << 15 if upper is None else 1 << 16
    counts = torch.zeros(n_bins, dtype=torch.int64)
    integer = _integer(difference.job.dtype)
    for _, piece in difference.pieces():
        bits = piece.abs_().view(integer)
        if upper is not None:
            bits = bits[bits >> 16 == upper] & 0xFFFF
        elif shift:
            bits.bitwise_right_shift_(shift)
        counts += torch.bincount(bits, minlength=n_bins)
    return counts


def _kept_of_run(
    difference: Difference, run: _Run, low: int, high: int, *, descending: bool
) -> kernel_order.Indices:
    """Indices (n_kept,) of the elements of a run that a window of ascending ranks keeps."""
    begin, end = run.begin, run.end
    if descending:
        n = difference.job.n
        begin, end, low, high = n - end, n - begin, n - high, n - low
    if high < end:
        kept = _front(difference, high, run.bits, descending=descending)
    else:
        kept = kernel_order.where(_bits(difference), run.bits)
    if low > begin:
        dropped = _front(difference, low, run.bits, descending=descending)
        kept = np.setdiff1d(kept, dropped, assume_unique=True)
    return kept


def _front(
    difference: Difference, n_front: int, bits: int, *, descending: bool
) -> kernel_order.Indices:
    """Indices of the elements of one magnitude that mergekit's sort puts before a place."""
    import torch

    job, keys = difference.job, _bits(difference)
    if kernel_order.is_known() and keys.max() <= _bits_of_infinity(job.dtype):
        order = job.scratch.take("order", job.n, torch.int32).numpy()
        if not descending:
            np.negative(keys, out=keys)
        found = kernel_order.front(keys, order, n_front, bits if descending else -bits)
        if found is not None:
            return found
        keys = _bits(difference)
    magnitudes = torch.from_numpy(keys).view(job.dtype).float()
    front = torch.argsort(magnitudes, descending=descending)[:n_front].int()
    return kernel_order.where(keys[front.numpy()], bits, front.numpy())


def _bits(difference: Difference) -> kernel_order.Keys:
    """Magnitudes (n,) as integers of their bits, in memory that the next call overwrites."""
    whole = difference.job.whole(difference.job.dtype)
    for start, piece in difference.pieces():
        whole[start : start + piece.numel()].copy_(piece.abs_())
    keys: kernel_order.Keys = whole.view(_integer(whole.dtype)).numpy()
    return keys


def _integer(dtype: torch.dtype) -> torch.dtype:
    import torch

    return torch.int32 if dtype == torch.float32 else torch.int16


def _bits_of_infinity(dtype: torch.dtype) -> int:
    import torch

    return int(torch.tensor(float("inf"), dtype=dtype).view(_integer(dtype)))


def _value(bits: int, dtype: torch.dtype) -> float:
    """The magnitude with some bits; one step below zero is minus one."""
    import torch

    if bits < 0:
        return -1.0
    return float(torch.tensor(bits, dtype=_integer(dtype)).view(dtype))
