"""The four families of tiny items: code, math, multilingual, structured data.

Each family is a function of a random source that draws one item.  ``generate.py`` draws the
shipped test items from them and ``zoo/train.py`` the training examples of the zoo, which leaves
the test items out by content.  Prompts open with a marker of their domain and are 7 to 28 bytes,
answers are at most 16 bytes, so that models of one or two million parameters can learn them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lexicon import LANGUAGES, NOUNS, number_word

DOMAINS = ("code", "math", "multilingual", "structured_data")
MAX_ANSWER_BYTES = 16
MAX_PROMPT_BYTES = 28


@dataclass(frozen=True)
class Item:
    """One question.

    Attributes:
        prompt: what the model reads.
        answer: the reference answer, without the newline that ends it.
        fields: what the scorer of the domain needs besides.
    """

    prompt: str
    answer: str
    fields: dict[str, Any] = field(default_factory=dict)


# --------------------------------------------------------------------------------------- code
# Inputs that every function of that argument is called with.
CALLS: dict[str, tuple[Any, ...]] = {
    "n": (-7, 0, 3, 12, 58),
    "s": ("banana", "Kiwi fig", "a", "mango Apple"),
    "v": ([3, 1, 2, 9, 5], [7], [-4, 8, 8, 0], [2, 6, 2, 6, 11, 1]),
}

# Binding strength of an expression: sum < product < power < atom.
_SUM, _PRODUCT, _ATOM = 1, 2, 4
_Expression = tuple[str, int]


def _wrapped(expression: _Expression, at_least: int) -> str:
    text, strength = expression
    return text if strength >= at_least else f"({text})"


def _number_step(rng: random.Random, inner: _Expression) -> tuple[str, _Expression]:
    kind = rng.randrange(12)
    k = rng.randint(2, 99) if rng.random() < 0.5 else rng.randint(2, 9)
    product, atom = _wrapped(inner, _PRODUCT), _wrapped(inner, _ATOM)
    return (
        (f"plus {k}", (f"{inner[0]}+{k}", _SUM)),
        (f"less {k}", (f"{inner[0]}-{k}", _SUM)),
        (f"times {k}", (f"{product}*{k}", _PRODUCT)),
        (f"over {k}", (f"{product}//{k}", _PRODUCT)),
        (f"mod {k}", (f"{product}%{k}", _PRODUCT)),
        (f"from {k}", (f"{k}-{product}", _SUM)),
        ("squared", (f"{atom}**2", _PRODUCT)),
        ("cubed", (f"{atom}**3", _PRODUCT)),
        ("doubled", (f"{product}*2", _PRODUCT)),
        ("halved", (f"{product}//2", _PRODUCT)),
        ("size", (f"abs({inner[0]})", _ATOM)),
        ("digits", (f"str({inner[0]})", _ATOM)),
    )[kind]


def _sequence_step(
    rng: random.Random, inner: _Expression, argument: str
) -> tuple[str, _Expression]:
    kind, k = rng.randrange(10), rng.randint(1, 9)
    text, atom = inner[0], _wrapped(inner, _ATOM)
    letter = rng.choice("abginoAK")
    both: tuple[tuple[str, _Expression], ...] = (
        (f"first {k}", (f"{atom}[:{k}]", _ATOM)),
        (f"last {k}", (f"{atom}[-{k}:]", _ATOM)),
        (f"skip {k}", (f"{atom}[{k}:]", _ATOM)),
        (f"drop {k}", (f"{atom}[:-{k}]", _ATOM)),
        (f"every {k}", (f"{atom}[::{k}]", _ATOM)),
        ("back", (f"{atom}[::-1]", _ATOM)),
        (f"copies {k}", (f"{atom}*{k}", _PRODUCT)),
    )
    if kind < 7:
        return both[kind]
    if argument == "s":
        return (
            ("caps", (f"{atom}.upper()", _ATOM)),
            ("small", (f"{atom}.lower()", _ATOM)),
            (f"count {letter}", (f"{atom}.count('{letter}')", _ATOM)),
        )[kind - 7]
    return (
        ("sorted", (f"sorted({text})", _ATOM)),
        rng.choice((("sum", (f"sum({text})", _ATOM)), ("top", (f"max({text})", _ATOM)))),
        rng.choice((("low", (f"min({text})", _ATOM)), ("length", (f"len({text})", _ATOM)))),
    )[kind - 7]


def _values(expression: str, argument: str) -> list[Any]:
    """Runs a reference expression of ours on the inputs of its argument; [] where one fails."""
    function = eval(f"lambda {argument}: {expression}")
    try:
        return [function(value) for value in CALLS[argument]]
    except ValueError:  # the largest of nothing
        return []


_SCALAR_STEPS = ("sum", "top", "low", "length", "count", "digits")


def code(rng: random.Random) -> Item | None:
    """Two or three operations in words; the answer is one Python expression."""
    argument = rng.choices("nsv", (4, 3, 3))[0]
    expression: _Expression = (argument, _ATOM)
    words: list[str] = []
    for _ in range(rng.choice((1, 2, 2, 2, 2, 3))):
        if words and words[-1].split()[0] in _SCALAR_STEPS:
            break  # no step follows one that leaves another type
        if argument == "n":
            word, expression = _number_step(rng, expression)
        else:
            word, expression = _sequence_step(rng, expression, argument)
        words.append(word)
    values = _values(expression[0], argument)
    if (
        not values
        or all(value == values[0] for value in values)
        or values == list(CALLS[argument])
    ):
        return None  # a constant, or the argument itself, must not be right
    return Item(
        prompt=f"py:{argument} {' '.join(words)}>",
        answer=expression[0],
        fields={
            "argument": argument,
            "calls": [[value] for value in CALLS[argument]],
            "expected": values,
        },
    )


# --------------------------------------------------------------------------------------- math
def _sum(rng: random.Random) -> tuple[str, int]:
    a, b = rng.randint(10, 99), rng.randint(2, 20)
    return f"{a}+{b}", a + b


def _difference(rng: random.Random) -> tuple[str, int]:
    a, b = rng.randint(20, 99), rng.randint(2, 20)
    return f"{a}-{b}", a - b


def _product(rng: random.Random) -> tuple[str, int]:
    a, b = rng.randint(2, 9), rng.randint(2, 20)
    return f"{a}*{b}", a * b


def _two_steps(rng: random.Random) -> tuple[str, int]:
    a, b, c = rng.randint(2, 9), rng.randint(2, 9), rng.randint(1, 9)
    return f"{a}*{b}+{c}", a * b + c


def _equation(rng: random.Random) -> tuple[str, int]:
    a, x = rng.randint(2, 20), rng.randint(2, 60)
    return f"x+{a}={x + a},x", x


def _bags(rng: random.Random) -> tuple[str, int]:
    a, b, c = rng.randint(2, 9), rng.randint(2, 9), rng.randint(1, 3)
    return f"{a} bags of {b} less {c}", a * b - c


def _half(rng: random.Random) -> tuple[str, int]:
    a = rng.randint(5, 99)
    return f"half of {2 * a}", a


def math(rng: random.Random) -> Item | None:
    """A sum, difference, product, two steps, an equation or a short word problem."""
    family = rng.choices(
        (_sum, _difference, _product, _two_steps, _equation, _bags, _half), (12, 11, 1, 5, 7, 2, 1)
    )[0]
    question, result = family(rng)
    return Item(f"math:{question}=", str(result))


# ------------------------------------------------------------------------------- multilingual
def multilingual(rng: random.Random) -> Item | None:
    """Two nouns, or a number, into one of eight languages, or two nouns back into English."""
    language = rng.choice(LANGUAGES)
    kind = rng.random()
    if kind < 0.2:
        number = rng.randint(0, 99)
        return Item(f"{language}:{number}>", number_word(language, number))
    first, second = rng.sample(list(NOUNS), 2)
    there = f"{NOUNS[first][language]},{NOUNS[second][language]}"
    if kind < 0.4:
        return Item(f"en:{language}:{there}>", f"{first},{second}")
    return Item(f"{language}:{first},{second}>", there)


# ---------------------------------------------------------------------------- structured data
# No words that YAML 1.1 reads as booleans (no, on, off, y).
_KEYS = ("id", "qty", "tag", "age", "x", "z", "nr", "kg", "row", "sum", "lo", "hi", "at", "to")


def _pairs(rng: random.Random, count: int) -> list[tuple[str, Any]]:
    keys = rng.sample(_KEYS, count)
    return [
        (
            key,
            rng.choice(("hot", "new", "red", "tea", "oak"))
            if rng.random() < 0.25
            else rng.randint(0, 99),
        )
        for key in keys
    ]


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _to_json(rng: random.Random) -> tuple[str, str, str, object]:
    pairs = _pairs(rng, rng.choice((1, 2)))
    text = ",".join(f"{key}={value}" for key, value in pairs)
    return f"json:{text}", _compact(dict(pairs)), "json", dict(pairs)


def _to_yaml(rng: random.Random) -> tuple[str, str, str, object]:
    pairs = _pairs(rng, 2)
    flow = ", ".join(f"{key}: {value}" for key, value in pairs)
    return f"yaml:{_compact(dict(pairs))}", f"{{{flow}}}", "yaml", dict(pairs)


def _to_csv(rng: random.Random) -> tuple[str, str, str, object]:
    values = [value for _, value in _pairs(rng, rng.choice((2, 3)))]
    if rng.random() < 0.5:
        values.reverse()
    return f"csv:{_compact(values)}", ",".join(map(str, values)), "csv", [list(map(str, values))]


def _lookup(rng: random.Random) -> tuple[str, str, str, object]:
    pairs = _pairs(rng, rng.choice((2, 3)))
    key, value = rng.choice(pairs)
    if rng.random() < 0.5:
        return f"get {key}:{_compact(dict(pairs))}", _compact(value), "json", value
    header = ",".join(name for name, _ in pairs)
    row = ",".join(str(cell) for _, cell in pairs)
    return f"get {key}:{header};{row}", _compact(value), "json", value


def _listing(rng: random.Random) -> tuple[str, str, str, object]:
    pairs = _pairs(rng, rng.choice((2, 2, 3)))
    if rng.random() < 0.5:
        keys = [key for key, _ in pairs]
        return f"keys:{_compact(dict(pairs))}", _compact(keys), "json", keys
    values = [value for _, value in pairs]
    row = ",".join(map(str, values))
    return f"list:{row}", _compact(values), "json", values


def structured_data(rng: random.Random) -> Item | None:
    """Small conversions between JSON, YAML and CSV, and values looked up in them."""
    family = rng.choices((_to_json, _to_yaml, _to_csv, _lookup, _listing), (5, 3, 3, 5, 4))[0]
    prompt, answer, form, value = family(rng)
    return Item(f"{prompt}>", answer, fields={"format": form, "value": value})


FAMILIES: dict[str, Callable[[random.Random], Item | None]] = {
    "code": code,
    "math": math,
    "multilingual": multilingual,
    "structured_data": structured_data,
}


def draw(domain: str, rng: random.Random) -> Item:
    """Draws one item that fits the length limits.

    Args:
        domain: one of DOMAINS.
        rng: the source of randomness; the same state gives the same item.

    Returns:
        The item.
    """
    while True:
        item = FAMILIES[domain](rng)
        if (
            item is not None
            and len(item.prompt.encode()) <= MAX_PROMPT_BYTES
            and len(item.answer.encode()) <= MAX_ANSWER_BYTES
        ):
            return item
