"""Geometry. Lengths and areas are proven with SymPy's shapes, or with another formula."""

from __future__ import annotations

import random
from fractions import Fraction
from math import isqrt

from asking import in_turn, number, person, symbolic, tasks

from evomerge_compiler.scoring.authoring import Item

_TRIPLES = ((3, 4, 5), (5, 12, 13), (8, 15, 17), (7, 24, 25), (20, 21, 29), (9, 40, 41))


def _pi(factor: int | Fraction) -> str:
    """A multiple of π in LaTeX."""
    value = Fraction(factor)
    if value.denominator == 1:
        return f"{value.numerator if value != 1 else ''}\\pi"
    return (
        f"\\frac{{{value.numerator if value.numerator != 1 else ''}\\pi}}{{{value.denominator}}}"
    )


def _root(square: int) -> str:
    """A square root in LaTeX, with squares taken out."""
    outside = max(k for k in range(1, isqrt(square) + 1) if square % (k * k) == 0)
    inside = square // outside**2
    if inside == 1:
        return str(outside)
    return (str(outside) if outside > 1 else "") + f"\\sqrt{{{inside}}}"


def _polygon(*corners: tuple[int, int]) -> str:
    return "abs(Polygon(" + ", ".join(f"Point{corner}" for corner in corners) + ").area)"


@tasks.family("geometry", difficulty=1, items=12)
def rectangles(rng: random.Random) -> Item | None:
    """Sides, perimeters and areas."""
    a, b, c = rng.randint(6, 30), rng.randint(4, 25), rng.randint(2, 9)
    who, unit = person(rng), rng.choice(("cm", "m"))
    side = rng.randint(6, 25)
    if a <= b or a == side:
        return None
    question, value, proof = in_turn(rng, (
        (f"A rectangle has a perimeter of {2 * (a + b)} {unit} and is {a} {unit} long. "
         f"What is its area in square {'metres' if unit == 'm' else 'centimetres'}?",
         a * b, f"{a} * solve(2*{a} + 2*x - {2 * (a + b)}, x)[0]"),
        (f"The area of a rectangular garden is {a * b} m² and one side is {b} m long. {who} puts "
         "a fence around it. How many metres of fence are needed?",
         2 * (a + b), f"2 * ({a * b} / {b} + {b})"),
        (f"A floor of {a} m by {b} m is covered with square tiles of side 50 cm. "
         "How many tiles are needed?", 4 * a * b, f"{a * 100} * {b * 100} / 50**2"),
        (f"A square has an area of {side**2} cm². What is its perimeter in centimetres?",
         4 * side, f"4 * sqrt({side**2})"),
        (f"Each side of a square of side {side} cm is made {c} cm longer. By how many square "
         "centimetres does its area grow?", (side + c) ** 2 - side**2,
         f"{c} * (2*{side} + {c})"),
        (f"A picture of {b} cm by {a} cm has a frame that is {c} cm wide on every side. What is "
         "the area of picture and frame together, in square centimetres?",
         (a + 2 * c) * (b + 2 * c), f"{a}*{b} + 2*{c}*({a} + {b}) + 4*{c}**2"),
    ))  # fmt: skip
    return number(rng, question, value, proof)


@tasks.family("geometry", difficulty=2, items=12)
def right_triangles(rng: random.Random) -> Item | None:
    """Pythagoras with whole numbers."""
    scale = rng.randint(1, 4)
    a, b, c = (scale * side for side in rng.choice(_TRIPLES))
    if c > 90:
        return None
    question, value, proof = in_turn(rng, (
        (f"A right triangle has legs of {a} cm and {b} cm. What is its perimeter in centimetres?",
         a + b + c, f"Triangle(Point(0, 0), Point({a}, 0), Point(0, {b})).perimeter"),
        (f"A straight wire {c} m long runs from the top of a mast to a hook in the ground. The "
         f"hook is {a} m away from the foot of the mast. How many metres tall is the mast?", b,
         f"sqrt({c}**2 - {a}**2)"),
        (f"The hypotenuse of a right triangle measures {c} cm and one leg {b} cm. What is the "
         "area of the triangle in square centimetres?", Fraction(a * b, 2),
         f"{b} * sqrt(({c} - {b}) * ({c} + {b})) / 2"),
        (f"A ship sails {b} km due north and then {a} km due east. "
         "How far is it from its starting point, in kilometres?", c,
         f"Point(0, 0).distance(Point({a}, {b}))"),
        (f"A rectangle is {b} cm long and its diagonal measures {c} cm. What is its perimeter in "
         "centimetres?", 2 * (a + b), f"2 * ({b} + sqrt({c}**2 - {b}**2))"),
        (f"An isosceles triangle has two sides of {c} cm and a base of {2 * a} cm. What is its "
         "area in square centimetres?", a * b,
         f"Triangle(Point(0, 0), Point({2 * a}, 0), Point({a}, {b})).area"),
    ))  # fmt: skip
    return number(rng, question, value, proof)


