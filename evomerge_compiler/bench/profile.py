"""Where the milliseconds of one warm candidate go, from the job to its scores."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evomerge_compiler import worker
from evomerge_compiler.bench.figures import Figure, figure
from evomerge_compiler.bench.setting import Setting
from evomerge_compiler.bench.stopwatch import Stopwatch
from evomerge_compiler.bench.work import prepare
from evomerge_compiler.compiler import MergePlan
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.process_pool import WorkerPool
from evomerge_compiler.processes import worker_environment

TRAVEL = "to the worker and back"
REST = "the rest"


def run(setting: Setting) -> Iterator[Figure]:
    """Profiles candidates in a worker that has scored others before."""
    warm_up, n = setting.size((2, 6), (1, 1))
    work = prepare(setting, "profile", warm_up + n)
    found: list[dict[str, float]] = []
    with WorkerPool(1, environment=worker_environment(offline=True)) as pool:
        for number, plan in enumerate(work.plans):
            args = (plan, work.sources, work.evaluation, work.folder, work.options)
            if number < warm_up:
                pool.submit(warm, *args).result()
                continue
            started = time.perf_counter()
            parts = pool.submit(profile, *args).result()
            # Outside the worker's own sum are the pickling and the pipes.
            whole = time.perf_counter() - started
            found.append({**parts, TRAVEL: whole - sum(parts.values())})
    whole = statistics.median([sum(parts.values()) for parts in found])
    yield figure("whole candidate", [1000 * sum(p.values()) for p in found], "ms")
    for name in found[0]:
        values = [parts.get(name, 0.0) for parts in found]
        share = f"{statistics.median(values) / whole:.1%}"
        yield figure(name, [1000 * value for value in values], "ms", note=share)


def warm(
    plan: MergePlan, sources: dict[str, Path], evaluation: EvaluationPlan, work: Path,
    options: MergeOptions,
) -> None:  # fmt: skip
    """Merges and scores a candidate; runs in a worker, before libraries are looked at."""
    worker.merge_and_score(plan, sources, evaluation, ("search",), work, options)


def profile(
    plan: MergePlan, sources: dict[str, Path], evaluation: EvaluationPlan, work: Path,
    options: MergeOptions,
) -> dict[str, float]:  # fmt: skip
    """Merges and scores a candidate under the stopwatch; runs in a worker.

    Returns:
        Part to seconds, in the order of the work.
    """
    parts = _parts()
    watch = Stopwatch()
    started = time.perf_counter()
    with watch.watching(parts):
        done = worker.merge_and_score(plan, sources, evaluation, ("search",), work, options)
    whole = time.perf_counter() - started
    assert isinstance(done, worker.Scored)
    seconds = {part: watch.seconds[part] for part in parts}
    return {**seconds, REST: whole - sum(seconds.values())}


def _parts() -> dict[str, tuple[Any, str]]:
    """Part to the function that does it."""
    from lm_eval.models import utils_hf
    from transformers import GenerationMixin, Qwen2ForCausalLM

    from evomerge_compiler.evaluation import lm_eval, metered, resident, sandbox
    from evomerge_compiler.merging import in_memory

    hflm = metered.metered_hflm()
    return {
        "merge: plan": (in_memory.PreparedMerge, "__init__"),
        "merge: tensors, hashed and in place": (resident.ResidentModel, "_swap"),
        "load: is it the same model but for its weights": (resident.ResidentModel, "load"),
        "generate: forward passes": (Qwen2ForCausalLM, "forward"),
        "generate: guard against NaN": (Qwen2ForCausalLM, "__call__"),
        "generate: stop strings": (utils_hf.MultiTokenEOSCriteria, "__call__"),
        "generate: transformers around the model": (GenerationMixin, "generate"),
        "generate: lm-eval around transformers": (hflm, "generate_until"),
        "generate: where answers ended": (metered._Recorder, "add_partial"),
        "score: generated code in the sandbox": (sandbox.Sandbox, "run"),
        "score: judge answers": (lm_eval, "_judge"),
    }
