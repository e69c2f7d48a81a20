"""Genomes, and the space of which they are points.

A *genome* gives a value to every active gene, quantised, so that the text of a candidate is the
model; inactive genes are neither written, mutated nor hashed.

Strategies see a genome as a flat tuple of scalars, one a coordinate, in a fixed order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from evomerge_compiler.errors import EvomergeError, RecipeError, did_you_mean
from evomerge_compiler.gene import (
    Coordinate,
    Gene,
    Levels,
    Path,
    gathered,
    initial_value,
    keys_of,
    levels_of,
    spread,
)
from evomerge_compiler.yamlio import Scalar

# Turns (message, path, hint) into an error with a place in the user's file.
MakeError = Callable[[str, Path, str | None], EvomergeError]


def plain_error(message: str, path: Path, hint: str | None) -> EvomergeError:
    """An error without a place, for genomes that come from no file."""
    where = ".".join(str(part) for part in path)
    return RecipeError(f"{where}: {message}" if where else message, hint=hint)


@dataclass(frozen=True)
class Genome:
    """One point of a genome space: the active free genes and their values, in recipe order."""

    values: Mapping[str, object]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))

    @cached_property
    def _hash(self) -> int:
        return hash(repr(sorted(self.plain().items(), key=lambda item: item[0])))

    def __hash__(self) -> int:
        return self._hash

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
    def coordinates(self) -> tuple[Coordinate, ...]:
        """Every scalar of every free gene, active or not, in order; length ``n_coordinates``."""
        return tuple(
            Coordinate(gene, (gene.name, *rest))
            for gene, levels in self._shapes
            for rest in itertools.product(*map(keys_of, levels))
        )

    @cached_property
    def _shapes(self) -> tuple[tuple[Gene, Levels], ...]:
        return tuple((gene, levels_of(gene, self.models, self.n_groups)) for gene in self.genes)

    # -- which genes count ------------------------------------------------------------------

    def active(self, values: Mapping[str, object]) -> frozenset[str]:
        """Names of the free and fixed genes that are active under ``values``.

        Args:
            values: Values of at least all genes that some ``when`` names; fixed ones excepted.
        """
        decided = repr([values.get(name) for name in self._deciding])
        if decided not in self._active:
            self._active[decided] = self._active_under({**values, **self.fixed})
        return self._active[decided]

    @cached_property
    def _deciding(self) -> tuple[str, ...]:
        names = {name: None for gene in self._known.values() for name in gene.when}
        return tuple(name for name in names if name not in self.fixed)

    @cached_property
    def _active(self) -> dict[str, frozenset[str]]:
        return {}

    def _active_under(self, values: Mapping[str, object]) -> frozenset[str]:
        known, found = self._known, dict[str, bool]()

        def holds(name: str) -> bool:
            if name not in found:
                found[name] = False  # a cycle of conditions is never active
                found[name] = all(
                    parent in known and holds(parent) and has(parent, allowed)
                    for parent, allowed in known[name].when.items()
                )
            return found[name]

        def has(name: str, allowed: Sequence[Scalar]) -> bool:
            value = values.get(name)
            return any(type(v) is type(value) and v == value for v in allowed)

        return frozenset(name for name in known if holds(name))

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
        """The genome as one scalar a coordinate, None where inactive; ``(n_coordinates,)``.

        Of a genome of another space, for example a crossing of models, all may be None.
        """
        values, flat = genome.values, list[Scalar]()
        for gene, levels in self._shapes:
            spread(values.get(gene.name), levels, flat)
        return tuple(flat)

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
        if len(flat) != len(self.coordinates):
            raise ValueError(f"{len(flat)} values for {len(self.coordinates)} coordinates")
        rest = iter(flat)
        return {gene.name: gathered(gene, levels, rest) for gene, levels in self._shapes}

    def active_coordinates(self, genome: Genome) -> tuple[int, ...]:
        """Indices into :attr:`coordinates` of those that the genome has."""
        return tuple(i for i, v in enumerate(self.flatten(genome)) if v is not None)

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
        levels = levels_of(gene, self.models, self.n_groups)

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
