"""Workers on a real Ray cluster of two nodes: what they give, and what is lost with a node."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from executor_kits import LocalKit, RayKit, add_node, write_sums
from simulated_run import QUICKSTART, digest

from evomerge_compiler import launch
from evomerge_compiler.candidate import Failure
from evomerge_compiler.errors import MissingPrerequisite, UsageError
from evomerge_compiler.evaluation.spec import plan_evaluation
from evomerge_compiler.evolution import Evolution
from evomerge_compiler.executors import ray_node
from evomerge_compiler.executors.base import Job, JobResult
from evomerge_compiler.executors.local import LocalExecutor, LocalSettings
from evomerge_compiler.executors.ray import RayExecutor
from evomerge_compiler.executors.ray_node import (
    NodeFolder,
    NodeSetup,
    NodeSlot,
    installed_versions,
)
from evomerge_compiler.executors.ray_pool import MAX_LOST, RayPool
from evomerge_compiler.executors.warm import WarmExecutor
from evomerge_compiler.recipe import Recipe, load
from evomerge_compiler.recipe_schema import RaySpec
from evomerge_compiler.run_folder import RunFolder, RunSetup

RECIPE = """\
name: sums
models:
  coder: {path: "zoo:coder"}
  mathematician: {path: "zoo:mathematician"}
template: linear
genome: {weight: {choice: [0.05, 1], per: model}}
evaluation:
  tasks: {sums: {task: toy_sums, metric: exact_match}}
  include_path: [tasks]
  holdout: 0.01
search: {strategy: sobol, population: 4, generations: 1}
"""
# One of the judges, on whatever node it is, says who it is through a pipe, and hangs.
TASK_JUDGE = """
import os, pathlib, time

def judge(doc, results):
    here = pathlib.Path(__file__).parent
    try:
        (here / "one_hangs").unlink()
    except FileNotFoundError:
        return {"exact_match": float(results[0].strip() == doc["answer"])}
    (here / "pid").write_text(str(os.getpid()))
    time.sleep(600)
"""
# The same as a command, as often as its model's folder says; else it looks for a node's secret.
JUDGE = """
import json, os, pathlib, sys, time
model = pathlib.Path(sys.argv[1])
left = model / "hangs"
if left.exists() and int(left.read_text()):
    left.write_text(str(int(left.read_text()) - 1))
    (model / "pid").write_text(str(os.getpid()))
    time.sleep(600)
