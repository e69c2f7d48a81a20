"""Equations and inequalities."""

from __future__ import annotations

import random
from fractions import Fraction
from math import gcd, isqrt

from asking import TIMES, in_turn, number, people, symbolic, tasks, terminates

from evomerge_compiler.scoring.authoring import Item


def _term(factor: int, name: str, *, first: bool = False) -> str:
    """A term with its sign, as it stands in a sum."""
    sign = ("-" if first else "- ") if factor < 0 else ("" if first else "+ ")
    size = abs(factor)
    return sign + (f"{size}" if not name else name if size == 1 else f"{size}{name}")


def _sum(*terms: tuple[int, str]) -> str:
    """A sum of terms; those with factor 0 are left out."""
    shown = [term for term in terms if term[0]]
    parts = [_term(*shown[0], first=True)] + [_term(*term) for term in shown[1:]]
    return " ".join(parts)


def _shown(rng: random.Random, *texts: str) -> list[str]:
    """Equations as LaTeX or as plain text, all of them alike."""
    if rng.random() < 0.5:
        return [f"${text}$" for text in texts]
    return [text.replace("^2", "²") for text in texts]


def _nonzero(rng: random.Random, low: int, high: int) -> int:
    return rng.choice([n for n in range(low, high + 1) if n])


@tasks.family("equations", difficulty=1, items=12)
def linear(rng: random.Random) -> Item | None:
    """One unknown, on one side."""
    x, a, b, name = (
        _nonzero(rng, -9, 15),
        rng.randint(2, 12),
        _nonzero(rng, -20, 30),
        rng.choice("xyntz"),
    )
    c = rng.randint(2, 9)
    left, right, proof = in_turn(rng, (
        (_sum((a, name), (b, "")), a * x + b, f"solve({a}*x + {b} - ({a * x + b}), x)[0]"),
        (_sum((b, ""), (-a, name)), b - a * x, f"solve(Eq({b} - {a}*x, {b - a * x}), x)[0]"),
        (f"{a}({_sum((1, name), (b, ''))})", a * (x + b),
         f"solve(Eq({a}*(x + {b}), {a * (x + b)}), x)[0]"),
        (_sum((a, name), (c, name), (b, "")), (a + c) * x + b,
         f"solve(Eq({a}*x + {c}*x + {b}, {(a + c) * x + b}), x)[0]"),
    ))  # fmt: skip
    question = rng.choice(("Solve {e} for {n}. What is {n}?", "If {e}, what is the value of {n}?",
                           "Find {n} such that {e}."))  # fmt: skip
    text = question.format(e=_shown(rng, f"{left} = {right}")[0], n=name)
    return number(rng, text, x, proof)


@tasks.family("equations", difficulty=3, items=12)
def both_sides(rng: random.Random) -> Item | None:
    """The unknown on both sides, with brackets or fractions."""
    a, c = rng.randint(3, 12), rng.randint(2, 9)
    b, d = _nonzero(rng, -12, 12), _nonzero(rng, -25, 25)
    k = rng.randint(2, 6)
    if a == c or a * k == c:
        return None
    left, right, equation, value = in_turn(rng, (
        (_sum((a, "x"), (b, "")), _sum((c, "x"), (d, "")),
         f"{a}*x + {b} - ({c}*x + {d})", Fraction(d - b, a - c)),
        (f"{a}({_sum((1, 'x'), (b, ''))})", _sum((c, "x"), (d, "")),
         f"{a}*(x + {b}) - ({c}*x + {d})", Fraction(d - a * b, a - c)),
        (f"{_sum((a, 'x'), (b, ''))} - {k}({_sum((1, 'x'), (-c, ''))})", str(d),
         f"{a}*x + {b} - {k}*(x - {c}) - {d}", Fraction(d - b - k * c, a - k) if a != k else None),
        (f"\\frac{{x {_term(b, '')}}}{{{a}}}", f"\\frac{{x {_term(d, '')}}}{{{c}}}",
         f"(x + {b})/{a} - (x + {d})/{c}", Fraction(a * d - c * b, c - a)),
    ))  # fmt: skip
    if value is None or not value or abs(value) > 60 or value.denominator > 4:
        return None
    shown = f"{left} = {right}"
    shown = f"${shown}$" if "\\" in shown else _shown(rng, shown)[0]
    text = rng.choice(("Solve for $x$: {}.", "Find the value of x that satisfies {}."))
    form = "any" if terminates(value) else "fraction"
    return number(rng, text.format(shown), value, f"solve({equation}, x)[0]", form=form)


