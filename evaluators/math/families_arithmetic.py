"""Arithmetic: what a pocket calculator knows, and a little number theory."""

from __future__ import annotations

import math
import operator
import random
import re
from fractions import Fraction

from asking import decimal, in_turn, number, tasks

from evomerge_compiler.scoring.authoring import Item

_ASK = (
    "Calculate {}.",
    "What is {}?",
    "Evaluate {}.",
    "Find the value of {}.",
    "Work out {}.",
    "Compute {}.",
)


def _shown(rng: random.Random, expression: str) -> str:
    """An expression in Python's operators as people write it, in LaTeX or as plain text."""
    if rng.random() < 0.5:
        latex = re.sub(r"\*\*(\d+)", r"^{\1}", expression)
        return "$" + latex.replace(" * ", " \\times ").replace(" / ", " \\div ") + "$"
    return expression.replace("**", "^").replace(" * ", " × ").replace(" / ", " ÷ ")


def _ask(rng: random.Random, expression: str, value: int | Fraction) -> Item:
    question = rng.choice(_ASK).format(_shown(rng, expression))
    return number(rng, question, value, expression)


@tasks.family("arithmetic", difficulty=1, items=12)
def order_of_operations(rng: random.Random) -> Item | None:
    """Products before sums, with one pair of brackets."""
    a, b, c, d = (rng.randint(3, 15) for _ in range(4))
    e = rng.randint(2, 9)
    forms = (
        (f"{a} + {b} * {c} - {d}", a + b * c - d),
        (f"{a} * ({b} + {c}) - {d}", a * (b + c) - d),
        (f"({a} + {b}) * {e} - {c} * {d}", (a + b) * e - c * d),
        (f"{a * e} / {e} + {b} * {c}", a + b * c),
        (f"{a} + {b} * ({c} + {d}) / {e}", a + Fraction(b * (c + d), e)),
        (f"{a * b} - {c * e} / {e} * {d}", a * b - c * d),
    )
    expression, value = in_turn(rng, forms)
    if value <= 10 or Fraction(value).denominator != 1:
        return None
    return _ask(rng, expression, value)


@tasks.family("arithmetic", difficulty=2, items=12)
def negative_numbers(rng: random.Random) -> Item | None:
    """Signs that meet signs."""
    a, b, c, d = (rng.randint(2, 14) for _ in range(4))
    forms = (
        (f"-{a} - (-{b}) * {c} + (-{d})", -a + b * c - d),
        (f"({a} - {a + b}) * (-{c}) - {d}", b * c - d),
        (f"-{a} * (-{b} + {c}) - (-{d})", -a * (c - b) + d),
        (f"{a} - {b} * (-{c} - {d})", a + b * (c + d)),
        (f"(-{a}) * (-{b}) * (-{c}) + {d}", d - a * b * c),
        (f"-({a} - {b * c}) - {d} * (-{b})", b * c - a + d * b),
    )
    expression, value = in_turn(rng, forms)
    return _ask(rng, expression, value) if abs(value) > 9 else None


@tasks.family("arithmetic", difficulty=3, items=12)
def decimals(rng: random.Random) -> Item | None:
    """Products, sums and quotients of decimal numbers; the results are exact."""
    a, b = Fraction(rng.randint(105, 995), 100), Fraction(rng.randint(12, 98), 10)
    c = Fraction(rng.randint(101, 3999), 100)
    if 10 in {a.denominator, b.denominator * 10, c.denominator}:
        return None
    x, y, z = decimal(a), decimal(b), decimal(c)
    product = decimal(a * b)
    forms = (
        (f"{x} * {y} + {z}", a * b + c),
        (f"{z} - {x} * 0.4", c - a * Fraction(2, 5)),
        (f"{x} + {y} * {z}", a + b * c),
        (f"{product} / {y} + {z}", a + c),
        (f"({z} - {x}) * {y}", (c - a) * b),
    )
    expression, value = in_turn(rng, forms)
    if value <= 1:
        return None
    return _ask(rng, expression, value)


@tasks.family("arithmetic", difficulty=4, items=12)
def big_products(rng: random.Random) -> Item:
    """Long multiplication, some of it inside a sum."""
    a, b, c = rng.randint(123, 987), rng.randint(23, 98), rng.randint(1_012, 9_876)
    forms = (
        (f"{a} * {b}", a * b),
        (f"{a} * {b} - {c}", a * b - c),
        (f"{c} * {b}", c * b),
        (f"{a} * {a - b}", a * (a - b)),
        (f"{c} + {a} * {b}", c + a * b),
    )
    expression, value = in_turn(rng, forms)
    return _ask(rng, expression, value)