print(json.dumps({"good": float("HF_TOKEN" not in os.environ), "n": 4}))
"""


def toy(folder: Path) -> Recipe:
    tasks = write_sums(folder / "tasks", TASK_JUDGE)
    os.mkfifo(tasks / "pid")
    (folder / "recipe.yaml").write_text(RECIPE)
    return load(folder / "recipe.yaml")


def settings(folder: Path, **changes: Any) -> LocalSettings:
    made = LocalSettings(work=folder / "work", recipe_folder=folder, offline=True)
    return replace(made, **changes)


def run(executor: LocalExecutor | RayExecutor, jobs: list[Job]) -> list[JobResult]:
    found = dict(executor.run(jobs))
    return [found[index] for index in range(len(jobs))]


def searched(recipe: Recipe, run: Path, executor: LocalExecutor | RayExecutor) -> dict[str, bytes]:
    """Every tracked file of a search."""
    setup = RunSetup(recipe, RECIPE.encode(), {})
    folder = RunFolder.open(run, create_from=setup)
    with folder.hold():
        Evolution(recipe, folder, executor).run(1)
    return digest(run)


def scores(results: list[JobResult]) -> list[Any]:
    assert not [result.failure for result in results if result.failure]
    return [result.scores for result in results]


def ancestor(pid: int, named: str) -> psutil.Process:
    """The nearest process above ``pid`` with ``named`` in its command line."""
    for process in psutil.Process(pid).parents():
        if any(named in word for word in process.cmdline()):
            return process
    raise AssertionError(f"{pid} is below no {named}")


def actor_of(pid: int) -> psutil.Process:
    return ancestor(pid, "ray::NodeSlot")


def node_of(nodes: Any, pid: int) -> Any:
    raylet = ancestor(pid, "raylet/raylet").pid
    by_pid = {n.all_processes["raylet"][0].process.pid: n for n in nodes.worker_nodes}
    return by_pid[raylet]


@pytest.fixture
def hanging(ray_kit: RayKit) -> Callable[..., Job]:
    """Makes jobs whose judge hangs so many times, each with its process id in a pipe."""
    (ray_kit.folder / "judge.py").write_text(JUDGE)

    def job(name: str, times: int) -> Job:
        made = ray_kit.job(name)
        folder = ray_kit.folder / "models" / name
        (folder / "hangs").write_text(str(times))
        os.mkfifo(folder / "pid")
        return made

    return job


def test_two_nodes_and_the_loss_of_one_give_what_one_machine_gives(
    nodes: Any, tmp_path: Path
) -> None:
    recipe = toy(tmp_path)
    assert recipe.evaluation is not None
    evaluation = plan_evaluation(recipe.evaluation, folder=tmp_path)
    with WarmExecutor(evaluation, settings(tmp_path)) as warm:
        expected = searched(recipe, tmp_path / "warm", warm)
    answers = {text for name, text in expected.items() if name.endswith("items.tsv")}
    assert len(answers) > 1
    with (
        RayExecutor(evaluation, settings(tmp_path, n_workers=2)) as executor,
        ThreadPoolExecutor(1) as thread,
    ):
        assert searched(recipe, tmp_path / "ray", executor) == expected
        (tmp_path / "tasks" / "one_hangs").touch()
        again = thread.submit(searched, recipe, tmp_path / "lost", executor)
        lost = node_of(nodes, int((tmp_path / "tasks" / "pid").read_text()))
        nodes.remove_node(lost, allow_graceful=False)
        add_node(nodes)
        assert again.result() == expected


def test_an_actor_that_is_killed_costs_another_try(
    ray_kit: RayKit, hanging: Callable[..., Job]
) -> None:
    jobs = [hanging("once", 1), hanging("good", 0)]
    with ray_kit.executor(1) as executor, ThreadPoolExecutor(1) as thread:
        found = thread.submit(run, executor, jobs)
        judge = psutil.Process(int((ray_kit.folder / "models/once/pid").read_text()))
        actor_of(judge.pid).kill()
        judge.wait()  # what an actor had started goes with it
        values = [each["search"].domains["judged"].value for each in scores(found.result())]
    assert values == [1.0, 1.0], "and no worker sees what its node's environment holds"


def test_a_job_that_takes_its_actors_along_fails_alone(
    ray_kit: RayKit, hanging: Callable[..., Job]
) -> None:
    jobs = [hanging("killer", MAX_LOST), hanging("good", 0)]
    with ray_kit.executor(1) as executor, ThreadPoolExecutor(1) as thread:
        found = thread.submit(run, executor, jobs)
        for _ in range(MAX_LOST):
            actor_of(int((ray_kit.folder / "models/killer/pid").read_text())).kill()
        killer, good = found.result()
    assert killer.failure == Failure(
        "evaluate", "crashed", "its worker was lost with its node or actor, 3 times"
    )
    assert good.failure is None


def test_failures_read_as_on_one_machine(
    nodes: Any, header_models: SimpleNamespace, tmp_path: Path
) -> None:
    found = []
    for kind in (LocalKit, RayKit):
        (tmp_path / kind.__name__).mkdir()
        kit = kind(tmp_path / kind.__name__, header_models.a)
        jobs = [kit.job("killer", "crash"), kit.job("bad", "fail"), kit.job("slow", "hang")]
        # A worker that starts on a busy machine takes some of it.
        with kit.executor(1, timeout_s=12.0) as executor:
            found.append([result.failure for result in run(executor, jobs)])
    assert found[0] == found[1]
    assert [each.reason for each in found[0] if each] == ["out_of_memory", "crashed", "timeout"]


def touch(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"label": "another"}))


def test_a_node_without_the_model_is_named(ray_kit: RayKit) -> None:
    for change, said in (
        (touch, "its contents are"),
        (shutil.rmtree, "there is no such folder"),
    ):
        job = ray_kit.job(said.replace(" ", "-"))
        assert job.model is not None and job.model.folder is not None
        change(job.model.folder)
        with (
            ray_kit.executor(1) as executor,
            pytest.raises(MissingPrerequisite, match=rf"node .* cannot use model .*{said}"),
        ):
            run(executor, [job])


def test_resources_that_no_node_has(ray_kit: RayKit, caplog: pytest.LogCaptureFixture) -> None:
    spec = RaySpec(resources={"moon": 2.0})
    with (
        RayExecutor(ray_kit.evaluation(), ray_kit.settings(), spec, wait_s=0.1) as executor,
        pytest.raises(MissingPrerequisite, match="had 1 CPU, 2 moon free"),
    ):
        run(executor, [ray_kit.job("any")])
    assert "waiting for a node" in caplog.text


def test_resources_that_ray_refuses(ray_kit: RayKit) -> None:
    spec = RaySpec(num_gpus=1.5)
    with (
        RayExecutor(ray_kit.evaluation(), ray_kit.settings(), spec) as executor,
        pytest.raises(UsageError, match=r"Ray refuses .* whole numbers"),
    ):
        run(executor, [ray_kit.job("any")])


def test_a_node_without_the_package(
    ray_kit: RayKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    (tmp_path / "here_alone.py").write_text("class Slot:\n    def prepare(self): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    slot = ray.remote(importlib.import_module("here_alone").Slot).options(num_cpus=1)
    pool = RayPool(1, slot.remote, "1 CPU", wait_s=30.0)
    try:
        with pytest.raises(MissingPrerequisite, match="No module named 'here_alone'"):
            pool.submit(ray_kit.job("any")).result()
        with pytest.raises(MissingPrerequisite, match="No module named 'here_alone'"):
            pool.submit(ray_kit.job("other")).result()
    finally:
        pool.close()


@pytest.mark.parametrize(
    ("address", "kind", "said"),
    [
        ("127.0.0.1:1", MissingPrerequisite, "nothing answers"),
        ("auto", UsageError, "connected to a Ray cluster already"),
    ],
)
def test_addresses(ray_kit: RayKit, address: str, kind: type[Exception], said: str) -> None:
    with (
        RayExecutor(ray_kit.evaluation(), ray_kit.settings(), address=address) as executor,
        pytest.raises(kind, match=said),
    ):
        run(executor, [ray_kit.job("any")])


def test_one_gpu_of_a_node_cannot_be_named(ray_kit: RayKit) -> None:
    evaluation = replace(ray_kit.evaluation(), device="cuda:1")
    with pytest.raises(UsageError, match="chooses the GPUs"):
        RayExecutor(evaluation, ray_kit.settings())


@pytest.mark.parametrize(
    ("text", "device", "asks"),
    [
        ("", "cpu", {"CPU": 1, "GPU": 0}),
        ("", "cuda", {"CPU": 1, "GPU": 1}),
        ("ray: {num_cpus: 4, num_gpus: 0.5, resources: {fast: 2}}", "cuda",
         {"CPU": 4, "GPU": 0.5, "fast": 2}),
    ],
)  # fmt: skip
def test_what_a_worker_asks_for_stands_in_the_recipe(
    tmp_path: Path, text: str, device: str, asks: dict[str, float]
) -> None:
    (tmp_path / "recipe.yaml").write_text(QUICKSTART.read_text() + text)
    recipe = load(tmp_path / "recipe.yaml")
    # A GPU that this machine lacks may be there on the cluster.
    options = launch.Options(executor="ray", ray_address="elsewhere:1", device=device)
    evaluation = launch.evaluation_of(recipe, options)
    with launch.executor_for(recipe, evaluation, tmp_path, options) as executor:
        assert isinstance(executor, RayExecutor) and executor.asks == asks
    assert launch.device_kind(device, elsewhere=True) == device


# -- a slot without a cluster --------------------------------------------------------------------


@pytest.fixture
def setup(
    header_models: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> NodeSetup:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kit = RayKit(tmp_path, header_models.a)
    evaluation = replace(kit.evaluation(), device="cpu")
    return NodeSetup("run", evaluation, kit.settings(), None, installed_versions())


def refusal(setup: NodeSetup) -> str:
    error = NodeSlot(setup).prepare().error
    assert isinstance(error, MissingPrerequisite)
    return error.message


def test_other_versions_are_refused(setup: NodeSetup) -> None:
    assert NodeSlot(setup).prepare().error is None
    other = {**setup.versions, "torch": "1.0", "mergekit": "9"}
    message = refusal(replace(setup, versions=other))
    assert "torch" in message and ", not 1.0" in message and "mergekit" in message


def test_other_task_files_are_refused(setup: NodeSetup, tmp_path: Path) -> None:
    gone = replace(setup.evaluation, include_paths=(str(tmp_path / "gone"),))
    assert NodeSlot(replace(setup, evaluation=gone)).prepare().error is None, "it is not needed"
    (tmp_path / "judge.py").write_text("print('another')")
    message = refusal(replace(setup, evaluation=gone))
    assert "task files" in message and f"it lacks {tmp_path / 'gone'}" in message


def test_a_gpu_that_is_not_there(setup: NodeSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_node, "gpu_available", lambda: False)
    on_gpu = replace(setup, evaluation=replace(setup.evaluation, device="cuda"))
    assert "finds no GPU" in refusal(on_gpu)


def test_shipped_evaluators_are_each_nodes_own(setup: NodeSetup) -> None:
    """Their folder may be another on a node: what counts is what they ask."""
    recipe = load("quickstart")
    assert recipe.evaluation is not None
    plan = plan_evaluation(recipe.evaluation, folder=recipe.folder)
    moved = replace(plan, include_paths=("/nowhere/evaluators",))
    assert ray_node.evaluation_here(moved).include_paths == plan.include_paths


def test_the_last_slot_removes_the_folder_of_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "evomerge-ray-killed").mkdir()
    (tmp_path / "evomerge-ray-killed" / ".lock").touch()
    one, two, other = NodeFolder("a"), NodeFolder("a"), NodeFolder("b")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["evomerge-ray-a", "evomerge-ray-b"]
    one.release()
    assert two.path.is_dir()
    two.release()
    assert [each.name for each in tmp_path.iterdir()] == [other.path.name]
    other.release()


# -- a cluster of its own ------------------------------------------------------------------------

OWN_CLUSTER = """
import signal, sys
from pathlib import Path
from executor_kits import RayKit

