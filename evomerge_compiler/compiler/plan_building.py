"""From checked documents to a plan: composed stages, donors' files, notes, keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evomerge_compiler.compiler import donors as donor_rules
from evomerge_compiler.compiler.donors import Donors
from evomerge_compiler.compiler.merge_documents import FINAL, MergeDocument, alias_of
from evomerge_compiler.compiler.merge_plan import MergePlan, assemble, canonical, renamed
from evomerge_compiler.compiler.mergekit_grammar import MODEL_TYPES_WITH_LAYER_TYPES, Grammar
from evomerge_compiler.compiler.model_headers import ModelFacts, SourceModel
from evomerge_compiler.compiler.rendering import SOURCES
from evomerge_compiler.recipe import Recipe


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


def used_aliases(documents: Sequence[MergeDocument]) -> list[str]:
    """Aliases of the models that documents read, in order."""
    refs = [ref for document in documents for ref in document.inputs]
    aliases = [alias_of(ref) for ref in refs]
    return list(dict.fromkeys(alias for alias in aliases if alias is not None))


def build_plan(
    recipe: Recipe,
    world: World,
    grammar: Grammar,
    documents: Sequence[MergeDocument],
    donors: Donors,
) -> MergePlan:
    """The plan of a recipe's checked documents.

    Args:
        recipe: The recipe.
        world: Its models.
        grammar: mergekit's.
        documents: All of them read and checked, the last one is the result.
        donors: Who gives what cannot be averaged.
    """
    used = used_aliases(documents)
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
