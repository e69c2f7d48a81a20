"""A search on a simulated landscape: the same loop, strategy and run folder, and no model.

Candidates are compiled, so a mistake in a recipe shows here too; what they score is computed from
their merge or their genes. It is how a search is tried before it costs anything.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path

from evomerge_compiler.compiler import World, check_dead_genes, gather
from evomerge_compiler.durability import volatile
from evomerge_compiler.events import Observer
from evomerge_compiler.executors import landscapes
from evomerge_compiler.executors.landscapes import GeneLandscape, GeneValues
from evomerge_compiler.executors.simulated import SimulatedExecutor
from evomerge_compiler.launch import Options, Result, load, require_search, search
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.run_folder.setup import SIMULATION, RunSetup

# A simulated run never takes the folder of a real one.
SUFFIX = "-simulated"


def simulate(
    target: str | Path,
    options: Options,
    observers: Callable[[Path], Sequence[Observer]] = lambda _: (),
) -> Result:
    """Runs a simulated search to its end; the same call resumes one that was interrupted.

    Args:
        target: A recipe, or the folder of a simulated run to resume.
        options: Run folder, generations, models and overrides; the rest is for real runs.
        observers: Makes the observers, given the run folder.

    Raises:
        EvomergeError: Bad input, or a held or damaged run folder.
    """
    recipe, source, run_dir = load(target, options, suffix=SUFFIX)
    require_search(recipe)
    landscape = landscapes.of_recipe(recipe)
    world = gather(recipe)
    check_dead_genes(recipe)
    setup = RunSetup(
        recipe=recipe,
        source=source,
        resolved=_resolved(recipe, world),
        overrides=options.overrides,
        models=options.models,
        accept_lock=options.accept_lock,
    )
    folder = RunFolder.open(run_dir, create_from=setup)
    values = GeneValues(recipe.space) if isinstance(landscape, GeneLandscape) else None
    # Microseconds a candidate: a pool of processes would only cost.
    executor = SimulatedExecutor(landscape, values=values)
    with folder.hold(), executor, volatile():
        return search(recipe, folder, executor, observers(run_dir), options.generations)


def _resolved(recipe: Recipe, world: World) -> dict[str, object]:
    """What must be the same when the run goes on; a real run never has the same."""
    return {
        SIMULATION: recipe.simulation.model_dump(mode="json"),
        "models": {alias: model.identity for alias, model in world.sources.items()},
        "template": f"{recipe.template.name} sha256:{recipe.template.sha256}",
        "versions": {"mergekit": importlib.metadata.version("mergekit")},
        "seed": recipe.seed,
    }
