"""Judges the answers of the multilingual tasks: translation, language identification, questions
across languages, and conventions of writing numbers, dates and times.

Task files name these functions: ``process_results: !function
evomerge_compiler.scoring.multilingual.score_translation``.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from evomerge_compiler.scoring import translations
from evomerge_compiler.scoring.answers import visible

Row = dict[str, Any]

# Measured on the task's own references: of two equally good translations, one reaches 0.60 against
# the other in about nine of ten cases in languages with an alphabet. Chinese and Japanese
# sentences have a third of the characters, so a change of one word costs more: 0.40 there.
_GOOD = 0.60
_GOOD_IN = {"zh": 0.40, "ja": 0.40}


def exact(text: str, answer: str) -> bool:
    """Whether a text is the answer, apart from thoughts, outer spaces and composed accents."""
    return _composed(visible(text)) == _composed(answer)


def score_translation(row: Row, results: list[str]) -> dict[str, float]:
    """Compares a translation with the item's references.

    Args:
        row: The item, with `references` and `target_language`.
        results: One generated text.

    Returns:
        `score`: chrF of the nearest reference, 0 in the wrong language; `correct`: 1 where that
        is as much as two good translations share; `right_language`.
    """
    code = row["target_language"]
    verdict = translations.judge(results[0], json.loads(row["references"]), code)
    return {
        "score": verdict.chrf,
        "correct": float(verdict.chrf >= _GOOD_IN.get(code, _GOOD)),
        "right_language": float(verdict.right_language),
    }


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())
