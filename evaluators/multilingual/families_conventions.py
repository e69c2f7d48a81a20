"""Conventions: how numbers, dates, times and prices are written here and there.

Locale formats come from Babel (Unicode CLDR), numerals in words from num2words; both are needed
only to generate. Where usage knows more than one form, all of them are accepted.

An item's ``form`` says how its answer is read: ``figures`` (digits with their signs), ``words``
(spelled to the letter) or ``script`` (the digits of a script as they are).
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from decimal import Decimal

from babel.dates import format_date
from babel.numbers import format_currency, format_decimal
from num2words import num2words

from evomerge_compiler.scoring.authoring import Authoring, Item

ITEMS_PER_FAMILY = 10
_ARABIC_INDIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
_PLACES = {
    "de_DE": "Germany", "fr_FR": "France", "es_ES": "Spain", "it_IT": "Italy",
    "pt_BR": "Brazil", "de_CH": "Switzerland", "en_IN": "India", "en_US": "the United States",
}  # fmt: skip
_NAMES = {
    "de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese",
    "zh": "Chinese", "ja": "Japanese", "ar": "Arabic", "en_US": "American English",
    "en_GB": "British English",
}  # fmt: skip


def register(tasks: Authoring) -> None:
    """Adds the families of this module."""
    families = {
        twelve_hour_clock: 1, twenty_four_hours: 1, date_in_words: 1, arabic_digits: 2,
        numeric_date: 2, plain_value: 2, numeral_to_digits: 2, written_date: 3,
        local_number: 3, local_price: 3, french_numeral: 3, other_numeral: 4,
        spoken_time: 4, myriads: 4,
    }  # fmt: skip
    for draw, difficulty in families.items():
        tasks.family("conventions", difficulty=difficulty, items=ITEMS_PER_FAMILY)(draw)


def _figures(prompt: str, *accepted: str) -> Item:
    return _item("figures", prompt, accepted)


def _item(form: str, prompt: str, accepted: Sequence[str]) -> Item:
    ways = list(dict.fromkeys(accepted))
    return Item(prompt, ways[0], {"form": form, "accepted": ways})


def twelve_hour_clock(rng: random.Random) -> Item:
    """24 hours to a.m. and p.m.; noon and midnight are the hard ones."""
    hour, minute = rng.choice([0, 12, *range(6, 24)]), rng.randrange(1, 60)
    thing = rng.choice(["A train leaves", "The show begins", "The shop closes", "The call is"])
    short = f"{hour % 12 or 12}:{minute:02}"
    half = "AM" if hour < 12 else "PM"
    prompt = (
        f"{thing} at {hour:02}:{minute:02} on the 24-hour clock. Write this time on the 12-hour "
        "clock as Americans do, with AM or PM. Reply with the time only."
    )
    ways = [f"{hours}{gap}{half}" for hours in (short, f"{short:0>5}") for gap in (" ", "")]
    return _figures(prompt, *ways, *(way.replace(half, f"{half[0]}.M.") for way in ways))


def twenty_four_hours(rng: random.Random) -> Item:
    """a.m. and p.m., in English, Chinese or Japanese, to 24 hours."""
    hour, minute = rng.randrange(24), rng.choice([5, 10, 15, 20, 25, 35, 40, 45, 50, 55])
    morning, short = hour < 12, hour % 12 or 12
    # In East Asia midnight and noon are also counted as hour 0, so only English has them.
    said = rng.choice(
        [f"{short}:{minute:02} {'a.m.' if morning else 'p.m.'}"]
        + [f"{'上午' if morning else '下午'}{short}点{minute}分"] * (hour % 12 > 0)
        + [f"{'午前' if morning else '午後'}{short}時{minute}分"] * (hour % 12 > 0)
    )
    prompt = f"Which time on the 24-hour clock is “{said}”? Answer in the form HH:MM."
    return _figures(prompt, f"{hour:02}:{minute:02}")


def date_in_words(rng: random.Random) -> Item:
    """A written date of another language to ISO form."""
    day = _day(rng)
    language = rng.choice(["fr", "de", "es", "it", "pt", "zh", "ja", "ar"])
    written = format_date(day, "long", locale=language)
    if language == "ar":
        written = written.translate(_ARABIC_INDIC)
    prompt = (
        f"A letter in {_NAMES[language]} is dated “{written}”. Which date is that? "
        "Answer in the form YYYY-MM-DD."
    )
    return _figures(prompt, day.isoformat())


def arabic_digits(rng: random.Random) -> Item:
    """Eastern Arabic digits, to read and to write."""
    number = str(rng.randrange(1_000, 100_000))
    native = number.translate(_ARABIC_INDIC)
    if rng.random() < 0.5:
        prompt = (
            f"A sign in Cairo shows the number {native}. Write this number with the digits 0-9. "
            "Reply with the number only."
        )
        return _figures(prompt, number)
    prompt = (
        f"Write the number {number} with Eastern Arabic digits (٠ to ٩), without separators. "
        "Reply with the number only."
    )
    return _item("script", prompt, [native])


def numeric_date(rng: random.Random) -> Item:
    """A date in figures whose day and month could be exchanged, to ISO form."""
    day, month = rng.sample(range(1, 13), 2)
    date = datetime.date(rng.randrange(1985, 2030), month, day)
    place, written = rng.choice(
        [
            ("A German", f"{day:02}.{month:02}.{date.year}"),
            ("An American", f"{month:02}/{day:02}/{date.year}"),
            ("A British", f"{day:02}/{month:02}/{date.year}"),
            ("A French", f"{day:02}/{month:02}/{date.year}"),
            ("A Brazilian", f"{day:02}/{month:02}/{date.year}"),
        ]
    )
    thing = rng.choice(["invoice", "ticket", "newspaper", "contract"])
    prompt = f"{place} {thing} is dated {written}. Write the date as YYYY-MM-DD."
    return _figures(prompt, date.isoformat())


def plain_value(rng: random.Random) -> Item:
    """A number with a country's separators to one with a decimal point alone."""
    locale = rng.choice(["de_DE", "fr_FR", "it_IT", "pt_BR", "de_CH", "en_IN"])
    value = _amount(rng)
    written = format_decimal(value, locale=locale)
    prompt = (
        f"A report from {_PLACES[locale]} mentions a weight of {written} tonnes. Write this "
        "number without thousands separators and with a decimal point. Reply with the number only."
    )
    return _figures(prompt, str(value))


