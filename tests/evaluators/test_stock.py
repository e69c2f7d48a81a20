"""The benchmarks' task files, run by lm-eval itself on local rows in the columns of the hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from evomerge_compiler.evaluation.spec import plan_evaluation
from evomerge_compiler.evaluation.task_index import LocalTask, local_tasks
from evomerge_compiler.recipe_schema import EvaluationSpec

EVALUATORS = Path(__file__).parents[2] / "evaluators"
STOCK = EVALUATORS / "stock"

MATH = [
    {"unique_id": "a", "problem": "What is {1} + [1]?", "solution": "...", "answer": "2",
     "subject": "Algebra", "level": 1},
    {"unique_id": "b", "problem": "Halve $1$.", "solution": "...", "answer": "\\frac{1}{2}",
     "subject": "Algebra", "level": 1},
]  # fmt: skip
# File, rows with the columns of the hub, and for each row a right and a wrong answer.
CASES: dict[str, tuple[list[dict[str, Any]], list[tuple[str, str]]]] = {
    "math/math500": (MATH, [
        ("It is \\boxed{2}.", "It is \\boxed{3}."),
        ("<think>1?</think>The answer is $0.5$.", "\\boxed{\\frac{2}{1}}"),
    ]),
    "math/minerva_math": ([
        {"question": "How far is it, in m?", "answer": "4.5e33"},
        {"question": "Solve.", "answer": "x_{0} \\cos (\\omega t)"},
    ], [
        ("\\boxed{4.5 \\times 10^{33}}", "\\boxed{4.5 \\times 10^{32}}"),
        ("\\boxed{x_0 \\cos(\\omega t)}", "\\boxed{x_0 \\sin(\\omega t)}"),
    ]),
    "math/aime24": ([
        {"ID": "2024-I-1", "Problem": "What is n?", "Solution": "...", "Answer": 33},
    ], [("so $n = \\boxed{033}$.", "so n = 3.")]),
    "math/olympiadbench": ([
        {"id": 1, "question": "All n?", "solution": ["..."], "final_answer": ["$8$,$4$"],
         "context": None, "modality": "Text-only", "is_multiple_answer": True, "unit": None,
         "answer_type": "Numerical", "error": None, "subject": "Math", "language": "English"},
        {"id": 2, "question": "Find m.", "solution": ["..."], "final_answer": ["$2^{1009}$"],
         "context": None, "modality": "Text-only", "is_multiple_answer": False, "unit": None,
         "answer_type": "Numerical", "error": None, "subject": "Math", "language": "English"},
    ], [
        ("\\boxed{4, 8}", "\\boxed{8}"),
        ("\\boxed{2^{1009}}", "\\boxed{2^{1010}}"),
    ]),
    "math/college_math": ([
        {"data_source": "own", "question_number": "1", "question": "Simplify: $-n+2n+1$",
         "answer": "$n+1$", "license": "own", "data_topic": "algebra"},
    ], [("We get \\boxed{1 + n}.", "We get \\boxed{n - 1}.")]),
    "mgsm/mgsm_es": ([
        {"question": "¿Cuántas manzanas hay?", "answer": None, "answer_number": 1234,
         "equation_solution": None},
    ], [("Hay \\boxed{1,234} manzanas.", "Hay \\boxed{12}.")]),
    "code/humaneval": ([
        {"task_id": "Own/0", "prompt": 'def twice(n: int) -> int:\n    """Doubles {n}."""\n',
         "canonical_solution": "    return 2 * n\n", "entry_point": "twice",
         "test": "def check(candidate):\n    assert candidate(2) == 4\n"
                 "    assert candidate(0) == 0\n"},
    ], [
        ("```python\ndef twice(n):\n    return n + n\n```",
         "```python\ndef twice(n):\n    return 4\n```"),
    ]),
    "code/mbpp": ([
        {"task_id": 11, "text": "Write a function to negate.", "code": "def neg(x): return -x",
         "test_list": ["assert neg(1) == -1", "assert neg(0) == 0"], "test_setup_code": "",
         "challenge_test_list": []},
    ], [("def neg(x):\n    return -x", "def neg(x):\n    return -1")]),
}  # fmt: skip


@pytest.fixture(scope="module")
def tasks() -> dict[str, LocalTask]:
    return local_tasks([EVALUATORS])


@pytest.fixture
def local(tmp_path: Path) -> Callable[[str], str]:
    """Puts local rows in the place of the hub's, in a task file that includes the shipped one."""

    def make(name: str) -> str:
        rows, _ = CASES[name]
        config = yaml.safe_load((STOCK / f"{name}.yaml").read_text().replace("!function", ""))
        split = _settings(name)["test_split"]
        data = tmp_path / "rows.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        own = {
            "include": str(STOCK / f"{name}.yaml"),
            "task": config["task"],
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": {split: str(data)}},
        }
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
        return str(config["task"])

    return make


