"""Text and a JSON Schema, of which the right object is asked."""

from __future__ import annotations

import json
import random
import unicodedata
from typing import Any

from lexicon import CITIES, COMPANIES, DEPARTMENTS, code, date, goods, people, person
from tasks import ITEMS_PER_FAMILY, family
from writers import as_compact_json, as_json, fence

from evomerge_compiler.scoring.authoring import Item

_REQUESTS = (
    "Extract the data from the text below as a JSON object that is valid under the schema.",
    "Turn this text into JSON. The object must fit the JSON Schema given below it.",
    "Read the text and fill in one JSON object according to the schema.",
    "Here is a text and a JSON Schema. Write the JSON object that holds the data of the text.",
)
_CLOSINGS = (
    "Copy names and other words exactly as they are written. Reply with the JSON object only.",
    "Keep the wording of the text in all strings. Answer with the JSON object and nothing else.",
    "Strings are copied from the text as they stand. Output only the JSON object.",
)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object that has exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _item(
    rng: random.Random,
    text: str,
    properties: dict[str, Any],
    value: dict[str, Any],
    note: str = "",
) -> Item:
    schema = _object(properties)
    closing = f"{note} {rng.choice(_CLOSINGS)}".strip()
    prompt = (
        f"{rng.choice(_REQUESTS)}\n\nText:\n{text}\n\n"
        f"Schema:\n{fence('json', as_compact_json(schema))}\n\n{closing}"
    )
    fields = {"form": "json", "value": json.dumps(value, ensure_ascii=False),
              "schema": json.dumps(schema)}  # fmt: skip
    return Item(prompt, as_json(value), fields)


def _listed(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + " and " + parts[-1]


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.replace("ı", "i").replace("ł", "l"))
    return plain.encode("ascii", "ignore").decode().lower().replace(" ", "")


def _clock(rng: random.Random) -> tuple[str, str]:
    """An afternoon or evening hour as 24 h, and as English text writes it."""
    hour, minute = rng.randint(13, 21), rng.choice((0, 15, 30, 45))
    return f"{hour}:{minute:02}", f"{hour - 12}:{minute:02} pm"


@family("extract", difficulty=1, items=ITEMS_PER_FAMILY)
def order(rng: random.Random) -> Item:
    """A flat object: text, an identifier with a leading zero, integer, number, boolean."""
    name, city, good = person(rng), rng.choice(CITIES), goods(rng, 1)[0]
    quantity, number, express = rng.randint(2, 24), code(rng), rng.random() < 0.5
    speed = (
        rng.choice(("Please ship it express.", "Express shipping was paid for."))
        if express
        else rng.choice(("No express shipping is needed.", "It does not have to go express."))
    )
    text = rng.choice((
        f"Order {number}: {name} from {city} bought {quantity} {good.names} "
        f"at {good.price:.2f} euros each. {speed}",
        f"Hi team, {name} in {city} wants {quantity} {good.names}. The price is {good.price:.2f} "
        f"euros apiece, and the order number is {number}. {speed}",
        f"We sold {quantity} {good.names} to {name}, {city}, for {good.price:.2f} euros apiece. "
        f"{speed} The order is filed under number {number}.",
    ))  # fmt: skip
    value = {"order_number": number, "customer": name, "city": city, "product": good.names,
             "quantity": quantity, "unit_price": good.price, "express": express}  # fmt: skip
    kinds = {"quantity": "integer", "unit_price": "number", "express": "boolean"}
    return _item(rng, text, {key: {"type": kinds.get(key, "string")} for key in value}, value)


@family("extract", difficulty=2, items=ITEMS_PER_FAMILY)
def contact(rng: random.Random) -> Item:
    """Some of the properties are absent from the text and become null."""
    name, company = person(rng), rng.choice(COMPANIES)
    given, surname = name.split(" ")
    value: dict[str, Any] = {
        "name": name,
        "company": company,
        "department": rng.choice(DEPARTMENTS),
        "email": f"{_ascii(given)}.{_ascii(surname)}@{_ascii(company.split()[0])}.example",
        "phone": f"+{rng.choice((31, 34, 48, 81, 254))} {rng.randint(20, 99)} "
        f"{rng.randint(100, 999)} {rng.randint(1000, 9999)}",
        "room": f"{rng.choice('ABCDE')}{rng.randint(101, 480)}",
    }
    for key in rng.sample(["department", "email", "phone", "room"], rng.randint(1, 2)):
        value[key] = None
    says = {
        "department": f"{given} is in the {value['department']} department.",
        "email": f"Mail goes to {value['email']}.",
        "phone": f"The direct line is {value['phone']}.",
        "room": f"The office is room {value['room']}.",
    }
    facts = [text for key, text in says.items() if value[key] is not None]
    rng.shuffle(facts)
    opening = rng.choice((f"Our new contact at {company} is {name}.",
                          f"{name} from {company} called this morning.",
                          f"At {company} you should talk to {name}."))  # fmt: skip
    properties = {key: {"type": ["string", "null"] if key in says else "string"} for key in value}
    note = "Use null for what the text does not say."
    return _item(rng, " ".join([opening, *facts]), properties, value, note)


