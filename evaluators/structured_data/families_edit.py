"""A document and one change in words; all else has to stay."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

from lexicon import DEPARTMENTS, goods, person
from tasks import ITEMS_PER_FAMILY, family
from themes import Record, course, nested, other_value, records, rows, service, shop, stock, travel
from writers import as_compact_json, as_csv, as_json, as_yaml, cell, fence

from evomerge_compiler.scoring.authoring import Item

_REQUESTS = {
    "json": "this JSON document",
    "yaml": "this YAML file",
    "csv": "this CSV file",
}
_WRITERS: dict[str, Callable[[Any], str]] = {"json": as_json, "yaml": as_yaml, "csv": as_csv}


def _item(rng: random.Random, form: str, change: str, source: Any, value: Any) -> Item:
    """An item whose answer is ``value``; a table's values become the texts of its cells."""
    what, kind = _REQUESTS[form], form.upper()
    shown = as_compact_json(source) if form == "json" else _WRITERS[form](source)
    block = fence(form, shown)
    prompt = rng.choice((
        f"Make one change to {what}:\n\n{block}\n\n{change} Everything else stays as it is. "
        f"Reply with the complete changed {kind} only.",
        f"{block}\n\nEdit {what}: {change[0].lower()}{change[1:]} Leave everything else "
        f"untouched and output only the whole {kind}.",
        f"Please change {what} for me. {change} Do not alter anything else, and answer with the "
        f"full {kind} and nothing more.\n\n{block}",
    ))  # fmt: skip
    answer = _WRITERS[form](value)
    if form == "csv":
        source, value = ([[cell(v) for v in line] for line in table] for table in (source, value))
    fields = {"form": form, "value": json.dumps(value, ensure_ascii=False),
              "source": json.dumps(source, ensure_ascii=False)}  # fmt: skip
    return Item(prompt, answer, fields)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _objects(document: Record) -> list[tuple[str, Record]]:
    """The objects of a document that are not in an array, and how to name their place."""
    inner = [(f" in `{key}`", value) for key, value in document.items() if isinstance(value, dict)]
    return [("", document), *inner]


@family("edit", difficulty=1, items=ITEMS_PER_FAMILY)
def json_set(rng: random.Random) -> Item:
    """One scalar gets another value of its type."""
    source = nested(rng)
    value = copy.deepcopy(source)
    place, target = rng.choice(_objects(value))
    key = rng.choice([k for k, v in target.items() if not isinstance(v, (dict, list))])
    target[key] = other_value(rng, key, target[key])
    change = rng.choice((
        f"Set `{key}`{place} to {_shown(target[key])}.",
        f"Change the value of `{key}`{place} to {_shown(target[key])}.",
    ))  # fmt: skip
    return _item(rng, "json", change, source, value)


_NEW_KEYS = {
    "port": "listen_port", "debug": "verbose", "version": "release", "host": "address",
    "user": "login", "pool_size": "max_connections", "booking": "reference", "from": "origin",
    "to": "destination", "date": "departure", "insurance": "insured", "price": "amount",
    "course": "subject", "teacher": "instructor", "fee": "cost", "full": "sold_out",
    "order": "order_id", "carrier": "shipped_by", "vip": "premium", "city": "town",
    "seat": "place", "meal": "catering", "room": "classroom", "minutes": "duration",
    "quantity": "count", "name": "full_name",
}  # fmt: skip


@family("edit", difficulty=2, items=ITEMS_PER_FAMILY)
def json_rename(rng: random.Random) -> Item:
    """A key is renamed in one object, or in all objects of an array."""
    source = nested(rng)
    value = copy.deepcopy(source)
    arrays = [k for k, v in value.items() if isinstance(v, list) and isinstance(v[0], dict)]
    if arrays and rng.random() < 0.6:
        place, targets = f" in every entry of `{arrays[0]}`", value[arrays[0]]
    else:
        place, target = rng.choice(_objects(value))
        targets = [target]
        place = place or " at the top level"
    key = rng.choice([key for key in targets[0] if key in _NEW_KEYS])
    for target in targets:
        renamed = {_NEW_KEYS[key] if k == key else k: v for k, v in target.items()}
        target.clear()
        target.update(renamed)
    change = f"Rename the key `{key}`{place} to `{_NEW_KEYS[key]}`."
    return _item(rng, "json", change, source, value)


