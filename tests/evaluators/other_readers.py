"""Reads tables, formats and queries by other code than the evaluators', to prove their items."""

from __future__ import annotations

import configparser
import csv
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import tomlkit


def table(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text), delimiter=delimiter))


class Cells(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.rows[-1].append(data)


def cells(language: str, text: str) -> list[list[str]]:
    if language == "csv":
        return table(text)
    if language == "html":
        return Cells(text).rows
    lines = text.rstrip("\n").split("\n")
    if language == "markdown":
        return [[c.strip() for c in line.strip("|").split("|")] for line in [lines[0], *lines[2:]]]
    return [re.split(r"\s{2,}", line) for line in lines]


def _ini(text: str) -> None:
    configparser.ConfigParser().read_string(text)


def _lines(text: str) -> None:
    assert [json.loads(line) for line in text.split("\n")][1:]


def _separated(delimiter: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        rows = table(text, delimiter)
        assert len({len(row) for row in rows}) == 1 and len(rows[0]) > 2 and text[0] != "{"

    return check


def _markdown(text: str) -> None:
    if not re.fullmatch(r"(\|.+\|\n)\|[-|]+\|\n(\|.+\|\n?)+", text):
        raise ValueError(text)


READERS: dict[str, Callable[[str], object]] = {
    "JSON": json.loads,
    "JSON Lines": _lines,
    "TOML": tomlkit.parse,
    "XML": ElementTree.fromstring,
    "INI": _ini,
    "CSV": _separated(","),
    "TSV": _separated("\t"),
    "Markdown": _markdown,
}


def reached(data: Any, keys: list[str]) -> Any:
    for key in keys:
        data = data[int(key) if isinstance(data, list) else key]
    return data


def selected(data: Any, path: str) -> list[Any]:
    """What the few shapes of JSONPath select that the items use."""
    match = re.fullmatch(r"\$\.entries\[(?:(-?\d*):(\d*)|\?@\.(\w+) (>|==) (.+))\]\.(\w+)", path)
    assert match, path
    start, stop, key, sign, limit, shown = match.groups()
    found = data["entries"]
    if key is None:
        found = found[int(start) : int(stop) if stop else None]
    elif sign == ">":
        found = [record for record in found if record[key] > float(limit)]
    else:
        found = [record for record in found if record[key] is json.loads(limit)]
    return [record[shown] for record in found]


def patched(target: Any, patch: Any) -> Any:
    """MergePatch of RFC 7396, section 2, line by line."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for name, item in patch.items():
        if item is None:
            target.pop(name, None)
        else:
            target[name] = patched(target.get(name), item)
    return target
