"""Reads the hand-written texts in ``corpus/`` and spells out their alternatives.

A file is blocks divided by blank lines. A block's first line is its name; every other line is
``key: text``. Lines that begin with ``#`` are remarks. In a text, ``{slot}`` is filled from
another place and ``[a|b]`` are equally good words; brackets may hold brackets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).parent / "corpus"
_INNERMOST = re.compile(r"\[([^\[\]]*)\]")

Block = dict[str, str]


def read(name: str) -> dict[str, Block]:
    """Reads ``corpus/NAME.txt`` as blocks by name.

    Raises:
        ValueError: A line is no ``key: text``, or a name or key stands twice.
    """
    blocks: dict[str, Block] = {}
    lines = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").split("\n")
    block: Block | None = None
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            continue
        if not line:
            block = None
        elif block is None:
            if line in blocks:
                raise ValueError(f"{name}.txt:{number}: {line} stands twice")
            block = blocks[line] = {}
        else:
            key, colon, text = line.partition(": ")
            if not colon or key in block:
                raise ValueError(f"{name}.txt:{number}: expected a new 'key: text', got {line!r}")
            block[key] = text
    return blocks


def phrases(text: str) -> list[str]:
    """The phrases of a line, which ``/`` divides."""
    return text.split(" / ")


def fill(text: str, values: Mapping[str, str]) -> str:
    """Puts a value into each ``{slot}``."""
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], text)


def alternatives(text: str) -> list[str]:
    """All ways to read ``[a|b]``, the first of everything first, none twice."""
    match = _INNERMOST.search(text)
    if match is None:
        return [text]
    before, after = text[: match.start()], text[match.end() :]
    spelled = [way for part in match[1].split("|") for way in alternatives(before + part + after)]
    return list(dict.fromkeys(spelled))


def sentence(text: str) -> str:
    """The text with a capital initial, behind an opening ``¿`` too."""
    start = 1 if text[:1] in "¿¡" else 0
    return text[:start] + text[start : start + 1].upper() + text[start + 1 :]
