"""Reads short answers, a word, a name, a number or a date, in what a chat model writes.

An answer may come in a sentence, behind a label, in quotation marks or in bold letters. It counts
once: where another value of its kind stands beside it, nothing was answered.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from evomerge_compiler.scoring.answers import fenced, plain_digits, visible

# Longer than a sentence that holds a short answer.
_LONG = 300
# Lines that share this much, and are not the same, are two tries at one answer.
_TRY_AGAIN = 0.6
_LINES = 20

_LABEL = re.compile(
    r"(?:\banswer|\br[ée]ponse|\bantwort|\brespuesta|\brisposta|\bresposta|答案|回答|答え|الإجابة|الجواب)"
    r"[*_]*(?:\s*[:：]|\s(?:is|est|ist|es|è|é|هي|هو)\b\s*:?|(?:是|は)[:：]?)[*_\s]*",
    re.IGNORECASE,
)
# Without accents and hamzas, as it is matched.
_NEGATION = re.compile(
    r"n't\b|\b(?:not|never|nor|nicht|kein\w*|nie|pas|jamais|nunca|except|unless|or|oder|either)\b"
    r"|不是|不在|没有|或者|还是|ではな|じゃな|または|(?<!\w)(?:ليس|ليست|لا|او)(?!\w)"
)
_FIGURES = re.compile(r"\d+(?:[.,:/'-]\d+)*")
_QUOTED = re.compile(r"[\"“”„«»「」『』`]([^\"“”„«»「」『』`]+)[\"“”„«»「」『』`]|\*\*([^*]+)\*\*")
_MARKS = " \t\n*_`#>\"'“”„‘’«»「」『』.。,，;；!！:："
_HAN_NUMERALS = "〇零一二三四五六七八九十百千万億亿"
_SPACES = re.compile(r"\s+")
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'", "‑": "-", "‐": "-"})
_TASHKEEL = re.compile(r"[\u064b-\u0652\u0670\u0640\u200e\u200f\u061c]")
_ACCENTS = re.compile(r"[\u0300-\u036f\u0653-\u0655]")


def statement(text: str) -> str:
    """The part that answers: a fence's content, what follows the last label, else everything.

    Of a long text the first line; of a long line as much as shows that it is long.
    """
    answer = visible(text)
    blocks = [content for _, content in fenced(answer)]
    if blocks:
        answer = blocks[-1].strip()
    labels = list(_LABEL.finditer(answer))
    tail = answer[labels[-1].end() :].strip() if labels else ""
    if tail or len(answer) > _LONG:
        answer = (tail or answer).split("\n", 1)[0]
    return answer[: _LONG + 1]


def fold(text: str) -> str:
    """One form for what is the same in writing: case, width, digits, spaces, apostrophes.

    Full-width characters become ASCII, every script's digits 0 to 9, any run of spaces (the
    narrow and the unbreakable ones of French and German numbers too) one space; Arabic vowel
    marks go. Accents stay: they are spelling.
    """
    text = unicodedata.normalize("NFKC", plain_digits(text)).translate(_APOSTROPHES)
    return _SPACES.sub(" ", _TASHKEEL.sub("", text)).casefold()


def unaccented(text: str) -> str:
    """Folded text without accents, umlauts and hamzas, where the sense is asked, not spelling."""
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", fold(text)))
    return unicodedata.normalize("NFC", bare)


def says(text: str, accepted: Sequence[str], others: Sequence[str]) -> bool:
    """Whether a text answers with one of a kind: this weekday, this town, and no other.

    Args:
        text: The whole completion.
        accepted: Ways to write the right value. Accents may be left out.
        others: Ways to write the other values of its kind.
    """
    said = unaccented(statement(text))
    known = [unaccented(form) for form in accepted]
    if said.strip(_MARKS) in known:
        return True
    rest = _without(said, known)
    if len(said) > _LONG or rest is None or _NEGATION.search(said):
        return False
    return not any(_places(form, rest) for form in map(unaccented, others))


def gives_figures(text: str, accepted: Sequence[str], prompt: str = "") -> bool:
    """Whether a text gives a number, date or time as one of its accepted forms has it.

    Args:
        text: The whole completion.
        accepted: Forms with digits.
        prompt: Figures that stand here may be repeated beside the answer.
    """
    said = fold(statement(text))
    known = [fold(form) for form in accepted]
    if said.strip(_MARKS) in known:
        return True
    rest = _without(said, known)
    if len(said) > _LONG or rest is None:
        return False
    echoed = set(_FIGURES.findall(fold(prompt)))
    # Half of the digits: an explanation may name the day and the month of a date.
    enough = min(sum(map(str.isdigit, form)) for form in known) / 2
    return not any(
        sum(map(str.isdigit, figure)) > enough and figure not in echoed
        for figure in _FIGURES.findall(rest)
    )


def gives_words(text: str, accepted: Sequence[str], prompt: str = "") -> bool:
    """Whether a text spells out what was asked for, to the letter.

    Words are compared whole, since a longer numeral may hold a shorter one.

    Args:
        text: The whole completion.
        accepted: Spellings. Upper and lower case are the same.
        prompt: Quotations from here are no answers.
    """
    said = statement(text)
    known = {_words(form) for form in accepted}
    if _words(said) in known:
        return True
    lines = [line for line in said.splitlines()[:_LINES] if line.strip()]
    if not lines or len(lines[0]) > _LONG:
        return False
    asked = _words(prompt)
    quoted = {_words("".join(match)) for match in _QUOTED.findall(lines[0])}
    offered = {quote for quote in quoted if quote and quote not in asked}
    given = offered.pop() if len(offered) == 1 else _words(_tail(lines[0]))
    tries = (_words(line)[:_LONG] for line in lines[1:])
    return given in known and not any(_tries_again(given, other) for other in tries)


def same_script(text: str, accepted: Sequence[str]) -> bool:
    """Whether a text is one of some strings as they are, digits of its script included.

    Args:
        text: The whole completion.
        accepted: Strings; white space and invisible marks of direction do not count.
    """
    said = {_bare(piece) for piece in statement(text).split() if _bare(piece)}
    foreign = {piece for piece in said if any(map(str.isdigit, piece)) and not piece.isascii()}
    return len(foreign) == 1 and foreign <= {_bare(form) for form in accepted}


def _without(text: str, forms: Iterable[str]) -> str | None:
    """The text with a gap at each place of a form, or None where there is no such place."""
    found = False
    for form in sorted(forms, key=len, reverse=True):
        places = _places(form, text)
        found = found or bool(places)
        for start, end in reversed(places):
            text = text[:start] + " \0 " + text[end:]
    return text if found else None


def _places(form: str, text: str) -> list[tuple[int, int]]:
    """Where a form stands by itself: not within a longer word, and not within a longer number."""
    left = right = ""
    if form[:1].isdigit():
        left = r"(?<![\da-z])(?<!\d[.,:/' -])"
    elif _has_words(form[:1]):
        left = r"(?<!\w)"
    elif form[:1] in _HAN_NUMERALS:
        left = f"(?<![{_HAN_NUMERALS}])"
    if form[-1:].isdigit():
        right = r"(?![\da-z])(?![.,:/' -]\d)"
    elif _has_words(form[-1:]):
        right = r"(?!\w)"
    return [match.span() for match in re.finditer(left + re.escape(form) + right, text)]


def _has_words(char: str) -> bool:
    """Whether the letter is of a script that divides words by spaces."""
    return char.isalpha() and not "\u2e80" <= char <= "\u9fff"


def _words(text: str) -> str:
    """Folded, with hyphens as spaces: French spells numerals with either since 1990."""
    return _SPACES.sub(" ", fold(text).replace("-", " ").strip(_MARKS))


def _tail(line: str) -> str:
    """What a sentence says of its subject: the part behind the last "is", colon or sign."""
    return re.split(r"\bis\b|\bas\b|[:：=→]", line)[-1]


def _tries_again(said: str, other: str) -> bool:
    return said != other and SequenceMatcher(None, said, other).ratio() > _TRY_AGAIN


def _bare(text: str) -> str:
    return _TASHKEEL.sub("", text).strip(_MARKS)
