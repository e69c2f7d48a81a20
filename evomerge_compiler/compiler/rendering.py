"""From a recipe and a genome to plain documents, and back to the line that wrote each part.

Rendering and parsing are quick. Only when something is wrong is the template rendered a second
time with marks in it, which tell from which template line each rendered line came, and a few
times more with one gene changed, which tells whose value a part of the text is.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evomerge_compiler import yamlio
from evomerge_compiler.compiler import emission, layouts
from evomerge_compiler.errors import (
    CompileError,
    ErrorList,
    EvomergeError,
    Place,
    TemplateError,
)
from evomerge_compiler.gene import BY_DEPTH, BY_GROUP, Coordinate, Gene, Path
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.gradients import gradients
from evomerge_compiler.recipe import DEFAULT_LAYER_GROUPS, Recipe
from evomerge_compiler.yamlio import Scalar

SOURCES = "models/src/"
_SEPARATOR = re.compile(r"---[ \t]*\Z")
# Plain words that YAML 1.1, which mergekit reads, and YAML 1.2 understand differently, and
# numbers that only one of them takes for numbers.
_DOUBTFUL = re.compile(
    r"(?:^|[\s:,\[{-])(?:y|n|yes|no|on|off|~|[-+]?[0-9][0-9_.]*e[-+]?[0-9]+|0[0-9]+|0o[0-7]+"
    r"|[-+]?[0-9]+(?::[0-9]+)+|[0-9]+_[0-9_]+|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}\S*)(?=$|[\s,\]}])",
    re.IGNORECASE | re.MULTILINE,
)
_TRICKERY = re.compile(r"(?:^|[\s,\[{:-])[&*!]", re.MULTILINE)


@dataclass(frozen=True)
class ModelView:
    """A model as a template sees it.

    Attributes:
        alias: Its name in the recipe.
        ref: Its reference in compiled text.
        weight: The recipe's first value for its weight genes, if any.
        n_layers: Its number of layers.
    """

    alias: str
    ref: str
    weight: float | None
    n_layers: int


@dataclass(frozen=True)
class Rendered:
    """One genome rendered through its recipe's template.

    Attributes:
        recipe: The recipe.
        genome: The genome.
        layers: Alias to number of layers.
        text: What the template printed.
        documents: The text as plain data, one mapping a document.
    """

    recipe: Recipe
    genome: Genome
    layers: Mapping[str, int] = field(repr=False)
    text: str = field(repr=False)
    documents: tuple[Mapping[str, Any], ...] = field(repr=False)


def render(recipe: Recipe, genome: Genome, layers: Mapping[str, int]) -> Rendered:
    """Renders and parses, strictly.

    Args:
        recipe: The recipe.
        genome: A genome of its space.
        layers: Alias to number of layers, of every model.

    Raises:
        TemplateError: The template fails, or prints what is not strict YAML.
        CompileError: A layout refuses a gene's value.
    """
    text = render_text(recipe, genome, layers)
    documents: list[Mapping[str, Any]] = []
    for start, chunk in split(text):
        data = _quick(chunk)
        if data is None:
            data = _strict(recipe, genome, layers, start, chunk)
        documents.append(data)
    return Rendered(recipe, genome, layers, text, tuple(documents))


def render_text(recipe: Recipe, genome: Genome, layers: Mapping[str, int]) -> str:
    """What the template prints, before it is parsed."""
    return recipe.template.render(context(recipe, recipe.space.values(genome), layers))


def context(
    recipe: Recipe, values: Mapping[str, object], layers: Mapping[str, int]
) -> dict[str, object]:
    """What a template body sees.

    Raises:
        CompileError: There are more layer groups than layers.
    """
    views = {
        alias: ModelView(alias, SOURCES + alias, spec.weight, layers[alias])
        for alias, spec in recipe.all_models.items()
    }
    base = views[recipe.base]
    return {
        "g": _seen(recipe.space, values),
        "models": [views[alias] for alias in recipe.models],
        "base": base,
        "n_layers": base.n_layers,
        "groups": _groups(recipe, base.n_layers),
        "dtype": recipe.dtype,
        "out_dtype": recipe.out_dtype,
        "layout": layouts.namespace(**emission.FUNCTIONS),
    }


def _seen(space: GenomeSpace, values: Mapping[str, object]) -> dict[str, object]:
    """The values as a template sees them: those over depth are no plain lists."""
    genes = {**space.fixed_genes, **space.by_name}
    return {
        name: gradients(value) if genes[name].per in BY_DEPTH else value
        for name, value in values.items()
    }


def _groups(recipe: Recipe, n_layers: int) -> list[list[int]]:
    n_groups = recipe.n_groups
    genes = (*recipe.space.genes, *recipe.space.fixed_genes.values())
    grouped = any(gene.per in BY_GROUP for gene in genes)
    if n_groups == DEFAULT_LAYER_GROUPS and not grouped:
        # Nobody asked for groups: a model of fewer layers is no mistake.
        n_groups = min(n_groups, n_layers)
    try:
        return layouts.layer_groups(n_layers, n_groups)
    except CompileError as error:
        error.place = recipe.document.place(("layer_groups",))
        raise


def split(text: str) -> list[tuple[int, str]]:
    """The documents of a text, each with the number of lines before it."""
    out: list[tuple[int, str]] = []
    start, lines = 0, text.splitlines()
    for number, line in enumerate([*lines, "---"]):
        if _SEPARATOR.match(line):
            chunk = "\n".join(lines[start:number])
            if chunk.strip() or not out:
                out.append((start, chunk))
            start = number + 1
    return out


def _quick(chunk: str) -> dict[str, Any] | None:
    """The data of a document that every YAML reader reads alike, None for any other.

    PyYAML's C reader is 20 times faster than the strict one. It takes duplicate keys, so those
    are looked for in its node tree.
    """
    import yaml

    if _DOUBTFUL.search(chunk) or _TRICKERY.search(chunk):
        return None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        node = yaml.compose(chunk, Loader=loader)
        if node is None or _has_duplicates(node):
            return None
        data = yaml.load(chunk, Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and _plain_keys(data) else None


def _has_duplicates(node: Any) -> bool:
    import yaml

    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) != len(node.value):
            return True
        return any(_has_duplicates(value) for _, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        return any(_has_duplicates(value) for value in node.value)
    return False


def _plain_keys(data: object) -> bool:
    if isinstance(data, dict):
        return all(isinstance(key, str) and _plain_keys(value) for key, value in data.items())
    if isinstance(data, list):
        return all(_plain_keys(value) for value in data)
    return data is None or isinstance(data, (str, int, float, bool))


def _strict(
    recipe: Recipe, genome: Genome, layers: Mapping[str, int], start: int, chunk: str
) -> dict[str, Any]:
    try:
        data = yamlio.parse(chunk, file=str(recipe.template.path), line_offset=start).data
    except EvomergeError as error:
        line = error.place.line if error.place else start + 1
        place = line_places(recipe, genome, layers).get(line, error.place)
        message = f"template {recipe.template.name!r} prints what is {error.message}"
        if not error.message.startswith("not "):
            message = f"template {recipe.template.name!r} prints no strict YAML: {error.message}"
        raise TemplateError(message, hint=error.hint, place=place) from None
    if isinstance(data, dict):
        return data
    place = line_places(recipe, genome, layers).get(start + 1)
    what = "nothing" if data is None else type(data).__name__
    raise TemplateError(
        f"template {recipe.template.name!r}: expected a mapping of mergekit keys, got {what}",
        hint="each document between '---' lines is one mergekit configuration",
        place=place or Place(str(recipe.template.path), recipe.template.body_line, 1),
    )


# --------------------------------------------------------------------------------------
# Places


def line_places(recipe: Recipe, genome: Genome, layers: Mapping[str, int]) -> dict[int, Place]:
    """Rendered line (1-based) to the template line that printed it."""
    try:
        values = context(recipe, recipe.space.values(genome), layers)
        return recipe.template.line_places(values)
    except EvomergeError:
        # Marked text may take another way through a template than plain text does.
        return {}


def place_of(rendered: Rendered, document: int, path: Sequence[str | int]) -> Place:
    """The template line that printed the part of a document at ``path``."""
    template = rendered.recipe.template
    start, chunk = split(rendered.text)[document]
    whole = yamlio.parse(chunk, file=str(template.path), line_offset=start)
    line = whole.place(tuple(path), key=bool(path)).line
    places = line_places(rendered.recipe, rendered.genome, rendered.layers)
    return places.get(line) or Place(str(template.path), template.body_line, 1)


# --------------------------------------------------------------------------------------
# Genes


def variants(space: GenomeSpace, genome: Genome, coordinate: Coordinate) -> Iterator[Genome]:
    """Genomes that differ from ``genome`` in one coordinate (and in what depends on it)."""
    flat = list(space.complete(genome))
    index = space.coordinates.index(coordinate)
    for value in _other_values(coordinate.gene, flat[index]):
        changed = [*flat[:index], value, *flat[index + 1 :]]
        yield space.from_flat(changed)


def _other_values(gene: Gene, value: Scalar) -> list[Scalar]:
    """Up to three values of a gene that differ from ``value``."""
    if gene.kind == "choice":
        rest = [c for c in gene.choices if type(c) is not type(value) or c != value]
        return rest[:3]
    span = gene.high - gene.low
    found: list[Scalar] = []
    for share in (0.371, 0.739, 0.117, 0.913, 0.0, 1.0):
        other = gene.quantise(gene.low + share * span)
        if other != value and other not in found:
            found.append(other)
    return found[:3]


def sample(space: GenomeSpace, source: random.Random) -> Genome:
    """A genome with every coordinate drawn alike over its range."""
    flat: list[Scalar] = []
    for coordinate in space.coordinates:
        gene = coordinate.gene
        if gene.kind == "choice":
            flat.append(source.choice(gene.choices))
        else:
            flat.append(gene.quantise(source.uniform(gene.low, gene.high)))
    return space.from_flat(flat)


def causes(rendered: Rendered, document: int, path: Sequence[str | int]) -> list[Path]:
    """Paths in the genome of the values that decide the part of a document at ``path``."""
    before = _dig(rendered.documents, document, path)
    found: list[Path] = []
    for at, other in _changed_recipes(rendered):
        try:
            again = render(other, other.genome, rendered.layers)
        except (EvomergeError, ErrorList):
            continue
        if _dig(again.documents, document, path) != before and at not in found:
            found.append(at)
    return found


def _changed_recipes(rendered: Rendered) -> Iterator[tuple[Path, Recipe]]:
    """The recipe with one scalar of one gene changed, for every active free or fixed gene."""
    from dataclasses import replace

    recipe, space = rendered.recipe, rendered.recipe.space
    flat = space.flatten(rendered.genome)
    for coordinate, value in zip(space.coordinates, flat, strict=True):
        if value is None:
            continue
        for genome in variants(space, rendered.genome, coordinate):
            yield coordinate.path, replace(recipe, genome=genome)
    active = space.values(rendered.genome)
    for name, gene in space.fixed_genes.items():
        if name not in active:
            continue
        only = GenomeSpace((replace(gene, when={}),), {}, {}, space.models, space.n_groups)
        held = Genome({name: space.fixed[name]})
        for coordinate in only.coordinates:
            for genome in variants(only, held, coordinate):
                fixed = {**space.fixed, **genome.values}
                changed = replace(space, fixed=fixed)
                yield (
                    coordinate.path,
                    replace(recipe, space=changed, genome=_kept(changed, rendered.genome)),
                )


def _kept(space: GenomeSpace, genome: Genome) -> Genome:
    """The genome in a space whose fixed genes differ, its conditions applied anew."""
    return space.from_flat(space.complete(genome))


def _dig(documents: Sequence[Any], document: int, path: Sequence[str | int]) -> object:
    part: Any = documents[document] if document < len(documents) else None
    for step in path:
        if isinstance(part, dict):
            part = part.get(step)
        elif isinstance(part, list) and isinstance(step, int) and step < len(part):
            part = part[step]
        else:
            return None
    return part


def gene_place(recipe: Recipe, path: Path) -> Place | None:
    """Where a person wrote a gene's value, None when the template's own default holds."""
    data = recipe.document.data
    genome = data.get("genome") if isinstance(data, dict) else None
    name = path[0]
    if not isinstance(genome, dict) or name not in genome:
        return None
    rest = path[1:]
    value = genome[name]
    if isinstance(value, dict) and any(key in value for key in ("float", "int", "choice")):
        held = "value" if "value" in value else "init"
        return recipe.document.place(("genome", name, held, *rest))
    return recipe.document.place(("genome", name, *rest))
