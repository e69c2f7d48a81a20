"""The way through the compiler.

Render, parse back, check every key, method, parameter, count, range, layer and model against the
installed mergekit and the models' own headers, write canonically. mergekit ignores unknown keys
and accepts many values that give nonsense; each of those is an error here, before any weight is
read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from evomerge_compiler import recipe as recipes
from evomerge_compiler.compiler import donors as donor_rules
from evomerge_compiler.compiler import mergekit_grammar, rendering
from evomerge_compiler.compiler.crossovers import (
    crossing_recipe,
    crossing_world,
    result_facts,
)
from evomerge_compiler.compiler.donors import Donors
from evomerge_compiler.compiler.gene_effects import dead_genes
from evomerge_compiler.compiler.merge_documents import FINAL, MergeDocument, Problem, Reader
from evomerge_compiler.compiler.merge_plan import MergePlan, Stage
from evomerge_compiler.compiler.mergekit_grammar import (
    Architecture,
    Grammar,
)
from evomerge_compiler.compiler.model_headers import (
    FactsDisagree,
    ModelFacts,
    SourceModel,
    anywhere,
    from_hub,
    locate,
    source_model,
)
from evomerge_compiler.compiler.parameter_checks import architecture_of_tensors, check_parameters
from evomerge_compiler.compiler.plan_building import World, build_plan, used_aliases
from evomerge_compiler.compiler.rendering import SOURCES, Rendered
from evomerge_compiler.compiler.tensor_checks import tensor_errors
from evomerge_compiler.crossing import Crossing
from evomerge_compiler.errors import CompileError, ErrorList, EvomergeError, Place
from evomerge_compiler.gene import BY_MODEL
from evomerge_compiler.genome import Genome
from evomerge_compiler.recipe import RECIPE_SUFFIXES, Recipe
from evomerge_compiler.recipe_schema import ModelSpec

__all__ = [
    "MergePlan",
    "Stage",
    "World",
    "check_dead_genes",
    "compile_recipe",
    "gather",
    "render_raw",
]


def compile_recipe(
    recipe: Recipe, *, genome: Genome | None = None, world: World | None = None
) -> MergePlan:
    """Compiles one genome of a recipe.

    Args:
        recipe: The recipe.
        genome: A genome of its space, or a crossing of its run; by default the recipe's own.
        world: What :func:`gather` returned for the recipe, to compile many genomes with.

    Raises:
        CompileError: The merge would fail, or mean something else than it says. Several
            mistakes come as one ErrorList.
        RecipeError: A model cannot be found or read.
        TemplateError: The template does not render to strict YAML.
    """
    grammar = mergekit_grammar.installed()
    world = gather(recipe) if world is None else world
    genome = recipe.genome if genome is None else genome
    if isinstance(genome, Crossing):
        parents = partial(compile_recipe, world=world)
        inside = crossing_world(recipe, genome, world, parents)
        recipe, world = crossing_recipe(recipe, genome), inside
        genome = recipe.genome
    rendered = rendering.render(recipe, genome, world.layers)
    documents = _checked(rendered, world, grammar)
    used = used_aliases(documents)
    donors, errors = donor_rules.choose(recipe, world.facts, used)
    errors += tensor_errors(recipe, world.sources, _architecture(world, grammar))
    errors += _idle_weights(recipe)
    errors += _head_errors(recipe, documents, world, donors)
    errors += _depth_errors(recipe, documents, world, grammar)
    if errors:
        raise ErrorList(errors)
    return build_plan(recipe, world, grammar, documents, donors)


def check_dead_genes(recipe: Recipe) -> None:
    """Refuses genes that change nothing in the compiled text.

    Args:
        recipe: An experiment that compiles.

    Raises:
        ErrorList: There are such genes.
    """
    dead = dead_genes(recipe, gather(recipe).layers)
    if dead:
        raise ErrorList(dead)


def render_raw(recipe: Recipe, genome: Genome | None = None) -> str:
    """What the template prints, before it is parsed and checked."""
    layers = gather(recipe).layers
    return rendering.render_text(recipe, recipe.genome if genome is None else genome, layers)


# --------------------------------------------------------------------------------------
# Models


@dataclass(frozen=True)
class _Composing:
    """Where a compilation is among recipes that name recipes.

    Attributes:
        within: The files it is inside of, outermost first.
        known: The plans of files that were compiled on the way: one may be named many times.
    """

    within: tuple[Path, ...] = ()
    known: dict[Path, MergePlan] = field(default_factory=dict)


def gather(recipe: Recipe, _composing: _Composing | None = None) -> World:
    """Locates and reads the headers of all models of a recipe; compiles those that are recipes.

    Raises:
        ErrorList: Models that cannot be found, read or compiled, each at its place.
    """
    sources: dict[str, SourceModel] = {}
    plans: dict[str, MergePlan] = {}
    facts: dict[str, ModelFacts] = {}
    errors: list[EvomergeError] = []
    composing = _composing or _Composing()
    for alias, spec in recipe.all_models.items():
        try:
            if spec.path.endswith(RECIPE_SUFFIXES):
                plan = _composed(recipe, spec, composing)
                plans[alias] = plan
                # Paths of an inner recipe are relative to its own folder.
                inside = (recipe.folder / spec.path).resolve().parent
                sources |= {
                    f"{alias}.{name}": replace(model, spec=anywhere(model.spec, inside))
                    for name, model in plan.models.items()
                }
                facts[alias] = result_facts(plan)
            else:
                _check_reference(spec)
                _check_revision(recipe, alias, spec)
                sources[alias] = source_model(alias, spec, recipe.folder)
                facts[alias] = sources[alias].facts
        except ErrorList as several:
            errors += several.errors
        except EvomergeError as error:
            error.place = error.place or _model_place(recipe, alias, error)
            errors.append(error)
    if errors:
        raise ErrorList(errors)
    return World(sources, plans, facts)


def _model_place(recipe: Recipe, alias: str, error: EvomergeError) -> Place:
    at = _model_path(recipe, alias)
    if isinstance(error, FactsDisagree):
        return recipe.document.place((*at, "facts", error.key))
    return recipe.document.place((*at, "path"))


def _model_path(recipe: Recipe, alias: str) -> tuple[str, ...]:
    is_base = recipe.base_spec is not None and alias == recipe.base
    return ("base",) if is_base else ("models", alias)


def _check_reference(spec: ModelSpec) -> None:
    """mergekit's own spelling of LoRA and revision, which only its strings have."""
    local = spec.path.startswith((".", "/", "~"))
    if local:
        return
    name, _, adapter = spec.path.partition("+")
    if adapter:
        raise CompileError(
            f"{spec.path!r} joins a model and a LoRA", hint=f"write path: {name}, lora: {adapter}"
        )
    name, _, revision = spec.path.partition("@")
    if revision:
        raise CompileError(
            f"{spec.path!r} joins a model and a revision",
            hint=f"write path: {name}, revision: {revision}",
        )


