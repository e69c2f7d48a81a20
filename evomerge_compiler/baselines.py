"""The models that a search is measured against: parents, base and uniform merge, and their scores.

They are scored when something needs them, on search items before generation 0 where a constraint
is relative to them, on all items at the end, and kept in the run folder's ``baselines/``. There
stand candidates too, with what they score on items that the search did not ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evomerge_compiler import recipe as recipes
from evomerge_compiler.candidate import CandidateId, Outcome, Scores
from evomerge_compiler.compiler import MergePlan, compile_recipe, gather
from evomerge_compiler.compiler.model_headers import anywhere
from evomerge_compiler.errors import MissingPrerequisite
from evomerge_compiler.events import ModelScored, Observer
from evomerge_compiler.executors.base import Executor, Job, Split
from evomerge_compiler.recipe import BASE_ALIAS, UNIFORM, Recipe
from evomerge_compiler.run_folder import RunFolder

SPLITS: tuple[Split, ...] = ("search", "held_out")


@dataclass(frozen=True)
class Contender:
    """A model that is scored beside the candidates.

    Attributes:
        name: Names it in tables and under ``baselines/``.
        job: How it is scored.
    """

    name: str
    job: Job


def name_of(id: CandidateId) -> str:
    """A candidate's name below ``baselines/``; no alias of a model starts with a digit."""
    return str(id).replace("/", "-")


def places(contenders: Sequence[Contender]) -> set[tuple[str, str]]:
    """Name and split of all scores that contenders come to."""
    return {(contender.name, split) for contender in contenders for split in contender.job.splits}


def candidate(
    recipe: Recipe, outcome: Outcome, splits: tuple[Split, ...], name: str = ""
) -> Contender:
    """A candidate of the run, to be scored on further items.

    Args:
        recipe: The experiment, in its run.
        outcome: The candidate.
        splits: The items.
        name: Below ``baselines/``; the candidate's own by default.
    """
    plan, name = compile_recipe(recipe, genome=outcome.genome), name or name_of(outcome.id)
    return Contender(name, Job(name, plan=plan, splits=splits, genome=outcome.genome))


def models(recipe: Recipe, splits: tuple[Split, ...] = SPLITS) -> list[Contender]:
    """Base and parents as they are, no merge at all; the base first when it is no parent."""
    out = []
    world = gather(recipe)
    for alias, spec in recipe.all_models.items():
        if alias in world.plans:
            # A parent that is itself a recipe is scored as the merge that it is.
            inside = (recipe.folder / spec.path).resolve().parent
            job = Job(alias, plan=_moved(world.plans[alias], inside), splits=splits)
        else:
            job = Job(alias, model=world.sources[alias], splits=splits)
        out.append(Contender(alias, job))
    return sorted(out, key=lambda contender: contender.name != BASE_ALIAS)


def _moved(plan: MergePlan, folder: Path) -> MergePlan:
    """A plan of another recipe, its models found from anywhere."""
    found = {
        alias: replace(model, spec=anywhere(model.spec, folder))
        for alias, model in plan.models.items()
    }
    return replace(plan, models=found)


def uniform_plan(recipe: Recipe) -> MergePlan:
    """The plain average of the parents.

    Raises:
        EvomergeError: Their shapes do not allow one.
    """
    data = recipe.document.data
    assert isinstance(data, Mapping)
    kept = ("models", "base", "dtype", "out_dtype", "tokenizer", "chat_template", "config_from")
    made = {key: data[key] for key in kept if key in data}
    made |= {"kind": "merge", "name": UNIFORM, "template": "linear", "seed": recipe.seed}
    made["genome"] = {"weight": 1.0}
    return compile_recipe(recipes.from_data(made, recipe.folder, "uniform merge"))


def score(
    folder: RunFolder,
    executor: Executor,
    contenders: Sequence[Contender],
    observers: Sequence[Observer] = (),
) -> tuple[dict[str, dict[Split, Scores]], dict[str, str]]:
    """Scores contenders on the splits that their jobs name; what is in the folder is taken.

    Args:
        folder: Keeps the scores.
        executor: Scores models.
        contenders: Which.
        observers: Are told of each that was scored now.

    Returns:
        Name to the scores of each split, in the order given, and the failed ones with the reason.
    """
    found: dict[str, dict[Split, Scores]] = {c.name: {} for c in contenders}
    missing: list[Contender] = []
    for contender in contenders:
        job = contender.job
        for split in job.splits:
            key = executor.eval_key(job, split)
            stored = folder.baseline(contender.name, split, key)
            if stored is not None:
                found[contender.name][split] = stored
        left = tuple(split for split in job.splits if split not in found[contender.name])
        if left:
            missing.append(replace(contender, job=replace(job, splits=left)))
    failed: dict[str, str] = {}
    for index, result in executor.run([c.job for c in missing]) if missing else ():
        name = missing[index].name
        seconds = result.merge_s + result.evaluate_s
        for observer in observers:
            observer.notice(ModelScored(name, result.scores, result.failure, seconds))
        if result.failure is not None:
            failed[name] = f"{result.failure.reason}: {result.failure.message}"
            continue
        for split, scores in result.scores.items():
            folder.commit_baseline(name, split, scores)
            # As the files hold it, so that a resumed run has the same numbers.
            found[name][split] = folder.baseline(name, split) or scores
    return {name: splits for name, splits in found.items() if name not in failed}, failed


def search_scores(
    recipe: Recipe, folder: RunFolder, executor: Executor, split: Split = "search"
) -> dict[str, Scores]:
    """What base and parents score on search items, by alias: bounds are relative to it.

    Args:
        recipe: The experiment.
        folder: Keeps the scores.
        executor: Scores models.
        split: ``search``, or ``full_search`` for all search items.

    Raises:
        MissingPrerequisite: One of them cannot be scored.
    """
    scores, failed = score(folder, executor, models(recipe, (split,)))
    for name, why in failed.items():
        raise MissingPrerequisite(
            f"a constraint is relative to {name}, which could not be scored: {why}",
            hint="write the bound as a number",
        )
    return {name: splits[split] for name, splits in scores.items()}
