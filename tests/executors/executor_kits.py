"""Ways to make each executor meet good jobs, failing ones, dying ones and ones that hang."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from evomerge_compiler.compiler.merge_plan import MergePlan, Stage
from evomerge_compiler.compiler.model_headers import source_model
from evomerge_compiler.evaluation.spec import EvaluationPlan, TaskPlan, hash_tasks
from evomerge_compiler.executors.base import Executor, Job
from evomerge_compiler.executors.local import LocalExecutor, LocalSettings
from evomerge_compiler.executors.ray import RayExecutor
from evomerge_compiler.executors.simulated import Landscape, SimulatedExecutor
from evomerge_compiler.recipe_schema import ModelSpec

# A task of sums, judged by the module beside it.
SUMS_TASK = """\
task: toy_sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{answer}}}}"
target_delimiter: ""
process_results: !function judge.judge
generation_kwargs: {{until: ["\\n"], do_sample: false, max_gen_toks: 12}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 1}}
"""
# The mathematician knows the second and the coder does not.
SUMS = {"math:95-9=": "86", "math:89-16=": "73", "math:6*9+8=": "62"}
# A judge that does what the judged model's folder says. Its grandparent is the worker.
JUDGE = """
import json, os, pathlib, signal, sys, time
model, split = pathlib.Path(sys.argv[1]), sys.argv[2]
text = (model / "behaviour").read_text() if (model / "behaviour").exists() else "score 0.5"
kind, _, value = text.partition(" ")
tried = pathlib.Path(sys.argv[3]) / model.name
if kind == "crash" or kind == "crash_once" and not tried.exists():
    tried.touch()
    supervisor = os.getppid()
    worker = pathlib.Path(f"/proc/{supervisor}/stat").read_text().rpartition(")")[2].split()[1]
    os.kill(int(worker), signal.SIGKILL)
if kind == "hang":
    time.sleep(600)
if kind == "slow":
    time.sleep(float(value))
if kind == "fail":
    sys.exit("cannot judge this")
score = float(value) if kind in ("score", "slow") else 0.25
print(json.dumps({"good": score + (split == "held_out") / 100, "n": 4}))
"""


class Kit(Protocol):
    """Makes jobs that behave in a certain way, and the executor that runs them."""

    def job(self, name: str, behaviour: str = "score 0.5", **kwargs: Any) -> Job: ...

    def executor(self, n_workers: int, timeout_s: float | None = None) -> Executor: ...


def plan(name: str, **values: object) -> MergePlan:
    """A plan that only a landscape can merge."""
    key = hashlib.sha256(f"{name}{values}".encode()).hexdigest()
    return MergePlan(
        text=name,
        stages=(Stage("final", {"name": name, **values}, (), key),),
        models={},
        merge_key=key,
        random_seed=1,
        config_donor="a",
        tokenizer_donor="a",
        chat_template_donor=None,
        n_layers=1,
        depth_changed=False,
        notes=(),
    )


class SimulatedKit:
    """Behaviour is the landscape's, by label."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_kind: dict[str, list[str]] = {}

    def job(self, name: str, behaviour: str = "score 0.5", **kwargs: Any) -> Job:
        kind = behaviour.partition(" ")[0]
        self.by_kind.setdefault(kind, []).append(name)
        return Job(name, plan=plan(name, kind=kind), **kwargs)

    def executor(self, n_workers: int, timeout_s: float | None = None) -> Executor:
        labels = {kind: tuple(names) for kind, names in self.by_kind.items()}
        landscape = Landscape(
            crashing=labels.get("crash", ()),
            crashing_once=str(self.folder) if "crash_once" in labels else "",
            hanging=labels.get("hang", ()),
            failing={"crashed": 1.0} if "fail" in labels else {},
            delay_s=0.2 if "slow" in labels else 0.0,
        )
        return SimulatedExecutor(landscape, n_workers=n_workers, timeout_s=timeout_s)


class LocalKit:
    """Behaviour is written into the model, and acted out by an external command."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.model = model
        (folder / "judge.py").write_text(JUDGE)
        (folder / "tried").mkdir()

    def job(self, name: str, behaviour: str = "score 0.5", **kwargs: Any) -> Job:
        safe = name.replace("/", "-")
        model = Path(shutil.copytree(self.model, self.folder / "models" / safe))
        # Another identity for each: the identity is that of the contents.
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(config | {"label": name}))
        (model / "behaviour").write_text(behaviour)
        spec = ModelSpec(path=str(model))
        return Job(name, model=source_model(safe, spec, self.folder), **kwargs)

    def evaluation(self) -> EvaluationPlan:
        words = f"{sys.executable} judge.py {{model}} {{split}} tried"
        task = TaskPlan("judged", f"command: {words}", "good")
        return EvaluationPlan(tasks=(task,), tasks_hash="x", folder=str(self.folder))

    def settings(self, n_workers: int = 1, timeout_s: float | None = None) -> LocalSettings:
        return LocalSettings(
            work=self.folder / "work",
            recipe_folder=self.folder,
            n_workers=n_workers,
            timeout_s=timeout_s,
            offline=True,
        )

    def executor(self, n_workers: int, timeout_s: float | None = None) -> Executor:
        return LocalExecutor(self.evaluation(), self.settings(n_workers, timeout_s))


class RayKit(LocalKit):
    """The same on the nodes of the cluster that the tests are connected to."""

    def evaluation(self) -> EvaluationPlan:
        plan = super().evaluation()
        return replace(plan, tasks_hash=hash_tasks(plan.tasks, {}, self.folder))

    def executor(self, n_workers: int, timeout_s: float | None = None) -> Executor:
        return RayExecutor(self.evaluation(), self.settings(n_workers, timeout_s))


def add_node(cluster: Any) -> None:
    """A node for one worker, with a secret in its environment that no worker may see."""
    cluster.add_node(num_cpus=1, object_store_memory=80_000_000, env_vars={"HF_TOKEN": "secret"})


def write_sums(folder: Path, judge: str) -> Path:
    """A folder of the task: sums with their answers, and the module that judges them."""
    folder.mkdir()
    rows = [json.dumps({"prompt": prompt, "answer": answer}) for prompt, answer in SUMS.items()]
    (folder / "sums.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "sums.yaml").write_text(SUMS_TASK.format(data=folder / "sums.jsonl"))
    (folder / "judge.py").write_text(judge)
    return folder
