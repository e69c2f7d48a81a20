"""Finds the answer in what a chat model writes.

Models think aloud, explain, fence and repeat themselves. These functions take that away and judge
nothing: what is left is read by the scorer of the domain.
"""

from __future__ import annotations

import re
import unicodedata

# The lookaheads keep a long row of backticks from being tried at every length. A line that closes
# what it opens is no fence but code within a line (CommonMark 0.31, section 4.5).
_FENCE = re.compile(
    r"^[ \t]*(`{3,}(?!`)|~{3,}(?!~))[ \t]*([\w+#.-]*)[^\n`]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)",
    re.DOTALL | re.MULTILINE,
)
_THOUGHT_END = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_THOUGHT_START = re.compile(r"\A\s*<(?:think|thinking|thought|reasoning)>", re.IGNORECASE)


def visible(text: str) -> str:
    """The text behind a reasoning model's thoughts.

    What precedes the last ``</think>`` is not an answer. A thought that never ends leaves
    nothing: the answer was cut.

    Args:
        text: A whole completion. Some chat templates put the opening tag into the prompt.
    """
    ends = list(_THOUGHT_END.finditer(text))
    if ends:
        return text[ends[-1].end() :].strip()
    return "" if _THOUGHT_START.match(text) else text.strip()


def fenced(text: str) -> list[tuple[str, str]]:
    """Fenced blocks in order, as ``(language, content)``.

    A fence that is never closed holds the rest of the text, as in an answer that was cut.
    The language is in lower case, empty where none is given.
    """
    return [(match[2].lower(), match[3]) for match in _FENCE.finditer(text)]


def unfenced(text: str) -> str:
    """What stands outside the fenced blocks."""
    return _FENCE.sub("", text)


def plain_digits(text: str) -> str:
    """The text with every script's decimal digits, signs and spaces as ASCII has them.

    Full-width, Arabic-Indic, Persian and other decimal digits become 0 to 9, the Unicode minus
    and full-width signs become ASCII signs, the Arabic decimal and thousands separators become
    ``.`` and ``,``, and the percent signs of other scripts become ``%``. Nothing else changes:
    superscripts and fractions are no digits.
    """
    return "".join(_plain(char) for char in text)


_SIGNS = {
    "\u2212": "-", "\uff0d": "-", "\ufe63": "-", "\u2010": "-", "\u2011": "-",
    "\uff0b": "+", "\uff0e": ".", "\uff0c": ",", "\u066b": ".", "\u066c": ",",
    "\u066a": "%", "\uff05": "%", "\uff0f": "/", "\u2044": "/", "\u2215": "/",
    "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u3000": " ",
}  # fmt: skip


def _plain(char: str) -> str:
    if char.isascii():
        return char
    if unicodedata.category(char) == "Nd":
        return str(unicodedata.decimal(char))
    return _SIGNS.get(char, char)
