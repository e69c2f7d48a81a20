"""Genes, the space they span, and genomes: points of that space.

A *gene* is one named, tunable value. With ``per`` it holds one value for each model, layer group
or both, and with ``filters`` one for each group of tensors; each such number is a *coordinate*.
A *genome* gives a value to every active gene, quantised, so that the text of a candidate is the
model. A gene with ``when`` is active only while the genes it names hold the values it names;
inactive genes are neither written, mutated nor hashed.

Strategies see a genome as a flat tuple of scalars, one a coordinate, in a fixed order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from evomerge_compiler.errors import EvomergeError, RecipeError, did_you_mean
from evomerge_compiler.yamlio import Scalar

Kind = Literal["float", "int", "choice"]
Per = Literal["model", "layer_group", "model_x_layer_group", "depth", "model_x_depth"]
BY_MODEL = ("model", "model_x_layer_group", "model_x_depth")
BY_GROUP = ("layer_group", "model_x_layer_group")
BY_DEPTH = ("depth", "model_x_depth")
Path = tuple[str | int, ...]
# Turns (message, path, hint) into an error with a place in the user's file.
MakeError = Callable[[str, Path, str | None], EvomergeError]

OTHER_TENSORS = "other"
DECIMALS = 4


def plain_error(message: str, path: Path, hint: str | None) -> EvomergeError:
    """An error without a place, for genomes that come from no file."""
    where = ".".join(str(part) for part in path)
    return RecipeError(f"{where}: {message}" if where else message, hint=hint)


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


@dataclass(frozen=True)
class Genome:
    """One point of a genome space: the active free genes and their values, in recipe order."""

    values: Mapping[str, object]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))

    def __hash__(self) -> int:
        return hash(repr(sorted(self.plain().items(), key=lambda item: item[0])))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Genome) and self.plain() == other.plain()

    def __reduce__(self) -> tuple[object, ...]:
        return (Genome, (dict(self.values),))

    def plain(self) -> dict[str, object]:
        """The genome as plain dicts, lists and scalars."""
        return dict(self.values)


@dataclass(frozen=True)
class GenomeSpace:
    """All genomes of a recipe.

    Attributes:
        genes: The free genes, in recipe order.
        fixed: Genes that the recipe or template holds at one value, by name.
        fixed_genes: The declarations of the fixed genes, by name.
        models: Aliases that ``per: model`` ranges over, in recipe order.
        n_groups: Number of layer groups that ``per: layer_group`` ranges over.
    """

    genes: tuple[Gene, ...]
    fixed: Mapping[str, object]
    fixed_genes: Mapping[str, Gene]
    models: tuple[str, ...]
    n_groups: int

    @cached_property
    def by_name(self) -> dict[str, Gene]:
        """The free genes by name."""
        return {gene.name: gene for gene in self.genes}

    @cached_property
    def _known(self) -> dict[str, Gene]:
        return {**self.fixed_genes, **self.by_name}

    @cached_property
    def _always(self) -> frozenset[str]:
        return frozenset(name for name, gene in self._known.items() if not gene.when)

    @cached_property
    def coordinates(self) -> tuple[Coordinate, ...]:
        """Every scalar of every free gene, active or not, in order; length ``n_coordinates``."""
        return tuple(Coordinate(gene, path) for gene in self.genes for path in self._paths(gene))

    def _paths(self, gene: Gene) -> Iterator[Path]:
        keys: list[Sequence[str | int]] = [
            range(level) if isinstance(level, int) else level
            for level in _levels(gene, self.models, self.n_groups)
        ]
        for rest in itertools.product(*keys):
            yield (gene.name, *rest)

    # -- which genes count ------------------------------------------------------------------

    def active(self, values: Mapping[str, object]) -> set[str]:
        """Names of the free and fixed genes that are active under ``values``.

        Args:
            values: Values of at least all genes that some ``when`` names; fixed ones excepted.
        """
        known = self._known
        found = dict.fromkeys(self._always, True)

        def holds(name: str) -> bool:
            if name not in found:
                found[name] = False  # a cycle of conditions is never active
                found[name] = all(
                    parent in known and holds(parent) and has(parent, allowed)
                    for parent, allowed in known[name].when.items()
                )
            return found[name]

        def has(name: str, allowed: Sequence[Scalar]) -> bool:
            value = self.fixed[name] if name in self.fixed else values.get(name)
            return any(type(v) is type(value) and v == value for v in allowed)

        return {name for name in known if name in self._always or holds(name)}

    # -- flat and nested --------------------------------------------------------------------

    def initial(self) -> Genome:
        """The genome of all initial values."""
        return self.from_flat(self.initial_values)

    @cached_property
    def initial_values(self) -> tuple[Scalar, ...]:
        """The first value of every coordinate, active or not; ``(n_coordinates,)``."""
        return tuple(initial_value(c) for c in self.coordinates)

    def complete(self, genome: Genome) -> tuple[Scalar, ...]:
        """The genome as one scalar a coordinate, inactive ones at their initial values."""
        both = zip(self.initial_values, self.flatten(genome), strict=True)
        return tuple(first if value is None else value for first, value in both)

    def flatten(self, genome: Genome) -> tuple[Scalar, ...]:
        """The genome as one scalar a coordinate, None where inactive; ``(n_coordinates,)``."""
        return tuple(_dig(genome.values, c.path) for c in self.coordinates)

    def from_flat(self, flat: Sequence[Scalar]) -> Genome:
        """The genome of a value for every coordinate: quantised, inactive genes dropped.

        Args:
            flat: ``(n_coordinates,)`` values in the order of :attr:`coordinates`.

        Raises:
            ValueError: There are too few or too many values.
        """
        nested = self.nested(flat)
        active = self.active(nested)
        return Genome({name: value for name, value in nested.items() if name in active})

    def nested(self, flat: Sequence[Scalar]) -> dict[str, object]:
        """The values of :meth:`from_flat` by gene, those of inactive genes among them."""
        planted: dict[str, object] = {}
        for coordinate, value in zip(self.coordinates, flat, strict=True):
            _plant(planted, coordinate.path, coordinate.gene.quantise(value))
        return {name: _listed(value) for name, value in planted.items()}

    def active_coordinates(self, genome: Genome) -> tuple[int, ...]:
        """Indices into :attr:`coordinates` of those that the genome has."""
        return tuple(i for i, c in enumerate(self.coordinates) if c.path[0] in genome.values)

    def values(self, genome: Genome) -> dict[str, object]:
        """All active genes, free and fixed, with values of their full shape.

        This is what a template sees.
        """
        merged = {**self.fixed, **genome.values}
        active = self.active(merged)
        order = [*self.fixed_genes, *(gene.name for gene in self.genes)]
        return {name: merged[name] for name in order if name in active and name in merged}

    # -- reading ----------------------------------------------------------------------------

    def parse(
        self, data: object, error: MakeError = plain_error, at: Path = ()
    ) -> tuple[Genome, list[EvomergeError]]:
        """Reads a genome that a person or a run wrote.

        Args:
            data: Gene name to value; shorthand (a scalar for a whole per-gene, a list that
                cycles) is allowed.
            error: Makes an error with a place.
            at: Path of the genome in its file.

        Returns:
            The genome and all problems found; the genome is only good when there are none.
        """
        problems: list[EvomergeError] = []
        if not isinstance(data, Mapping):
            return self.initial(), [error("expected a mapping of gene names to values", at, None)]
        values: dict[str, object] = {}
        for name, value in data.items():
            gene = self.by_name.get(name)
            if gene is None:
                problems.append(error(*self._unknown(name, at)))
                continue
            shaped, wrong = self.shape(gene, value, error, (*at, name))
            problems += wrong
            values[name] = shaped
        if problems:
            return self.initial(), problems
        active = self.active(values)
        for name in values:
            if name not in active:
                message = f"gene {name!r} is not active here, so its value would do nothing"
                problems.append(error(message, (*at, name), self.condition(name)))
        for gene in self.genes:
            if gene.name in active and gene.name not in values:
                problems.append(error(f"gene {gene.name!r} has no value", at, gene.help or None))
        ordered = {g.name: values[g.name] for g in self.genes if g.name in values}
        return Genome(ordered), problems

    def _unknown(self, name: str, at: Path) -> tuple[str, Path, str]:
        if name in self.fixed_genes:
            return (
                f"gene {name!r} is held at {self.fixed[name]!r} by the recipe",
                (*at, name),
                "free it in the recipe's genome, or leave it out here",
            )
        return f"unknown gene {name!r}", (*at, name), did_you_mean(name, self.by_name)

    def condition(self, name: str) -> str:
        """When a gene counts, in words."""
        gene = {**self.fixed_genes, **self.by_name}[name]
        rules = [f"{k} is {' or '.join(map(str, v))}" for k, v in gene.when.items()]
        return f"it counts only when {' and '.join(rules)}"

    def shape(
        self, gene: Gene, value: object, error: MakeError, at: Path
    ) -> tuple[object, list[EvomergeError]]:
        """A value brought to the gene's full shape, each scalar checked and quantised."""
        problems: list[EvomergeError] = []
        levels = _levels(gene, self.models, self.n_groups)

        def descend(part: object, depth: int, path: Path) -> object:
            if depth == len(levels):
                wrong = gene.problem(part)
                if wrong:
                    problems.append(error(wrong, path, gene.remedy()))
                    return gene.default()
                return gene.quantise(part)  # type: ignore[arg-type]
            keys = levels[depth]
            if isinstance(keys, int):
                if isinstance(part, list):
                    if not part or len(part) > keys or (gene.anchors and len(part) < keys):
                        wanted = f"{keys} anchors" if gene.anchors else f"at most {keys} values"
                        message = f"expected {wanted}{', one a layer group' * (not gene.anchors)}"
                        problems.append(error(f"{message}, got {len(part)}", path, None))
                        return [gene.default()] * keys
                    n = len(part)
                    return [descend(part[i % n], depth + 1, (*path, i % n)) for i in range(keys)]
                return [descend(part, depth + 1, path) for _ in range(keys)]
            if isinstance(part, Mapping):
                return keyed(part, keys, depth, path)
            return {key: descend(part, depth + 1, path) for key in keys}

        def keyed(
            part: Mapping[str, object], keys: tuple[str, ...], depth: int, path: Path
        ) -> object:
            for key in part:
                if key not in keys:
                    message = f"expected one of {list(keys)}, got {key!r}"
                    problems.append(error(message, (*path, key), did_you_mean(key, keys)))
            missing = [key for key in keys if key not in part]
            if missing:
                problems.append(error(f"no value for {', '.join(missing)}", path, None))
            return {
                key: descend(part.get(key, gene.default()), depth + 1, (*path, key))
                for key in keys
            }

        shaped = descend(value, 0, at)
        # Shorthand fans out over many coordinates; its mistake is one mistake.
        return shaped, list({problem.render(): problem for problem in problems}.values())


def _levels(gene: Gene, models: tuple[str, ...], n_groups: int) -> list[int | tuple[str, ...]]:
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
    return levels


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


def _dig(values: Mapping[str, object], path: Path) -> Scalar:
    part: object = values.get(str(path[0]))
    for step in path[1:]:
        if part is None:
            return None
        if isinstance(part, (dict, Mapping)):  # the first is the usual one, and quick
            part = part.get(str(step))
        elif isinstance(part, (list, tuple)) and isinstance(step, int):
            part = part[step]
    return part  # type: ignore[return-value]


def _plant(nested: dict[str, object], path: Path, value: Scalar) -> None:
    """Sets a scalar in nested dicts; integer steps become keys until :func:`_listed`."""
    part = nested
    for step in path[:-1]:
        part = part.setdefault(step, {})  # type: ignore[assignment,arg-type]
    part[path[-1]] = value  # type: ignore[index]


def _listed(part: object) -> object:
    """Nested dicts with the integer-keyed ones turned into lists."""
    if not isinstance(part, dict):
        return part
    if part and all(isinstance(key, int) for key in part):
        return [_listed(part[i]) for i in range(len(part))]
    return {key: _listed(value) for key, value in part.items()}
