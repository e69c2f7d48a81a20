"""Families about strings."""

from __future__ import annotations

import random

from questions import Question, code, family, sentence, words


@family(difficulty=1)
def count_characters(rng: random.Random) -> Question:
    kind, test = rng.choice((
        ("vowels (a, e, i, o, u; upper and lower case)", "char.lower() in 'aeiou'"),
        ("digits (0 to 9)", "char in '0123456789'"),
        ("upper-case letters", "char.isupper()"),
        ("letters", "char.isalpha()"),
        ("characters that are neither letters nor digits nor spaces",
         "not char.isalnum() and char != ' '"),
        ("letters after m in the alphabet (upper and lower case)", "char.lower() in 'nopqrstuvwxyz'"),
    ))  # fmt: skip
    task, body = rng.choice((
        (f"Return how many {kind} are in `text`.", "sum(1 for char in text if $test)"),
        (f"Return how many different {kind} are in `text`. Upper and lower case of a letter count "
         "as different.", "len({char for char in text if $test})"),
        (f"Return the positions of all {kind} in `text` as a list, counted from 0.",
         "[i for i, char in enumerate(text) if $test]"),
    ))  # fmt: skip
    return Question(
        name="count_matching" if "how many" in task else "find_positions",
        arguments="text: str",
        returns="int" if "how many" in task else "list[int]",
        task=task,
        body=code("return " + body, test=test),
        calls=[
            ["Hello World 2024!"], ["Zoo Keeper, Room 17?"], ["Umbrella OPEN (x2)"], [""],
            ["AEIOUaeiou"], ["1234567890"], ["..., !?"], ["x"], [sentence(rng, 6)],
        ],
    )  # fmt: skip


@family(difficulty=2, repair=True)
def pick_word(rng: random.Random) -> Question:
    longest, tie = rng.choice(("longest", "shortest")), rng.choice(("first", "last", "alphabet"))
    empty = rng.choice(('""', "None"))
    sign = "-" if longest == "longest" else ""
    key, pick = {
        "first": (f"{sign}len(word)", "min"),
        "last": (f"{sign}len(word)", "min"),
        "alphabet": (f"({sign}len(word), word)", "min"),
    }[tie]
    rule = {
        "first": "If several words have that length, take the one that comes first in the text.",
        "last": "If several words have that length, take the one that comes last in the text.",
        "alphabet": "If several words have that length, take the alphabetically smallest of them.",
    }[tie]
    return Question(
        name=f"{longest}_word",
        arguments="text: str",
        returns="str" if empty == '""' else "str | None",
        task=f"Return the {longest} word of `text`. Words are separated by white space.",
        rules=[rule, f"If the text has no words, return {empty if empty == 'None' else 'an empty string'}."],
        body=code(
            """
            words = text.split()
            if not words:
                return $empty
            return $pick($words, key=lambda word: $key)
            """,
            empty=empty, pick=pick, key=key,
            words="reversed(words)" if tie == "last" else "words",
        ),
        calls=[
            ["the quick brown fox jumps over it"], ["to be or not at all today"],
            ["red green blue black grey"], [""], ["   "], ["alone"], ["bb aa cc"],
            ["zzz yyyy xxxx ww vv"], [sentence(rng, 7)], [sentence(rng, 9)],
        ],
        bugs=[
            ("if not words:", "if len(words) == 1:"),
            (f"{sign}len(word)", f"{'' if sign else '-'}len(word)"),
        ],
    )  # fmt: skip
