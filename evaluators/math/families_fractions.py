"""Fractions and percentages."""

from __future__ import annotations

import random
from fractions import Fraction
from math import gcd

from asking import decimal, in_turn, money, number, people, person, tasks, terminates, written

from evomerge_compiler.scoring.authoring import Item


def _proper(rng: random.Random, low: int = 3, high: int = 12) -> Fraction:
    """A fraction between 0 and 1 in lowest terms."""
    while True:
        bottom = rng.randint(low, high)
        top = rng.randint(1, bottom - 1)
        if gcd(top, bottom) == 1:
            return Fraction(top, bottom)


def _shown(rng: random.Random, *values: Fraction) -> list[str]:
    """Fractions as LaTeX or with a slash, all of them alike."""
    if rng.random() < 0.5:
        return [str(value) for value in values]
    return [f"$\\frac{{{value.numerator}}}{{{value.denominator}}}$" for value in values]


def _proof(value: Fraction) -> str:
    return f"Rational({value.numerator}, {value.denominator})"


@tasks.family("fractions", difficulty=2, items=12)
def sums(rng: random.Random) -> Item | None:
    """Sums and differences of fractions with different denominators."""
    a, b, c = (_proper(rng) for _ in range(3))
    if len({a.denominator, b.denominator, c.denominator}) < 3 or b <= c:
        return None
    x, y, z = _shown(rng, a, b, c)
    p, q, r = (_proof(value) for value in (a, b, c))
    baker, liquid = person(rng), rng.choice(("milk", "juice", "cream", "broth"))
    question, value, proof = in_turn(rng, (
        (f"What is {x} + {y}?", a + b, f"{p} + {q}"),
        (f"Compute {y} - {z}.", b - c, f"{q} - {r}"),
        (f"Work out {x} + {y} - {z}.", a + b - c, f"{p} + {q} - {r}"),
        (f"{baker} has {b} of a litre of {liquid} and uses {c} of a litre. "
         "How many litres are left?", b - c, f"{q} - {r}"),
    ))  # fmt: skip
    if value.denominator == 1:
        return None
    return number(rng, question, value, proof, form="fraction")


@tasks.family("fractions", difficulty=3, items=12)
def mixed_numbers(rng: random.Random) -> Item | None:
    """Products and quotients of mixed numbers."""
    a, b = rng.randint(1, 5) + _proper(rng, 2, 8), rng.randint(1, 4) + _proper(rng, 2, 6)
    x, y, p, q = written(a, "mixed"), written(b, "mixed"), _proof(a), _proof(b)
    cook = person(rng)
    question, value, proof = in_turn(rng, (
        (f"Multiply {x} by {y}.", a * b, f"{p} * {q}"),
        (f"Divide {x} by {y}.", a / b, f"{p} / {q}"),
        (f"What is {x} + {y} × 2?", a + 2 * b, f"{p} + 2 * {q}"),
        (f"A recipe needs {x} cups of flour. {cook} makes {y} times the recipe. "
         "How many cups of flour is that?", a * b, f"{p} * {q}"),
    ))  # fmt: skip
    if value.denominator == 1 or value < 1:
        return None
    return number(rng, question, value, proof, form="mixed")


@tasks.family("fractions", difficulty=2, items=12)
def conversions(rng: random.Random) -> Item | None:
    """One number written in another way."""
    proper = _proper(rng, 8, 40)
    improper = rng.randint(2, 9) + _proper(rng, 3, 15)
    unit = rng.randint(3, 9)
    top, bottom = proper.numerator * unit, proper.denominator * unit
    kind = in_turn(rng, range(6))
    if kind in (0, 1, 2) and (not terminates(proper) or proper.denominator < 16):
        return None
    if kind == 0:
        question, form, value = (
            f"Convert {_shown(rng, proper)[0]} to a decimal.",
            "decimal",
            proper,
        )
    elif kind == 1:
        question, form, value = f"Write {decimal(proper)} as a fraction.", "fraction", proper
    elif kind == 2:
        text = f"What percentage is {_shown(rng, proper)[0]}?"
        return number(rng, text, proper * 100, f"{_proof(proper)} * 100", form="percent")
    elif kind == 3:
        top, bottom = improper.numerator, improper.denominator
        question, form, value = f"Turn {top}/{bottom} into a mixed number.", "mixed", improper
    elif kind == 4:
        question = f"Turn the mixed number {written(improper, 'mixed')} into an improper fraction."
        form, value = "fraction", improper
        return number(rng, question, value, f"{value // 1} + {_proof(value % 1)}", form=form)
    else:
        question, form, value = f"Simplify {top}/{bottom}.", "fraction", proper
        return number(rng, question, value, f"Rational({top}, {bottom})", form=form)
    return number(rng, question, value, _proof(value), form=form)


