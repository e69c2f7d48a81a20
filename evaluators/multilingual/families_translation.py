"""Translation: the sentences of ``corpus/sentences.txt`` from one language into another.

Each of 24 directions is a family. Every sentence is asked five times, each time in another
direction and, as far as its slots reach, with other words.
"""

from __future__ import annotations

import itertools
import random
import re

import corpus

from evomerge_compiler.scoring.authoring import Authoring, Item

ITEMS_PER_FAMILY = 5
_CONTRASTS = 24
NAMES = {
    "en": "English",
    "fr": "French",
    "de": "German",
    "es": "Spanish",
    "it": "Italian",
    "pt": "Portuguese",
    "zh": "Simplified Chinese",
    "ja": "Japanese",
    "ar": "Arabic",
}
# (source, target, difficulty)
DIRECTIONS = [
    ("fr", "en", 1), ("de", "en", 1), ("es", "en", 1), ("it", "en", 2),
    ("pt", "en", 2), ("zh", "en", 2), ("ja", "en", 3), ("ar", "en", 3),
    ("en", "fr", 2), ("en", "de", 3), ("en", "es", 2), ("en", "it", 3),
    ("en", "pt", 3), ("en", "zh", 2), ("en", "ja", 4), ("en", "ar", 4),
    ("es", "pt", 2), ("fr", "de", 3), ("zh", "fr", 3), ("it", "es", 2),
    ("ja", "zh", 4), ("de", "ja", 5), ("ar", "fr", 4), ("pt", "ar", 5),
]  # fmt: skip
_PROMPTS = [
    "Translate this sentence into {target}. Reply with the translation only.\n\n{text}",
    "How do you say the following in {target}? Give one translation and nothing else.\n\n“{text}”",
    "Translate from {source} into {target}:\n\n{text}\n\nWrite just the {target} text.",
    "Please translate this for me. I need it in {target}, as a native speaker would write it, "
    "and without comments.\n\n{source}: {text}",
    "What is a natural {target} translation of this {source} sentence? Answer with the "
    "translation alone.\n\n{text}",
]
_SENTENCES = corpus.read("sentences")
_PHRASES = corpus.read("phrases")


def register(tasks: Authoring) -> None:
    """Adds a family for each direction."""
    places = itertools.count()
    for source, target, difficulty in DIRECTIONS:
        pool = [_item(next(places), source, target) for _ in range(ITEMS_PER_FAMILY)]

        def draw(rng: random.Random, pool: list[Item] = pool) -> Item:
            return rng.choice(pool)

        draw.__name__ = f"{NAMES[source]}_to_{NAMES[target]}".lower().replace(" ", "_")
        tasks.family("translation", difficulty=difficulty, items=ITEMS_PER_FAMILY)(draw)


def _item(place: int, source: str, target: str) -> Item:
    """The item at a place: sentences follow each other, and each takes its next words."""
    frames = list(_SENTENCES.values())
    # A step of 7 is prime to 24, so each round through the sentences is in another direction.
    frame = frames[place * 7 % len(frames)]
    turn = place // len(frames)
    words = _words(frame, turn)
    text = _spell(frame, source, words)[0]
    references = _spell(frame, target, words)
    prompt = _PROMPTS[place % len(_PROMPTS)].format(
        source=NAMES[source], target=NAMES[target], text=text
    )
    fields = {
        "source_language": source,
        "target_language": target,
        "source": text,
        "references": references,
        "contrasts": _contrasts(frame, target, words),
    }
    return Item(prompt, references[0], fields)


def _words(frame: corpus.Block, turn: int) -> dict[str, int]:
    """Which phrase fills each slot: the next one at each turn, in all languages the same."""
    slots = dict.fromkeys(re.findall(r"\{(\w+)\}", frame["en"]))
    sizes = (len(corpus.phrases(_PHRASES[slot]["en"])) for slot in slots)
    return {
        slot: (turn + offset) % size
        for offset, (slot, size) in enumerate(zip(slots, sizes, strict=True))
    }


def _spell(frame: corpus.Block, language: str, words: dict[str, int]) -> list[str]:
    """All ways to say a sentence in a language, the reference first."""
    values = {
        slot: corpus.phrases(_PHRASES[slot][language])[place] for slot, place in words.items()
    }
    return [
        corpus.sentence(way) for way in corpus.alternatives(corpus.fill(frame[language], values))
    ]


def _contrasts(frame: corpus.Block, language: str, words: dict[str, int]) -> list[str]:
    """Sentences that say something else in one word: the cat for the dog."""
    others = [
        words | {slot: place}
        for slot, right in words.items()
        for place in range(len(corpus.phrases(_PHRASES[slot][language])))
        if place != right
    ]
    ways = [_spell(frame, language, other) for other in others]
    # Of each the same number, in as many orders of words as that leaves room for.
    room = max(1, _CONTRASTS // len(ways))
    return [way for spelled in ways for way in spelled[:: max(1, len(spelled) // room)]]
