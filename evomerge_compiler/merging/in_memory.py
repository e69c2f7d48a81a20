"""Merges a plan in memory, bit for bit as :func:`evomerge_compiler.merging.cli.run_plan` would.

No model is held but the one that is made: source files are mapped into memory, and a later stage
reads an earlier one's tensors when it needs them. Only text reaches the disk. One difference to
the command is meant: tensors of an earlier stage that nothing is made from are not made, and so
are not checked either.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evomerge_compiler.compiler.mergekit_grammar import RANDOM_METHODS
from evomerge_compiler.errors import EvomergeError, WorkFailed
from evomerge_compiler.merging.cli import SOURCE_PREFIX, mentioned
from evomerge_compiler.merging.failures import process_failure
from evomerge_compiler.merging.kernels import Findings, Scratch
from evomerge_compiler.merging.mergekit_inputs import reference
from evomerge_compiler.merging.mergekit_tasks import (
    InMemoryUnavailable,
    StageTasks,
    require_version,
)
from evomerge_compiler.merging.model_files import CONFIG, read_json
from evomerge_compiler.merging.options import MergeOptions, gpu_available
from evomerge_compiler.merging.shells import Shells, file_donors, stage_config
from evomerge_compiler.merging.stage_inputs import StageLayers, input_config, stage_layers
from evomerge_compiler.merging.stage_results import (
    KeptStages,
    StageResults,
    count_uses,
    result_order,
)
from evomerge_compiler.merging.tensors import Draws, SourceModel, is_finite, same_bits
from evomerge_compiler.merging.verify import names_fit
from evomerge_compiler.merging.weights import (
    Scan,
    TensorSpec,
    refuse_non_finite,
)
from evomerge_compiler.processes import CommandResult

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
        self.shells = Shells(work / "shells")
        limit_bytes = _kept_limit_bytes() if kept_bytes is None else kept_bytes
        self.kept: KeptStages[torch.Tensor] = KeptStages(limit_bytes)
        self.tokenizers: dict[Any, Any] = {}
        self._sources: dict[Path, SourceModel] = {}
        self._configs: dict[str, Any] = {}

    def prepare(self, plan: MergePlan, sources: Mapping[str, Path]) -> PreparedMerge:
        """Plans a merge: everything but the tensors themselves.

        Args:
            plan: The compiled merge.
            sources: Alias to model folder, for every model of the plan.

        Raises:
            WorkFailed: This merge cannot be done (step ``merge``).
            InMemoryUnavailable: Only the command can do it, or say that it cannot be done.
        """
        return PreparedMerge(self, plan, sources)

    def source(self, folder: Path) -> SourceModel:
        """A source model, opened once."""
        if folder not in self._sources:
            self._sources[folder] = SourceModel(folder)
        return self._sources[folder]

    def config(self, folder: Path, layers: StageLayers) -> Any:
        """The configuration of an input as mergekit is to see it, read once."""
        own = read_json(folder / CONFIG)
        seen = input_config(own, layers)
        key = json.dumps([str(folder), seen], sort_keys=True)
        if key not in self._configs:
            from transformers import AutoConfig

            place = folder if seen == own else self.shells.config(seen, folder)
            self._configs[key] = AutoConfig.from_pretrained(
                place, trust_remote_code=self.options.trust_remote_code
            )
        return self._configs[key]


@dataclass(frozen=True)
class _Planned:
    """A stage that mergekit has planned."""

    stage: Stage
    tasks: StageTasks

    @property
    def n_bytes(self) -> int:
        """Bytes of all its tensors."""
        return sum(spec.n_bytes for spec in self.tasks.specs.values())


class PreparedMerge:
    """One merge, planned.

    Attributes:
        shell: Folder with all files of the result but its weights; shared, never changed.
        tensors: What the result holds, sorted by name.
    """

    def __init__(self, merger: Merger, plan: MergePlan, sources: Mapping[str, Path]) -> None:
        limit_s = merger.options.timeout_s
        self.merger = merger
        self.plan = plan
        self.sources = sources
        self.deadline = None if limit_s is None else time.monotonic() + limit_s
        self._stages: dict[str, _Planned] = {}
        self._shells: dict[str, Path] = {}
        for stage in _needed(plan.stages):
            try:
                self._plan(stage)
            except WorkFailed:
                # The command would have merged the earlier stages by now, and failed there first.
                self._replay()
                raise
        last = plan.stages[-1].name
        self.shell = self._shells[last]
        self.tensors: Mapping[str, TensorSpec] = self._stages[last].tasks.specs

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
            yield from self._merged(list(self._stages.values()), into or {})
        except WorkFailed as error:
            if error.reason in ("invalid", "non_finite"):
                self._replay()
            raise

    def read(self, name: str, tensor: str) -> torch.Tensor:
        """A tensor of a source model, by its name in the documents."""
        return self.merger.source(self._folder(name)).read(tensor)

    def identity(self, name: str) -> str:
        """The content key of a stage; the folder of a source, whose files never change."""
        if is_source(name):
            return str(self._folder(name))
        return self._stages[name].stage.stage_key

    # -- planning -----------------------------------------------------------------------------

    def _folder(self, name: str) -> Path:
        if is_source(name):
            return self.sources[name[len(SOURCE_PREFIX) :]]
        return self._shells[name]

    def _tensors(self, name: str) -> Mapping[str, TensorSpec]:
        if is_source(name):
            return self.merger.source(self._folder(name)).tensors
        return self._stages[name].tasks.specs

    def _plan(self, stage: Stage) -> None:
        names = list(dict.fromkeys([*stage.inputs, *mentioned(stage.document)]))
        folders = {name: self._folder(name) for name in names}
        tensors = {name: self._tensors(name) for name in names}
        layers = stage_layers(stage.document, {name: folders[name] for name in stage.inputs})
        with explained(stage):
            inputs = {
                name: reference(name, folder, self.merger.config(folder, layers))
                for name, folder in folders.items()
            }
            tasks = StageTasks(
                stage.document, inputs, tensors, self._read_while_planning,
                mergekit_options(self.merger.options, self.plan.seed_of(stage)),
                in_order=stage.document["merge_method"] in RANDOM_METHODS,
                tokenizers=self.merger.tokenizers,
            )  # fmt: skip
        planned = _Planned(stage, tasks)
        donors = file_donors(self.plan, stage, folders, layers, self.sources)
        config = stage_config(donors, tasks.specs, layers, partial(self._equal, planned))
        if not names_fit(tasks.specs, tensors, layers):
            raise InMemoryUnavailable(
                f"whether the result of stage {stage.name} loads is for transformers to say"
            )
        own = tasks.write_tokenizer if donors.own_tokenizer else None
        made_from = list(folders.values()) if donors.own_tokenizer else []
        self._shells[stage.name] = self.merger.shells.stage(config, donors, own, made_from)
        self._stages[stage.name] = planned

    def _read_while_planning(self, name: str, tensor: str) -> torch.Tensor:
        if not is_source(name):
            raise InMemoryUnavailable(f"{tensor} of stage {name} has to be converted by mergekit")
        return self.read(name, tensor)

    def _equal(self, last: _Planned, one: str, another: str) -> bool:
        """Whether two tensors of a stage are equal bit for bit; they are made for this."""
        run = _Run(self, [*self._stages.values(), last])
        results = StageResults(last.tasks.graph, partial(run.make, last), {one: 1, another: 1})
        return same_bits(results.read(one), results.read(another))

    # -- execution ----------------------------------------------------------------------------

    def _merged(
        self, stages: Sequence[_Planned], into: Mapping[str, torch.Tensor]
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """The tensors of the last of some stages."""
        run = _Run(self, stages)
        non_finite = []
        for name in result_order({s.stage.name: s.tasks.graph for s in stages}):
            tensor = run.make(stages[-1], name, into.get(name))
            if not is_finite(tensor):
                non_finite.append(name)
            yield name, tensor
        refuse_non_finite(Scan("", 0, 0, tuple(sorted(non_finite))))

    def _replay(self) -> None:
        """Merges all planned stages in the command's order, for what it would have said."""
        stages = list(self._stages.values())
        for n_stages in range(1, len(stages) + 1):
            for _ in self._merged(stages[:n_stages], {}):
                pass


