"""What computes a model's answers: transformers, or vLLM where it can be had."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from evomerge_compiler.errors import MissingPrerequisite
from evomerge_compiler.evaluation import generation
from evomerge_compiler.evaluation.model_weights import Weights
from evomerge_compiler.evaluation.resident import ResidentModel
from evomerge_compiler.evaluation.spec import EvaluationPlan


class Backend(Protocol):
    """Holds one model at a time.

    Attributes:
        lm: lm-eval's model object, None before the first load.
        tokenizer_key: Hash of the model's tokenizer and chat template.
    """

    lm: Any
    tokenizer_key: str

    @property
    def n_parameters(self) -> int:
        """Parameters of the model that is loaded."""

    def load(self, model: Path | Weights) -> None:
        """Loads a model in place of the one before.

        Raises:
            WorkFailed: It cannot be loaded.
        """

    def settle(self) -> None:
        """After the first work of a model: what was imported and loaded stays for a while."""

    def drop(self) -> None:
        """Frees the model."""


def make(plan: EvaluationPlan) -> Backend:
    """The backend that a plan names."""
    if plan.backend == "vllm":
        from evomerge_compiler.evaluation.vllm_model import VllmModel

        return VllmModel(plan)
    return ResidentModel(plan)


def available(plan: EvaluationPlan, scores_on: str) -> tuple[EvaluationPlan, str]:
    """The plan with a backend that can be had here.

    Args:
        plan: As the recipe asks for it.
        scores_on: ``cpu`` or ``cuda``.

    Returns:
        The plan, and in words why its backend is another one; nothing where it is not.

    Raises:
        MissingPrerequisite: The plan has a generation argument that only vLLM knows.
    """
    if plan.backend != "vllm":
        return plan, ""
    if scores_on != "cuda":
        why = "models are scored on the CPU"
    elif importlib.util.find_spec("vllm") is None:
        why = "vLLM is not installed: pip install 'evomerge-compiler[vllm]'"
    else:
        return plan, ""
    for kwargs in (plan.gen_kwargs, *(task.gen_kwargs for task in plan.tasks)):
        for name in generation.unknown(kwargs, "hf"):
            raise MissingPrerequisite(
                f"generation argument {name!r} is vLLM's, and {why}",
                hint="leave it out, or score where vLLM can run",
            )
    return replace(plan, backend="hf"), f"backend hf in place of vllm: {why}"
