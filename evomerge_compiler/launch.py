"""Starts or resumes an evolution: recipe, run folder, executor, loop and conclusion together.

This is what ``evomerge evolve`` calls, and what a Python program calls to do the same.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from evomerge_compiler import gpus, shortlist
from evomerge_compiler import recipe as recipes
from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.compiler import World, check_dead_genes, gather
from evomerge_compiler.conclusion import conclude
from evomerge_compiler.control import run_control
from evomerge_compiler.errors import (
    EXIT_NOTHING_SELECTED,
    EXIT_OK,
    MissingPrerequisite,
    UsageError,
)
from evomerge_compiler.evaluation import backends
from evomerge_compiler.evaluation.presets import warn_of_benchmarks
from evomerge_compiler.evaluation.spec import EvaluationPlan, plan_evaluation
from evomerge_compiler.events import (
    BackendReplaced,
    Concluding,
    ControlStarted,
    Event,
    Finished,
    Observer,
)
from evomerge_compiler.evolution import Evolution, best_id
from evomerge_compiler.executors.base import Executor
from evomerge_compiler.executors.local import LocalExecutor, LocalSettings
from evomerge_compiler.executors.placement import place
from evomerge_compiler.executors.ray import RayExecutor
from evomerge_compiler.executors.warm import WarmExecutor
from evomerge_compiler.history import Ending
from evomerge_compiler.merging.options import MergeOptions, gpu_available
from evomerge_compiler.merging.sources import LINKS, fetch_missing, link_source, materialise
from evomerge_compiler.planning import TimingLog
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.run_folder.setup import RunSetup
from evomerge_compiler.strategies.factory import build

MODELS = "models"
# Ways to run work on this machine, by the name that --executor takes.
LOCAL_EXECUTORS = {"warm": WarmExecutor, "cli": LocalExecutor}
# A change in one of these may change scores: it stops a resumed run until it is accepted.
LOCKED_VERSIONS = ("mergekit", "lm_eval", "transformers", "torch")


@dataclass(frozen=True)
class Options:
    """How an evolution is run, apart from what its recipe says.

    Attributes:
        run_dir: The run folder; ``runs/NAME`` by default.
        generations: In all; None takes the recipe's number.
        executor: Name of the way to run work: one of :data:`LOCAL_EXECUTORS`, or ``ray``.
        ray_address: The cluster of executor ``ray``; None starts one on this machine.
        jobs: Workers; None is one for each GPU, and one where there is none.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        retries: How often a candidate whose worker crashed is tried again.
        merge: mergekit's own flags.
        overrides: ``key=value`` settings of the recipe.
        models: Paths that replace the recipe's models.
        unsafe_code: Generated code runs without the sandbox.
        accept_lock: Go on although versions or models differ from the lock.
    """

    run_dir: Path | None = None
    generations: int | None = None
    executor: str = "warm"
    ray_address: str | None = None
    jobs: int | None = None
    device: str = "auto"
    retries: int = 1
    merge: MergeOptions = field(default_factory=MergeOptions)
    overrides: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    unsafe_code: bool = False
    accept_lock: bool = False


@dataclass(frozen=True)
class Result:
    """What an evolution came to.

    Attributes:
        folder: The run.
        ending: How it ended.
        final: What ``final.yaml`` holds; None when nothing was scored on purpose (``gens`` 0).
    """

    folder: RunFolder
    ending: Ending
    final: dict[str, object] | None

    @property
    def exit_code(self) -> int:
        """1 when nothing could be selected or too many candidates failed, else 0."""
        if self.final is None:
            return EXIT_OK
        search = self.folder.recipe.search
        assert search is not None
        failed = sum(self.ending.failures.values())
        too_many = failed > search.max_failed_share * self.ending.n_candidates
        return EXIT_NOTHING_SELECTED if self.ending.best is None or too_many else EXIT_OK


def evolve(
    target: str | Path,
    options: Options,
    observers: Callable[[Path], Sequence[Observer]] = lambda _: (),
    again: Sequence[CandidateId] = (),
) -> Result:
    """Runs an evolution to its end; the same call resumes one that was interrupted.

    Args:
        target: A recipe, or the folder of a run to resume.
        options: How.
        observers: Makes the observers, given the run folder.
        again: Candidates of the open generation whose outcomes go, so that they are made again.

    Raises:
        EvomergeError: Bad input, a missing prerequisite, or a held or damaged run folder.
    """
    recipe, source, run_dir = load(target, options)
    require_search(recipe)
    fetch_missing(recipe, trust_remote_code=options.merge.trust_remote_code)
    world = gather(recipe)
    check_dead_genes(recipe)
    evaluation, replaced = with_backend(evaluation_of(recipe, options), options)
    setup = RunSetup(
        recipe=recipe,
        source=source,
        resolved=_resolved(recipe, world, evaluation, options),
        overrides=options.overrides,
        models=options.models,
        accept_lock=options.accept_lock,
    )
    folder = RunFolder.open(run_dir, create_from=setup)
    watchers = [TimingLog(run_dir), *observers(run_dir)]
    if replaced:
        for watcher in watchers:
            watcher.notice(BackendReplaced(replaced))
    link_sources(recipe, world, run_dir, options)
    with folder.hold(), executor_for(recipe, evaluation, run_dir, options) as executor:
        for candidate in again:
            folder.clear_outcome(candidate)
        return search(recipe, folder, executor, watchers, options.generations, evaluation)


def search(
    recipe: Recipe,
    folder: RunFolder,
    executor: Executor,
    watchers: Sequence[Observer],
    generations: int | None = None,
    evaluation: EvaluationPlan | None = None,
) -> Result:
    """Searches and concludes in a folder that this process holds.

    Args:
        recipe: The experiment.
        folder: Its run folder.
        executor: Scores the candidates.
        watchers: Are told what happens.
        generations: In all; None takes the recipe's number.
        evaluation: The tasks behind the scores; None where they come from a landscape.
    """
    assert recipe.search is not None
    if generations is None:
        generations = recipe.search.generations

    def tell(event: Event) -> None:
        for watcher in watchers:
            watcher.notice(event)

    ending = Evolution(recipe, folder, executor, watchers).run(generations)
    final = None
    if generations > 0:
        control = None
        if recipe.search.control:
            tell(ControlStarted(ending.n_candidates))
            control = run_control(recipe, folder, executor, ending)
        asked = shortlist.contenders(recipe.in_run(folder.root), executor, ending)
        tell(Concluding(len(recipe.all_models), len(ending.spread), len(asked)))
        final = conclude(recipe, folder, executor, ending, control, evaluation, watchers)
    winner = CandidateId.parse(str(final["winner"])) if final and final["winner"] else None
    tell(Finished(ending.reason, winner or best_id(ending), final or {}))
    return Result(folder, ending, final)


def load(target: str | Path, options: Options, *, suffix: str = "") -> tuple[Recipe, bytes, Path]:
    """The recipe, its bytes and its run folder, for a recipe or a run to resume.

    Args:
        target: A recipe or a run folder.
        options: How it is run.
        suffix: Follows the recipe's name in the name of a new run folder.
    """
    path = Path(target)
    if path.is_dir():
        if not (path / recipes.LOCK_NAME).is_file():
            raise UsageError(f"{path} is neither a recipe nor a run folder")
        path = path / "recipe.yaml"
    path = recipes.find(path)
    recipe = recipes.load(path, overrides=options.overrides, models=options.models)
    if recipe.search is not None and recipe.evaluation is not None:
        warn_of_benchmarks(recipe.evaluation, recipe.document)
    resumed = path.name == "recipe.yaml" and (path.parent / recipes.LOCK_NAME).is_file()
    run_dir = path.parent if resumed else options.run_dir or Path("runs") / (recipe.name + suffix)
    return recipe, path.read_bytes(), run_dir


def require_search(recipe: Recipe) -> None:
    """Refuses what is no experiment, or a search that cannot be, before a folder is made.

    Raises:
        UsageError: The recipe is a single merge.
        RecipeError: The strategy or its parameters are mistaken.
    """
    if recipe.search is None:
        raise UsageError(
            f"recipe {recipe.name!r} is a single merge",
            hint="evomerge merge runs it; a search needs kind: experiment",
        )
    build(recipe)


def link_sources(recipe: Recipe, world: World, run_dir: Path, options: Options) -> None:
    """Converts what has to be converted, and links every source where compiled merges name it.

    ``models/src/<alias>`` is what lets ``mergekit-yaml`` run a candidate's file by hand.

    Raises:
        MissingPrerequisite: A model is not here and cannot be fetched.
    """
    (run_dir / MODELS / LINKS).mkdir(parents=True, exist_ok=True)
    for alias, model in world.sources.items():
        found = materialise(
            model,
            recipe.folder,
            run_dir / MODELS,
            trust_remote_code=options.merge.trust_remote_code,
        )
        link_source(run_dir / MODELS, alias, found)


def evaluation_of(recipe: Recipe, options: Options) -> EvaluationPlan:
    """How the recipe's models are scored.

    Raises:
        UsageError: The recipe does not say.
    """
    if recipe.evaluation is None:
        raise UsageError(
            f"recipe {recipe.name!r} has no evaluation",
            hint="add evaluation: tasks: to it, or use a candidate of an experiment",
        )
    return plan_evaluation(
        recipe.evaluation,
        folder=recipe.folder,
        document=recipe.document,
        device=options.device,
        trust_remote_code=options.merge.trust_remote_code,
        unsafe_code=options.unsafe_code,
    )


def _resolved(
    recipe: Recipe, world: World, evaluation: EvaluationPlan, options: Options
) -> dict[str, object]:
    """What must be the same when the run goes on."""
    models = {alias: model.identity for alias, model in world.sources.items()}
    return {
        "models": models,
        "template": f"{recipe.template.name} sha256:{recipe.template.sha256}",
        "tasks": f"sha256:{evaluation.tasks_hash}",
        "versions": {name: importlib.metadata.version(name) for name in LOCKED_VERSIONS},
        **_devices(evaluation, options),
        "dtype": evaluation.dtype,
        "batch_size": evaluation.batch_size,
        "seed": recipe.seed,
    }


def with_backend(plan: EvaluationPlan, options: Options) -> tuple[EvaluationPlan, str]:
    """The evaluation with a backend that can be had here, and why it is another one, if it is."""
    if options.ray_address is not None:
        return plan, ""  # the nodes score, and say what they lack
    return backends.available(plan, device_kind(plan.device))


def n_workers(options: Options, evaluation: EvaluationPlan) -> int:
    """How many workers an evolution has."""
    if options.jobs is not None:
        return options.jobs
    if options.executor == "ray":
        return 1
    return max(1, len(place(evaluation.device, options.merge).gpus))


def _devices(evaluation: EvaluationPlan, options: Options) -> dict[str, str]:
    """What computes, as the lock names it: scores of one do not compare with another's.

    What every older lock means is left out of it.
    """
    elsewhere = options.ray_address is not None
    found = {"device": device_kind(evaluation.device, elsewhere=elsewhere)}
    if options.executor == "ray":
        cuda = found["device"] == "cuda" if options.merge.cuda is None else options.merge.cuda
    else:
        cuda = place(evaluation.device, options.merge).merges_on == "cuda"
    # A GPU draws other random numbers, and may round otherwise.
    merging = {"merge_device": "cuda"} if cuda else {}
    backend = {"backend": evaluation.backend} if evaluation.backend != "hf" else {}
    return {**found, **merging, **backend}


def device_kind(device: str, *, elsewhere: bool = False) -> str:
    """``cpu`` or ``cuda``: scores of the two do not compare digit by digit.

    Args:
        device: As given; ``auto`` asks this machine.
        elsewhere: Models run on other machines, which may have the GPU that this one lacks.

    Raises:
        MissingPrerequisite: A GPU is asked for and there is none.
        UsageError: There is no such device.
    """
    kind, _ = gpus.parse_device(device)
    if kind == "auto":
        return "cuda" if gpu_available() else "cpu"
    if kind == "cuda" and not elsewhere and not gpu_available():
        raise MissingPrerequisite(
            f"device {device!r} is asked for and no GPU is found", hint="use --device cpu"
        )
    return kind


@contextmanager
def executor_for(
    recipe: Recipe, evaluation: EvaluationPlan, work: Path, options: Options
) -> Iterator[Executor]:
    """The executor that merges and scores in ``work``, with its workers ended afterwards."""
    assert recipe.evaluation is not None
    settings = LocalSettings(
        work=work / MODELS,
        recipe_folder=recipe.folder,
        n_workers=n_workers(options, evaluation),
        merge=options.merge,
        timeout_s=recipe.evaluation.timeout_s,
        retries=options.retries,
        offline=evaluation.offline,
    )
    made: Executor
    if options.executor == "ray":
        made = RayExecutor(evaluation, settings, recipe.ray, options.ray_address)
    else:
        made = LOCAL_EXECUTORS[options.executor](evaluation, settings)
    with made as executor:
        yield executor
