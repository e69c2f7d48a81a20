"""Plans, their hashes, and the names of scores."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evomerge_compiler import yamlio
from evomerge_compiler.errors import RecipeError
from evomerge_compiler.evaluation import task_index
from evomerge_compiler.evaluation.spec import EvaluationPlan, eval_key, plan_evaluation
from evomerge_compiler.evaluation.task_index import local_tasks
from evomerge_compiler.recipe_schema import EvaluationSpec

TASK = """
task: mine
dataset_path: json
dataset_kwargs: {data_files: data.jsonl}
test_split: test
doc_to_text: !function judge.text
"""


def plan(
    folder: Path, task: str = "mine", metric: str | None = "acc", **more: Any
) -> EvaluationPlan:
    entry = {"task": task, **({"metric": metric} if metric else {})}
    spec = {"tasks": {"d": entry}, "include_path": ["tasks"], **more}
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
    # All search items are what a search without a limit asks.
    assert eval_key("m", plan(folder, limit=5), "full_search") == eval_key("m", base)
    assert eval_key("m", base, "full_search") == eval_key("m", base)


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


def test_groups_of_groups_come_to_their_tasks(folder: Path) -> None:
    tasks = folder / "tasks"
    (tasks / "code").mkdir()
    (tasks / "code" / "run.yaml").write_text(
        TASK.replace("mine", "run") + "metadata: {runs_code: true}\n"
    )
    (tasks / "code" / "g.yaml").write_text("group: inner\ntask: [run]\n")
    (folder / "groups").mkdir()
    outer = folder / "groups" / "outer.yaml"
    outer.write_text("group: outer\ntask: [inner, {task: mine}, {group: x, task: [mine]}]\n")
    (folder / "groups" / "loop.yaml").write_text("group: loop\ntask: [loop, mine]\n")
    found = local_tasks([folder / "groups", tasks])
    assert found["outer"].tasks == ("run", "mine")
    assert found["outer"].folders == (tasks, tasks / "code")
    assert found["outer"].files == (outer,)
    assert found["outer"].offline and found["outer"].runs_code and not found["outer"].missing
    assert found["inner"].runs_code and not found["mine"].runs_code
    assert found["loop"].missing == ("loop",) and not found["loop"].offline
    # A group of lm-eval's own tasks needs lm-eval's index.
    outer.write_text("group: outer\ntask: [inner, gsm8k]\n")
    found = local_tasks([folder / "groups", tasks])
    assert found["outer"].missing == ("gsm8k",) and not found["outer"].offline


def test_the_members_of_a_group_are_in_its_hash(folder: Path) -> None:
    (folder / "groups").mkdir()
    group = folder / "groups" / "g.yaml"
    (folder / "tasks" / "b.yaml").write_text(TASK.replace("mine", "other"))

    def hashed(members: str) -> str:
        group.write_text(f"group: g\ntask: {members}\n")
        return plan(folder, "g", include_path=["groups", "tasks"]).tasks_hash

    assert hashed("[mine]") != hashed("[mine, other]")


def test_shared_scorers_are_in_the_hash_of_tasks_that_name_them(folder: Path) -> None:
    def digests() -> list[str]:
        return task_index.digests(local_tasks([folder / "tasks"])["mine"])

    assert len(digests()) == 3
    judge = folder / "tasks" / "judge.py"
    judge.write_text(judge.read_text() + "from evomerge_compiler.scoring import answers\n")
    shared = [line for line in digests() if line.startswith("evomerge_compiler.scoring/")]
    assert any("/answers.py " in line for line in shared)
    assert any("/assert_harness.py " in line for line in shared)
    # Every shared file counts: a scorer is built of others.
    scoring = Path(task_index.__file__).parents[1] / "scoring"
    assert len(shared) == len(list(scoring.glob("*.py")))


@pytest.mark.parametrize(
    ("text", "metric", "filter_"),
    [
        ("metric_list: [{metric: f1}, {metric: acc}]", "f1", "none"),
        ("metric_list: [{metric: !function judge.own}]", "own", "none"),
        ("metric_list: [{metric: f1}]\nfilter_list: [{name: strict}, {name: loose}]",
         "f1", "strict"),
        ("output_type: multiple_choice", "acc", "none"),
        ("output_type: generate_until", "exact_match", "none"),
    ],
)  # fmt: skip
def test_a_metric_that_is_left_out_comes_from_the_file(
    folder: Path, text: str, metric: str, filter_: str
) -> None:
    (folder / "tasks" / "mine.yaml").write_text(f"{TASK}{text}\n")
    made = plan(folder, metric=None)
    assert (made.tasks[0].metric, made.tasks[0].filter) == (metric, filter_)
    explicit = plan(folder, tasks={"d": {"task": "mine", "metric": metric, "filter": filter_}})
    assert eval_key("m", explicit) == eval_key("m", made)


def test_a_metric_of_a_group_comes_from_the_group(folder: Path) -> None:
    tasks = folder / "tasks"
    (tasks / "mine.yaml").write_text(TASK + "metric_list: [{metric: acc}, {metric: f1}]\n")
    (tasks / "b.yaml").write_text(TASK.replace("mine", "b") + "metric_list: [{metric: f1}]\n")
    (tasks / "g.yaml").write_text(
        "group: g\ntask: [mine, b]\n"
        "aggregate_metric_list: [{metric: f1, filter_list: [strict]}, {metric: acc}]\n"
    )
    (tasks / "h.yaml").write_text("group: h\ntask: [g]\n")
    (tasks / "i.yaml").write_text("group: i\ntask: [mine, b]\n")
    for name in ("g", "h"):
        made = plan(folder, name, metric=None)
        assert made.tasks[0].column == "f1,strict"
    with pytest.raises(RecipeError, match="have no metric in common: acc, f1"):
        plan(folder, "i", metric=None)


def test_arguments_of_one_task_are_in_its_key_alone(folder: Path) -> None:
    before = plan(folder)
    entry = {"task": "mine", "metric": "acc", "gen_kwargs": {"max_gen_toks": 8}}
    longer = plan(folder, tasks={"d": entry})
    assert eval_key("m", longer) != eval_key("m", before)
    assert longer.tasks[0].asked != before.tasks[0].asked
    assert plan(folder, tasks={"d": {**entry, "gen_kwargs": {}}}).tasks == before.tasks


def test_metrics_that_cannot_be_are_named_early(folder: Path) -> None:
    closed = "metric_list: [{metric: exact}]\nprocess_results: !function judge.own\n"
    (folder / "tasks" / "mine.yaml").write_text(TASK + closed)
    with pytest.raises(RecipeError, match=r"task 'mine' has no metric 'exat'") as caught:
        plan(folder, metric="exat")
    assert caught.value.hint == "did you mean 'exact'?"
    with pytest.raises(RecipeError, match="no task 'evomerge_tiny_mat'") as caught:
        plan(folder, "evomerge_tiny_mat")
    assert caught.value.hint == "did you mean 'evomerge_tiny_math'?"
    with pytest.raises(RecipeError, match="is not known before lm-eval loads it") as caught:
        plan(folder, "arc_challenge", metric=None)
    assert "metric: NAME, filter: NAME" in str(caught.value.hint)
    with pytest.raises(RecipeError, match="has no metric of its own"):
        plan(folder, "command: python judge.py", metric=None)


def test_mistakes_stand_at_their_place(folder: Path) -> None:
    text = "evaluation:\n  tasks:\n    d: {task: gsm9k}\n"
    document = yamlio.parse(text, file="mine.yaml")
    spec = EvaluationSpec.model_validate(document.data["evaluation"])  # type: ignore[index,call-overload]
    with pytest.raises(RecipeError) as caught:
        plan_evaluation(spec, folder=folder, document=document)
    assert str(caught.value.place) == "mine.yaml:3:15"
    assert str(caught.value.hint).startswith("did you mean 'gsm8k'?")
    document = yamlio.parse("evaluation:\n  include_path: [x]\n  tasks: {d: {task: a}}\n")
    spec = EvaluationSpec.model_validate(document.data["evaluation"])  # type: ignore[index,call-overload]
    with pytest.raises(RecipeError) as caught:
        plan_evaluation(spec, folder=folder, document=document)
    assert caught.value.place is not None and caught.value.place.line == 2


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
