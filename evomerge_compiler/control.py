"""The control arm: as many random candidates as the search had, scored the same way.

A search that does not beat guessing at equal cost has found nothing but luck. The arm is a run of
its own in the run's folder ``control/``: it can be looked at, and it resumes, as every run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from evomerge_compiler import baselines, shortlist, yamlio
from evomerge_compiler import fitness as fit
from evomerge_compiler import recipe as recipes
from evomerge_compiler.conclusion import Control
from evomerge_compiler.evolution import Evolution
from evomerge_compiler.executors.base import Executor
from evomerge_compiler.history import Ending
from evomerge_compiler.recipe import CONTROL, Recipe
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.run_folder.setup import RunSetup


def run_control(recipe: Recipe, folder: RunFolder, executor: Executor, ending: Ending) -> Control:
    """Runs or resumes the control arm of a search that has ended.

    Args:
        recipe: The experiment.
        folder: Its run folder, held by this process.
        executor: Scores the candidates.
        ending: What the search came to; the arm gets as many candidates, in whole generations.

    Raises:
        EvomergeError: As for any run.
    """
    made = control_recipe(recipe, ending.n_candidates)
    assert made.search is not None
    source = yamlio.dump(made.document.data).encode()
    setup = RunSetup(made, source, folder.lock.resolved, accept_lock=True)
    control = RunFolder.open(folder.root / CONTROL, create_from=setup)
    with control.hold():
        found = Evolution(made, control, executor).run(made.search.generations)
        # The search's own best comes of a shortlist: so does that of the guesses.
        short = shortlist.ask(made.in_run(control.root), control, executor, found)
        kept = set(short.places) if short else set()
        if fit.needs_models(made.search.constraints):
            kept |= baselines.places(baselines.models(made, ("search",)))
        control.keep_baselines(kept)
    return Control(short.ending.best if short else found.best, found.n_candidates)


def control_recipe(recipe: Recipe, n_candidates: int) -> Recipe:
    """The same experiment, searched by guessing; no hand-written seeds, and draws of its own."""
    assert recipe.search is not None
    data = recipe.document.data
    assert isinstance(data, Mapping)
    kept = ("objectives", "constraints", "max_failed_share", "finalists", "shortlist")
    search = {key: data["search"][key] for key in kept if key in data.get("search", {})}
    search |= {
        "strategy": "random",
        "population": recipe.search.population,
        "generations": math.ceil(n_candidates / recipe.search.population),
        "plateau": {"patience": 0},
    }
    # A strategy may draw its first generation as the arm does: with one seed they would share it.
    seed = (recipe.seed + 1) % 2**63
    made = {**data, "name": f"{recipe.name[:54]}-control", "search": search, "seed": seed}
    made.pop("seeds", None)
    return recipes.from_data(made, recipe.folder, "the control arm")