kit = RayKit(Path(sys.argv[1]), Path(sys.argv[2]))
handler = signal.getsignal(signal.SIGTERM)
with kit.executor(1) as executor:
    for name in ("before", "after"):
        ((_, result),) = executor.run([kit.job(name)])
        assert result.failure is None and signal.getsignal(signal.SIGTERM) is handler
        executor.close()
"""


def test_a_cluster_of_its_own_is_stopped_and_leaves_nothing(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    folders = [str(Path(__file__).parent), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", OWN_CLUSTER, str(tmp_path), str(header_models.a)],
        env={**kept, "HOME": str(home), "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "", "stdout is for data"
    assert list(home.iterdir()) == [], "Ray's token for the cluster is not left behind"


# -- the command ---------------------------------------------------------------------------------


@pytest.mark.long
def test_the_run_folder_is_that_of_warm(tmp_path: Path) -> None:
    """On a cluster that the command starts for itself."""
    trees = []
    for name, flags in (("warm", []), ("ray", ["-j", "2"])):
        arguments = [
            "evolve", QUICKSTART, "--run-dir", tmp_path / name, "--executor", name, *flags,
            "--gens", 2, "--limit", 6, "-S", "search.population=2", "--json",
        ]  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "evomerge_compiler", *map(str, arguments)],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)
        trees.append(digest(tmp_path / name))
    assert trees[0] == trees[1]


def test_an_address_goes_with_ray_alone() -> None:
    from evomerge_compiler.cli import run as command

    assert command(["evolve", "quickstart", "--ray-address", "auto"]) == 2
