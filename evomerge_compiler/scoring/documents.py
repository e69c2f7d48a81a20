"""Reads JSON, YAML, CSV and TSV strictly, and finds the document in what a chat model writes.

A document becomes a plain value: CSV and TSV a list of rows of text cells, the header first; a
number with no fraction an int, so that 5, 5.0 and 5.00 are one value (JSON Schema core, section
4.2.2); text in Unicode form NFC. Text that was not written by us may be anything, so depth, size
and the growth of YAML aliases are bounded, and nothing but ValueError comes out.

Sources: RFC 8259 (JSON), YAML 1.2.2 section 10.3.2 (core schema), RFC 4180 (CSV).
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import yaml

from evomerge_compiler.scoring import answers
from evomerge_compiler.scoring.values import same

FORMS = ("json", "yaml", "csv", "tsv")
MAX_CHARS = 100_000
MAX_DEPTH = 50
MAX_NODES = 50_000

_LANGUAGES = {"json": {"json"}, "yaml": {"yaml", "yml"}, "csv": {"csv"}, "tsv": {"tsv"}}
# The events of libyaml are those of PyYAML's own parser, twenty times faster.
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


def parse(form: str, text: str) -> Any:
    """Reads a whole text as one document.

    Args:
        form: One of FORMS.
        text: The document and nothing else.

    Returns:
        A JSON value; for csv and tsv a list of equally long rows of text cells.

    Raises:
        ValueError: The text is not of that form, or too large or deep.
    """
    if len(text) > MAX_CHARS:
        raise ValueError(f"the document has {len(text)} characters, at most {MAX_CHARS} are read")
    readers = {"json": _json, "yaml": _yaml, "csv": _csv, "tsv": _tsv}
    return _plain(readers[form](text), MAX_DEPTH, _Budget())


def find(form: str, text: str, prompt: str = "") -> Any:
    """Reads the document that a completion gives as its answer.

    Fenced blocks come first, then what stands in the text itself. A document that repeats one
    of the prompt's fenced blocks is a quotation, and counts only where there is nothing else.
    Of the rest the longest is the answer, so that examples and fragments do no harm. But where
    two of them have the same keys and other values, no answer was given.

    Args:
        form: One of FORMS.
        text: The completion.
        prompt: What it answers.

    Returns:
        An object or an array, never a lone number or word.

    Raises:
        ValueError: There is no such document, or several that differ.
    """
    shown = answers.visible(text)
    quoted = [value for _, value in _read(form, [body for _, body in answers.fenced(prompt)])]
    blocks = _read(form, _fenced(form, shown))
    loose = _read(form, _loose(form, answers.unfenced(shown)))
    pools = [[pair for pair in pool if not any(same(pair[1], value) for value in quoted)]
             for pool in (blocks, loose)]  # fmt: skip
    pool = next((pool for pool in (*pools, blocks, loose) if pool), None)
    if pool is None:
        raise ValueError(f"there is no {form} document")
    _, answer = max(pool, key=lambda pair: pair[0])
    if any(_rivals(answer, value) for _, value in pool):
        raise ValueError(f"there are several {form} documents that differ")
    return answer


# ------------------------------------------------------------------------------ finding
def _read(form: str, texts: list[str]) -> list[tuple[int, Any]]:
    """Length and value of each text that is a document, a table being two rows by two at least."""
    found = []
    for text in texts:
        try:
            value = parse(form, text)
            if form == "yaml" and _is_json(text):
                continue  # YAML 1.2 contains JSON, but who asks for YAML does not mean it
        except ValueError:
            continue
        if form in ("csv", "tsv") and (len(value) < 2 or len(value[0]) < 2):
            continue  # any sentence is CSV of one cell
        if isinstance(value, (dict, list)):
            found.append((len(text), value))
    return found


def _is_json(text: str) -> bool:
    try:
        parse("json", text)
    except ValueError:
        return False
    return True


def _fenced(form: str, text: str) -> list[str]:
    """Blocks in the language of the form; all blocks where no language fits."""
    blocks = answers.fenced(text)
    return [body for name, body in blocks if name in _LANGUAGES[form]] or [
        body for _, body in blocks
    ]


def _loose(form: str, text: str) -> list[str]:
    return list(_balanced(text)) if form == "json" else [_without_prose(text)]


def _rivals(one: Any, other: Any) -> bool:
    alike = (
        one.keys() == other.keys()
        if isinstance(one, dict) and isinstance(other, dict)
        else isinstance(one, list) and isinstance(other, list) and len(one) == len(other)
    )
    return alike and not same(one, other)


_MARK = re.compile(r'\\.|["\[\]{}\n]', re.DOTALL)
_CLOSER = {"{": "}", "[": "]"}


def _balanced(text: str) -> Iterator[str]:
    """Outermost bracketed parts, in one pass that knows strings.

    Behind a part that is broken nothing is searched: what looks whole there is a piece of it.
    """
    open_: list[str] = []
    start, quoted = 0, False
    for match in _MARK.finditer(text):
        mark = match[0]
        if not open_:
            if mark in _CLOSER:
                start, quoted = match.start(), False
                open_.append(_CLOSER[mark])
        elif quoted:
            if mark == "\n":
                return  # no JSON string spans lines
            quoted = mark != '"'
        elif mark == '"':
            quoted = True
        elif mark in _CLOSER:
            open_.append(_CLOSER[mark])
        elif mark in ("]", "}"):
            if open_.pop() != mark:
                return
            if not open_:
                yield text[start : match.end()]


_LABEL = re.compile(r"\W*(?:note|explanation|answer|output|result|remark)s?\b", re.IGNORECASE)
_ENTRY = re.compile(r"\s|#|---|- |\"|[^\s:,]+:(?:\s|$)")


def _is_prose(line: str) -> bool:
    """Whether a line at either end of YAML or CSV is a sentence of the model."""
    words = line.strip().strip("*").split()
    if not words:
        return True
    sentence = words[-1][-1] in ".:!?" and len(words) > 2
    if _LABEL.match(line):
        return sentence or words[-1].endswith(":")
    return sentence and not _ENTRY.match(line)


def _without_prose(text: str) -> str:
    lines = text.splitlines()
    first, last = 0, len(lines)
    while first < last and _is_prose(lines[first]):
        first += 1
    while last > first and _is_prose(lines[last - 1]):
        last -= 1
    return "\n".join(lines[first:last])


# ------------------------------------------------------------------------------ reading
def _json(text: str) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(items)
        if len(value) < len(items):
            raise ValueError("an object has a key twice")
        return value

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _csv(text: str, delimiter: str = ",") -> list[list[str]]:
    stream = io.StringIO(text, newline="")
    try:
        rows = [row for row in csv.reader(stream, delimiter=delimiter, strict=True) if row]
    except csv.Error as error:
        raise ValueError(str(error)) from error
    if len({len(row) for row in rows}) > 1:
        raise ValueError("the rows differ in length")
    return rows


def _tsv(text: str) -> list[list[str]]:
    return _csv(text, "\t")


def _yaml(text: str) -> Any:
    # Events come one by one, so that nesting is refused before libyaml has read on: its time
    # grows with the square of the depth.
    events = yaml.parse(text, Loader=_LOADER)
    try:
        next(events)
        if not isinstance(next(events), yaml.DocumentStartEvent):
            raise ValueError("there is no YAML document")
        value = _node(next(events), events, {}, MAX_DEPTH)
        next(events)
        if not isinstance(next(events), yaml.StreamEndEvent):
            raise ValueError("there is more than one YAML document")
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    return value


def _node(event: Any, events: Iterator[Any], anchors: dict[str, Any], depth: int) -> Any:
    """The value that starts with an event; an alias gives the value itself, not a copy."""
    if depth == 0:
        raise ValueError("nested too deeply")
    if isinstance(event, yaml.AliasEvent):
        if event.anchor not in anchors:
            raise ValueError(f"*{event.anchor} names nothing before it")
        return anchors[event.anchor]
    if event.tag not in _TAGS:
        raise ValueError(f"the tag {event.tag} is not read")
    value: Any
    if isinstance(event, yaml.ScalarEvent):
        value = _scalar(event)
    elif isinstance(event, yaml.SequenceStartEvent):
        value = []
        while not isinstance(event_ := next(events), yaml.SequenceEndEvent):
            value.append(_node(event_, events, anchors, depth - 1))
    else:
        value = {}
        while not isinstance(event_ := next(events), yaml.MappingEndEvent):
            if not isinstance(event_, yaml.ScalarEvent) or event_.value in value:
                raise ValueError("a mapping has a key twice, or one that is not text")
            value[event_.value] = _node(next(events), events, anchors, depth - 1)
    if event.anchor:
        anchors[event.anchor] = value
    return value


# A tag may say that plain text is text; others would only repeat what is seen, or run code.
_TAGS = {None, "!", "tag:yaml.org,2002:str"}
_CORE = (
    (re.compile(r"|~|null|Null|NULL"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"), lambda t: float(t.replace(".", ""))),
)


def _scalar(event: Any) -> Any:
    if not event.implicit[0]:  # quoted, or tagged as text
        return event.value
    for shape, read in _CORE:
        if shape.fullmatch(event.value):
            return read(event.value)
    return event.value


class _Budget:
    """How many nodes may still come; aliases of aliases would grow without end."""

    def __init__(self) -> None:
        self.left = MAX_NODES

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"the document has more than {MAX_NODES} values")


def _plain(value: Any, depth: int, budget: _Budget) -> Any:
    budget.spend()
    if depth == 0:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        return {
            unicodedata.normalize("NFC", key): _plain(item, depth - 1, budget)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_plain(item, depth - 1, budget) for item in value]
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