@tasks.family("fractions", difficulty=3, items=12)
def percentages(rng: random.Random) -> Item | None:
    """Parts, wholes and changes in percent."""
    rate, whole = rng.choice((12, 15, 18, 24, 35, 36, 45, 55, 65, 72, 85)), 20 * rng.randint(6, 60)
    part = Fraction(rate * whole, 100)
    after = whole + part
    town = rng.choice(("town", "village", "district"))
    club = rng.choice(("choir", "chess club", "rowing club", "drama group"))
    if part.denominator != 1:
        return None
    question, value, proof, form = in_turn(rng, (
        (f"What is {rate}% of {whole}?", part, f"{rate} * {whole} / 100", "any"),
        (f"{part} is {rate}% of what number?", Fraction(whole), f"{part} / ({rate} / 100)", "any"),
        (f"A {club} grew from {whole} to {after} members over the years. "
         "By what percentage did it grow?", Fraction(rate), f"({after} - {whole}) * 100 / {whole}",
         "percent"),
        (f"In a {town} of {whole * 10:,} people, {rate}% are under 18. "
         "How many people are 18 or older?", 10 * (whole - part),
         f"{whole * 10} * (100 - {rate}) / 100", "any"),
        (f"What percentage of {whole} is {part}?", Fraction(rate), f"100 * {part} / {whole}",
         "percent"),
        (f"After a rise of {rate}%, a fee is ${after}. How many dollars was it before?",
         Fraction(whole), f"{after} / (1 + {rate} / 100)", "any"),
    ))  # fmt: skip
    return number(rng, question, value, proof, form=form)


@tasks.family("fractions", difficulty=3, items=12)
def discount_chains(rng: random.Random) -> Item | None:
    """Discounts, taxes and coupons, one after the other."""
    item = rng.choice(("jacket", "bicycle helmet", "desk lamp", "tent", "backpack", "coffee maker",
                       "pair of boots", "keyboard", "guitar case", "camera bag"))  # fmt: skip
    price = rng.choice((40, 60, 80, 120, 140, 160, 180, 220, 240, 260, 320, 360))
    first, second = rng.choice((10, 15, 20, 25, 30, 40)), rng.choice((5, 10, 15, 20))
    coupon, copies, who = rng.choice((5, 8, 12)), rng.randint(2, 4), person(rng)
    reduced = Fraction(price * (100 - first), 100)
    both = reduced * (100 - second) / 100
    taxed = reduced * (100 + second) / 100
    raised = Fraction(price * (100 + second), 100)
    question, value, proof = in_turn(rng, (
        (f"A {item} costs {money(price)}. The shop takes {first}% off, and at the till another "
         f"{second}% off the reduced price. How many dollars does the {item} cost then?",
         both, f"{price} * (1 - {first}/100) * (1 - {second}/100)"),
        (f"{who} buys a {item} with a list price of {money(price)}. There is a discount of "
         f"{first}%, and then a sales tax of {second}% is added to the discounted price. "
         f"How many dollars does {who} pay?",
         taxed, f"{price} * (100 - {first}) * (100 + {second}) / 10000"),
        (f"The price of a {item} was raised by {second}% and later lowered by {first}%. It was "
         f"{money(price)} at first. What is the price in dollars now?",
         raised - raised * first / 100, f"{price} * (1 + {second}/100) * (1 - {first}/100)"),
        (f"A {item} is marked {money(price)}. {who} gets {first}% off and then uses a coupon of "
         f"{money(coupon)}. What does {who} pay in dollars for {copies} of them, if the coupon "
         "counts once for each?",
         copies * (reduced - coupon), f"{copies} * ({price} - {price}*{first}/100 - {coupon})"),
        (f"Two discounts, first {first}% and then {second}%, are worth the same as one single "
         f"discount. How many percent is that discount?",
         100 - both * 100 / price, f"100 * (1 - (1 - {first}/100) * (1 - {second}/100))"),
    ))  # fmt: skip
    return number(rng, question, value, proof) if (value * 100).denominator == 1 else None


