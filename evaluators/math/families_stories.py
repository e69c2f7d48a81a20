"""Word problems of two to four steps. Each family has six stories, told with other people."""

from __future__ import annotations

import random
from fractions import Fraction

from asking import TIMES, in_turn, money, number, people, tasks

from evomerge_compiler.scoring.authoring import Item


@tasks.family("word_problems", difficulty=2, items=12)
def shopping(rng: random.Random) -> Item | None:
    """Prices, amounts and change."""
    p, q = people(rng, 2)
    a, b, c, d = rng.randint(3, 9), rng.randint(2, 8), rng.randint(3, 12), rng.randint(2, 7)
    note = rng.choice((50, 100))
    cents = rng.choice((25, 40, 60, 75, 80))
    fruit = rng.choice(("apples", "oranges", "lemons", "mangoes", "peaches"))
    if a == b or a * c + b * d >= note - 2:
        return None
    question, value, proof = in_turn(rng, (
        (f"{p} buys {a} notebooks at ${c} each and {b} pens at ${d} each and pays with a "
         f"${note} note. How many dollars does {p} get back?", note - a * c - b * d,
         f"{note} - ({a}*{c} + {b}*{d})"),
        (f"At the market, {fruit} cost {cents} cents apiece. {p} buys {4 * a} of them and {q} "
         f"buys {4 * b}. How many dollars do the two spend together?",
         Fraction(4 * (a + b) * cents, 100), f"({4 * a} + {4 * b}) * Rational({cents}, 100)"),
        (f"A cinema ticket costs ${c + 4} for adults and ${c} for children. A group of {a} adults "
         f"and {3 * b} children goes to the cinema. What do they pay in dollars altogether?",
         a * (c + 4) + 3 * b * c, f"({a} + {3 * b})*{c} + 4*{a}"),
        (f"{p} wants to buy a game for ${20 * d + 8}. {p} has ${6 * c} already and puts aside $4 "
         "a week. After how many weeks is there enough money?",
         -(-(20 * d + 8 - 6 * c) // 4), f"ceiling(Rational({20 * d + 8} - {6 * c}, 4))"),
        (f"A box of {2 * b} muffins costs ${2 * b * 2 - 3}, and a single muffin costs $2. {p} "
         f"needs {2 * b * a + d} muffins and buys as many full boxes as possible without getting "
         f"too many, and the rest one by one. How many dollars is that?",
         (2 * b * a + d) // (2 * b) * (4 * b - 3) + (2 * b * a + d) % (2 * b) * 2,
         f"floor(Rational({2 * b * a + d}, {2 * b}))*{4 * b - 3} + "
         f"Mod({2 * b * a + d}, {2 * b})*2"),
        (f"{p} buys {a} kg of rice at ${d} per kg and a bag of flour for ${c}. {q} buys {b} kg of "
         f"the same rice and no flour. How many dollars more than {q} does {p} spend?",
         a * d + c - b * d, f"{c} + ({a} - {b})*{d}"),
    ))  # fmt: skip
    return number(rng, question, value, proof) if value > 4 else None


@tasks.family("word_problems", difficulty=3, items=12)
def journeys(rng: random.Random) -> Item | None:
    """Speeds, distances and times."""
    p, q = people(rng, 2)
    slow, faster, hours = 4 * rng.randint(10, 18), 4 * rng.randint(3, 8), rng.randint(2, 5)
    fast, half = slow + faster, rng.randint(1, 3) * 30
    per, litres, price = rng.randint(5, 8), rng.randint(20, 45), rng.choice((1.5, 1.6, 1.8))
    question, value, proof = in_turn(rng, (
        (f"A bus drives for {hours} hours at {slow} km/h and then for {half} minutes at {fast} "
         "km/h. How many kilometres does it cover in all?",
         hours * slow + Fraction(half * fast, 60),
         f"{hours}*{slow} + {fast}*Rational({half}, 60)"),
        (f"Two trains leave the same station at the same time in opposite directions, one at "
         f"{slow} km/h and the other at {fast} km/h. How many kilometres apart are they after "
         f"{hours} hours and 15 minutes?", Fraction((slow + fast) * (4 * hours + 1), 4),
         f"({slow} + {fast})*({hours} + Rational(1, 4))"),
        (f"{p} cycles to a lake {hours * 18} km away at 12 km/h and comes back along the same way "
         f"at 18 km/h. How many hours does {p} ride altogether?",
         hours + Fraction(hours * 18, 12), f"{hours * 18}*(Rational(1, 12) + Rational(1, 18))"),
        (f"A car uses {per} litres of fuel for every 100 km. One litre costs ${price:.2f}. How "
         f"many dollars does the fuel for a trip of {hours * 150} km cost?",
         Fraction(hours * 150 * per, 100) * Fraction(str(price)),
         f"{hours * 150}/100*{per}*{price}"),
        (f"{p} starts walking at 5 km/h. {q} follows {half} minutes later on a bicycle at 15 "
         f"km/h. After how many minutes of cycling does {q} catch up with {p}?", Fraction(half, 2),
         f"solve(15*x - 5*(x + {half}), x)[0]"),
        (f"A ferry needs {litres} minutes for one crossing and waits {per} minutes at each end "
         f"before it goes back. It starts its first crossing at 8:00. How many minutes after 8:00 "
         f"does it finish crossing number {hours + 2}?",
         (hours + 2) * litres + (hours + 1) * per,
         f"interpolate([{litres}, {2 * litres + per}], {hours + 2})"),
    ))  # fmt: skip
    return (
        number(rng, question, value, proof) if (Fraction(value) * 100).denominator == 1 else None
    )


@tasks.family("word_problems", difficulty=3, items=12)
def sharing(rng: random.Random) -> Item | None:
    """Who has how many."""
    p, q, r = people(rng, 3)
    x, k, m, n = rng.randint(6, 24), rng.randint(2, 4), rng.randint(3, 14), rng.randint(3, 9)
    things = rng.choice(("marbles", "stamps", "postcards", "seashells", "trading cards", "badges"))
    question, value, proof = in_turn(rng, (
        (f"{p} has {TIMES[k]} as many {things} as {q}, and {q} has {m} more than {r}. {r} has "
         f"{x}. How many {things} do the three have together?", x + (x + m) * (k + 1),
         f"{x} + ({x} + {m}) + {k}*({x} + {m})"),
        (f"{p} and {q} have {2 * x + m} {things} in all. {q} has {m} more than {p}. "
         f"How many does {q} have?", x + m, f"({2 * x + m} + {m})/2"),
        (f"{p} collects {k * n * 6} {things} and gives half of them to {q}. Of those that are "
         f"left, a third goes to {r}. How many {things} does {p} keep?", k * n * 2,
         f"{k * n * 6}*Rational(1, 2)*Rational(2, 3)"),
        (f"{x * 4 + n} sweets are shared among {x} children so that every child gets the same "
         f"number and as few as possible are left over. {p} is one of the children and gives one "
         f"sweet away. How many sweets does {p} have now?", (x * 4 + n) // x - 1,
         f"floor(Rational({x * 4 + n}, {x})) - 1"),
        (f"A grandfather divides ${(2 * k + 3) * x} among {p}, {q} and {r} in the ratio "
         f"{k}:{k + 1}:2. How many dollars does {q} get?", (k + 1) * x,
         f"{(2 * k + 3) * x}*Rational({k} + 1, 2*{k} + 3)"),
        (f"If {p} gave {m} {things} to {q}, both would have the same number. {q} has {x} {things} "
         f"now. How many does {p} have now?", x + 2 * m,
         f"solve((x - {m}) - ({x} + {m}), x)[0]"),
    ))  # fmt: skip
    return number(rng, question, value, proof)


@tasks.family("word_problems", difficulty=4, items=12)
def working_together(rng: random.Random) -> Item | None:
    """Rates of work and flow."""
    p, q = people(rng, 2)
    a, b = rng.choice(((3, 6), (4, 12), (6, 12), (10, 15), (12, 24), (20, 30), (6, 30), (12, 36)))
    together = Fraction(a * b, a + b)
    men, days, fewer = rng.randint(4, 12), rng.randint(6, 20), rng.randint(2, 3)
    per, minutes, pages = rng.randint(12, 40), rng.randint(5, 12), rng.randint(2, 6)
    inflow, outflow = rng.randint(15, 30), rng.randint(4, 12)
    if men * days % (men - fewer):
        return None
    question, value, proof = in_turn(rng, (
        (f"{p} paints a fence alone in {a} hours, {q} needs {b} hours for it. How many hours do "
         "they need if they paint it together?", together,
         f"1/(Rational(1, {a}) + Rational(1, {b}))"),
        (f"{men} workers need {days} days for a job. How many days do {men - fewer} workers need "
         "for it, if everyone works equally fast?", Fraction(men * days, men - fewer),
         f"{days}*Rational({men}, {men} - {fewer})"),
        (f"A machine prints {per} pages a minute. A second machine prints {pages} pages a minute "
         f"more. How many pages do both print in {minutes} minutes, if the second one starts 2 "
         "minutes after the first?", per * minutes + (per + pages) * (minutes - 2),
         f"{2 * per} + ({2 * per} + {pages})*({minutes} - 2)"),
        (f"Water runs into an empty tank at {inflow + outflow} litres a minute, and at the same "
         f"time {outflow} litres a minute leak out. The tank holds {inflow * minutes * 4} litres. "
         "After how many minutes is it full?", minutes * 4,
         f"{inflow * minutes * 4}/({inflow + outflow} - {outflow})"),
        (f"Two taps fill a pool. The first alone takes {a} hours and the second alone {b} hours. "
         f"Both run for one hour, and then only the second one is left open. How many more hours "
         "does the second tap need until the pool is full?",
         b * (1 - Fraction(1, a) - Fraction(1, b)),
         f"solve(Rational(1, {a}) + (x + 1)/{b} - 1, x)[0]"),
        (f"{men - 2} hens lay {(men - 2) * minutes} eggs in {minutes + 2} days. At this rate, how "
         f"many eggs do {2 * (men - 2)} hens lay in {3 * (minutes + 2)} days?",
         6 * (men - 2) * minutes,
         f"{2 * (men - 2)}*{3 * (minutes + 2)}*Rational({(men - 2) * minutes}, "
         f"{(men - 2) * (minutes + 2)})"),
    ))  # fmt: skip
    return number(rng, question, value, proof)


@tasks.family("word_problems", difficulty=3, items=12)
def keeping_stock(rng: random.Random) -> Item | None:
    """What comes in and what goes out."""
    p = people(rng, 1)[0]
    a, b, c, d = rng.randint(12, 40), rng.randint(4, 15), rng.randint(3, 9), rng.randint(5, 20)
    shelves, each = rng.randint(4, 9), rng.randint(18, 36)
    goods = rng.choice(("lamps", "kettles", "helmets", "radios", "blankets", "toasters"))
    question, value, proof = in_turn(rng, (
        (f"A library has {shelves} shelves with {each} books on each. {a} books are lent out, and "
         f"{b} are brought back later the same day. How many books stand on the shelves then?",
         shelves * each - a + b, f"{shelves}*{each} + {b} - {a}"),
        (f"A baker makes {c * 24} rolls and packs them into bags of {c}. Every bag is sold for "
         f"$4. {b // 2 + 2} bags are left at the end of the day. How many dollars were taken for "
         "rolls?", (24 - b // 2 - 2) * 4, f"({c * 24}/{c} - {b // 2 + 2})*4"),
        (f"A shop had {a * 4} {goods}. It sold a quarter of them in May and {b} in June, and then "
         f"got a delivery of {d} {goods}. How many {goods} does it have now?", 3 * a - b + d,
         f"{a * 4} - {a * 4}/4 - {b} + {d}"),
        (f"{p} has {a + 10} hens, and each lays {c // 2 + 2} eggs a week. {p} keeps {d} eggs and "
         "sells the rest by the dozen. How many full dozens is that?",
         ((a + 10) * (c // 2 + 2) - d) // 12,
         f"floor(Rational({a + 10}*{c // 2 + 2} - {d}, 12))"),
        (f"A warehouse holds {a * 20} crates. Each day {b + 10} crates leave it and {b} crates "
         f"arrive. How many crates are there after {c} days?", a * 20 - 10 * c,
         f"{a * 20} + {c}*({b} - {b + 10})"),
        (f"A school orders {shelves} boxes of {each} pencils. Each of {c * 10} pupils gets 2 "
         f"pencils. The teachers take {b}. How many pencils remain?",
         shelves * each - 20 * c - b, f"{shelves}*{each} - 2*{c * 10} - {b}"),
    ))  # fmt: skip
    return number(rng, question, value, proof) if value > 5 else None


@tasks.family("word_problems", difficulty=3, items=12)
def earning(rng: random.Random) -> Item | None:
    """Wages, savings and costs."""
    p, q = people(rng, 2)
    wage, hours, over = rng.randint(12, 24), rng.randint(36, 40), rng.randint(3, 9)
    rent, months, start = rng.randint(40, 90) * 10, rng.randint(5, 11), rng.randint(8, 30) * 50
    sold, share = rng.randint(12, 40), rng.choice((5, 8, 10, 12))
    half = Fraction(3, 2)
    question, value, proof = in_turn(rng, (
        (f"{p} earns ${wage} an hour for the first {hours} hours of a week and one and a half "
         f"times as much for every hour after that. This week {p} worked {hours + over} hours. "
         "What are the earnings of the week in dollars?", wage * (hours + half * over),
         f"{wage}*({hours + over}) + {wage}*{over}/2"),
        (f"{p} earns ${wage * 150} a month. ${rent} go to the rent and ${start // 2} "
         f"to everything else. {p} saves the rest. How many dollars does {p} save in {months} "
         "months?",
         (wage * 150 - rent - start // 2) * months,
         f"{months}*{wage * 150} - {months}*({rent} + {start // 2})"),
        (f"{p} has ${start} in an account that pays {share // 2}% simple interest a year, always "
         "on the first deposit. How many dollars are in the account after 3 years?",
         start + Fraction(3 * start * (share // 2), 100),
         f"{start}*(1 + 3*Rational({share // 2}, 100))"),
        (f"A seller gets ${wage * 10} a week and {share}% of the sales on top. Last week {q} sold "
         f"goods for ${sold * 100}. How many dollars did {q} earn as a seller that week?",
         wage * 10 + sold * share, f"{wage * 10} + {sold * 100}*{share}/100"),
        (f"Phone plan A costs ${wage + 13} a month for everything. Plan B costs ${wage} a month "
         f"and {share} cents for each minute. {p} talks {sold * 5} minutes a month. How many "
         "dollars is plan B in that month?", wage + Fraction(share * sold * 5, 100),
         f"{wage} + Rational({share}, 100)*{sold * 5}"),
        (f"{p} buys {sold} umbrellas for {money(sold * 6)} and sells all but {over} of them at "
         "$11 each. How many dollars of profit does that make?", (sold - over) * 11 - sold * 6,
         f"{sold}*(11 - 6) - {over}*11"),
    ))  # fmt: skip
    return number(rng, question, value, proof) if value > 5 else None


def _clock(minutes: int) -> str:
    """A time of day from its minutes since midnight."""
    return f"{minutes // 60}:{minutes % 60:02}"


@tasks.family("word_problems", difficulty=3, items=12)
def timetables(rng: random.Random) -> Item | None:
    """Times of day, weeks and doses."""
    p = people(rng, 1)[0]
    start, lesson = 60 * rng.randint(7, 9) + 5 * rng.randint(0, 11), rng.randint(8, 11) * 5
    count, pause = rng.randint(3, 6), rng.choice((5, 10, 15))
    gap, dose, weeks = rng.choice((4, 6, 8, 12)), rng.choice((2, 3)), rng.randint(2, 4)
    pages, speed = rng.randint(8, 18) * 20, rng.choice((15, 20, 24, 30))
    end = start + count * lesson + (count - 1) * pause
    he = p.she
    question, value, proof = in_turn(rng, (
        (f"School starts at {_clock(start)}. There are {count} lessons of {lesson} minutes with "
         f"breaks of {pause} minutes between them. How many minutes after {_clock(start)} is "
         "school over?", end - start, f"{count}*({lesson} + {pause}) - {pause}"),
        (f"{p} takes {dose} tablets every {gap} hours, day and night. A pack holds 24 tablets. "
         f"How many packs does {p} need for {weeks} weeks?",
         -(-weeks * 7 * 24 // gap * dose // 24),
         f"ceiling(Rational({weeks}*7*24*{dose}, {gap}*24))"),
        (f"A film starts at {_clock(start + 600)} and ends at {_clock(start + 600 + lesson * 3)}. "
         f"It is interrupted by {count - 1} blocks of advertising of {pause - 1} minutes each. "
         "How many minutes long is the film itself?", lesson * 3 - (count - 1) * (pause - 1),
         f"({start + 600 + lesson * 3} - {start + 600}) - ({count} - 1)*({pause} - 1)"),
        (f"{p} reads {speed} pages an hour. A book has {pages} pages, and {he} reads half an hour "
         "every day. After how many days is the book finished?",
         -(-pages * 2 // speed), f"ceiling({pages}/({speed}*Rational(1, 2)))"),
        (f"A clock loses {count} minutes every {gap} hours. It is set right at noon on Monday. "
         f"How many minutes is it slow at noon on {'Wednesday' if weeks < 3 else 'Thursday'} of "
         "the same week?", (2 if weeks < 3 else 3) * 24 // gap * count,
         f"{2 if weeks < 3 else 3}*24*Rational({count}, {gap})"),
        (f"A train is due at {_clock(start + 300)} but is {lesson} minutes late. {p} arrived at "
         f"the station {pause + 2} minutes before the train was due. How many minutes does {he} "
         f"wait for the train, if {he} spends {pause} of them in a café and does not count "
         "those?", lesson + 2, f"({pause} + 2) + {lesson} - {pause}"),
    ))  # fmt: skip
    return number(rng, question, value, proof)
