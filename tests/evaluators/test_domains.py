"""The four domains through lm-eval itself: its loop, its command, oracles and constants."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

EVALUATORS = Path(__file__).parents[2] / "evaluators"
ZOO = Path(__file__).parents[2] / "zoo"
PRIMARY = {
    "evomerge_code": "pass_at_1",
    "evomerge_math": "exact_match",
    "evomerge_multilingual": "score",
    "evomerge_structured_data": "score",
}
MIN_ITEMS = 400


def task_files() -> dict[str, dict[str, Any]]:
    """Task name to its YAML, with functions as text and what it includes."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: node.value)
    found = {}
    for domain in PRIMARY:
        for path in sorted((EVALUATORS / domain.removeprefix("evomerge_")).glob("*.yaml")):
            data = yaml.load(path.read_text(encoding="utf-8"), Loader)
            if "task" in data and "group" not in data:
                common = path.parent / data.get("include", path.name)
                found[data["task"]] = yaml.load(common.read_text(), Loader) | data
    return found


TASKS = task_files()


def says(answers: Any) -> Any:
    """An lm-eval model that answers from the items themselves."""
    from lm_eval.api.model import LM

    class Saying(LM):
        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            return [answers(request.doc) for request in requests]

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            raise AssertionError("these tasks generate")

        loglikelihood_rolling = loglikelihood

    return Saying()


def evaluate(model: Any, tasks: list[str]) -> dict[str, Any]:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(EVALUATORS), include_defaults=False)
    results: dict[str, Any] = simple_evaluate(
        model=model, tasks=tasks, task_manager=manager, bootstrap_iters=100
    )
    return results


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    """lm-eval's results of a model that reads the answer key."""
    return evaluate(says(lambda doc: doc["answer"]), ["evomerge_domains"])


def test_the_answer_key_scores_one_everywhere(oracle: dict[str, Any]) -> None:
    for domain, metric in PRIMARY.items():
        assert oracle["results"][domain][f"{metric},none"] == 1.0
        assert oracle["results"][domain][f"{metric}_stderr,none"] == 0.0
        for task in (name for name in TASKS if name.startswith(domain)):
            assert oracle["results"][task][f"{metric},none"] == 1.0, task


def test_every_domain_has_items_enough(oracle: dict[str, Any]) -> None:
    for domain in PRIMARY:
        tasks = [name for name in TASKS if name.startswith(domain)]
        n = sum(oracle["n-samples"][task]["original"] for task in tasks)
        assert n >= MIN_ITEMS, f"{domain} has {n}"
        assert all(oracle["versions"][task] for task in tasks)


@pytest.mark.parametrize("task", TASKS)
def test_no_task_is_won_by_always_saying_the_same(task: str, oracle: dict[str, Any]) -> None:
    """A constant scores no more than the chance that the task file declares.

    The tests of each domain look at all constants; here a few pass through lm-eval.
    """
    chance = TASKS[task]["metadata"]["chance"]
    assert chance <= 0.2
    answers = [sample["doc"]["answer"] for sample in oracle["samples"][task]]
    constants = [max(sorted(set(answers)), key=answers.count), "0", ""]
    metric = PRIMARY[next(domain for domain in PRIMARY if task.startswith(domain))]
    for constant in constants:
        found = evaluate(says(lambda doc, text=constant: text), [task])["results"][task]
        assert found[f"{metric},none"] <= chance + 0.01, constant


def test_the_command_of_lm_eval_and_evomerge_say_the_same(tmp_path: Path) -> None:
    """Plain ``lm_eval`` on the shipped files, offline, beside a session of ours."""
    small = tmp_path / "evaluators"
    _some_items_of_each_task(small)
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    command = [
        sys.executable, "-m", "lm_eval", "run", "--model", "hf",
        "--model_args", f"pretrained={ZOO / 'coder'},dtype=float32",
        "--tasks", "evomerge_domains", "--include_path", str(small), "--batch_size", "8",
        "--gen_kwargs", "max_gen_toks=12", "--output_path", str(tmp_path / "out"),
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (file,) = (tmp_path / "out").rglob("results_*.json")
    theirs = json.loads(file.read_text())
    for domain in PRIMARY:
        assert f"|{domain}" in done.stdout.replace(" ", "").replace("-", "")

    recipe = tmp_path / "recipe.yaml"
    tasks = "\n".join(f"    {domain}: {{task: {domain}}}" for domain in PRIMARY)
    recipe.write_text(
        "kind: merge\nmodels: {a: {path: 'zoo:coder'}}\ntemplate: passthrough\ngenome: {}\n"
        f"evaluation:\n  tasks:\n{tasks}\n  include_path: [evaluators]\n"
        "  batch_size: 8\n  gen_kwargs: {max_gen_toks: 12}\n"
    )
    from evomerge_compiler import recipe as recipes
    from evomerge_compiler.evaluation.lm_eval import Session
    from evomerge_compiler.evaluation.spec import plan_evaluation

    evaluation = recipes.load(recipe).evaluation
    assert evaluation is not None
    session = Session(plan_evaluation(evaluation, folder=tmp_path))
    ours = session.score(ZOO / "coder", "all")
    for domain, metric in PRIMARY.items():
        expected = theirs["results"][domain]
        assert ours.domains[domain].value == pytest.approx(expected[f"{metric},none"], abs=1e-12)
        assert ours.domains[domain].stderr == pytest.approx(
            expected[f"{metric}_stderr,none"], abs=1e-12
        )
        items = ours.items[domain]
        assert len(items.right) == len(items.tokens) == len(items.finish) == len(items.values)


def _some_items_of_each_task(target: Path, n: int = 3) -> None:
    for domain in PRIMARY:
        folder = EVALUATORS / domain.removeprefix("evomerge_")
        copy = target / folder.name
        (copy / "data").mkdir(parents=True)
        for path in (*folder.glob("*.yaml"), folder / "items.py"):
            (copy / path.name).write_bytes(path.read_bytes())
        for path in (folder / "data").glob("*.jsonl"):
            lines = path.read_text(encoding="utf-8").split("\n")
            (copy / "data" / path.name).write_text("\n".join(lines[:n]) + "\n", encoding="utf-8")
    (target / "evomerge_domains.yaml").write_bytes(
        (EVALUATORS / "evomerge_domains.yaml").read_bytes()
    )
