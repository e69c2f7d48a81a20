"""Families about Roman numerals, times of day, versions and checks of a form."""

from __future__ import annotations

import random

from questions import Question, code, each, family


@family(difficulty=3)
def roman_numerals(rng: random.Random) -> Question:
    return rng.choice((_to_roman, _to_roman, _from_roman, _from_roman, _work_with_roman))(rng)


_READ_ROMAN = code("""
    values = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}

    def number(text):
        total = 0
        for i, char in enumerate(text):
            value = values[char]
            if i + 1 < len(text) and values[text[i + 1]] > value:
                total -= value
            else:
                total += value
        return total

    """)
_ROMAN = "(I = 1, V = 5, X = 10, L = 50, C = 100, D = 500, M = 1000)"
_SUBTRACTED = "A smaller numeral before a larger one is subtracted: IV is 4, XC is 90."


def _to_roman(rng: random.Random) -> Question:
    old, top = rng.random() < 0.5, rng.choice((399, 1999, 3999))
    shown, empty = rng.choice((("None", "None"), ("an empty string", '""')))
    pairs = [(1000, "M"), (500, "D"), (100, "C"), (50, "L"), (10, "X"), (5, "V"), (1, "I")]
    if not old:
        pairs += [(900, "CM"), (400, "CD"), (90, "XC"), (40, "XL"), (9, "IX"), (4, "IV")]
    rule = (
        "Do not subtract: 4 is IIII and 90 is LXXXX."
        if old
        else "Write 4 as IV, 9 as IX, 40 as XL and so on."
    )
    return Question(
        name="to_roman",
        arguments="n: int",
        returns="str | None" if empty == "None" else "str",
        task=f"Return `n` as a Roman numeral {_ROMAN}.",
        rules=[rule, f"If `n` is less than 1 or greater than {top}, return {shown}."],
        body=code(
            """
            if not 1 <= n <= $top:
                return $empty
            text = ""
            for value, letters in $pairs:
                while n >= value:
                    text += letters
                    n -= value
            return text
            """,
            top=top, empty=empty, pairs=sorted(pairs, reverse=True),
        ),
        calls=each(194, 49, 348, 0, -3, 4000, 1, 4, 9, 14, 40, 90, 400, 399, 1994, 2000, 3999),
    )  # fmt: skip


def _from_roman(rng: random.Random) -> Question:
    bad, lower = rng.choice(("None", "0", "-1")), rng.random() < 0.5
    case = "Upper and lower case are the same." if lower else "Only upper-case letters count."
    return Question(
        name="from_roman",
        arguments="text: str",
        returns="int | None" if bad == "None" else "int",
        task=f"Return the whole number that the Roman numeral `text` stands for {_ROMAN}.",
        rules=[_SUBTRACTED, case,
               f"If `text` is empty or has any other character, return {bad}."],
        body=f"{_READ_ROMAN}\n\n" + ("text = text.upper()\n" if lower else "") + code(
            """
            if not text or any(char not in values for char in text):
                return $bad
            return number(text)
            """,
            bad=bad,
        ),
        calls=each("XIV", "MCMXC", "CDXLIV", "I", "III", "IX", "XL", "MMXXVI", "DCCC", "LXXXIX",
                   "", "ABC", "X I", "iv", "XIZ", "xCi"),
    )  # fmt: skip


def _work_with_roman(rng: random.Random) -> Question:
    task, name, returns, rule, form = rng.choice((
        ("the sum of the Roman numerals in `numerals` as a whole number", "sum_roman", "int",
         "For an empty list, return 0.", "sum(number(text) for text in numerals)"),
        ("the Roman numerals in `numerals`, ordered by their value from large to small",
         "order_roman", "list[str]", "Equal numerals all stay.",
         "sorted(numerals, key=number, reverse=True)"),
        ("the Roman numeral in `numerals` with the smallest value", "smallest_roman",
         "str | None", "For an empty list, return None.",
         "min(numerals, key=number) if numerals else None"),
    ))  # fmt: skip
    return Question(
        name=name,
        arguments="numerals: list[str]",
        returns=returns,
        task=f"Return {task}.",
        rules=[_SUBTRACTED, rule],
        body=f"{_READ_ROMAN}\n\nreturn {form}",
        calls=each(
            ["XIV", "MC", "IX"], ["CD", "XC", "XL", "CM"], ["II", "V", "IV", "V"], [], ["I"],
            ["X", "X"], ["DC", "CD"], ["L", "XLIX", "LI"], ["MMM", "I", "XXX"], ["VI", "IV"],
        ),
    )  # fmt: skip


