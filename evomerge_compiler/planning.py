"""What an evolution would do next, without doing it: steps, reasons, and what they need."""

from __future__ import annotations

import itertools
import json
import logging
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evomerge_compiler import needs, yamlio
from evomerge_compiler.candidate import Outcome, Proposal
from evomerge_compiler.compiler import compile_recipe
from evomerge_compiler.compiler.merge_plan import MergePlan
from evomerge_compiler.evaluation.spec import EvaluationPlan, eval_key
from evomerge_compiler.events import CandidateDone, Event, Observer
from evomerge_compiler.evolution import arrange, score_names
from evomerge_compiler.executors.local import LocalSettings
from evomerge_compiler.history import History
from evomerge_compiler.merging.stage_cache import StageCache
from evomerge_compiler.needs import How, Machine, Need
from evomerge_compiler.plan_bounds import (
    FinalItems,
    RaceRange,
    ShortlistItems,
    WrittenParents,
    final_items,
    race_range,
    shortlist_items,
    written_parents,
)
from evomerge_compiler.plan_time import CandidateTime, assumed, measured
from evomerge_compiler.racing import rival_of
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.seeds import SEED_OPERATOR, seed_proposals
from evomerge_compiler.strategies.factory import build
from evomerge_compiler.time_budget import spent_s

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
        time: Of a candidate, with one worker.
        how: How it will be run.
        race: What racing may save; None where candidates do not race.
        parents: What crossings may write to disk; None where no candidates are crossed.
        shortlist: What the best are asked at the end; None where the search asks everything.
        final: What is asked after that; None where it has been.
        seconds_allowed: What is left of the budget of time; None for no limit.
    """

    steps: tuple[Step, ...]
    generations_left: int
    candidates_left: int
    needs: tuple[Need, ...]
    machine: Machine
    time: CandidateTime
    how: How
    race: RaceRange | None = None
    parents: WrittenParents | None = None
    shortlist: ShortlistItems | None = None
    final: FinalItems | None = None
    seconds_allowed: float | None = None

    @property
    def seconds(self) -> float:
        """Expected time of the search that is left, if nothing is dropped."""
        return self.candidates_left * self.time.seconds / self.how.workers

    @property
    def seconds_at_least(self) -> float | None:
        """The same if all that race are dropped at their first look; None where none race."""
        if self.race is None:
            return None
        raced = self.race.racing * self.time.asked(self.race.first_look)
        return (self.race.whole * self.time.seconds + raced) / self.how.workers

    @property
    def shortlist_seconds(self) -> float:
        """Expected time of the shortlist."""
        short = self.shortlist
        if short is None:
            return 0.0
        return short.candidates * self.time.asked(short.items) / self.how.workers

    @property
    def final_seconds(self) -> float:
        """Expected time of the final test, and of the control arm if there is one."""
        return 0.0 if self.final is None else self.final.seconds(self.time) / self.how.workers

    @property
    def candidates_per_hour(self) -> float:
        """With all workers."""
        return 3600 * self.how.workers / self.time.seconds


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
    assert recipe.search is not None
    ahead = _next(recipe, run_dir, evaluation)
    stages = run_dir / "models" / "stages"
    cache = StageCache(stages) if stages.is_dir() else None
    allowed = _seconds_allowed(recipe, run_dir)
    left = ahead.generations_left(generations, recipe.search.budget.candidates)
    if allowed is not None and allowed <= 0:
        left = min(left, int(ahead.is_open))
    generations = min(generations, ahead.number + left)
    waiting = len(ahead.plans) - len(ahead.done) if left else 0
    candidates = waiting + max(0, left - 1) * (len(ahead.plans) - ahead.n_seeds)
    merges = [merge for merge in ahead.plans.values() if merge is not None]
    # With nothing left to merge, the first merge of the recipe stands for its size.
    merges = merges or [compile_recipe(recipe)]
    race = race_range(recipe, evaluation, candidates, 0 if ahead.has_rival else waiting)
    parents = written_parents(
        recipe,
        first=ahead.number,
        generations=generations,
        n_stages=len(compile_recipe(recipe).stages),
        bytes_each=max(map(needs.result_bytes, merges)),
    )
    short = final = None
    if left or not (run_dir / "final.yaml").is_file():
        most = (generations - 1) * (len(ahead.plans) - ahead.n_seeds) + len(ahead.plans)
        most = most if generations else 0
        short = shortlist_items(recipe, evaluation, most)
        final = final_items(recipe, evaluation, most)
    return Plan(
        steps=tuple(_steps(ahead, cache)) if left else (),
        generations_left=left,
        candidates_left=candidates,
        needs=(*needs.needs(merges, evaluation, how, machine, candidates), *_kept(parents, how)),
        machine=machine,
        time=_timed(run_dir, evaluation, how) or assumed(merges, evaluation, how),
        how=how,
        race=race,
        parents=parents,
        shortlist=short,
        final=final,
        seconds_allowed=allowed,
    )


def _seconds_allowed(recipe: Recipe, run_dir: Path) -> float | None:
    """What is left of ``search.budget.hours``; None for no limit."""
    assert recipe.search is not None
    hours = recipe.search.budget.hours
    if hours is None:
        return None
    begun = (run_dir / "recipe.lock.yaml").is_file()
    return max(0.0, 3600.0 * hours - (spent_s(RunFolder.open(run_dir)) if begun else 0.0))


def _kept(parents: WrittenParents | None, how: How) -> list[Need]:
    """The disk that parents take at one time."""
    if parents is None or not parents.at_most:
        return []
    limit = LocalSettings.stage_limit_bytes
    held = max(limit, how.workers * parents.per_candidate * parents.bytes_each)
    n_bytes = min(parents.at_most * parents.bytes_each, held)
    return [Need("disk", "candidates that others merge (models/parents)", n_bytes)]


@dataclass(frozen=True)
class _Ahead:
    """The generation that comes next.

    Attributes:
        number: Its number.
        plans: Slot to merge; None where there is an outcome.
        done: Slot to why nothing is left to do.
        n_seeds: How many of its slots are of hand-written recipes.
        n_before: Candidates of the generations before it.
        is_open: Whether it has begun: then it is finished, whatever the budget.
        has_rival: Whether it has somebody to race against.
    """

    number: int
    plans: Mapping[str, MergePlan | None]
    done: Mapping[str, str] = field(default_factory=dict)
    n_seeds: int = 0
    n_before: int = 0
    is_open: bool = False
    has_rival: bool = False

    def generations_left(self, generations: int, budget: int | None) -> int:
        """Generations that will run, this one included.

        Args:
            generations: In all.
            budget: Candidates after which no further generation begins; None for no limit.
        """
        left = max(0, generations - self.number)
        if budget is None:
            return left
        if self.n_before >= budget and not self.is_open:
            return 0
        later = len(self.plans) - self.n_seeds
        missing = budget - self.n_before - len(self.plans)
        return min(left, 1 + max(0, math.ceil(missing / later)))


def _next(recipe: Recipe, run_dir: Path, evaluation: EvaluationPlan) -> _Ahead:
    if not (run_dir / "recipe.lock.yaml").is_file():
        seeds = seed_proposals(recipe)
        proposals = arrange([*build(recipe).ask(0), *seeds])
        return _Ahead(0, _compiled(recipe, proposals), n_seeds=len(seeds))
    run = RunFolder.open(run_dir)
    recipe = recipe.in_run(run_dir)
    assert recipe.search is not None
    past = [run.outcomes(sealed) for sealed in run.sealed_generations()]
    history = History(recipe.search)
    for outcomes in past:
        history.add(outcomes)
    n_before, has_rival = history.n_candidates, rival_of(history) is not None
    number = run.open_generation()
    if number is None:
        strategy = build(recipe)
        for sealed, outcomes in enumerate(past):
            strategy.ask(sealed)
            strategy.tell(sealed, outcomes)
        proposals = arrange(strategy.ask(len(past)))
        plans, done = _reused(_compiled(recipe, proposals), past, evaluation)
        return _Ahead(len(past), plans, done, n_before=n_before, has_rival=has_rival)
    stored = run.candidates(number)
    plans, done = _reused(
        {c.id.slot_name: compile_recipe(recipe, genome=c.genome) for c in stored if not c.done},
        [*past, [c.outcome for c in stored if c.done]],
        evaluation,
    )
    done |= {c.id.slot_name: "has its outcome" for c in stored if c.done}
    plans = {c.id.slot_name: plans.get(c.id.slot_name) for c in stored}
    n_seeds = sum(c.lineage.operator == SEED_OPERATOR for c in stored)
    return _Ahead(number, plans, done, n_seeds, n_before, True, has_rival)


def _reused(
    plans: Mapping[str, MergePlan | None],
    past: Sequence[Sequence[Outcome]],
    evaluation: EvaluationPlan,
) -> tuple[dict[str, MergePlan | None], dict[str, str]]:
    """The plans without those whose scores are there, as the search finds them, and why."""
    known: dict[str, str] = {}
    for outcome in itertools.chain.from_iterable(past):
        if outcome.scores is not None:
            known.setdefault(outcome.scores.eval_key, str(outcome.id))
    left, done = dict(plans), {}
    for slot, merge in plans.items():
        if merge is None:
            continue
        names = score_names(merge, eval_key(merge.merge_key, evaluation))
        found = next(filter(None, map(known.get, names)), None)
        if found is not None:
            left[slot], done[slot] = None, f"equals {found}, whose scores it takes"
    return left, done


def _compiled(recipe: Recipe, proposals: Sequence[Proposal]) -> dict[str, MergePlan | None]:
    genomes = {f"c{slot:02d}": proposal.genome for slot, proposal in enumerate(proposals)}
    return {name: compile_recipe(recipe, genome=genome) for name, genome in genomes.items()}


def _steps(ahead: _Ahead, cache: StageCache | None) -> list[Step]:
    steps: list[Step] = []
    made: dict[str, str] = {}
    for slot, merge in ahead.plans.items():
        name = f"{ahead.number:03d}/{slot}"
        if merge is None:
            steps.append(Step(name, "all", ahead.done[slot], runs=False))
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
        merging: Seconds that each candidate that was run was merged for.
        scoring: Seconds that it was scored for, or would have been if it was not asked everything.
    """

    folder: Path
    merging: list[float] = field(default_factory=list)
    scoring: list[float] = field(default_factory=list)

    def notice(self, event: Event) -> None:
        """Notes one candidate's time."""
        if isinstance(event, CandidateDone) and not event.reused and event.evaluate_s > 0:
            self.merging.append(event.merge_s)
            race = event.outcome.scores.race if event.outcome.scores is not None else None
            self.scoring.append(event.evaluate_s * (race.of / race.seen if race else 1.0))
            path = self.folder / TIMINGS_FILE
            path.parent.mkdir(parents=True, exist_ok=True)
            means = {
                "merge_s": statistics.mean(self.merging),
                "evaluate_s": statistics.mean(self.scoring),
                "n": len(self.scoring),
            }
            yamlio.write_atomic(path, json.dumps(means) + "\n")


def _timed(run_dir: Path, evaluation: EvaluationPlan, how: How) -> CandidateTime | None:
    """What this run's candidates took so far."""
    try:
        data = json.loads((run_dir / TIMINGS_FILE).read_text(encoding="utf-8"))
        merge_s, score_s = float(data["merge_s"]), float(data["evaluate_s"])
        return measured(merge_s, score_s, int(data["n"]), evaluation, how)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        log.info("%s cannot be used: %s", TIMINGS_FILE, error)
        return None
