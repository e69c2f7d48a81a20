"""Merges a plan in memory, bit for bit as :func:`evomerge_compiler.merging.cli.run_plan` would.

No model is held but the one that is made: source files are mapped into memory, and a later stage
reads an earlier one's tensors when it needs them. Only text reaches the disk. One difference to
the command is meant: tensors of an earlier stage that nothing is made from are not made, and so
are not checked either.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from evomerge_compiler.errors import WorkFailed
from evomerge_compiler.merging.kernels import Findings, Scratch
from evomerge_compiler.merging.mergekit_tasks import InMemoryUnavailable, Merged, require_version
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.merging.planned_stages import (
    Known,
    Planned,
    StagePlanner,
    explained,
    failure,
)
from evomerge_compiler.merging.stage_results import (
    Batch,
    KeptStages,
    StageResults,
    needed,
    result_order,
)
from evomerge_compiler.merging.tensors import Draws, same_bits
from evomerge_compiler.merging.weights import Scan, TensorSpec, refuse_non_finite

if TYPE_CHECKING:
    import torch

    from evomerge_compiler.compiler import MergePlan, Stage

__all__ = ["InMemoryUnavailable", "Merger", "PreparedMerge"]

# Stages are kept in memory for other merges up to here, and up to this share of what is free:
# every worker of a machine keeps its own.
KEPT_LIMIT_BYTES = 500_000_000
KEPT_SHARE = 0.05


class Merger:
    """Keeps mergekit imported and sources mapped between merges of one process.

    Args:
        work: Folder for shells, below ``shells/``.
        options: How mergekit runs; what concerns files has no effect.
        kernels: Compute by :mod:`evomerge_compiler.merging.kernels` where these can.
        kept_bytes: Stages are kept in memory for other merges up to here; by default a twentieth
            of the free memory, at most 500 MB.

    Raises:
        InMemoryUnavailable: Another mergekit is installed than the one known here.
    """

    def __init__(
        self,
        work: Path,
        options: MergeOptions,
        *,
        kernels: bool = True,
        kept_bytes: int | None = None,
    ) -> None:
        require_version()
        self.scratch = Scratch(Findings()) if kernels else None
        self.options = options
        self.known = Known(work, options)
        limit_bytes = _kept_limit_bytes() if kept_bytes is None else kept_bytes
        self.kept: KeptStages[torch.Tensor] = KeptStages(limit_bytes)

    def prepare(self, plan: MergePlan, sources: Mapping[str, Path]) -> PreparedMerge:
        """Plans a merge: everything but the tensors themselves.

        Args:
            plan: The compiled merge.
            sources: Alias to model folder, for every model of the plan.

        Raises:
            WorkFailed: This merge cannot be done (step ``merge``).
            InMemoryUnavailable: Only the command can do it, or say that it cannot be done.
        """
        if self.known.forget_removed():
            self.kept.clear()  # its tensors may be views of the same files
            gc.collect()  # what is left of earlier merges holds them too
        return PreparedMerge(self, plan, sources)

    def release_gpu(self) -> None:
        """Gives back the GPU memory that is kept for other merges, where there is any.

        torch keeps what it has freed, and an engine in another process finds it taken. To merge a
        stage again costs less than the start of an engine.
        """
        import torch

        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            self.kept.clear()
            gc.collect()  # what is left of the merge holds tensors in circles
            torch.cuda.empty_cache()


class PreparedMerge:
    """One merge, planned.

    Attributes:
        shell: Folder with all files of the result but its weights; shared, never changed.
        tensors: What the result holds, sorted by name.
        planner: Its stages.
    """

    def __init__(self, merger: Merger, plan: MergePlan, sources: Mapping[str, Path]) -> None:
        limit_s = merger.options.timeout_s
        self.merger = merger
        self.plan = plan
        self.deadline = None if limit_s is None else time.monotonic() + limit_s
        self.planner = StagePlanner(merger.known, plan, sources)
        for stage in _needed(plan.stages):
            try:
                self.planner.add(stage, self._equal)
            except WorkFailed:
                # The command would have merged the earlier stages by now, and failed there first.
                self._replay()
                raise
        last = plan.stages[-1].name
        self.shell = self.planner.folder(last)
        self.tensors: Mapping[str, TensorSpec] = self.planner.stages[last].specs

    def stream(
        self, into: Mapping[str, torch.Tensor] | None = None
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Merges: yields each tensor of the result once, in no order to rely on.

        A tensor may be a view of a source file: copy it, and never write to it.

        Args:
            into: Contiguous tensors that are to hold the result, by name, each with the shape and
                dtype that :attr:`tensors` says. These are filled and yielded themselves, which
                saves a copy; names that are left out are yielded as above.

        Raises:
            WorkFailed: The merge failed, or a tensor holds NaN or infinity (after the last one).
        """
        try:
            yield from self._merged(list(self.planner.stages.values()), into or {})
        except WorkFailed as error:
            if error.reason in ("invalid", "non_finite"):
                self._replay()
            raise

    def _equal(self, last: Planned, one: str, another: str) -> bool:
        """Whether two tensors of a stage are equal bit for bit; they are made for this."""
        run = _Run(self, [*self.planner.stages.values(), last])
        graph = last.graph
        results = StageResults(
            run.batches(last, graph.names if graph.in_order else [one, another]),
            partial(run.make_finite, last),
            {one: 1, another: 1},
            in_order=graph.in_order,
        )
        return same_bits(results.read(one), results.read(another))

    # -- execution ----------------------------------------------------------------------------

    def _merged(
        self, stages: Sequence[Planned], into: Mapping[str, torch.Tensor]
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """The tensors of the last of some stages."""
        run = _Run(self, stages)
        non_finite: list[str] = []
        names = result_order({planned.stage.name: planned.graph for planned in stages})
        for batch in run.batches(stages[-1], names):
            merged = run.make(stages[-1], batch, into)
            non_finite += merged.non_finite
            yield from zip(batch, merged.tensors, strict=True)
        refuse_non_finite(Scan("", 0, 0, tuple(sorted(non_finite))))

    def _replay(self) -> None:
        """Merges all planned stages in the command's order, for what it would have said."""
        stages = list(self.planner.stages.values())
        for n_stages in range(1, len(stages) + 1):
            for _ in self._merged(stages[:n_stages], {}):
                pass


class _Run:
    """One pass over a merge: generators at their start, no tensor made."""

    def __init__(self, merge: PreparedMerge, stages: Sequence[Planned]) -> None:
        self._merge = merge
        self._planner = merge.planner
        self._identities: dict[str, str] = {}
        self._results: dict[str, StageResults[torch.Tensor]] = {}
        self._draws: dict[str, AbstractContextManager[None]] = {}
        needs = needed({planned.stage.name: planned.graph for planned in stages})
        for planned in stages:
            name, in_order = planned.stage.name, planned.graph.in_order
            kept = None
            if planned is not stages[-1]:
                kept = merge.merger.kept.stage(planned.stage.stage_key, planned.n_bytes)
            self._results[name] = StageResults(
                self.batches(planned, needs[name].names),
                partial(self.make_finite, planned),
                needs[name].uses,
                in_order=in_order,
                kept=kept,
            )
            seed, device = merge.plan.seed_of(planned.stage), planned.laid_out.layout.device
            self._draws[name] = Draws(seed, device) if in_order else nullcontext()

    def batches(self, planned: Planned, names: Sequence[str]) -> Sequence[Batch]:
        """Divides tensors of a stage into those that are merged together."""
        scratch = self._merge.merger.scratch
        if scratch is None:
            return [(name,) for name in names]
        return planned.tasks.batches(names, scratch.chunk)

    def make(self, planned: Planned, batch: Batch, targets: Mapping[str, torch.Tensor]) -> Merged:
        """Merges tensors of a stage, into ``targets`` where they are named there."""
        deadline = self._merge.deadline
        if deadline is not None and time.monotonic() > deadline:
            raise failure(planned.stage, "", timed_out=True)
        with explained(planned.stage), self._draws[planned.stage.name]:
            return planned.tasks.compute(
                batch, self._read, self._content_key, self._merge.merger.scratch, targets
            )

    def make_finite(self, planned: Planned, batch: Batch) -> list[torch.Tensor]:
        """Merges tensors of a stage.

        Raises:
            WorkFailed: One of them holds NaN or infinity.
        """
        merged = self.make(planned, batch, {})
        refuse_non_finite(Scan("", 0, 0, merged.non_finite))
        return merged.tensors

    def _read(self, name: str, tensor: str) -> torch.Tensor:
        stage = self._results.get(name)
        return self._planner.source(name).read(tensor) if stage is None else stage.read(tensor)

    def _content_key(self, name: str, tensor: str) -> Hashable:
        """Equal keys promise equal bytes: a kernel may use again what it found out."""
        if name not in self._identities:
            self._identities[name] = self._planner.identity(name)
        return self._identities[name], tensor


def _needed(stages: Sequence[Stage]) -> list[Stage]:
    """The stages that the last one is made from, and itself, in order of execution."""
    wanted = {stages[-1].name}
    for stage in reversed(stages):
        if stage.name in wanted:
            wanted.update(stage.inputs)
    return [stage for stage in stages if stage.name in wanted]


def _kept_limit_bytes() -> int:
    free_bytes = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(KEPT_LIMIT_BYTES, int(KEPT_SHARE * free_bytes))
