"""Presets: short names of benchmarks, and the warning for a search that optimises one."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from evomerge_compiler import yamlio
from evomerge_compiler.cli import run
from evomerge_compiler.errors import ErrorList, RecipeError
from evomerge_compiler.evaluation.presets import Preset, load_presets
from evomerge_compiler.evaluation.spec import EvaluationPlan, eval_key, plan_evaluation
from evomerge_compiler.evaluation.task_index import include_paths, local_tasks
from evomerge_compiler.recipe_schema import EvaluationSpec

STOCK = {
    "humaneval", "mbpp", "gsm8k", "minerva_math", "math500", "aime24", "olympiadbench",
    "college_math", "mgsm", "mgsm_es", "belebele", "belebele_fra_Latn", "global_mmlu_fr",
    "global_mmlu_full_fr", "jsonschema", "jsonschema_hard", "ifeval",
}  # fmt: skip


def plan(folder: Path, task: dict[str, Any], **more: Any) -> EvaluationPlan:
    spec = EvaluationSpec.model_validate({"tasks": {"d": task}, **more})
    return plan_evaluation(spec, folder=folder)


def preset(name: str) -> Preset:
    found = load_presets().find(name)
    assert found is not None, name
    return found


@pytest.mark.parametrize("name", sorted(STOCK))
def test_each_says_all_there_is_to_know(name: str) -> None:
    found = preset(name)
    assert found.benchmark and found.needs and "*" not in found.task
    assert load_presets().benchmark(name) and load_presets().benchmark(found.task)


@pytest.mark.parametrize("name", sorted(STOCK))
def test_each_names_a_metric_and_filter_that_its_task_has(name: str) -> None:
    import lm_eval.tasks

    found = preset(name)
    paths = include_paths((), Path())
    if not found.task.startswith("evomerge_"):
        # lm-eval's own files, read with the same eyes: the folder of that benchmark. Others that
        # build on it have files of the same name further down.
        root = Path(lm_eval.tasks.__file__).parent
        files = [path for path in root.rglob("*.yaml") if path.stem.lstrip("_") == found.task]
        paths = [min(files, key=lambda path: len(path.parts)).parent]
    task = local_tasks(paths)[found.task]
    texts = [
        path.read_text(encoding="utf-8")
        for folder in task.folders
        for path in folder.iterdir()
        if path.is_file() and path.suffix in ("", ".yaml")
    ]
    assert not task.offline
    assert found.metric in (task.metrics or ()) or any(found.metric in text for text in texts)
    assert found.filter == task.filter or any(f'name: "{found.filter}"' in t for t in texts)


def test_a_preset_equals_what_it_stands_for(tmp_path: Path) -> None:
    short = plan(tmp_path, {"task": "gsm8k"})
    [task] = short.tasks
    assert (task.task, task.column, task.num_fewshot) == (
        "gsm8k", "exact_match,flexible-extract", 0,
    )  # fmt: skip
    explicit = {
        "task": "gsm8k", "metric": "exact_match", "filter": "flexible-extract",
        "num_fewshot": 0, "gen_kwargs": {"max_gen_toks": 1024},
    }  # fmt: skip
    assert eval_key("m", plan(tmp_path, explicit)) == eval_key("m", short)
    assert plan(tmp_path, {"task": "math500"}).tasks[0].task == "evomerge_math500"


def test_what_a_recipe_writes_wins(tmp_path: Path) -> None:
    wanted = {"task": "gsm8k", "filter": "strict-match", "num_fewshot": 5}
    [task] = plan(tmp_path, wanted).tasks
    assert (task.filter, task.num_fewshot) == ("strict-match", 5)
    assert task.gen_kwargs == {"max_gen_toks": 1024}
    [task] = plan(tmp_path, {"task": "gsm8k"}, gen_kwargs={"max_gen_toks": 8}).tasks
    assert task.gen_kwargs == {}  # the plan's own count for all tasks
    own = {"task": "gsm8k", "gen_kwargs": {"max_gen_toks": 16}}
    [task] = plan(tmp_path, own, gen_kwargs={"max_gen_toks": 8}).tasks
    assert task.gen_kwargs == {"max_gen_toks": 16}


def test_a_written_metric_means_lm_evals_own_task(tmp_path: Path) -> None:
    # As before there were presets: same task, same prompt, same key.
    [task] = plan(tmp_path, {"task": "humaneval", "metric": "pass@1", "filter": "x"}).tasks
    assert (task.task, task.metric, task.filter) == ("humaneval", "pass@1", "x")
    assert task.num_fewshot is None and task.gen_kwargs == {}


def test_a_pattern_stands_for_each_language(tmp_path: Path) -> None:
    assert plan(tmp_path, {"task": "mgsm_es"}).tasks[0].task == "evomerge_mgsm_es"
    assert plan(tmp_path, {"task": "belebele_deu_Latn"}).tasks[0].task == "belebele_deu_Latn"
    assert preset("global_mmlu_full_fr").about != preset("global_mmlu_fr").about
    with pytest.raises(RecipeError, match="no task 'evomerge_mgsm_xx'"):
        plan(tmp_path, {"task": "mgsm_xx"})


def test_a_project_adds_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evaluators").mkdir()
    file = tmp_path / "evaluators" / "presets.yaml"
    own = {"task": "arc_easy", "metric": "acc_norm", "domain": "other", "about": "mine"}
    file.write_text(json.dumps({"presets": {"arc": own, "gsm8k": own}}))
    monkeypatch.setenv("EVOMERGE_PROJECT", str(tmp_path))
    assert plan(tmp_path, {"task": "arc"}).tasks[0].column == "acc_norm,none"
    assert plan(tmp_path, {"task": "gsm8k"}).tasks[0].task == "arc_easy"
    assert load_presets().find("mbpp") is not None
    file.write_text(json.dumps({"presets": {"arc": {**own, "metrik": "acc"}}}))
    with pytest.raises(ErrorList, match="unknown key 'metrik'") as caught:
        load_presets()
    assert caught.value.hint == "did you mean 'metric'?"


def test_the_loader_says_that_a_name_is_a_preset(tmp_path: Path) -> None:
    from evomerge_compiler.evaluation.lm_eval import Session

    asked = {"task": "math500", "metric": "exact_match"}
    with pytest.raises(RecipeError) as caught:
        Session(plan(tmp_path, asked))
    assert caught.value.hint == "math500 is a preset: leave `metric` out"


# --------------------------------------------------------------------------------------

RECIPE = """
models: {{a: {{path: "zoo:coder"}}, b: {{path: "zoo:mathematician"}}, c: {{path: "zoo:polyglot"}}}}
base: {{path: "zoo:base"}}
evaluation: {{tasks: {{math: {task}}}}}
"""


def recipe(folder: Path, task: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(RECIPE.format(task=task))
    return path


@pytest.mark.parametrize("task", ["{task: gsm8k}", "{task: evomerge_math500}",
                                  "{task: gsm8k_cot, metric: exact_match}"])  # fmt: skip
@pytest.mark.parametrize("command", ["validate", "plan"])
def test_a_search_on_a_benchmark_is_warned_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    command: str, task: str,
) -> None:  # fmt: skip
    path = recipe(tmp_path, task)
    monkeypatch.chdir(tmp_path)
    assert run([command, str(path)]) == 0
    [record] = [r for r in caplog.records if "public benchmark" in r.getMessage()]
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"{path}:4:")
    assert "claims need other items" in record.getMessage()


@pytest.mark.parametrize("task", ["{task: gsm8k, benchmark: true}", "{task: evomerge_tiny_math}"])
def test_who_means_it_is_not_warned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, task: str
) -> None:
    assert run(["validate", str(recipe(tmp_path, task))]) == 0
    assert not caplog.records


def test_validate_finds_mistakes_of_the_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["validate", str(recipe(tmp_path, "{task: gsm9k}"))]) == 2
    shown = capsys.readouterr()
    assert "mine.yaml:4:" in shown.err and "did you mean 'gsm8k'?" in shown.err


def test_benchmark_is_no_part_of_the_key(tmp_path: Path) -> None:
    marked = plan(tmp_path, {"task": "gsm8k", "benchmark": True})
    assert marked == plan(tmp_path, {"task": "gsm8k"})


def test_ls_shows_presets_and_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ls", "evaluators"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "downloads openai/gsm8k" in lines["gsm8k"]
    assert "group of 11 in stock/mgsm; exact_match" in lines["evomerge_mgsm"]
    assert "runs code in the sandbox" in lines["evomerge_tiny_code"]
    assert "downloads" not in lines["evomerge_tiny_code"]


def test_the_shipped_file_is_strict_yaml() -> None:
    path = Path(__file__).parents[2] / "evaluators" / "presets.yaml"
    assert isinstance(yamlio.read_file(path).data, dict)