def numeral_to_digits(rng: random.Random) -> Item:
    """A numeral in words to digits."""
    language = rng.choice(["fr", "de", "es", "it", "ar", "ja", "zh"])
    number = rng.randrange(21, 1_000)
    if language == "fr":
        number = rng.randrange(70, 100)
    elif language in ("ja", "zh"):
        number = rng.randrange(1_001, 100_000)
    # num2words leaves out the accent of Italian "ventitré".
    number += language == "it" and number % 10 == 3
    prompt = (
        f"Which number is this {_NAMES[language]} numeral: {_spelled(number, language)}? "
        "Reply with the number in digits, without separators."
    )
    return _figures(prompt, str(number))


def written_date(rng: random.Random) -> Item:
    """An ISO date to a written date of another language."""
    day = _day(rng)
    language = rng.choice(["fr", "de", "es", "it", "pt", "zh", "ja", "ar", "en_US", "en_GB"])
    written = format_date(day, "long", locale=language)
    more = {
        "ar": [format_date(day, "long", locale="ar_SY")],
        "es": [written[: -len(" de 2000")] + f" del {day.year}"],
        "en_US": [written.replace(",", ""), written.replace(",", f"{_ordinal(day.day)},")],
        "en_GB": [written.replace(" ", f"{_ordinal(day.day)} ", 1)],
        "fr": [written.replace("1 ", "1er ", 1)] if day.day == 1 else [],
    }.get(language, [])
    prompt = (
        f"Write the date {day.isoformat()} in {_NAMES[language]}, in full: the day, the name of "
        "the month and the year with four digits. No weekday. Reply with the date only."
    )
    if language in ("zh", "ja"):
        prompt = (
            f"Write the date {day.isoformat()} in {_NAMES[language]}, with the characters for "
            "year, month and day and the digits 0-9. Reply with the date only."
        )
    return _figures(prompt, written, *more)


