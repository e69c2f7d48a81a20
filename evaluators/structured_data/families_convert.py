"""One document, of which the same is asked in another format."""

from __future__ import annotations

import json
import random
from typing import Any

from lexicon import CITIES, people
from tasks import ITEMS_PER_FAMILY, family
from themes import Record, members, nested, parcels, records, rows, staff, stock, trips
from writers import as_compact_json, as_csv, as_json, as_yaml, cell, fence

from evomerge_compiler.scoring.authoring import Item


def _item(prompt: str, form: str, value: Any, answer: str) -> Item:
    return Item(prompt, answer, {"form": form, "value": json.dumps(value, ensure_ascii=False)})


def _texts(table: list[list[Any]]) -> list[list[str]]:
    """A table as its cells are read from CSV."""
    return [[cell(value) for value in line] for line in table]


def _named(keys: list[str]) -> str:
    quoted = [f"`{key}`" for key in keys]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " and " + quoted[-1]


@family("convert", difficulty=2, items=ITEMS_PER_FAMILY)
def csv_to_json(rng: random.Random) -> Item:
    """Which columns are numbers and booleans is said; identifiers stay strings."""
    found = rng.choice((stock, staff, trips, members))(rng, 3)
    first = found[0]
    booleans = [key for key, value in first.items() if isinstance(value, bool)]
    numbers = [key for key, value in first.items()
               if isinstance(value, (int, float)) and key not in booleans]  # fmt: skip
    types = (
        f"{_named(numbers)} {'is a number' if len(numbers) == 1 else 'are numbers'}, "
        f"{_named(booleans)} is a boolean, and all other values are strings"
    )
    table = fence("csv", as_csv(rows(found)))
    prompt = rng.choice((
        f"Convert this CSV to a JSON array with one object per row, keyed by the column names. "
        f"In the JSON, {types}.\n\n{table}\n\nReply with the JSON only.",
        f"{table}\n\nWrite this table as JSON: an array of objects whose keys are the headers. "
        f"Mind the types: {types}. Output nothing but the JSON.",
    ))  # fmt: skip
    return _item(prompt, "json", found, as_json(found))


_NOTES = (
    'asked for the "blue" one', "fragile, keep upright", "paid in cash", 'known as "Ace"',
    "prefers mornings, never Mondays", "left, then right", 'sign says "Closed"', "two keys",
    "red, green, and white", "call first, please", 'brought "the box"', "left a deposit",
    "ground floor, rear door", 'answers to "Chief"', "needs a receipt", "tall, with stairs",
)  # fmt: skip


@family("convert", difficulty=3, items=ITEMS_PER_FAMILY)
def quoted_csv_to_json(rng: random.Random) -> Item:
    """Cells with commas and doubled quotes, and empty ones."""
    notes = rng.sample(_NOTES, 4)
    names = [", ".join(reversed(name.split(" "))) if rng.random() < 0.5 else name
             for name in people(rng, 4)]  # fmt: skip
    found: list[Record] = [
        {"name": name, "city": rng.choice(CITIES), "note": note}
        for name, note in zip(names, notes, strict=True)
    ]
    for record in rng.sample(found, 2):
        record[rng.choice(("city", "note"))] = None
    if not any('"' in (record["note"] or "") for record in found):
        found[0]["note"] = rng.choice([note for note in _NOTES if '"' in note])
    prompt = (
        "Convert the CSV below to a JSON array of objects, one per row. All values are strings; "
        "an empty cell becomes null. Cells in double quotes may hold commas, and a doubled quote "
        f"stands for one quote.\n\n{fence('csv', as_csv(rows(found)))}\n\n"
        "Reply with the JSON array only."
    )
    return _item(prompt, "json", found, as_json(found))


@family("convert", difficulty=3, items=ITEMS_PER_FAMILY)
def json_to_csv(rng: random.Random) -> Item:
    """Null becomes an empty cell, and cells with commas need quotes."""
    found = records(rng, 4)
    for record, note in zip(found, rng.sample(_NOTES, 4), strict=True):
        record["note"] = note
    found[rng.randrange(4)]["note"] = None
    table = rows(found)
    prompt = rng.choice((
        "Write this JSON as CSV with a header row, columns in the order of the keys. Separate "
        "cells with commas and put no spaces around them. Null is an empty cell, booleans are "
        "true and false, and cells that contain commas or quotes are quoted as RFC 4180 says."
        f"\n\n{fence('json', as_compact_json(found))}\n\nReply with the CSV only.",
        f"{fence('json', as_compact_json(found))}\n\nConvert this to CSV (RFC 4180): first the "
        "header with the keys in their order, then one line per object, with no spaces around "
        "commas. Leave a cell empty for null, write booleans as true and false, and quote a cell "
        "that holds a comma or a quote. Output only the CSV.",
    ))  # fmt: skip
    return _item(prompt, "csv", _texts(table), as_csv(table))


