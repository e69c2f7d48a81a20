"""Plans, their hashes, and the names of scores."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evomerge_compiler.errors import RecipeError
from evomerge_compiler.evaluation.spec import (
    EvaluationPlan,
    eval_key,
    local_tasks,
    plan_evaluation,
)
from evomerge_compiler.recipe_schema import EvaluationSpec

TASK = """
task: mine
dataset_path: json
dataset_kwargs: {data_files: data.jsonl}
test_split: test
doc_to_text: !function judge.text
"""


def plan(folder: Path, task: str = "mine", metric: str = "acc", **more: Any) -> EvaluationPlan:
    spec = {"tasks": {"d": {"task": task, "metric": metric}}, "include_path": ["tasks"], **more}
    return plan_evaluation(EvaluationSpec.model_validate(spec), folder=folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "mine.yaml").write_text(TASK)
    (tasks / "judge.py").write_text("def text(doc): return doc['q']\n")
    (tasks / "data.jsonl").write_text('{"q": "1"}\n')
    return tmp_path


@pytest.mark.parametrize("name", ["mine.yaml", "judge.py", "data.jsonl"])
def test_any_file_of_the_task_changes_the_key(folder: Path, name: str) -> None:
    before = plan(folder)
    assert plan(folder).tasks_hash == before.tasks_hash
    file = folder / "tasks" / name
    file.write_text(file.read_text() + "\n")
    assert plan(folder).tasks_hash != before.tasks_hash
    assert eval_key("m", plan(folder)) != eval_key("m", before)


def test_what_is_not_asked_does_not_change_the_key(folder: Path) -> None:
    before = plan(folder)
    (folder / "tasks" / "__pycache__").mkdir()
    (folder / "tasks" / "__pycache__" / "judge.py").write_text("x = 1")
    (folder / "tasks" / "notes.md").write_text("x")
    assert plan(folder).tasks_hash == before.tasks_hash
    renamed = dataclasses.replace(
        before, tasks=(dataclasses.replace(before.tasks[0], domain="e", weight=3.0),)
    )
    elsewhere = dataclasses.replace(renamed, device="cuda:1", timeout_s=1.0, folder="/x")
    assert eval_key("m", elsewhere) == eval_key("m", before)
    assert elsewhere.key != before.key


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 3}, {"limit": 5}, {"holdout": 0.25}, {"apply_chat_template": True},
        {"gen_kwargs": {"temperature": 0.5}}, {"dtype": "float32"}, {"max_length": 64},
        {"system_instruction": "hi"},
    ],
)  # fmt: skip
def test_whatever_may_change_a_score_changes_its_key(folder: Path, change: Any) -> None:
    assert eval_key("m", plan(folder, **change)) != eval_key("m", plan(folder))


def test_model_split_and_metric_are_in_the_key(folder: Path) -> None:
    base = plan(folder)
    keys = {
        eval_key("m", base), eval_key("n", base), eval_key("m", base, "held_out"),
        eval_key("m", base, "all"), eval_key("m", plan(folder, metric="f1")),
    }  # fmt: skip
    assert len(keys) == 5
    # The held-out split is never cut short, so its score is the same with any limit.
    assert eval_key("m", plan(folder, limit=5), "held_out") == eval_key("m", base, "held_out")


def test_the_shipped_tasks_are_found_and_need_no_network(tmp_path: Path) -> None:
    spec = {"tasks": {"math": {"task": "evomerge_tiny_math", "metric": "exact_match"}}}
    found = plan_evaluation(EvaluationSpec.model_validate(spec), folder=tmp_path)
    assert found.offline
    assert (
        found.tasks_hash
        != plan_evaluation(
            EvaluationSpec.model_validate({"tasks": {"math": {"task": "gsm8k", "metric": "x"}}}),
            folder=tmp_path,
        ).tasks_hash
    )


def test_stock_and_hub_tasks_need_the_network(folder: Path) -> None:
    assert plan(folder).offline
    assert not plan(folder, task="gsm8k").offline
    (folder / "tasks" / "mine.yaml").write_text(TASK.replace("json\n", "openai/gsm8k\n"))
    assert not plan(folder).offline


def test_groups_tags_and_includes_are_followed(folder: Path) -> None:
    tasks = folder / "tasks"
    (tasks / "_common").write_text("dataset_path: openai/gsm8k\n")
    (tasks / "b.yaml").write_text("include: _common\ntask: other\ntag: [both]\n")
    (tasks / "g.yaml").write_text("group: pair\ntask: [mine, other]\n")
    (tasks / "broken.yaml").write_text("task: [\n")
    found = local_tasks([tasks])
    assert set(found) == {"mine", "other", "both", "pair"}
    assert [found[name].offline for name in ("mine", "other", "both", "pair")] == [
        True, False, False, False,
    ]  # fmt: skip


def test_the_recipe_comes_before_what_ships(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "own.yaml").write_text(
        "task: evomerge_tiny_math\ndataset_path: openai/gsm8k\n"
    )
    assert not plan(tmp_path, task="evomerge_tiny_math").offline


def test_mistakes(folder: Path) -> None:
    with pytest.raises(RecipeError, match="no folder 'nowhere'"):
        plan(folder, include_path=["nowhere"])
    with pytest.raises(RecipeError, match="names no program"):
        plan(folder, task="command: ")
    with pytest.raises(RecipeError, match="No closing quotation"):
        plan(folder, task="command: python 'judge.py {model}")


def test_a_command_counts_by_its_files(folder: Path) -> None:
    (folder / "judge.py").write_text("1")
    before = plan(folder, task="command: python judge.py {model}").tasks_hash
    (folder / "judge.py").write_text("2")
    assert plan(folder, task="command: python judge.py {model}").tasks_hash != before


def test_a_plan_crosses_processes_and_is_made_without_lm_eval(folder: Path) -> None:
    made = plan(folder)
    assert pickle.loads(pickle.dumps(made)) == made
    assert made.weights == {"d": 1.0} and made.domains == ("d",)
    code = (
        "import sys, evomerge_compiler.evaluation.spec, evomerge_compiler.evaluation.lm_eval;"
        "heavy = {'torch', 'transformers', 'lm_eval', 'datasets', 'numpy'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