def _check_revision(recipe: Recipe, alias: str, spec: ModelSpec) -> None:
    """Folders and zoo models are what they are now: a revision of them would be ignored."""
    if spec.revision is None or from_hub(spec, locate(spec, recipe.folder)):
        return
    raise CompileError(
        f"{spec.path!r} is on this machine and has no revision {spec.revision!r}",
        hint="leave revision out; it goes with a hub id (owner/name)",
        place=recipe.document.place((*_model_path(recipe, alias), "revision")),
    )


def _composed(recipe: Recipe, spec: ModelSpec, composing: _Composing) -> MergePlan:
    """The plan of a model that is a recipe."""
    path = (recipe.folder / spec.path).resolve()
    here = Path(recipe.document.file).resolve()
    chain = (*composing.within, here)
    if path in chain:
        names = " -> ".join(p.name for p in (*chain[chain.index(path) :], path))
        raise CompileError(
            f"recipes go in a circle: {names}", hint="give one of them a model that is no recipe"
        )
    if not path.is_file():
        raise CompileError(
            f"no recipe at {spec.path!r}", hint=f"it is looked for in {recipe.folder}"
        )
    if spec.lora is not None or spec.revision is not None or spec.facts is not None:
        raise CompileError(
            "a model that is a recipe takes no lora, revision or facts",
            hint="give them to the models of that recipe",
        )
    if path not in composing.known:
        inner = recipes.load(path)
        world = gather(inner, replace(composing, within=chain))
        composing.known[path] = compile_recipe(inner, world=world)
    return composing.known[path]


