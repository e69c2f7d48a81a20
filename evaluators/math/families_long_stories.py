"""Word problems of five and more steps."""

from __future__ import annotations

import random
from fractions import Fraction
from math import ceil

from asking import in_turn, number, people, tasks

from evomerge_compiler.scoring.authoring import Item


@tasks.family("word_problems", difficulty=5, items=12)
def long_stories(rng: random.Random) -> Item | None:
    """Stories in which several quantities are worked out before the last one."""
    p, q, r = people(rng, 3)
    a, b, c, d = (rng.randint(*pair) for pair in ((4, 9), (3, 8), (12, 30), (2, 5)))
    rate = rng.choice((10, 15, 20, 25))
    trees, per_tree, price = rng.randint(15, 40), rng.randint(10, 24) * 5, rng.randint(2, 4)
    bad = rng.choice((5, 10, 20))
    good = Fraction(trees * per_tree * (100 - bad), 100)
    crates = good / 25
    tickets = c * 10
    children = Fraction(tickets * (rate + 20), 100)
    income = children * a + (tickets - children) * 2 * a
    distance = (a + 2) * 30
    laps = [c + b * day for day in range(a)]
    wall = Fraction(2 * (a + b) * 3 - 2 * d)
    question, value, proof = in_turn(rng, (
        (f"An orchard has {trees} trees, and each gives {per_tree} apples. {bad}% of the apples "
         f"are bad and are thrown away. The others are packed into crates of 25, and each full "
         f"crate is sold for ${price * 5}. Picking and packing cost ${b * 20} in all. How many "
         "dollars of profit does the orchard make?", int(crates) * price * 5 - b * 20,
         f"floor({trees}*{per_tree}*(1 - {bad}/100)/25)*{price * 5} - {b * 20}"),
        (f"{tickets} people come to a concert. {rate + 20}% of them are children, who pay ${a}; "
         f"the others pay twice as much. The hall costs ${c * 20} and each of the {b} musicians "
         f"gets ${d * 25}. How many dollars are left over?", income - c * 20 - b * d * 25,
         f"{tickets}*2*{a} - {tickets}*({rate} + 20)/100*{a} - {c * 20} - {b}*{d * 25}"),
        (f"{p}, {q} and {r} drive {distance} km to the coast in a car that uses 6 litres per 100 "
         f"km, and back again. A litre costs $2. They stay for {b} nights in a flat at "
         f"${c * 3} a night, and all three spend ${d * 15} each on food. They share all costs "
         "equally. How many dollars is each share?",
         (Fraction(2 * distance * 6 * 2, 100) + b * c * 3) / 3 + d * 15,
         f"(2*{distance}*6/100*2 + {b}*{c * 3} + 3*{d * 15})/3"),
        (f"On the first day of training {p} swims {c} laps, and on every following day {b} laps "
         f"more than the day before. One lap is 50 m. {q} swims {c + b} laps on each of the same "
         f"{a} days. How many metres more than {q} does {p} swim in the {a} days?",
         50 * (sum(laps) - a * (c + b)),
         f"50*(summation({c} + {b}*k, (k, 0, {a - 1})) - {a}*({c} + {b}))"),
        (f"{p} paints the four walls of a room that is {a} m long, {b} m wide and 3 m high. Two "
         f"doors of {d} m² each are not painted. One litre of paint is enough for 8 m², and the "
         f"walls are painted twice. Paint comes in tins of {d} litres at ${c}. How many dollars "
         "does the paint cost?", ceil(2 * wall / 8 / d) * c,
         f"ceiling((2*({a} + {b})*3 - 2*{d})*2/8/{d})*{c}"),
        (f"A farmer has {c * 4} sheep and {b * 3} goats. A sheep eats {d} kg of hay a day and a "
         f"goat {d + 1} kg. After {a} days the farmer sells half of the sheep. The hay store held "
         f"{(c * 4 * d + b * 3 * (d + 1)) * (a + 10)} kg at the start. How many kilograms of hay "
         f"are left {a + 5} days after the start?",
         (c * 4 * d + b * 3 * (d + 1)) * 10 - 5 * (c * 2 * d + b * 3 * (d + 1)),
         f"{(c * 4 * d + b * 3 * (d + 1)) * (a + 10)} - ({a} + 5)*{b * 3}*({d} + 1)"
         f" - {a}*{c * 4}*{d} - 5*{c * 2}*{d}"),
    ))  # fmt: skip
    if a < b or value <= 10 or (Fraction(value) * 100).denominator != 1:
        return None
    return number(rng, question, value, proof)


@tasks.family("word_problems", difficulty=1, items=12)
def short_stories(rng: random.Random) -> Item | None:
    """Two steps, small numbers: what most models get."""
    p, q = people(rng, 2)
    a, b, c, d = (rng.randint(*pair) for pair in ((12, 40), (3, 11), (2, 9), (4, 15)))
    question, value, proof = in_turn(rng, (
        (f"{p} had {a} balloons. {b} of them burst, and {q} gave {p} {d} new ones. How many "
         f"balloons does {p} have now?", a - b + d, f"{a} + {d} - {b}"),
        (f"There are {c} bowls with {d} plums each and one bowl with {b} plums. How many plums is "
         "that?", c * d + b, f"{b} + {d}*{c}"),
        (f"A ribbon is {c * d + b} cm long. {p} cuts {c} pieces of {d} cm from it. How many "
         "centimetres of ribbon are left?", b, f"{c * d + b} - {c}*{d}"),
        (f"{p} is {a} years old. {q} is {b} years younger. How old will {q} be in {d} years?",
         a - b + d, f"{a} + {d} - {b}"),
        (f"There are {a} people on a bus. At the next stop {b} get off and twice as many get on. "
         "How many people are on the bus then?", a + b, f"{a} - {b} + 2*{b}"),
        (f"{p} plants {c + 1} rows of {d} tulips and {b} rows of {c} roses. How many flowers are "
         "planted?", (c + 1) * d + b * c, f"{c}*({d} + {b}) + {d}"),
    ))  # fmt: skip
    return number(rng, question, value, proof)
