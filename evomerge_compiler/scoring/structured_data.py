"""Judges answers about structured data: whole documents, and short answers to questions.

Documents are compared leaf by leaf. A leaf is a scalar or an empty container, and its path is
the keys and positions that lead to it. The elements of two arrays are paired by their longest
matching runs first (``difflib``) and by position between those, so that a lost row costs that
row and not all rows behind it. ``score`` is the F1 of the leaves that agree in path and value,
``2 * agreeing / (leaves of one + leaves of the other)``: the field-level F1 by which document
parsing is scored (as in Kim et al. 2022, "OCR-free Document Understanding Transformer"), with
paths in place of field names.

Where a document is to be changed, doing nothing would already agree in most leaves. There
``score`` is ``(F1 - F1 of the input) / (1 - F1 of the input)``, at least 0.

A row of such a task has ``form`` (a form of :mod:`.documents`, ``number`` or ``text``), ``value``
(the expected value as JSON) and, where they apply, ``source`` (the document to be changed, as
JSON), ``schema`` (JSON Schema) and ``choices`` (what a text answer may be, as a JSON list).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import SequenceMatcher
from typing import Any

import jsonschema

from evomerge_compiler.scoring import answers, documents
from evomerge_compiler.scoring.values import same

Row = Mapping[str, Any]

# Beyond this, elements are paired by position: matching runs take quadratic time.
_MAX_MATCHED = 200
_NO_DOCUMENT = {"score": 0.0, "correct": 0.0, "valid": 0.0,
                "key_f1": 0.0, "value_f1": 0.0, "structure": 0.0}  # fmt: skip


def score_document(row: Row, results: Sequence[str]) -> dict[str, float]:
    """Judges an answer that is a whole document.

    Args:
        row: The item.
        results: One generated text.

    Returns:
        ``score``: as above, 0 where no valid document is found. ``correct``: 1 where all is
        equal. ``valid``: 1 where a document of the form was found. ``key_f1``: F1 of the paths.
        ``value_f1``: F1 of the leaves' values, wherever they stand. ``structure``: 1 where
        keys, nesting and lengths are equal.
    """
    try:
        found = documents.find(row["form"], results[0], row["prompt"])
    except ValueError:
        return dict(_NO_DOCUMENT)
    return _compared(row, found)


def score_extract(row: Row, results: Sequence[str]) -> dict[str, float]:
    """Judges a document that a JSON Schema describes.

    Args:
        row: The item, with ``schema``.
        results: One generated text.

    Returns:
        What :func:`score_document` returns, and ``schema_valid``: 1 where the document keeps
        to the schema, formats of text included.
    """
    try:
        found = documents.find(row["form"], results[0], row["prompt"])
    except ValueError:
        return {**_NO_DOCUMENT, "schema_valid": 0.0}
    kind = jsonschema.Draft202012Validator
    validator = kind(json.loads(row["schema"]), format_checker=kind.FORMAT_CHECKER)
    return {**_compared(row, found), "schema_valid": float(validator.is_valid(found))}


def score_answer(row: Row, results: Sequence[str]) -> dict[str, float]:
    """Judges a short answer, or a document where the item's form is one.

    Args:
        row: The item.
        results: One generated text.

    Returns:
        ``score`` and ``correct``.
    """
    if row["form"] in documents.FORMS:
        scores = score_document(row, results)
        return {"score": scores["score"], "correct": scores["correct"]}
    expected = json.loads(row["value"])
    text = _without_quotes(results[0], row["prompt"])
    if row["form"] == "number":
        right = short_answer(text) == Decimal(str(expected))
    else:
        right = short_answer(text, json.loads(row["choices"])) == _folded(expected)
    return {"score": float(right), "correct": float(right)}


# ------------------------------------------------------------------------------ documents
def _compared(row: Row, found: Any) -> dict[str, float]:
    expected = documents.parse("json", row["value"])
    agreement = leaf_f1(expected, found)
    if row.get("source"):
        unchanged = leaf_f1(expected, documents.parse("json", row["source"]))
        agreement = max(0.0, (agreement - unchanged) / (1.0 - unchanged))
    return {
        "score": agreement,
        "correct": float(same(found, expected)),
        "valid": 1.0,
        "key_f1": leaf_f1(expected, found, values=False),
        "value_f1": _value_f1(expected, found),
        "structure": float(_outline(found) == _outline(expected)),
    }


def leaf_f1(one: Any, other: Any, *, values: bool = True) -> float:
    """F1 of the leaves in which two JSON values agree.

    Args:
        one: A JSON value.
        other: A JSON value.
        values: Whether the values at a path must be equal too.
    """
    return 2.0 * _agreeing(one, other, values) / (_leaves(one) + _leaves(other))


def _leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_leaves, value.values())) or 1
    if isinstance(value, list):
        return sum(map(_leaves, value)) or 1
    return 1


def _is_leaf(value: Any) -> bool:
    return not (isinstance(value, (dict, list)) and value)


def _agreeing(one: Any, other: Any, values: bool) -> int:
    if _is_leaf(one) or _is_leaf(other):
        return int(_is_leaf(one) and _is_leaf(other) and (not values or same(one, other)))
    if isinstance(one, dict) and isinstance(other, dict):
        return sum(_agreeing(one[key], other[key], values) for key in one.keys() & other.keys())
    if isinstance(one, list) and isinstance(other, list):
        return sum(_agreeing(left, right, values) for left, right in _paired(one, other))
    return 0


def _paired(one: list[Any], other: list[Any]) -> Iterator[tuple[Any, Any]]:
    if max(len(one), len(other)) > _MAX_MATCHED:
        yield from zip(one, other, strict=False)
        return
    texts = [[json.dumps(item, sort_keys=True) for item in side] for side in (one, other)]
    matcher = SequenceMatcher(None, texts[0], texts[1], autojunk=False)
    for _, start, stop, other_start, other_stop in matcher.get_opcodes():
        yield from zip(one[start:stop], other[other_start:other_stop], strict=False)


def _value_f1(one: Any, other: Any) -> float:
    left, right = Counter(_values(one)), Counter(_values(other))
    return 2.0 * (left & right).total() / (left.total() + right.total())


def _values(value: Any) -> Iterator[str]:
    if _is_leaf(value):
        yield json.dumps(value)
    else:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _values(item)


def _outline(value: Any) -> Any:
    """The value with each leaf replaced by what kind of container it is, if any."""
    if isinstance(value, dict):
        return {key: _outline(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_outline(item) for item in value]
    return None


# -------------------------------------------------------------------------- short answers
_FENCE_LINE = re.compile(r"\s*(?:`{3,}|~{3,})")
_DECORATION = re.compile(r"[*`]+")
_MARKED = re.compile(r"\banswer\s*(?:is\b|:|=)\s*:?", re.IGNORECASE)
# Groups of three digits may be parted by commas; 12,5 and 1.2.3 are no numbers.
# The digits are bounded, since they are read as numbers of any size.
_NUMBER = re.compile(
    r"(?<![\w.,/-])[-+]?(?:\d{1,3}(?:,\d{3}){1,9}|\d{1,30})(?:\.\d{1,30})?(?![.,/]?\d)(?!\w*-\d)"
)


def short_answer(text: str, choices: Sequence[str] | None = None) -> Decimal | str | None:
    """Reads a number, or one of several choices, as a model states it.

    What is marked as the answer counts ("Answer: 5", "the answer is 5"), else a text that is
    nothing but answers, else its last line (what follows its last "="), else the whole text.
    That part must name exactly one: "3 or 4" is no answer.

    Args:
        text: The completion.
        choices: What a text answer may be; a number is read where None. Letter case is free,
            and a choice inside a longer one is not seen.

    Returns:
        The number, or the choice in folded case; None where nothing or several things are
        stated.
    """
    lines = [line for line in answers.visible(text).splitlines() if not _FENCE_LINE.match(line)]
    lines = [line for line in map(_undecorated, lines) if line]
    if not lines:
        return None
    pattern = _NUMBER if choices is None else _any_of(choices)
    for part in _parts(lines, pattern):
        names = {match[0] for match in pattern.finditer(part)}
        stated = {Decimal(name.replace(",", "")) for name in names} if choices is None else names
        if stated:
            return stated.pop() if len(stated) == 1 else None
    return None


def _without_quotes(text: str, prompt: str) -> str:
    """The text without lines that repeat one of the prompt, say of its table."""
    repeated = set(map(str.strip, prompt.splitlines()))
    lines = answers.visible(text).splitlines()
    return "\n".join(line for line in lines if line.strip() not in repeated)


def _parts(lines: list[str], pattern: re.Pattern[str]) -> Iterator[str]:
    """Where the answer may stand, the likeliest first."""
    marked = []
    for number, line in enumerate(lines):
        matches = list(_MARKED.finditer(line))
        if matches:
            marked.append(line[matches[-1].end() :].strip() or " ".join(lines[number + 1 :][:1]))
    if marked:
        yield "\n".join(marked)
    if all(pattern.fullmatch(line.rstrip(".")) for line in lines):
        yield "\n".join(lines)
    yield lines[-1].rsplit("=", 1)[-1]
    yield "\n".join(lines)


def _any_of(choices: Sequence[str]) -> re.Pattern[str]:
    longest_first = sorted({_folded(choice) for choice in choices}, key=len, reverse=True)
    return re.compile(rf"(?<![\w/-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w/-]|\.\w)")


def _undecorated(line: str) -> str:
    return _DECORATION.sub("", _folded(line)).strip(" \"'")


def _folded(text: str) -> str:
    """Text in which letter case, spaces and the script of digits make no difference."""
    return " ".join(unicodedata.normalize("NFC", answers.plain_digits(text)).casefold().split())
