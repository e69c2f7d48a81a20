"""Finds genes that change nothing: a misspelt parameter, a value that no branch prints.

A gene's effect is seen by changing it alone and rendering again. Which genes count may depend on
others (a donor weight means nothing on the first step of a path), so a coordinate is called dead
only when it changed nothing around any of several genomes in which it was active.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from evomerge_compiler.compiler import rendering
from evomerge_compiler.errors import CompileError, EvomergeError, Place
from evomerge_compiler.gene import Coordinate
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.recipe import Recipe

PROBES = 24
# A gene of more values than this is probed for each model, group and filter, not for each triple.
MANY = 48


def dead_genes(recipe: Recipe, layers: Mapping[str, int]) -> list[EvomergeError]:
    """An error for every gene, or single value of one, that never changes the compiled text.

    Args:
        recipe: An experiment, or a merge (whose genes are all fixed, so that there is nothing
            to find).
        layers: Alias to number of layers, of every model.
    """
    space = recipe.space
    unproven = dict(_probed(space))
    tried: set[int] = set()
    source = random.Random(0)
    for probe in range(PROBES):
        genome = recipe.genome if probe == 0 else rendering.sample(space, source)
        around = _printed(recipe, genome, layers)
        if around.content is None:
            continue
        active = set(space.active_coordinates(around.genome))
        for index in [i for i in unproven if i in active]:
            tried.add(index)
            if _changes(around, unproven[index]):
                del unproven[index]
        if not unproven:
            return []
    return _errors(recipe, {i: c for i, c in unproven.items() if i in tried})


def _probed(space: GenomeSpace) -> Iterator[tuple[int, Coordinate]]:
    """The coordinates that are probed, with their indices."""
    by_gene: dict[str, list[tuple[int, Coordinate]]] = {}
    for index, coordinate in enumerate(space.coordinates):
        by_gene.setdefault(coordinate.gene.name, []).append((index, coordinate))
    for found in by_gene.values():
        seen: set[object] = set()
        for index, coordinate in found:
            steps = set(enumerate(coordinate.path[1:]))
            if len(found) <= MANY or steps - seen:
                seen |= steps
                yield index, coordinate


def _changes(around: _Printed, coordinate: Coordinate) -> bool:
    """Whether another value of a coordinate prints another text, or is refused."""
    variants = rendering.variants(around.recipe.space, around.genome, coordinate)
    return any(_printed(around.recipe, genome, around.layers) != around for genome in variants)


@dataclass(frozen=True)
class _Printed:
    """What a genome prints; comments do not count."""

    recipe: Recipe = field(compare=False)
    genome: Genome = field(compare=False)
    layers: Mapping[str, int] = field(compare=False)
    content: object


def _printed(recipe: Recipe, genome: Genome, layers: Mapping[str, int]) -> _Printed:
    try:
        content: object = rendering.render_text(recipe, genome, layers)
        if "#" in str(content):
            content = rendering.render(recipe, genome, layers).documents
    except EvomergeError:
        # A layout that refuses a value reads it.
        content = None
    return _Printed(recipe, genome, layers, content)


def _errors(recipe: Recipe, dead: dict[int, Coordinate]) -> list[EvomergeError]:
    """One error a gene, naming its dead values when others of it are alive."""
    out: list[EvomergeError] = []
    for gene in dict.fromkeys(c.gene.name for c in dead.values()):
        mine = [c for c in dead.values() if c.gene.name == gene]
        whole = len(mine) == sum(c.gene.name == gene for _, c in _probed(recipe.space))
        what = f"gene {gene!r}" if whole else ", ".join(c.label for c in mine)
        verb = "changes" if whole or len(mine) == 1 else "change"
        declared = rendering.gene_place(recipe, (gene,))
        out.append(
            CompileError(
                f"{what} {verb} nothing in the compiled merge",
                hint=f"see whether template {recipe.template.name!r} reads it, or leave it out",
                place=declared or Place(str(recipe.template.path), 1, 1),
            )
        )
    return out
