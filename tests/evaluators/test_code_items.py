"""The code items: drawn again they are the same, and what they expect is right."""

from __future__ import annotations

import ast
import copy
import functools
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from code_oracles import ORACLES

from evomerge_compiler.scoring import code
from evomerge_compiler.scoring.items import read

CODE = Path(__file__).parents[2] / "evaluators" / "code"
KINDS = ("functions", "constructs", "repair")
ITEMS_PER_FAMILY = 10
Row = dict[str, Any]


@functools.cache
def rows(kind: str) -> list[Row]:
    return read(CODE / "data" / f"{kind}.jsonl")


@functools.cache
def all_rows() -> list[Row]:
    return [row for kind in KINDS for row in rows(kind)]


@functools.cache
def functions() -> dict[str, Callable[..., Any]]:
    """The reference solution of each item; our own code, run here."""
    found = {}
    for row in all_rows():
        module: dict[str, Any] = {}
        exec(row["answer"].removeprefix("```python\n").removesuffix("```"), module)
        found[row["id"]] = module[row["function"]]
    return found


def passes(function: Callable[..., Any], row: Row) -> bool:
    try:
        values = [function(*arguments) for arguments in json.loads(row["calls"])]
    except Exception:
        return False
    return code.equal(json.loads(json.dumps(values)), json.loads(row["expected"]))


def scores(answers: list[tuple[Row, str]], metric: str = "pass_at_1") -> list[float]:
    code.prefetch(answers)
    return [code.score(row, [text])[metric] for row, text in answers]


def test_generating_again_gives_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, str(CODE / "generate.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    names = {f"{kind}.jsonl" for kind in KINDS}
    assert {path.name for path in tmp_path.iterdir()} == names
    for name in names:
        assert (tmp_path / name).read_bytes() == (CODE / "data" / name).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_items_are_distinct_and_families_of_equal_size(kind: str) -> None:
    items = rows(kind)
    assert len({row["id"] for row in items}) == len(items)
    assert len({row["prompt"] for row in items}) == len(items)
    assert set(Counter(row["family"] for row in items).values()) == {ITEMS_PER_FAMILY}
    assert max(len(row["prompt"]) for row in items) <= 1200
    assert {row["difficulty"] for row in items} <= set(range(1, 6))


def test_there_are_enough_families() -> None:
    assert len(all_rows()) >= 480
    assert len({row["family"] for row in rows("functions")}) >= 44


def test_reference_answers_are_right() -> None:
    answers = [(row, row["answer"]) for row in all_rows()]
    assert set(scores(answers)) == {1.0}
    assert set(scores(answers, "syntax")) == {1.0}
    asked = [(row, row["answer"]) for row in rows("constructs")]
    assert set(scores(asked, "construct")) == {1.0}


def test_every_asked_construct_is_told() -> None:
    told = {
        "recursion": "recursion", "no_loop": "no loop", "while_loop": "while loop",
        "no_for": "no for loop", "list_comprehension": "list comprehension",
        "dict_comprehension": "dictionary comprehension", "generator": "yield",
        "lambda": "lambda", "try": "try and except", "zip": "zip", "no_sort": "sorted()",
        "no_import": "not import",
    }  # fmt: skip
    for row in rows("constructs"):
        prompt = " ".join(row["prompt"].split())
        assert row["construct"]
        assert all(told[name] in prompt for name in row["construct"].split()), row["id"]
    assert not any(row.get("construct") for row in rows("functions") + rows("repair"))


def test_broken_functions_fail() -> None:
    answers = [(row, f"```python\n{row['broken']}```") for row in rows("repair")]
    assert all(row["broken"].strip() in row["prompt"] for row, _ in answers)
    assert set(scores(answers)) == {0.0}
    assert set(scores(answers, "syntax")) == {1.0}


@pytest.mark.parametrize("kind", KINDS)
def test_no_constant_scores_more_than_the_task_file_says(kind: str) -> None:
    config = yaml.load((CODE / f"{kind}.yaml").read_text(), Loader=yaml.BaseLoader)
    constants = ["", "0", "1", "yes", "no", "true", "null", "[]", "{}", "return 1", "return None",
                 "return []", "return ''", "return True", "return False"]  # fmt: skip
    items = rows(kind)[::3]
    best = max(sum(scores([(row, text) for row in items])) / len(items) for text in constants)
    assert best <= float(config["metadata"]["chance"]) + 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_reference_answer_is_right_for_few_other_items(kind: str) -> None:
    named: dict[str, list[Row]] = {}
    for row in rows(kind):
        named.setdefault(row["function"], []).append(row)
    for row in rows(kind):
        alike = [other for other in named[row["function"]] if other["answer"] != row["answer"]]
        passed = [other["id"] for other in alike if passes(functions()[row["id"]], other)]
        assert not passed, f"{row['id']} is right for {passed}: their calls do not differ enough"


def test_no_item_is_won_by_one_value_or_by_its_argument() -> None:
    for row in all_rows():
        calls, expected = json.loads(row["calls"]), json.loads(row["expected"])
        assert len(calls) == len(expected) >= 6
        assert len({json.dumps(value) for value in expected}) > 1, row["id"]
        assert [call[0] for call in calls] != expected, row["id"]


def test_references_leave_what_they_are_given_as_it_was() -> None:
    """Otherwise the prompt would have to say so."""
    for row in all_rows():
        for arguments in json.loads(row["calls"]):
            given = copy.deepcopy(arguments)
            functions()[row["id"]](*given)
            assert given == arguments, row["id"]


def test_examples_in_prompts_are_true() -> None:
    shown = 0
    for row in all_rows():
        module = {row["function"]: functions()[row["id"]]}
        name = re.escape(row["function"])
        found = re.search(
            rf"`({name}\(.*\))` (?:returns|gives|should return) `(.*?)`[,.]", row["prompt"]
        ) or re.search(rf">>> ({name}\(.*\))\n    (.*)\n", row["prompt"])
        assert found is not None, row["prompt"]
        assert eval(found[1], module) == ast.literal_eval(found[2]), row["id"]
        shown += 1
    assert shown == len(all_rows())


def test_code_in_prompts_is_python() -> None:
    for row in all_rows():
        for block in re.findall(r"```python\n(.*?)```", row["prompt"], re.DOTALL):
            assert row["function"] in {node.name for node in ast.parse(block).body}  # type: ignore[attr-defined]
        ast.parse(row["signature"] + " pass")


@pytest.mark.parametrize("family", ORACLES)
def test_expected_values_are_found_in_another_way(family: str) -> None:
    items = [row for row in all_rows() if row["family"].removeprefix("repair_") == family]
    assert len(items) >= ITEMS_PER_FAMILY
    for row in items:
        for arguments, expected in zip(
            json.loads(row["calls"]), json.loads(row["expected"]), strict=True
        ):
            found = ORACLES[family](row["prompt"], row["function"], *arguments)
            assert code.equal(found, expected), (row["id"], row["prompt"], arguments, found)
