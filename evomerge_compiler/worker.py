"""What runs inside a worker process: one merge, or one evaluation with a session that stays.

Workers import torch and lm-eval once and keep tasks, tokenised prompts and the model's buffers
between candidates. Everything here is called by name through a worker pool.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evomerge_compiler.candidate import Scores
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.evaluation.split import Split
from evomerge_compiler.merging.cli import MergedModel, run_plan
from evomerge_compiler.merging.options import MergeOptions

if TYPE_CHECKING:
    from evomerge_compiler.compiler import MergePlan
    from evomerge_compiler.evaluation.lm_eval import Session

_sessions: dict[str, Session] = {}


def merge_plan(
    plan: MergePlan, sources: Mapping[str, Path], work: Path, out: Path, options: MergeOptions
) -> MergedModel:
    """Merges one candidate; what an earlier try left at ``out`` is replaced."""
    if out.exists():
        shutil.rmtree(out)
    return run_plan(plan, sources, work=work, out=out, options=options)


def score_model(
    evaluation: EvaluationPlan, folder: Path, splits: Sequence[Split], identity: str
) -> tuple[dict[Split, Scores], float]:
    """Scores one model folder.

    Args:
        evaluation: How.
        folder: The model.
        splits: Which items; each gives its own scores.
        identity: Merge key or content identity of the model.

    Returns:
        Scores by split, and the seconds they took without the making of the session.
    """
    session = _session(evaluation)
    started = time.monotonic()
    scores = {split: session.score(folder, split, identity=identity) for split in splits}
    return scores, time.monotonic() - started


def _session(evaluation: EvaluationPlan) -> Session:
    """The session of an evaluation; one is kept, since each holds a model."""
    if evaluation.key not in _sessions:
        # Nothing here imports torch before: the session starts its sandbox first.
        from evomerge_compiler.evaluation.lm_eval import Session

        _sessions.clear()
        _sessions[evaluation.key] = Session(evaluation)
    return _sessions[evaluation.key]