# --------------------------------------------------------------------------------------
# Checks


def _checked(rendered: Rendered, world: World, grammar: Grammar) -> list[MergeDocument]:
    """The rendered documents, read; raises everything that is wrong with them."""
    known = {SOURCES + alias: facts for alias, facts in world.facts.items()}
    reader = Reader(grammar, known, rendered.recipe.template.methods)
    documents = reader.read(rendered.documents)
    problems = list(reader.problems)
    architecture = _architecture(world, grammar)
    for document in documents:
        problems += check_parameters(document, architecture)
    if problems:
        raise ErrorList([_error(rendered, problem) for problem in problems])
    return documents


def _architecture(world: World, grammar: Grammar) -> Architecture | None:
    """The tensor names of the models, as mergekit knows or would infer them."""
    names = {facts.architecture for facts in world.facts.values()}
    if len(names) > 1:
        return None
    name = next(iter(names))
    if name in grammar.architectures:
        return grammar.architectures[name]
    for source in world.sources.values():
        if source.tensors:
            return architecture_of_tensors(name, tuple(source.tensors))
    return None


def _error(rendered: Rendered, problem: Problem) -> EvomergeError:
    """A problem at the gene whose value it is, or else at the template's line."""
    genes = []
    for path in problem.values:
        for gene in rendering.causes(rendered, problem.document, path):
            if gene not in genes:
                genes.append(gene)
    places = [rendering.gene_place(rendered.recipe, gene) for gene in genes]
    written = [place for place in places if place is not None]
    message = problem.message
    if genes:
        labels = ", ".join(".".join(map(str, gene)) for gene in genes)
        message += f" (gene{'s' if len(genes) > 1 else ''} {labels})"
    place = written[0] if written else None
    if place is None:
        place = rendering.place_of(rendered, problem.document, problem.path)
    return CompileError(message, hint=problem.hint, place=place)


def _idle_weights(recipe: Recipe) -> list[EvomergeError]:
    """Weights given to models for which the template has no weight gene."""
    space = recipe.space
    gene = {**space.fixed_genes, **space.by_name}.get("weight")
    ranged = space.models if gene is not None and gene.per is not None else ()
    ranged = () if gene is not None and gene.per not in BY_MODEL else ranged
    return [
        CompileError(
            f"nothing reads the weight of {alias}",
            hint=f"template {recipe.template.name!r} has no weight gene with a value for it: "
            "leave it out",
            place=recipe.document.place(("models", alias, "weight")),
        )
        for alias, spec in recipe.models.items()
        if spec.weight is not None and alias not in ranged
    ]


def _head_errors(
    recipe: Recipe, documents: Sequence[MergeDocument], world: World, donors: Donors
) -> list[EvomergeError]:
    """A donor that expects a head which no input has."""
    has_head = {SOURCES + alias: facts.has_head for alias, facts in world.facts.items()}
    for document in documents:
        has_head[document.name] = any(has_head[ref] for ref in document.inputs)
    if has_head[FINAL] or world.facts[donors.config].tie_word_embeddings:
        return []
    tied = [a for a in used_aliases(documents) if world.facts[a].tie_word_embeddings]
    key = "config_from" if recipe.config_from else "models"
    return [
        CompileError(
            f"{donors.config} has a head of its own, the merged models have none",
            hint=f"write config_from: {(tied or [donors.config])[0]}",
            place=recipe.document.place((key,)),
        )
    ]


def _depth_errors(
    recipe: Recipe, documents: Sequence[MergeDocument], world: World, grammar: Grammar
) -> list[EvomergeError]:
    """mergekit writes a wrong depth for architectures that it infers from tensor names."""
    facts = next(iter(world.facts.values()))
    changed = [d for d in documents if d.n_layers != facts.num_hidden_layers]
    if not changed or facts.architecture in grammar.architectures:
        return []
    return [
        CompileError(
            f"mergekit does not know {facts.architecture} and cannot change its depth from "
            f"{facts.num_hidden_layers} to {changed[0].n_layers} layers",
            hint="keep the depth, or use models of an architecture that mergekit knows",
            place=recipe.document.place(("template",)),
        )
    ]
