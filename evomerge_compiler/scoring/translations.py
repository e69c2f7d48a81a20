"""Finds the translation in what a chat model writes, and compares it with references by chrF.

chrF is Popović, 2015, "chrF: character n-gram F-score for automatic MT evaluation", as sacrebleu
computes it for one sentence: n-grams of up to 6 characters, recall weighing twice (chrF2).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evomerge_compiler.scoring.answers import fenced, plain_digits, visible
from evomerge_compiler.scoring.languages import is_in

# Two renderings of one sentence share more than this; two sentences of one text share less.
_ALTERNATIVE = 0.4
# No sentence is this many times as long as its translation; a text that is goes on about it.
_LONGEST = 3
_SHORTEST = 4
# Enough of any honest answer, so that the work does not grow with what a model repeats.
_READ_CHARS = 20_000
_PIECES = 50

_LINE_MARK = re.compile(r"^(?:[#>*•-]+\s+|\d{1,2}[.)]\s+|[*_#]+)+|[*_]+$")
_LABEL = re.compile(r"^[^:：]{1,80}(?::(?=\s|$|[*_\"«„“「])|：)[*_]*\s*")
_NOTE = re.compile(
    r"^[*_(\[（]*(?:note|explanation|breakdown|literal|alternative|romani[sz]ation|pronunciation|pinyin|"
    r"transliteration|remarque|hinweis|anmerkung|nota|osservazione|注|注意|注释|说明|解释|備考|補足|説明|"
    r"ملاحظة|شرح)\w{0,3}\b[^:：]{0,40}[:：]",
    re.IGNORECASE,
)
# A line that speaks of translating announces the answer, with or without a colon.
_ANNOUNCED = re.compile(
    r"translat|tradu[ciz]|tradução|übersetz|翻译|翻譯|译文|翻訳|訳文|ترجم", re.IGNORECASE
)
_QUOTED = re.compile(r'"([^"]+)"|“([^”]+)”|„([^“”"]+)[“”"]|«([^»]+)»|「([^」]+)」|『([^』]+)』')
_BRACKETS = re.compile(r"\s*(?:\([^()]*\)|（[^（）]*）|\[[^\[\]]*\]|【[^【】]*】)")
_ARROW = re.compile(r"\s*(?:→|->|=>|⇒)\s*|\s+/\s+")
_TASHKEEL = re.compile(r"[\u064b-\u0652\u0670\u0640]")


@dataclass(frozen=True)
class Verdict:
    """How good a translation is.

    Attributes:
        chrf: 0 to 1; 0 where the language is wrong, or several renderings are offered.
        right_language: Whether the answer holds text in the language that was asked for.
    """

    chrf: float
    right_language: bool


def judge(text: str, references: Sequence[str], code: str) -> Verdict:
    """Judges an answer by the reference that it is nearest to.

    Args:
        text: The whole completion.
        references: Translations that are equally good.
        code: Language that was asked for.
    """
    known = [_plain(reference) for reference in references]
    # "Sure!" is in the language too.
    least = min(map(len, known)) / _SHORTEST
    paragraphs = _paragraphs(text, code, least)
    if not paragraphs:
        return Verdict(0.0, right_language=False)
    pieces = _distinct([piece for paragraph in paragraphs for piece in paragraph])
    rendering = " ".join(_distinct(paragraphs[0]))
    too_long = len(rendering) > _LONGEST * max(map(len, known))
    if too_long or _several(pieces[:_PIECES]):
        return Verdict(0.0, right_language=True)
    return Verdict(chrf(rendering, known), right_language=True)


def chrf(text: str, references: Sequence[str]) -> float:
    """chrF2 of the nearest reference, 0 to 1."""
    return float(_metric().sentence_score(text, list(references)).score) / 100


def _paragraphs(text: str, code: str, least: float) -> list[list[str]]:
    """The pieces of each paragraph that are in the language, paragraphs without any left out.

    A label ("Translation:"), a repeated source, a romanisation and a note in another language
    are no pieces; what follows a note is none either. Nor are pieces of fewer characters than
    `least`.
    """
    answer = visible(text)[:_READ_CHARS]
    blocks = fenced(answer)
    if blocks:
        answer = "\n\n".join(content for _, content in blocks)
    found: list[list[str]] = [[]]
    for line in answer.splitlines():
        bare = _LINE_MARK.sub("", line.strip()).strip()
        if _NOTE.match(bare):
            break
        if not bare:
            found.append([])
        pieces = [_plain(piece) for piece in _pieces(bare)]
        found[-1] += [piece for piece in pieces if len(piece) >= least and is_in(piece, code)]
    return [paragraph for paragraph in found if paragraph]


def _pieces(line: str) -> list[str]:
    """What a line offers: its quotations, if any, else the sides of an arrow or a slash."""
    quoted = ["".join(match) for match in _QUOTED.findall(line)]
    sides = quoted or _ARROW.split(_LABEL.sub("", line))
    plain = [_without_brackets(side) for side in sides if side.strip()]
    return [side for side in plain if not _ANNOUNCED.search(side)]


def _without_brackets(text: str) -> str:
    return _BRACKETS.sub("", text).strip() or text.strip("()（）[]【】 ")


def _plain(text: str) -> str:
    """The text in the one way of writing that all references are brought to."""
    text = unicodedata.normalize("NFKC", plain_digits(text)).strip(' *_`"“”„«»「」『』')
    text = _TASHKEEL.sub("", text).replace("،", ",").replace("؟", "?").replace("؛", ";")
    return text.replace("’", "'").replace("、", ",")


def _distinct(pieces: list[str]) -> list[str]:
    return list(dict.fromkeys(pieces))


def _several(pieces: list[str]) -> bool:
    """Whether one sentence is offered in several ways, for the reader to choose from."""
    return any(
        chrf(piece, [other]) > _ALTERNATIVE
        for number, piece in enumerate(pieces)
        for other in pieces[:number]
        if max(len(piece), len(other)) < 2 * min(len(piece), len(other))
    )


@functools.cache
def _metric() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()
