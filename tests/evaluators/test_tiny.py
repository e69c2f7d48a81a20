"""The tiny tasks: data that can be made again, files that lm-eval loads, scorers that judge."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TINY = Path(__file__).parents[2] / "evaluators" / "tiny"
METRICS = {
    "code": "pass_at_1",
    "math": "exact_match",
    "multilingual": "exact_match",
    "structured_data": "exact",
}


def rows(domain: str) -> list[dict[str, Any]]:
    text = (TINY / "data" / f"{domain}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def scorers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tiny_scorers", TINY / "scorers.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def score(scorers: ModuleType, domain: str, row: dict[str, Any], text: str) -> float:
    result = getattr(scorers, f"score_{domain}")(row, [text])
    assert list(result) == [METRICS[domain]]
    return float(result[METRICS[domain]])


def test_generating_again_gives_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, str(TINY / "generate.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    for domain in METRICS:
        name = f"{domain}.jsonl"
        assert (tmp_path / name).read_bytes() == (TINY / "data" / name).read_bytes()


@pytest.mark.parametrize("domain", METRICS)
def test_items_are_many_short_and_distinct(domain: str) -> None:
    items = rows(domain)
    assert len(items) >= 400
    assert len({row["id"] for row in items}) == len(items)
    assert len({row["prompt"] for row in items}) == len(items)
    assert max(len(row["prompt"].encode()) for row in items) <= 28
    assert max(len(row["answer"].encode()) for row in items) <= 16
    assert not any("\n" in row["prompt"] + row["answer"] for row in items)


@pytest.mark.parametrize("domain", ["math", "multilingual", "structured_data"])
def test_reference_answers_are_right(scorers: ModuleType, domain: str) -> None:
    assert all(score(scorers, domain, row, row["answer"]) == 1.0 for row in rows(domain))


def test_reference_code_is_right_and_run_in_the_sandbox(scorers: ModuleType) -> None:
    for row in rows("code")[::10]:
        assert score(scorers, "code", row, row["answer"]) == 1.0


@pytest.mark.parametrize("domain", ["math", "multilingual", "structured_data"])
def test_a_constant_answer_scores_near_zero(scorers: ModuleType, domain: str) -> None:
    items = rows(domain)
    answers = [row["answer"] for row in items]
    best = max(set(answers), key=answers.count)
    assert sum(score(scorers, domain, row, best) for row in items) / len(items) < 0.04


def test_constant_code_scores_near_zero(scorers: ModuleType) -> None:
    items = rows("code")
    for text in ("n", "s", "v", "0", "[]", "abs(n)", "s[::-1]", "sorted(v)"):
        right = sum(score(scorers, "code", row, text) for row in items[:200])
        assert right / 200 < 0.04, text


def test_code_is_judged_by_what_it_returns(scorers: ModuleType) -> None:
    row = {
        "argument": "n",
        "calls": json.dumps([[1], [5]]),
        "expected": json.dumps([4, 8]),
    }
    assert score(scorers, "code", row, "n+3") == 1.0
    assert score(scorers, "code", row, " 3+n ") == 1.0
    assert score(scorers, "code", row, "n+3.0") == 1.0  # numbers count by value
    assert score(scorers, "code", row, "str(n+3)") == 0.0
    assert score(scorers, "code", row, "n+4") == 0.0
    assert score(scorers, "code", row, "n+") == 0.0
    assert score(scorers, "code", row, "exit()") == 0.0
    assert score(scorers, "code", row, "type('E',(),{'__eq__':lambda a,b:True})()") == 0.0


def test_math_takes_the_last_integer(scorers: ModuleType) -> None:
    row = {"answer": "85"}
    assert score(scorers, "math", row, "77+8=85") == 1.0
    assert score(scorers, "math", row, " 85 ") == 1.0
    assert score(scorers, "math", row, "85 84") == 0.0
    assert score(scorers, "math", row, "-85") == 0.0
    assert score(scorers, "math", row, "none") == 0.0


def test_structured_data_is_judged_by_value(scorers: ModuleType) -> None:
    row = {"format": "json", "value": json.dumps({"a": 1, "b": "x"})}
    assert score(scorers, "structured_data", row, '{"b": "x", "a": 1}') == 1.0
    assert score(scorers, "structured_data", row, '{"a": 1.0, "b": "x"}') == 1.0
    assert score(scorers, "structured_data", row, '{"a": "1", "b": "x"}') == 0.0
    assert score(scorers, "structured_data", row, '{"a": true, "b": "x"}') == 0.0
    assert score(scorers, "structured_data", row, '{"a": 1') == 0.0
    row["format"] = "yaml"
    assert score(scorers, "structured_data", row, "{a: 1, b: x}") == 1.0
    assert score(scorers, "structured_data", row, "{a: 1, b: [") == 0.0
    row = {"format": "csv", "value": json.dumps([["1", "x,y"]])}
    assert score(scorers, "structured_data", row, '1,"x,y"') == 1.0
    assert score(scorers, "structured_data", row, "1,x,y") == 0.0


def test_number_words() -> None:
    program = (
        "import lexicon as l, json; print(json.dumps({k: [l.number_word(k, n) "
        "for n in range(100)] for k in l.LANGUAGES}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=TINY, check=True, capture_output=True, text=True
    )
    words = json.loads(done.stdout)
    assert {language: (spelt[21], spelt[71], spelt[83]) for language, spelt in words.items()} == {
        "fr": ("vingt et un", "soixante et onze", "quatre-vingt-trois"),
        "de": ("einundzwanzig", "einundsiebzig", "dreiundachtzig"),
        "es": ("veintiuno", "setenta y uno", "ochenta y tres"),
        "it": ("ventuno", "settantuno", "ottantatré"),
        "pt": ("vinte e um", "setenta e um", "oitenta e três"),
        "nl": ("eenentwintig", "eenenzeventig", "drieëntachtig"),
        "sv": ("tjugoett", "sjuttioett", "åttiotre"),
        "id": ("dua puluh satu", "tujuh puluh satu", "delapan puluh tiga"),
    }
    assert all(len(set(spelt)) == 100 for spelt in words.values())
    assert words["id"][10:12] == ["sepuluh", "sebelas"]


def test_lm_eval_loads_the_group_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.tasks import TaskManager

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    manager = TaskManager(include_defaults=False, include_path=str(TINY))
    loaded = manager.load(["evomerge_tiny"])["tasks"]
    assert set(loaded) == {f"evomerge_tiny_{domain}" for domain in METRICS}
    arguments = []
    for domain, metric in METRICS.items():
        task = loaded[f"evomerge_tiny_{domain}"]
        documents = task.test_docs()
        assert len(documents) == len(rows(domain))
        first = documents[0]
        assert task.doc_to_text(first) == rows(domain)[0]["prompt"]
        assert task.doc_to_target(first) == rows(domain)[0]["answer"]
        assert [entry["metric"] for entry in task.config.metric_list] == [metric]
        arguments.append(task.config.generation_kwargs)
    assert all(entry == arguments[0] for entry in arguments)
    assert arguments[0]["until"] == ["\n"]