class _Run:
    """One pass over a merge: generators at their start, no tensor made."""

    def __init__(self, merge: PreparedMerge, stages: Sequence[_Planned]) -> None:
        self._merge = merge
        self._results: dict[str, StageResults[torch.Tensor]] = {}
        self._draws: dict[str, AbstractContextManager[None]] = {}
        uses = count_uses({planned.stage.name: planned.tasks.graph for planned in stages})
        for planned in stages:
            name, graph = planned.stage.name, planned.tasks.graph
            kept = None
            if planned is not stages[-1]:
                kept = merge.merger.kept.stage(planned.stage.stage_key, planned.n_bytes)
            make = partial(self._make_finite, planned)
            self._results[name] = StageResults(graph, make, uses[name], kept)
            random = graph.in_order
            seed = merge.plan.seed_of(planned.stage)
            self._draws[name] = Draws(seed, planned.tasks.device) if random else nullcontext()

    def make(
        self, planned: _Planned, name: str, target: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Merges one tensor of a stage, into ``target`` when there is one."""
        deadline = self._merge.deadline
        if deadline is not None and time.monotonic() > deadline:
            raise _failure(planned.stage, "", timed_out=True)
        with explained(planned.stage), self._draws[planned.stage.name]:
            tensor = planned.tasks.compute(
                name, self._read, self._content_key, self._merge.merger.scratch, target
            )
        return tensor if target is None or tensor is target else target.copy_(tensor)

    def _make_finite(self, planned: _Planned, name: str) -> torch.Tensor:
        tensor = self.make(planned, name)
        if not is_finite(tensor):
            refuse_non_finite(Scan("", 0, 0, (name,)))
        return tensor

    def _read(self, name: str, tensor: str) -> torch.Tensor:
        if is_source(name):
            return self._merge.read(name, tensor)
        return self._results[name].read(tensor)

    def _content_key(self, name: str, tensor: str) -> Hashable:
        """Equal keys promise equal bytes: a kernel may use again what it found out."""
        return self._merge.identity(name), tensor


def is_source(name: str) -> bool:
    """Whether a name in a document is that of a source model, not of an earlier stage."""
    return name.startswith(SOURCE_PREFIX)


@contextmanager
def explained(stage: Stage) -> Iterator[None]:
    """Turns what mergekit raises in a stage into the error that its command would end with."""
    try:
        yield
    except (EvomergeError, MemoryError):
        raise
    except Exception as error:
        text = "".join(traceback.format_exception_only(error))
        raise _failure(stage, text) from error


def _failure(stage: Stage, text: str, timed_out: bool = False) -> EvomergeError:
    result = CommandResult(1, "", text, 0.0, timed_out)
    return process_failure(result, f"mergekit failed in stage {stage.name}")


def mergekit_options(own: MergeOptions, random_seed: int) -> Any:
    """The options that the command line of a merge gives; what concerns files is left out."""
    from mergekit.options import MergeOptions as Options

    cuda = own.cuda
    if cuda is None and own.device is None:
        cuda = gpu_available()
    return Options(
        random_seed=random_seed, cuda=bool(cuda), device=own.device,
        allow_crimes=own.allow_crimes, trust_remote_code=own.trust_remote_code,
    )  # fmt: skip


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
