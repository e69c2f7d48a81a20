"""The compiler: a recipe and a genome become ordinary mergekit YAML, or an error with a place.

Render, parse back, check every key, method, parameter, count, range, layer and model against the
installed mergekit and the models' own headers, write canonically. mergekit ignores unknown keys
and accepts many values that give nonsense; each of those is an error here, before any weight is
read. See :mod:`evomerge_compiler.merge_documents`, :mod:`evomerge_compiler.parameter_checks`,
:mod:`evomerge_compiler.value_domains` and :mod:`evomerge_compiler.donors` for the checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evomerge_compiler import donors as donor_rules
from evomerge_compiler import mergekit_grammar, rendering
from evomerge_compiler import recipe as recipes
from evomerge_compiler.donors import Donors
from evomerge_compiler.errors import CompileError, ErrorList, EvomergeError, Place
from evomerge_compiler.genome import Genome
from evomerge_compiler.merge_documents import FINAL, MergeDocument, Problem, Reader, alias_of
from evomerge_compiler.merge_plan import MergePlan, Stage, assemble, canonical, renamed
from evomerge_compiler.mergekit_grammar import (
    MODEL_TYPES_WITH_LAYER_TYPES,
    Architecture,
    Grammar,
)
from evomerge_compiler.model_headers import (
    FactsDisagree,
    ModelFacts,
    SourceModel,
    source_model,
)
from evomerge_compiler.parameter_checks import architecture_of_tensors, check_parameters
from evomerge_compiler.recipe import RECIPE_SUFFIXES, Recipe
from evomerge_compiler.recipe_schema import ModelSpec
from evomerge_compiler.rendering import SOURCES, Rendered

__all__ = ["MergePlan", "Stage", "World", "compile_recipe", "gather", "render_raw"]


@dataclass(frozen=True)
class World:
    """The models of a recipe, located and read.

    Attributes:
        sources: Models by alias; those of a composed recipe under ``<alias>.<its alias>``.
        plans: Alias to plan, of the models that are recipes themselves.
        facts: Facts by alias, of every model of the recipe.
    """

    sources: Mapping[str, SourceModel]
    plans: Mapping[str, MergePlan]
    facts: Mapping[str, ModelFacts]

    @property
    def layers(self) -> dict[str, int]:
        """Alias to number of layers."""
        return {alias: facts.num_hidden_layers for alias, facts in self.facts.items()}


def compile_recipe(
    recipe: Recipe, *, genome: Genome | None = None, world: World | None = None
) -> MergePlan:
    """Compiles one genome of a recipe.

    Args:
        recipe: The recipe.
        genome: A genome of its space; by default the recipe's own.
        world: What :func:`gather` returned for the recipe, to compile many genomes with.

    Raises:
        CompileError: The merge would fail, or mean something else than it says. Several
            mistakes come as one ErrorList.
        RecipeError: A model cannot be found or read.
        TemplateError: The template does not render to strict YAML.
    """
    grammar = mergekit_grammar.installed()
    world = gather(recipe) if world is None else world
    rendered = rendering.render(recipe, recipe.genome if genome is None else genome, world.layers)
    documents = _checked(rendered, world, grammar)
    used = _used(documents)
    donors, errors = donor_rules.choose(recipe, world.facts, used)
    errors += _head_errors(recipe, documents, world, donors)
    errors += _depth_errors(recipe, documents, world, grammar)
    if errors:
        raise ErrorList(errors)
    return _plan(recipe, world, grammar, documents, donors)


def render_raw(recipe: Recipe, genome: Genome | None = None) -> str:
    """What the template prints, before it is parsed and checked."""
    layers = gather(recipe).layers
    return rendering.render_text(recipe, recipe.genome if genome is None else genome, layers)


# --------------------------------------------------------------------------------------
# Models


def gather(recipe: Recipe, _within: tuple[Path, ...] = ()) -> World:
    """Locates and reads the headers of all models of a recipe; compiles those that are recipes.

    Raises:
        ErrorList: Models that cannot be found, read or compiled, each at its place.
    """
    sources: dict[str, SourceModel] = {}
    plans: dict[str, MergePlan] = {}
    facts: dict[str, ModelFacts] = {}
    errors: list[EvomergeError] = []
    for alias, spec in recipe.all_models.items():
        try:
            if spec.path.endswith(RECIPE_SUFFIXES):
                plan = _composed(recipe, alias, spec, _within)
                plans[alias] = plan
                sources |= {f"{alias}.{name}": model for name, model in plan.models.items()}
                facts[alias] = _result_facts(plan)
            else:
                _check_reference(spec)
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
    is_base = recipe.base_spec is not None and alias == recipe.base
    at = ("base",) if is_base else ("models", alias)
    if isinstance(error, FactsDisagree):
        return recipe.document.place((*at, "facts", error.key))
    return recipe.document.place((*at, "path"))


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


def _composed(recipe: Recipe, alias: str, spec: ModelSpec, within: tuple[Path, ...]) -> MergePlan:
    """The plan of a model that is a recipe."""
    path = (recipe.folder / spec.path).resolve()
    here = Path(recipe.document.file).resolve()
    chain = (*within, here)
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
    inner = recipes.load(path)
    return compile_recipe(inner, world=gather(inner, chain))


def _result_facts(plan: MergePlan) -> ModelFacts:
    donor = plan.models[plan.config_donor].facts
    tokenizer = plan.models[plan.tokenizer_donor].facts
    template = plan.chat_template_donor
    return replace(
        donor,
        num_hidden_layers=plan.n_layers,
        vocabulary=tokenizer.vocabulary,
        vocab_size=tokenizer.vocab_size,
        chat_template="" if template is None else plan.models[template].facts.chat_template,
    )


# --------------------------------------------------------------------------------------
# Checks


def _checked(rendered: Rendered, world: World, grammar: Grammar) -> list[MergeDocument]:
    """The rendered documents, read; raises everything that is wrong with them."""
    known = {SOURCES + alias: facts for alias, facts in world.facts.items()}
    reserved = [f"{a}.{stage.name}" for a, plan in world.plans.items() for stage in plan.stages]
    reader = Reader(grammar, known, rendered.recipe.template.methods, reserved)
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


def _used(documents: Sequence[MergeDocument]) -> list[str]:
    """Aliases of the models that documents read, in order."""
    refs = [ref for document in documents for ref in document.inputs]
    aliases = [alias_of(ref) for ref in refs]
    return list(dict.fromkeys(alias for alias in aliases if alias is not None))


def _head_errors(
    recipe: Recipe, documents: Sequence[MergeDocument], world: World, donors: Donors
) -> list[EvomergeError]:
    """A donor that expects a head which no input has."""
    has_head = {SOURCES + alias: facts.has_head for alias, facts in world.facts.items()}
    for document in documents:
        has_head[document.name] = any(has_head[ref] for ref in document.inputs)
    if has_head[FINAL] or world.facts[donors.config].tie_word_embeddings:
        return []
    tied = [a for a in _used(documents) if world.facts[a].tie_word_embeddings]
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


# --------------------------------------------------------------------------------------
# Plan


def _plan(
    recipe: Recipe,
    world: World,
    grammar: Grammar,
    documents: Sequence[MergeDocument],
    donors: Donors,
) -> MergePlan:
    used = _used(documents)
    results: dict[str, object] = {}
    parts: list[tuple[str, dict[str, object], tuple[str, ...], bool]] = []
    notes: list[str] = []
    for alias in used:
        if alias in world.plans:
            plan = world.plans[alias]
            parts += _inner_stages(alias, plan, grammar)
            results[SOURCES + alias] = f"{alias}.{FINAL}"
            if any(stage[3] for stage in parts):
                notes.append(f"the random masks of {alias!r} are drawn anew with this seed")
    if donors.align:
        notes.append(f"embeddings are brought to the tokenizer of {donors.tokenizer} by token")
    for document in documents:
        body = canonical(
            document,
            dtype=recipe.dtype,
            out_dtype=recipe.out_dtype,
            config_donor=donors.config,
            tokenizer=_leaf(world, donors.tokenizer, "tokenizer") if donors.align else None,
        )
        body = _with_results(body, results)
        inputs = tuple(str(results.get(ref, ref)) for ref in document.inputs)
        parts.append((document.name, body, inputs, document.method.random))
    leaves = Donors(
        config=_leaf(world, donors.config, "config"),
        tokenizer=_leaf(world, donors.tokenizer, "tokenizer"),
        chat_template=donors.chat_template and _leaf(world, donors.chat_template, "chat_template"),
        align=donors.align,
    )
    depth = _changed_depth(documents, world)
    notes += _notes(documents, world, donors, depth)
    return assemble(
        parts,
        models=_models(world, used, leaves),
        donors=leaves,
        grammar=grammar,
        seed=recipe.seed,
        n_layers=documents[-1].n_layers,
        depth_changed=depth is not None,
        notes=notes,
    )


def _inner_stages(
    alias: str, plan: MergePlan, grammar: Grammar
) -> list[tuple[str, dict[str, object], tuple[str, ...], bool]]:
    """The stages of a composed recipe, under names of its own."""
    out = []
    for stage in plan.stages:
        name, body = renamed(stage, alias)
        inputs = tuple(_renamed_ref(ref, alias) for ref in stage.inputs)
        random = grammar.methods[str(body["merge_method"])].random
        out.append((name, body, inputs, random))
    return out


def _renamed_ref(ref: str, alias: str) -> str:
    inner = alias_of(ref)
    return f"{alias}.{ref}" if inner is None else f"{SOURCES}{alias}.{inner}"


def _with_results(body: dict[str, object], results: Mapping[str, object]) -> dict[str, object]:
    """A document whose composed inputs are named by the stage that makes them."""

    def swap(data: object) -> object:
        if isinstance(data, dict):
            return {key: swap(value) for key, value in data.items()}
        if isinstance(data, list):
            return [swap(value) for value in data]
        return results.get(data, data) if isinstance(data, str) else data

    return {key: swap(value) for key, value in body.items()}


def _leaf(world: World, alias: str, what: str) -> str:
    """The alias of the model itself behind a donor that may be a recipe."""
    plan = world.plans.get(alias)
    if plan is None:
        return alias
    inner = {
        "config": plan.config_donor,
        "tokenizer": plan.tokenizer_donor,
        "chat_template": plan.chat_template_donor,
    }[what]
    return f"{alias}.{inner}"


def _models(world: World, used: Sequence[str], leaves: Donors) -> dict[str, SourceModel]:
    """The models that a plan reads or takes files from, by alias."""
    wanted = {leaves.config, leaves.tokenizer, leaves.chat_template}
    out: dict[str, SourceModel] = {}
    for name, source in world.sources.items():
        if name in used or name.partition(".")[0] in used or name in wanted:
            out[name] = replace(source, alias=name)
    return out


def _changed_depth(documents: Sequence[MergeDocument], world: World) -> ModelFacts | None:
    """The facts of the model whose depth a stage changes, None when none does."""
    donors = _mergekit_donors(documents)
    for document in documents:
        facts = world.facts[donors[document.name]]
        if document.n_layers != facts.num_hidden_layers:
            return facts
    return None


def _mergekit_donors(documents: Sequence[MergeDocument]) -> dict[str, str]:
    """Stage name to the alias whose configuration mergekit itself would write."""
    out: dict[str, str] = {}
    for document in documents:
        ref = document.base or document.inputs[0]
        out[document.name] = alias_of(ref) or out[ref]
    return out


def _notes(
    documents: Sequence[MergeDocument], world: World, donors: Donors, depth: ModelFacts | None
) -> list[str]:
    """What someone who runs the text with mergekit's own commands has to know."""
    out: list[str] = []
    if depth is not None and _lists_layer_types(depth):
        out.append(
            "this merge changes the number of layers: mergekit 0.1.5 with transformers 5 writes "
            "the weights and then stops at config.json; `evomerge merge` finishes it"
        )
    plain = _mergekit_donors(documents)[FINAL]
    for donor, what in ((donors.config, "config.json"), (donors.tokenizer, "tokenizer")):
        one, other = world.facts[plain], world.facts[donor]
        same_rows = one.vocabulary == other.vocabulary and one.vocab_size == other.vocab_size
        same = not donor_rules.differ(one, other) if what == "config.json" else same_rows
        if plain != donor and not same:
            out.append(
                f"mergekit writes the {what} of {plain}; `evomerge merge` writes that of {donor}"
            )
    return out


def _lists_layer_types(facts: ModelFacts) -> bool:
    name = facts.model_type or facts.architecture.removesuffix("ForCausalLM").lower()
    return name in MODEL_TYPES_WITH_LAYER_TYPES
