"""Cross-lingual questions: a story in one language, the question in another, and the answer in
the question's language or a third one.

Each story is a family. Its items go through all pairs of languages and through its four
questions; names, places, days and numbers are drawn anew for each.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import corpus

from evomerge_compiler.scoring.authoring import Authoring, Item

ITEMS_PER_FAMILY = 15
LANGUAGES = ("en", "fr", "de", "es", "zh", "ja", "ar")

# Slots that are numbers, with the least and the greatest; Arabic counts 3-10 and 11-99 otherwise.
_NUMBERS = {
    "loaves": (45, 98), "pupils": (16, 34), "teachers": (3, 5), "minutes": (45, 75),
    "age": (61, 94), "grandchildren": (3, 9), "rent": (612, 989), "adult": (22, 48),
    "child": (11, 19), "visitors": (612, 689), "books": (11, 25), "days": (28, 42),
    "cents": (15, 60), "hours": (11, 16), "nights": (17, 21), "room": (104, 599),
    "later": (3, 9), "runners": (211, 298),
}  # fmt: skip
# What answers the four questions of each story: a fact, or a number.
_ANSWERS = {
    "bakery": ("city", "loaves", "weekday", "man"),
    "excursion": ("city", "pupils", "transport", "minutes"),
    "neighbour": ("age", "country", "colour", "pet"),
    "move": ("job", "city", "month", "rent"),
    "festival": ("month", "man", "child", "visitors"),
    "lending": ("weekday", "books", "cents", "woman"),
    "journey": ("transport", "nights", "room", "weekday"),
    "race": ("woman", "other_man", "man", "second"),
}
_DIFFICULTY = {
    "bakery": 2, "excursion": 2, "neighbour": 2, "move": 3,
    "festival": 3, "lending": 2, "journey": 3, "race": 4,
}  # fmt: skip
_STORIES = corpus.read("stories")
_FACTS = corpus.read("facts")
_ORDERS = corpus.read("instructions")
_ARABIC_INDIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
_PAIRS = list(itertools.permutations(LANGUAGES, 2))


def register(tasks: Authoring) -> None:
    """Adds a family for each story."""
    for number, story in enumerate(_STORIES):
        places = range(number * ITEMS_PER_FAMILY, (number + 1) * ITEMS_PER_FAMILY)
        draw = _drawing(story, [_item(story, place) for place in places])
        tasks.family("question_answering", difficulty=_DIFFICULTY[story], items=ITEMS_PER_FAMILY)(
            draw
        )


def _drawing(story: str, pool: list[Item]) -> Callable[[random.Random], Item]:
    def draw(rng: random.Random) -> Item:
        return rng.choice(pool)

    draw.__name__ = story
    return draw


def _item(story: str, place: int) -> Item:
    rng = random.Random(f"{story}:{place}")
    # A step of 11 is prime to the 42 pairs: each is met before one comes again.
    source, asked = _PAIRS[place * 11 % len(_PAIRS)]
    slot = _ANSWERS[story][place % 4]
    facts = _draw_facts(rng)
    numbers = {name: rng.randint(*limits) for name, limits in _NUMBERS.items()}
    numbers["second"] = numbers["minutes"] + numbers["later"]
    passage = corpus.fill(_STORIES[story][source], _values(facts, numbers, source))
    if slot in numbers:
        wanted, order = "", _ORDERS["digits"][asked]
        accepted, others = [str(numbers[slot])], []
    else:
        # One answer in three is wanted in a language that is neither.
        third = [code for code in LANGUAGES if code not in (source, asked)]
        wanted = rng.choice(third) if rng.random() < 1 / 3 else asked
        language = corpus.phrases(_ORDERS["languages"][asked])[LANGUAGES.index(wanted)]
        order = _ORDERS["words"][asked].format(language=language)
        accepted, others = _choices(slot, facts, wanted)
    question = _STORIES[story][f"{asked} {place % 4 + 1}"]
    fields = {
        "passage_language": source,
        "question_language": asked,
        "answer_language": wanted,
        "accepted": accepted,
        "others": others,
    }
    return Item(f"{corpus.sentence(passage)}\n\n{question}\n{order}", accepted[0], fields)


def _draw_facts(rng: random.Random) -> dict[str, int]:
    """Which value each fact has; what moves or loses is another than what stays or wins."""
    sizes = {fact: len(corpus.phrases(lines["en"])) for fact, lines in _FACTS.items()}
    facts = {fact: rng.randrange(size) for fact, size in sizes.items()}
    for fact in ("city", "man"):
        facts[f"other_{fact}"] = (facts[fact] + rng.randrange(1, sizes[fact])) % sizes[fact]
    return facts


def _values(facts: dict[str, int], numbers: dict[str, int], language: str) -> dict[str, str]:
    values = {slot: str(number) for slot, number in numbers.items()}
    if language == "ar":
        values = {slot: text.translate(_ARABIC_INDIC) for slot, text in values.items()}
    return values | {
        fact: corpus.alternatives(_line(fact, language)[value])[0] for fact, value in facts.items()
    }


def _choices(slot: str, facts: dict[str, int], language: str) -> tuple[list[str], list[str]]:
    """Ways to write the answer, the reference first, and the other answers of its kind."""
    values = [_ways(text) for text in _line(slot, language)]
    right = values.pop(facts[slot])
    return right, [way for value in values for way in value if way not in right]


def _ways(text: str) -> list[str]:
    """A phrase in all its forms, and the bare words in brackets: "by train", "train"."""
    bare = text[text.find("[") + 1 : text.find("]")].split("|") if "[" in text else []
    return list(dict.fromkeys(corpus.alternatives(text) + bare))


def _line(slot: str, language: str) -> list[str]:
    return corpus.phrases(_FACTS[slot.removeprefix("other_")][language])
