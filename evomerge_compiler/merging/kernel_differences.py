"""Merges that add differences to a base: task arithmetic and its sparsified kin.

Task arithmetic (Ilharco et al. 2023, arXiv 2212.04089), TIES (Yadav et al. 2023, arXiv
2306.01708), DARE (Yu et al. 2023, arXiv 2311.03099), Model Breadcrumbs (Davari and Belilovsky
2023, arXiv 2312.06795), DELLA (Deep et al. 2024, arXiv 2406.11617).

All of them: take each model's difference from the base, drop parts of it, perhaps rescale what is
left to the sum of magnitudes it had, weigh it, let the signs vote where the method says so, sum,
perhaps divide by the weights that went in, and add the result to the base.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from evomerge_compiler.merging import kernel_masks
from evomerge_compiler.merging.kernel_masks import Difference

if TYPE_CHECKING:
    import torch

    from evomerge_compiler.merging.kernel_job import Job

# torch adds up to four rows one after the other. With more it does so only in columns that fill
# its vector registers, and beyond 16 rows it sums in blocks.
_MAX_ROWS, _MAX_ROWS_IN_BLOCKS, _BLOCK_COLUMNS = 4, 16, 128
_SMALL_SUM = 1e-7  # below it nothing is rescaled
_SMALL_WEIGHT = 1e-8  # below it a sum of weights divides nothing


class _Mask(Protocol):
    def mask(self, start: int, piece: torch.Tensor, out: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True)
class Method:
    """One of the methods.

    Attributes:
        drops: How parts are dropped: ``largest`` keeps the largest magnitudes, ``middle`` those
            below the largest, ``drawn`` and ``drawn_by_rank`` draw; None keeps all.
        votes: Whether only what has the sign of the weighted sum goes in.
    """

    drops: str | None
    votes: bool


METHODS = {
    "task_arithmetic": Method(None, votes=False),
    "ties": Method("largest", votes=True),
    "dare_ties": Method("drawn", votes=True),
    "dare_linear": Method("drawn", votes=False),
    "breadcrumbs": Method("middle", votes=False),
    "breadcrumbs_ties": Method("middle", votes=True),
    "della": Method("drawn_by_rank", votes=True),
    "della_linear": Method("drawn_by_rank", votes=False),
}


@dataclass(frozen=True)
class _Part:
    """What one model contributes.

    Attributes:
        source: The model's tensor (n,).
        weight: Its weight (1,).
        mask: What is kept; None keeps all.
        scale: Factor (1,) for what is kept, or None.
        empty: Nothing is kept.
    """

    source: torch.Tensor
    weight: torch.Tensor
    mask: _Mask | None = None
    scale: torch.Tensor | None = None
    empty: bool = False


def merge(job: Job, method: Method) -> bool:
    """Merges differences into the result of a job.

    Returns:
        Whether the job is covered; if not, nothing was drawn or written.
    """
    import torch

    if not _covers(job, method):
        return False
    assert job.base_index is not None
    indices = [i for i in range(len(job.sources)) if i != job.base_index]
    parts = [_part(job, method, i) for i in indices]  # in this order, for what is drawn
    base = job.sources[job.base_index]
    total = torch.stack([part.weight for part in parts]).sum(dim=0)
    total[total.abs() < _SMALL_WEIGHT] = 1
    for start, (base_piece, *pieces), target in job.chunks(
        (base, *(part.source for part in parts))
    ):
        base_piece = job.cast(base_piece, "base")
        rows = []
        for i, (part, piece) in enumerate(zip(parts, pieces, strict=True)):
            row = torch.sub(
                job.cast(piece, "x"), base_piece, out=job.typed_buffer(f"row.{i}", target)
            )
            _drop(job, part, start, row)
            rows.append(_as_float(job, row.mul_(part.weight), i))
        mixed = job.typed_buffer("mixed", target)
        if method.votes:
            _vote(job, rows, [part.weight for part in parts], mixed)
        else:
            mixed.copy_(_sum(job, rows))
            if job.options["normalize"]:
                mixed.div_(total)
        if job.options["lambda"] != 1:
            mixed.mul_(job.options["lambda"])
        job.store(torch.add(base_piece, mixed, out=mixed), target)
    return True


def _covers(job: Job, method: Method) -> bool:
    import torch

    if job.base_index is None or len(job.sources) < 2:
        return False
    n_rows = len(job.sources) - 1
    if n_rows > _MAX_ROWS and (
        n_rows > _MAX_ROWS_IN_BLOCKS or job.n % _BLOCK_COLUMNS or torch.get_num_threads() > 1
    ):
        return False
    others = [values for i, values in enumerate(job.per_input) if i != job.base_index]
    if method.drops is None:
        return True
    if method.drops.startswith("drawn") and not kernel_masks.draws_as_bernoulli():
        return False
    return all(_covers_density(job, method.drops, values) for values in others)


def _covers_density(job: Job, drops: str, values: Mapping[str, Any]) -> bool:
    """Whether a density is one that mergekit takes; it refuses the others in its own words."""
    density: float = values["density"]
    if density >= 1:
        return True
    if drops == "largest":
        return not math.isnan(density)
    if drops == "middle":
        return density >= 0 and bool(values["gamma"] >= 0)
    if drops == "drawn":
        return density >= 0
    if density <= 0:
        return True
    epsilon = values["epsilon"]
    if len(job.shape) > 2 or not (density + epsilon < 1 and density - epsilon > 0):
        return False
    probabilities = kernel_masks.rank_probabilities(job.shape[-1], density, epsilon, job.dtype)
    return bool(((probabilities >= 0) & (probabilities <= 1)).all())


def _part(job: Job, method: Method, index: int) -> _Part:
    """Chooses what is kept of one model's difference; draws where the method draws."""
    import torch

    values = job.per_input[index]
    part = _Part(job.sources[index], torch.tensor([values["weight"]], dtype=job.dtype))
    if method.drops is None or values["density"] >= 1:
        return part
    difference, density = Difference(job, index), values["density"]
    mask: _Mask
    if density <= 0 and method.drops in ("largest", "drawn_by_rank"):
        return replace(part, empty=True)
    if method.drops == "largest":
        mask = kernel_masks.largest(difference, density)
    elif method.drops == "middle":
        mask = kernel_masks.middle(difference, density, values["gamma"])
    elif method.drops == "drawn":
        mask = kernel_masks.drawn(difference, density)
    else:
        mask = kernel_masks.drawn_by_rank(
            difference,
            kernel_masks.rank_probabilities(job.shape[-1], density, values["epsilon"], job.dtype),
        )
    scale = None
    if job.options["rescale"]:
        draws = method.drops.startswith("drawn")
        scale = _scale(difference, mask, kernel_masks.work_type(job.dtype) if draws else job.dtype)
    return replace(part, mask=mask, scale=scale)


