"""Reads which languages a text names, in English."""

from __future__ import annotations

import re

from evomerge_compiler.scoring.short_answers import fold, statement

# Names that mean the same on a written sample; the first is what the items call it.
_SYNONYMS = [
    ("Chinese", "Mandarin", "Mandarin Chinese", "Simplified Chinese", "Traditional Chinese"),
    ("Persian", "Farsi"),
    ("Spanish", "Castilian", "Latin American Spanish"),
    ("Catalan", "Valencian"),
    ("Dutch", "Flemish"),
    ("Romanian", "Moldovan"),
    ("Norwegian", "Bokmål", "Nynorsk"),
]
# Whatever else a model may take a sample for.
_OTHERS = """
English French German Italian Portuguese Swedish Danish Polish Czech Russian Ukrainian Greek
Turkish Finnish Arabic Japanese Korean Vietnamese Hindi Afrikaans Albanian Amharic Armenian
Azerbaijani Basque Belarusian Bengali Bosnian Breton Bulgarian Burmese Cantonese Corsican Croatian
Dari Esperanto Estonian Faroese Filipino Frisian Galician Georgian Gujarati Hebrew Hungarian
Icelandic Indonesian Irish Kannada Kazakh Khmer Kurdish Lao Latin Latvian Lithuanian Luxembourgish
Macedonian Malay Malayalam Maltese Marathi Mongolian Nepali Occitan Pashto Punjabi Sanskrit
Sardinian Scots Serbian Sicilian Sinhala Slovak Slovene Slovenian Somali Swahili Tagalog Tajik
Tamil Tatar Telugu Thai Tibetan Urdu Uyghur Uzbek Welsh Yiddish Yoruba Zulu
""".split()
_CANONICAL = {fold(name): names[0] for names in _SYNONYMS for name in names} | {
    fold(name): name for name in _OTHERS
}
_NAME = re.compile(
    r"\b(?:"
    + "|".join(re.escape(name) for name in sorted(_CANONICAL, key=len, reverse=True))
    # "Hindi in Latin letters" names one language.
    + r")\b(?! (?:letters|script|alphabet|characters))"
)
_BRACKETS = re.compile(r"\([^()]*\)|\"[^\"]*\"|“[^”]*”|«[^»]*»")
_END = re.compile(r"[.!?。！？]\s|\n")
_DOUBT = re.compile(
    r"\b(?:or|maybe|perhaps|possibly|probably not|might|may|could|alternatively|actually|"
    r"correction|wait|unless|either)\b"
)
_NOT = re.compile(r"\b(?:not|neither|nor)\b|n't\b")


def named(text: str, count: int = 1) -> list[str]:
    """The languages that a text gives as its answer, in order, by their first names here.

    Where one is asked for, the first sentence that names any answers: what an explanation
    mentions later does not count, unless it doubts. Quotations and brackets name nothing.

    Args:
        text: A whole completion.
        count: How many are asked for. Of several, each may have a line of its own.

    Returns:
        Names; none where the answer is doubted or denied.
    """
    lines = "\n".join(map(fold, statement(text).splitlines()))
    answers = [part for part in _END.split(_BRACKETS.sub(" ", lines)) if _NAME.search(part)]
    given = " ".join(answers if count > 1 else answers[:1])
    if _NOT.search(given) or _DOUBT.search(" ".join(answers)):
        return []
    return list(dict.fromkeys(_CANONICAL[match[0]] for match in _NAME.finditer(given)))
