"""From checked documents to a plan: composed stages, donors' files, notes, keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.compiler import donors as donor_rules
from evomerge_compiler.compiler.donors import Donors
from evomerge_compiler.compiler.merge_documents import FINAL, MergeDocument, alias_of
from evomerge_compiler.compiler.merge_plan import (
    MergePlan,
    Part,
    Stage,
    WrittenMerge,
    assemble,
    canonical,
    references,
    renamed,
)
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
        named: Alias to what it is called in all plans of one family, of which it is: they read
            the same models under the same aliases, and call a stage alike wherever it is.
        family: Candidates of the recipe's run that were compiled, for crossings that merge them.
    """

    sources: Mapping[str, SourceModel]
    plans: Mapping[str, MergePlan]
    facts: Mapping[str, ModelFacts]
    named: Mapping[str, str] = field(default_factory=dict)
    family: dict[CandidateId, MergePlan] = field(default_factory=dict, repr=False)

    @property
    def layers(self) -> dict[str, int]:
        """Alias to number of layers."""
        return {alias: facts.num_hidden_layers for alias, facts in self.facts.items()}

    def source_name(self, alias: str, inner: str) -> str:
        """What a model of a composed recipe is called outside it."""
        return inner if alias in self.named else f"{alias}.{inner}"

    def stage_name(self, alias: str, inner: str) -> str:
        """What a stage of a composed recipe is called outside it."""
        if alias not in self.named:
            return f"{alias}.{inner}"
        return inner if "." in inner else f"{self.named[alias]}.{inner}"


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
    composed = _Composed(world, grammar)
    for alias in used:
        if alias in world.plans:
            composed.add(alias, world.plans[alias])
        elif alias in world.named:
            composed.results[SOURCES + alias] = SOURCES + world.named[alias]
    parts, notes = composed.parts, composed.notes()
    notes += [
        f"{SOURCES}{name} is the result of {source.spec.path}: evomerge merge writes it there"
        for name, source in world.sources.items()
        if isinstance(source, WrittenMerge)
    ]
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
        body = renamed(body, composed.results)
        inputs = tuple(composed.results.get(ref, ref) for ref in document.inputs)
        parts.append(Part(document.name, body, inputs, document.method.random))
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
        models=_models(world, parts, leaves),
        donors=leaves,
        grammar=grammar,
        seed=recipe.seed,
        n_layers=documents[-1].n_layers,
        depth_changed=depth is not None,
        notes=notes,
    )


class _Composed:
    """The stages of composed recipes, under names of their own, equal ones once.

    A merge that comes to a recipe by many ways, such as an ancestor of both parents, is made once.

    Attributes:
        parts: The stages, in order of execution.
        results: Reference to a composed model, as documents name it, to the stage that makes it.
    """

    def __init__(self, world: World, grammar: Grammar) -> None:
        self._world = world
        self._grammar = grammar
        self.parts: list[Part] = []
        self.results: dict[str, str] = {}
        # Stage key, and which of the stages of that key in one plan, to the stage's name.
        self._known: dict[tuple[str, int], str] = {}

    def add(self, alias: str, plan: MergePlan) -> None:
        """Adds what is not there yet of a plan."""
        names: dict[str, str] = {}
        met: Counter[str] = Counter()
        for stage in plan.stages:
            for ref in references(stage.document, stage.inputs):
                inner = alias_of(ref)
                if inner is not None:
                    names[ref] = SOURCES + self._world.source_name(alias, inner)
            place = met[stage.stage_key]
            met[stage.stage_key] += 1
            if stage is plan.stages[-1]:
                # mergekit tells the inputs of a stage apart by name: two models that are the
                # same merge stay two.
                while self._known.get((stage.stage_key, place)) in self.results.values():
                    place += 1
            key = (stage.stage_key, place)
            if key not in self._known:
                self._known[key] = self._add(alias, plan, stage, names)
            names[stage.name] = self._known[key]
        self.results[SOURCES + alias] = names[plan.stages[-1].name]

    def _add(self, alias: str, plan: MergePlan, stage: Stage, names: Mapping[str, str]) -> str:
        name = self._world.stage_name(alias, stage.name)
        inputs = tuple(names[ref] for ref in stage.inputs)
        random = self._grammar.methods[str(stage.document["merge_method"])].random
        document = renamed(stage.document, names)
        self.parts.append(Part(name, document, inputs, random, plan.seed_of(stage)))
        return name

    def notes(self) -> list[str]:
        """What mergekit-multi, which has one seed for all stages, does otherwise."""
        drawn = [f"{part.name} {part.random_seed}" for part in self.parts if part.random]
        if not drawn:
            return []
        return [
            f"stages that draw random masks have seeds of their own: {', '.join(drawn)}; "
            "mergekit-multi gives all of them the one above, `evomerge merge` each its own"
        ]


def _leaf(world: World, alias: str, what: str) -> str:
    """The alias of the model itself behind a donor that may be a recipe."""
    plan = world.plans.get(alias)
    if plan is None:
        return world.named.get(alias, alias)
    inner = {
        "config": plan.config_donor,
        "tokenizer": plan.tokenizer_donor,
        "chat_template": plan.chat_template_donor,
    }[what]
    assert inner is not None, "a model that gives its chat template has one"
    return world.source_name(alias, inner)


def _models(world: World, parts: Sequence[Part], leaves: Donors) -> dict[str, SourceModel]:
    """The models that a plan reads or takes files from, by alias."""
    named = {ref for part in parts for ref in references(part.document, part.inputs)}
    wanted = {alias for ref in named if (alias := alias_of(ref)) is not None}
    wanted |= {alias for alias in (leaves.config, leaves.tokenizer, leaves.chat_template) if alias}
    sources = world.sources.items()
    return {name: replace(source, alias=name) for name, source in sources if name in wanted}


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
