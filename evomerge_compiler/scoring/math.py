"""Judges answers to mathematical questions.

A completion states its answer in one of these places; the first that can be read counts:

1. the last ``\\boxed{...}`` that is closed;
2. what follows the last "answer is", "answer:" or "answer" at the end of a line, or "####" before
   a lone number;
3. the last line that holds a number: the number behind its last ``=`` (behind "so ... is", where
   that follows), else the first in its last bold words, else its last one.

A text that gives several different numbers there ("either 5 or 7") has no answer. Numbers are
compared exactly, as fractions; other answers by algebra (:mod:`.symbolic`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from evomerge_compiler.scoring.answers import visible
from evomerge_compiler.scoring.numbers import Quantity, plain, quantities

# The end of an answer is what is read. No reasoning of one answer is longer.
_LONGEST_TEXT = 50_000
_LONGEST_PHRASE = 1_000
_MOST_MARKERS = 20
_BOX = re.compile(r"\\f?boxed\s?\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
# "To answer this, the first step is" states nothing, and "#### Step 3" is a heading.
_MARKER = re.compile(
    r"""
    (?<!to[ ])\banswer\b (?:[ ](?:to|for|of|in)[ ][^\n.:=]{0,60}?)? [ ]?(?:\*\*)?[ ]?
      (?: (?:is|are|would[ ]be|equals)\b[ :]* | [:：=] | (?=[*_ ]*$) )
    | ^\#{4}[ ]? (?=[-+$€£]?\d[\d.,/ ]*%?[ ]*$)
    | 答案[是为：:] | 答え[は：:]
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_SENTENCE_END = re.compile(r"(?<=[\w)%}$*°])[.!?。](?=[\s*\"]|\Z)")
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*|\\textbf\{([^{}\n]{1,200})\}")
_MATHS = re.compile(r"\$([^$\n]{1,400})\$|\\\(([^\n]{1,400}?)\\\)|\\\[(.{1,400}?)\\\]", re.DOTALL)
_ONLY_MARKS = re.compile(r"[\s*$\\\[\](){}_`#:]*\Z")
# Without one of these a text holds no formula.
_FORMULA_MARKS = re.compile(r"[\d\\√π∞=<>]|\b[a-z]\b")
_RELATION = re.compile(r"(?<![\w\\])[a-z]\s?(?:[<>≤≥]|\\[lg]eq?(?![a-z])|=(?=.*\bor\b)).*")
_CONCLUSION = re.compile(r"\b(?:is|are|so|thus|hence|therefore)\b")
_EQUALS = re.compile(r"(?<![<>!=:])=|\b(?:is|are|equals)\b")
_REMARK = re.compile(r"[,;]?\s+(?:where|for|with|when|if|because|since)\b")
_CHOICE = re.compile(r"[^.\n]{0,40}\bor\b[^.\n]{0,40}\Z|\s*(?:,|;|&|and|,\s?and)\s*\Z")


@dataclass(frozen=True)
class Statement:
    """A part of a completion that may state the answer.

    Attributes:
        text: The words, as they stand.
        at_end: The answer is the last number of them, not the first.
    """

    text: str
    at_end: bool = False


def statements(text: str) -> Iterator[Statement]:
    """The parts of a completion that may state its answer, the likeliest first."""
    text = visible(text)[-_LONGEST_TEXT:]
    box = last_box(text)
    if box is not None:
        yield Statement(box)
    markers = list(_MARKER.finditer(text))
    for marker in markers[: -_MOST_MARKERS - 1 : -1]:
        phrase = _phrase(text, marker.end())
        if phrase:
            yield Statement(phrase)
    for line in reversed(text.splitlines()):
        if not _ONLY_MARKS.match(line):
            yield from _closing(line[-_LONGEST_PHRASE:])


def last_box(text: str) -> str | None:
    """Content of the last ``\\boxed{...}`` that is closed, braces inside included."""
    for opening in reversed(list(_BOX.finditer(text))[-_MOST_MARKERS:]):
        depth = 1
        for brace in _BRACE.finditer(text, opening.end(), opening.end() + _LONGEST_PHRASE):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if not depth:
                return text[opening.end() : brace.start()].strip() or None
    return None


def _phrase(text: str, start: int) -> str:
    """The sentence that follows, from the next line where this one is over."""
    for line in text[start : start + _LONGEST_PHRASE].splitlines():
        if not _ONLY_MARKS.match(line):
            end = _SENTENCE_END.search(line)
            return line[: end.start()] if end else line
    return ""


def _closing(line: str) -> Iterator[Statement]:
    if "=" in line:
        yield Statement(line)
    bold = [match[1] or match[2] for match in _BOLD.finditer(line)]
    if bold:
        yield Statement(bold[-1])
    yield Statement(line, at_end=True)


