"""Genes as numbers in [0, 1], for algorithms and landscapes that know no ranges or words.

There are two ways to do so. A *unit* is where a number lies between its bounds (on a logarithmic
scale for a log gene). A *quantile* shares [0, 1] out evenly among all values, so that points
spread evenly over [0, 1] are values spread evenly over the gene; choices have only this one.
"""

from __future__ import annotations

import math

from evomerge_compiler.gene import Gene
from evomerge_compiler.yamlio import Scalar


def to_unit(gene: Gene, value: Scalar) -> float:
    """Where a number lies between the bounds of its gene; a choice is its place in the list."""
    if gene.kind == "choice":
        return (index_of(gene, value) + 0.5) / len(gene.choices)
    low, high = _bounds(gene)
    at = float(value)  # type: ignore[arg-type]
    return ((math.log(at) if gene.log else at) - low) / (high - low)


def from_unit(gene: Gene, unit: float) -> Scalar:
    """The value at a unit, clipped to the gene's bounds; :meth:`Gene.quantise` rounds it."""
    unit = min(max(float(unit), 0.0), 1.0)
    if gene.kind == "choice":
        return from_quantile(gene, unit)
    low, high = _bounds(gene)
    at = low + unit * (high - low)
    return math.exp(at) if gene.log else at


def from_quantile(gene: Gene, share: float) -> Scalar:
    """The value below which ``share`` of the gene's uniform distribution lies."""
    if gene.kind == "float" or gene.log:
        return from_unit(gene, share)
    n = len(gene.choices) if gene.kind == "choice" else int(gene.high) - int(gene.low) + 1
    index = min(int(share * n), n - 1)
    return gene.choices[index] if gene.kind == "choice" else int(gene.low) + index


def index_of(gene: Gene, value: Scalar) -> int:
    """A choice's place in the list. ``1``, ``1.0`` and ``true`` are different choices."""
    kinds = [(type(choice), choice) for choice in gene.choices]
    return kinds.index((type(value), value))


def _bounds(gene: Gene) -> tuple[float, float]:
    if gene.log:
        return math.log(gene.low), math.log(gene.high)
    return float(gene.low), float(gene.high)
