"""Crossings: merges of candidates of one run, from their texts alone.

The plans of the parents become earlier stages, called by the candidate that they are of
(``002-c05.s1``), and all read the run's own models. A stage that comes by several ways is merged
once. Where the chain grows longer than ``max_stages``, the parent with the longest one is read as
a model from disk, a :class:`~evomerge_compiler.compiler.merge_plan.WrittenMerge`. That changes
what is written, never a bit of the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from evomerge_compiler import yamlio
from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.compiler.merge_plan import MergePlan, WrittenMerge
from evomerge_compiler.compiler.model_headers import ModelFacts, SourceModel
from evomerge_compiler.compiler.plan_building import World
from evomerge_compiler.crossing import ALIASES, Crossing, space_of
from evomerge_compiler.errors import CompileError, EvomergeError
from evomerge_compiler.genome import Genome
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.recipe_candidates import read_genome
from evomerge_compiler.recipe_schema import ModelSpec
from evomerge_compiler.templates import load as load_template

RECIPE = "recipe.yaml"


class Compile(Protocol):
    """Compiles a genome of an experiment, or a crossing, in the world of its run."""

    def __call__(self, recipe: Recipe, *, genome: Genome) -> MergePlan: ...


def crossing_recipe(experiment: Recipe, crossing: Crossing) -> Recipe:
    """A crossing as a recipe of its template, whose models are its parents."""
    assert experiment.run is not None, "a crossing is of a run"
    generations = experiment.run / "generations"
    models = {
        alias: ModelSpec(path=str(generations / str(parent) / RECIPE))
        for alias, parent in zip(ALIASES, crossing.models, strict=False)
    }
    space = space_of(crossing.template, len(models))
    return replace(
        experiment,
        kind="merge",
        models=models,
        base=ALIASES[0],
        base_spec=None,
        template=load_template(crossing.template),
        space=space,
        genome=Genome(crossing.values),
        n_groups=space.n_groups,
        tokenizer=None,
        chat_template=None,
        config_from=None,
    )


def crossing_world(
    experiment: Recipe, crossing: Crossing, world: World, compile: Compile
) -> World:
    """The world of a crossing: its parents compiled, and what they are made of.

    Args:
        experiment: The run's.
        crossing: What is to be compiled.
        world: The experiment's; keeps the plans of parents for other crossings.
        compile: Compiles a parent.

    Raises:
        CompileError: A parent does not compile, or is no candidate of an earlier generation.
    """
    plans = {
        alias: _plan(experiment, parent, world, compile)
        for alias, parent in zip(ALIASES, crossing.models, strict=False)
    }
    ids = dict(zip(ALIASES, crossing.models, strict=False))
    written = _written(plans, _max_stages(experiment))
    sources: dict[str, SourceModel] = {}
    for alias, plan in plans.items():
        if alias in written:
            source = _source(ids[alias], plan)
            sources[source.alias] = source
        else:
            sources |= plan.models
    return World(
        sources=sources,
        plans={alias: plan for alias, plan in plans.items() if alias not in written},
        facts={alias: result_facts(plan) for alias, plan in plans.items()},
        named={alias: stage_prefix(parent) for alias, parent in ids.items()},
    )


def stage_prefix(id: CandidateId) -> str:
    """What stages of a candidate are called by: ``002-c05``."""
    return str(id).replace("/", "-")


def result_facts(plan: MergePlan) -> ModelFacts:
    """What is known of a merge's result without merging."""
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


def _plan(experiment: Recipe, id: CandidateId, world: World, compile: Compile) -> MergePlan:
    """The plan of a candidate of the run, read from its recipe."""
    if id not in world.family:
        assert experiment.run is not None
        file = experiment.run / "generations" / str(id) / RECIPE
        if not file.is_file():
            raise CompileError(f"no candidate {id} to merge", hint=f"expected the file {file}")
        genome = read_genome(yamlio.read_file(file), experiment.space)
        must_be_older(genome, id)
        try:
            world.family[id] = compile(experiment, genome=genome)
        except EvomergeError as error:
            raise CompileError(f"parent {id} does not compile: {error.message}") from error
    return world.family[id]


def must_be_older(genome: Genome, id: CandidateId) -> None:
    """Parents are of earlier generations, hence no candidate is its own ancestor.

    Args:
        genome: A crossing, or a genome without parents.
        id: The candidate whose genome it is.

    Raises:
        CompileError: A parent is not.
    """
    for parent in genome.models if isinstance(genome, Crossing) else ():
        if parent.generation >= id.generation:
            raise CompileError(
                f"{id} merges {parent}, which is not of an earlier generation",
                hint=f"name candidates of generations before {id.generation:03d}",
            )


def _max_stages(experiment: Recipe) -> int | None:
    search = experiment.search
    return None if search is None else search.model_crossover.max_stages


def _written(plans: Mapping[str, MergePlan], limit: int | None) -> set[str]:
    """The parents that are read from disk: those with the longest chains, until the rest fits."""
    written: set[str] = set()

    def n_stages() -> int:
        composed = [plan for alias, plan in plans.items() if alias not in written]
        return 1 + len({stage.stage_key for plan in composed for stage in plan.stages})

    while limit is not None and n_stages() > limit and len(written) < len(plans):
        left = [alias for alias in plans if alias not in written]
        written.add(max(left, key=lambda alias: len(plans[alias].stages)))
    return written


def _source(id: CandidateId, plan: MergePlan) -> WrittenMerge:
    name = stage_prefix(id)
    return WrittenMerge(
        alias=name,
        spec=ModelSpec(path=f"generations/{id}/{RECIPE}"),
        reference=f"models/src/{name}",
        folder=None,
        facts=result_facts(plan),
        tensors=None,
        identity=f"merge:{plan.merge_key}",
        plan=plan,
    )


def unlimited(experiment: Recipe) -> Recipe:
    """The experiment without ``max_stages``: its crossings compile down to the run's models."""
    assert experiment.search is not None
    crossover = experiment.search.model_crossover.model_copy(update={"max_stages": None})
    search = experiment.search.model_copy(update={"model_crossover": crossover})
    return replace(experiment, search=search)
