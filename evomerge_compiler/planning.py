"""What an evolution would do next, without doing it: steps, reasons, and what they need."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evomerge_compiler import yamlio
from evomerge_compiler.compiler import compile_recipe
from evomerge_compiler.compiler.merge_plan import MergePlan
from evomerge_compiler.compiler.model_headers import SourceModel
from evomerge_compiler.events import CandidateDone, Event, Observer
from evomerge_compiler.evolution import arrange
from evomerge_compiler.merging.options import gpu_available
from evomerge_compiler.merging.stage_cache import StageCache
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.seeds import seed_proposals
from evomerge_compiler.strategies.factory import build

log = logging.getLogger(__name__)
TIMINGS_FILE = ".evomerge/timings.json"
DTYPE_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


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
        disk_bytes: Peak that stages and merged models take.
        ram_bytes: Peak of one worker for weights: those of a model being scored, and one tensor
            of each source while merging.
        gpu_bytes: The same on the GPU; 0 without one.
        seconds: Expected time of all that is left with one worker; None before the first timing.
    """

    steps: tuple[Step, ...]
    generations_left: int
    candidates_left: int
    disk_bytes: int
    ram_bytes: int
    gpu_bytes: int
    seconds: float | None


def plan(recipe: Recipe, run_dir: Path, generations: int) -> Plan:
    """Plans the next generation of a run that exists or not.

    Args:
        recipe: The experiment.
        run_dir: Its run folder, there or not.
        generations: In all.

    Raises:
        EvomergeError: The recipe does not compile.
    """
    number, plans, done = _next(recipe, run_dir)
    stages = run_dir / "models" / "stages"
    cache = StageCache(stages) if stages.is_dir() else None
    steps = tuple(_steps(number, plans, done, cache))
    left = max(0, generations - number)
    candidates = left * len(plans) - len(done)
    every = [p for p in plans.values() if p is not None]
    disk, ram = _needs(every)
    return Plan(
        steps=steps if left else (),
        generations_left=left,
        candidates_left=max(0, candidates),
        disk_bytes=disk,
        ram_bytes=ram,
        gpu_bytes=ram if gpu_available() else 0,
        seconds=_expected(run_dir, max(0, candidates)),
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


def _needs(plans: Sequence[MergePlan]) -> tuple[int, int]:
    """Peak disk and RAM in bytes over a generation's merges, one worker."""
    disk, ram = 0, 0
    stages: set[str] = set()
    for merge in plans:
        size = max((_model_bytes(model, merge) for model in merge.models.values()), default=0)
        stages.update(stage.stage_key for stage in merge.stages[:-1])
        disk = max(disk, size * (len(stages) + 1))
        ram = max(ram, size)
    return disk, ram


def _model_bytes(model: SourceModel, merge: MergePlan) -> int:
    dtype = str(merge.stages[-1].document.get("dtype", "bfloat16"))
    elements = n_parameters(model)
    depth = merge.n_layers / max(1, model.facts.num_hidden_layers)
    return int(elements * DTYPE_BYTES.get(dtype, 2) * max(1.0, depth))


def n_parameters(model: SourceModel) -> int:
    """Parameters of a model: counted from its headers, else estimated from the stated facts.

    The estimate takes a gated MLP of ``intermediate_size`` (4 x hidden where it is not stated)
    and attention with grouped keys and values, as Llama and Qwen have.
    """
    if model.tensors is not None:
        return sum(math.prod(shape) for _, shape in model.tensors.values())
    f = model.facts
    hidden, inner = f.hidden_size, f.intermediate_size or 4 * f.hidden_size
    heads = f.num_attention_heads or 1
    keys = (f.num_key_value_heads or heads) / heads
    layer = hidden * hidden * (2 + 2 * keys) + 3 * hidden * inner
    tables = 1 if f.tie_word_embeddings else 2
    return int(f.num_hidden_layers * layer + tables * f.vocab_size * hidden)


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


def _expected(run_dir: Path, candidates: int) -> float | None:
    try:
        data = json.loads((run_dir / TIMINGS_FILE).read_text(encoding="utf-8"))
        return float(data["seconds_per_candidate"]) * candidates
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        log.info("%s cannot be used: %s", TIMINGS_FILE, error)
        return None
