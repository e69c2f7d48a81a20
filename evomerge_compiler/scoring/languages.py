"""Which language a text is in.

The script decides where it can: kana means Japanese, Han without kana Chinese, and so on. The six
languages in Latin letters are told apart by py3langid (Lui and Baldwin, 2012, "langid.py: an
off-the-shelf language identification tool"), offline and the same on every machine.

Measured on 6,660 sentences of the translation task and on 693 of its phrases of one to five
words, which are too short for a verdict; first guess right, of six languages:

| library | sentences | phrases | size | time a sentence |
|---|---|---|---|---|
| py3langid 0.4.0 | 0.999 | 0.850 | 4.5 MB | 0.06 ms |
| lingua 2.1.1 | 1.000 | 0.896 | 96 MB | 0.4 ms |
| langdetect 1.0.9 | 0.994 | 0.749 | 2.5 MB | 4.7 ms |
"""

from __future__ import annotations

import functools
import re
from typing import Any

NAMES = {
    "en": "English",
    "fr": "French",
    "de": "German",
    "es": "Spanish",
    "it": "Italian",
    "pt": "Portuguese",
    "zh": "Chinese",
    "ja": "Japanese",
    "ar": "Arabic",
}
"""The languages of the translation task, by their ISO 639-1 codes."""

LATIN = ("en", "fr", "de", "es", "it", "pt")

# All sentences of the translation task have a probability of 0.47 or more in their own language;
# of other languages' sentences, at most 2.4 % (Portuguese taken for Spanish) have this much.
_DOUBT = 0.2
_ENOUGH_CHARS = 2_000
_SCRIPTS = {
    "kana": re.compile(r"[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]"),
    "han": re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\u3005]"),
    "arabic": re.compile(r"[\u0620-\u064a\u066e-\u06d3\u0750-\u077f]"),
    "latin": re.compile(r"[A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f]"),
}


def is_in(text: str, code: str) -> bool:
    """Whether a text of some words is in a language, names and loan words apart.

    Args:
        text: A sentence or more; of less, languages in the same script are hard to tell apart.
        code: One of :data:`NAMES`.
    """
    # The beginning tells as much as the whole of a text that goes on and on.
    text = text[:_ENOUGH_CHARS]
    letters = {script: len(pattern.findall(text)) for script, pattern in _SCRIPTS.items()}
    most = max(letters.values())
    if not most:
        return False
    if code == "ja":
        return letters["kana"] > 0 and letters["kana"] + letters["han"] >= letters["latin"]
    if code == "zh":
        return letters["han"] == most and not letters["kana"]
    if code == "ar":
        return letters["arabic"] == most
    return letters["latin"] == most and _probability(text, code) > _DOUBT


def _probability(text: str, code: str) -> float:
    ranking: list[tuple[str, float]] = _identifier().rank(text)
    return dict(ranking)[code]


@functools.cache
def _identifier() -> Any:
    # Reading the model takes half a second, which only those who score translations should pay.
    from py3langid.langid import (  # type: ignore[import-untyped]
        MODEL_FILE,
        LanguageIdentifier,
    )

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(LATIN)
    return identifier