def _addition(rng: random.Random, source: Record) -> tuple[str, str, Any]:
    """Which list grows, what is added in words, and as a value."""
    if "features" in source:
        added = rng.choice([name for name in ("reports", "sso", "chat", "search", "undo")
                            if name not in source["features"]])  # fmt: skip
        return "features", f'the string "{added}"', added
    if "travelers" in source:
        seat = f"{rng.randint(39, 44)}{rng.choice('ABCDEF')}"
        new: Record = {"name": person(rng), "seat": seat, "meal": rng.choice(("vegan", "kosher"))}
        words = f"a traveler with the name {new['name']}, seat {seat} and meal {new['meal']}"
        return "travelers", words, new
    if "lessons" in source:
        new = {"day": "saturday", "room": rng.randint(50, 70), "minutes": rng.choice((30, 50))}
        words = f"a lesson with day saturday, room {new['room']} and minutes {new['minutes']}"
        return "lessons", words, new
    good = goods(rng, 1)[0]
    new = {"name": good.name, "quantity": rng.randint(2, 9), "price": good.price}
    words = f"an item with the name {good.name}, quantity {new['quantity']} and price {good.price}"
    return "items", words, new


@family("edit", difficulty=2, items=ITEMS_PER_FAMILY)
def yaml_append(rng: random.Random) -> Item:
    """A list of strings or of mappings gets one more."""
    source = nested(rng)
    value = copy.deepcopy(source)
    where, words, new = _addition(rng, source)
    value[where].append(new)
    shape = "" if isinstance(new, str) else ", with the same keys as the other entries"
    change = f"Append {words} to the end of the list `{where}`{shape}."
    return _item(rng, "yaml", change, source, value)


@family("edit", difficulty=3, items=ITEMS_PER_FAMILY)
def yaml_set_and_remove(rng: random.Random) -> Item:
    """Two changes in different places."""
    source = rng.choice((service, travel, shop, course))(rng)
    value = copy.deepcopy(source)
    places = _objects(value)
    place, target = places[-1]
    key = rng.choice([k for k, v in target.items() if not isinstance(v, (dict, list))])
    target[key] = other_value(rng, key, target[key])
    removed = rng.choice([k for k in value if k != key and not isinstance(value[k], dict)])
    del value[removed]
    change = (
        f"Set `{key}`{place} to {_shown(target[key])}, and remove `{removed}` "
        "with everything in it."
        if isinstance(source[removed], list)
        else f"Remove `{removed}`, and set `{key}`{place} to {_shown(target[key])}."
    )
    return _item(rng, "yaml", change, source, value)


