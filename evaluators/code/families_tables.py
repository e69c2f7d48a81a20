"""Families about tables of records and scores."""

from __future__ import annotations

import random
from typing import Any

from questions import Question, code, each, family

_TABLES: dict[str, tuple[str, str, str, list[str]]] = {
    "sales": ("city", "amount", "sale", ["Oslo", "Rome", "Bern"]),
    "orders": ("customer", "items", "order", ["Ana", "Bo", "Cy"]),
    "trips": ("driver", "km", "trip", ["Uma", "Vic", "Wes"]),
    "games": ("team", "points", "game", ["Reds", "Blues", "Greens"]),
}

_BROKEN = {
    "sum(values)": "sum(values[1:])",
    "max(values)": "values[-1]",
    "min(values)": "values[0]",
    "len(values)": "len(groups)",
    "sum(values) // len(values)": "sum(values) // len(groups)",
}


def _records(rng: random.Random, table: str, values: list[int]) -> list[dict[str, Any]]:
    group, field, _, names = _TABLES[table]
    return [{group: rng.choice(names), field: value} for value in values]


@family(difficulty=2, repair=True)
def summarise_groups(rng: random.Random) -> Question:
    table = rng.choice(list(_TABLES))
    group, field, one, _ = _TABLES[table]
    what, form = rng.choice((
        (f"the sum of `{field}`", "sum(values)"), (f"the largest `{field}`", "max(values)"),
        (f"the smallest `{field}`", "min(values)"), (f"the number of {table}", "len(values)"),
        (f"the average of `{field}`, rounded down to a whole number,",
         "sum(values) // len(values)"),
    ))  # fmt: skip
    least = rng.choice((0, 0, 2, 3))
    rules = []
    if least:
        rules.append(f"Leave out every {group} with fewer than {least} {table}.")
    result = "result[name] = " + form
    if least:
        result = f"if len(values) >= {least}:\n        {result}"
    fixed = random.Random(table)
    lists = [[5, 9, 4, 7, 2], [8, 3, 3, 6, 1, 9], [10, 4, 7, 7]]
    more = [[], [3], [4, 4, 4, 4], [1, 2, 3, 4, 5, 6, 7], [0, 0, 5], [9, 8, 2, 6, 3, 1, 5, 7]]
    calls = [_records(fixed, table, values) for values in lists + more]
    return Question(
        name=f"{table}_by_{group}",
        arguments=f"{table}: list[dict]",
        returns="dict[str, int]",
        task=f"Each {one} in `{table}` is a dictionary with the keys '{group}' and '{field}'. "
        f"Return a dictionary that gives {what} for each {group}.".replace(" ,", ","),
        rules=rules,
        body=code("""
            groups = {}
            for record in $table:
                groups.setdefault(record["$group"], []).append(record["$field"])
            result = {}
            for name, values in groups.items():
                $result
            return result
            """, table=table, group=group, field=field, result=result),
        calls=each(*calls),
        bugs=[
            (f'groups.setdefault(record["{group}"], []).append(record["{field}"])',
             f'groups[record["{group}"]] = [record["{field}"]]'),
            (f"result[name] = {form}", f"result[name] = {_BROKEN[form]}"),
        ],
    )  # fmt: skip


