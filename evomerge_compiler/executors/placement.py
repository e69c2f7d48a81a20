"""Which GPU each worker of this machine computes on.

A worker sees one GPU and no other (``CUDA_VISIBLE_DEVICES``), so that torch, ``mergekit-yaml``
and vLLM, which each have their own way to choose one, all take the same. Where a result was
computed never shows in it: workers are spread, results keep the order of their jobs.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evomerge_compiler import gpus
from evomerge_compiler.errors import UsageError
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.merging.options import MergeOptions, gpu_available

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placement:
    """Where workers compute.

    Attributes:
        scores_on: ``cpu`` or ``cuda``: where models are scored.
        merges_on: Where they are merged.
        gpus: The names of the GPUs that workers take turns in, for ``CUDA_VISIBLE_DEVICES``;
            empty where none is used.
    """

    scores_on: str = "cpu"
    merges_on: str = "cpu"
    gpus: tuple[str, ...] = ()

    @property
    def overlaps(self) -> bool:
        """Whether candidates are merged by the CPU while the GPU scores earlier ones.

        Where the GPU merges too, it does both in turn: a merge is there for a second or two, and
        its largest tensors at work beside the scored model would not fit a small GPU.
        """
        return (self.scores_on, self.merges_on) == ("cuda", "cpu")

    def environment(self, worker: int) -> dict[str, str]:
        """The variables of the worker with this number, which make a GPU its own."""
        if not self.gpus:
            return {}
        return {gpus.VARIABLE: self.gpus[worker % len(self.gpus)]}

    def sharing(self, n_workers: int) -> int:
        """Workers on the GPU that has the most of them; 1 where no GPU is used."""
        return math.ceil(n_workers / len(self.gpus)) if self.gpus else 1


# For workers that are to leave all GPUs alone.
NO_GPU = Placement(gpus=("",))


def place(device: str, merge: MergeOptions, names: Sequence[str] | None = None) -> Placement:
    """Where to compute.

    Args:
        device: Where models are scored, as given: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        merge: Where they are merged.
        names: The GPUs; asked for by default.

    Raises:
        UsageError: There is no such device.
    """
    kind, number = gpus.parse_device(device)
    if kind == "auto":
        kind = "cuda" if gpu_available() else "cpu"
    merges_on = "cuda" if (gpu_available() if merge.cuda is None else merge.cuda) else "cpu"
    if "cuda" not in (kind, merges_on):
        return Placement()
    found = gpus.names() if names is None else tuple(names)
    if number is not None:
        if number >= len(found):
            known = ", ".join(f"cuda:{at}" for at in range(len(found))) or "none"
            raise UsageError(f"there is no device {device!r}; GPUs here: {known}")
        found = (found[number],)
    return Placement(kind, merges_on, found)


def placed(
    evaluation: EvaluationPlan, merge: MergeOptions, placement: Placement, n_workers: int
) -> tuple[EvaluationPlan, MergeOptions]:
    """The same work as a worker is to be told of it, which sees one GPU only."""
    if placement.gpus:
        # A node of a cluster has one worker here, and may be told of others on its GPU.
        sharing = max(evaluation.gpu_workers, placement.sharing(n_workers))
        evaluation = replace(evaluation, device=placement.scores_on, gpu_workers=sharing)
    # Asked once: a worker would have to ask again after each restart.
    return evaluation, replace(merge, cuda=placement.merges_on == "cuda")


def tell(placement: Placement, n_workers: int) -> None:
    """Says what people may not expect of so many workers on so many GPUs."""
    n_gpus = len(placement.gpus)
    sharing = placement.sharing(n_workers)
    if sharing > 1:
        LOG.warning(
            "%d workers share %s: each has 1/%d of its memory; -j %d gives each a GPU of its own",
            n_workers, "one GPU" if n_gpus == 1 else f"{n_gpus} GPUs", sharing, n_gpus,
        )  # fmt: skip
    elif n_workers < n_gpus:
        workers = "one worker uses one" if n_workers == 1 else f"{n_workers} workers use as many"
        LOG.warning("%s of %d GPUs; -j %d uses all", workers, n_gpus, n_gpus)