@tasks.family("arithmetic", difficulty=3, items=12)
def powers_and_roots(rng: random.Random) -> Item | None:
    """Powers of whole numbers, square roots of squares."""
    a, b, c = rng.randint(2, 6), rng.randint(3, 9), rng.randint(3, 5)
    root = rng.randint(11, 25)
    forms = (
        (f"{a}**{c} + {b}**3", a**c + b**3),
        (f"{b}**3 - {a}**{c}", b**3 - a**c),
        (f"(-{a})**{c} + {b}**2 * {c}", (-a) ** c + b**2 * c),
        (f"({a} + {b})**2 - {a}**{c}", (a + b) ** 2 - a**c),
        (f"2**{b + c} - {a * b}**2", 2 ** (b + c) - (a * b) ** 2),
    )
    if rng.random() < 0.3:
        factor = rng.randint(3, 9)
        text = f"{factor} times the square root of {root**2}, plus the cube of {b}"
        return number(
            rng, f"What is {text}?", factor * root + b**3, f"{factor}*sqrt({root**2}) + {b}**3"
        )
    expression, value = in_turn(rng, forms)
    return _ask(rng, expression, value) if abs(value) > 10 else None


@tasks.family("arithmetic", difficulty=4, items=12)
def remainders(rng: random.Random) -> Item | None:
    """Division with remainder, of numbers and of powers."""
    divisor = rng.choice((7, 9, 11, 12, 13, 16, 17, 19, 23))
    big = rng.randint(1_000, 60_000)
    base, power = rng.randint(2, 12), rng.randint(9, 40)
    days = rng.randint(120, 900)
    weekday = rng.randrange(7)
    names = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
    forms = (
        (f"What is the remainder when {big:,} is divided by {divisor}?",
         big % divisor, f"Mod({big}, {divisor})"),
        (f"Find the remainder when {base}^{power} is divided by {divisor}.",
         pow(base, power, divisor), f"Mod({base}**{power}, {divisor})"),
        (f"A machine packs {big:,} bolts into boxes of {divisor * 4}. "
         "How many bolts are left over when no further box can be filled?",
         big % (divisor * 4), f"{big} - {divisor * 4} * floor(Rational({big}, {divisor * 4}))"),
        (f"What is the last digit of {base}^{power}?", pow(base, power, 10),
         f"Mod({base}**{power}, 10)"),
        (f"Number the days of the week from 1 (Monday) to 7 (Sunday). Today is {names[weekday]}. "
         f"What is the number of the day of the week {days} days from today?",
         (weekday + days) % 7 + 1, f"Mod({weekday + days}, 7) + 1"),
    )  # fmt: skip
    question, value, proof = in_turn(rng, forms)
    return number(rng, question, value, proof) if value > 1 else None


@tasks.family("arithmetic", difficulty=4, items=12)
def divisors(rng: random.Random) -> Item | None:
    """Common divisors and multiples, prime factors."""
    unit = rng.randint(6, 24)
    a, b = unit * rng.randint(3, 12), unit * rng.randint(3, 12)
    n = rng.choice((72, 84, 90, 96, 108, 120, 126, 140, 144, 150, 168, 180, 198, 210, 240, 252,
                    264, 270, 300, 330, 336, 360, 378, 396, 420))  # fmt: skip
    factors = [p for p in range(2, n + 1) if n % p == 0 and all(p % q for q in range(2, p))]
    divisors_ = [d for d in range(1, n + 1) if n % d == 0]
    forms = (
        (f"What is the greatest common divisor of {a} and {b}?", math.gcd(a, b), f"gcd({a}, {b})"),
        (f"What is the least common multiple of {a} and {b}?", math.lcm(a, b), f"lcm({a}, {b})"),
        (f"How many positive divisors does {n} have, counting 1 and {n} itself?",
         len(divisors_), f"divisor_count({n})"),
        (f"What is the sum of the distinct prime factors of {n}?", sum(factors),
         f"sum(primefactors({n}))"),
        (f"Find the sum of all positive divisors of {n}.", sum(divisors_), f"divisor_sigma({n})"),
        (f"Two lights flash together at noon. One flashes every {a} seconds, the other every "
         f"{b} seconds. After how many seconds do they next flash together?",
         math.lcm(a, b), f"ilcm({a}, {b})"),
    )  # fmt: skip
    question, value, proof = in_turn(rng, forms)
    return number(rng, question, value, proof) if a != b else None


@tasks.family("arithmetic", difficulty=2, items=12)
def puzzles(rng: random.Random) -> Item | None:
    """Steps told in words, forwards or backwards."""
    start, times, plus, by = (rng.randint(*pair) for pair in ((4, 30), (2, 9), (5, 60), (2, 6)))
    end = operator.sub(start * times + plus, by)
    back = (
        f"I think of a number, multiply it by {times}, add {plus} and subtract {by}. "
        f"I get {end}. What number did I think of?"
    )
    forward = (
        f"Start with {start}. Multiply by {times}, add {plus}, then multiply the result by {by}. "
        "What do you get?"
    )
    double = (
        f"Take {start} away from {start * times}, multiply what is left by {by}, and add {plus}. "
        "What is the result?"
    )
    halves = (
        f"A number is halved, then {plus} is added, and the result is {plus + start}. "
        f"What is {by} times the original number?"
    )
    forms = (
        (back, start, f"({end} + {by} - {plus}) / {times}"),
        (forward, (start * times + plus) * by, f"({start} * {times} + {plus}) * {by}"),
        (double, start * (times - 1) * by + plus, f"({start * times} - {start}) * {by} + {plus}"),
        (halves, 2 * start * by, f"{by} * 2 * ({plus + start} - {plus})"),
    )
    question, value, proof = in_turn(rng, forms)
    return number(rng, question, value, proof)
