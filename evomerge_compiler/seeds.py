"""Genomes that people write: recipes that join an experiment as its candidates."""

from __future__ import annotations

from pathlib import Path

from evomerge_compiler import recipe as recipes
from evomerge_compiler.candidate import Lineage, Proposal, genome_hash
from evomerge_compiler.crossing import Crossing
from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.genome import Genome
from evomerge_compiler.recipe import Recipe

SEED_OPERATOR = "recipe.seeds"


def seed_proposals(recipe: Recipe) -> list[Proposal]:
    """The hand-written recipes that ``seeds:`` puts into generation 0.

    Raises:
        EvomergeError: One is mistaken, or its template or genes are not this experiment's.
    """
    genomes = [written_genome(recipe, path) for path in recipe.seeds]
    return [Proposal(g, Lineage("seed", SEED_OPERATOR, (), genome_hash(g))) for g in genomes]


def written_genome(recipe: Recipe, path: Path) -> Genome:
    """The genome in a recipe that a person wrote, as a genome of this experiment.

    Raises:
        EvomergeError: It is mistaken, or its template, models or genes are not this
            experiment's.
    """
    seed = recipes.load(path)
    if isinstance(seed.genome, Crossing):
        raise seed.document.error(
            "a crossing of candidates is no genome of the experiment",
            ("template",),
            hint="write a recipe with the experiment's own template",
        )
    if seed.template.name != recipe.template.name:
        raise seed.document.error(
            f"the seed renders template {seed.template.name!r}, "
            f"the experiment {recipe.template.name!r}",
            ("template",),
        )
    values = {**seed.space.fixed, **seed.genome.values}
    _check_models(recipe, seed)
    _check_fixed(recipe, seed)
    wanted = {name: v for name, v in values.items() if name in recipe.space.by_name}
    active = recipe.space.active({**recipe.space.initial().values, **wanted})
    wanted = {name: value for name, value in wanted.items() if name in active}

    def error(message: str, at: tuple[str | int, ...], hint: str | None) -> EvomergeError:
        return seed.document.error(message, ("genome", *at), hint=hint)

    genome, problems = recipe.space.parse(wanted, error)
    if problems:
        raise problems[0]
    return genome


def _check_models(recipe: Recipe, seed: Recipe) -> None:
    """Only the genome of a seed counts, so what else it says must be the experiment's.

    Raises:
        EvomergeError: It merges other models.
    """
    own, wanted = _models(seed), _models(recipe)
    if own != wanted:
        raise seed.document.error(
            f"the seed merges {', '.join(own.values())}, "
            f"the experiment {', '.join(wanted.values())}",
            ("models",),
            hint="name the same models under the same aliases",
        )


def _models(recipe: Recipe) -> dict[str, str]:
    found = {alias: (recipe.folder / spec.path, spec) for alias, spec in recipe.models.items()}
    return {
        alias: str(path.resolve()) if path.exists() else spec.path
        for alias, (path, spec) in found.items()
    }


def _check_fixed(recipe: Recipe, seed: Recipe) -> None:
    """A gene that the experiment does not vary cannot have a value of its own.

    Raises:
        EvomergeError: The seed gives one another value.
    """
    data = seed.document.data
    written = data.get("genome") if isinstance(data, dict) else None
    own = {**seed.space.fixed, **seed.genome.values}
    for name in written or {}:
        fixed = recipe.space.fixed.get(name)
        if fixed is not None and own.get(name, fixed) != fixed:
            raise seed.document.error(
                f"the experiment holds {name} at {fixed!r}, the seed at {own[name]!r}",
                ("genome", name),
                hint=f"leave it out, or make {name} a gene of the experiment",
            )