@tasks.family("equations", difficulty=3, items=12)
def systems(rng: random.Random) -> Item | None:
    """Two equations, two unknowns; what is asked combines both."""
    x, y = rng.randint(-6, 15), rng.randint(2, 14)
    a, b, c, d = rng.randint(1, 6), rng.randint(1, 6), rng.randint(1, 6), -rng.randint(1, 6)
    if a * d == b * c or x in (0, y) or gcd(a, b) > 1 or gcd(c, d) > 1:
        return None
    first = f"{_sum((a, 'x'), (b, 'y'))} = {a * x + b * y}"
    second = f"{_sum((c, 'x'), (d, 'y'))} = {c * x + d * y}"
    asked, value = in_turn(rng, (
        ("x + y", x + y), ("x*y", x * y), ("2*x - y", 2 * x - y), ("x**2 + y", x * x + y),
    ))  # fmt: skip
    words = {"x + y": "x + y", "x*y": "the product of x and y", "2*x - y": "2x - y",
             "x**2 + y": "x² + y"}[asked]  # fmt: skip
    text = rng.choice((
        "The numbers x and y satisfy {} and {}. What is {}?",
        "Solve the system {}, {}. Then give {}.",
        "If {} and {}, find {}.",
    ))  # fmt: skip
    solution = f"solve([{a}*x + {b}*y - ({a * x + b * y}), {c}*x + ({d})*y - ({c * x + d * y})])"
    proof = f"({asked}).subs({solution})"
    return number(rng, text.format(*_shown(rng, first, second), words), value, proof)


@tasks.family("equations", difficulty=3, items=12)
def quadratics(rng: random.Random) -> Item | None:
    """Quadratic equations with rational roots; one root, or a combination, is asked."""
    p, q = rng.randint(-9, 12), rng.randint(-12, 9)
    a = rng.choice((1, 1, 2, 3))
    if p == q or not p or not q or p == -q:
        return None
    # (a x - p)(x - q)
    roots = sorted((Fraction(p, a), Fraction(q)))
    equation = _sum((a, "x^2"), (-(p + a * q), "x"), (p * q, "")) + " = 0"
    proof = f"solve({a}*x**2 + ({-(p + a * q)})*x + ({p * q}), x)"
    if any(not terminates(root) for root in roots) or p + a * q == 0:
        return None
    asked, value, pick = in_turn(rng, (
        ("What is the larger solution of {}?", roots[1], "max({})"),
        ("What is the smaller solution of {}?", roots[0], "min({})"),
        ("Let r and s be the two solutions of {}. What is r² + s²?",
         roots[0] ** 2 + roots[1] ** 2, "sum([r**2 for r in {}])"),
        ("How far apart on the number line are the two solutions of {}?",
         roots[1] - roots[0], "max({0}) - min({0})"),
    ))  # fmt: skip
    return number(rng, asked.format(*_shown(rng, equation)), value, pick.format(proof))


@tasks.family("equations", difficulty=4, items=12)
def surds(rng: random.Random) -> Item | None:
    """Quadratic equations whose solutions have roots in them."""
    half, n = _nonzero(rng, -6, 6), rng.randint(2, 30)
    if isqrt(n) ** 2 == n or half * half == n:
        return None
    square = max(k for k in range(1, 6) if n % (k * k) == 0)
    root = (f"{square}" if square > 1 else "") + f"\\sqrt{{{n // square**2}}}"
    equation = _sum((1, "x^2"), (-2 * half, "x"), (half * half - n, "")) + " = 0"
    polynomial = f"x**2 - ({2 * half})*x + ({half * half - n})"
    asked, sign, pick = in_turn(rng, (
        ("Find the exact value of the larger solution of {}.", "+", "max"),
        ("What is the smaller solution of {}, in exact form?", "-", "min"),
        ("Solve {} and give the greater of the two solutions exactly, with a square root.", "+",
         "max"),
    ))  # fmt: skip
    answer = f"{half} {sign} {root}"
    return symbolic(
        rng, asked.format(*_shown(rng, equation)), answer, f"{pick}(solve({polynomial}, x))"
    )


@tasks.family("equations", difficulty=4, items=12)
def inequalities(rng: random.Random) -> Item | None:
    """How many whole numbers satisfy an inequality."""
    a, b = rng.randint(2, 7), _nonzero(rng, -15, 15)
    low, high = rng.randint(-40, 5), rng.randint(10, 70)
    p, q = sorted((rng.randint(-9, 8), rng.randint(-6, 12)))
    size, middle = rng.randint(4, 20), _nonzero(rng, -9, 9)
    reach = range(-200, 201)
    condition, shown, holds = in_turn(rng, (
        (f"{low} < {a}*n + {b} <= {high}", f"{low} < {_sum((a, 'n'), (b, ''))} ≤ {high}",
         lambda n: low < a * n + b <= high),
        (f"n**2 - ({p + q})*n + ({p * q}) < 0",
         f"{_sum((1, 'n²'), (-(p + q), 'n'), (p * q, ''))} < 0", lambda n: (n - p) * (n - q) < 0),
        (f"abs(n - ({middle})) < {size}", f"|{_sum((1, 'n'), (-middle, ''))}| < {size}",
         lambda n: abs(n - middle) < size),
        (f"abs({a}*n + {b}) <= {high}", f"|{_sum((a, 'n'), (b, ''))}| ≤ {high}",
         lambda n: abs(a * n + b) <= high),
    ))  # fmt: skip
    value = sum(1 for n in reach if holds(n))
    if value < 4:
        return None
    text = rng.choice(("How many integers n satisfy {}?", "Count the integers n for which {}."))
    return number(
        rng, text.format(shown), value, f"len([n for n in range(-300, 300) if {condition}])"
    )