_TALKS = (
    "Night Markets of Asia", "Bees in the City", "The Sound of Old Radios", "Maps That Lied",
    "Cooking Without Fire", "A History of Rope", "Rivers Under Streets", "Letters From the Ice",
    "How Bridges Fail", "The Quiet Garden", "Glass and Light", "Seeds of the Steppe",
    "Trains After Dark", "Paper Boats",
)  # fmt: skip
_VENUES = ("Harbor Hall", "the Old Mill", "Lindgren Library", "Studio Nine", "the Glass Pavilion",
           "Corner Theater", "Hillside School", "the Boat House")  # fmt: skip


@family("extract", difficulty=3, items=ITEMS_PER_FAMILY)
def event(rng: random.Random) -> Item:
    """Dates and times have to be rewritten; speakers stand in order of mention."""
    title, venue = rng.choice(_TALKS), rng.choice(_VENUES)
    (iso, written), (start, start_said) = date(rng), _clock(rng)
    speakers, free = people(rng, rng.choice((2, 3))), rng.random() < 0.5
    price = 0 if free else rng.choice((8, 12.5, 15, 7.5, 20))
    fee = "Admission is free." if free else f"Tickets cost {price:.2f} euros."
    booking = rng.random() < 0.5
    seats = "Seats must be booked in advance." if booking else "There is no need to book."
    text = rng.choice((
        f'"{title}" takes place at {venue} on {written}. Doors close and the talk starts at '
        f"{start_said}. On stage are {_listed(speakers)}. {fee} {seats}",
        f'On {written}, {_listed(speakers)} present "{title}" at {venue}. It begins at '
        f"{start_said}. {seats} {fee}",
    ))  # fmt: skip
    value = {"title": title, "date": iso, "start": start, "venue": venue.removeprefix("the "),
             "speakers": speakers, "price": price, "booking_required": booking}  # fmt: skip
    properties = {
        "title": {"type": "string"},
        "date": {"type": "string", "format": "date"},
        "start": {"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]$"},
        "venue": {"type": "string", "description": "without an article"},
        "speakers": {"type": "array", "items": {"type": "string"}},
        "price": {"type": "number", "description": "0 if free"},
        "booking_required": {"type": "boolean"},
    }
    return _item(rng, text, properties, value, "Dates are YYYY-MM-DD and times are 24-hour HH:MM.")


_DISHES = (
    "Sunday bowl", "harvest bake", "market pan", "winter pot", "quick supper", "lazy brunch",
    "festival plate", "picnic dish", "evening pan", "student bowl", "village pot", "island plate",
)  # fmt: skip
# Name, unit of the schema, amounts.
_INGREDIENTS = (
    ("flour", "g", (150, 500)), ("red lentils", "g", (100, 350)), ("brown sugar", "g", (40, 180)),
    ("butter", "g", (30, 200)), ("grated cheese", "g", (60, 250)), ("rice", "g", (120, 400)),
    ("water", "ml", (200, 900)), ("milk", "ml", (100, 600)), ("cream", "ml", (80, 300)),
    ("olive oil", "tbsp", (2, 5)), ("lemon juice", "tbsp", (2, 4)), ("honey", "tbsp", (2, 6)),
    ("carrots", "piece", (2, 6)), ("onions", "piece", (2, 5)), ("eggs", "piece", (2, 6)),
    ("apples", "piece", (3, 8)), ("tomatoes", "piece", (3, 9)), ("potatoes", "piece", (4, 12)),
)  # fmt: skip


