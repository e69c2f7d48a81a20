"""What a plan says of the next generation is what the search then does."""

from __future__ import annotations

from pathlib import Path

from simulated_run import QUICKSTART

from evomerge_compiler import planning
from evomerge_compiler import recipe as recipes
from evomerge_compiler.evaluation.spec import eval_key, plan_evaluation
from evomerge_compiler.events import CandidateDone, Event, Observer
from evomerge_compiler.evolution import Evolution
from evomerge_compiler.executors.base import Job, Split
from evomerge_compiler.executors.local import identity
from evomerge_compiler.executors.simulated import SimulatedExecutor
from evomerge_compiler.needs import How, Machine
from evomerge_compiler.run_folder import RunFolder, RunSetup

ELITES = (
    "search.strategy=tournament", "search.parameters={elitism: 3}",
    "search.plateau.patience=0", "search.population=8",
)  # fmt: skip


class Reused(Observer):
    """Keeps which candidates took over the scores of an equal one."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def notice(self, event: Event) -> None:
        if isinstance(event, CandidateDone) and event.reused:
            self.ids.add(str(event.outcome.id))


def test_candidates_that_equal_scored_ones_are_known(tmp_path: Path) -> None:
    recipe = recipes.load(QUICKSTART, overrides=ELITES)
    assert recipe.evaluation is not None
    evaluation = plan_evaluation(recipe.evaluation, folder=recipe.folder)

    class Measured(SimulatedExecutor):
        """Its scores are called as those of models are."""

        def eval_key(self, job: Job, split: Split) -> str:
            return eval_key(identity(job), evaluation, split)

    setup = RunSetup(recipe, QUICKSTART.read_bytes(), {}, ELITES)
    folder = RunFolder.open(tmp_path / "run", create_from=setup)
    reused = Reused()

    def search(generations: int) -> None:
        with folder.hold(), Measured() as executor:
            Evolution(recipe, folder, executor, [reused]).run(generations)

    search(1)
    ahead = planning.plan(
        recipe, folder.root, 2, evaluation=evaluation, how=How(), machine=Machine()
    )
    skipped = {step.candidate: step for step in ahead.steps if not step.runs}
    search(2)
    later = {id for id in reused.ids if id.startswith("001/")}
    whole = {name for name, step in skipped.items() if step.what == "all"}
    assert whole == later and len(later) >= 2
    assert any(step.reason.startswith("equals 000/c") for step in skipped.values())
    assert ahead.candidates_left == len(folder.candidates(1)) - len(
        [step for step in skipped.values() if "whose scores" in step.reason]
    )