def _scale(difference: Difference, mask: _Mask, dtype: torch.dtype) -> torch.Tensor | None:
    """The factor (1,) that gives what is kept the sum of magnitudes of the whole, or None.

    The sum of so many rounded numbers depends on the order. So the magnitudes are written out in
    full, and torch sums them as it does for mergekit.
    """
    import torch

    job = difference.job
    whole = job.whole(dtype)
    for start, piece in difference.pieces():
        whole[start : start + piece.numel()].copy_(piece.abs_())
    before = whole.view(job.shape).sum()
    start = 0
    for piece in torch.split(whole, job.scratch.chunk):
        kept = job.scratch.take("kept", piece.numel(), dtype)
        piece.mul_(mask.mask(start, piece, kept))
        start += piece.numel()
    after = whole.view(job.shape).sum()
    if before < _SMALL_SUM or after < _SMALL_SUM:
        return None
    return (before / after).view(1)


def _drop(job: Job, part: _Part, start: int, row: torch.Tensor) -> None:
    """Drops and rescales within a piece of a difference."""
    if part.empty:
        row.zero_()
    if part.mask is None:
        return
    scale = part.scale
    if scale is None or scale.dtype == row.dtype:
        row.mul_(part.mask.mask(start, row, job.typed_buffer("kept", row)))
        if scale is not None:
            row.mul_(scale)
        return
    # mergekit draws and rescales float16 in float32.
    value = job.float_buffer("rescaled", row).copy_(row)
    value.mul_(part.mask.mask(start, row, job.float_buffer("kept", row)))
    row.copy_(value.mul_(scale))


def _as_float(job: Job, row: torch.Tensor, i: int) -> torch.Tensor:
    import torch

    return row if row.dtype == torch.float32 else job.float_buffer(f"row.{i}", row).copy_(row)


def _sum(job: Job, rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """The sum (n,) of float32 rows; from zero, so that zeros that are negative sum to zero."""
    total = job.float_buffer("sum", rows[0]).zero_()
    for row in rows:
        total.add_(row)
    return total


def _vote(
    job: Job, rows: Sequence[torch.Tensor], weights: Sequence[torch.Tensor], mixed: torch.Tensor
) -> None:
    """Sums what has the sign of the sum of all; overwrites the rows.

    Args:
        job: The merge.
        rows: The weighted differences, each (n,) float32.
        weights: The weight (1,) of each.
        mixed: Where the sum goes, over the weights that went in where the job normalises.
    """
    import torch

    majority = _sum(job, rows).ge_(0).mul_(2).sub_(1)
    kept = job.float_buffer("mixed", mixed).zero_()
    divisor = job.float_buffer("divisor", mixed).zero_()
    agrees = job.float_buffer("agrees", mixed)
    for row, weight in zip(rows, weights, strict=True):
        torch.mul(row, majority, out=agrees).gt_(0)
        divisor.addcmul_(agrees, weight.float())
        kept.add_(row.mul_(agrees))
    mixed.copy_(kept)
    if job.options["normalize"]:
        divisor.add_(torch.eq(divisor, 0, out=agrees))  # nothing agreed: divide by one
        mixed.div_(job.typed_buffer("divisor", mixed).copy_(divisor))
