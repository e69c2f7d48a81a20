"""Questions and answers of mathematical benchmarks, whatever their columns are called.

The task files are in ``evaluators/stock``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

_QUESTIONS = ("question", "problem", "Problem")
_ANSWERS = ("final_answer", "answer_number", "answer", "Answer")


def prompt(row: Row) -> str:
    """The question, and the form of the answer."""
    question = next(str(row[name]) for name in _QUESTIONS if row.get(name))
    return f"{question.strip()}\n\nReason step by step, and give the final answer in \\boxed{{}}."


def answer(row: Row) -> str:
    """The reference answer; several are one list, as in a set of solutions."""
    given = next(row[name] for name in _ANSWERS if row.get(name) is not None)
    return ", ".join(map(str, given)) if isinstance(given, (list, tuple)) else str(given)


def score(row: Row, results: Sequence[str]) -> dict[str, float]:
    """Compares the answer of a whole completion, symbolically.

    Args:
        row: The item.
        results: One generated text.

    Returns:
        ``exact_match``: 1.0 where the answer is the reference.
    """
    from evomerge_compiler.scoring.math import equal

    return {"exact_match": float(equal(results[0], answer(row)))}
