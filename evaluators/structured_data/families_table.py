"""A question about one or two small tables, with a short answer.

Each item also states its question in SQL, over tables ``t`` (and ``u``) with the columns of the
prompt, so that anyone can check the answer.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from lexicon import CITIES, dealt, goods, people
from tasks import ITEMS_PER_FAMILY, family
from themes import RECORDS, Record, records, rows
from writers import as_csv, as_fixed_width, as_html, as_markdown, cell, fence

from evomerge_compiler.scoring.authoring import Item

_FORMATS: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("markdown", as_markdown), ("csv", as_csv), ("", as_fixed_width), ("html", as_html),
)  # fmt: skip


def _drawn(rng: random.Random, found: list[Record]) -> str:
    language, write = dealt(rng, "formats", _FORMATS)
    return fence(language, write(rows(found)))


def _asked(rng: random.Random, tables: str, question: str, form: str) -> str:
    closing = f"Answer with the {form} only."
    return rng.choice((
        f"{tables}\n\n{question} {closing}",
        f"{question} {closing}\n\n{tables}",
        f"Answer a question about this data.\n\n{tables}\n\nQuestion: {question}\n{closing}",
    ))  # fmt: skip


def _number(prompt: str, value: float, sql: str) -> Item:
    value = int(value) if value == int(value) else value
    fields = {"form": "number", "value": json.dumps(value), "choices": "[]", "sql": sql}
    return Item(prompt, str(value), fields)


def _text(prompt: str, value: str, choices: list[str], sql: str) -> Item:
    fields = {"form": "text", "value": json.dumps(value, ensure_ascii=False),
              "choices": json.dumps(sorted(set(choices)), ensure_ascii=False),
              "sql": sql}  # fmt: skip
    return Item(prompt, value, fields)


def _numbers(record: Record) -> list[str]:
    """Columns with numbers, the most telling last."""
    return [key for key, value in record.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)]  # fmt: skip


def _sql(value: Any) -> str:
    return "'" + cell(value).replace("'", "''") + "'"


# What identifies a record of each theme.
_NAMED = {"stock": "item", "staff": "name", "trips": "trip", "books": "title",
          "members": "name", "parcels": "parcel"}  # fmt: skip


def _themed(rng: random.Random, count: int) -> tuple[str, list[Record]]:
    """The naming column and the records of a theme."""
    theme = dealt(rng, "themes", list(_NAMED))
    return _NAMED[theme], RECORDS[theme](rng, count)


@family("table", difficulty=1, items=ITEMS_PER_FAMILY)
def lookup(rng: random.Random) -> Item:
    """One cell, found by another of its row."""
    name, found = _themed(rng, 6)
    asked = rng.choice([k for k, v in found[0].items() if k != name and not isinstance(v, bool)])
    target = rng.choice(found)
    question = rng.choice((
        f"What is the `{asked}` where `{name}` is {target[name]}?",
        f"Look up the `{asked}` in the row whose `{name}` is {target[name]}.",
    ))  # fmt: skip
    sql = f'SELECT "{asked}" FROM t WHERE "{name}" = {_sql(target[name])}'
    table = _drawn(rng, found)
    if isinstance(target[asked], str):
        prompt = _asked(rng, table, question, "value")
        return _text(prompt, target[asked], [record[asked] for record in found], sql)
    return _number(_asked(rng, table, question, "number"), target[asked], sql)


@family("table", difficulty=3, items=ITEMS_PER_FAMILY)
def count(rng: random.Random) -> Item | None:
    """Rows that meet one condition, or two."""
    found = records(rng, rng.choice((8, 9, 10)))
    flag, number = list(found[0])[-1], _numbers(found[0])[-1]
    wanted = rng.random() < 0.5
    limit = int(sorted(record[number] for record in found)[rng.randint(2, 5)])
    chosen = [record for record in found if record[flag] is wanted]
    words = f"have `{flag}` {str(wanted).lower()}"
    sql = f'SELECT COUNT(*) FROM t WHERE "{flag}" = {_sql(wanted)}'
    if rng.random() < 0.6:
        chosen = [record for record in chosen if record[number] > limit]
        words += f" and `{number}` greater than {limit}"
        sql += f' AND CAST("{number}" AS REAL) > {limit}'
    if not chosen:
        return None
    question = f"How many rows {words}?"
    return _number(_asked(rng, _drawn(rng, found), question, "number"), len(chosen), sql)


@family("table", difficulty=2, items=ITEMS_PER_FAMILY)
def extreme(rng: random.Random) -> Item | None:
    """The row with the highest or lowest number, with no ties."""
    name, found = _themed(rng, 8)
    number = rng.choice(_numbers(found[0]))
    if len({record[number] for record in found}) < len(found):
        return None
    word, order, pick = rng.choice((("highest", "DESC", max), ("lowest", "ASC", min)))
    best = pick(found, key=lambda record: record[number])
    question = f"Which `{name}` has the {word} `{number}`?"
    sql = f'SELECT "{name}" FROM t ORDER BY CAST("{number}" AS REAL) {order} LIMIT 1'
    prompt = _asked(rng, _drawn(rng, found), question, "value")
    return _text(prompt, best[name], [record[name] for record in found], sql)


@family("table", difficulty=3, items=ITEMS_PER_FAMILY)
def difference(rng: random.Random) -> Item | None:
    """How far two rows are apart."""
    name, found = _themed(rng, 7)
    number = _numbers(found[0])[-1]
    high, low = sorted(rng.sample(found, 2), key=lambda record: record[number], reverse=True)
    gap = round(high[number] - low[number], 2)
    if gap == 0:
        return None
    question = rng.choice((
        f"By how much is the `{number}` of {high[name]} higher than that of {low[name]}?",
        f"What is the `{number}` of {high[name]} minus the `{number}` of {low[name]}?",
    ))  # fmt: skip
    one, other = (f'(SELECT "{number}" FROM t WHERE "{name}" = {_sql(record[name])})'
                  for record in (high, low))  # fmt: skip
    prompt = _asked(rng, _drawn(rng, found), question, "number")
    return _number(prompt, gap, f"SELECT ROUND({one} - {other}, 2)")


@family("table", difficulty=4, items=ITEMS_PER_FAMILY)
def total(rng: random.Random) -> Item | None:
    """The sum over the rows that meet a condition."""
    found = records(rng, 7)
    flag, number = list(found[0])[-1], _numbers(found[0])[-1]
    wanted = rng.random() < 0.5
    chosen = [record[number] for record in found if record[flag] is wanted]
    if not 2 <= len(chosen) <= 4:
        return None
    question = f"What is the sum of `{number}` over the rows where `{flag}` is {cell(wanted)}?"
    sql = f'SELECT ROUND(SUM("{number}"), 2) FROM t WHERE "{flag}" = {_sql(wanted)}'
    prompt = _asked(rng, _drawn(rng, found), question, "number")
    return _number(prompt, round(sum(chosen), 2), sql)


@family("table", difficulty=5, items=ITEMS_PER_FAMILY)
def mean(rng: random.Random) -> Item | None:
    """The mean over some rows, to one decimal; never a case of rounding half."""
    found = records(rng, 7)
    flag, number = list(found[0])[-1], _numbers(found[0])[-1]
    wanted = rng.random() < 0.5
    chosen = [Fraction(str(record[number])) for record in found if record[flag] is wanted]
    if not 3 <= len(chosen) <= 4:
        return None
    exact = sum(chosen) / len(chosen)
    if exact * 10 % 1 == Fraction(1, 2):
        return None
    question = (
        f"What is the mean of `{number}` over the rows where `{flag}` is {cell(wanted)}, "
        "rounded to one decimal place?"
    )
    sql = f'SELECT ROUND(AVG("{number}"), 1) FROM t WHERE "{flag}" = {_sql(wanted)}'
    prompt = _asked(rng, _drawn(rng, found), question, "number")
    return _number(prompt, float(round(exact, 1)), sql)


@family("table", difficulty=4, items=ITEMS_PER_FAMILY)
def join(rng: random.Random) -> Item | None:
    """Two tables that share a column."""
    cities = rng.sample(CITIES, 3)
    customers: list[Record] = [
        {"customer": f"C{rng.randint(10, 29) + 20 * n}", "name": name, "city": city}
        for n, (name, city) in enumerate(
            zip(people(rng, 4), [*cities, rng.choice(cities)], strict=True)
        )
    ]
    orders: list[Record] = [
        {"order": 500 + rng.randint(1, 9) + 10 * n, "customer": rng.choice(customers)["customer"],
         "item": good.name, "quantity": rng.randint(1, 9)}
        for n, good in enumerate(goods(rng, 5))
    ]  # fmt: skip
    rng.shuffle(customers)
    tables = f"{_drawn(rng, orders)}\n\n{_drawn(rng, customers)}"
    owner = {record["customer"]: record for record in customers}
    joined = 'FROM t JOIN u ON t."customer" = u."customer"'
    if rng.random() < 0.5:
        order = rng.choice(orders)
        asked = rng.choice(("name", "city"))
        question = f"What is the `{asked}` of the customer who placed order {order['order']}?"
        sql = f'SELECT u."{asked}" {joined} WHERE t."order" = {_sql(order["order"])}'
        prompt = _asked(rng, tables, question, "value")
        choices = [record[asked] for record in customers]
        return _text(prompt, owner[order["customer"]][asked], choices, sql)
    city = rng.choice(cities)
    chosen = [order["quantity"] for order in orders if owner[order["customer"]]["city"] == city]
    if not chosen:
        return None
    question = f"What is the total `quantity` of all orders by customers in {city}?"
    sql = f'SELECT SUM(t."quantity") {joined} WHERE u."city" = {_sql(city)}'
    return _number(_asked(rng, tables, question, "number"), sum(chosen), sql)
