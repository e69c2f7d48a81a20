"""Judges the answers of the multilingual tasks: translation, language identification, questions
across languages, and conventions of writing numbers, dates and times.

Task files name these functions: ``process_results: !function
evomerge_compiler.scoring.multilingual.score_translation``.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from evomerge_compiler.scoring import language_names, short_answers, translations
from evomerge_compiler.scoring.answers import visible

Row = dict[str, Any]

# Measured on the task's own references: of two equally good translations, one reaches 0.60 against
# the other in about nine of ten cases in languages with an alphabet. Chinese and Japanese
# sentences have a third of the characters, so a change of one word costs more: 0.40 there.
_GOOD = 0.60
_GOOD_IN = {"zh": 0.40, "ja": 0.40}
# One wrong word leaves chrF above these bars. With this margin no contrast passes, and of good
# translations that no reference foresaw word for word, nine in ten do.
_MARGIN = 0.02


def exact(text: str, answer: str) -> bool:
    """Whether a text is the answer, apart from thoughts, outer spaces and composed accents."""
    return _composed(visible(text)) == _composed(answer)


def score_translation(row: Row, results: list[str]) -> dict[str, float]:
    """Compares a translation with the item's references.

    Args:
        row: The item, with `references`, `contrasts` (sentences that say another thing in one
            word) and `target_language`.
        results: One generated text.

    Returns:
        `score`: chrF of the nearest reference, 0 in the wrong language; `correct`: 1 where that
        is as much as two good translations share, and no contrast is nearer; `right_language`.
    """
    code = row["target_language"]
    verdict = translations.judge(results[0], json.loads(row["references"]), code)
    correct = verdict.chrf >= _GOOD_IN.get(code, _GOOD)
    if correct and verdict.chrf < 1:
        other = translations.judge(results[0], json.loads(row["contrasts"]), code)
        correct = other.chrf <= verdict.chrf + _MARGIN
    return {
        "score": verdict.chrf,
        "correct": float(correct),
        "right_language": float(verdict.right_language),
    }


def score_question_answering(row: Row, results: list[str]) -> dict[str, float]:
    """Looks for the fact that was asked for, in the language that was asked for.

    Accents may be missing. A second weekday, town, name or number beside the right one is
    no answer.

    Args:
        row: The item, with `accepted` and `others`, which is empty where a number is asked for.
        results: One generated text.

    Returns:
        `score` and `correct`: 1 where the answer is given.
    """
    accepted, others = json.loads(row["accepted"]), json.loads(row["others"])
    if others:
        return _verdict(short_answers.says(results[0], accepted, others))
    return _verdict(short_answers.gives_figures(results[0], accepted))


def score_conventions(row: Row, results: list[str]) -> dict[str, float]:
    """Looks for one of the accepted forms, read as the item's `form` says.

    Args:
        row: The item, with `accepted`, `form` and `prompt`, whose figures may be repeated.
        results: One generated text.

    Returns:
        `score` and `correct`: 1 where the form is right.
    """
    accepted, text = json.loads(row["accepted"]), results[0]
    if row["form"] == "script":
        return _verdict(short_answers.same_script(text, accepted))
    read = short_answers.gives_words if row["form"] == "words" else short_answers.gives_figures
    return _verdict(read(text, accepted, row["prompt"]))


def score_language_id(row: Row, results: list[str]) -> dict[str, float]:
    """Looks for the English names of the languages that were asked for, in their order.

    Args:
        row: The item, with `languages`.
        results: One generated text.

    Returns:
        `score` and `correct`: 1 where these languages are named and no others.
    """
    languages = json.loads(row["languages"])
    return _verdict(language_names.named(results[0], len(languages)) == languages)


def _verdict(right: bool) -> dict[str, float]:
    return {"score": float(right), "correct": float(right)}


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())
