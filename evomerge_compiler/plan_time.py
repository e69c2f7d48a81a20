"""How long a candidate takes, before one of the run has been measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evomerge_compiler.compiler.merge_plan import MergePlan
from evomerge_compiler.evaluation.spec import EvaluationPlan
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
        merged_s: Parameters a second through one stage of a merge.
        overlaps: Whether operations are started while earlier ones are at work.
    """

    flops: float
    bytes_s: float
    layer_s: float
    merged_s: float
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
# as here; three stages at 1.5B take a third of what is assumed, and TIES alone up to twice as
# long.
SPEEDS = {
    "cpu": Speed(3e10, 1e10, 0.0008, 5e7, overlaps=False),
    "cuda": Speed(2e13, 3e11, 0.001, 1e9, overlaps=True),
}
# The start of mergekit's command, for each stage, and what a disk writes; all about an item that
# is not the model's work.
COMMAND_S, DISK_BYTES_S, ITEM_S = 5.0, 5e8, 0.001


def assumed_seconds(
    plans: Sequence[MergePlan], evaluation: EvaluationPlan, how: How
) -> tuple[float, str]:
    """Seconds of a candidate, before there is a measured one.

    A guess of the machine, and every answer is taken to be as long as it may be. Workers that
    share a core wait for each other.

    Returns:
        Seconds, and what was assumed.
    """
    plan = max(plans, key=result_bytes)
    elements, batch = n_elements(plan), evaluation.batch_size
    scoring, merging = SPEEDS[how.device], SPEEDS[how.merge_device]
    weights = elements * scored_itemsize(plan, evaluation, how)
    step_s = scoring.step_s(plan.n_layers, elements, weights, batch)
    items, tokens = n_items(evaluation), answer_tokens(evaluation)
    score_s = math.ceil(items / batch) * tokens * step_s + items * ITEM_S
    merge_s = len(plan.stages) * elements / merging.merged_s
    if how.on_disk:
        written = (len(plan.stages) + 1) * result_bytes(plan)
        merge_s += len(plan.stages) * COMMAND_S + written / DISK_BYTES_S
    seconds = max(score_s, merge_s) if how.placement.overlaps else score_s + merge_s
    basis = (
        f"assumed: {items} items in batches of {batch}, answers of {tokens} tokens, "
        f"{1000 * step_s:.0f} ms a token step on the {'GPU' if how.device == 'cuda' else 'CPU'}"
    )
    if how.device == "cpu" and how.n_cores is not None:
        seconds *= max(1.0, how.workers / how.n_cores)
        basis += f" with {how.n_cores} free core{'s' if how.n_cores > 1 else ''}"
    return seconds, basis
