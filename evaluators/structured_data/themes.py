"""Records and nested documents that the families convert, change, query and break."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from lexicon import CITIES, COMPANIES, DEPARTMENTS, code, date, dealt, goods, people, person

Record = dict[str, Any]

_TITLES = (
    "The Salt Road", "Winter Harbor", "A Map of Bees", "Nine Lanterns", "The Cartographer",
    "Glass Rivers", "Small Hours", "The Orchard Letters", "Night Ferry", "Counting Stones",
    "The Last Tram", "Paper Moons", "Low Tide", "An Honest Clock", "The Weather Keeper",
)  # fmt: skip


def stock(rng: random.Random, count: int) -> list[Record]:
    """Goods on a shelf; the code is text with a leading zero."""
    codes = _distinct(rng, count, code)
    return [
        {"sku": sku, "item": good.name, "quantity": rng.randint(0, 80), "price": good.price,
         "on_sale": rng.random() < 0.5}
        for sku, good in zip(codes, goods(rng, count), strict=True)
    ]  # fmt: skip


def staff(rng: random.Random, count: int) -> list[Record]:
    """People with salaries that differ."""
    salaries = rng.sample(range(2400, 6900, 50), count)
    return [
        {"name": name, "department": rng.choice(DEPARTMENTS), "city": rng.choice(CITIES),
         "salary": salary, "remote": rng.random() < 0.5}
        for name, salary in zip(people(rng, count), salaries, strict=True)
    ]  # fmt: skip


def trips(rng: random.Random, count: int) -> list[Record]:
    """Journeys with distances that differ."""
    numbers = sorted(rng.sample(range(100, 400), count))
    lengths = rng.sample(range(35, 720), count)
    found = []
    for number, length, driver in zip(numbers, lengths, people(rng, count), strict=True):
        start, goal = rng.sample(CITIES, 2)
        found.append({"trip": f"T{number}", "driver": driver, "from": start, "to": goal,
                      "km": length, "paid": rng.random() < 0.5})  # fmt: skip
    return found


def books(rng: random.Random, count: int) -> list[Record]:
    """Books of a library, with page counts that differ."""
    lengths = rng.sample(range(96, 620), count)
    titles = rng.sample(_TITLES, count)
    return [
        {"title": title, "author": author, "year": rng.randint(1978, 2024), "pages": pages,
         "lent": rng.random() < 0.5}
        for title, author, pages in zip(titles, people(rng, count), lengths, strict=True)
    ]  # fmt: skip


def members(rng: random.Random, count: int) -> list[Record]:
    """Members of a club; the number is text with a leading zero."""
    numbers, points = _distinct(rng, count, code), rng.sample(range(10, 960, 5), count)
    return [
        {"member_id": number, "name": name, "joined": date(rng)[0], "points": score,
         "active": rng.random() < 0.5}
        for number, name, score in zip(numbers, people(rng, count), points, strict=True)
    ]  # fmt: skip


def parcels(rng: random.Random, count: int) -> list[Record]:
    """Parcels with weights that differ."""
    numbers = sorted(rng.sample(range(1000, 9999), count))
    weights = rng.sample(range(11, 189, 3), count)
    return [
        {"parcel": f"P{number}", "city": city, "weight_kg": weight / 10,
         "delivered": rng.random() < 0.5}
        for number, city, weight in zip(numbers, rng.sample(CITIES, count), weights, strict=True)
    ]  # fmt: skip


RECORDS: dict[str, Callable[[random.Random, int], list[Record]]] = {
    "stock": stock, "staff": staff, "trips": trips, "books": books, "members": members,
    "parcels": parcels,
}  # fmt: skip


def records(rng: random.Random, count: int) -> list[Record]:
    """Records of some theme."""
    return dealt(rng, "records", list(RECORDS.values()))(rng, count)


def rows(found: list[Record]) -> list[list[Any]]:
    """Records as a table, the header first."""
    return [list(found[0]), *(list(record.values()) for record in found)]


def _distinct(rng: random.Random, count: int, draw: Callable[[random.Random], str]) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        new = draw(rng)
        if new not in found:
            found.append(new)
    return found


# ------------------------------------------------------------------------------ nested
_SERVICES = ("billing", "search", "gateway", "mailer", "catalog", "reports", "sessions", "uploads")
_FEATURES = ("export", "dark_mode", "audit", "webhooks", "two_factor", "drafts", "tags", "quotas")


def service(rng: random.Random) -> Record:
    """Settings of a program; some strings look like numbers or truth values."""
    name = rng.choice(_SERVICES)
    return {
        "service": name,
        "version": f"{rng.randint(1, 4)}.{rng.choice((10, 20, 30, 40))}",
        "port": rng.randint(3000, 9900),
        "debug": rng.random() < 0.5,
        "database": {
            "host": f"db{rng.randint(1, 9)}.{name}.example",
            "user": rng.choice(("app", "reader", "worker", "service")),
            "password": None,
            "pool_size": rng.choice((5, 10, 15, 20, 25)),
        },
        "features": rng.sample(_FEATURES, 3),
    }


def travel(rng: random.Random) -> Record:
    """A journey with travelers, each with a seat."""
    start, goal = rng.sample(CITIES, 2)
    return {
        "booking": code(rng),
        "route": {"from": start, "to": goal, "date": date(rng, 2026)[0]},
        "travelers": [
            {"name": name, "seat": f"{rng.randint(2, 38)}{rng.choice('ABCDEF')}",
             "meal": rng.choice(("vegan", "halal", "standard", None))}
            for name in people(rng, 2)
        ],
        "insurance": rng.random() < 0.5,
        "price": rng.randint(80, 900) + 0.5,
    }  # fmt: skip


def course(rng: random.Random) -> Record:
    """A course with lessons."""
    topic = rng.choice(("Pottery", "Sailing", "Baking", "Astronomy", "Juggling", "Calligraphy"))
    return {
        "course": topic,
        "teacher": person(rng),
        "country": rng.choice(("no", "se", "dk", "fi")),
        "lessons": [
            {"day": day, "room": rng.randint(11, 48), "minutes": rng.choice((45, 60, 75, 90))}
            for day in rng.sample(("monday", "tuesday", "thursday", "friday"), 2)
        ],
        "fee": rng.choice((35, 42.5, 60, 77.5, 90)),
        "full": rng.random() < 0.5,
        "waiting_list": None,
    }


def shop(rng: random.Random) -> Record:
    """An order with its items and address."""
    return {
        "order": code(rng),
        "customer": {"name": person(rng), "city": rng.choice(CITIES), "vip": rng.random() < 0.5},
        "items": [
            {"name": good.name, "quantity": rng.randint(1, 6), "price": good.price}
            for good in goods(rng, 3)
        ],
        "carrier": rng.choice(COMPANIES),
        "gift_note": rng.choice((None, "yes", "Happy birthday", "none")),
    }


NESTED: tuple[Callable[[random.Random], Record], ...] = (service, travel, course, shop)


def nested(rng: random.Random) -> Record:
    """A nested document of some theme."""
    return dealt(rng, "nested", NESTED)(rng)


# Other values for strings and nulls, by their key.
_STRINGS: dict[str, tuple[Any, ...]] = {
    "service": ("archive", "alerts", "exports"), "version": ("5.10", "6.20", "7.40"),
    "host": ("db.backup.example", "db.new.example"), "user": ("admin", "backup", "guest"),
    "password": ("change-me", "k7-blue-river"), "booking": ("0751", "0077", "0516"),
    "from": CITIES, "to": CITIES, "city": CITIES, "date": ("2027-01-15", "2027-03-02"),
    "course": ("Weaving", "Chess", "Rowing"), "country": ("is", "ee", "lv", "nl"),
    "waiting_list": (3, 5, 8, 12), "order": ("0742", "0015", "0360"), "carrier": COMPANIES,
    "gift_note": ("With love", "Get well soon", "Thank you"),
}  # fmt: skip


def other_value(rng: random.Random, key: str, value: Any) -> Any:
    """A value of the same type that is not the same; null gets a value."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + rng.choice((1, 2, 5, 10, 25))
    if isinstance(value, float):
        return value + rng.choice((1.25, 2.5, 10.75))
    if key in ("name", "teacher"):
        return person(rng)
    return rng.choice([option for option in _STRINGS[key] if option != value])
