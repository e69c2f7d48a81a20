"""The shape of a recipe file: strict pydantic models, nothing that needs other files.

:mod:`evomerge_compiler.recipe` turns a file of this shape into a :class:`Recipe`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

Alias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
FailureReason = Literal["invalid", "crashed", "out_of_memory", "timeout", "non_finite", "unsafe"]
Backend = Literal["hf", "vllm"]
Dtype = Literal["float32", "float16", "bfloat16", "float64"]


def _number(value: object) -> object:
    """Keeps strictness (no numbers from text, no booleans) but lets ``1`` stand for ``1.0``."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


Number = Annotated[float, BeforeValidator(_number)]


class Strict(BaseModel):
    """Unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Facts(Strict):
    """What a compiler must know of a model that is not on this machine.

    The names are those of the model's own ``config.json``. When the model is on disk, its own
    facts are read and must agree.
    """

    architecture: str = Field(description="class name, as config.json's architectures[0]")
    num_hidden_layers: int = Field(ge=1)
    hidden_size: int = Field(ge=1)
    intermediate_size: int | None = None
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    vocab_size: int = Field(ge=1)
    tie_word_embeddings: bool
    rope_theta: Number | None = None
    rms_norm_eps: Number | None = None
    chat_template: bool | str | None = Field(
        None, description="whether it has a chat template, or the sha256 of its text"
    )


class ModelSpec(Strict):
    """One source model."""

    path: str = Field(min_length=1, description="hub id, folder, GGUF file, zoo:NAME or recipe")
    revision: str | None = None
    lora: str | None = Field(None, description="LoRA adapter merged into the model once")
    weight: Number | None = Field(None, description="first value of this model's weight genes")
    domain: str | None = Field(None, description="what the model is good at, for reports")
    facts: Facts | None = None


class TaskSpec(Strict):
    """One task and the metric of it that counts.

    Without a metric the name is looked up among the presets of ``evomerge ls evaluators``, then
    among the task files, whose first metric is taken.
    """

    task: str = Field(min_length=1, description="preset, lm-eval task, tag or group")
    metric: str | None = Field(
        None, min_length=1, description="as in lm-eval's results, without the filter"
    )
    filter: str | None = Field(
        None, min_length=1, description="lm-eval filter, the part behind the comma"
    )
    weight: Number = Field(1.0, gt=0, description="share in the fitness, normalised to sum 1")
    num_fewshot: int | None = Field(None, ge=0)
    gen_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="generation arguments of this task alone"
    )
    benchmark: bool = Field(
        False, description="true: its items are public, and the search may see them all the same"
    )


class RacingSpec(Strict):
    """Candidates are asked a few items first, and all of them only if they may still be good."""

    rungs: list[Annotated[int, Field(ge=10)]] = Field(
        default_factory=lambda: [20, 50, 100, 200],
        min_length=1,
        description="items a task that are seen at each look, ascending; after the last, all",
    )
    alpha: Number = Field(
        0.1, gt=0, lt=0.5, description="chance, at each look, to drop what equals the best so far"
    )
    irt: bool = Field(
        True, description="earlier answers choose the items and correct the estimates"
    )
    audit: int = Field(
        3, ge=0, description="dropped candidates that are asked all items at the end, as a check"
    )

    @field_validator("rungs")
    @classmethod
    def _rungs_ascend(cls, rungs: list[int]) -> list[int]:
        if sorted(set(rungs)) != rungs:
            raise ValueError("expected numbers in ascending order, each once")
        return rungs


class EvaluationSpec(Strict):
    """How candidates are scored. Names are lm-eval's."""

    tasks: dict[Name, TaskSpec] = Field(min_length=1)
    batch_size: int = Field(16, ge=1)
    holdout: Number = Field(0.5, ge=0, lt=1, description="share of items that fitness never sees")
    limit: int | None = Field(None, ge=1, description="search items a task at most")
    racing: RacingSpec | None = None
    include_path: list[str] = Field(default_factory=list)
    apply_chat_template: bool = False
    system_instruction: str | None = None
    gen_kwargs: dict[str, Any] = Field(default_factory=dict)
    max_length: int | None = Field(None, ge=8)
    backend: Backend = Field("hf", description="hf: transformers; vllm: vLLM, on a GPU")
    dtype: Literal["auto"] | Dtype = "auto"
    timeout_s: Number = Field(3600.0, gt=0, description="for one merge or one evaluation")


