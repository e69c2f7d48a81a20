"""Writes values as the documents and tables that stand in prompts and reference answers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import yaml

from evomerge_compiler.scoring import documents
from evomerge_compiler.scoring.values import same

Row = Sequence[Any]
_INLINE_CHARS = 90
_RECORD_CHARS = 140


def as_json(value: Any, indent: int | None = 2) -> str:
    """JSON, two spaces a level."""
    return json.dumps(value, indent=indent, ensure_ascii=False)


def _inline(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def as_compact_json(value: Any) -> str:
    """JSON as people write it: what is short stands on one line, and records one a line."""
    return _compact(value, "")


def _compact(value: Any, margin: str) -> str:
    line = _inline(value)
    if not isinstance(value, (dict, list)) or len(line) <= _INLINE_CHARS:
        return line
    inner = margin + "  "
    if isinstance(value, dict):
        body = [f"{inner}{_inline(key)}: {_compact(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(body) + f"\n{margin}}}"
    lines = [_inline(item) for item in value]
    if max(map(len, lines)) > _RECORD_CHARS:
        lines = [_compact(item, inner) for item in value]
    return "[\n" + ",\n".join(inner + item for item in lines) + f"\n{margin}]"


class _Dumper(yaml.SafeDumper):
    """Indents lists below their key, as most people do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def as_yaml(value: Any) -> str:
    """YAML in block style.

    Raises:
        ValueError: PyYAML, which knows YAML 1.1, would write something that 1.2 reads otherwise.
    """
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    if not same(documents.parse("yaml", text), value):
        raise ValueError(f"the YAML is not the value: {text}")
    return text.rstrip("\n")


def cell(value: Any) -> str:
    """A value as the text of a table cell: true, false, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def as_csv(rows: Sequence[Row], delimiter: str = ",") -> str:
    """CSV with quotes where RFC 4180 asks for them."""
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerows([[cell(value) for value in row] for row in rows])
    return stream.getvalue().rstrip("\n")


def as_markdown(rows: Sequence[Row]) -> str:
    """A Markdown table with padded columns."""
    texts, widths = _measured(rows)
    lines = [
        "| "
        + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        + " |"
        for row in texts
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def as_fixed_width(rows: Sequence[Row]) -> str:
    """Columns that are lined up with spaces."""
    texts, widths = _measured(rows)
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    )


def as_html(rows: Sequence[Row]) -> str:
    """An HTML table, one line a row."""
    lines = ["<table>"]
    for number, row in enumerate(rows):
        tag = "td" if number else "th"
        lines.append("  <tr>" + "".join(f"<{tag}>{cell(v)}</{tag}>" for v in row) + "</tr>")
    return "\n".join([*lines, "</table>"])


def _measured(rows: Sequence[Row]) -> tuple[list[list[str]], list[int]]:
    texts = [[cell(value) for value in row] for row in rows]
    return texts, [max(map(len, column)) for column in zip(*texts, strict=True)]


def fence(language: str, text: str) -> str:
    """A fenced block."""
    return f"```{language}\n{text}\n```"
