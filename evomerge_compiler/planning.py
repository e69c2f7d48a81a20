"""What an evolution would do next, without doing it: steps, reasons, and what they need."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evomerge_compiler import needs, yamlio
from evomerge_compiler.compiler import compile_recipe
from evomerge_compiler.compiler.merge_plan import MergePlan
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.events import CandidateDone, Event, Observer
from evomerge_compiler.evolution import arrange
from evomerge_compiler.merging.stage_cache import StageCache
from evomerge_compiler.needs import How, Machine, Need
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.seeds import seed_proposals
from evomerge_compiler.strategies.factory import build

log = logging.getLogger(__name__)
TIMINGS_FILE = ".evomerge/timings.json"


@dataclass(frozen=True)
class Step:
    """One step of the next generation.

    Attributes:
        candidate: ``000/c03``.
        what: ``merge s1`` or ``evaluate``.
        reason: Why it runs, or why it does not.
        runs: Whether it runs.
    """

    candidate: str
    what: str
    reason: str
    runs: bool


@dataclass(frozen=True)
class Plan:
    """What is to come.

    Attributes:
        steps: Of the next generation.
        generations_left: Including the next.
        candidates_left: At most.
        needs: What takes room, and how much.
        machine: What is free.
        seconds_per_candidate: With one worker.
        basis: Where that is known from.
        how: How it will be run.
    """

    steps: tuple[Step, ...]
    generations_left: int
    candidates_left: int
    needs: tuple[Need, ...]
    machine: Machine
    seconds_per_candidate: float
    basis: str
    how: How

    @property
    def seconds(self) -> float:
        """Expected time of all that is left."""
        return self.candidates_left * self.seconds_per_candidate / self.how.workers

    @property
    def candidates_per_hour(self) -> float:
        """With all workers."""
        return 3600 * self.how.workers / self.seconds_per_candidate


def plan(
    recipe: Recipe,
    run_dir: Path,
    generations: int,
    *,
    evaluation: EvaluationPlan,
    how: How,
    machine: Machine,
) -> Plan:
    """Plans the next generation of a run that exists or not.

    Args:
        recipe: The experiment.
        run_dir: Its run folder, there or not.
        generations: In all.
        evaluation: How candidates are scored.
        how: How the search will be run.
        machine: What is free.

    Raises:
        EvomergeError: The recipe does not compile.
    """
    number, plans, done = _next(recipe, run_dir)
    stages = run_dir / "models" / "stages"
    cache = StageCache(stages) if stages.is_dir() else None
    steps = tuple(_steps(number, plans, done, cache))
    left = max(0, generations - number)
    candidates = max(0, left * len(plans) - len(done))
    merges = [merge for merge in plans.values() if merge is not None]
    # With nothing left to merge, the first merge of the recipe stands for its size.
    merges = merges or [compile_recipe(recipe)]
    seconds, basis = _timed(run_dir) or needs.assumed_seconds(merges, evaluation, how)
    return Plan(
        steps=steps if left else (),
        generations_left=left,
        candidates_left=candidates,
        needs=tuple(needs.needs(merges, evaluation, how, machine, candidates)),
        machine=machine,
        seconds_per_candidate=seconds,
        basis=basis,
        how=how,
    )


def _next(
    recipe: Recipe, run_dir: Path
) -> tuple[int, dict[str, MergePlan | None], dict[str, str]]:
    """Number, slot plans and finished slots of the generation that comes next."""
    if not (run_dir / "recipe.lock.yaml").is_file():
        proposals = arrange([*build(recipe).ask(0), *seed_proposals(recipe)])
        genomes = {f"c{i:02d}": p.genome for i, p in enumerate(proposals)}
        return 0, {n: compile_recipe(recipe, genome=g) for n, g in genomes.items()}, {}
    run = RunFolder.open(run_dir)
    recipe = recipe.in_run(run_dir)
    number = run.open_generation()
    if number is not None:
        stored = run.candidates(number)
        done = {c.id.slot_name: "has its outcome" for c in stored if c.done}
        plans = {
            c.id.slot_name: compile_recipe(recipe, genome=c.genome) if not c.done else None
            for c in stored
        }
        return number, plans, done
    strategy = build(recipe)
    sealed = run.sealed_generations()
    for past in sealed:
        strategy.ask(past)
        strategy.tell(past, run.outcomes(past))
    proposals = arrange(strategy.ask(len(sealed)))
    genomes = {f"c{i:02d}": p.genome for i, p in enumerate(proposals)}
    return len(sealed), {n: compile_recipe(recipe, genome=g) for n, g in genomes.items()}, {}


def _steps(
    number: int,
    plans: Mapping[str, MergePlan | None],
    done: Mapping[str, str],
    cache: StageCache | None,
) -> list[Step]:
    steps: list[Step] = []
    made: dict[str, str] = {}
    for slot, merge in plans.items():
        name = f"{number:03d}/{slot}"
        if slot in done or merge is None:
            steps.append(Step(name, "all", done.get(slot, "has its outcome"), runs=False))
            continue
        if merge.merge_key in made:
            reason = f"equals {made[merge.merge_key]}"
            steps.append(Step(name, "all", reason, runs=False))
            continue
        made[merge.merge_key] = name
        for stage in merge.stages[:-1]:
            if cache is not None and cache.is_whole(stage.stage_key):
                reason, runs = "stage is in the cache", False
            elif stage.stage_key in made:
                reason, runs = f"stage is shared with {made[stage.stage_key]}", False
            else:
                reason, runs = "new stage", True
            made.setdefault(stage.stage_key, name)
            steps.append(Step(name, f"merge {stage.name}", reason, runs))
        steps.append(Step(name, "merge final", "new merge", runs=True))
        steps.append(Step(name, "evaluate", "no score yet", runs=True))
    return steps


# --------------------------------------------------------------------------------------


@dataclass
class TimingLog(Observer):
    """Keeps how long candidates take, so that the next plan can say.

    Attributes:
        folder: The run folder; the file in it is not tracked by git.
        seconds: Of each candidate that was run.
    """

    folder: Path
    seconds: list[float] = field(default_factory=list)

    def notice(self, event: Event) -> None:
        """Notes one candidate's time."""
        if isinstance(event, CandidateDone) and not event.reused and event.evaluate_s > 0:
            self.seconds.append(event.merge_s + event.evaluate_s)
            mean = sum(self.seconds) / len(self.seconds)
            path = self.folder / TIMINGS_FILE
            path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"seconds_per_candidate": mean, "n": len(self.seconds)})
            yamlio.write_atomic(path, text + "\n")


def _timed(run_dir: Path) -> tuple[float, str] | None:
    """What this run's candidates took so far."""
    try:
        data = json.loads((run_dir / TIMINGS_FILE).read_text(encoding="utf-8"))
        seconds, n = float(data["seconds_per_candidate"]), int(data["n"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        log.info("%s cannot be used: %s", TIMINGS_FILE, error)
        return None
    return seconds, f"measured: mean of {n} candidates of this run"