class Plateau(Strict):
    """Stop when the best so far gained less than ``threshold``, relative, in ``patience``."""

    patience: int = Field(5, ge=0, description="generations; 0 is off")
    threshold: Number = Field(0.01, ge=0)


class Budget(Strict):
    """Stop when either is used up."""

    candidates: int | None = Field(None, ge=1)
    hours: Number | None = Field(None, gt=0, description="of searching, over all calls")


_BOUND = re.compile(r"(best_parent|base)(?:\s*([+-])\s*([0-9]+(?:\.[0-9]+)?))?\Z")


def parse_bound(bound: float | str) -> tuple[str | None, float]:
    """A constraint's bound as the models it is relative to, and a number to add.

    Args:
        bound: ``0.4``, ``base`` or ``best_parent - 0.02``.

    Returns:
        ``best_parent``, ``base`` or None, and the number.

    Raises:
        ValueError: It is none of these.
    """
    if not isinstance(bound, str):
        return None, bound
    match = _BOUND.match(bound.strip())
    if match is None:
        raise ValueError("expected a number, base, best_parent, or one of them and a difference")
    return match[1], float(f"{match[2] or '+'}{match[3] or 0}")


def _bound(value: object) -> object:
    if isinstance(value, str):
        parse_bound(value)
        return value
    return _number(value)


class ConstraintSpec(Strict):
    """A domain's score that no winner falls below."""

    domain: Name
    at_least: Annotated[float | str, BeforeValidator(_bound)] = Field(
        description="a number, base, or the best that a parent scores: best_parent - 0.02",
    )


class PhaseSpec(Strict):
    """A part of a search that moves some of the genes and holds the others."""

    name: Name
    genes: list[str] = Field(min_length=1, description="what it moves; all others are held")
    generations: int = Field(ge=1)
    strategy: str | None = Field(None, description="left out: the search's own")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="the strategy's; of the search's own strategy, changes"
    )


class ModelCrossoverSpec(Strict):
    """Candidates that merge the models of other candidates: see docs/search.md."""

    share: Number = Field(
        0.0, ge=0, lt=1, description="of each generation after the first, made by split_slerp"
    )
    archive: int = Field(20, ge=2, description="candidates that parents are drawn from")
    max_stages: int | None = Field(
        12,
        ge=1,
        description="merges in a chain at most; where there would be more, a parent is written "
        "to disk; null: no limit",
    )


class SearchSpec(Strict):
    """How genomes are proposed and when to stop."""

    strategy: str = "elite_recovery"
    objectives: list[str] = Field(
        default_factory=lambda: ["mean"],
        min_length=1,
        description="what to maximise: mean, worst, geometric, domains, tokens (fewer are "
        "better); the first ranks",
    )
    constraints: list[ConstraintSpec] = Field(
        default_factory=list,
        description="what a candidate must reach; one that does not ranks below all that do",
    )
    population: int = Field(8, ge=1, le=10_000)
    generations: int = Field(50, ge=0)
    plateau: Plateau = Plateau()
    budget: Budget = Budget()
    max_failed_share: Number = Field(0.5, ge=0, le=1)
    finalists: int = Field(
        3,
        ge=1,
        le=20,
        description="candidates within a standard error of the best that are tested on held-out "
        "items; 1 tests the best alone",
    )
    shortlist: int = Field(
        8,
        ge=0,
        le=100,
        description="candidates that are asked all search items when the search has ended, where "
        "evaluation.limit left some unasked; finalists are chosen among them, so there are never "
        "fewer than these; 0 is off",
    )
    control: bool = Field(
        False, description="true: as many random candidates are searched, and compared at the end"
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="the strategy's own")
    model_crossover: ModelCrossoverSpec = ModelCrossoverSpec()
    phases: list[PhaseSpec] = Field(
        default_factory=list,
        description="searched one after the other, each from the best of those before it",
    )

    @property
    def n_shortlisted(self) -> int:
        """How many candidates are asked all search items, at most."""
        return max(self.shortlist, self.finalists) if self.shortlist else 0