@family(difficulty=3)
def durations(rng: random.Random) -> Question:
    return rng.choice((_read_clock, _read_units, _show_duration))(rng)


def _read_clock(rng: random.Random) -> Question:
    bad, limit = rng.choice(("-1", "None")), rng.random() < 0.5
    rule = "must be less than 60" if limit else "may be 60 or more"
    test = " or int(parts[1]) > 59 or int(parts[2]) > 59" if limit else ""
    return Question(
        name="to_seconds",
        arguments="text: str",
        returns="int | None" if bad == "None" else "int",
        task="Return the number of seconds of a duration that is written as 'h:mm:ss', for "
        "example '1:05:09'.",
        rules=["Each of the three parts has one or more digits.", f"Minutes and seconds {rule}.",
               f"If the text has any other form, return {bad}."],
        body=code(
            """
            parts = text.split(":")
            if len(parts) != 3 or not all(part.isdigit() for part in parts)$test:
                return $bad
            h, m, s = parts
            return int(h) * 3600 + int(m) * 60 + int(s)
            """,
            bad=bad, test=test,
        ),
        calls=each("1:05:09", "0:59:30", "12:00:45", "", "5:30", "1:2:3:4", "a:00:00", "0:75:00",
                   "0:00:60", "-1:00:00", "10:10:", "100:00:00", "00:00:00"),
    )  # fmt: skip


def _read_units(rng: random.Random) -> Question:
    bad, day, order = rng.choice(("-1", "None")), rng.random() < 0.5, rng.random() < 0.5
    units = {**({"d": 86400} if day else {}), "h": 3600, "m": 60, "s": 1}
    rules = [
        "Units may come in any order and more than once."
        if order
        else "A unit may come after a smaller one, but no unit comes twice."
    ]
    test = "" if order else " and char not in seen"
    return Question(
        name="seconds_of",
        arguments="text: str",
        returns="int | None" if bad == "None" else "int",
        task=f"Return the number of seconds of a duration such as "
        f"'{'1d2h30m' if day else '2h30m15s'}': whole numbers, each followed by one of the units "
        f"{'d, h, m and s' if day else 'h, m and s'}.",
        rules=[*rules, "An empty text is 0 seconds.", "If a number has no unit, a unit no number, "
               f"or anything else is wrong, return {bad}."],
        body=code(
            """
            units = $units
            total, number, seen = 0, "", ""
            for char in text:
                if char in "0123456789":
                    number += char
                elif char in units and number$test:
                    total += int(number) * units[char]
                    number, seen = "", seen + char
                else:
                    return $bad
            return $bad if number else total
            """,
            bad=bad, units=units, test=test,
        ),
        calls=each("2h30m15s", "90m", "5s12h", "", "45s", "10", "h5", "1x", "5m 3s", "1d2h",
                   "30s2m", "0h", "12h34m56s", "1hm", "1h1h5s"),
    )  # fmt: skip


