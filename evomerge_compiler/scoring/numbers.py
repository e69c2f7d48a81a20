"""Reads numbers as chat models write them, exactly, as fractions.

Understood are signs, thousands separators (``1,234``, ``1 234``, ``1.234.567``, ``1.234,50``),
decimals, fractions (``3/4``, ``\\frac{3}{4}``, ``¾``), mixed numbers (``2 1/2``), powers of ten
(``1.5e6``, ``1.5 \\times 10^{6}``), percent and any script's digits, with currency and units
around them. ``1.234`` is a decimal. What could be a list or a decimal, as ``3,5``, is no number;
``0,75`` can only be a decimal. The exponent of a unit (``cm^2``), an index (``x_1``) and the
factor of a symbol (``12\\pi``) are no numbers either.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from typing import Literal

from evomerge_compiler.scoring.answers import plain_digits

Form = Literal["decimal", "fraction", "mixed"]

# Python refuses to read longer integers; no answer is that long.
_MOST_DIGITS = 1000


@dataclass(frozen=True)
class Quantity:
    """One number of a text.

    Attributes:
        value: As it is written; ``25%`` has the value 25.
        form: How it is written; an integer is a decimal.
        percent: A percent sign or word follows.
        lowest: Its fraction cannot be reduced, and a mixed number's is below 1.
        operand: It stands in a sum or product that is not worked out.
        start: Where it begins in the text that :func:`plain` gives.
        end: Where it ends there.
    """

    value: Fraction
    form: Form
    percent: bool
    lowest: bool
    operand: bool
    start: int
    end: int


_WRITTEN_SO = {
    "\\dfrac": "\\frac", "\\tfrac": "\\frac", "\\cfrac": "\\frac",
    "\\left": "", "\\right": "", "{,}": ",", "\\!": "", "\\! ": "",
    "\\,": " ", "\\;": " ", "\\:": " ", "\\ ": " ", "~": " ",
    "\\(": " ", "\\)": " ", "\\[": " ", "\\]": " ", "`": " ",
    "\\%": "%", "\\$": "$", "\\times": "*", "\\cdot": "*", "×": "*", "·": "*", "⋅": "*",
    "\\div": "÷", "\\pm": "±", "\\approx": "≈", "\\pi": "pi", "π": "pi", "\\sqrt": "sqrt",
    "√": "sqrt", "^{\\circ}": "°", "^\\circ": "°",
    "–": "-", "—": " - ",
}  # fmt: skip
_REWRITTEN = re.compile("|".join(re.escape(key) for key in sorted(_WRITTEN_SO, reverse=True)))
_SUPERSCRIPTS = re.compile("[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_VULGAR = re.compile(r"(\d?)([¼½¾⅐-⅞])")
_MONEY = re.compile(r"(-[ ]?)?(?:US)?[$€£¥₹]")
_STEPS = (
    (re.compile(r"\\(?:text|textbf|mathrm|mathbf|operatorname|mbox)\s?\{"), " "),
    (re.compile(r"(?<=\d)\s?\\frac"), r" \\frac"),  # a mixed number
    (re.compile(r"\\frac\s?\{([^{}\\]{1,80})\}\s?\{([^{}\\]{1,80})\}"), r"\1/\2"),
    (re.compile(r"\\frac\s?(\d)\s?(\d)"), r"\1/\2"),
    (re.compile(r"(?<=\d)\*\*(?=[\d(-])"), "^"),
    (re.compile(r"\*\*|__"), ""),  # bold
    (re.compile(r"\^\{([^{}]{0,20})\}"), r"^\1"),
    (re.compile(r"(?m)^[ \t]*[-*+•][ \t]+"), ""),  # a bullet is no minus
    (re.compile(r"(?i)\b(?:negative|minus)[ ](?=[\d.])"), "-"),
    (re.compile(r"[{}]"), " "),
)


def plain(text: str) -> str:
    """The text with ASCII digits and signs and without the marks of LaTeX and Markdown."""
    text = _SUPERSCRIPTS.sub(lambda found: "^" + unicodedata.normalize("NFKC", found[0]), text)
    text = _VULGAR.sub(_fraction_character, text)
    text = plain_digits(text)
    text = _REWRITTEN.sub(lambda found: _WRITTEN_SO[found[0]], text)
    text = _MONEY.sub(lambda found: " -" if found[1] else " ", text)
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    return text


def _fraction_character(found: re.Match[str]) -> str:
    return (found[1] + " " if found[1] else "") + unicodedata.normalize("NFKC", found[2])


# Each alternative starts where no word or number goes on and takes all digits there are, so that
# a scan is linear. ``dots`` are the European numbers that cannot be read in another way.
_NUMBER = re.compile(
    r"""
    (?<![A-Za-z0-9_^.])(?<!\d[,:])(?:
        (?P<dots>\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?|\d{1,3}(?:\.\d{3})+,\d{1,2}(?!\d)|0,\d+)
      | (?P<ten>10)\^(?P<power>[-+]?\d{1,3})(?!\d)
      | (?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:[ ]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)
        (?:[eE](?P<e>[-+]?\d{1,3})(?!\d)
          |[ ]?[*x][ ]?10[ ]?\^[ ]?\(?(?P<exponent>[-+]?\d{1,3})(?!\d)\)?
          |[ ]?/[ ]?(?P<denominator>\d+)
          |[ ](?:and[ ])?(?P<part>\d+)[ ]?/[ ]?(?P<whole>\d+))?
    )(?!\d|[.,:]\d)
    (?P<percent>[ ]?(?:%|per[ ]?cent\b))?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_OPERATED_AFTER = re.compile(r"[ ]?[-+*/÷±^][ ]?[-(]?[ ]?(?:\d|pi|sqrt)|[ ]x[ ]\d|\(-?\d")