def local_number(rng: random.Random) -> Item:
    """A plain number to one with a country's separators."""
    locale = rng.choice(list(_PLACES))
    value = _amount(rng)
    written = format_decimal(value, locale=locale)
    # Standards of these countries group by a narrow space as well.
    spaced = format_decimal(value, locale="fr_FR")
    prompt = (
        f"Write the number {value} as it is usually written in {_PLACES[locale]}, with the "
        "thousands separators and the decimal sign of that country. Reply with the number only."
    )
    more = {
        "en_IN": [],
        "en_US": [],
        "de_CH": [spaced, spaced.replace(",", ".")],
    }
    return _figures(prompt, written, *more.get(locale, [spaced]))


def local_price(rng: random.Random) -> Item:
    """An amount of money to the form of a country's price tags."""
    locale, currency, symbol = rng.choice(
        [
            ("de_DE", "EUR", "€"), ("fr_FR", "EUR", "€"), ("en_US", "USD", "$"),
            ("pt_BR", "BRL", "R$"), ("de_CH", "CHF", "CHF"),
        ]
    )  # fmt: skip
    value = f"{rng.randrange(1_000, 90_000)}.{rng.randrange(10, 100)}"
    written = format_currency(value, currency, locale=locale)
    ways = [written, written.replace("\u00a0", "")]
    if locale == "de_DE":
        ways += [format_currency(value, currency, locale="fr_FR")]
    prompt = (
        f"A price is {value} (amount in {symbol}). Write it as a shop in {_PLACES[locale]} prints "
        f"it, with separators and with {symbol} in its usual place. Reply with the price only."
    )
    return _figures(prompt, *ways)


def french_numeral(rng: random.Random) -> Item:
    """A number whose tail is 70 to 99, in the words of France."""
    number = rng.choice([0, 0, 100, 200, 400, 600]) + rng.randrange(70, 100)
    prompt = f"Spell the number {number} in French words, as in France. Reply with the words only."
    return _item("words", prompt, [num2words(number, lang="fr")])


def other_numeral(rng: random.Random) -> Item:
    """A number in German, Spanish, Italian or Portuguese words."""
    language = rng.choice(["de", "es", "it", "pt"])
    number = rng.randrange(101, 1_000)
    if language == "it":
        # Longer ones may be parted, and num2words leaves out the accent of "ventitré".
        number = rng.choice([n for n in range(21, 100) if n % 10 != 3])
    ways = [num2words(number, lang=language)]
    if language == "de":
        ways += [ways[0].removeprefix("ein")] * (number < 200)
    if language == "pt":
        ways += [num2words(number, lang="pt_BR")]
    prompt = (
        f"Write the number {number} in {_NAMES[language]} words. Reply with the words only, "
        "correctly spelled."
    )
    return _item("words", prompt, ways)