def _show_duration(rng: random.Random) -> Question:
    rule, form, like = rng.choice((
        ("Leave out units that are 0; for 0 seconds, return '0s'.",
         '"".join(f"{n}{unit}" for n, unit in ((h, "h"), (m, "m"), (s, "s")) if n) or "0s"',
         "'1h5m9s'"),
        ("Minutes and seconds have two digits.", 'f"{h}:{m:02d}:{s:02d}"', "'1:05:09'"),
        ("All three numbers are written, also when they are 0.", 'f"{h}h {m}m {s}s"',
         "'1h 5m 9s'"),
        ("Leave out the hours if they are 0; then the minutes have no leading zero. All other "
         "minutes and seconds have two digits.",
         'f"{h}:{m:02d}:{s:02d}" if h else f"{m}:{s:02d}"', "'1:05:09' or '5:09'"),
    ))  # fmt: skip
    shown, bad = rng.choice((("None", "None"), ("an empty string", '""')))
    return Question(
        name="show_duration",
        arguments="seconds: int",
        returns="str | None" if bad == "None" else "str",
        task=f"Return `seconds` as hours, minutes and seconds, written like {like}.",
        rules=[rule, f"For a negative number, return {shown}."],
        body=code(
            """
            if seconds < 0:
                return $bad
            h, rest = divmod(seconds, 3600)
            m, s = divmod(rest, 60)
            return $form
            """,
            bad=bad, form=form,
        ),
        calls=each(3909, 7260, 605, 0, -1, 59, 60, 3600, 3601, 86399, 360000, 86),
    )  # fmt: skip


@family(difficulty=3)
def times_of_day(rng: random.Random) -> Question:
    half, sign = rng.random() < 0.5, rng.choice(("after", "before"))
    if rng.random() < 0.6:
        unit, factor = rng.choice((("minutes", 1), ("hours", 60), ("half hours", 30)))
        form = (
            "f\"{(h + 11) % 12 + 1}:{m:02d} {'am' if h < 12 else 'pm'}\""
            if half
            else 'f"{h:02d}:{m:02d}"'
        )
        written = (
            "with 12 hours and am or pm, as in '9:05 am' or '12:30 pm'; midnight is '12:00 am'."
            if half
            else "in the same form, as in '09:05'."
        )
        step = f"{'+' if sign == 'after' else '-'} count{f' * {factor}' if factor > 1 else ''}"
        return Question(
            name="later" if sign == "after" else "earlier",
            arguments="time: str, count: int",
            returns="str",
            task=f"Return the time of day that is `count` {unit} {sign} `time`, which is written "
            "as 'HH:MM' (24 hours).",
            rules=[f"Write the result {written}",
                   "After 23:59 comes 00:00. `count` may be negative, and large."],
            body=code(
                """
                h, m = time.split(":")
                h, m = divmod((int(h) * 60 + int(m) $step) % 1440, 60)
                return $form
                """,
                form=form, step=step,
            ),
            calls=[["09:50", 25], ["23:30", 5], ["14:05", -7], ["00:00", 0], ["00:00", -1],
                   ["12:00", 0], ["11:59", 1], ["08:08", 1440], ["20:20", 3000], ["13:13", 720]],
        )  # fmt: skip
    wrap, unit = rng.choice(("day", "none", "swap")), rng.choice(("minutes", "text"))
    rule = {
        "day": "If the end is earlier than the start, it is on the next day.",
        "none": "If the end is earlier than the start, return None.",
        "swap": "If the end is earlier than the start, exchange the two.",
    }[wrap]
    early = {
        "day": "minutes %= 1440",
        "none": "if minutes < 0:\n    return None",
        "swap": "minutes = abs(minutes)",
    }[wrap]
    kind = "int" if unit == "minutes" else "str"
    what = "number of minutes" if unit == "minutes" else "time in the form '1 h 5 min'"
    return Question(
        name="time_between",
        arguments="start: str, end: str",
        returns=f"{kind} | None" if wrap == "none" else kind,
        task=f"Return the {what} from `start` to `end`, two times of day written as 'HH:MM' "
        "(24 hours).",
        rules=[rule],
        body=code(
            """
            h1, m1 = start.split(":")
            h2, m2 = end.split(":")
            minutes = (int(h2) - int(h1)) * 60 + int(m2) - int(m1)
            $early
            return $form
            """,
            early=early,
            form="minutes" if unit == "minutes" else 'f"{minutes // 60} h {minutes % 60} min"',
        ),
        calls=[["08:45", "10:15"], ["13:05", "14:00"], ["22:30", "06:15"], ["00:00", "23:59"],
               ["12:00", "12:00"], ["23:59", "00:00"], ["09:10", "09:09"], ["07:00", "07:01"]],
    )  # fmt: skip
