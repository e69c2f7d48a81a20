"""Invented people, companies and goods; cities are real."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakKeyDictionary

# Given name and family name; any two fit together well enough for an invented person.
GIVEN = (
    "Amara Anika Aylin Bruno Chidi Clara Daan Dilnoza Elif Emeka Farid Freya Goran Hana Hugo Ines "
    "Ivana Jonas Kaito Kalinda Leila Liam Lucia Mateo Mei Milos Naima Nikhil Noor Oskar Paula "
    "Priya Rafael Rosa Sanna Selim Signe Tariq Tomasz Valeria Wanjiru Xiulan Yara Zoltan"
).split()
FAMILY = (
    "Abebe Achterberg Bakshi Bergström Castellano Chukwu Delgado Duarte Eriksen Fairweather "
    "Fontaine Gallo Haddad Hoshino Ibarra Jankowski Kaplan Kiplagat Kovács Lindqvist Marchetti "
    "Mbeki Moreau Nakamura Novak Oduya Okafor Okonjo Petrov Quispe Ranganathan Reyes Salonen "
    "Santos Schneider Tanaka Thorne Ueda Varga Weller Yilmaz Zhou"
).split()
COMPANIES = (
    "Altamira Tools", "Bluefern Media", "Brightwell Labs", "Cobalt Harbor", "Dunmore Textiles",
    "Eastgate Logistics", "Fennick Foods", "Greywater Energy", "Halden Optics", "Ironleaf Works",
    "Juniper Freight", "Kestrel Robotics", "Lakeview Dental", "Marlow Paper", "Nordhus Timber",
    "Orchid Analytics", "Pinecrest Bikes", "Quarry Lane Studio", "Redwing Marine",
    "Silverbrook Bakery", "Tamarind Travel", "Umbra Lighting", "Vantage Pumps",
    "Westmark Ceramics", "Yellowstone Audio", "Zephyr Glass",
)  # fmt: skip
CITIES = (
    "Accra Antwerp Bergen Bilbao Bogota Brno Busan Cork Dakar Dhaka Dresden Fukuoka Gdansk Geneva "
    "Ghent Hanoi Izmir Jaipur Kampala Leeds Lima Lyon Malmo Manila Nairobi Odense Osaka Perth "
    "Porto Quito Riga Rosario Sapporo Split Tampere Tbilisi Tunis Turin Utrecht Vilnius"
).split()
# Singular, plural, and prices that a shop might ask.
GOODS = (
    ("desk lamp", "desk lamps", 18, 60), ("ceramic mug", "ceramic mugs", 6, 15),
    ("yoga mat", "yoga mats", 15, 45), ("water bottle", "water bottles", 8, 30),
    ("wall clock", "wall clocks", 12, 70), ("bread knife", "bread knives", 9, 40),
    ("garden hose", "garden hoses", 14, 50), ("wool blanket", "wool blankets", 25, 90),
    ("bike helmet", "bike helmets", 30, 95), ("picture frame", "picture frames", 7, 28),
    ("phone stand", "phone stands", 8, 22), ("cast iron pan", "cast iron pans", 24, 65),
    ("rain jacket", "rain jackets", 40, 120), ("door mat", "door mats", 11, 33),
    ("table fan", "table fans", 22, 55), ("laptop sleeve", "laptop sleeves", 13, 38),
    ("camping chair", "camping chairs", 19, 60), ("salad bowl", "salad bowls", 10, 35),
    ("tool box", "tool boxes", 20, 75), ("reading lamp", "reading lamps", 17, 58),
    ("storage basket", "storage baskets", 9, 27), ("coffee grinder", "coffee grinders", 28, 99),
    ("travel pillow", "travel pillows", 10, 26), ("bird feeder", "bird feeders", 12, 34),
)  # fmt: skip
DEPARTMENTS = ("Finance", "Legal", "Marketing", "Research", "Sales", "Support", "Design", "IT")
MONTHS = (
    "January February March April May June July August September October November December"
).split()


@dataclass(frozen=True)
class Good:
    """Something that is sold.

    Attributes:
        name: One of it.
        names: Several of it.
        price: For one, with two decimals that are not both zero.
    """

    name: str
    names: str
    price: float


def people(rng: random.Random, count: int) -> list[str]:
    """Full names with no given or family name twice."""
    return [
        f"{given} {family}"
        for given, family in zip(rng.sample(GIVEN, count), rng.sample(FAMILY, count), strict=True)
    ]


def person(rng: random.Random) -> str:
    """A full name."""
    return people(rng, 1)[0]


def goods(rng: random.Random, count: int) -> list[Good]:
    """Different things, with prices of their kind."""
    return [
        Good(name, names, rng.randint(low, high) + rng.choice((0.25, 0.5, 0.75, 0.9, 0.95, 0.4)))
        for name, names, low, high in rng.sample(GOODS, count)
    ]


def date(rng: random.Random, year: int | None = None) -> tuple[str, str]:
    """One day, as ISO 8601 and as English text write it."""
    year = year or rng.randint(2023, 2026)
    month, day = rng.randint(1, 12), rng.randint(1, 28)
    written = rng.choice(
        (f"{day} {MONTHS[month - 1]} {year}", f"{MONTHS[month - 1]} {day}, {year}")
    )
    return f"{year}-{month:02}-{day:02}", written


def code(rng: random.Random) -> str:
    """Digits that are an identifier, with a zero in front: 0 to 7 only, so that every YAML
    reader of either version agrees that they need quotes."""
    return "0" + "".join(rng.choice("01234567") for _ in range(rng.choice((2, 3, 4))))


_Option = TypeVar("_Option")
_DECKS: WeakKeyDictionary[random.Random, dict[str, list[int]]] = WeakKeyDictionary()


def dealt(rng: random.Random, name: str, options: Sequence[_Option]) -> _Option:
    """One of the options; each comes once before any comes again, so that answers are balanced.

    Args:
        rng: The source; its decks live as long as it does.
        name: Of the deck.
        options: What is in it, always the same.
    """
    deck = _DECKS.setdefault(rng, {}).setdefault(name, [])
    if not deck:
        deck.extend(rng.sample(range(len(options)), len(options)))
    return options[deck.pop()]