# Hours 6 to 11; then quarter past, half past and quarter to; then morning and late evening.
_CLOCKS = {
    "de": (
        "sechs sieben acht neun zehn elf",
        ("Viertel nach {hour}", "halb {next}", "Viertel vor {next}"),
        ("{time} morgens", "{time} abends"),
    ),
    "fr": (
        "six sept huit neuf dix onze",
        ("{hour} heures et quart", "{hour} heures et demie", "{next} heures moins le quart"),
        ("{time} du matin", "{time} du soir"),
    ),
    "es": (
        "seis siete ocho nueve diez once",
        ("las {hour} y cuarto", "las {hour} y media", "las {next} menos cuarto"),
        ("{time} de la mañana", "{time} de la noche"),
    ),
    "it": (
        "sei sette otto nove dieci undici",
        ("le {hour} e un quarto", "le {hour} e mezza", "le {next} meno un quarto"),
        ("{time} di mattina", "{time} di sera"),
    ),
    "zh": (
        "六 七 八 九 十 十一",
        ("{hour}点一刻", "{hour}点半", "差一刻{next}点"),
        ("早上{time}", "晚上{time}"),
    ),
    "ja": (
        "六 七 八 九 十 十一",
        ("{hour}時十五分", "{hour}時半", "{next}時十五分前"),
        ("午前{time}", "午後{time}"),
    ),
    "ar": (
        "السادسة السابعة الثامنة التاسعة العاشرة الحادية-عشرة",
        ("الساعة {hour} والربع", "الساعة {hour} والنصف", "الساعة {next} إلا ربعًا"),
        ("{time} صباحًا", "{time} مساءً"),
    ),
}


def spoken_time(rng: random.Random) -> Item:
    """A time as people say it, to 24 hours; German "halb acht" is half past seven."""
    language = rng.choice(list(_CLOCKS))
    names, quarters, halves = _CLOCKS[language]
    evening, quarter = rng.random() < 0.5, rng.randrange(3)
    hour = rng.randrange(8, 11) if evening else rng.randrange(6, 11)
    words = [name.replace("-", " ") for name in names.split()]
    said = quarters[quarter].format(hour=words[hour - 6], next=words[hour - 5])
    prompt = (
        f"Somebody says in {_NAMES[language]}: “{halves[evening].format(time=said)}”. Which time "
        "is that on the 24-hour clock? Answer in the form HH:MM."
    )
    return _figures(prompt, f"{hour + 12 * evening:02}:{(quarter + 1) * 15}")


def myriads(rng: random.Random) -> Item:
    """Chinese and Japanese numbers count in steps of ten thousand."""
    tens, some = rng.randrange(11, 99), rng.randrange(2, 10)
    language, written, number = rng.choice(
        [
            ("Chinese", f"{some}亿{tens}00万", some * 10**8 + tens * 10**6),
            ("Japanese", f"{some}億{tens}00万", some * 10**8 + tens * 10**6),
            ("Chinese", f"{tens}.{some}万", tens * 10**4 + some * 10**3),
            ("Japanese", f"{tens}万{some}千", tens * 10**4 + some * 10**3),
            ("Chinese", f"{some}千万", some * 10**7),
            ("Japanese", f"{tens}億", tens * 10**8),
        ]
    )
    thing = rng.choice(["a bridge", "a new school", "a festival", "a hospital", "a film"])
    unit = "yuan" if language == "Chinese" else "yen"
    prompt = (
        f"A {language} newspaper puts the cost of {thing} at “{written}” {unit}. Write this "
        "number in digits only, without separators."
    )
    return _figures(prompt, str(number))


def _day(rng: random.Random) -> datetime.date:
    return datetime.date(1985, 1, 1) + datetime.timedelta(days=rng.randrange(16_000))


def _amount(rng: random.Random) -> Decimal:
    """A number of six or seven digits and one or two decimals, the last of them not 0."""
    digits = rng.randrange(1, 3)
    tail = rng.randrange(10 ** (digits - 1), 10**digits)
    tail += tail % 10 == 0
    return Decimal(f"{rng.randrange(100_000, 10_000_000)}.{tail}")


def _ordinal(day: int) -> str:
    return "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _spelled(number: int, language: str) -> str:
    if language == "zh":
        return _in_chinese(number)
    # num2words leaves a space behind the Arabic "and", which is written together.
    return str(num2words(number, lang=language)).replace(" و ", " و")


def _in_chinese(number: int) -> str:
    """A number below 100,000: 20,305 is 二万零三百零五."""
    text, gap = "", False
    for digit, unit in zip(f"{number:05}", ("万", "千", "百", "十", ""), strict=True):
        if digit == "0":
            gap = bool(text)
            continue
        text += "零" * gap + "零一二三四五六七八九"[int(digit)] + unit
        gap = False
    return text
