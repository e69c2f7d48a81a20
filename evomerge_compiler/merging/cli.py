"""Merges by running ``mergekit-yaml``, one process a stage: the reference for all other ways.

Stages lie in folders named by content (:mod:`evomerge_compiler.merging.stage_cache`), not by
mergekit-multi's names, which keep a stale result after a change of the recipe. Every process runs
in a folder of its own with relative paths only.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evomerge_compiler.errors import UsageError
from evomerge_compiler.merging.failures import process_failure
from evomerge_compiler.merging.model_files import model_depth
from evomerge_compiler.merging.options import MergeOptions, mergekit_argv
from evomerge_compiler.merging.shells import file_donors, stage_config, write_files
from evomerge_compiler.merging.stage_cache import StageCache
from evomerge_compiler.merging.stage_inputs import StageLayers, link_inputs, stage_layers
from evomerge_compiler.merging.verify import check_tensors
from evomerge_compiler.merging.weights import (
    Scan,
    check_finite,
    read_tensors,
    require_space,
    same_bytes,
)
from evomerge_compiler.processes import run_command, worker_environment
from evomerge_compiler.yamlio import dump

if TYPE_CHECKING:
    from evomerge_compiler.compiler import MergePlan, Stage

SOURCE_PREFIX = "models/src/"
_SCRATCH = ".scratch"
_DTYPE_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
_SPACE_MARGIN = 1.05


@dataclass(frozen=True)
class MergedModel:
    """A merged model on disk.

    Attributes:
        path: Its folder, ready for transformers.
        tensors_sha256: Hash of its tensors, see :mod:`evomerge_compiler.merging.weights`.
        n_parameters: Elements of all its tensors.
        n_bytes: Bytes of all its tensors.
        seconds: Wall time of the whole merge.
    """

    path: Path
    tensors_sha256: str
    n_parameters: int
    n_bytes: int
    seconds: float


def run_plan(
    plan: MergePlan,
    sources: Mapping[str, Path],
    *,
    work: Path,
    out: Path,
    options: MergeOptions | None = None,
) -> MergedModel:
    """Merges a plan into a model folder.

    Args:
        plan: The compiled merge.
        sources: Alias to model folder, for every model of the plan.
        work: Folder that keeps stages for other merges (below ``stages/``).
        out: The folder to write. It appears whole, or not at all.
        options: How mergekit runs.

    Raises:
        WorkFailed: This merge cannot be done (step ``merge``).
        MissingPrerequisite: The machine lacks mergekit, disk space or the GPU asked for.
        UsageError: ``out`` exists and is not an empty folder.
    """
    started = time.monotonic()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already", hint="remove it, or name another folder")
    cache = StageCache(work / "stages")
    require_space(work, needed_bytes(plan, sources, cache))
    out.parent.mkdir(parents=True, exist_ok=True)
    # Left behind by a process that was killed; nobody else writes to this name.
    part = out.with_name(f".{out.name}.part")
    if part.exists():
        shutil.rmtree(part)
    part.mkdir()
    try:
        with ExitStack() as held:
            merge = _Merge(plan, sources, cache, options or MergeOptions(), held, started)
            found = merge.final(part)
        if out.exists():
            out.rmdir()
        part.rename(out)
    except BaseException:
        shutil.rmtree(part)
        raise
    seconds = time.monotonic() - started
    return MergedModel(out, found.sha256, found.n_parameters, found.n_bytes, seconds)


def needed_bytes(plan: MergePlan, sources: Mapping[str, Path], cache: StageCache) -> int:
    """Disk that a plan may take: every stage that is not there yet, at the result's depth."""
    largest = 0.0
    for folder in sources.values():
        tensors = read_tensors(folder)
        elements = sum(info.n_elements for info in tensors.values())
        held = sum(info.end - info.start for info in tensors.values())
        depth = model_depth(folder)
        final = plan.stages[-1].document
        itemsize = _DTYPE_BYTES.get(str(final.get("out_dtype") or final.get("dtype")))
        size = elements * itemsize if itemsize else held
        largest = max(largest, size * max(1.0, plan.n_layers / depth))
    missing = sum(not cache.is_whole(stage.stage_key) for stage in plan.stages[:-1])
    return int(largest * (missing + 1) * _SPACE_MARGIN)