def _settings(name: str) -> dict[str, Any]:
    """A task file with what it includes, functions left out."""
    path = STOCK / f"{name}.yaml"
    config = yaml.safe_load(path.read_text().replace("!function", ""))
    above = config.get("include")
    parent = (path.parent / above).resolve() if above else None
    base = _settings(str(parent.relative_to(STOCK).with_suffix(""))) if parent else {}
    return {**base, **config}


def oracle(answers: dict[str, str]) -> Any:
    """A model that answers by what its prompt holds."""
    from lm_eval.api.model import LM

    class Oracle(LM):  # type: ignore[misc]
        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            found = []
            for request in requests:
                [answer] = [a for words, a in answers.items() if words in request.args[0]]
                found.append(answer)
            return found

        def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> Any:
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    return Oracle()


def question(row: dict[str, Any]) -> str:
    names = ("prompt", "text", "question", "problem", "Problem")
    return str(next(row[name] for name in names if name in row)).strip()


@pytest.mark.parametrize("name", list(CASES))
def test_lm_eval_scores_right_and_wrong_answers(
    name: str, local: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    task = local(name)
    rows, answers = CASES[name]
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    metric = "pass_at_1" if name.startswith("code/") else "exact_match"
    for which, expected in ((0, 1.0), (1, 0.0)):
        given = {question(row): pair[which] for row, pair in zip(rows, answers, strict=True)}
        done = lm_eval.simple_evaluate(
            model=oracle(given), tasks=[task], task_manager=manager, bootstrap_iters=0,
        )  # fmt: skip
        assert done["results"][task][f"{metric},none"] == expected, which


@pytest.mark.parametrize("name", list(CASES))
def test_the_reference_is_right(
    name: str, local: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    task = local(name)
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    loaded = manager.load([task])["tasks"][task]
    for document in loaded.eval_docs:
        target = loaded.doc_to_target(document)
        boxed = target if name.startswith("code/") else f"\\boxed{{{target}}}"
        values = loaded.process_results(document, [boxed])
        assert next(iter(values.values())) == 1.0
        assert question(document) in loaded.doc_to_text(document)


@pytest.mark.parametrize("name", list(CASES))
def test_what_the_files_say_is_known_without_lm_eval(
    name: str, tasks: dict[str, LocalTask]
) -> None:
    task = tasks[_settings(name)["task"]]
    assert not task.offline
    assert task.runs_code == name.startswith("code/")
    assert task.metric == ("pass_at_1" if name.startswith("code/") else "exact_match")


def test_every_task_file_is_tested_and_all_languages_are_one_group(
    tasks: dict[str, LocalTask],
) -> None:
    files = {str(p.relative_to(STOCK).with_suffix("")) for p in STOCK.rglob("*.yaml")}
    languages = {name for name in files if name.startswith("mgsm/mgsm_")}
    own = {name for name in files - languages if not name.split("/")[-1].startswith("_")}
    assert own | {"mgsm/mgsm_es"} == set(CASES) | {"mgsm/evomerge_mgsm"}
    assert len(languages) == 11
    assert set(tasks["evomerge_mgsm"].tasks) == {f"evomerge_{n.split('/')[1]}" for n in languages}
    for name in languages:
        assert _settings(name)["dataset_name"] == name[-2:]


def test_a_session_scores_a_model_on_them(local: Callable[[str], str], tmp_path: Path) -> None:
    from evomerge_compiler.evaluation.lm_eval import Session

    task = local("code/humaneval")
    spec = {
        "tasks": {"code": {"task": task, "gen_kwargs": {"max_gen_toks": 8}}},
        "include_path": [str(tmp_path)],
        "holdout": 0.0,
    }
    plan = plan_evaluation(EvaluationSpec.model_validate(spec), folder=tmp_path, device="cpu")
    assert plan.offline and plan.tasks[0].column == "pass_at_1,none"
    scores = Session(plan).score(EVALUATORS.parent / "zoo" / "coder")
    assert (scores.domains["code"].value, scores.domains["code"].n) == (0.0, 1)