@family("convert", difficulty=3, items=ITEMS_PER_FAMILY)
def json_to_yaml(rng: random.Random) -> Item:
    """Strings that look like numbers, booleans or null need quotes."""
    value = nested(rng)
    prompt = rng.choice((
        "Convert this JSON to YAML 1.2 in block style. Every value keeps its type: strings that "
        "would be read as a number, boolean or null must be quoted."
        f"\n\n{fence('json', as_json(value))}\n\nReply with the YAML only.",
        f"{fence('json', as_json(value))}\n\nWrite the same data as block-style YAML. A string "
        "has to stay a string and a number a number, so add quotes where YAML needs them. "
        "Output only the YAML document.",
    ))  # fmt: skip
    return _item(prompt, "yaml", value, as_yaml(value))


@family("convert", difficulty=2, items=ITEMS_PER_FAMILY)
def yaml_to_json(rng: random.Random) -> Item:
    """Quoted scalars are strings, plain ones have the type of YAML 1.2."""
    value = nested(rng)
    prompt = rng.choice((
        "Convert this YAML document to JSON. Keep the nesting and the type of every value."
        f"\n\n{fence('yaml', as_yaml(value))}\n\nReply with the JSON only.",
        f"{fence('yaml', as_yaml(value))}\n\nWhat is this as JSON? Numbers, booleans and null "
        "stay what they are, and quoted values are strings. Output only the JSON object.",
    ))  # fmt: skip
    return _item(prompt, "json", value, as_json(value))


@family("convert", difficulty=2, items=ITEMS_PER_FAMILY)
def tsv_to_csv(rng: random.Random) -> Item:
    """Cells with commas need quotes once tabs no longer part them."""
    found = rng.choice((staff, trips, parcels, members))(rng, 4)
    notes = rng.sample([note for note in _NOTES if '"' not in note], 4)
    if not any("," in note for note in notes):
        notes[0] = "red, green, and white"
    table = [[*line, note] for line, note in zip(rows(found), ["note", *notes], strict=True)]
    prompt = rng.choice((
        "The columns of this table are separated by tabs. Convert it to CSV: separate the columns "
        "with commas, without spaces, and put a cell that contains a comma in double quotes."
        f"\n\n{fence('', as_csv(table, chr(9)))}\n\nReply with the CSV only.",
        f"{fence('tsv', as_csv(table, chr(9)))}\n\nTurn this TSV into CSV. Nothing else may "
        "change: same rows, same columns, no spaces after the commas, and double quotes around "
        "any cell with a comma in it. Output only the CSV.",
    ))  # fmt: skip
    return _item(prompt, "csv", _texts(table), as_csv(table))


@family("convert", difficulty=5, items=ITEMS_PER_FAMILY)
def csv_to_nested_json(rng: random.Random) -> Item:
    """Rows are grouped, the grouping column goes, and types are restored."""
    if rng.random() < 0.5:
        group, name, number = "department", "name", "salary"
        found = staff(rng, 6)
        groups = rng.sample(("Finance", "Legal", "Sales", "Design", "Support"), 3)
    else:
        group, name, number = "city", "parcel", "weight_kg"
        found = parcels(rng, 6)
        groups = rng.sample(CITIES, 3)
    members_ = [*groups, *rng.choices(groups, k=3)]
    rng.shuffle(members_)
    table = [{group: where, name: record[name], number: record[number]}
             for record, where in zip(found, members_, strict=True)]  # fmt: skip
    value: dict[str, list[Record]] = {}
    for record in table:
        value.setdefault(record[group], []).append({name: record[name], number: record[number]})
    prompt = (
        f"Group the rows of this CSV by `{group}`. The result is a JSON object: its keys are the "
        f"values of `{group}` in order of first appearance, and each value is the array of that "
        f"group's rows as objects with the keys `{name}` and `{number}`, in their order. "
        f"`{number}` is a number.\n\n{fence('csv', as_csv(rows(table)))}\n\n"
        "Reply with the JSON object only."
    )
    return _item(prompt, "json", value, as_json(value))
