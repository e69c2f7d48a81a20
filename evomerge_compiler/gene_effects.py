"""Finds genes that change nothing: a misspelt parameter, a value that no branch prints.

A gene's effect is seen by changing it alone and rendering again. Which genes count may depend on
others (a donor weight means nothing on the first step of a path), so a coordinate is called dead
only when it changed nothing around any of several genomes in which it was active.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from evomerge_compiler import rendering
from evomerge_compiler.errors import CompileError, EvomergeError, Place
from evomerge_compiler.genome import Coordinate, Genome
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.rendering import Rendered

PROBES = 24


def dead_genes(recipe: Recipe, layers: Mapping[str, int]) -> list[EvomergeError]:
    """An error for every gene, or single value of one, that never changes the compiled text.

    Args:
        recipe: An experiment, or a merge (whose genes are all fixed, so that there is nothing
            to find).
        layers: Alias to number of layers, of every model.

    Raises:
        EvomergeError: The recipe's own genome does not render.
    """
    space = recipe.space
    unproven = dict(enumerate(space.coordinates))
    tried: set[int] = set()
    source = random.Random(0)
    for probe in range(PROBES):
        genome = recipe.genome if probe == 0 else rendering.sample(space, source)
        try:
            around = rendering.render(recipe, genome, layers)
        except EvomergeError:
            if probe == 0:
                raise
            continue
        active = set(space.active_coordinates(around.genome))
        for index in [i for i in unproven if i in active]:
            tried.add(index)
            if _changes(around, unproven[index]):
                del unproven[index]
        if not unproven:
            return []
    return _errors(recipe, {i: c for i, c in unproven.items() if i in tried})


def _changes(around: Rendered, coordinate: Coordinate) -> bool:
    """Whether another value of a coordinate gives other documents, or is refused."""
    space = around.recipe.space
    for genome in rendering.variants(space, around.genome, coordinate):
        if _documents(around, genome) != around.documents:
            return True
    return False


def _documents(around: Rendered, genome: Genome) -> object:
    try:
        return rendering.render(around.recipe, genome, around.layers).documents
    except EvomergeError:
        # A layout that refuses the value reads it.
        return None


def _errors(recipe: Recipe, dead: dict[int, Coordinate]) -> list[EvomergeError]:
    """One error a gene, naming its dead values when others of it are alive."""
    out: list[EvomergeError] = []
    for gene in dict.fromkeys(c.gene.name for c in dead.values()):
        mine = [c for c in dead.values() if c.gene.name == gene]
        whole = len(mine) == sum(c.gene.name == gene for c in recipe.space.coordinates)
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
