"""Formats that are recognised, errors that are found, documents that are repaired."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

from lexicon import CITIES, dealt, people
from tasks import ITEMS_PER_FAMILY, family
from themes import Record, nested, records, rows, service
from writers import as_csv, as_json, as_markdown, as_yaml, cell, fence

from evomerge_compiler.scoring import documents
from evomerge_compiler.scoring.authoring import Item


def _is_valid(form: str, text: str) -> bool:
    try:
        documents.parse(form, text)
    except ValueError:
        return False
    return True


def _number(prompt: str, value: int) -> Item:
    fields = {"form": "number", "value": json.dumps(value), "choices": "[]"}
    return Item(prompt, str(value), fields)


def _document(prompt: str, form: str, value: Any, answer: str) -> Item:
    fields = {"form": form, "value": json.dumps(value, ensure_ascii=False), "choices": "[]"}
    return Item(prompt, answer, fields)


# ------------------------------------------------------------------------------ recognise
def _assigned(record: Record, write: Callable[[Any], str]) -> str:
    return "\n".join(f"{key} = {write(value)}" for key, value in record.items())


def _toml(found: list[Record]) -> str:
    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    return "\n\n".join(f"[[entry]]\n{_assigned(record, text)}" for record in found)


def _ini(found: list[Record]) -> str:
    sections = [f"[entry.{n}]\n{_assigned(record, cell)}" for n, record in enumerate(found, 1)]
    return "; one section per entry\n" + "\n\n".join(sections)


def _xml(found: list[Record]) -> str:
    lines = ["<entries>"]
    for record in found:
        inner = "".join(f"<{key}>{cell(value)}</{key}>" for key, value in record.items())
        lines.append(f"  <entry>{inner}</entry>")
    return "\n".join([*lines, "</entries>"])


def _json_lines(found: list[Record]) -> str:
    return "\n".join(json.dumps(record, ensure_ascii=False) for record in found)


_WRITERS: dict[str, Callable[[list[Record]], str]] = {
    "JSON": as_json,
    "JSON Lines": _json_lines,
    "YAML": as_yaml,
    "CSV": lambda found: as_csv(rows(found)),
    "TSV": lambda found: as_csv(rows(found), "\t"),
    "TOML": _toml,
    "INI": _ini,
    "XML": _xml,
    "Markdown": lambda found: as_markdown(rows(found)),
}


@family("syntax", difficulty=1, items=ITEMS_PER_FAMILY)
def recognise(rng: random.Random) -> Item:
    """One of nine formats; their order in the prompt changes."""
    names = list(_WRITERS)
    name = dealt(rng, "formats", list(_WRITERS))
    rng.shuffle(names)
    block = fence("", _WRITERS[name](records(rng, 2)))
    options = ", ".join(names[:-1]) + " or " + names[-1]
    prompt = rng.choice((
        f"Which format is this text written in: {options}?\n\n{block}\n\n"
        "Answer with the name of the format only.",
        f"{block}\n\nName the format of the text above. It is one of {options}. "
        "Reply with that name only.",
    ))  # fmt: skip
    fields = {"form": "text", "value": json.dumps(name), "choices": json.dumps(sorted(names))}
    return Item(prompt, name, fields)


# ------------------------------------------------------------------------------ break
def _broken_line(rng: random.Random, line: str) -> str | None:
    """A line of JSON ``"key": scalar`` with one error that lies within that line."""
    match = re.fullmatch(r'(\s*)"(\w+)": (.+?)(,?)', line)
    if not match or match[3] in "{[":
        return None
    margin, key, value, comma = match.groups()
    choices = [
        f"{margin}'{key}': {value}{comma}",
        f"{margin}{key}: {value}{comma}",
        f'{margin}"{key}" {value}{comma}',
        f'{margin}"{key}" = {value}{comma}',
        f'{margin}"{key}: {value}{comma}',
        f'{margin}"{key}": {value}{comma} // checked',
    ]
    if value in ("true", "false", "null"):
        named = {"true": "True", "false": "False", "null": "None"}[value]
        choices = [*choices[:2], *3 * [f'{margin}"{key}": {named}{comma}']]
    elif value.startswith('"'):
        choices += [
            f'{margin}"{key}": {value[:-1]}{comma}',
            f"{margin}\"{key}\": '{value[1:-1]}'{comma}",
        ]
    elif value.isdecimal():
        choices += 2 * [f'{margin}"{key}": 0{value}{comma}']
    return rng.choice(choices)


@family("syntax", difficulty=3, items=ITEMS_PER_FAMILY)
def pick_valid(rng: random.Random) -> Item | None:
    """One of four texts is valid JSON, the others have one error each."""
    texts, number = [], dealt(rng, "numbers", (1, 2, 3, 4))
    for place in range(1, 5):
        record = dict(rng.sample(list(records(rng, 1)[0].items()), 3))
        lines = as_json(record).split("\n")
        if place != number:
            at = rng.randrange(1, len(lines) - 1)
            broken = _broken_line(rng, lines[at])
            if rng.random() < 0.2:
                at, broken = len(lines) - 2, lines[-2] + ","
            if broken is None:
                return None
            lines[at] = broken
        texts.append("\n".join(lines))
        if _is_valid("json", texts[-1]) != (place == number):
            return None
    blocks = "\n\n".join(f"Text {n}:\n{fence('', text)}" for n, text in enumerate(texts, 1))
    prompt = (
        f"Only one of these four texts is valid JSON (RFC 8259).\n\n{blocks}\n\n"
        "Which one is it? Answer with its number only."
    )
    return _number(prompt, number)


def _numbered(text: str) -> str:
    lines = text.split("\n")
    return "\n".join(f"{n:>2} | {line}" for n, line in enumerate(lines, 1))


@family("syntax", difficulty=3, items=ITEMS_PER_FAMILY)
def json_error_line(rng: random.Random) -> Item | None:
    """The line of the only error; it is visible in that line alone."""
    lines = as_json(nested(rng)).split("\n")
    at = rng.randrange(len(lines))
    broken = _broken_line(rng, lines[at])
    if broken is None:
        return None
    lines[at] = broken
    text = "\n".join(lines)
    if _is_valid("json", text):
        return None
    prompt = (
        "This JSON file has exactly one syntax error. The numbers at the left are line numbers "
        f"and no part of the file.\n\n{fence('', _numbered(text))}\n\n"
        "On which line is the error? Answer with the line number only."
    )
    return _number(prompt, at + 1)


@family("syntax", difficulty=3, items=ITEMS_PER_FAMILY)
def csv_error_line(rng: random.Random) -> Item:
    """The line with a cell too many or too few."""
    found = rows(records(rng, 9))
    at = dealt(rng, "lines", range(1, 10))
    line = [cell(value) for value in found[at]]
    place = rng.randrange(len(line))
    if rng.random() < 0.5:
        line.pop(place)
    else:
        line.insert(place, line[place])
    found[at] = line
    prompt = (
        "In this CSV file one line has a different number of cells than the header. The numbers "
        f"at the left are line numbers and no part of the file.\n\n"
        f"{fence('', _numbered(as_csv(found)))}\n\n"
        "Which line is it? Answer with the line number only."
    )
    return _number(prompt, at + 1)


# ------------------------------------------------------------------------------ repair
def _lost_comma(rng: random.Random, lines: list[str]) -> None:
    at = rng.choice([n for n, line in enumerate(lines) if line.endswith(",")])
    lines[at] = lines[at][:-1]


def _spare_comma(rng: random.Random, lines: list[str]) -> None:
    at = rng.choice([n for n, line in enumerate(lines[:-1])
                     if lines[n + 1].strip()[0] in "}]" and line[-1] not in "{["])  # fmt: skip
    lines[at] += ","


def _lost_end(rng: random.Random, lines: list[str]) -> None:
    lines.pop()


def _bad_line(rng: random.Random, lines: list[str]) -> None:
    while True:
        at = rng.randrange(len(lines))
        broken = _broken_line(rng, lines[at])
        if broken is not None:
            lines[at] = broken
            return


@family("syntax", difficulty=2, items=ITEMS_PER_FAMILY)
def json_repair(rng: random.Random) -> Item | None:
    """One error, or two of different kinds."""
    value = nested(rng)
    lines = as_json(value).split("\n")
    errors = rng.sample((_bad_line, _lost_comma, _spare_comma, _lost_end), rng.choice((1, 2)))
    for error in sorted(errors, key=lambda each: each is not _bad_line):
        error(rng, lines)
    text = "\n".join(lines)
    changed = sum(a != b for a, b in zip_longest(as_json(value).split("\n"), lines))
    # Two errors on one line may cancel out; 08 may mean 8 or "08"; a comment might be meant.
    if changed < len(errors) or _is_valid("json", text) or re.search(r": 0\d|//", text):
        return None
    count = "a syntax error" if len(errors) == 1 else "two syntax errors"
    prompt = rng.choice((
        f"This JSON has {count}. Repair it without changing any key or value.\n\n"
        f"{fence('json', text)}\n\nReply with the corrected JSON only.",
        f"{fence('json', text)}\n\nA parser rejects the JSON above because of {count}. "
        "Write the valid JSON that was meant, with the same data. Output only the JSON.",
    ))  # fmt: skip
    return _document(prompt, "json", value, as_json(value))


_TEXTS = ("Part 2: the return", "note: call back", "@rosa", "%done", "`draft`", "warning: hot",
          "@team-north", "status: open")  # fmt: skip


def _broken_yaml(rng: random.Random, text: str, special: str) -> str:
    lines = text.split("\n")
    kind = rng.randrange(5)
    inner = [n for n, line in enumerate(lines) if line.startswith("  ") and ": " in line]
    plain = [n for n, line in enumerate(lines) if re.fullmatch(r"\w+: [\w.-]+", line)]
    if kind == 0:  # a value that needs quotes
        return text.replace(f"'{special}'", special)
    if kind == 1:
        at = rng.choice(inner)
        lines[at] = "\t" + lines[at].lstrip(" ")
    elif kind == 2:
        at = rng.choice(plain)
        lines[at] = lines[at].replace(": ", ":")
    elif kind == 3:
        lines = [line[:-1] if f"'{special}'" in line else line for line in lines]
    else:
        at = rng.choice(inner[1:])
        lines[at] = " " + lines[at]
    return "\n".join(lines)


@family("syntax", difficulty=4, items=ITEMS_PER_FAMILY)
def yaml_repair(rng: random.Random) -> Item | None:
    """Missing quotes, tabs, lost spaces, odd indentation."""
    value = {**service(rng), "comment": rng.choice(_TEXTS)}
    if rng.random() < 0.5:
        value = {"title": value.pop("comment"), **value}
    special = value.get("title") or value["comment"]
    sound = as_yaml(value)
    text = _broken_yaml(rng, sound, special)
    if text == sound or _is_valid("yaml", text):
        return None
    prompt = rng.choice((
        "A YAML parser rejects this file because of one mistake. Correct it and keep all keys, "
        f"values and their nesting.\n\n{fence('yaml', text)}\n\n"
        "Reply with the corrected YAML only.",
        f"{fence('yaml', text)}\n\nThere is one syntax error in this YAML. Fix it without "
        "changing the data, and output only the whole corrected YAML.",
    ))  # fmt: skip
    return _document(prompt, "yaml", value, sound)


_REMARKS = ("fragile, keep upright", "left, then right", "red, green", "call first, please",
            "ground floor, rear door", "tall, with stairs")  # fmt: skip


@family("syntax", difficulty=4, items=ITEMS_PER_FAMILY)
def csv_repair(rng: random.Random) -> Item:
    """One row lacks the quotes around a cell with a comma."""
    remarks = rng.sample(_REMARKS, 4)
    surname_first = [", ".join(reversed(name.split(" "))) for name in people(rng, 4)]
    table: list[list[str]] = [["id", "name", "city", "remark"]]
    for n, (name, remark) in enumerate(zip(surname_first, remarks, strict=True)):
        number = str(rng.randint(10, 19) + 10 * n)
        table.append([number, name, rng.choice(CITIES), remark])
    sound = as_csv(table)
    lines = sound.split("\n")
    at, column = rng.randint(1, 4), rng.choice((1, 3))
    lines[at] = lines[at].replace(f'"{table[at][column]}"', table[at][column])
    text = "\n".join(lines)
    prompt = rng.choice((
        "In this CSV file the double quotes around one cell are missing, so that its row seems "
        f"to have too many cells. Repair it.\n\n{fence('csv', text)}\n\n"
        "Reply with the whole corrected CSV only.",
        f"{fence('csv', text)}\n\nOne cell of this CSV contains a comma but lacks its double "
        "quotes. Put them back and output only the complete corrected CSV.",
    ))  # fmt: skip
    return _document(prompt, "csv", table, sound)
