"""Data and scoring of the tiny tasks; the task files name these functions with ``!function``.

Answers are judged by the parts that judge the domains' long tasks
(:mod:`evomerge_compiler.scoring`): code is run, numbers are read, structured data is parsed and
compared by value.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evomerge_compiler.scoring import code, documents, math, multilingual, values
from evomerge_compiler.scoring.items import answer, loader, prompt

__all__ = ["answer", "load", "prompt"]

TIMEOUT_S = 2.0
Row = dict[str, Any]

load = loader(Path(__file__).parent / "data")


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
    return {"pass_at_1": float(code.judge(row, run))}


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
    """Compares the last number of the text, so that an answer may show its working first.

    Args:
        row: the item.
        results: one generated text.

    Returns:
        `exact_match`: 1.0 where that number is the answer.
    """
    return {"exact_match": float(math.last_number(results[0]) == int(row["answer"]))}


def score_multilingual(row: Row, results: list[str]) -> dict[str, float]:
    """Compares the text, apart from white space at its ends.

    Args:
        row: the item.
        results: one generated text.

    Returns:
        `exact_match`: 1.0 where the text is the answer.
    """
    return {"exact_match": float(multilingual.exact(results[0], row["answer"]))}


def score_structured_data(row: Row, results: list[str]) -> dict[str, float]:
    """Parses the text and compares its value with the expected one.

    Args:
        row: the item, with `format` and `value`.
        results: one generated text.

    Returns:
        `exact`: 1.0 where the text is valid and has the expected value.
    """
    try:
        value = documents.parse(row["format"], results[0].strip())
    except ValueError:
        return {"exact": 0.0}
    return {"exact": float(values.same(value, json.loads(row["value"])))}