class RaySpec(Strict):
    """What each worker of ``--executor ray`` asks of its node. Names are Ray's."""

    num_cpus: Number = Field(1.0, ge=0)
    num_gpus: Number | None = Field(
        None, ge=0, description="left out: 1 where models run on GPUs; 0.5 lets two share one"
    )
    resources: dict[str, Annotated[Number, Field(gt=0)]] = Field(
        default_factory=dict, description="the cluster's own labels, as given to ray start"
    )


LandscapeName = Literal["merge", "four_genes", "sphere", "rosenbrock", "rastrigin", "zdt1", "zdt2"]


class SimulationSpec(Strict):
    """What ``evomerge simulate`` scores candidates with, in place of models."""

    landscape: LandscapeName = Field(
        "merge", description="merge: drawn from what is merged; others: functions of the genes"
    )
    noise: Number = Field(
        0.0, ge=0, description="standard deviation of an item's score, of 100; not for merge"
    )
    items: int = Field(
        50,
        ge=2,
        description="items of each domain and split; a search asks evaluation.limit of them",
    )
    seed: int = Field(0, ge=0, description="another seed is another landscape of the kind")
    failing: dict[FailureReason, Annotated[Number, Field(ge=0, le=1)]] = Field(
        default_factory=dict, description="failure reason to the share of merges that end so"
    )

    @field_validator("noise")
    @classmethod
    def _noise_is_used(cls, noise: float, info: ValidationInfo) -> float:
        if noise and info.data.get("landscape") == "merge":
            raise ValueError("landscape merge has the noise of its right and wrong items")
        return noise


class MergeFields(Strict):
    """What an experiment and a self-contained merge have in common."""

    version: Literal[1] = 1
    name: Name = "unnamed"
    models: dict[Alias, ModelSpec] = Field(min_length=1)
    base: ModelSpec | None = None
    template: str = "three_stage"
    layer_groups: int | None = Field(None, ge=1)
    dtype: Dtype = "bfloat16"
    out_dtype: Dtype | None = None
    tokenizer: Alias | None = Field(None, description="model whose tokenizer the merge gets")
    chat_template: str | None = Field(None, description="model whose chat template it gets")
    config_from: Alias | None = Field(None, description="model whose config.json it gets")
    genome: dict[str, Any] = Field(default_factory=dict)
    seed: int = Field(0, ge=0, lt=2**63)


class ExperimentFile(MergeFields):
    """``kind: experiment``."""

    kind: Literal["experiment"] = "experiment"
    evaluation: EvaluationSpec
    search: SearchSpec = SearchSpec()
    simulation: SimulationSpec = SimulationSpec()
    ray: RaySpec = RaySpec()
    seeds: list[str] = Field(default_factory=list)


class MergeFile(MergeFields):
    """``kind: merge`` that stands alone."""

    kind: Literal["merge"]
    evaluation: EvaluationSpec | None = None


class CandidateFile(Strict):
    """``kind: merge`` that is a point of an experiment, or a crossing of such in a run."""

    kind: Literal["merge"]
    from_: str = Field(alias="from", min_length=1)
    template: str | None = Field(None, description="of a crossing: how it crosses its models")
    models: dict[str, Any] | None = Field(None, description="of a crossing: its parents")
    genome: dict[str, Any] = Field(default_factory=dict)
    name: Name | None = None
