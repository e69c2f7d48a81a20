"""How the questions are put together: closing sentences, people, numbers as they are written.

Every item carries ``proof``, a SymPy expression with the same value as the answer. The families
work an answer out from the numbers that they drew; the proof says it once more, in another way
where there is one, and the tests let SymPy evaluate it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

from evomerge_compiler.scoring.authoring import Authoring, Item

tasks = Authoring(folder=Path(__file__).parent / "data", seed=20261121)

Number = int | Fraction
T = TypeVar("T")

_CLOSINGS = {
    "any": (
        "Give the final answer as a number.",
        "Finish with the answer as a single number.",
        "Work step by step and put your final answer in \\boxed{}.",
        'Show your work briefly, then write "Answer:" followed by the number.',
        "State the result as a number in the last line.",
        "Explain your steps, and end with the number you get.",
        "Please reason step by step, and put your final answer within \\boxed{}.",
    ),
    "fraction": (
        "Give the answer as a fraction in lowest terms.",
        "Write the answer as a single fraction, reduced as far as possible.",
        "Put the answer, as a fraction in lowest terms, in \\boxed{}.",
    ),
    "improper": (
        "Give the answer as an improper fraction in lowest terms.",
        "Write the answer as a single reduced fraction, not as a mixed number.",
        "Put the answer, as an improper fraction in lowest terms, in \\boxed{}.",
    ),
    "mixed": (
        "Give the answer as a mixed number with its fraction in lowest terms.",
        "Write the answer as a mixed number (a whole number and a reduced proper fraction).",
    ),
    "decimal": (
        "Give the answer as a decimal number.",
        "Write the exact decimal number; do not round.",
        "Put the decimal number in \\boxed{}.",
    ),
    "percent": (
        "Give the answer as a percentage.",
        "Answer with a percentage, such as 12%.",
        "Put the percentage in \\boxed{}.",
    ),
    "symbolic": (
        "Put your final answer in \\boxed{}.",
        'Write "Answer:" followed by the expression.',
        "State the result in the last line.",
    ),
}


def number(
    rng: random.Random,
    question: str,
    value: Number,
    proof: str,
    *,
    form: str = "any",
    places: int | None = None,
) -> Item | None:
    """An item whose answer is a number.

    Args:
        rng: Chooses the closing sentence.
        question: Without a closing sentence.
        value: The answer, exactly.
        proof: A SymPy expression that has this value.
        form: ``any``, ``decimal``, ``fraction``, ``mixed`` or ``percent``.
        places: Decimal places, where the answer is to be rounded.

    Returns:
        None where the family has asked this before.
    """
    if not _of(rng).accepts(proof):
        return None
    asked = "improper" if form == "fraction" and abs(value) > 1 else form
    closing = rng.choice(_CLOSINGS[asked])
    if places is not None:
        closing = f"Round your answer to {_PLACES[places]}."
    fields = {
        "form": "any" if form == "percent" else form,
        "places": -1 if places is None else places,
        "proof": proof,
    }
    return Item(f"{question} {closing}", written(value, form, places), fields)


_PLACES = {1: "one decimal place", 2: "two decimal places", 3: "three decimal places"}


def symbolic(rng: random.Random, question: str, latex: str, proof: str) -> Item | None:
    """An item whose answer is an expression, judged by algebra.

    Args:
        rng: Chooses the closing sentence.
        question: Without a closing sentence.
        latex: The answer.
        proof: A SymPy expression equal to it.

    Returns:
        None where the family has asked this before.
    """
    if not _of(rng).accepts(proof):
        return None
    fields = {"form": "symbolic", "places": -1, "proof": proof}
    return Item(f"{question} {rng.choice(_CLOSINGS['symbolic'])}", latex, fields)


def written(value: Number, form: str = "any", places: int | None = None) -> str:
    """A number as a good answer has it.

    Raises:
        ValueError: The value has no such form.
    """
    value = Fraction(value)
    if places is not None:
        return f"{Fraction(round(value * 10**places), 10**places).__float__():.{places}f}"
    if form == "percent":
        return written(value, "decimal") + "%"
    if form == "fraction":
        if value.denominator == 1:
            raise ValueError(f"{value} is no fraction")
        return str(value)
    if form == "mixed":
        whole, rest = divmod(value, 1)
        if value < 1 or not rest:
            raise ValueError(f"{value} is no mixed number")
        return f"{whole} {rest}"
    if value.denominator == 1:
        return str(value.numerator)
    if not terminates(value):
        if form == "decimal":
            raise ValueError(f"{value} has no end as a decimal")
        return str(value)
    return decimal(value)


def terminates(value: Fraction) -> bool:
    """Whether a number has at most six decimal places."""
    return (value * 10**6).denominator == 1


def decimal(value: Number) -> str:
    """A number with at most six decimal places, without zeros at its end."""
    text = f"{Fraction(value).__float__():.6f}".rstrip("0").rstrip(".")
    if Fraction(text) != value:
        raise ValueError(f"{value} has more than six decimal places")
    return text


def money(value: Number) -> str:
    """An amount of dollars."""
    value = Fraction(value)
    if value.denominator == 1:
        return f"${value.numerator:,}"
    if (value * 100).denominator != 1:
        raise ValueError(f"{value} is no amount of money")
    return f"${value.__float__():,.2f}"


TIMES = {2: "twice", 3: "three times", 4: "four times", 5: "five times"}


@dataclass(frozen=True)
class Person:
    """Someone in a story, with the words that stand for the name."""

    name: str
    she: str
    her: str

    def __str__(self) -> str:
        return self.name


_WOMEN = (
    "Amara Bianca Chloe Daria Elena Fatima Greta Hana Ingrid Jasmine Keiko Leila Maya Nadia "
    "Olga Priya Rosa Sofia Tessa Wanda Yara Zoe"
).split()
_MEN = (
    "Ahmed Ben Carlos Dmitri Emil Felix Goran Hugo Ivan Jonas Kwame Liam Mateo Nikhil Omar "
    "Pablo Rafael Samir Theo Viktor Wei Yusuf"
).split()
_PEOPLE = [Person(name, "she", "her") for name in _WOMEN] + [
    Person(name, "he", "his") for name in _MEN
]


def person(rng: random.Random) -> Person:
    """Someone."""
    return rng.choice(_PEOPLE)


def people(rng: random.Random, count: int) -> list[Person]:
    """Several different people."""
    return rng.sample(_PEOPLE, count)


@dataclass
class _Progress:
    """What a family has asked so far."""

    turn: int = 0
    proofs: set[str] = field(default_factory=set)

    def accepts(self, proof: str) -> bool:
        """Whether this is new; if so, the next form has its turn."""
        if proof in self.proofs:
            return False
        self.proofs.add(proof)
        self.turn += 1
        return True


# It belongs to the random source, so that drawing again gives the same items.
_progress: WeakKeyDictionary[random.Random, _Progress] = WeakKeyDictionary()


def _of(rng: random.Random) -> _Progress:
    return _progress.setdefault(rng, _Progress())


def in_turn(rng: random.Random, forms: Sequence[T]) -> T:
    """The form whose turn it is: a family's items show all its forms equally often."""
    return forms[_of(rng).turn % len(forms)]
