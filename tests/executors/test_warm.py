"""Candidates merged in memory: the scores of the command, and no fault that spreads."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from executor_kits import write_sums

from evomerge_compiler.compiler import compile_recipe
from evomerge_compiler.evaluation.spec import plan_evaluation
from evomerge_compiler.executors.base import Executor, Job, JobResult
from evomerge_compiler.executors.local import LocalExecutor, LocalSettings
from evomerge_compiler.executors.placement import Placement
from evomerge_compiler.executors.warm import WarmExecutor
from evomerge_compiler.recipe import Recipe, load

RECIPE = """\
kind: merge
models:
  coder: {{path: "zoo:coder"}}
  mathematician: {{path: "zoo:mathematician"}}
base: {{path: "zoo:base"}}
template: {template}
genome: {{{genome}}}
dtype: bfloat16
evaluation:
  tasks: {{sums: {{task: toy_sums, metric: exact_match}}}}
  include_path: [tasks]
  holdout: 0
"""
LINEAR = "weight: {{coder: {0}, mathematician: {1}}}"
DROPPED = f"density: 0.5, {LINEAR}"
# Does its worst when it meets the mathematician's answer to a sum.
JUDGE = """
import os, pathlib, resource, signal, time

def judge(doc, results):
    right = results[0].strip() == doc["answer"]
    if right and doc["prompt"] == "math:89-16=":
        {act}
    return {{"exact_match": float(right)}}
"""
ACTS = {
    "nothing": "pass",
    "kill": "os.kill(os.getpid(), signal.SIGKILL)",
    "kill_once": "marker = pathlib.Path(__file__).with_name('met')\n"
    "        if not marker.exists(): marker.touch(); os.kill(os.getpid(), signal.SIGKILL)",
    "memory": "import torch\n"
    "        used = int(pathlib.Path('/proc/self/statm').read_text().split()[0]) * 4096\n"
    "        resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)\n"
    "        torch.ones(1 << 28)",
    "hang": "time.sleep(600)",
}


def recipe(folder: Path, act: str = "nothing") -> None:
    write_sums(folder / "tasks", JUDGE.format(act=ACTS[act]))


def merge(folder: Path, coder: float, template: str = "linear", genome: str = LINEAR) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(template=template, genome=genome.format(coder, 1 - coder)))
    return load(path)


def executor(kind: type[LocalExecutor], folder: Path, wanted: Recipe, **changes: Any) -> Executor:
    assert wanted.evaluation is not None
    evaluation = plan_evaluation(wanted.evaluation, folder=folder)
    settings = LocalSettings(work=folder / "work", recipe_folder=folder, offline=True)
    return kind(evaluation, replace(settings, **changes))


def run(executor: Executor, plans: list[Recipe]) -> list[JobResult]:
    jobs = [Job(f"000/c{i:02d}", plan=compile_recipe(plan)) for i, plan in enumerate(plans)]
    found = dict(executor.run(jobs))
    return [found[index] for index in range(len(jobs))]


def test_the_scores_of_the_command_and_nothing_but_text_on_disk(tmp_path: Path) -> None:
    recipe(tmp_path)
    plans = [
        merge(tmp_path, 0.25),
        merge(
            tmp_path, 0.5, "dare_ties", "density: 0.5, weight: {{coder: {0}, mathematician: {1}}}"
        ),
    ]
    with executor(WarmExecutor, tmp_path, plans[0]) as warm:
        found = run(warm, plans)
    files = [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    assert files and not [path for path in files if path.suffix in (".safetensors", ".bin")]
    with executor(LocalExecutor, tmp_path, plans[0]) as cli:
        assert [result.scores for result in found] == [result.scores for result in run(cli, plans)]
    assert all(result.scores["search"].weights for result in found)
    assert found[0].merge_s > 0 and found[0].evaluate_s > 0


@pytest.mark.parametrize(
    ("act", "reason"),
    [("kill", "out_of_memory"), ("memory", "out_of_memory"), ("hang", "timeout")],
)
def test_a_fault_costs_its_own_candidate(tmp_path: Path, act: str, reason: str) -> None:
    recipe(tmp_path, act)
    bad, good = merge(tmp_path, 0.0), merge(tmp_path, 1.0)
    limit_s = 20.0 if act == "hang" else None
    with executor(WarmExecutor, tmp_path, good, timeout_s=limit_s) as warm:
        first, second, third = run(warm, [good, bad, good])
    assert second.failure is not None
    assert (second.failure.step, second.failure.reason) == ("evaluate", reason)
    assert str(tmp_path) not in second.failure.message
    assert first.failure is None and first.scores == third.scores


def test_a_worker_that_is_killed_once_costs_a_retry(tmp_path: Path) -> None:
    recipe(tmp_path, "kill_once")
    with executor(WarmExecutor, tmp_path, merge(tmp_path, 0.0)) as warm:
        (result,) = run(warm, [merge(tmp_path, 0.0)])
    assert result.failure is None
    assert result.scores["search"].domains["sums"].value > 0.5, "the judge did meet the answer"


def test_models_that_are_kept_go_through_the_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe(tmp_path)
    plan = merge(tmp_path, 0.5)
    with (
        caplog.at_level(logging.WARNING),
        executor(WarmExecutor, tmp_path, plan, keep_models=True) as warm,
    ):
        found = run(warm, [plan, plan])
    assert [r.message for r in caplog.records if "through mergekit-yaml and the disk" in r.message]
    assert len(caplog.records) == 1, "it is said once"
    assert (tmp_path / "work/candidates/0000-000-c00/model.safetensors").is_file()
    assert found[0].scores == found[1].scores


def test_merging_ahead_gives_the_same_scores_and_leaves_no_model(tmp_path: Path) -> None:
    """As where the CPU merges and a GPU scores; here the CPU does both."""
    recipe(tmp_path)
    plans = [merge(tmp_path, share) for share in (0.25, 0.5, 0.75)]
    with executor(WarmExecutor, tmp_path, plans[0]) as warm:
        expected = [result.scores for result in run(warm, plans)]
    with executor(WarmExecutor, tmp_path, plans[0]) as ahead:
        assert isinstance(ahead, WarmExecutor)
        ahead._placement = Placement("cuda", "cpu")
        assert ahead.placement.overlaps
        found = run(ahead, plans)
        assert ahead._mergers is not None and ahead._mergers is not ahead._pool
    assert [result.scores for result in found] == expected
    assert all(result.merge_s > 0 and result.evaluate_s > 0 for result in found)
    assert not list((tmp_path / "work" / "candidates").iterdir())
