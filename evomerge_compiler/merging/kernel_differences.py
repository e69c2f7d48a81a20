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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evomerge_compiler.merging import kernel_masks
from evomerge_compiler.merging.kernel_job import Difference, Job, Span
from evomerge_compiler.merging.kernel_masks import Mask

if TYPE_CHECKING:
    import torch

# torch adds up to four rows one after the other. With more it does so only in columns that fill
# its vector registers, and beyond 16 rows it sums in blocks.
_MAX_ROWS, _MAX_ROWS_IN_BLOCKS, _BLOCK_COLUMNS = 4, 16, 128
_SMALL_SUM = 1e-7  # below it nothing is rescaled
_SMALL_WEIGHT = 1e-8  # below it a sum of weights divides nothing


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
        source: The model's tensors (n,).
        weight: Its weight (1,).
        mask: What is kept; None keeps all.
        scales: Factor (1,) for what is kept of each span; None rescales nothing.
        empty: Nothing is kept.
    """

    source: torch.Tensor
    weight: torch.Tensor
    mask: Mask | None = None
    scales: tuple[torch.Tensor, ...] | None = None
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
    masks = _masks(job, method, indices)
    parts = [_part(job, method, i, masks.get(i)) for i in indices]
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
        mixed = job.memory(target, job.dtype, "mixed")
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
        n_rows > _MAX_ROWS_IN_BLOCKS
        or any(span.n % _BLOCK_COLUMNS for span in job.spans)
        or torch.get_num_threads() > 1
    ):
        return False
    others = [values for i, values in enumerate(job.per_input) if i != job.base_index]
    if method.drops is None:
        return True
    if method.drops.startswith("drawn") and not kernel_masks.draws_as_bernoulli():
        return False
    return all(
        _covers_density(job, span, method.drops, values) for values in others for span in job.spans
    )


def _covers_density(job: Job, span: Span, drops: str, values: Mapping[str, Any]) -> bool:
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
    if len(span.shape) > 2 or not (density + epsilon < 1 and density - epsilon > 0):
        return False
    probabilities = kernel_masks.rank_probabilities(span.shape[-1], density, epsilon, job.dtype)
    return bool(((probabilities >= 0) & (probabilities <= 1)).all())


def _masks(job: Job, method: Method, indices: Sequence[int]) -> dict[int, Mask]:
    """What is kept of each model's difference, where something and not all of it is."""
    if method.drops is None:
        return {}
    values = {i: job.per_input[i] for i in indices if job.per_input[i]["density"] < 1}
    if method.drops == "largest":
        return {
            i: kernel_masks.largest(Difference(job, i), v["density"])
            for i, v in values.items() if v["density"] > 0
        }  # fmt: skip
    if method.drops == "middle":
        return {
            i: kernel_masks.middle(Difference(job, i), v["density"], v["gamma"])
            for i, v in values.items()
        }
    if method.drops == "drawn":
        return kernel_masks.drawn(job, {i: v["density"] for i, v in values.items()})
    chances = {i: (v["density"], v["epsilon"]) for i, v in values.items() if v["density"] > 0}
    return kernel_masks.drawn_by_rank(job, chances)


def _part(job: Job, method: Method, index: int, mask: Mask | None) -> _Part:
    """What a model contributes, given what is kept of it."""
    import torch

    values = job.per_input[index]
    source, weight = job.sources[index], torch.tensor([values["weight"]], dtype=job.dtype)
    if mask is None:
        return _Part(source, weight, empty=method.drops is not None and values["density"] < 1)
    scales = None
    if job.options["rescale"]:
        draws = str(method.drops).startswith("drawn")
        dtype = kernel_masks.work_type(job.dtype) if draws else job.dtype
        scales = _scales(Difference(job, index), mask, dtype)
    return _Part(source, weight, mask, scales)


def _scales(difference: Difference, mask: Mask, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """The factors (1,) that give what is kept the sum of magnitudes of the whole, span by span.

    The sum of so many rounded numbers depends on the order. So the magnitudes are written out in
    full, and torch sums them as it does for mergekit.
    """

    job = difference.job
    whole = job.whole(dtype)
    for start, piece in difference.pieces():
        whole[start : start + piece.numel()].copy_(piece.abs_())
    before = _sums(job, whole)
    for start, (piece,) in job.pieces([whole]):
        piece.mul_(mask.mask(start, piece, job.scratch.take("kept", piece.numel(), dtype)))
    after = _sums(job, whole)
    small = (before < _SMALL_SUM) | (after < _SMALL_SUM)
    return (before / after).masked_fill_(small, 1).unbind()


def _sums(job: Job, whole: torch.Tensor) -> torch.Tensor:
    """The sum of each span, (n_spans,)."""
    import torch

    return torch.stack([span.of(whole).view(span.shape).sum() for span in job.spans])


def _drop(job: Job, part: _Part, start: int, row: torch.Tensor) -> None:
    """Drops and rescales within a piece of a difference."""
    if part.empty:
        row.zero_()
    if part.mask is None:
        return
    if part.scales is None or part.scales[0].dtype == row.dtype:
        row.mul_(part.mask.mask(start, row, job.typed_buffer("kept", row)))
        _rescale(job, row, part.scales)
        return
    # mergekit draws and rescales float16 in float32.
    value = job.float_buffer("rescaled", row).copy_(row)
    value.mul_(part.mask.mask(start, row, job.float_buffer("kept", row)))
    _rescale(job, value, part.scales)
    row.copy_(value)


def _rescale(job: Job, row: torch.Tensor, scales: Sequence[torch.Tensor] | None) -> None:
    for piece, scale in zip(job.parts(row), scales or (), strict=scales is not None):
        piece.mul_(scale)


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
    """Sums what has the sign of the sum of all.

    Args:
        job: The merge.
        rows: The weighted differences, each (n,) float32.
        weights: The weight (1,) of each.
        mixed: Where the sum goes, over the weights that went in where the job normalises.
    """
    import torch

    # A sum from zero on is never minus zero, so that its sign says whether it is at least zero.
    majority = _sum(job, rows)
    torch.copysign(torch.ones(1), majority, out=majority)
    direct = mixed.dtype == torch.float32
    kept = (mixed if direct else job.float_buffer("kept", mixed)).zero_()
    divisor = job.float_buffer("divisor", mixed).zero_() if job.options["normalize"] else None
    agrees = job.float_buffer("agrees", mixed)
    for row, weight in zip(rows, weights, strict=True):
        torch.mul(row, majority, out=agrees).gt_(0)
        kept.addcmul_(row, agrees)
        if divisor is not None:
            divisor.addcmul_(agrees, weight.float())
    if not direct:
        mixed.copy_(kept)
    if divisor is not None:
        divisor.add_(torch.eq(divisor, 0, out=agrees))  # nothing agreed: divide by one
        mixed.div_(job.typed_buffer("divisor", mixed).copy_(divisor))