_FORMULAS = (
    # equation as shown, unknown, answer in LaTeX, equation as SymPy reads it (left - right)
    ("A = \\frac{b h}{2}", "h", "\\frac{2A}{b}", "A - b*h/2"),
    ("v = u + a t", "t", "\\frac{v - u}{a}", "v - u - a*t"),
    ("P = 2(l + w)", "w", "\\frac{P}{2} - l", "P - 2*(l + w)"),
    ("F = \\frac{9}{5} C + 32", "C", "\\frac{5(F - 32)}{9}", "F - 9*C/5 - 32"),
    ("A = \\frac{(a + b) h}{2}", "a", "\\frac{2A}{h} - b", "A - (a + b)*h/2"),
    ("y = m x + c", "x", "\\frac{y - c}{m}", "y - m*x - c"),
    ("p x - q = r x + s", "x", "\\frac{q + s}{p - r}", "p*x - q - r*x - s"),
    ("T = a + (n - 1) d", "n", "\\frac{T - a}{d} + 1", "T - a - (n - 1)*d"),
    ("\\frac{1}{f} = \\frac{1}{u} + \\frac{1}{v}", "f", "\\frac{uv}{u + v}", "1/f - 1/u - 1/v"),
    ("k = \\frac{m - n}{m}", "m", "\\frac{n}{1 - k}", "k - (m - n)/m"),
    ("3(a x + b) = 2 c", "x", "\\frac{2c - 3b}{3a}", "3*(a*x + b) - 2*c"),
    ("R = \\frac{V}{a + r}", "r", "\\frac{V}{R} - a", "R - V/(a + r)"),
    ("S = 2 a b + 2 b c + 2 a c", "c", "\\frac{S - 2ab}{2(a + b)}", "S - 2*a*b - 2*b*c - 2*a*c"),
    ("q = \\frac{p x + 1}{x}", "x", "\\frac{1}{q - p}", "q - (p*x + 1)/x"),
)


@tasks.family("equations", difficulty=3, items=12)
def rearrangements(rng: random.Random) -> Item:
    """A formula, solved for another letter."""
    shown, unknown, answer, equation = in_turn(rng, _FORMULAS)
    text = rng.choice((
        "Solve the formula ${}$ for ${}$.",
        "Rearrange ${}$ to make ${}$ the subject.",
        "Given ${}$, express ${}$ in terms of the other letters.",
    ))  # fmt: skip
    return symbolic(rng, text.format(shown, unknown), answer, f"solve({equation}, {unknown})[0]")


@tasks.family("equations", difficulty=4, items=12)
def told_in_words(rng: random.Random) -> Item | None:
    """Equations that must be set up first."""
    x, y, k, m = rng.randint(5, 40), rng.randint(3, 30), rng.randint(2, 5), rng.randint(3, 12)
    who, other = people(rng, 2)
    wide = rng.randint(4, 20)
    long = wide + m
    coins, small = rng.randint(8, 25), rng.randint(10, 30)
    if x <= y + 1 or x - y < 3:
        return None
    question, value, proof = in_turn(rng, (
        (f"The sum of two numbers is {x + y} and their difference is {x - y}. "
         "What is their product?", x * y,
         f"(x*y).subs(solve([x + y - {x + y}, x - y - {x - y}]))"),
        (f"{who} is {TIMES[k]} as old as {other}. In {m} years the sum of their ages will be "
         f"{(k + 1) * y + 2 * m}. How old is {who} now?", k * y,
         f"{k} * solve({k}*x + x + 2*{m} - {(k + 1) * y + 2 * m}, x)[0]"),
        (f"A rectangle is {m} cm longer than it is wide and has an area of {wide * long} cm². "
         "What is its perimeter in centimetres?", 2 * (wide + long),
         f"4 * max(solve(x*(x + {m}) - {wide * long}, x)) + 2*{m}"),
        (f"{who} has {coins + small} coins, all of them 5-cent and 20-cent coins. Together they "
         f"are worth {coins * 20 + small * 5} cents. How many 20-cent coins are there?", coins,
         f"solve(20*x + 5*({coins + small} - x) - {coins * 20 + small * 5}, x)[0]"),
        (f"Three consecutive whole numbers add up to {3 * x}. What is the product of the "
         "smallest and the largest?", (x - 1) * (x + 1),
         f"(x*(x + 2)).subs(x, solve(3*x + 3 - {3 * x}, x)[0])"),
        (f"{k} pens and {m} pads cost ${k * y + m * x}. One pad costs ${x - y} more than one pen. "
         "How many dollars does a pad cost?", x,
         f"solve({k}*(x - {x - y}) + {m}*x - {k * y + m * x}, x)[0]"),
    ))  # fmt: skip
    return number(rng, question, value, proof)