@tasks.family("geometry", difficulty=2, items=12)
def angles(rng: random.Random) -> Item | None:
    """Angles in triangles and polygons, all in degrees."""
    a, b = rng.randint(24, 96), rng.randint(18, 80)
    n, k = rng.choice((5, 6, 8, 9, 10, 12, 15, 18, 20)), rng.randint(2, 5)
    ratio = rng.choice(
        ((1, 2, 3), (2, 3, 5), (3, 4, 5), (2, 3, 4), (1, 3, 5), (4, 5, 6), (2, 3, 7))
    )
    hour = rng.randint(1, 5)
    part = rng.choice((10, 12, 15, 18, 20))
    question, value, proof = in_turn(rng, (
        (f"Two angles of a triangle measure {a}° and {b}°. How many degrees does the third angle "
         "have?", 180 - a - b, f"180 - ({a} + {b})"),
        (f"What is the size of each interior angle of a regular polygon with {n} sides, "
         "in degrees?", 180 - Fraction(360, n), f"({n} - 2) * 180 / {n}"),
        (f"The angle at the top of an isosceles triangle, between the two equal sides, is "
         f"{2 * (a // 2)}°. How many degrees does each of the other two angles have?",
         90 - a // 2, f"(180 - {2 * (a // 2)}) / 2"),
        (f"The angles of a triangle are in the ratio {ratio[0]} to {ratio[1]} to {ratio[2]}. How "
         "many degrees does the largest angle have?", Fraction(180 * ratio[2], sum(ratio)),
         f"{ratio[2]} * solve({ratio[0]}*x + {ratio[1]}*x + {ratio[2]}*x - 180, x)[0]"),
        (f"What is the sum of the interior angles of a polygon with {n + k} sides, in degrees?",
         (n + k - 2) * 180, f"{n + k} * 180 - 360"),
        (f"How many degrees is the smaller angle between the hands of a clock at "
         f"{hour}:{2 * part}?", abs(30 * hour + Fraction(2 * part, 2) - 12 * part),
         f"Min(Abs(30*{hour} - Rational(11, 2)*{2 * part}), "
         f"360 - Abs(30*{hour} - Rational(11, 2)*{2 * part}))"),
        (f"Two angles together make a straight line. One of them is {k} times as large as the "
         "other. How many degrees does the larger one have?", Fraction(180 * k, k + 1),
         f"{k} * solve(x + {k}*x - 180, x)[0]"),
    ))  # fmt: skip
    if value <= 15 or Fraction(value).denominator > 2 or ("clock" in question and value > 180):
        return None
    return number(rng, question, value, proof)


@tasks.family("geometry", difficulty=3, items=12)
def circles(rng: random.Random) -> Item | None:
    """Circles and their parts, in terms of π."""
    r, d = rng.randint(3, 18), rng.randint(1, 6)
    degrees = rng.choice((30, 40, 45, 60, 72, 90, 120, 135, 150))
    inner = r + d
    question, factor, proof = in_turn(rng, (
        (f"What is the area of a circle with a diameter of {2 * r} cm, in square centimetres?",
         r * r, f"Circle(Point(0, 0), {r}).area"),
        (f"A circle has a circumference of ${_pi(2 * r)}$ cm. What is its area in square "
         "centimetres?", r * r, f"pi * (({2 * r}*pi) / (2*pi))**2"),
        (f"What is the area of a sector with radius {r} cm and central angle {degrees}°, in "
         "square centimetres?", Fraction(r * r * degrees, 360),
         f"{r}**2 * ({degrees}*pi/180) / 2"),
        (f"A circular pond has a radius of {r} m. Around it runs a path that is {d} m wide. "
         "What is the area of the path in square metres?", inner**2 - r**2,
         f"pi * {d} * (2*{r} + {d})"),
        (f"How long is an arc of a circle with radius {r} cm if its central angle is {degrees}°? "
         "Give the length in centimetres.", Fraction(2 * r * degrees, 360),
         f"{r} * ({degrees}*pi/180)"),
        (f"A square with sides of {2 * r} cm has the largest possible circle cut out of it. "
         "What is the area of that circle in square centimetres?", r * r,
         f"Circle(Point({r}, {r}), {r}).area"),
    ))  # fmt: skip
    exact = rng.choice(("Leave π in your answer.", "Give the exact answer in terms of π."))
    return symbolic(rng, f"{question} {exact}", _pi(factor), proof)


@tasks.family("geometry", difficulty=3, items=12)
def solids(rng: random.Random) -> Item | None:
    """Volumes and surfaces of boxes, prisms and pyramids."""
    a, b, c = rng.randint(3, 14), rng.randint(3, 14), rng.randint(4, 20)
    deep = rng.randint(2, 6) * 10
    if len({a, b, c}) < 3:
        return None
    question, value, proof = in_turn(rng, (
        (f"A box is {a} cm wide, {b} cm deep and {c} cm high. What is its total surface area in "
         "square centimetres?", 2 * (a * b + b * c + a * c), f"({a} + {b} + {c})**2 - "
         f"({a}**2 + {b}**2 + {c}**2)"),
        (f"A cube has a total surface area of {6 * a * a} cm². What is its volume in cubic "
         "centimetres?", a**3, f"sqrt({6 * a * a} / 6)**3"),
        (f"An aquarium is {10 * a} cm long and {10 * b} cm wide. The water in it stands {deep} cm "
         "high. How many litres of water does it hold? (One litre is 1000 cubic centimetres.)",
         Fraction(100 * a * b * deep, 1000), f"{10 * a} * {10 * b} * {deep} / 1000"),
        (f"A pyramid has a square base with sides of {a} cm and a height of {3 * c} cm. What is "
         "its volume in cubic centimetres?", a * a * c, f"{a}**2 * {3 * c} / 3"),
        (f"A block of wood of {a * 2} cm by {b * 2} cm by {c * 2} cm is sawn into cubes with an "
         "edge of 2 cm. How many cubes are there?", a * b * c,
         f"({a * 2} * {b * 2} * {c * 2}) / 2**3"),
        (f"A prism is {c} cm long. Its ends are right triangles with legs of {a} cm and {b} cm. "
         "What is its volume in cubic centimetres?", Fraction(a * b * c, 2),
         f"{c} * Triangle(Point(0, 0), Point({a}, 0), Point(0, {b})).area"),
    ))  # fmt: skip
    return number(rng, question, value, proof)


@tasks.family("geometry", difficulty=4, items=12)
def round_solids(rng: random.Random) -> Item | None:
    """Cylinders, cones and spheres: in terms of π, or rounded."""
    r, h = rng.randint(2, 12), rng.randint(4, 20)
    k = 3 * rng.randint(1, 5)
    a, b, c = rng.choice(_TRIPLES)
    question, factor, proof = in_turn(rng, (
        (f"A cylinder has a radius of {r} cm and a height of {h} cm. What is its volume in cubic "
         "centimetres?", r * r * h, f"integrate(pi*{r}**2, (x, 0, {h}))"),
        (f"What is the volume of a cone with base radius {r} cm and height {k} cm, in cubic "
         "centimetres?", Fraction(r * r * k, 3), f"integrate(pi*({r}*x/{k})**2, (x, 0, {k}))"),
        (f"A ball has a diameter of {2 * r} cm. What is its surface area in square centimetres?",
         4 * r * r, f"diff(4*pi*x**3/3, x).subs(x, {r})"),
        (f"A sphere has a radius of {k} cm. What is its volume in cubic centimetres?",
         Fraction(4 * k**3, 3), f"integrate(pi*({k}**2 - x**2), (x, -{k}, {k}))"),
        (f"A closed tin can has a radius of {r} cm and a height of {h} cm. What is its total "
         "surface area in square centimetres?", 2 * r * (r + h), f"2*pi*{r}**2 + 2*pi*{r}*{h}"),
        (f"A cone has a base radius of {a} cm and a height of {b} cm. What is the area of its "
         "curved side (without the base) in square centimetres?", a * c,
         f"pi * {a} * sqrt({a}**2 + {b}**2)"),
    ))  # fmt: skip
    exact = rng.choice(("Leave π in your answer.", "Give the exact answer in terms of π."))
    return symbolic(rng, f"{question} {exact}", _pi(factor), proof)


@tasks.family("geometry", difficulty=4, items=12)
def coordinates(rng: random.Random) -> Item | None:
    """Points and lines in the plane."""
    a, b, c, d, e, f = (rng.randint(-8, 9) for _ in range(6))
    across, up = c - a, d - b
    doubled = abs((c - a) * (f - b) - (e - a) * (d - b))
    if not across or not up or doubled < 6 or isqrt(across**2 + up**2) ** 2 == across**2 + up**2:
        return None
    slope = Fraction(up, across)
    start = b - slope * a
    p, q = f"Point({a}, {b})", f"Point({c}, {d})"
    kind = in_turn(rng, range(5))
    if kind == 0:
        text = f"What is the exact distance between the points ({a}, {b}) and ({c}, {d})?"
        return symbolic(rng, text, _root(across**2 + up**2), f"{p}.distance({q})")
    if kind == 1:
        if slope.denominator > 2 or start.denominator > 2 or not start:
            return None
        text = (f"Find the equation of the straight line through ({a}, {b}) and ({c}, {d}) "
                "in the form y = mx + b.")  # fmt: skip
        line = f"y = {_latex(slope, 'x')} {'+' if start > 0 else '-'} {_latex(abs(start), '')}"
        return symbolic(rng, text, line, f"Eq(y, solve(Line({p}, {q}).equation(x, y), y)[0])")
    if kind == 2:
        text = (f"What is the area of the triangle with corners ({a}, {b}), ({c}, {d}) and "
                f"({e}, {f})?")  # fmt: skip
        proof = _polygon((a, b), (c, d), (e, f))
        return number(rng, text, Fraction(doubled, 2), proof)
    if kind == 3:
        text = (f"The midpoint of a segment is ({c}, {d}) and one of its ends is ({a}, {b}). "
                "What is the sum of the coordinates of the other end?")  # fmt: skip
        return number(rng, text, 2 * c - a + 2 * d - b, f"sum(({q}*2 - {p}).args)")
    text = (f"A line through ({a}, {b}) has slope {2 * e}. At which value of y does it meet the "
            "vertical axis?")  # fmt: skip
    proof = f"Line({p}, slope={2 * e}).equation(x, y).subs(x, 0)"
    return number(rng, text, b - 2 * e * a, f"solve({proof}, y)[0]") if a and e else None


def _latex(value: Fraction, name: str) -> str:
    """A factor before a name in LaTeX."""
    sign, size = "-" if value < 0 else "", abs(value)
    if size.denominator > 1:
        return f"{sign}\\frac{{{size.numerator}}}{{{size.denominator}}}{name}"
    return f"{sign}{'' if name and size == 1 else size}{name}"


@tasks.family("geometry", difficulty=4, items=12)
def composite_shapes(rng: random.Random) -> Item | None:
    """Shapes made of others, and similar shapes."""
    a, b = rng.randint(10, 24), rng.randint(8, 20)
    c, d = rng.randint(3, 7), rng.randint(2, 6)
    factor = rng.randint(2, 4)
    half = rng.randint(2, 8)
    if a == b:
        return None
    question, value, proof, places = in_turn(rng, (
        (f"From one corner of a rectangle of {a} cm by {b} cm a smaller rectangle of {c} cm by "
         f"{d} cm is cut away. What is the area of the rest in square centimetres?",
         Fraction(a * b - c * d),
         _polygon((0, 0), (a, 0), (a, b - d), (a - c, b - d), (a - c, b), (0, b)), None),
        (f"A lawn of {a} m by {b} m is surrounded by a path that is {d} m wide on all sides. "
         "What is the area of the path in square metres?",
         Fraction(2 * d * (a + b) + 4 * d * d), f"({a} + 2*{d})*({b} + 2*{d}) - {a}*{b}", None),
        (f"Two triangles are similar. The sides of the larger one are {factor} times as long. The "
         f"smaller one has an area of {a * c} cm². What is the area of the larger one in square "
         "centimetres?", Fraction(a * c * factor**2), f"{factor} * ({factor} * {a * c})", None),
        (f"A tree casts a shadow of {c * factor * 2} m. At the same time a pole of {d} m casts a "
         f"shadow of {c} m. How many metres tall is the tree?", Fraction(2 * factor * d),
         f"solve(x/{c * factor * 2} - Rational({d}, {c}), x)[0]", None),
        (f"A window is a rectangle {2 * half} dm wide and {a} dm high with a half circle on top "
         "of it, as wide as the rectangle. What is the area of the window in square decimetres?",
         None, f"{2 * half}*{a} + pi*{half}**2/2", 1),
        (f"A trapezium has parallel sides of {a} cm and {a + c} cm, and they are {b} cm apart. "
         "What is its area in square centimetres?", Fraction((2 * a + c) * b, 2),
         _polygon((0, 0), (a + c, 0), (a, b), (0, b)), None),
    ))  # fmt: skip
    if value is None:
        value = Fraction(2 * half * a) + Fraction(half**2 * 314159265358979, 2 * 10**14)
    return number(rng, question, value, proof, places=places)
