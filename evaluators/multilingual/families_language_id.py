"""Language identification: 25 languages, each once in each family, so none is worth guessing."""

from __future__ import annotations

import random
from collections.abc import Callable

import corpus

from evomerge_compiler.scoring.authoring import Authoring, Item

_SAMPLES = corpus.read("samples")
_LANGUAGES = list(_SAMPLES)
# Neighbours in the list are close relatives; a step of 7 pairs strangers, one of 1 relatives.
_STRANGER, _RELATIVE = 7, 1

# A family: its kind of sample, its difficulty and its questions, which follow each other.
_KINDS = {
    "plain": (1, [
        "Which language is this sentence written in? Answer with the English name of the language "
        "only.\n\n{text}",
        "{text}\n\nName the language of the sentence above, in English, in one word.",
    ]),
    "short": (2, [
        "Somebody left a note that says “{text}”. What language is that? Give only the name of "
        "the language, in English.",
        "“{text}”\n\nIn which language is this phrase? Answer with one English word.",
    ]),
    "names": (3, [
        "Dans quelle langue cette phrase est-elle écrite ? Réponds seulement par le nom anglais "
        "de la langue.\n\n{text}",
        "In welcher Sprache ist dieser Satz geschrieben? Antworte nur mit dem englischen Namen "
        "der Sprache.\n\n{text}",
        "¿En qué idioma está escrita esta frase? Responde solo con el nombre del idioma en "
        "inglés.\n\n{text}",
        "下面这句话是用什么语言写的？只回答这种语言的英文名称。\n\n{text}",
        "次の文は何語で書かれていますか。その言語の英語名だけを答えてください。\n\n{text}",
        "بأي لغة كُتبت هذه الجملة؟ أجب باسم اللغة بالإنجليزية فقط.\n\n{text}",
        "Which language is this sentence written in? The names in it come from several countries. "
        "Answer with the English name of the language only.\n\n{text}",
    ]),
    "bare": (4, [
        "This text message was typed in plain Latin letters, without any accents or the "
        "language's own script. Which language is it? Answer with the English name of the "
        "language only.\n\n{text}",
    ]),
}  # fmt: skip
_PAIR = (
    "The two sentences below are in two different languages. Name the language of the first and "
    "then that of the second, in English, divided by a comma, and nothing else.\n\n"
    "{first}\n\n{second}"
)


def register(tasks: Authoring) -> None:
    """Adds the families: four kinds of samples, and pairs."""
    pools = {
        kind: (difficulty, [_item(kind, place, questions) for place in range(len(_LANGUAGES))])
        for kind, (difficulty, questions) in _KINDS.items()
    }
    pools["pair"] = (3, [_pair(place) for place in range(len(_LANGUAGES))])
    for kind, (difficulty, pool) in pools.items():
        draw = _drawing(f"{kind}_sample", pool)
        tasks.family("language_id", difficulty=difficulty, items=len(pool))(draw)


def _drawing(name: str, pool: list[Item]) -> Callable[[random.Random], Item]:
    def draw(rng: random.Random) -> Item:
        return rng.choice(pool)

    draw.__name__ = name
    return draw


def _item(kind: str, place: int, questions: list[str]) -> Item:
    language = _LANGUAGES[place]
    prompt = questions[place % len(questions)].format(text=_SAMPLES[language][kind])
    return Item(prompt, language, {"languages": [language]})


def _pair(place: int) -> Item:
    step = _RELATIVE if place % 2 else _STRANGER
    names = [_LANGUAGES[place], _LANGUAGES[(place + step) % len(_LANGUAGES)]]
    first, second = (_SAMPLES[name]["second"] for name in names)
    return Item(_PAIR.format(first=first, second=second), ", ".join(names), {"languages": names})
