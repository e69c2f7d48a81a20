"""Where a window of ranks begins and ends among the magnitudes of a difference.

Magnitudes are counted instead of sorted, or selected where they are few. Only when a cut falls
among equal magnitudes does it matter in which order torch's unstable sort leaves those. A bfloat16
difference has some thousand distinct magnitudes, so there that is the usual case;
:mod:`kernel_order` finds it out, and the findings of a scratch save it for the next candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evomerge_compiler.merging import kernel_order

if TYPE_CHECKING:
    import torch

    from evomerge_compiler.merging.kernel_job import Difference


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


def cut(difference: Difference, low: int, high: int, *, descending: bool) -> Cut:
    """The cut of one tensor that keeps the ascending ranks ``low`` to ``high`` (excluded).

    Args:
        difference: Of a span.
        low: The first rank of magnitude that is kept.
        high: The first one that is not.
        descending: Whether mergekit sorts with the largest first, which decides among equals.
    """
    key = difference.key
    return difference.job.scratch.findings.recall(
        None if key is None else ("cut", key, low, high, descending),
        lambda: _find_cut(difference, low, high, descending=descending),
        lambda cut: cut.tied.nbytes,
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

    n, dtype = difference.n, difference.job.dtype
    tied = torch.empty(0, dtype=torch.int32)
    if low >= high:
        return Cut(above=float("inf"), below=None, tied=tied)
    order = _order(difference, descending=descending)
    runs = _runs(difference, [low] if high == n else [low, high - 1])
    bottom, top = runs[0], runs[-1]
    # A run that the window holds whole needs no order. Nor do zeros: masked or not, they are zero.
    split = [
        run for run in dict.fromkeys(runs) if run.bits and not low <= run.begin < run.end <= high
    ]
    if split:
        window = (n - high, n - low) if descending else (low, high)
        kept = [
            _kept_of_run(difference, run, window, order, descending=descending) for run in split
        ]
        places = kept[0] if len(kept) == 1 else np.concatenate(kept)
        places.sort()
        tied = torch.from_numpy(places)
    below = None if high == n else _value(top.bits + (top not in split), dtype)
    return Cut(_value(bottom.bits - (bottom not in split), dtype), below, tied)


def _order(difference: Difference, *, descending: bool) -> kernel_order.Indices | None:
    """The elements (n,) in the order of mergekit's sort, where it is worth to know all of it.

    Two models that a search keeps are asked for at one density after the other. A model that is
    itself a merge hardly ever comes back. What did not stay among the findings, because there is
    too much of it, is not sorted again.
    """
    key, findings = difference.key, difference.job.scratch.findings
    if key is None or difference.n > difference.job.scratch.chunk:
        return None
    place = ("order", key, descending)
    comes_back = findings.asked(("cuts", key))
    if place not in findings and (not comes_back or findings.asked(("sorted", *place))):
        return None
    return findings.recall(
        place,
        lambda: _sorted(difference, descending=descending),
        lambda order: order.nbytes,
    )


def _sorted(difference: Difference, *, descending: bool) -> kernel_order.Indices:
    """The elements (n,) in the order of mergekit's sort, by that sort."""
    import torch

    magnitudes = torch.from_numpy(_bits(difference)).view(difference.job.dtype).float()
    order: kernel_order.Indices = torch.argsort(magnitudes, descending=descending).int().numpy()
    return order


def _runs(difference: Difference, ranks: Sequence[int]) -> list[_Run]:
    """The runs in which some ascending ranks of magnitude lie."""
    if difference.n <= difference.job.scratch.chunk:
        return _runs_of_few(_bits(difference), ranks)
    import torch

    counts = _count(difference, None)
    if difference.job.dtype != torch.float32:
        return [_run_of(rank, counts, 0, 0) for rank in ranks]
    found = []
    for rank in ranks:
        coarse = _run_of(rank, counts, 0, 0)
        fine = _count(difference, coarse.bits)
        found.append(_run_of(rank, fine, coarse.bits << 16, coarse.begin))
    return found


def _runs_of_few(keys: kernel_order.Keys, ranks: Sequence[int]) -> list[_Run]:
    """Selection is faster than the counting of so few elements in so many bins."""
    found = []
    for bits in np.partition(keys, ranks)[ranks].tolist():
        begin = int(np.count_nonzero(keys < bits))
        found.append(_Run(bits, begin, begin + int(np.count_nonzero(keys == bits))))
    return found


def _run_of(rank: int, counts: torch.Tensor, first_bits: int, first_rank: int) -> _Run:
    import torch

    ends = counts.cumsum(0)
    i = int(torch.searchsorted(ends, rank - first_rank, right=True))
    end = first_rank + int(ends[i])
    return _Run(first_bits + i, end - int(counts[i]), end)


def _count(difference: Difference, upper: int | None) -> torch.Tensor:
    """How often each magnitude occurs.

    Args:
        difference: Whose magnitudes.
        upper: Count the lower 16 bits of the magnitudes with these upper bits; None counts all
            magnitudes by their upper 16 bits.

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
        elif integer == torch.int32:
            bits.bitwise_right_shift_(16)
        counts += torch.bincount(bits, minlength=n_bins)
    return counts


def _kept_of_run(
    difference: Difference,
    run: _Run,
    window: tuple[int, int],
    order: kernel_order.Indices | None,
    *,
    descending: bool,
) -> kernel_order.Indices:
    """Indices (n_kept,) of the elements of a run that a window keeps.

    Args:
        difference: Of a span.
        run: Some of its elements.
        window: The first place in mergekit's order that is kept, and the first that is not.
        order: mergekit's order, where it is known.
        descending: Whether that order has the largest magnitude first.
    """
    n, (low, high) = difference.n, window
    begin, end = (n - run.end, n - run.begin) if descending else (run.begin, run.end)
    if order is not None:
        known: kernel_order.Indices = order[max(low, begin) : min(high, end)].copy()
        return known
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
        order = job.scratch.take("order", difference.n, torch.int32).numpy()
        if not descending:
            np.negative(keys, out=keys)
        found = kernel_order.front(keys, order, n_front, bits if descending else -bits)
        if found is not None:
            return found
    sorted_ = _sorted(difference, descending=descending)[:n_front]
    wanted: kernel_order.Indices = sorted_[_bits(difference)[sorted_] == bits]
    return wanted


def _bits(difference: Difference) -> kernel_order.Keys:
    """Magnitudes (n,) as integers of their bits, in memory that the next call overwrites."""
    job = difference.job
    assert difference.span is not None
    whole = difference.span.of(job.whole(job.dtype))
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