class _Merge:
    """One run of a plan: makes the stages that the final one needs and the cache lacks."""

    def __init__(
        self,
        plan: MergePlan,
        sources: Mapping[str, Path],
        cache: StageCache,
        options: MergeOptions,
        held: ExitStack,
        started: float,
    ) -> None:
        self.plan = plan
        self.sources = sources
        self.cache = cache
        self.options = options
        self.held = held
        self.started = started
        self.stages = {stage.name: stage for stage in plan.stages}
        self.ready: dict[str, Path] = {}

    def folder(self, name: str) -> Path:
        """The model folder of an input: a source's own, or a stage's, made when missing."""
        if name.startswith(SOURCE_PREFIX):
            return self.sources[name[len(SOURCE_PREFIX) :]]
        if name not in self.ready:
            stage = self.stages[name]
            held = self.cache.stage(stage.stage_key, lambda part: self.intermediate(stage, part))
            self.ready[name] = self.held.enter_context(held)
        return self.ready[name]

    def intermediate(self, stage: Stage, part: Path) -> str:
        """Fills the folder of an earlier stage."""
        return self.result(stage, part).sha256

    def final(self, part: Path) -> Scan:
        """Fills the folder of the result."""
        return self.result(self.plan.stages[-1], part)

    def result(self, stage: Stage, part: Path) -> Scan:
        """Merges a stage, writes what stands beside the weights, and checks it all."""
        inputs, layers = self.mergekit(stage, part)
        tensors = read_tensors(part)
        donors = file_donors(self.plan, stage, inputs, layers, self.sources)
        config = stage_config(
            donors, tensors, layers, lambda a, b: same_bytes(tensors[a], tensors[b])
        )
        write_files(part, config, donors)
        check_tensors(part, tensors, inputs, layers, trust=self.options.trust_remote_code)
        return check_finite(part)

    def mergekit(self, stage: Stage, part: Path) -> tuple[dict[str, Path], StageLayers]:
        """Runs mergekit for one stage, which writes weights into ``part``."""
        inputs = {name: self.folder(name) for name in stage.inputs}
        # A tokenizer may come from a model that gives no weights to this stage.
        also = [name for name in mentioned(stage.document) if name not in inputs]
        layers = stage_layers(stage.document, inputs)
        scratch = part / _SCRATCH
        scratch.mkdir()
        link_inputs(scratch, inputs | {name: self.folder(name) for name in also}, layers)
        (scratch / "merge.yaml").write_text(dump(dict(stage.document)), "utf-8")
        argv = mergekit_argv("merge.yaml", "..", self.plan.seed_of(stage), self.options)
        result = run_command(
            argv, cwd=scratch, env=_environment(self.options), timeout_s=self.left_s()
        )
        if result.reason is not None:
            raise process_failure(result, f"mergekit failed in stage {stage.name}")
        # safetensors makes its files for their owner alone, whatever the umask says.
        mode = stat.S_IMODE((scratch / "merge.yaml").stat().st_mode)
        for weights in part.glob("*.safetensors"):
            weights.chmod(mode)
        shutil.rmtree(scratch)
        return inputs, layers

    def left_s(self) -> float | None:
        """What is left of the time limit of the whole merge."""
        if self.options.timeout_s is None:
            return None
        return max(0.0, self.started + self.options.timeout_s - time.monotonic())


def mentioned(data: object) -> list[str]:
    """Every source model that a document names, wherever it does."""
    if isinstance(data, str):
        return [data] if data.startswith(SOURCE_PREFIX) else []
    parts: Iterable[object] = ()
    if isinstance(data, Mapping):
        parts = data.values()
    elif isinstance(data, (list, tuple)):
        parts = data
    return list(dict.fromkeys(name for part in parts for name in mentioned(part)))


def _environment(options: MergeOptions) -> dict[str, str]:
    # All inputs are folders: only code of a model's own may still have to come from the hub.
    env = worker_environment(offline=options.offline or not options.trust_remote_code)
    # The mergekit of this very installation comes first, whatever else is on PATH.
    here = os.path.dirname(sys.executable)
    return env | {"PATH": os.pathsep.join([here, env.get("PATH", os.defpath)])}