@family("extract", difficulty=3, items=ITEMS_PER_FAMILY)
def recipe(rng: random.Random) -> Item:
    """An array of objects with a unit from a fixed list; the oven may be absent."""
    dish, servings = rng.choice(_DISHES), rng.randint(2, 8)
    ingredients, said = [], []
    for name, unit, (low, high) in rng.sample(_INGREDIENTS, rng.choice((3, 4))):
        amount = rng.randint(low, high)
        if unit in ("g", "ml"):
            amount = amount // 10 * 10
        ingredients.append({"name": name, "amount": amount, "unit": unit})
        counted = {"piece": f"{amount} {name}", "tbsp": f"{amount} tablespoons of {name}"}
        said.append(counted.get(unit, f"{amount} {unit} of {name}"))
    oven = rng.choice((160, 175, 180, 190, 200, 220)) if rng.random() < 0.6 else None
    heat = f" The oven is set to {oven} °C." if oven else " No oven is used."
    text = rng.choice((
        f"Our {dish} makes {servings} servings. You need {_listed(said)}.{heat}",
        f"For {servings} servings of the {dish}, take {_listed(said)}.{heat}",
        f"Take {_listed(said)} and you get {servings} servings of the {dish}.{heat}",
    ))  # fmt: skip
    value = {"dish": dish, "servings": servings, "ingredients": ingredients, "oven_celsius": oven}
    ingredient = _object({
        "name": {"type": "string"},
        "amount": {"type": "number"},
        "unit": {"enum": ["g", "ml", "tbsp", "piece"]},
    })  # fmt: skip
    properties = {
        "dish": {"type": "string"},
        "servings": {"type": "integer"},
        "ingredients": {"type": "array", "items": ingredient},
        "oven_celsius": {"type": ["integer", "null"]},
    }
    note = 'Ingredients keep their order; what is merely counted has the unit "piece".'
    return _item(rng, text, properties, value, note)


_JOBS = {
    "data engineer": ("SQL", "Python", "Airflow", "Spark", "Kafka"),
    "front-end developer": ("TypeScript", "React", "CSS", "Figma", "HTML"),
    "bookkeeper": ("Excel", "payroll", "VAT returns", "auditing", "SAP"),
    "field technician": ("welding", "wiring", "hydraulics", "first aid", "diagnostics"),
    "museum guide": ("Spanish", "public speaking", "art history", "French", "first aid"),
    "lab assistant": ("pipetting", "microscopy", "statistics", "safety training", "Excel"),
}
_WORKPLACES = {
    "onsite": ("The work is done on site every day.", "Everybody works in the office all week."),
    "hybrid": ("You spend two days a week at home and three in the office.",
               "Half of the week is in the office, the other half at home."),
    "remote": ("You work from home all week.", "There is no office: everybody works from home."),
}  # fmt: skip
_CURRENCIES = {"EUR": "euros", "GBP": "pounds", "USD": "US dollars"}


@family("extract", difficulty=4, items=ITEMS_PER_FAMILY)
def job_posting(rng: random.Random) -> Item:
    """A nested object, an enum that must be inferred, numbers with separators."""
    title, company, city = rng.choice(list(_JOBS)), rng.choice(COMPANIES), rng.choice(CITIES)
    skills = rng.sample(_JOBS[title], rng.choice((2, 3)))
    workplace, currency = rng.choice(list(_WORKPLACES)), rng.choice(list(_CURRENCIES))
    low = rng.randrange(28, 70) * 1000
    high = low + rng.randrange(4, 15) * 1000
    (iso, written), open_end = date(rng, 2026), rng.random() < 0.4
    closing = "There is no closing date." if open_end else f"Apply by {written}."
    pay = f"It pays {low:,} to {high:,} {_CURRENCIES[currency]} a year."
    opening = rng.choice((
        f"{company} in {city} is hiring a {title}.",
        f"Wanted: a {title} for {company}, {city}.",
    ))  # fmt: skip
    facts = [rng.choice(_WORKPLACES[workplace]), pay, f"You bring {_listed(skills)}."]
    rng.shuffle(facts)
    value = {
        "title": title, "company": company, "city": city, "workplace": workplace,
        "salary": {"min": low, "max": high, "currency": currency},
        "skills": skills, "closing_date": None if open_end else iso,
    }  # fmt: skip
    salary = _object({
        "min": {"type": "integer"}, "max": {"type": "integer"},
        "currency": {"enum": list(_CURRENCIES)},
    })  # fmt: skip
    properties = {
        "title": {"type": "string"}, "company": {"type": "string"}, "city": {"type": "string"},
        "workplace": {"enum": list(_WORKPLACES)}, "salary": salary,
        "skills": {"type": "array", "items": {"type": "string"}},
        "closing_date": {"type": ["string", "null"], "format": "date"},
    }  # fmt: skip
    note = "Dates are YYYY-MM-DD."
    return _item(rng, " ".join([opening, *facts, closing]), properties, value, note)


