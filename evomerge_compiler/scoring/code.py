"""Judges Python functions by running them.

The answer is the function that the prompt asks for, by its name. :func:`program_of` finds it in
what a chat model writes, the sandbox calls it, and :func:`judge` compares the values here, so a
program that meddles with its surroundings gains nothing.

What counts as the answer:

- Of several definitions the last one counts, as in Python itself; so nothing is gained by giving
  several. Other blocks are joined only where the answer uses names that they define.
- What tries the function out (calls of it, ``print``, asserts) is left out: the function is
  judged, not the examples.
- A body alone is put under the signature that the prompt gave.
- A method of a class is not a function, another name is another function, and a function that
  prints or reads input does not return.
- 2 and 2.0 are equal, as in Python's own ``==``; True and 1 are not, since prompts name truth
  values. Floats may differ in the last digits. Tuples are lists.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evomerge_compiler.scoring.python_answers import Answer, read_answer
from evomerge_compiler.scoring.python_constructs import uses

if TYPE_CHECKING:
    from evomerge_compiler.evaluation.sandbox import Program, Run

Row = dict[str, Any]

TIMEOUT_S = 2.0
_TOLERANCE = 1e-9


def score(row: Row, results: Sequence[str]) -> dict[str, float]:
    """Judges one answer, as lm-eval's ``process_results``.

    Args:
        row: The item: ``function``, ``signature``, ``calls`` and ``expected`` (JSON), and
            ``construct`` where the prompt asks for a way of writing it.
        results: One generated text.

    Returns:
        ``pass_at_1``: every call gives the expected value, and the construct is used.
        ``syntax``: the answer has the asked function in valid Python.
        ``construct``, only for items that ask for one: the function is written that way.

    Raises:
        SandboxUnavailable: Generated code cannot be held here.
    """
    answer = _answer(row, results[0])
    values = {"pass_at_1": 0.0, "syntax": float(answer is not None)}
    asked = str(row.get("construct") or "")
    if asked:
        values["construct"] = float(answer is not None and uses(answer, asked))
    if answer is not None and values.get("construct", 1.0):
        from evomerge_compiler.evaluation import sandbox

        [run] = sandbox.shared().run([_program(row, answer)], timeout_s=TIMEOUT_S)
        values["pass_at_1"] = float(judge(row, run))
    return values


def prefetch(pairs: Sequence[tuple[Row, str]]) -> None:
    """Runs the programs of a whole task at once; the sandbox remembers, :func:`score` looks up.

    evomerge calls this with all answers before it scores the first; plain lm-eval does not.

    Raises:
        SandboxUnavailable: Generated code cannot be held here.
    """
    from evomerge_compiler.evaluation import sandbox

    programs = [program for row, text in pairs if (program := program_of(row, text)) is not None]
    sandbox.shared().run(programs, timeout_s=TIMEOUT_S)


def program_of(row: Row, text: str) -> Program | None:
    """The program that an answer is, with the calls of its item.

    Args:
        row: The item.
        text: A whole completion.

    Returns:
        None where the text has no such function in valid Python.
    """
    answer = _answer(row, text)
    return None if answer is None else _program(row, answer)


def judge(row: Row, run: Run) -> bool:
    """Whether a program returned what the item expects, in every call."""
    return run.status == "ok" and equal(list(run.values), json.loads(row["expected"]))


def equal(found: object, expected: object) -> bool:
    """Compares two JSON values; numbers by value, truth values only with each other."""
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    if isinstance(found, float) or isinstance(expected, float):
        return _equal_floats(found, expected)
    if type(found) is not type(expected):
        return False
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(equal, found, expected))
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            equal(found[key], expected[key]) for key in found
        )
    return found == expected


def _equal_floats(found: object, expected: object) -> bool:
    if not isinstance(found, (int, float)) or not isinstance(expected, (int, float)):
        return False
    try:
        return math.isclose(found, expected, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    except OverflowError:  # an int beyond every float
        return False


def _answer(row: Row, text: str) -> Answer | None:
    return read_answer(text, function=str(row["function"]), signature=str(row["signature"]))


def _program(row: Row, answer: Answer) -> Program:
    from evomerge_compiler.evaluation.sandbox import Program

    calls = tuple(tuple(arguments) for arguments in json.loads(row["calls"]))
    return Program(source=answer.source, function=answer.function, calls=calls)