_SYMBOL_AFTER = re.compile(r"[ ]?\*?[ ]?(?:\\?pi\b|sqrt)|[a-z]?\^|[xyzn]\b")
_OPERATED_BEFORE = re.compile(r"(?:\d[ ]x|sqrt)[ (]*\Z|\)\(\Z")
_OPERATORS = "+*/÷±^"


def quantities(text: str) -> list[Quantity]:
    """All numbers of a text in order.

    Args:
        text: What :func:`plain` gave.
    """
    found = (_quantity(text, match) for match in _NUMBER.finditer(text))
    return [quantity for quantity in found if quantity is not None]


def _quantity(text: str, match: re.Match[str]) -> Quantity | None:
    after = text[match.end() : match.end() + 12]
    if len(match[0]) > _MOST_DIGITS or _SYMBOL_AFTER.match(after):
        return None
    value, form, lowest = _value(match)
    if value is None:
        return None
    negative, operated = _before(text, match.start())
    return Quantity(
        value=-value if negative else value,
        form=form,
        percent=match["percent"] is not None,
        lowest=lowest,
        operand=operated or _OPERATED_AFTER.match(after) is not None,
        start=match.start(),
        end=match.end(),
    )


def _value(match: re.Match[str]) -> tuple[Fraction | None, Form, bool]:
    if match["ten"]:
        return Fraction(10) ** int(match["power"]), "decimal", True
    if match["dots"]:
        return Fraction(match["dots"].replace(".", "").replace(",", ".")), "decimal", True
    number = Fraction(match["digits"].replace(",", "").replace(" ", ""))
    if match["whole"]:
        top, bottom = int(match["part"]), int(match["whole"])
        if bottom == 0:
            return None, "mixed", False
        return number + Fraction(top, bottom), "mixed", gcd(top, bottom) == 1 and top < bottom
    if match["denominator"]:
        bottom = int(match["denominator"])
        if bottom == 0:
            return None, "fraction", False
        whole = number.denominator == 1
        return number / bottom, "fraction", whole and gcd(int(number), bottom) == 1
    exponent = match["e"] or match["exponent"]
    return number * Fraction(10) ** int(exponent or 0), "decimal", True


def _before(text: str, start: int) -> tuple[bool, bool]:
    """Whether a minus sign and whether an operator stands before a number."""
    head = text[max(0, start - 6) : start]
    before = head.rstrip(" (")
    if _OPERATED_BEFORE.search(head):
        return False, True
    if not before or before[-1] not in _OPERATORS + "-":
        return False, False
    if before[-1] != "-":
        return False, before[-1] != "*" or _is_operand(before[:-1].rstrip())
    left = before[:-1].rstrip()
    touches, apart = len(before) == len(head), left != before[:-1]
    if _is_operand(left):
        return False, True
    if left and left[-1] in _OPERATORS:
        return True, True
    # "is -5" has a sign; "Answer - 5" and "A-5" have a dash.
    word = bool(left) and left[-1].isalpha()
    return (touches and apart if word else True), False


def _is_operand(left: str) -> bool:
    return bool(left) and (left[-1].isdigit() or left[-1] in ")]%")
