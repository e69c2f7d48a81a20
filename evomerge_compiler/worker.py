"""What runs inside a worker process: one merge, one evaluation, or both without a disk between.

Workers import torch, mergekit and lm-eval once and keep sources, tasks, tokenised prompts and the
model's buffers between candidates. Everything here is called by name through a worker pool.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evomerge_compiler.candidate import Scores
from evomerge_compiler.evaluation.race import Race
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.executors.base import Split
from evomerge_compiler.merging.cli import MergedModel, run_plan
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.merging.parents import PARENTS
from evomerge_compiler.merging.stage_cache import StageCache
from evomerge_compiler.merging.weights import TensorsHash
from evomerge_compiler.process_pool import WorkerPool, announce

if TYPE_CHECKING:
    from torch import Tensor

    from evomerge_compiler.compiler import MergePlan
    from evomerge_compiler.evaluation.lm_eval import Session
    from evomerge_compiler.merging.in_memory import Merger, PreparedMerge

_sessions: dict[str, Session] = {}
_mergers: dict[tuple[Path, MergeOptions], Merger] = {}
# mergekit looks at its own limit between tensors; the worker is killed when that does not help.
MERGE_SLACK_S = 60.0
# For the making of a session, which the limit of a candidate does not count: libraries are
# imported, and data sets may have to be fetched. What takes longer hangs.
SESSION_LIMIT_S = 1800.0
HASHED_APART_BYTES = 4 << 20


@dataclass(frozen=True)
class Scored:
    """What became of a candidate that was merged and scored in one go.

    Attributes:
        scores: By split, with the hash of the merged tensors.
        merge_s: Seconds from the plan to the loaded model.
        evaluate_s: Seconds of the scoring.
    """

    scores: dict[Split, Scores]
    merge_s: float
    evaluate_s: float


@dataclass(frozen=True)
class NotInMemory:
    """Why a plan can be merged by the command only."""

    reason: str


def merge_plan(
    plan: MergePlan, sources: Mapping[str, Path], work: Path, out: Path, options: MergeOptions
) -> MergedModel:
    """Merges one candidate; what an earlier try left at ``out`` is replaced."""
    if out.exists():
        shutil.rmtree(out)
    return run_plan(plan, sources, work=work, out=out, options=options)


def merge_in_memory(
    plan: MergePlan, sources: Mapping[str, Path], work: Path, out: Path, options: MergeOptions
) -> MergedModel | NotInMemory:
    """Like :func:`merge_plan`, but by this process, with what it knows of earlier merges."""
    from evomerge_compiler.merging.in_memory import InMemoryUnavailable
    from evomerge_compiler.merging.model_writer import write_model

    started = time.monotonic()
    try:
        merger = _merger(work, options)
        weights = _HashedWeights(merger.prepare(plan, sources))
        write_model(weights, out)
    except InMemoryUnavailable as error:
        return NotInMemory(error.message)
    merger.release_gpu()
    return MergedModel(
        out,
        weights.tensors_sha256,
        n_parameters=sum(spec.n_elements for spec in weights.tensors.values()),
        n_bytes=sum(spec.n_bytes for spec in weights.tensors.values()),
        seconds=time.monotonic() - started,
    )


def write_parent(
    plan: MergePlan,
    sources: Mapping[str, Path],
    work: Path,
    options: MergeOptions,
    in_memory: bool,
) -> None:
    """Writes a merge that others read from disk, unless somebody has.

    Args:
        plan: The merge.
        sources: Alias to model folder.
        work: Keeps it below ``parents/``, by its key.
        options: How mergekit runs.
        in_memory: Merge in this process where that can be done.
    """

    def build(part: Path) -> str:
        if in_memory:
            done = merge_in_memory(plan, sources, work, part, options)
            if isinstance(done, MergedModel):
                return done.tensors_sha256
        return merge_plan(plan, sources, work, part, options).tensors_sha256

    with StageCache(work / PARENTS).stage(plan.merge_key, build):
        return


def score_model(
    evaluation: EvaluationPlan,
    folder: Path,
    splits: Sequence[Split],
    identity: str,
    race: Race | None = None,
    limit_s: float | None = None,
) -> tuple[dict[Split, Scores], float]:
    """Scores one model folder.

    Args:
        evaluation: How.
        folder: The model.
        splits: Which items; each gives its own scores.
        identity: Merge key or content identity of the model.
        race: How far it is asked on the search split; None asks everything.
        limit_s: Wall time of the scoring, after which this worker is killed; None is no limit.

    Returns:
        Scores by split, and the seconds they took without the making of the session.
    """
    if evaluation.backend == "vllm":
        # Only the end of its process gives back all that an engine holds.
        with WorkerPool(1, environment=os.environ) as apart:
            call = apart.submit(_score_folder, evaluation, folder, splits, identity, race, limit_s)
            return call.result()
    return _score_folder(evaluation, folder, splits, identity, race, limit_s)


def _score_folder(
    evaluation: EvaluationPlan,
    folder: Path,
    splits: Sequence[Split],
    identity: str,
    race: Race | None,
    limit_s: float | None,
) -> tuple[dict[Split, Scores], float]:
    announce("evaluate", SESSION_LIMIT_S)
    session = _session(evaluation)
    announce("evaluate", limit_s)
    started = time.monotonic()
    session.load(folder)
    scores = _scores(session, splits, identity, race)
    return scores, time.monotonic() - started


def _scores(
    session: Session, splits: Sequence[Split], identity: str, race: Race | None
) -> dict[Split, Scores]:
    """The scores of the loaded model."""
    out = {}
    for split in splits:
        raced = race if split == "search" else None
        out[split] = session.score_loaded(split, identity=identity, race=raced)
    return out


def merge_and_score(
    plan: MergePlan,
    sources: Mapping[str, Path],
    evaluation: EvaluationPlan,
    splits: Sequence[Split],
    work: Path,
    options: MergeOptions,
    race: Race | None = None,
) -> Scored | NotInMemory:
    """Merges one candidate into the resident model and scores it; only text is written.

    Args:
        plan: The compiled merge.
        sources: Alias to model folder.
        evaluation: How it is scored; no task of it may be an external command.
        splits: Which items; each gives its own scores.
        work: Folder for the text files of models.
        options: How mergekit runs; its time limit holds for the merge and for the scoring.
        race: How far the candidate is asked on the search split; None asks everything.

    Raises:
        WorkFailed: The merge or the evaluation failed.
    """
    announce("evaluate", SESSION_LIMIT_S)
    session = _session(evaluation)
    limit_s = options.timeout_s
    announce("merge", None if limit_s is None else limit_s + MERGE_SLACK_S)
    from evomerge_compiler.merging.in_memory import InMemoryUnavailable

    started = time.monotonic()
    try:
        weights = _HashedWeights(_merger(work, options).prepare(plan, sources))
        session.place(weights)
    except InMemoryUnavailable as error:
        return NotInMemory(error.message)
    loaded = time.monotonic()
    announce("evaluate", limit_s)
    session.make_prompts()
    scores = {
        split: replace(found, weights=weights.tensors_sha256)
        for split, found in _scores(session, splits, plan.merge_key, race).items()
    }
    done = Scored(scores, loaded - started, time.monotonic() - loaded)
    session.resident.settle()
    return done


class _HashedWeights:
    """A merge whose tensors are hashed as they pass: the same hash as of its files.

    Large tensors are hashed beside the copying, which needs no interpreter; for a small one the
    change of threads costs more than its hash.
    """

    def __init__(self, merge: PreparedMerge) -> None:
        self.shell = merge.shell
        self.tensors = merge.tensors
        self._merge = merge
        self._digest = TensorsHash()

    @property
    def tensors_sha256(self) -> str:
        """The hash of the tensors that were streamed."""
        return self._digest.hexdigest()

    def stream(self, into: Mapping[str, Tensor] | None = None) -> Iterator[tuple[str, Tensor]]:
        """See :class:`evomerge_compiler.evaluation.model_weights.Weights`."""
        from evomerge_compiler.merging.tensors import add_tensor

        self._digest = TensorsHash()
        with ThreadPoolExecutor(1) as hasher:
            for name, tensor in self._merge.stream(into):
                if tensor.nbytes < HASHED_APART_BYTES:
                    add_tensor(self._digest, name, tensor)
                    yield name, tensor
                    continue
                hashed = hasher.submit(add_tensor, self._digest, name, tensor)
                yield name, tensor
                hashed.result()  # before the next merge may use the memory again


def _merger(work: Path, options: MergeOptions) -> Merger:
    """The merger of a worker, which keeps the sources of its merges."""
    from evomerge_compiler.merging.in_memory import Merger

    if (work, options) not in _mergers:
        _mergers.clear()
        _mergers[work, options] = Merger(work, options)
    return _mergers[work, options]


def _session(evaluation: EvaluationPlan) -> Session:
    """The session of an evaluation; one is kept, since each holds a model."""
    if evaluation.key not in _sessions:
        # Nothing here imports torch before: the session starts its sandbox first.
        from evomerge_compiler.evaluation.lm_eval import Session

        _sessions.clear()
        _sessions[evaluation.key] = Session(evaluation)
    return _sessions[evaluation.key]
