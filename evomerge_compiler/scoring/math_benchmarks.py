"""Questions and answers of mathematical benchmarks, whatever their columns are called.

The task files are in ``evaluators/stock``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

_QUESTIONS = ("question", "problem", "Problem")
_ANSWERS = ("final_answer", "answer_number", "answer", "Answer")
_DOLLAR = re.compile(r"(?<!\\)\$")
_E_NOTATION = re.compile(r"(?<=\d)[eE]\+?(-?\d+)")


def prompt(row: Row) -> str:
    """The question, and the form of the answer."""
    question = next(str(row[name]) for name in _QUESTIONS if row.get(name))
    return f"{question.strip()}\n\nReason step by step, and give the final answer in \\boxed{{}}."


def answer(row: Row) -> str:
    """The reference answer as LaTeX without dollars; several are one list."""
    given = next(row[name] for name in _ANSWERS if row.get(name) is not None)
    text = ", ".join(map(str, given)) if isinstance(given, (list, tuple)) else str(given)
    return _DOLLAR.sub("", text).strip()


def score(row: Row, results: Sequence[str]) -> dict[str, float]:
    """Compares the answer of a whole completion, symbolically.

    Args:
        row: The item.
        results: One generated text.

    Returns:
        ``exact_match``: 1.0 where the answer is the reference, or is written as it is.
    """
    from evomerge_compiler.scoring.answers import visible
    from evomerge_compiler.scoring.math import equal, last_box

    gold = answer(row)
    # Some references are no formulas ("x > 8 or x < 2", two equations): the same words are right.
    box = last_box(visible(results[0]))
    same = box is not None and _DOLLAR.sub("", box).split() == gold.split()
    # A fifth of minerva_math's references are written 4.5e33, which in LaTeX is a product with e.
    forms = dict.fromkeys((gold, _E_NOTATION.sub(r" \\times 10^{\1}", gold)))
    return {"exact_match": float(same or any(equal(results[0], form) for form in forms))}
