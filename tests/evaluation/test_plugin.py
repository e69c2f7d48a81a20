"""Evaluators of an installed distribution: here a real one, in a folder on ``sys.path``."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evomerge_compiler.errors import MissingPrerequisite, RecipeError, WorkFailed
from evomerge_compiler.evaluation.lm_eval import Session
from evomerge_compiler.evaluation.spec import EvaluationPlan, eval_key, plan_evaluation
from evomerge_compiler.recipe_schema import EvaluationSpec
from evomerge_compiler.yamlio import parse

Install = Callable[..., None]
_numbers = itertools.count()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """``install(code)`` makes the function ``judge`` of ``code`` an evaluator plug-in."""

    def install(
        code: str, *, name: str = "mine", owner: str = "judges", version: str = "1.0"
    ) -> None:
        module = f"judges_of_test_{next(_numbers)}"
        site = tmp_path / module
        info = site / f"{owner}-{version}.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(code)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {owner}\nVersion: {version}\n"
        )
        (info / "entry_points.txt").write_text(f"[evomerge.evaluators]\n{name} = {module}:judge\n")
        monkeypatch.syspath_prepend(str(site))

    return install


def make_plan(folder: Path, task: str = "plugin:mine") -> EvaluationPlan:
    spec = {"tasks": {"own": {"task": task, "metric": "quality"}}}
    return plan_evaluation(EvaluationSpec.model_validate(spec), folder=folder)


def test_a_plug_in_scores_a_model(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(
        "def judge(model, split):\n"
        "    print('looking at', model.name)\n"
        "    right = model.is_dir() and split == 'held_out'\n"
        "    return {'quality': 0.75 * right, 'quality_stderr': 0.1, 'n': 12}\n"
    )
    score = Session(make_plan(tmp_path)).score(tmp_path, "held_out").domains["own"]
    assert (score.metric, score.value, score.stderr, score.n) == ("quality", 0.75, 0.1, 12)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"looking at {tmp_path.name}\n")
    install(
        "import numpy as np\n"
        "def judge(model, split):\n"
        "    return {'quality': np.float32(0.5), 'n': np.int64(4)}\n",
        name="numbers",
    )
    score = Session(make_plan(tmp_path, "plugin:numbers")).score(tmp_path).domains["own"]
    assert (score.value, score.n, type(score.value), type(score.n)) == (0.5, 4, float, int)
    with pytest.raises(RecipeError, match="no metric 'quality'"):
        install("def judge(model, split):\n    return {'qualty': 1}\n", name="other")
        Session(make_plan(tmp_path, "plugin:other")).score(tmp_path)


@pytest.mark.parametrize(
    ("body", "reason", "message"),
    [
        ("raise ZeroDivisionError(f'{split} of {model}')", "crashed", "search of MODEL"),
        ("raise SystemExit(3)", "crashed", "SystemExit: 3"),
        ("raise MemoryError", "out_of_memory", "MemoryError"),
        ("return {'quality': float('nan')}", "non_finite", "not finite"),
        ("return {'quality': 1, 'quality_stderr': float('inf')}", "non_finite", "not finite"),
        ("return {'quality': 1, 'n': float('inf')}", "invalid", "n is inf"),
        ("return {'quality': 1, 'quality_stderr': -0.1}", "invalid", "stderr -0.1"),
        ("return {'quality': 'high'}", "invalid", "'high' is not a number"),
        ("return None", "invalid", "not an object"),
    ],
)
def test_a_plug_in_that_gives_no_score(
    install: Install, tmp_path: Path, body: str, reason: str, message: str
) -> None:
    install(f"def judge(model, split):\n    {body}\n")
    with pytest.raises(WorkFailed, match=message) as caught:
        Session(make_plan(tmp_path)).score(tmp_path)
    assert caught.value.reason == reason
    assert str(tmp_path) not in caught.value.message


def test_a_plug_in_that_cannot_be_used_stops_everything(install: Install, tmp_path: Path) -> None:
    install("import no_such_module_anywhere\n")
    with pytest.raises(MissingPrerequisite, match="ModuleNotFoundError") as caught:
        Session(make_plan(tmp_path)).score(tmp_path)
    assert "judges 1.0" in str(caught.value.hint)
    install("judge = 3\n", name="number")
    with pytest.raises(RecipeError, match="is a int, expected a function"):
        Session(make_plan(tmp_path, "plugin:number")).score(tmp_path)


def test_a_plug_in_that_is_not_there_is_a_mistake_with_its_place(
    install: Install, tmp_path: Path
) -> None:
    install("def judge(model, split):\n    return {'quality': 1}\n", name="safety")
    text = "evaluation:\n  tasks:\n    own: {task: 'plugin:saftey', metric: quality}\n"
    document = parse(text, file="r.yaml")
    data: Any = document.data
    spec = EvaluationSpec.model_validate(data["evaluation"])
    with pytest.raises(RecipeError, match="no evaluator plug-in 'saftey'") as caught:
        plan_evaluation(spec, folder=tmp_path, document=document)
    assert (caught.value.place.line, caught.value.hint) == (3, "did you mean 'safety'?")  # type: ignore[union-attr]


def test_one_name_of_two_distributions_is_refused(install: Install, tmp_path: Path) -> None:
    code = "def judge(model, split):\n    return {'quality': 1}\n"
    install(code)
    install(code, owner="others", version="2.1")
    with pytest.raises(RecipeError, match=r"judges 1\.0, others 2\.1"):
        make_plan(tmp_path)


def test_another_version_is_another_evaluation(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(version: str) -> str:
        with monkeypatch.context() as patch:
            site = tmp_path / f"site-{version}"
            info = site / f"judges-{version}.dist-info"
            info.mkdir(parents=True, exist_ok=True)
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: judges\nVersion: {version}\n"
            )
            (info / "entry_points.txt").write_text("[evomerge.evaluators]\nmine = j:judge\n")
            patch.setattr(sys, "path", [str(site), *sys.path])
            return eval_key("model", make_plan(tmp_path))

    assert key("1.0") == key("1.0")
    assert key("1.0") != key("1.1")
