"""Merges that other merges read from disk, as models: written once, kept by content.

They lie below ``parents/`` of the work folder, which git ignores. One that was removed is written
again: its plan says all that it takes.
"""

from __future__ import annotations

from pathlib import Path

from evomerge_compiler.compiler.merge_plan import MergePlan, WrittenMerge
from evomerge_compiler.merging.cli import run_plan
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.merging.sources import materialise
from evomerge_compiler.merging.stage_cache import StageCache

PARENTS = "parents"


def source_folders(
    plan: MergePlan, folder: Path, work: Path, options: MergeOptions
) -> dict[str, Path]:
    """Alias to folder of everything that a plan reads; what has to be merged first is merged.

    Args:
        plan: The merge.
        folder: What relative paths of its models are relative to.
        work: Keeps stages, parents, and models that were converted.
        options: How mergekit runs.

    Raises:
        EvomergeError: A model cannot be had, or a merge fails.
    """
    found = {}
    for alias, model in plan.models.items():
        if isinstance(model, WrittenMerge):
            found[alias] = _written(model.plan, folder, work, options)
        else:
            code = options.trust_remote_code
            found[alias] = materialise(model, folder, work, trust_remote_code=code)
    return found


def _written(plan: MergePlan, folder: Path, work: Path, options: MergeOptions) -> Path:
    def build(part: Path) -> str:
        sources = source_folders(plan, folder, work, options)
        return run_plan(plan, sources, work=work, out=part, options=options).tensors_sha256

    with StageCache(work / PARENTS).stage(plan.merge_key, build) as written:
        return written
