"""A warm candidate beside bare generation: what evomerge adds to the model's own work.

Bare generation is ``model.generate`` of transformers on the very batches that a candidate's
scoring sent, with the same stopping and the same weights, and nothing else: no merge, no
prompts, no answers read, none judged.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomerge_compiler import worker
from evomerge_compiler.bench.figures import Figure, at_most, figure, ratio
from evomerge_compiler.bench.setting import Setting
from evomerge_compiler.bench.stopwatch import wrapped
from evomerge_compiler.bench.usage import cpu_seconds
from evomerge_compiler.bench.work import prepare
from evomerge_compiler.compiler import MergePlan
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.process_pool import WorkerPool
from evomerge_compiler.processes import worker_environment


@dataclass(frozen=True)
class Round:
    """One candidate, and the generation of its answers alone.

    Attributes:
        warm_s: Wall time of merging, loading and scoring.
        warm_cpu_s: Processor time of it, with what runs in the sandbox.
        score_s: Wall time of the scoring alone.
        bare_s: Wall time of bare generation.
        bare_cpu_s: Its processor time.
        n_answers: Prompts that were answered.
    """

    warm_s: float
    warm_cpu_s: float
    score_s: float
    bare_s: float
    bare_cpu_s: float
    n_answers: int


def run(setting: Setting) -> Iterator[Figure]:
    """Scores candidates and generates their answers again, in turns, in one worker."""
    work = prepare(setting, "overhead", setting.size(33, 2))
    with WorkerPool(1, environment=worker_environment(offline=True)) as pool:
        args = (work.plans, work.sources, work.evaluation, work.folder, work.options)
        rounds = pool.submit(measure, *args).result()
    note = f"{rounds[0].n_answers} answers, batches of {work.evaluation.batch_size}"
    warm, bare = "warm candidate", "bare generate"
    yield figure(warm, [r.warm_s for r in rounds], "s", note=note)
    yield figure(bare, [r.bare_s for r in rounds], "s", note=note)
    yield ratio(
        (warm, bare), [r.warm_s for r in rounds], [r.bare_s for r in rounds], bound=at_most(1.25)
    )
    yield ratio(
        (warm, bare), [r.warm_cpu_s for r in rounds], [r.bare_cpu_s for r in rounds],
        name=f"{warm} / {bare}, processor time",
    )  # fmt: skip
    yield ratio(
        ("its scoring alone", bare), [r.score_s for r in rounds], [r.bare_s for r in rounds]
    )


def measure(
    plans: Sequence[MergePlan], sources: dict[str, Path], evaluation: EvaluationPlan, work: Path,
    options: MergeOptions,
) -> list[Round]:  # fmt: skip
    """Scores and generates in turns; runs in a worker. The first plan is a warm-up."""
    first, *others = plans
    worker.merge_and_score(first, sources, evaluation, ("search",), work, options)
    bare = Bare()
    rounds = []
    for plan in others:
        cpu, started = cpu_seconds(), time.monotonic()
        with bare.recording():
            done = worker.merge_and_score(plan, sources, evaluation, ("search",), work, options)
        warm_s, warm_cpu_s = time.monotonic() - started, cpu_seconds() - cpu
        assert isinstance(done, worker.Scored)
        bare.copy_weights()
        cpu, started = cpu_seconds(), time.monotonic()
        n_answers = bare.generate()
        bare_s, bare_cpu_s = time.monotonic() - started, cpu_seconds() - cpu
        rounds.append(Round(warm_s, warm_cpu_s, done.evaluate_s, bare_s, bare_cpu_s, n_answers))
    return rounds


class Bare:
    """A plain copy of the resident model that generates what the resident one did."""

    def __init__(self) -> None:
        self._resident: Any = None
        self._model: Any = None
        self._calls: list[dict[str, Any]] = []

    def recording(self) -> AbstractContextManager[None]:
        """Remembers how lm-eval calls the resident model."""
        from transformers import GenerationMixin

        self._calls.clear()

        def remember(original: Any, model: Any, **arguments: Any) -> Any:
            self._resident = model
            self._calls.append(dict(arguments))
            return original(model, **arguments)

        return wrapped(GenerationMixin, "generate", remember)

    def copy_weights(self) -> None:
        """Takes over the weights of the resident model, without its hooks."""
        from transformers import AutoModelForCausalLM

        resident = self._resident
        if self._model is None:
            made = AutoModelForCausalLM.from_config(resident.config, dtype=resident.dtype)
            self._model = made.to(resident.device).eval()
            self._model.generation_config = resident.generation_config
        self._model.load_state_dict(resident.state_dict())

    def generate(self) -> int:
        """Generates all batches again.

        Returns:
            How many answers that gave.
        """
        n_answers = 0
        for call in self._calls:
            again = {**call, "stopping_criteria": _afresh(call["stopping_criteria"], call)}
            n_answers += len(self._model.generate(**again))
        return n_answers


def _afresh(criteria: Any, call: dict[str, Any]) -> Any:
    """lm-eval's stopping criteria as they were before the first token."""
    from lm_eval.models.utils_hf import stop_sequences_criteria

    rows, length = call["input_ids"].shape
    tokenizer = criteria[0].tokenizer if criteria else None
    return stop_sequences_criteria(tokenizer, [one.sequence for one in criteria], length, rows)
