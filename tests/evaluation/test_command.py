"""Evaluators of the user's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from evomerge_compiler.errors import MissingPrerequisite, RecipeError, WorkFailed
from evomerge_compiler.evaluation.lm_eval import Session
from evomerge_compiler.evaluation.results import domain_rows, to_lm_eval
from evomerge_compiler.evaluation.spec import EvaluationPlan, plan_evaluation
from evomerge_compiler.recipe_schema import EvaluationSpec
from evomerge_compiler.yamlio import parse


def make_plan(folder: Path, task: str, **more: Any) -> EvaluationPlan:
    spec = {"tasks": {"own": {"task": task, "metric": "quality"}}, **more}
    return plan_evaluation(EvaluationSpec.model_validate(spec), folder=folder)


def command(folder: Path, body: str, **more: Any) -> EvaluationPlan:
    (folder / "judge.py").write_text(f"import json, os, sys, time\n{body}\n")
    return make_plan(folder, f"command: {sys.executable} judge.py {{model}} {{split}}", **more)


def test_a_command_scores_a_model(tmp_path: Path) -> None:
    model = tmp_path / "a model"
    model.mkdir()
    plan = command(
        tmp_path,
        "print('loading ...')\n"
        "print('noise', file=sys.stderr)\n"
        "right = os.path.basename(sys.argv[1]) == 'a model' and sys.argv[2] == 'held_out'\n"
        "print(json.dumps({'quality': 0.75 * right, 'quality_stderr': 0.1, 'n': 12}))",
    )
    evaluation = Session(plan).evaluate(model, "held_out", identity="m")
    score = evaluation.scores.domains["own"]
    assert (score.metric, score.value, score.stderr, score.n) == ("quality", 0.75, 0.1, 12)
    assert evaluation.scores.items == {} and evaluation.scores.eval_key
    assert [row.value for row in domain_rows(evaluation)] == [0.75]
    assert to_lm_eval(evaluation, model="m")["evomerge"]["domains"]["own"]["n"] == 12


def test_a_command_may_give_the_results_of_items(tmp_path: Path) -> None:
    body = (
        "items = {'set': 'all ' + sys.argv[2], 'values': [1.0, 0.5] * 2000}\n"
        "items['tokens'] = [7] * 4000\n"
        "print(json.dumps({'quality': 0.75, 'items': items}))"
    )
    scores = Session(command(tmp_path, body)).score(tmp_path)
    items = scores.items["own"]
    assert (items.item_set, items.values[:2]) == ("all search", (1.0, 0.5))
    assert items.tokens == (7,) * 4000
    assert scores.domains["own"].n == 4000
    for wrong, message in (("{'set': 'a', 'values': []}", "values"), ("[1]", "items")):
        body = f"print(json.dumps({{'quality': 1, 'items': {wrong}}}))"
        with pytest.raises(WorkFailed, match=message):
            Session(command(tmp_path, body)).score(tmp_path)


def test_a_command_knows_no_limit(tmp_path: Path) -> None:
    """All search items are what it was asked all along."""
    body = "print(json.dumps({'quality': float(sys.argv[2] == 'search')}))"
    session = Session(command(tmp_path, body, limit=3))
    assert session.score(tmp_path, "full_search").domains["own"].value == 1.0


def test_only_external_evaluators_need_no_torch(tmp_path: Path) -> None:
    import subprocess

    plan = command(tmp_path, "print('{\"quality\": 1}')")
    code = (
        "import pickle, sys; from pathlib import Path\n"
        "from evomerge_compiler.evaluation.lm_eval import Session\n"
        f"plan = pickle.loads({__import__('pickle').dumps(plan)!r})\n"
        "value = Session(plan).score(Path('.')).domains['own'].value\n"
        "sys.exit('torch' in sys.modules or value != 1.0)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("body", "reason", "message"),
    [
        ("sys.exit('it broke')", "crashed", "it broke"),
        ("print('no scores')", "invalid", "not JSON"),
        ("", "invalid", "not JSON"),
        ("print([1])", "invalid", "not an object"),
        ('print(\'{"quality": "high"}\')', "invalid", "'high' is not a number"),
        ("print('{\"quality\": true}')", "invalid", "True is not a number"),
        ("print('{\"quality\": NaN}')", "non_finite", "not finite"),
        ('print(\'{"quality": 1, "quality_stderr": Infinity}\')', "non_finite", "not finite"),
        ("raise MemoryError", "out_of_memory", "MemoryError"),
    ],
)
def test_a_command_that_gives_no_score(
    tmp_path: Path, body: str, reason: str, message: str
) -> None:
    with pytest.raises(WorkFailed, match=message) as caught:
        Session(command(tmp_path, body)).score(tmp_path)
    assert caught.value.reason == reason and str(tmp_path) not in caught.value.message


def test_a_command_that_hangs(tmp_path: Path) -> None:
    with pytest.raises(WorkFailed) as caught:
        Session(command(tmp_path, "time.sleep(60)", timeout_s=0.5)).score(tmp_path)
    assert caught.value.reason == "timeout"


def test_mistakes_in_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no metric 'quality'") as caught:
        Session(command(tmp_path, 'print(\'{"qualty": 1, "n": 2}\')')).score(tmp_path)
    assert "did you mean 'qualty'?" in str(caught.value.hint)
    with pytest.raises(MissingPrerequisite):
        Session(make_plan(tmp_path, "command: no-such-program-here {model}")).score(tmp_path)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("command: judge", "does not say where the model folder goes"),
        ("command: ", "names no program"),
        ("command: judge '{model}", "No closing quotation"),
    ],
)
def test_a_command_that_cannot_be_run_is_a_mistake_with_its_place(
    tmp_path: Path, task: str, message: str
) -> None:
    """Before anything is merged for it."""
    text = f'evaluation:\n  tasks:\n    own:\n      task: "{task}"\n      metric: quality\n'
    document = parse(text, file="r.yaml")
    spec = EvaluationSpec.model_validate(document.data["evaluation"])  # type: ignore[index]
    with pytest.raises(RecipeError, match=message) as caught:
        plan_evaluation(spec, folder=tmp_path, document=document)
    place = caught.value.place
    assert place is not None and (place.file, place.line, place.column) == ("r.yaml", 4, 13)
    assert caught.value.hint
