from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from executor_kits import JUDGE, LocalKit

from evomerge_compiler.compiler import compile_recipe
from evomerge_compiler.errors import MissingPrerequisite, UsageError
from evomerge_compiler.evaluation.spec import plan_evaluation
from evomerge_compiler.executors.base import Job
from evomerge_compiler.executors.local import LocalExecutor, LocalSettings, candidate_folder
from evomerge_compiler.recipe import load

RECIPE = """\
kind: merge
models:
  a: {{path: {a}}}
  b: {{path: {b}}}
template: linear
genome: {{weight: {{a: 0.5, b: {weight}}}}}
dtype: bfloat16
evaluation:
  tasks:
    judged: {{task: "command: python3 judge.py {{model}} {{split}} .", metric: good}}
"""


def experiment(folder: Path, models: dict[str, Path], weight: float = 0.5) -> Any:
    (folder / "judge.py").write_text(JUDGE)
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(a=models["a"], b=models["b"], weight=weight))
    return load(path)


def executor_for(recipe: Any, folder: Path, **changes: Any) -> LocalExecutor:
    evaluation = plan_evaluation(recipe.evaluation, folder=recipe.folder)
    settings = LocalSettings(work=folder / "work", recipe_folder=recipe.folder, offline=True)
    return LocalExecutor(evaluation, replace(settings, **changes))


def test_merge_score_and_leave_nothing(
    tiny_models: Callable[[str], dict[str, Path]], tmp_path: Path
) -> None:
    recipe = experiment(tmp_path, tiny_models("qwen2"))
    job = Job("003/c05", plan=compile_recipe(recipe))
    with executor_for(recipe, tmp_path) as executor:
        ((index, result),) = executor.run([job])
    assert index == 0 and result.failure is None
    assert result.scores["search"].domains["judged"].value == 0.5
    assert result.merge_s > 0 and result.evaluate_s > 0
    assert list((tmp_path / "work" / "candidates").iterdir()) == []


@pytest.mark.long
def test_models_can_be_kept(tiny_models: Callable[[str], dict[str, Path]], tmp_path: Path) -> None:
    recipe = experiment(tmp_path, tiny_models("llama"))
    with executor_for(recipe, tmp_path, keep_models=True) as executor:
        list(executor.run([Job("003/c05", plan=compile_recipe(recipe))]))
    assert (tmp_path / "work/candidates/0000-003-c05/model.safetensors").is_file()


@pytest.mark.long
def test_a_merge_that_runs_too_long_is_a_timeout(
    tiny_models: Callable[[str], dict[str, Path]], tmp_path: Path
) -> None:
    recipe = experiment(tmp_path, tiny_models("qwen2"))
    with executor_for(recipe, tmp_path, timeout_s=0.5) as executor:
        ((_, result),) = executor.run([Job("c", plan=compile_recipe(recipe))])
    assert result.failure is not None
    assert (result.failure.step, result.failure.reason) == ("merge", "timeout")
    assert list((tmp_path / "work" / "candidates").iterdir()) == []


@pytest.mark.long
def test_a_full_disk_stops_the_run(
    tiny_models: Callable[[str], dict[str, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is the machine's fault: no candidate may be recorded as failed for it."""
    recipe = experiment(tmp_path, tiny_models("qwen2"))
    plan = compile_recipe(recipe)
    deep = replace(plan, n_layers=10**15)  # no disk holds such a model
    with (
        executor_for(recipe, tmp_path) as executor,
        pytest.raises(MissingPrerequisite, match="GB of disk"),
    ):
        list(executor.run([Job("c", plan=deep)]))


def test_sources_are_checked_before_any_work(local_kit: LocalKit) -> None:
    job = local_kit.job("a")
    assert job.model is not None and job.model.folder is not None
    (job.model.folder / "model.safetensors").rename(job.model.folder / "model.bin")
    with (
        local_kit.executor(1) as executor,
        pytest.raises(UsageError, match=r"pickled weights \(model\.bin\)"),
    ):
        list(executor.run([job]))


def test_a_job_has_a_plan_or_a_model(local_kit: LocalKit) -> None:
    with local_kit.executor(1) as executor, pytest.raises(ValueError, match="not both"):
        executor.eval_key(Job("neither"), "search")


def test_candidate_folders_are_safe_for_mergekit() -> None:
    assert candidate_folder(3, "003/c05") == "0003-003-c05"
    assert candidate_folder(0, "a+b@c") == "0000-a-b-c"
