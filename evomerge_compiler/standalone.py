"""Candidates as recipes that need nothing of their run, for other folders and other people.

An ordinary candidate is one file. A crossing is a file and one for each of its ancestors that is
merged for it, since recipes compose.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.compiler import MergePlan, compile_recipe
from evomerge_compiler.compiler.crossovers import stage_prefix, unlimited
from evomerge_compiler.compiler.merge_plan import WrittenMerge
from evomerge_compiler.crossing import ALIASES, Crossing
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.single import standalone_text
from evomerge_compiler.yamlio import dump, write_atomic

# What a crossing has in common with the experiment.
_KEPT = ("version", "dtype", "out_dtype", "seed", "evaluation")


def write_standalone(run_path: Path, candidate: CandidateId, target: Path) -> list[Path]:
    """Writes a candidate's recipe, and beside it those of the candidates that it merges.

    Args:
        run_path: The run folder.
        candidate: Which one.
        target: Its file; ``found.yaml`` merges ``found.002-c05.yaml``.

    Returns:
        The files, the candidate's own last.

    Raises:
        EvomergeError: There is no such candidate, or its recipe or a parent's is mistaken.
    """
    run = RunFolder.open(run_path)
    texts: dict[CandidateId, str] = {}
    _collect(run, candidate, target, texts)
    written = []
    for id, text in texts.items():
        path = target if id == candidate else _beside(target, id)
        write_atomic(path, text)
        written.append(path)
    return written


def standalone_plan(run_path: Path, candidate: CandidateId, plan: MergePlan) -> MergePlan:
    """A candidate's merge that reads the run's models alone, where ``plan`` reads candidates.

    Args:
        run_path: The run folder.
        candidate: Which one.
        plan: What it compiles to in its run.
    """
    if not any(isinstance(model, WrittenMerge) for model in plan.models.values()):
        return plan
    run = RunFolder.open(run_path)
    return compile_recipe(unlimited(run.recipe), genome=run.candidate(candidate).genome)


def _collect(run: RunFolder, id: CandidateId, target: Path, texts: dict[CandidateId, str]) -> None:
    """Adds the text of a candidate, those of its parents first."""
    genome = run.candidate(id).genome
    if not isinstance(genome, Crossing):
        texts[id] = standalone_text(run.root, id, target.parent)
        return
    for parent in genome.models:
        if parent not in texts:
            _collect(run, parent, target, texts)
    texts[id] = _crossing_text(run, id, genome, target)


def _crossing_text(run: RunFolder, id: CandidateId, genome: Crossing, target: Path) -> str:
    data = run.recipe.document.data
    assert isinstance(data, Mapping)
    models = {
        alias: {"path": _beside(target, parent).name}
        for alias, parent in zip(ALIASES, genome.models, strict=False)
    }
    out: dict[str, object] = {"kind": "merge", "name": run.recipe.name}
    out |= {key: data[key] for key in _KEPT if key in data}
    out |= {"template": genome.template, "models": models, "genome": dict(genome.values)}
    return f"# {run.name} {id}\n" + dump(out)


def _beside(target: Path, id: CandidateId) -> Path:
    return target.with_name(f"{target.stem}.{stage_prefix(id)}{target.suffix}")
