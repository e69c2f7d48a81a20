"""How long a candidate takes, before one of the run has been measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from evomerge_compiler.compiler.merge_plan import MergePlan, Stage
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.merging.kernels import fast
from evomerge_compiler.needs import (
    How,
    answer_tokens,
    n_elements,
    n_items,
    result_bytes,
    scored_itemsize,
)


@dataclass(frozen=True)
class Speed:
    """What is assumed of a machine before it has scored a candidate.

    Attributes:
        flops: Floating-point operations a second in matrix products.
        bytes_s: Bytes a second that weights are read at.
        layer_s: Seconds that the starts of a layer's operations take.
        overlaps: Whether operations are started while earlier ones are at work.
    """

    flops: float
    bytes_s: float
    layer_s: float
    overlaps: bool

    def step_s(self, n_layers: int, n_elements: int, n_bytes: int, batch: int) -> float:
        """Seconds in which each answer of a batch gets a token.

        Args:
            n_layers, n_elements, n_bytes: Of the model.
            batch: Answers in a batch.
        """
        starts_s = n_layers * self.layer_s
        work_s = max(n_bytes / self.bytes_s, 2 * n_elements * batch / self.flops)
        return max(starts_s, work_s) if self.overlaps else starts_s + work_s


# Of a CPU: one core. By docs/benchmarks.md a token step of 64 answers by a zoo model takes 9 ms,
# as here.
SPEEDS = {
    "cpu": Speed(3e10, 1e10, 0.0008, overlaps=False),
    "cuda": Speed(2e13, 3e11, 0.001, overlaps=True),
}
# Parameters a second through one stage of a merge, by one core, at 1.5B parameters: by our kernels
# and by mergekit's command (docs/benchmarks.md). What is not listed is taken to be as the slowest.
KERNEL_PACE = {
    "linear": 3.5e8, "slerp": 3e8, "passthrough": 8e8, "dare_ties": 7e7, "ties": 4e7,
}  # fmt: skip
COMMAND_PACE = {"linear": 9e7, "slerp": 8e7, "passthrough": 1.5e8, "dare_ties": 1.6e7, "ties": 7e6}
GPU_PACE = 1e9
# What a stage takes that has next to no parameters; mergekit's command starts anew for each.
STAGE_S, COMMAND_S = 0.01, 5.0
# What a disk writes; all about an item that is not the model's work.
DISK_BYTES_S, ITEM_S = 5e8, 0.001


@dataclass(frozen=True)
class CandidateTime:
    """How long a worker takes for a candidate.

    Attributes:
        merge_s: Seconds of its merge.
        batch_s: Seconds of a batch of answers.
        batch: Answers in a batch.
        items: What the search asks of a candidate.
        overlaps: Whether the next candidate is merged meanwhile.
        basis: Where that is known from.
    """

    merge_s: float
    batch_s: float
    batch: int
    items: int
    overlaps: bool
    basis: str

    @property
    def seconds(self) -> float:
        """Of a candidate of the search."""
        return self.asked(self.items)

    def asked(self, n_items: int) -> float:
        """Seconds of a candidate that is asked some number of items."""
        score_s = self.scored(n_items)
        return max(score_s, self.merge_s) if self.overlaps else score_s + self.merge_s

    def scored(self, n_items: int) -> float:
        """Seconds of a model that is there, asked some number of items."""
        return math.ceil(n_items / self.batch) * self.batch_s


def measured(
    merge_s: float, score_s: float, n: int, evaluation: EvaluationPlan, how: How
) -> CandidateTime:
    """What candidates of the run took.

    Args:
        merge_s, score_s: Their means.
        n: How many they were.
        evaluation: How they were scored.
        how: How they were run.
    """
    items, batch = max(1, n_items(evaluation)), evaluation.batch_size
    basis = f"measured: mean of {n} candidates of this run"
    batch_s = score_s / math.ceil(items / batch)
    return CandidateTime(merge_s, batch_s, batch, items, how.placement.overlaps, basis)


def assumed(plans: Sequence[MergePlan], evaluation: EvaluationPlan, how: How) -> CandidateTime:
    """What a candidate takes before there is a measured one.

    A guess of the machine, and every answer is taken to be as long as it may be. Workers that
    share a core wait for each other.
    """
    plan = max(plans, key=result_bytes)
    elements, batch = n_elements(plan), evaluation.batch_size
    scoring = SPEEDS[how.device]
    weights = elements * scored_itemsize(plan, evaluation, how)
    step_s = scoring.step_s(plan.n_layers, elements, weights, batch)
    items, tokens = n_items(evaluation), answer_tokens(evaluation)
    merge_s = statistics.mean(_merge_s(each, how) for each in plans)
    batch_s = tokens * step_s + min(batch, items) * ITEM_S
    basis = (
        f"assumed: {items} items in batches of {batch}, answers of {tokens} tokens, "
        f"{1000 * step_s:.0f} ms a token step on the {'GPU' if how.device == 'cuda' else 'CPU'}"
    )
    if how.device == "cpu" and how.n_cores is not None:
        waiting = max(1.0, how.workers / how.n_cores)
        merge_s, batch_s = merge_s * waiting, batch_s * waiting
        basis += f" with {how.n_cores} free core{'s' if how.n_cores > 1 else ''}"
    return CandidateTime(merge_s, batch_s, batch, items, how.placement.overlaps, basis)


def _merge_s(plan: MergePlan, how: How) -> float:
    elements = n_elements(plan)
    seconds = sum(elements / _pace(stage, how) + STAGE_S for stage in plan.stages)
    if how.on_disk:
        written = (len(plan.stages) + 1) * result_bytes(plan)
        seconds += len(plan.stages) * COMMAND_S + written / DISK_BYTES_S
    return seconds


def _pace(stage: Stage, how: How) -> float:
    """Parameters a second through a stage."""
    if how.merge_device == "cuda":
        return GPU_PACE
    method = str(stage.document["merge_method"])
    paces = COMMAND_PACE if how.on_disk or fast(method) is None else KERNEL_PACE
    return paces.get(method, min(paces.values()))
