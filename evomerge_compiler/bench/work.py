"""The candidates that several suites merge and score: those of the quickstart recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evomerge_compiler import launch
from evomerge_compiler import recipe as recipes
from evomerge_compiler.bench.setting import Setting
from evomerge_compiler.compiler import MergePlan, compile_recipe
from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.evaluation.split import select
from evomerge_compiler.executors.base import Executor, Job, JobResult
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.strategies.factory import build
from evomerge_compiler.strategies.operators import mutate, rng

RECIPE = "quickstart"
QUICK_ITEMS = 2
# As the recipe's own strategy mutates: children share stages with their parents.
_MUTATION_RATE, _SIGMA = 0.15, 0.1


@dataclass(frozen=True)
class Work:
    """What is merged, and how it is scored.

    Attributes:
        recipe: The experiment.
        evaluation: How its candidates are scored.
        plans: Its first generation, then mutants of it; no two are equal.
        sources: Alias to model folder.
        folder: Where stages and text files go.
        options: How mergekit runs.
    """

    recipe: Recipe
    evaluation: EvaluationPlan
    plans: tuple[MergePlan, ...]
    sources: dict[str, Path]
    folder: Path
    options: MergeOptions


def prepare(setting: Setting, name: str, n_candidates: int, limit: int | None = None) -> Work:
    """Compiles candidates.

    Args:
        setting: Sizes and folder.
        name: Of the suite, for its folder.
        n_candidates: How many.
        limit: Items a task; None takes all that the recipe scores its candidates on.
    """
    limit = QUICK_ITEMS if setting.quick else limit
    overrides = () if limit is None else (f"evaluation.limit={limit}",)
    recipe = recipes.load(RECIPE, overrides=overrides)
    options = launch.Options(device=setting.device)
    plans = candidates(recipe, n_candidates)
    return Work(
        recipe=recipe,
        evaluation=launch.evaluation_of(recipe, options),
        plans=tuple(plans),
        sources={alias: model.folder for alias, model in plans[0].models.items() if model.folder},
        folder=setting.folder(name),
        options=MergeOptions(cuda=setting.device == "cuda", offline=True),
    )


def candidates(recipe: Recipe, n: int) -> list[MergePlan]:
    """Plans of the first generation, then of mutants of it."""
    first = [proposal.genome for proposal in build(recipe).ask(0)]
    plans: dict[str, MergePlan] = {}
    number = 0
    while len(plans) < n:
        genome = first[number % len(first)]
        if number >= len(first):
            random = rng(recipe.seed, 1, number)
            genome = mutate(recipe.space, genome, _MUTATION_RATE, _SIGMA, random)
        plan = compile_recipe(recipe, genome=genome)
        plans.setdefault(plan.merge_key, plan)
        number += 1
    return list(plans.values())


def run_all(executor: Executor, jobs: Sequence[Job]) -> list[JobResult]:
    """Runs jobs, none of which may fail; results come in the order of the jobs.

    Raises:
        EvomergeError: One failed, so that its time means nothing.
    """
    results = dict(executor.run(jobs))
    for index, result in results.items():
        if result.failure is not None:
            raise EvomergeError(f"{jobs[index].label} failed: {result.failure.message}")
    return [results[index] for index in range(len(jobs))]


def search_items(evaluation: EvaluationPlan) -> dict[str, list[int]]:
    """The items of the search split, for tools that know no splits; runs in a worker.

    Returns:
        Name of each lm-eval task to indices of its items.
    """
    from evomerge_compiler.evaluation.task_files import TaskLoader

    loader = TaskLoader(evaluation)
    found = {}
    for task in evaluation.tasks:
        for loaded in loader.load(task):
            chosen = select(
                loaded.hashes, "search", holdout=evaluation.holdout, salt=evaluation.salt,
                limit=evaluation.limit,
            )  # fmt: skip
            found[loaded.name] = sorted(chosen)
    return found


def n_items(items: dict[str, list[int]]) -> int:
    """Items of all tasks together."""
    return sum(len(indices) for indices in items.values())