@tasks.family("fractions", difficulty=4, items=12)
def mixtures(rng: random.Random) -> Item | None:
    """What comes out when parts of different strength are put together."""
    a, b = rng.randint(2, 12), rng.randint(2, 12)
    p, q = sorted(rng.sample((5, 10, 12, 15, 20, 25, 30, 40, 45, 60), 2))
    strength = Fraction(a * p + b * q, a + b)
    sugar = Fraction(a * p, 100)
    water = sugar * 100 / Fraction(p, 2) - a
    cheap, dear = rng.randint(6, 12), rng.randint(14, 24)
    target = Fraction(a * cheap + b * dear, a + b)
    boys = Fraction(a * 5 * p + b * 5 * q, 100)
    question, value, proof, form = in_turn(rng, (
        (f"A chemist mixes {a} litres of a {p}% salt solution with {b} litres of a {q}% salt "
         "solution. What is the concentration of the mixture?",
         strength, f"100 * ({a}*{p}/100 + {b}*{q}/100) / ({a} + {b})", "percent"),
        (f"A grocer blends {a} kg of beans at ${cheap} per kg with {b} kg at ${dear} per kg. "
         "What is one kilogram of the blend worth, in dollars?",
         target, f"({a}*{cheap} + {b}*{dear}) / ({a} + {b})", "any"),
        (f"How many litres of water must be added to {a} litres of a {p}% syrup to get a syrup "
         f"of {decimal(Fraction(p, 2))}%?", water, f"{a} * {p} / ({p}/2) - {a}", "any"),
        (f"A class of {a * 5} children is {p}% left-handed, another of {b * 5} children is {q}% "
         "left-handed. How many left-handed children are there in both classes together?",
         boys, f"{a * 5}*{p}/100 + {b * 5}*{q}/100", "any"),
        (f"A goldsmith melts together {a * 10} g of an alloy with {p}% silver and {b * 10} g of "
         f"an alloy with {q}% silver. How many grams of silver are in the new alloy?",
         Fraction(a * p + b * q, 10), f"{a * 10}*{p}/100 + {b * 10}*{q}/100", "any"),
    ))  # fmt: skip
    whole_children = a * p % 20 == 0 and b * q % 20 == 0
    if ("children" in question and not whole_children) or (value * 100).denominator != 1:
        return None
    return number(rng, question, value, proof, form=form)


@tasks.family("fractions", difficulty=4, items=12)
def parts_of_parts(rng: random.Random) -> Item | None:
    """Fractions of what is left."""
    a, b = _proper(rng, 3, 6), _proper(rng, 3, 7)
    whole = a.denominator * b.denominator * rng.randint(2, 9)
    left = whole * (1 - a) * (1 - b)
    who, other = people(rng, 2)
    pages = rng.choice(("novel", "biography", "travel book", "history book"))
    question, value, proof = in_turn(rng, (
        (f"{who} reads {a} of a {pages} of {whole} pages in the first week and {b} of the "
         "remaining pages in the second. How many pages are left to read?",
         left, f"{whole} * (1 - {a}) * (1 - {b})"),
        (f"{who} spends {a} of some money on a ticket and {b} of what remains on lunch. "
         f"Now ${left} remain. How many dollars did {who} have at first?",
         Fraction(whole), f"{left} / ((1 - {a}) * (1 - {b}))"),
        (f"A tank holds {whole} litres when full. It is {a} full. Then {b} of the water in it is "
         "used. How many litres are in the tank now?",
         whole * a * (1 - b), f"{whole} * {a} - {whole} * {a} * {b}"),
        (f"{who} and {other} share {whole} stickers. {who} takes {a} of them, and {other} takes "
         f"the rest. Then {other} gives {b} of that share to {who}. "
         f"How many stickers does {who} have now?",
         whole - left, f"{whole} * {a} + {whole} * (1 - {a}) * {b}"),
    ))  # fmt: skip
    if value.denominator != 1 or left.denominator != 1 or left < 5:
        return None
    return number(rng, question, value, proof)


@tasks.family("fractions", difficulty=3, items=12)
def comparisons(rng: random.Random) -> Item | None:
    """The largest and the smallest of some numbers written in different ways."""
    values = [_proper(rng, 3, 12) for _ in range(4)]
    low, high = min(values), max(values)
    if len(set(values)) < 4 or high - low > Fraction(1, 2):
        return None
    listed = ", ".join(str(value) for value in values[:3]) + f" and {values[3]}"
    difference = ", ".join(f"Rational({v.numerator}, {v.denominator})" for v in values)
    third = rng.randint(2, 9) * Fraction(1, 10) + Fraction(rng.randint(1, 9), 100)
    question, value, proof = in_turn(rng, (
        (f"How much larger is the largest of {listed} than the smallest?",
         high - low, f"Max({difference}) - Min({difference})"),
        (f"Which is the second largest of the fractions {listed}?",
         sorted(values)[2], f"sorted([{difference}])[2]"),
        (f"Which fraction lies exactly in the middle between {low} and {high}?",
         (low + high) / 2, f"({_proof(low)} + {_proof(high)}) / 2"),
        (f"What is the difference between {decimal(third)} and {high}, as a positive number?",
         abs(third - high), f"Abs({decimal(third)} - {_proof(high)})"),
    ))  # fmt: skip
    if value == 0 or value.denominator == 1:
        return None
    return number(rng, question, value, proof, form="fraction")