@family(difficulty=3)
def sort_records(rng: random.Random) -> Question:
    table = rng.choice(("players", "products", "books"))
    name, field, other = {
        "players": ("name", "score", "age"), "products": ("title", "price", "stock"),
        "books": ("title", "pages", "year"),
    }[table]  # fmt: skip
    down, second = rng.random() < 0.5, rng.choice(("name", "other", "keep"))
    top = rng.choice((0, 2, 3))
    sign = "-" if down else ""
    key = {
        "name": f'({sign}record["{field}"], record["{name}"])',
        "other": f'({sign}record["{field}"], record["{other}"])',
        "keep": f'{sign}record["{field}"]',
    }[second]
    tie = {
        "name": f"by `{name}` in alphabetical order",
        "other": f"by `{other}` from small to large",
        "keep": "in the order of the list",
    }[second]
    rules = [f"If that is equal, order them {tie}."]
    if top:
        rules.append(f"Return only the first {top} of them, or all if there are fewer.")
    names = {
        "players": ["Mia", "Zed", "Ann", "Lou", "Kai"],
        "products": ["soap", "lamp", "cup", "vase", "mat"],
        "books": ["Dune", "Emma", "Ulysses", "Hobbit", "Persuasion"],
    }[table]  # fmt: skip
    # Of equal names there are none, so every order is decided.
    rows = [
        [{name: names[i], field: a, other: b} for i, a, b in trio]
        for trio in (
            [(0, 30, 7), (1, 50, 9), (2, 30, 4), (3, 50, 2), (4, 10, 5)],
            [(4, 8, 3), (2, 8, 1), (0, 5, 6), (1, 8, 2)],
            [(3, 12, 4), (1, 7, 8), (4, 7, 3), (2, 12, 1)],
            [], [(2, 4, 4)], [(3, 1, 9), (0, 1, 5)], [(1, 2, 2), (2, 3, 1), (3, 1, 3)],
            [(0, 6, 1), (4, 6, 2), (3, 6, 3), (2, 6, 4), (1, 6, 5)],
        )
    ]  # fmt: skip
    return Question(
        name=f"order_{table}" if not top else f"top_{table}",
        arguments=f"{table}: list[dict]",
        returns="list[str]",
        task=f"`{table}` is a list of dictionaries with the keys '{name}', '{field}' and "
        f"'{other}'. Return the values of '{name}', ordered by '{field}' from "
        f"{'large to small' if down else 'small to large'}.",
        rules=rules,
        body=code("""
            ordered = sorted($table, key=lambda record: $key)
            return [record["$name"] for record in ordered$cut]
            """, table=table, key=key, name=name, cut=f"[:{top}]" if top else ""),
        calls=each(*rows),
    )  # fmt: skip


@family(difficulty=4)
def rank_scores(rng: random.Random) -> Question:
    mode = rng.choice(("standard", "dense", "ordinal", "last"))
    low = rng.random() < 0.4
    form = rng.choice(("dict", "lines"))
    best = "lowest" if low else "highest"
    rule = {
        "standard": "Equal scores share a rank, and the ranks after them are skipped: 1, 2, 2, 4.",
        "dense": "Equal scores share a rank, and no rank is skipped: 1, 2, 2, 3.",
        "ordinal": "Equal scores do not share a rank: they are ranked by name in alphabetical "
        "order.",
        "last": "Equal scores share the last of their ranks: 1, 3, 3, 4.",
    }[mode]
    sign = "<" if low else ">"
    value = {
        "standard": f"1 + sum(1 for s in scores.values() if s {sign} score)",
        "dense": f"1 + len({{s for s in scores.values() if s {sign} score}})",
        "ordinal": "1 + ordered.index(name)",
        "last": f"sum(1 for s in scores.values() if s {sign}= score)",
    }[mode]  # fmt: skip
    if form == "dict":
        task = "Return a dictionary with the rank of each name"
        result = "ranks"
        rules = [rule]
    else:
        task = "Return a list of strings such as '1. Ada', with rank and name"
        rules = [rule, "The list is ordered by rank, and equal ranks by name."]
        result = '[f"{ranks[name]}. {name}" for name in ordered]'
    return Question(
        name="ranks" if form == "dict" else "ranking",
        arguments="scores: dict[str, int]",
        returns="dict[str, int]" if form == "dict" else "list[str]",
        task=f"{task}, given the `scores` by name. The {best} score has rank 1.",
        rules=rules,
        body=code("""
            ordered = sorted(scores, key=lambda name: (${minus}scores[name], name))
            ranks = {}
            for name, score in scores.items():
                ranks[name] = $value
            return $result
            """, minus="" if low else "-", value=value, result=result),
        calls=each(
            {"Eve": 50, "Bob": 70, "Ada": 70, "Dan": 90}, {"Kim": 8, "Jo": 5, "Al": 8, "Bea": 3},
            {"Tom": 12, "Sam": 12, "Pat": 20, "Meg": 9, "Lea": 20}, {}, {"Ann": 0},
            {"B": 1, "A": 1}, {"X": -5, "Y": -2, "Z": 0}, {"P": 4, "Q": 4, "R": 4, "S": 1},
            {"M": 100, "N": 99, "O": 100, "L": 98, "K": 99},
        ),
    )  # fmt: skip
