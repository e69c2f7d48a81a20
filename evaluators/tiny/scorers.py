"""Data and scoring of the tiny tasks; the task files name these functions with ``!function``.

The data is read from beside this file, so that the tasks load from any folder, and without a
data-set cache.  Answers are judged in the way their domain asks: code is run, structured data is
parsed and compared by value, the others are compared as text.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import yaml

TIMEOUT_S = 2.0
_DATA = Path(__file__).parent / "data"
_INTEGER = re.compile(r"-?\d+")
Row = dict[str, Any]


def _load(domain: str) -> dict[str, Any]:
    import datasets

    lines = (_DATA / f"{domain}.jsonl").read_text(encoding="utf-8").splitlines()
    return {"test": datasets.Dataset.from_list([json.loads(line) for line in lines])}


def load_code(**_: object) -> dict[str, Any]:
    """Reads the code items; lm-eval hands over the task's metadata, which says nothing new."""
    return _load("code")


def load_math(**_: object) -> dict[str, Any]:
    """Reads the math items."""
    return _load("math")


def load_multilingual(**_: object) -> dict[str, Any]:
    """Reads the multilingual items."""
    return _load("multilingual")


def load_structured_data(**_: object) -> dict[str, Any]:
    """Reads the structured-data items."""
    return _load("structured_data")


def prompt(row: Row) -> str:
    """The text that the model reads (a function: a template would interpret braces)."""
    return str(row["prompt"])


def answer(row: Row) -> str:
    """The reference answer."""
    return str(row["answer"])


def same(left: object, right: object) -> bool:
    """Compares two JSON values without Python's equality of 1, 1.0 and True.

    Args:
        left: a JSON value.
        right: a JSON value.

    Returns:
        Whether both have the same types and values throughout; the order of keys is free.
    """
    if type(left) is not type(right):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left == right


def score_code(row: Row, results: list[str]) -> dict[str, float]:
    """Runs the answer as the return expression of the function that the prompt describes.

    The sandbox returns the values; they are compared here, so a program that meddles with its
    own surroundings gains nothing.

    Args:
        row: the item, with `argument`, `calls` and `expected`.
        results: one generated text.

    Returns:
        `pass_at_1`: 1.0 where every call gives the expected value.
    """
    from evomerge_compiler.evaluation import sandbox

    [run] = sandbox.shared().run([_program(row, results[0])], timeout_s=TIMEOUT_S)
    right = run.status == "ok" and same(list(run.values), json.loads(row["expected"]))
    return {"pass_at_1": float(right)}


def _program(row: Row, text: str) -> Any:
    from evomerge_compiler.evaluation.sandbox import Program

    calls = tuple(tuple(arguments) for arguments in json.loads(row["calls"]))
    source = f"def solution({row['argument']}):\n    return {text.strip()}\n"
    return Program(source=source, function="solution", calls=calls)


def _run_ahead(pairs: list[tuple[Row, str]]) -> None:
    """Runs all programs of a task at once; the sandbox remembers, and uses all its workers."""
    from evomerge_compiler.evaluation import sandbox

    programs = [_program(row, text) for row, text in pairs]
    sandbox.shared().run(programs, timeout_s=TIMEOUT_S)


# evomerge calls this with all answers before it scores the first; plain lm-eval does not.
score_code.prefetch = _run_ahead  # type: ignore[attr-defined]


def score_math(row: Row, results: list[str]) -> dict[str, float]:
    """Compares the last integer of the text, so that an answer may show its working first.

    Args:
        row: the item.
        results: one generated text.

    Returns:
        `exact_match`: 1.0 where that integer is the answer.
    """
    numbers = _INTEGER.findall(results[0])
    return {"exact_match": float(bool(numbers) and numbers[-1] == row["answer"])}


def score_multilingual(row: Row, results: list[str]) -> dict[str, float]:
    """Compares the text, apart from white space at its ends.

    Args:
        row: the item.
        results: one generated text.

    Returns:
        `exact_match`: 1.0 where the text is the answer.
    """
    return {"exact_match": float(results[0].strip() == row["answer"])}


def parse(form: str, text: str) -> object:
    """Reads structured data.

    Args:
        form: `json`, `yaml` or `csv`.
        text: the data.

    Returns:
        The value; for csv a list of rows of text cells.

    Raises:
        ValueError: the text is not of that form.
    """
    if form == "json":
        return json.loads(text)
    if form == "csv":
        try:
            return list(csv.reader([text], strict=True))
        except csv.Error as error:
            raise ValueError(str(error)) from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def score_structured_data(row: Row, results: list[str]) -> dict[str, float]:
    """Parses the text and compares its value with the expected one.

    Args:
        row: the item, with `format` and `value`.
        results: one generated text.

    Returns:
        `exact`: 1.0 where the text is valid and has the expected value.
    """
    try:
        value = parse(row["format"], results[0].strip())
    except (ValueError, RecursionError):
        return {"exact": 0.0}
    return {"exact": float(same(value, json.loads(row["value"])))}