def final_quantity(text: str) -> Quantity | None:
    """The number that a completion ends in, None where there is none or a choice of several."""
    for statement in statements(text):
        # Of "10/3 ≈ 3.33" the exact side counts, where it is worked out.
        for part in plain(statement.text).split("≈"):
            free = [quantity for quantity in quantities(part) if not quantity.operand]
            at = _stated(part, free, statement.at_end)
            if at is not None:
                return None if _one_of_several(part, free, at) else free[at]
    return None


def _stated(phrase: str, free: list[Quantity], at_end: bool) -> int | None:
    """Which number of a phrase is the answer."""
    if at_end:
        return len(free) - 1 if free else None
    result = phrase.rfind("=") + 1
    after = [at for at, quantity in enumerate(free) if quantity.start >= result]
    if not after:
        return None
    # "x = 9 or x = -8, so the larger one is 9"
    concludes = result and _CONCLUSION.search(phrase, free[after[0]].end, free[after[-1]].start)
    return after[-1 if concludes else 0]


def _one_of_several(phrase: str, free: list[Quantity], at: int) -> bool:
    """Whether a number is joined by "or", "and" or a comma to another one."""
    return any(
        left.value != right.value and _CHOICE.match(phrase, left.end, right.start)
        for left, right in itertools.pairwise(free[max(0, at - 1) : at + 2])
    )


def last_number(text: str) -> Fraction | None:
    """The number that a completion gives as its answer, found as the module says."""
    quantity = final_quantity(text)
    if quantity is None:
        return None
    return quantity.value / 100 if quantity.percent else quantity.value


def exact(text: str, gold: str, *, places: int | None = None, form: str = "any") -> bool:
    """Whether a completion gives a number.

    Args:
        text: The completion.
        gold: The number. Where it has a percent sign, an answer may leave that out.
        places: Decimal places that the question rounds to: an answer that is rounded less, or
            not at all, is right too.
        form: What the question asks for: ``any``, ``decimal``, ``fraction`` (in lowest terms) or
            ``mixed`` (its fraction in lowest terms).

    Raises:
        ValueError: ``gold`` is no number.
    """
    wanted = quantities(plain(gold))
    if len(wanted) != 1:
        raise ValueError(f"a reference answer is one number, got {gold!r}")
    given = final_quantity(text)
    if given is None or not _has_form(given, form):
        return False
    value = given.value
    if given.percent and not wanted[0].percent:
        value /= 100
    if places is None:
        return value == wanted[0].value
    return abs(value - wanted[0].value) <= Fraction(1, 2 * 10**places)


def _has_form(quantity: Quantity, form: str) -> bool:
    return form == "any" or (quantity.form == form and quantity.lowest)


def equal(text: str, gold: str) -> bool:
    """Whether a completion gives a mathematical expression, or one equal to it.

    Args:
        text: The completion.
        gold: LaTeX: a number, an expression, an equation, a set, an interval, a tuple.

    Returns:
        False too for what cannot be read, and for what takes too long to compare.
    """
    from evomerge_compiler.scoring import symbolic

    if _is_number(gold):
        given = final_quantity(text)
        if given is not None:
            return exact(text, gold)
    statement = _expression(text)
    return statement is not None and symbolic.same(statement, gold)


def _is_number(gold: str) -> bool:
    text = plain(gold).strip()
    found = quantities(text)
    return len(found) == 1 and re.search("[A-Za-z_^()±]", text) is None


def _expression(text: str) -> str | None:
    """The first statement of a completion, down to its formula where that can be told."""
    statement = next(statements(text), None)
    if statement is None:
        return None
    formulas = [next(filter(None, found)) for found in _MATHS.findall(statement.text)]
    if formulas:
        return str(formulas[-1 if statement.at_end else 0])
    bold = _BOLD.search(statement.text)
    if bold:
        return str(bold[1] or bold[2])
    plainly = _REMARK.split(statement.text)[0]
    relation = _RELATION.search(plainly)
    return relation[0] if relation else _EQUALS.split(plainly)[-1]


def score(row: Mapping[str, Any], results: list[str]) -> dict[str, float]:
    """Judges one answer to an item of the math tasks.

    Args:
        row: The item: ``answer``, ``form`` (one of :func:`exact`, or ``symbolic``) and
            ``places`` (-1 where the question does not round).
        results: One generated text.

    Returns:
        ``exact_match``: 1.0 where the answer is right; ``answered``: 1.0 where there is one.
    """
    text = results[0]
    if row["form"] == "symbolic":
        given = _expression(text)
        answered = given is not None and _FORMULA_MARKS.search(given) is not None
        right = answered and equal(text, row["answer"])
    else:
        places = None if row["places"] < 0 else int(row["places"])
        right = exact(text, row["answer"], places=places, form=row["form"])
        answered = final_quantity(text) is not None
    return {"exact_match": float(right), "answered": float(answered)}
