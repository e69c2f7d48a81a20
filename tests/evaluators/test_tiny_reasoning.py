"""The reasoning tasks of the slow and the fast model: data, solutions, scoring, loading."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "evaluators" / "tiny_reasoning"
TASKS = ("sums", "chains")


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tiny_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded  # dataclasses look their module up
    spec.loader.exec_module(loaded)
    return loaded


def rows(task: str) -> list[dict[str, Any]]:
    text = (FOLDER / "data" / f"{task}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_generating_again_gives_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "generate.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    for task in TASKS:
        name = f"{task}.jsonl"
        assert (tmp_path / name).read_bytes() == (FOLDER / "data" / name).read_bytes()


@pytest.mark.parametrize("task", TASKS)
def test_items_are_distinct_and_their_answers_are_right(task: str) -> None:
    items = rows(task)
    assert len(items) == len({row["prompt"] for row in items}) == 400
    for row in items:
        question = row["prompt"].split(":")[1]
        assert set(question) <= set("0123456789+-")
        assert eval(question) == int(row["answer"]) >= 0
    answers = [row["answer"] for row in items]
    assert max(map(answers.count, answers)) / len(items) < 0.06, "a constant answer"


def test_a_solution_shows_as_much_as_is_asked_for() -> None:
    problem = module("problems").Problem("sum:58+3+9", ("58+3=61", "61+9=70"), "70")
    assert problem.solution(0) == ";70"
    assert problem.solution(1) == "58+3=61;70"
    assert problem.solution(2, twice=True) == "58+3=61,61+9=70?58+3=61,61+9=70;70"


@pytest.mark.parametrize("task", TASKS)
def test_every_step_of_a_solution_is_right_and_no_answer_reaches_the_limit(task: str) -> None:
    family, rng = module("problems").FAMILIES[task], random.Random(1)
    for _ in range(300):
        problem = family(rng)
        for step in problem.steps:
            left, right = step.split("=")
            assert eval(left) == int(right) >= 0
        assert problem.steps[-1].endswith(f"={problem.result}")
        assert len(problem.solution(len(problem.steps), twice=True)) < 96 - 1


def test_only_the_result_counts() -> None:
    score = module("scorers").score
    row = {"answer": "70"}
    for text in (";70", "58+3=61,61+9=70;70", "58+3=60;70"):
        assert score(row, [text]) == {"exact_match": 1.0}
    for text in ("", "70", "58+3=61,61+9=70", ";71", ";", ";70;7", "61+9=70;"):
        assert score(row, [text]) == {"exact_match": 0.0}, text


def test_lm_eval_loads_the_group_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.tasks import TaskManager

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    manager = TaskManager(include_defaults=False, include_path=str(FOLDER))
    loaded = manager.load(["evomerge_tiny_reasoning"])["tasks"]
    assert set(loaded) == {f"evomerge_tiny_{task}" for task in TASKS}
    for task in TASKS:
        first = loaded[f"evomerge_tiny_{task}"].test_docs()[0]
        assert loaded[f"evomerge_tiny_{task}"].doc_to_text(first) == rows(task)[0]["prompt"]
        assert loaded[f"evomerge_tiny_{task}"].doc_to_target(first) == rows(task)[0]["answer"]
