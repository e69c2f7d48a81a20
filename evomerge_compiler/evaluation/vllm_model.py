"""A model scored by vLLM through lm-eval's own class, from a folder on disk.

Every model gets an engine of its own, which takes half a minute to start: worth it where answers
are long, a loss where they are short. Weights are never loaded into a live engine. vLLM can do it,
but prefixes that the model before has cached would still count, and a load that fails half way
leaves a mixture. Nor does a process get all of an engine's memory back, so that
:func:`evomerge_compiler.worker.score_model` gives each model a process.

Written against lm-eval 0.4.13's ``VLLM`` and run with a stand-in for vLLM in the tests; see
``docs/gpu.md`` for what has been run on a GPU.
"""

from __future__ import annotations

import functools
import gc
import json
import math
import os
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evomerge_compiler.errors import MissingPrerequisite, WorkFailed, full_disk
from evomerge_compiler.evaluation.failures import failures_of_work, non_finite
from evomerge_compiler.evaluation.metered import Finish, Usage, quiet_lm_eval, usage_key
from evomerge_compiler.evaluation.model_weights import Weights
from evomerge_compiler.evaluation.resident import shell_hashes
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.merging.weights import read_tensors

# Of a GPU's memory, for all engines on it. The rest is for the contexts of other processes, such
# as the one that merges there.
MEMORY_SHARE = 0.85


class VllmModel:
    """Holds one engine; the counterpart of :class:`~.resident.ResidentModel`.

    Attributes:
        lm: lm-eval's model object, None before the first load.
        tokenizer_key: Hash of the model's tokenizer and chat template.
        n_parameters: Elements of all its tensors.
    """

    def __init__(self, plan: EvaluationPlan) -> None:
        self.plan = plan
        self.lm: Any = None
        self.tokenizer_key = ""
        self.n_parameters = 0

    def load(self, model: Path | Weights) -> None:
        """Starts an engine for a model folder, in place of the one before.

        Raises:
            WorkFailed: The model does not load, or memory ran out.
            MissingPrerequisite: vLLM is not installed.
            OSError: The disk is full.
        """
        if not isinstance(model, Path):
            raise TypeError("vLLM reads a model folder")
        self.drop()
        tokenizer_key = shell_hashes(model)[1]
        n_parameters = sum(spec.n_elements for spec in read_tensors(model).values())
        make = metered_vllm()
        try:
            with failures_of_work("start vLLM"), quiet_lm_eval():
                self.lm = make(model, self.plan)
        except (OSError, ValueError, KeyError, TypeError) as error:
            if full_disk(error) is not None:  # it compiles for a model, and keeps that on disk
                raise
            text = str(error).replace(str(model), "MODEL")
            raise WorkFailed(
                f"vLLM does not load the model: {text}", reason="invalid", step="evaluate"
            ) from error
        self.tokenizer_key, self.n_parameters = tokenizer_key, n_parameters

    def settle(self) -> None:
        """Nothing stays: an engine's process ends with its model."""

    def drop(self) -> None:
        """Ends the engine."""
        if self.lm is not None:
            self.lm = None
            gc.collect()  # an engine ends when nothing refers to it


def arguments(model: Path, plan: EvaluationPlan) -> dict[str, Any]:
    """What lm-eval's ``VLLM`` is given."""
    return {
        "pretrained": str(model),
        "dtype": plan.dtype,
        "trust_remote_code": plan.trust_remote_code,
        "max_length": plan.max_length,
        # All requests at once: vLLM makes up batches by itself, of so many at a time.
        "batch_size": "auto",
        "max_batch_size": plan.batch_size,
        "gpu_memory_utilization": round(MEMORY_SHARE / plan.gpu_workers, 3),
    }


class _Recorder:
    """Stands in for lm-eval's answer cache, which is told of every answer in batch order."""

    def __init__(self) -> None:
        self.usage: dict[tuple[str, str], deque[Usage]] = defaultdict(deque)
        self.pending: deque[Usage] = deque()
        self.gen_kwargs: Mapping[str, Any] = {}

    def add_partial(self, attr: str, request: Any, answer: Any) -> None:
        # lm-eval names the answer by the arguments that vLLM got, not by those of the task.
        if attr == "generate_until":
            self.usage[usage_key(request[0], self.gen_kwargs)].append(self.pending.popleft())


def usage_of(output: Any, end_of_text: str) -> Usage:
    """How one answer ended.

    Args:
        output: vLLM's ``CompletionOutput``.
        end_of_text: The text of the token that ends an answer; lm-eval makes it a stop string.

    Raises:
        WorkFailed: The model computed NaN or infinity.
    """
    logprob = output.cumulative_logprob
    if logprob is not None and not math.isfinite(logprob):
        raise non_finite("the model computes log-probabilities that are not finite")
    finish: Finish = "length"
    if output.finish_reason != "length":
        # vLLM names the string that it stopped at, or a token's number; for its own end, nothing.
        by_text = isinstance(output.stop_reason, str) and output.stop_reason != end_of_text
        finish = "stop" if by_text else "eos"
    return Usage(len(output.token_ids), finish)


@functools.cache
def metered_vllm() -> Any:
    """lm-eval's class with token counts and a guard against NaN.

    Raises:
        MissingPrerequisite: vLLM is not installed, or another one than lm-eval knows.
    """
    # Read when vLLM is imported, by its engine's process too. Stdout is for data.
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    try:
        from lm_eval.models.vllm_causallms import VLLM
    except ImportError as error:
        raise MissingPrerequisite(
            f"the evaluation's backend is vllm, which cannot be imported: {error}",
            hint="pip install 'evomerge-compiler[vllm]', or set evaluation.backend: hf",
        ) from error

    class MeteredVLLM(VLLM):  # type: ignore[misc]
        def __init__(self, model: Path, plan: EvaluationPlan) -> None:
            super().__init__(**arguments(model, plan))
            self.recorder = _Recorder()
            self.set_cache_hook(self.recorder)

        def _model_generate(
            self,
            requests: list[list[int]],
            generate: bool = False,
            sampling_params: Any = None,
        ) -> Any:
            if generate:
                for params in sampling_params:
                    params.logprobs = 1  # the only trace that a NaN leaves in an answer
            outputs = super()._model_generate(requests, generate, sampling_params)
            if generate:
                end = self.tokenizer.eos_token or ""
                self.recorder.pending = deque(usage_of(out.outputs[0], end) for out in outputs)
            return outputs

        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            # Those of one task's arguments at a time, so that answers are known by them.
            self.recorder.usage.clear()
            groups: dict[str, list[int]] = defaultdict(list)
            for index, request in enumerate(requests):
                groups[json.dumps(request.args[1], sort_keys=True, default=str)].append(index)
            answers = [""] * len(requests)
            for indices in groups.values():
                self.recorder.gen_kwargs = requests[indices[0]].args[1]
                found: Sequence[str] = super().generate_until(
                    [requests[index] for index in indices], disable_tqdm=disable_tqdm
                )
                for index, answer in zip(indices, found, strict=True):
                    answers[index] = answer
            return answers

    return MeteredVLLM