def _condition(rng: random.Random, found: list[Record]) -> tuple[str, Callable[[Record], bool]]:
    """A condition that some but not all records meet."""
    key = list(found[0])[-1]
    values = [record[key] for record in found]
    if rng.random() < 0.5 and any(values) and not all(values):
        wanted = rng.random() < 0.5
        return f"`{key}` is {str(wanted).lower()}", lambda record: record[key] is wanted
    number = next(k for k, v in reversed(found[0].items())
                  if isinstance(v, (int, float)) and not isinstance(v, bool))  # fmt: skip
    ordered = sorted(record[number] for record in found)
    middle = int(ordered[len(ordered) // 2]) + 1
    limit = -(-middle // 10) * 10 if middle > 100 else middle
    if rng.random() < 0.5:
        return f"`{number}` is below {limit}", lambda record: record[number] < limit
    return f"`{number}` is {limit} or more", lambda record: record[number] >= limit


@family("edit", difficulty=3, items=ITEMS_PER_FAMILY)
def csv_delete(rng: random.Random) -> Item | None:
    """Rows that meet a condition go, the others keep their order."""
    found = records(rng, 6)
    words, meets = _condition(rng, found)
    kept = [record for record in found if not meets(record)]
    if not 2 <= len(kept) <= 4:
        return None
    change = f"Delete every row in which {words}."
    return _item(rng, "csv", change, rows(found), rows(kept))


_STEPS: dict[str, tuple[float, ...]] = {
    "price": (1, 2.5, 5), "salary": (100, 150, 250), "km": (5, 10, 25), "pages": (4, 8, 16),
    "points": (20, 25, 50), "weight_kg": (0.5, 1, 2),
}  # fmt: skip


@family("edit", difficulty=4, items=ITEMS_PER_FAMILY)
def json_raise_where(rng: random.Random) -> Item | None:
    """A number grows in those entries of an array that meet a condition."""
    found = records(rng, 5)
    flag = list(found[0])[-1]
    number = next(k for k, v in reversed(found[0].items())
                  if isinstance(v, (int, float)) and not isinstance(v, bool))  # fmt: skip
    wanted, amount = rng.random() < 0.5, rng.choice(_STEPS[number])
    chosen = [record for record in found if record[flag] is wanted]
    if not 2 <= len(chosen) <= 4:
        return None
    value = copy.deepcopy(found)
    for record in value:
        if record[flag] is wanted:
            record[number] = round(record[number] + amount, 2)
    change = (
        f"Increase `{number}` by {amount} in every entry whose `{flag}` is {str(wanted).lower()}."
    )
    return _item(rng, "json", change, found, value)


_CHORES = (
    "paint the fence", "call the bank", "renew passport", "water the plants", "fix the tap",
    "book the hall", "send invitations", "clean the attic", "sell the bike", "order chairs",
    "print the menu", "wash the car", "back up photos", "sharpen knives",
)  # fmt: skip


@family("edit", difficulty=4, items=ITEMS_PER_FAMILY)
def json_move(rng: random.Random) -> Item:
    """Something leaves one place and arrives at another."""
    if rng.random() < 0.5:
        chores = rng.sample(_CHORES, 7)
        lists = {"todo": chores[:3], "doing": chores[3:5], "done": chores[5:]}
        source: Record = {"board": rng.choice(DEPARTMENTS), "lists": lists}
        value = copy.deepcopy(source)
        start, goal = rng.sample(list(lists), 2)
        moved = rng.choice(lists[start])
        value["lists"][start].remove(moved)
        end, position = rng.choice((("end", len(lists[goal])), ("beginning", 0)))
        value["lists"][goal].insert(position, moved)
        change = f'Move "{moved}" from `{start}` to the {end} of `{goal}`.'
        return _item(rng, "json", change, source, value)
    source = nested(rng)
    value = copy.deepcopy(source)
    objects = [k for k, v in value.items() if isinstance(v, dict)]
    scalars = [k for k, v in value.items() if not isinstance(v, (dict, list))]
    key = rng.choice(scalars)
    goal = rng.choice(objects) if objects else "details"
    value.setdefault(goal, {})[key] = value.pop(key)
    kind = "object" if objects else "new object"
    change = f"Move the key `{key}` with its value from the top level into the {kind} `{goal}`."
    return _item(rng, "json", change, source, value)


@family("edit", difficulty=5, items=ITEMS_PER_FAMILY)
def csv_column(rng: random.Random) -> Item:
    """A column is computed from two others."""
    found = [
        {"sku": record["sku"], "item": record["item"], "quantity": rng.randint(2, 12),
         "price": f"{record['price']:.2f}"}
        for record in stock(rng, 4)
    ]  # fmt: skip
    value = [
        {**record, "total": f"{record['quantity'] * float(record['price']):.2f}"}
        for record in found
    ]
    place = rng.choice(("at the end", "at the beginning"))
    if place == "at the beginning":
        value = [{"total": record["total"], **record} for record in value]
    change = f"Add a column `total` {place}: `quantity` times `price`, with two decimals."
    return _item(rng, "csv", change, rows(found), rows(value))
