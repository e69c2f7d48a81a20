"""What only a GPU can show. `pytest -m gpu` runs these; without a GPU they are skipped.

Merges on a GPU are those of ``mergekit-yaml --cuda`` bit for bit where nothing is drawn, models
are scored in bfloat16, workers have a GPU each, and vLLM scores as transformers do.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_golden import CASES, IN_THE_ZOO, ZOO, recipe_of

from evomerge_compiler import gpus, recipe, worker
from evomerge_compiler.compiler import MergePlan, compile_recipe, rendering
from evomerge_compiler.compiler.mergekit_grammar import RANDOM_METHODS
from evomerge_compiler.evaluation.lm_eval import Session
from evomerge_compiler.evaluation.spec import EvaluationPlan, plan_evaluation
from evomerge_compiler.executors.base import Job
from evomerge_compiler.executors.local import LocalExecutor, LocalSettings
from evomerge_compiler.executors.placement import place
from evomerge_compiler.executors.warm import WarmExecutor
from evomerge_compiler.merging.cli import run_plan
from evomerge_compiler.merging.options import MergeOptions, gpu_available
from evomerge_compiler.process_pool import WorkerPool
from evomerge_compiler.recipe import Recipe

DEVICE = "cuda"
ON_GPU = MergeOptions(cuda=True, offline=True)
QUICKSTART = ZOO.parent / "recipes" / "quickstart.yaml"
SOURCES = {alias: ZOO / name for alias, name in IN_THE_ZOO.items()}
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not gpu_available(), reason="there is no GPU"),
]


def test_the_driver_says_what_torch_says() -> None:
    import torch

    found = gpus.visible()
    assert len(found) == len(gpus.names()) == torch.cuda.device_count()
    for index, gpu in enumerate(found):
        properties = torch.cuda.get_device_properties(index)
        assert (gpu.model, gpu.total_bytes) == (properties.name, properties.total_memory)
        assert gpu.uuid == str(properties.uuid)
    assert 0 < gpus.free_bytes() <= max(gpu.total_bytes for gpu in found)


# -- merges -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "method", "genome"),
    [case for case in CASES if case[1] not in RANDOM_METHODS],
    ids=[case[0] for case in CASES if case[1] not in RANDOM_METHODS],
)
def test_a_merge_in_memory_is_that_of_the_command(
    name: str, method: str, genome: str, tmp_path: Path
) -> None:
    loaded = recipe.load(recipe_of(method, tmp_path, SOURCES, genome))
    plan = compile_recipe(loaded, genome=rendering.sample(loaded.space, random.Random(5)))
    _compare(plan, SOURCES, tmp_path)


def test_the_three_stages_of_the_zoo_too(tmp_path: Path) -> None:
    plan = compile_recipe(recipe.load(QUICKSTART, overrides=["genome.ensemble=ties"]))
    _compare(plan, {a: ZOO / m.spec.path.removeprefix("zoo:") for a, m in plan.models.items()},
             tmp_path)  # fmt: skip


def _compare(plan: MergePlan, sources: dict[str, Path], folder: Path) -> None:
    by_command = run_plan(plan, sources, work=folder, out=folder / "command", options=ON_GPU)
    by_worker = worker.merge_in_memory(plan, sources, folder, folder / "memory", ON_GPU)
    assert not isinstance(by_worker, worker.NotInMemory), by_worker
    assert by_worker.tensors_sha256 == by_command.tensors_sha256


# -- scores -------------------------------------------------------------------------------------


def _evaluation(**changes: Any) -> tuple[Recipe, EvaluationPlan]:
    loaded = recipe.load(QUICKSTART, overrides=["evaluation.limit=40"])
    assert loaded.evaluation is not None
    plan = plan_evaluation(loaded.evaluation, folder=loaded.folder, device=DEVICE)
    return loaded, replace(plan, **changes)


def test_a_model_is_scored_in_bfloat16_and_swapped_in_place() -> None:
    import torch

    session = Session(_evaluation(dtype="bfloat16")[1])
    coder, polyglot = ZOO / "coder", ZOO / "polyglot"
    fresh = session.score(coder, "search", identity="coder")
    parameter = next(session.resident.lm.model.parameters())
    assert (parameter.device.type, parameter.dtype) == (DEVICE, torch.bfloat16)
    other = session.score(polyglot, "search", identity="polyglot")
    assert session.score(coder, "search", identity="coder") == fresh != other
    # The specialist is one on a GPU too.
    assert fresh.domains["code"].value > other.domains["code"].value


@pytest.mark.parametrize("cuda", [True, False], ids=["merged there", "merged by the CPU, ahead"])
def test_both_executors_score_the_same_weights_alike(tmp_path: Path, cuda: bool) -> None:
    loaded, evaluation = _evaluation()
    plans = [
        compile_recipe(loaded, genome=rendering.sample(loaded.space, random.Random(seed)))
        for seed in range(3)
    ]
    plans.append(compile_recipe(recipe.load(QUICKSTART, overrides=["genome.ensemble=ties"])))
    found = []
    for kind in (LocalExecutor, WarmExecutor):
        settings = LocalSettings(
            tmp_path / kind.__name__, loaded.folder, merge=MergeOptions(cuda=cuda), offline=True
        )
        with kind(evaluation, settings) as executor:
            jobs = [Job(f"c{at}", plan=plan) for at, plan in enumerate(plans)]
            found.append([result for _, result in sorted(executor.run(jobs))])
    for by_command, by_worker in zip(*found, strict=True):
        assert by_command.failure is by_worker.failure is None
        assert by_command.scores == by_worker.scores


def _own_gpu() -> tuple[int, str]:
    import torch

    return torch.cuda.device_count(), str(torch.cuda.get_device_properties(0).uuid)


@pytest.mark.skipif(len(gpus.visible()) < 2, reason="there is one GPU")
def test_each_worker_has_a_gpu_of_its_own() -> None:
    placement = place(DEVICE, ON_GPU)
    seen = set()
    for number in range(2):
        with WorkerPool(1, own=lambda _, n=number: placement.environment(n)) as pool:
            seen.add(pool.submit(_own_gpu).result())
    assert seen == {(1, gpu.uuid) for gpu in gpus.visible()[:2]}


@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
def test_vllm_scores_as_transformers_do() -> None:
    """Half precision rounds otherwise in another order: a few answers of forty may differ."""
    model = ZOO / "coder"
    by_hf = Session(_evaluation()[1]).score(model, "search", identity="coder")
    by_vllm, _ = worker.score_model(_evaluation(backend="vllm")[1], model, ("search",), "coder")
    for domain, score in by_hf.domains.items():
        assert by_vllm["search"].domains[domain].value == pytest.approx(score.value, abs=0.1)
    assert by_vllm["search"].eval_key != by_hf.eval_key


def test_an_evolution_on_the_gpu_gives_the_same_bytes_again(
    tmp_path: Path, tree: Callable[[Path], dict[str, bytes]]
) -> None:
    from evomerge_compiler import launch

    options = launch.Options(
        generations=1,
        device=DEVICE,
        overrides=(
            "evaluation.limit=20",
            "search.population=3",
            "search.shortlist=0",
            "genome.ensemble=ties",
        ),
    )
    for name in ("a", "b"):
        launch.evolve(QUICKSTART, replace(options, run_dir=tmp_path / name))
    assert tree(tmp_path / "a" / "generations") == tree(tmp_path / "b" / "generations")
