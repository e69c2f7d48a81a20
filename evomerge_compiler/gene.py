"""Genes: named, tunable values, and the scalars they are made of.

A *gene* is one named, tunable value. With ``per`` it holds one value for each model, layer group
or both, and with ``filters`` one for each group of tensors; each such number is a *coordinate*.
A gene with ``when`` is active only while the genes it names hold the values it names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from evomerge_compiler.yamlio import Scalar

Kind = Literal["float", "int", "choice"]
Per = Literal["model", "layer_group", "model_x_layer_group", "depth", "model_x_depth"]
BY_MODEL = ("model", "model_x_layer_group", "model_x_depth")
BY_GROUP = ("layer_group", "model_x_layer_group")
BY_DEPTH = ("depth", "model_x_depth")
Path = tuple[str | int, ...]
Levels = tuple[int | tuple[str, ...], ...]

OTHER_TENSORS = "other"
DECIMALS = 4


@dataclass(frozen=True)
class Gene:
    """One named, tunable value.

    Attributes:
        name: Its key in the genome.
        kind: ``float``, ``int`` or ``choice``.
        low: Smallest value (float and int).
        high: Largest value (float and int).
        choices: Allowed values in order (choice).
        per: What it has one value for, or None for a single value.
        anchors: Values from the first layer to the last, between which a gene ``per`` depth is
            a straight line; 0 for any other gene.
        filters: Tensor-name parts that get a value of their own; all others share ``other``.
        init: First value: a scalar, or one shaped like the gene (a list cycles over groups).
        log: Whether it is sampled and mutated on a logarithmic scale.
        when: Gene name to the values under which this gene is active.
        help: One sentence for people.
    """

    name: str
    kind: Kind
    low: float = 0.0
    high: float = 1.0
    choices: tuple[Scalar, ...] = ()
    per: Per | None = None
    filters: tuple[str, ...] = ()
    init: object = None
    log: bool = False
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    help: str = ""
    anchors: int = 0

    def quantise(self, value: Scalar) -> Scalar:
        """The value as it is written: clipped to the range, floats to 4 decimals.

        A logarithmic gene keeps 4 significant digits instead.
        """
        if self.kind == "choice" or isinstance(value, (str, bool)) or value is None:
            return value
        clipped = min(max(float(value), self.low), self.high)
        if self.kind == "int":
            return round(clipped)
        rounded = float(f"{clipped:.{DECIMALS}g}") if self.log else round(clipped, DECIMALS)
        # Rounding may step over a bound that is finer than the grid.
        return min(max(rounded, self.low), self.high) + 0.0

    def problem(self, value: object) -> str | None:
        """Why ``value`` is not a value of this gene, or None if it is one."""
        if self.kind == "choice":
            same = [c for c in self.choices if type(c) is type(value) and c == value]
            return None if same else f"expected one of {list(self.choices)}, got {value!r}"
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return f"expected a number from {self.low:g} to {self.high:g}, got {value!r}"
        if self.kind == "int" and not isinstance(value, int):
            return f"expected a whole number, got {value!r}"
        if not math.isfinite(value) or not self.low <= value <= self.high:
            return f"expected a number from {self.low:g} to {self.high:g}, got {value!r}"
        return None

    def remedy(self) -> str:
        """What to do about a value that is none of this gene's."""
        known = ", ".join(map(str, self.choices))
        inside = f"write {known}" if self.kind == "choice" else "choose a value inside the range"
        return f"{inside}, or give gene {self.name!r} another range in the recipe"

    def default(self) -> Scalar:
        """The value of a coordinate that ``init`` says nothing about."""
        if self.kind == "choice":
            return self.choices[0]
        if self.log:
            return self.quantise(math.sqrt(self.low * self.high))
        return self.quantise((self.low + self.high) / 2)


@dataclass(frozen=True)
class Coordinate:
    """One scalar of a genome.

    Attributes:
        gene: The gene it belongs to.
        path: Keys and indices from the genome's root to the scalar, for example
            ``("weight", "coder", 2, "self_attn")``.
    """

    gene: Gene
    path: Path

    @property
    def label(self) -> str:
        """The path as one word: ``weight.coder.2.self_attn``."""
        return ".".join(str(part) for part in self.path)


# -- shapes -------------------------------------------------------------------------------------


def levels_of(gene: Gene, models: tuple[str, ...], n_groups: int) -> Levels:
    """The shape of a gene, outermost first: key tuples for mappings, a length for lists."""
    levels: list[int | tuple[str, ...]] = []
    if gene.per in BY_MODEL:
        levels.append(models)
    if gene.per in BY_GROUP:
        levels.append(n_groups)
    if gene.filters:
        levels.append((*gene.filters, OTHER_TENSORS))
    # Innermost, as mergekit has it: each filter has a gradient of its own.
    if gene.per in BY_DEPTH:
        levels.append(gene.anchors)
    return tuple(levels)


def initial_value(coordinate: Coordinate) -> Scalar:
    """The first value of one coordinate, from the gene's ``init``.

    What ``init`` leaves out is the same for all: a list of values for layer groups is that of
    every model, a value for each filter that of every group.
    """
    part, filters = coordinate.gene.init, (*coordinate.gene.filters, OTHER_TENSORS)
    for step in coordinate.path[1:]:
        if isinstance(step, int) and isinstance(part, (list, tuple)):
            part = part[step % len(part)]
        elif isinstance(part, Mapping) and (step in part or not any(f in part for f in filters)):
            part = part.get(str(step))
    if part is None or isinstance(part, (Mapping, list, tuple)):
        return coordinate.gene.default()
    return coordinate.gene.quantise(part)  # type: ignore[arg-type]


def keys_of(level: int | tuple[str, ...]) -> Sequence[str | int]:
    """The steps of one level."""
    return range(level) if isinstance(level, int) else level


def spread(part: object, levels: Levels, flat: list[Scalar]) -> None:
    """Appends the scalars of a gene's value to ``flat``, in order; None for each without one."""
    if not levels:
        flat.append(part)  # type: ignore[arg-type]
        return
    for key in keys_of(levels[0]):
        if isinstance(part, Mapping):
            spread(part.get(key), levels[1:], flat)
        else:
            inside = part[key] if isinstance(part, list) and isinstance(key, int) else None
            spread(inside, levels[1:], flat)


def gathered(gene: Gene, levels: Levels, rest: Iterator[Scalar]) -> object:
    """The value of a gene that the next scalars of ``rest`` make, quantised."""
    if not levels:
        return gene.quantise(next(rest))
    if isinstance(levels[0], int):
        return [gathered(gene, levels[1:], rest) for _ in range(levels[0])]
    return {key: gathered(gene, levels[1:], rest) for key in levels[0]}
