"""Crossings on the zoo: merged for real, killed and resumed, written, made again from text.

Ten generations with six items a candidate: whether the models are any good is not the matter here.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from simulated_run import QUICKSTART, digest

from evomerge_compiler import recipe as recipes
from evomerge_compiler import yamlio
from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.compiler import compile_recipe, gather
from evomerge_compiler.compiler.crossovers import unlimited
from evomerge_compiler.compiler.merge_plan import WrittenMerge
from evomerge_compiler.crossing import Crossing
from evomerge_compiler.evolution import Evolution
from evomerge_compiler.export import export
from evomerge_compiler.launch import MODELS, Options, evaluation_of, executor_for, link_sources
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.merging.weights import tensors_sha256
from evomerge_compiler.run_folder import RunFolder, StoredCandidate
from evomerge_compiler.run_folder.check import check, gc
from evomerge_compiler.run_folder.setup import RunSetup
from evomerge_compiler.single import merge_to

OVERRIDES = (
    "search.plateau.patience=0",
    "search.population=5",
    "search.parameters={recover: model, n_elite: 1, n_mutants: 1}",
    "search.model_crossover={share: 0.2, max_stages: 5}",
    "evaluation.limit=6",
    # One domain, of short answers: the merges are what is tested.
    "evaluation.tasks={multilingual: {task: evomerge_tiny_multilingual, metric: exact_match}}",
)


def run_generations(folder: Path, generations: int, executor: str = "warm") -> None:
    """Runs or resumes the search, without what comes after its last generation."""
    recipe = recipes.load(QUICKSTART, overrides=OVERRIDES)
    options = Options(overrides=OVERRIDES, executor=executor)
    setup = RunSetup(recipe, QUICKSTART.read_bytes(), {}, OVERRIDES)
    run = RunFolder.open(folder, create_from=setup)
    evaluation = evaluation_of(recipe, options)
    with run.hold(), executor_for(recipe, evaluation, folder, options) as made:
        evolution = Evolution(recipe, run, made)
        link_sources(recipe, evolution.world, folder, options)
        evolution.run(generations)


def crossings(folder: Path) -> list[StoredCandidate]:
    run = RunFolder.open(folder)
    every = [c for number in run.sealed_generations() for c in run.candidates(number)]
    return [c for c in every if isinstance(c.genome, Crossing)]


def ways(found: list[StoredCandidate]) -> dict[CandidateId, int]:
    """How many crossings lie on the longest way from each to the zoo."""
    known: dict[CandidateId, int] = {}
    for candidate in found:
        assert isinstance(candidate.genome, Crossing)
        known[candidate.id] = 1 + max(known.get(parent, 0) for parent in candidate.genome.models)
    return known


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real") / "run"
    run_generations(folder, 10)
    return folder


def test_ten_generations_compose_three_deep_and_write_parents_to_disk(run: Path) -> None:
    found = crossings(run)
    assert max(ways(found).values()) >= 3
    assert all(c.scores is not None and len(c.scores.weights) == 64 for c in found)
    assert check(run) == []
    parents = [path for path in (run / MODELS / "parents").iterdir() if path.name[0] != "."]
    assert parents
    links = [path for path in (run / MODELS / "src").iterdir() if "-" in path.name]
    assert {path.resolve() for path in links} == set(parents)


def test_a_parent_on_disk_has_the_weights_that_were_scored(run: Path) -> None:
    folder = RunFolder.open(run)
    for link in sorted((run / MODELS / "src").glob("*-*")):
        parent = folder.candidate(CandidateId.parse(link.name.replace("-", "/")))
        assert parent.scores is not None
        assert tensors_sha256(link) == parent.scores.weights


@pytest.mark.long
def test_killed_and_resumed_it_is_the_same_tree(run: Path) -> None:
    """Parents on disk that are gone are written again: they are no state of the run."""
    other = run.with_name("killed")
    # Enough to be in the middle of a crossing's generation.
    process = subprocess.Popen(
        [sys.executable, __file__, str(other)], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + 300
    while not (other / "generations/004").is_dir() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert RunFolder.open(other).sealed_generations()[-1] < 9
    shutil.rmtree(other / MODELS / "parents", ignore_errors=True)
    run_generations(other, 10)
    assert digest(other) == digest(run)


def of_depth(run: Path, depth: int) -> StoredCandidate:
    """The crossing of that depth or more, with parents on disk, that takes the fewest merges."""
    recipe = RunFolder.open(run).recipe
    whole, found = unlimited(recipe), crossings(run)
    depths, world, whole_world = ways(found), gather(recipe), gather(whole)

    def on_disk(candidate: StoredCandidate) -> bool:
        plan = compile_recipe(recipe, genome=candidate.genome, world=world)
        return any(isinstance(model, WrittenMerge) for model in plan.models.values())

    def n_merges(candidate: StoredCandidate) -> int:
        return len(compile_recipe(whole, genome=candidate.genome, world=whole_world).stages)

    return min((c for c in found if depths[c.id] >= depth and on_disk(c)), key=n_merges)


@pytest.mark.long
def test_an_export_has_the_weights_that_were_scored(run: Path, tmp_path: Path) -> None:
    """Made by mergekit-yaml, where they were scored from memory."""
    candidate = of_depth(run, 3)
    assert export(run, candidate.id, tmp_path / "out", MergeOptions()).verified
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"template `{candidate.lineage.crossover}`" in card
    assert "models/src/0" not in card, "the card says all of the merge"


@pytest.mark.long
def test_an_export_is_made_again_where_parents_were_cleared_away(
    run: Path, tmp_path: Path
) -> None:
    cleared = run.with_name("cleared")
    shutil.copytree(run, cleared, symlinks=True)
    gc(cleared)
    assert not (cleared / MODELS).exists()
    assert export(cleared, of_depth(run, 1).id, tmp_path / "out", MergeOptions()).verified


@pytest.mark.long
def test_text_alone_makes_the_weights_that_were_scored(run: Path, tmp_path: Path) -> None:
    """The recipes of an export, in a folder that holds nothing else."""
    candidate = of_depth(run, 3)
    export(run, candidate.id, tmp_path / "out", MergeOptions())
    empty = tmp_path / "empty"
    empty.mkdir()
    for path in (tmp_path / "out").glob("recipe*.yaml"):
        shutil.copy(path, empty)
    _, merged = merge_to(recipes.load(empty / "recipe.yaml"), empty / "model", MergeOptions())
    assert candidate.scores is not None
    assert merged.tensors_sha256 == candidate.scores.weights


@pytest.mark.long
def test_the_command_scores_what_memory_scores(run: Path) -> None:
    """Executor cli, three generations: parents and children bit for bit, hence equal bytes."""
    short = run.with_name("cli")
    run_generations(short, 3, executor="cli")
    names = [name for name in digest(short) if name.startswith("generations/")]
    assert crossings(short)
    assert {n: digest(short)[n] for n in names} == {n: digest(run)[n] for n in names}


def test_split_slerp_takes_each_side_from_its_place(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    data: dict[str, Any] = {
        "kind": "merge", "template": "split_slerp", "dtype": "float32",
        "models": {"a": {"path": "zoo:coder"}, "b": {"path": "zoo:polyglot"}},
        "genome": {"split": 0.25, "t_before": 0.0, "t_after": 1.0},
    }  # fmt: skip
    path = tmp_path / "r.yaml"
    path.write_text(yamlio.dump(data))
    recipe = recipes.load(path)
    merge_to(recipe, tmp_path / "out", MergeOptions())
    merged = load_file(tmp_path / "out" / "model.safetensors")
    zoo = {
        alias: load_file(model.folder / "model.safetensors")
        for alias, model in compile_recipe(recipe).models.items()
        if model.folder is not None
    }
    depth = json.loads((tmp_path / "out" / "config.json").read_text())["num_hidden_layers"]
    for name, tensor in merged.items():
        layer = int(name.split(".")[2]) if ".layers." in name else depth * ("norm" in name)
        of = "a" if layer < depth / 4 else "b"
        assert (tensor - zoo[of][name].float()).abs().max() < 1e-6, name


if __name__ == "__main__":
    run_generations(Path(sys.argv[1]), 10)