@family("extract", difficulty=4, items=ITEMS_PER_FAMILY)
def invoice(rng: random.Random) -> Item:
    """Nested objects, lines in order, two dates of which one may be absent."""
    vendor, city, number = rng.choice(COMPANIES), rng.choice(CITIES), code(rng)
    (issued, issued_said), (due, due_said) = sorted((date(rng, 2025), date(rng, 2025)))
    if issued == due:
        due = "2026-01-31"
        due_said = "31 January 2026"
    lines = [
        {"description": good.names, "quantity": rng.randint(2, 9), "unit_price": good.price}
        for good in goods(rng, 2)
    ]
    total = round(sum(line["quantity"] * line["unit_price"] for line in lines), 2)
    dated = rng.random() < 0.6
    said = [f"{n['quantity']} {n['description']} at {n['unit_price']:.2f} each" for n in lines]
    text = (
        f"Invoice {number} came from {vendor} in {city}. It was issued on {issued_said}. "
        f"It lists {_listed(said)}, which makes {total:.2f} euros in total. "
        + (f"Payment is due on {due_said}." if dated else "It names no due date.")
    )
    value = {
        "number": number, "vendor": {"name": vendor, "city": city}, "issued": issued,
        "due": due if dated else None, "lines": lines, "total": total,
    }  # fmt: skip
    text_, amount = {"type": "string"}, {"type": "number"}
    line = _object({"description": text_, "quantity": {"type": "integer"}, "unit_price": amount})
    properties = {
        "number": text_, "vendor": _object({"name": text_, "city": text_}),
        "issued": {"type": "string", "format": "date"},
        "due": {"type": ["string", "null"], "format": "date"},
        "lines": {"type": "array", "items": line}, "total": amount,
    }  # fmt: skip
    return _item(rng, text, properties, value, "Dates are YYYY-MM-DD.")


@family("extract", difficulty=5, items=ITEMS_PER_FAMILY)
def sensor_log(rng: random.Random) -> Item:
    """An array that is grouped otherwise than the text: the good, then what was wrong."""
    site = f"Station {rng.choice(('Alder', 'Birch', 'Cedar', 'Dover', 'Ember', 'Fjord'))}"
    count = rng.choice((4, 5))
    letters, hour = rng.sample("ABCDEFGHKLMNPRST", count), rng.randint(4, 9)
    minutes, usual = sorted(rng.sample(range(0, 60, 5), count)), rng.uniform(-9, 28)
    readings: list[dict[str, Any]] = [
        {"time": f"{hour:02}:{minute:02}", "sensor": f"{letter}{rng.randint(1, 9)}",
         "celsius": round(usual + rng.uniform(-4, 4), 1), "status": "ok"}
        for letter, minute in zip(letters, minutes, strict=True)
    ]  # fmt: skip
    silent, suspect = rng.sample(readings, 2)
    silent.update(celsius=None, status="fault")
    suspect.update(status="suspect")
    said = []
    for reading in readings:
        value = "no value" if reading["celsius"] is None else f"{reading['celsius']:.1f} °C"
        said.append(f"At {reading['time']} {reading['sensor']} sent {value}.")
    text = (
        f"Readings of {site}. {' '.join(said)} {silent['sensor']} was later found to have a "
        f"fault, the value of {suspect['sensor']} is suspect, and all others are ok."
    )
    reading_schema = _object({
        "time": {"type": "string"}, "sensor": {"type": "string"},
        "celsius": {"type": ["number", "null"]}, "status": {"enum": ["ok", "suspect", "fault"]},
    })  # fmt: skip
    properties = {
        "site": {"type": "string"},
        "readings": {"type": "array", "items": reading_schema},
        "faults": {"type": "integer", "description": "number of sensors with a fault"},
        "highest_celsius": {"type": "number", "description": "of all values, suspect or not"},
    }
    known = [reading["celsius"] for reading in readings if reading["celsius"] is not None]
    value = {"site": site, "readings": readings, "faults": 1, "highest_celsius": max(known)}
    return _item(rng, text, properties, value, "Readings keep their order.")
