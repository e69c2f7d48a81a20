"""One merge by mergekit's command, and the same in memory as a warm worker does it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evomerge_compiler import recipe as recipes
from evomerge_compiler.bench.commands import seconds, thread_counts, tools_environment
from evomerge_compiler.bench.usage import started_from_now, watched_memory
from evomerge_compiler.compiler import MergePlan, compile_recipe
from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.merging.weights import check_finite
from evomerge_compiler.process_pool import WorkerPool
from evomerge_compiler.processes import worker_environment

if TYPE_CHECKING:
    from evomerge_compiler.evaluation.resident import ResidentModel
    from evomerge_compiler.merging.in_memory import Merger


@dataclass(frozen=True)
class Merged:
    """One measured merge.

    Attributes:
        seconds: Wall time.
        sha256: Hash of its tensors, which both sides must agree on.
        peak_bytes: The most private memory that its process had so far.
    """

    seconds: float
    sha256: str
    peak_bytes: int


def compile_merge(
    folder: Path, template: str, models: Mapping[str, Path], genome: Mapping[str, object],
    base: Path | None,
) -> MergePlan:  # fmt: skip
    """Compiles a merge of models that lie on this machine.

    Args:
        folder: Gets the recipe.
        template: Name of a shipped template.
        models: Alias to model folder.
        genome: Values of its genes.
        base: The base of task vectors.
    """
    from evomerge_compiler.yamlio import dump

    document: dict[str, object] = {
        "version": 1, "kind": "merge", "name": template.replace("_", "-"),
        "models": {alias: {"path": str(path)} for alias, path in models.items()},
        **({"base": {"path": str(base)}} if base else {}),
        "template": template, "dtype": "bfloat16", "genome": dict(genome),
    }  # fmt: skip
    path = folder / f"{template}.yaml"
    path.write_text(dump(document), "utf-8")
    return compile_recipe(recipes.load(path))


class Command:
    """``mergekit-yaml``, or ``mergekit-multi`` for several stages: a new process every time.

    Args:
        folder: Where it works; the merge is removed once its hash is known.
        options: How mergekit runs.
        threads: Of torch.
    """

    def __init__(self, folder: Path, options: MergeOptions, threads: int) -> None:
        self.folder = folder
        self.options = options
        self.threads = threads

    def merge(self, plan: MergePlan) -> Merged:
        """Merges to disk."""
        self.folder.mkdir(parents=True)
        references = {alias: str(model.folder) for alias, model in plan.models.items()}
        (self.folder / "mergekit.yaml").write_text(plan.written(references), "utf-8")
        argv = [*plan.command().split(), *(["--cuda"] if self.options.cuda else [])]
        with watched_memory(started_from_now()) as peak:
            took = seconds(argv, self.folder, tools_environment(self.threads))
        found = check_finite(self.folder / "OUT")
        shutil.rmtree(self.folder)
        return Merged(took, found.sha256, peak.n_bytes)


class InMemory:
    """A worker that merges into the model that it holds. Imports are done before it is timed.

    Args:
        work: Folder for text files.
        options: How mergekit runs.
        threads: Of torch.
        device: Where the model is.
    """

    def __init__(self, work: Path, options: MergeOptions, threads: int, device: str) -> None:
        self._stack = ExitStack()
        environment = worker_environment(offline=True) | thread_counts(threads)
        self._pool = self._stack.enter_context(WorkerPool(1, environment=environment))
        pid = self._pool.submit(os.getpid).result()
        self._peak = self._stack.enter_context(watched_memory(lambda: [pid]))
        self._pool.submit(prepare, work, options, device).result()

    def merge(self, plan: MergePlan, *, afresh: bool = False) -> Merged:
        """Merges into the resident model.

        Args:
            plan: The merge.
            afresh: Forget first what was found out about the sources for other merges.
        """
        sources = {alias: model.folder for alias, model in plan.models.items()}
        took, sha256 = self._pool.submit(merge_in_place, plan, sources, afresh).result()
        return Merged(took, sha256, self._peak.n_bytes)

    def __enter__(self) -> InMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def check_equal(command: Merged, in_memory: Merged, name: str) -> None:
    """Both sides must have done the same work.

    Raises:
        EvomergeError: The merged tensors differ.
    """
    if command.sha256 != in_memory.sha256:
        raise EvomergeError(f"{name}: the merge in memory differs from that of mergekit's command")


# --------------------------------------------------------------------------------------
# In the worker

_held: dict[str, Any] = {}


def prepare(work: Path, options: MergeOptions, device: str) -> None:
    """Imports what merges and scores need, and merges nothing yet."""
    from evomerge_compiler.evaluation import metered
    from evomerge_compiler.evaluation.resident import ResidentModel
    from evomerge_compiler.merging import mergekit_tasks
    from evomerge_compiler.merging.in_memory import Merger

    metered.metered_hflm()
    mergekit_tasks.require_version()
    _held["merger"] = Merger(work, options)
    plan = EvaluationPlan(tasks=(), tasks_hash="", dtype="bfloat16", device=device)
    _held["resident"] = ResidentModel(plan)


def merge_in_place(
    plan: MergePlan, sources: Mapping[str, Path], afresh: bool
) -> tuple[float, str]:
    """Plans a merge, fills the resident model and hashes it, as :mod:`~.worker` does.

    Returns:
        Seconds, and the hash of the tensors.
    """
    from evomerge_compiler.merging.kernels import Findings
    from evomerge_compiler.merging.stage_results import KeptStages
    from evomerge_compiler.worker import _HashedWeights

    merger: Merger = _held["merger"]
    resident: ResidentModel = _held["resident"]
    if afresh:
        merger.kept = KeptStages(merger.kept.limit_bytes)
        if merger.scratch is not None:
            merger.scratch.findings = Findings()
    started = time.monotonic()
    weights = _HashedWeights(merger.prepare(plan, sources))
    resident.load(weights)
    return time.monotonic() - started, weights.tensors_sha256
