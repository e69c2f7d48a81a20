"""Sequences and sums."""

from __future__ import annotations

import random
from fractions import Fraction

from asking import in_turn, number, person, symbolic, tasks

from evomerge_compiler.scoring.authoring import Item


def _listed(values: list[int]) -> str:
    return ", ".join(str(value) for value in values)


def _ordinal(number_: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number_}{'th' if 10 < number_ < 14 else endings.get(number_ % 10, 'th')}"


def _through(values: list[int], at: int) -> str:
    """The value at a place of the polynomial through the first values, places from 1."""
    return f"interpolate({values}, {at})"


@tasks.family("sequences", difficulty=1, items=12)
def next_terms(rng: random.Random) -> Item | None:
    """How a list of numbers goes on."""
    a, d, q = rng.randint(2, 20), rng.randint(3, 15), rng.randint(2, 4)
    arithmetic = [a + d * k for k in range(8)]
    falling = [a + 90 - d * k for k in range(8)]
    geometric = [a * q**k for k in range(7)]
    growing = [a + k * (k + 1) // 2 * q for k in range(8)]
    squares = [(k + a % 4) ** 2 + d for k in range(1, 9)]
    added = [a, a + d]
    while len(added) < 8:
        added.append(added[-1] + added[-2])
    values, shown, proof = in_turn(rng, (
        (arithmetic, 4, _through(arithmetic[:4], 5)),
        (geometric, 4, f"{geometric[3]}**2 / {geometric[2]}"),
        (growing, 5, _through(growing[:5], 6)),
        (falling, 4, _through(falling[:4], 5)),
        (squares, 5, _through(squares[:5], 6)),
        (added, 6, f"{added[4]} + {added[5]}"),
    ))  # fmt: skip
    text = rng.choice((
        "What is the next number in the sequence {}, ...?",
        "Find the number that comes next: {}, ...",
        "The sequence {}, ... follows a simple rule. What is its next term?",
    ))  # fmt: skip
    return number(rng, text.format(_listed(values[:shown])), values[shown], proof)


@tasks.family("sequences", difficulty=2, items=12)
def arithmetic_terms(rng: random.Random) -> Item | None:
    """Terms of arithmetic sequences, forwards and backwards."""
    a, d, n = (
        rng.randint(-12, 30),
        rng.choice((-7, -4, -3, 3, 4, 5, 6, 7, 8, 9, 11)),
        rng.randint(15, 60),
    )
    term = a + (n - 1) * d
    i, j = rng.randint(3, 6), rng.randint(9, 14)
    rows, seats = rng.randint(12, 30), rng.randint(14, 25)
    question, value, proof = in_turn(rng, (
        (f"An arithmetic sequence starts with {a} and has a common difference of {d}. "
         f"What is its {_ordinal(n)} term?", term, f"interpolate([{a}, {a + d}], {n})"),
        (f"Which term of the arithmetic sequence {_listed([a, a + d, a + 2 * d])}, ... equals "
         f"{term}? Give its position, counting from 1.", n,
         f"solve({a} + (x - 1)*({d}) - ({term}), x)[0]"),
        (f"In an arithmetic sequence, term number {i} is {a + (i - 1) * d} and term number {j} is "
         f"{a + (j - 1) * d}. What is the first term?", a,
         f"interpolate([({i}, {a + (i - 1) * d}), ({j}, {a + (j - 1) * d})], 1)"),
        (f"The first row of a theatre has {seats} seats, and every row behind it has "
         f"{abs(d)} seats more than the one in front of it. How many seats does row {rows} have?",
         seats + (rows - 1) * abs(d), f"interpolate([{seats}, {seats + abs(d)}], {rows})"),
    ))  # fmt: skip
    return number(rng, question, value, proof)


@tasks.family("sequences", difficulty=3, items=12)
def geometric_terms(rng: random.Random) -> Item | None:
    """Terms of geometric sequences."""
    a, q, n = rng.randint(2, 12), rng.randint(2, 4), rng.randint(5, 8)
    m = rng.randint(3, 5)
    start = a * 2**m
    hours = rng.choice((2, 3, 4))
    height = rng.choice((81, 162, 243, 324, 486, 729))
    if a * q ** (n - 1) > 60_000:
        return None
    question, value, proof = in_turn(rng, (
        (f"The first term of a geometric sequence is {a} and the common ratio is {q}. What is "
         f"term number {n}?", a * q ** (n - 1), f"prod([{a}] + [{q}]*{n - 1})"),
        (f"In a geometric sequence of positive numbers the second term is {a * q} and the fourth "
         f"term is {a * q**3}. What is the sixth term?", a * q**5, f"{a * q**3}**2 / {a * q}"),
        (f"A culture of {a * 10} bacteria doubles every {hours} hours. How many are there "
         f"after {hours * n} hours?", a * 10 * 2**n, f"{a * 10} * 2**({hours * n} / {hours})"),
        (f"{start} grams of a substance lose half of their mass every {hours} days. How many "
         f"grams are left after {hours * (m + 1)} days?", Fraction(start, 2 ** (m + 1)),
         f"{start} * Rational(1, 2)**({hours * (m + 1)} / {hours})"),
        (f"A ball falls from a height of {height} cm. After each bounce it rises to two thirds of "
         f"the height before. How many centimetres high does it rise after bounce number {m - 1}?",
         height * Fraction(2, 3) ** (m - 1), f"{height} * Rational(2, 3)**{m - 1}"),
        (f"Which term of the geometric sequence {a}, {a * q}, {a * q * q}, ... is "
         f"{a * q ** (n - 1)}? Give its position, counting from 1.", n,
         f"log({q ** (n - 1)}, {q}) + 1"),
    ))  # fmt: skip
    return number(rng, question, value, proof) if Fraction(value).denominator < 3 else None


@tasks.family("sequences", difficulty=4, items=12)
def quadratic_terms(rng: random.Random) -> Item | None:
    """Sequences whose differences grow evenly."""
    a, b, c, n = rng.randint(1, 4), rng.randint(-3, 6), rng.randint(-5, 12), rng.randint(10, 30)
    values = [a * k * k + b * k + c for k in range(1, 7)]
    size = rng.randint(15, 60)
    if min(values) < 0:
        return None
    question, value, proof = in_turn(rng, (
        (f"The sequence {_listed(values[:5])}, ... has differences that grow by the same amount "
         f"each time. What is term number {n}?", a * n * n + b * n + c, _through(values[:5], n)),
        (f"A sequence is given by a_n = {a if a > 1 else ''}n² {'+' if b >= 0 else '-'} "
         f"{abs(b)}n. What is the difference between a_{n + 1} and a_{n}?", a * (2 * n + 1) + b,
         f"({a}*(n + 1)**2 + ({b})*(n + 1) - {a}*n**2 - ({b})*n).subs(n, {n})"),
        (f"Dots are laid out as triangles: the first figure has 1 dot, the second 3, the third 6, "
         f"the fourth 10. How many dots does figure {size} have?", size * (size + 1) // 2,
         f"binomial({size} + 1, 2)"),
        (f"{size} people meet, and each of them shakes hands with every other one once. How many "
         "handshakes are there?", size * (size - 1) // 2, f"summation(k, (k, 1, {size - 1}))"),
        (f"The first figures of a pattern have {_listed(values[:4])} tiles. The second "
         f"differences of these numbers stay the same. How many tiles does figure "
         f"{n // 2 + 3} have?",
         a * (n // 2 + 3) ** 2 + b * (n // 2 + 3) + c, _through(values[:4], n // 2 + 3)),
    ))  # fmt: skip
    return number(rng, question, value, proof) if b else None


def _iterated(step: str, start: str, times: int) -> str:
    return f"reduce(lambda t, _: {step}, range({times}), {start})"


@tasks.family("sequences", difficulty=3, items=12)
def recurrences(rng: random.Random) -> Item | None:
    """Each term from the one or two before it."""
    a, b, p, q, n = (
        rng.randint(1, 7),
        rng.randint(2, 9),
        rng.randint(2, 3),
        rng.randint(1, 8),
        rng.randint(5, 7),
    )
    straight, alternate, pair = [a], [a], [a, b]
    for k in range(1, 12):
        straight.append(p * straight[-1] - q)
        alternate.append(alternate[-1] + k * p)
        pair.append(pair[-1] + p * pair[-2])
    fish, caught = rng.randint(20, 60) * 10, rng.randint(3, 9) * 10
    stock = fish
    for _ in range(3):
        stock = 2 * stock - caught
    question, value, proof = in_turn(rng, (
        (f"A sequence starts with a_1 = {a}, and a_(n+1) = {p}·a_n - {q} for every n. "
         f"What is a_{n}?", straight[n - 1], _iterated(f"{p}*t - {q}", str(a), n - 1)),
        (f"Let a_1 = {a} and a_2 = {b}. Each further term is the term before it plus {p} times "
         f"the term before that. Find a_{n}.", pair[n - 1],
         _iterated(f"(t[1], t[1] + {p}*t[0])", f"({a}, {b})", n - 2) + "[1]"),
        (f"The first term of a sequence is {a}. To get from term number n to the next one, add "
         f"{p} times n. What is term number {n + 4}?", alternate[n + 3],
         f"{a} + {p}*summation(k, (k, 1, {n + 3}))"),
        (f"A fish farm starts with {fish} fish. Every year the number of fish doubles, and then "
         f"{caught} fish are sold. How many fish are there after 3 years?", stock,
         f"{fish}*2**3 - {caught}*(2**2 + 2 + 1)"),
    ))  # fmt: skip
    return number(rng, question, value, proof) if value > 5 and straight[1] > a else None


@tasks.family("sequences", difficulty=4, items=12)
def sums_of_terms(rng: random.Random) -> Item | None:
    """Sums of many terms."""
    a, d, n = rng.randint(2, 15), rng.randint(2, 7), rng.randint(15, 40)
    k, top = rng.randint(6, 13), rng.randint(150, 400)
    q, m = rng.randint(2, 3), rng.randint(5, 8)
    first, weeks, more, who = (
        rng.randint(5, 20),
        rng.randint(8, 20),
        rng.randint(2, 6),
        person(rng),
    )
    low = 2 * rng.randint(10, 30) + 1
    high = low + 2 * rng.randint(15, 40)
    question, value, proof = in_turn(rng, (
        (f"What is the sum of the first {n} terms of the arithmetic sequence "
         f"{_listed([a, a + d, a + 2 * d])}, ...?", n * (2 * a + (n - 1) * d) // 2,
         f"summation({a} + {d}*k, (k, 0, {n - 1}))"),
        (f"Find the sum of all positive multiples of {k} that are less than {top}.",
         sum(range(k, top, k)), f"{k} * summation(k, (k, 1, {(top - 1) // k}))"),
        (f"What is the sum of the first {m} terms of the geometric sequence "
         f"{_listed([a, a * q, a * q * q])}, ...?", a * (q**m - 1) // (q - 1),
         f"summation({a}*{q}**k, (k, 0, {m - 1}))"),
        (f"{who} saves ${first} in the first week and in every further week ${more} more than in "
         f"the week before. How many dollars does {who} save in {weeks} weeks?",
         weeks * first + more * weeks * (weeks - 1) // 2,
         f"summation({first} + {more}*k, (k, 0, {weeks - 1}))"),
        (f"Add up all odd numbers from {low} to {high}, both included. What is the sum?",
         sum(range(low, high + 1, 2)), f"{(high + 1) // 2}**2 - {(low - 1) // 2}**2"),
        (f"Compute 1² + 2² + 3² + ... + {n}².", n * (n + 1) * (2 * n + 1) // 6,
         f"summation(k**2, (k, 1, {n}))"),
    ))  # fmt: skip
    return number(rng, question, value, proof)


@tasks.family("sequences", difficulty=3, items=12)
def formulas(rng: random.Random) -> Item | None:
    """A formula for term number n."""
    a, d, q = (
        rng.randint(-6, 20),
        rng.choice((-6, -5, -3, 2, 3, 4, 5, 6, 7, 8, 9)),
        rng.randint(2, 6),
    )
    c = rng.randint(1, 9)
    table, seat = rng.randint(2, 5), rng.randint(3, 8)
    if a == d:
        return None
    rest = a - d
    straight = f"{d}n {'+' if rest > 0 else '-'} {abs(rest)}"
    chairs = f"{2 * table}n + 2"
    text, values, answer, proof = in_turn(rng, (
        ("Find a formula for the nth term of the sequence {}, ...",
         [a + d * k for k in range(4)], straight, f"interpolate({[a, a + d]}, n)"),
        ("The sequence {}, ... is geometric. Give a formula for its nth term, where the first "
         "term belongs to n = 1.", [c * q**k for k in range(4)],
         f"{c} \\cdot {q}^{{n-1}}" if c > 1 else f"{q}^{{n-1}}", f"{c} * {q}**(n - 1)"),
        ("Give a formula in n for the nth term of {}, ...", [k * k + c for k in range(1, 6)],
         f"n^2 + {c}", f"interpolate({[k * k + c for k in range(1, 6)]}, n)"),
        (f"Tables are put together in a row. Each table has room for {table} chairs on each long "
         "side, and one chair stands at each end of the row. How many chairs are there at a row "
         "of n tables? Give a formula.", [], chairs,
         f"2*n*{table} + 2"),
        (f"A tank holds {seat * 50} litres. Every minute {seat} litres flow out. Give a formula "
         "for the number of litres in it after n minutes.", [], f"{seat * 50} - {seat}n",
         f"interpolate([({0}, {seat * 50}), (1, {seat * 49})], n)"),
        ("Write the nth term of the sequence {}, ... as a formula in n.",
         [d * (k + 1) ** 2 for k in range(4)], f"{d}n^2",
         f"interpolate({[d * (k + 1) ** 2 for k in range(4)]}, n)"),
    ))  # fmt: skip
    return symbolic(rng, text.format(_listed(values)), answer, proof)


@tasks.family("sequences", difficulty=3, items=12)
def positions(rng: random.Random) -> Item | None:
    """How many terms there are, and what stands where."""
    k, low, high = rng.randint(6, 19), rng.randint(80, 200), rng.randint(400, 900)
    cycle = [rng.randint(1, 9) for _ in range(rng.randint(4, 6))]
    place, a, d = rng.randint(50, 300), rng.randint(3, 25), rng.randint(4, 13)
    limit, pages = rng.randint(30, 90) * 10, rng.randint(110, 480)
    posts, gap = rng.randint(12, 45), rng.randint(3, 9)
    if len(set(cycle)) < len(cycle) or low % k == 0 or (limit - a) % d == 0:
        return None
    question, value, proof = in_turn(rng, (
        (f"How many multiples of {k} are there between {low} and {high}?", high // k - low // k,
         f"len([n for n in range({low}, {high} + 1) if n % {k} == 0])"),
        (f"The digits {_listed(cycle)} are written down again and again in this order. "
         f"Which digit stands in position {place}?", cycle[(place - 1) % len(cycle)],
         f"({cycle}*{place})[{place - 1}]"),
        (f"What is the first term of the sequence {_listed([a, a + d, a + 2 * d])}, ... that is "
         f"greater than {limit}?", a + d * ((limit - a) // d + 1),
         f"{a} + {d}*ceiling(Rational({limit - a}, {d}))"),
        (f"The pages of a book are numbered from 1 to {pages}. How many digits are printed for "
         "all page numbers together?", 9 + 180 + 3 * (pages - 99),
         f"sum([len(str(n)) for n in range(1, {pages + 1})])"),
        (f"Along a straight road stand {posts} lamp posts, {gap} m apart from one to the next. "
         "How many metres are there from the first post to the last one?", (posts - 1) * gap,
         f"interpolate([0, {gap}], {posts})"),
        (f"How many terms does the sequence {_listed([a, a + d, a + 2 * d])}, ..., "
         f"{a + d * place} have?", place + 1, f"solve({a} + {d}*(x - 1) - {a + d * place}, x)[0]"),
    ))  # fmt: skip
    return number(rng, question, value, proof)
