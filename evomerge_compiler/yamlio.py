"""YAML in and out: strict reading with places, canonical writing, atomic replacement.

Reading is YAML 1.2 and refuses what makes a recipe ambiguous or dangerous: tags, anchors and
aliases, duplicate keys, non-string keys, and files that are not UTF-8 text. Writing emits one
value a line in a form that PyYAML, which reads YAML 1.1 and is what mergekit uses, reads back
to the same values; :func:`dump` proves it before it returns.
"""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from evomerge_compiler.durability import sync_file, sync_folder
from evomerge_compiler.errors import EvomergeError, Place, RecipeError

Scalar = str | int | float | bool | None
PathKey = tuple[str | int, ...]

MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 40

_STANDARD_TAGS = {
    "tag:yaml.org,2002:str",
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:float",
    "tag:yaml.org,2002:bool",
    "tag:yaml.org,2002:null",
    "tag:yaml.org,2002:map",
    "tag:yaml.org,2002:seq",
}
# YAML 1.1 words and shapes that PyYAML would not read as the plain string they look like.
_WORDS_1_1 = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", ""}
# Characters that PyYAML refuses, or takes for line breaks, unless they are escaped.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./+@()-]*(?: [A-Za-z0-9_./+@()-]+)*\Z")
_NUMBER_LIKE = re.compile(r"(?=.*[0-9])[-+.0-9_:a-fxo]+\Z|[-+]?\.(inf|nan)\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Document:
    """One YAML document as plain data, and where each part of it stands.

    Attributes:
        data: Dicts, lists and scalars only.
        file: The path as the user gave it.
        lines: The text, split into lines.
        places: (line, column) of each value by its path; of each mapping key under
            ``path + ("\\0key",)``. A whole place where a part comes from somewhere else.
    """

    data: object
    file: str
    lines: tuple[str, ...] = field(repr=False, default=())
    places: Mapping[PathKey, tuple[int, int] | Place] = field(repr=False, default_factory=dict)

    def place(self, path: Sequence[str | int] = (), *, key: bool = False) -> Place:
        """The place of the value at ``path`` (or of its key), or of its nearest parent.

        Args:
            path: Keys and indices from the root.
            key: Whether the mapping key is meant rather than its value.
        """
        wanted: PathKey = tuple(path)
        name: PathKey = (*wanted, "\0key")
        if key and name in self.places:
            return self._at(self.places[name])
        while wanted and wanted not in self.places:
            wanted = wanted[:-1]
        return self._at(self.places.get(wanted, (1, 1)))

    def error(
        self,
        message: str,
        path: Sequence[str | int] = (),
        *,
        hint: str | None = None,
        key: bool = False,
        kind: type[EvomergeError] = RecipeError,
    ) -> EvomergeError:
        """An error that points at ``path`` in this document."""
        return kind(message, hint=hint, place=self.place(path, key=key))

    def with_value(
        self, path: Sequence[str], value: object, places: Mapping[PathKey, Place]
    ) -> Document:
        """The document with another value at ``path``, which stands somewhere else.

        Args:
            path: Keys from the root; mappings that are missing are made.
            value: Plain data.
            places: Where it and its parts stand, by their paths in this document.
        """
        wanted: PathKey = tuple(path)
        kept = {at: place for at, place in self.places.items() if at[: len(wanted)] != wanted}
        data = _with_value(self.data, path, value)
        return replace(self, data=data, places={**kept, **places})

    def _at(self, position: tuple[int, int] | Place) -> Place:
        if isinstance(position, Place):
            return position
        line, column = position
        snippet = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        return Place(self.file, line, column, snippet)


def _with_value(data: object, path: Sequence[str], value: object) -> object:
    if not path:
        return value
    whole = data if isinstance(data, Mapping) else {}
    return {**whole, path[0]: _with_value(whole.get(path[0]), path[1:], value)}


def read_file(path: str | os.PathLike[str], *, kind: str = "recipe") -> Document:
    """Reads one strict YAML document from a file.

    Args:
        path: The file.
        kind: What the file is, for the error message.

    Raises:
        RecipeError: The file is missing, too large, not UTF-8, or not strict YAML.
    """
    shown = os.fspath(path)
    try:
        size_bytes = os.stat(path).st_size
        if size_bytes > MAX_FILE_BYTES:
            raise RecipeError(
                f"the {kind} is {size_bytes} bytes, expected at most {MAX_FILE_BYTES}",
                place=Place(shown),
            )
        text = Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"the {kind} is not UTF-8 text (byte {error.start})", place=Place(shown)
        ) from None
    except IsADirectoryError:
        raise RecipeError(f"expected a {kind} file, got a folder", place=Place(shown)) from None
    except OSError as error:
        raise RecipeError(
            f"cannot read the {kind}: {error.strerror}", place=Place(shown)
        ) from None
    return parse(text, file=shown)


def parse(text: str, *, file: str = "<text>", line_offset: int = 0) -> Document:
    """Reads one strict YAML 1.2 document from text.

    Args:
        text: The document.
        file: Its name in places.
        line_offset: Lines that precede ``text`` in the file.

    Raises:
        RecipeError: The text is not strict YAML; the place says where.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    lines = tuple([""] * line_offset + text.splitlines())
    walker = _Walker(file, lines, line_offset)
    try:
        walker.refuse_events(YAML(typ="safe", pure=True).parse(text))
        node = YAML(typ="safe", pure=True).compose(text)
        data = walker.value(node, (), 0) if node is not None else None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = (mark.line + 1 + line_offset, mark.column + 1) if mark else (1, 1)
        what = " ".join(str(error.problem or error.context or "not YAML").split())
        raise RecipeError(
            f"not valid YAML: {what}",
            hint="look for a bracket, quote or colon here or on the line before",
            place=walker.place(at),
        ) from None
    except YAMLError as error:
        what = " ".join(str(error).split())
        raise RecipeError(f"not valid YAML: {what}", place=Place(file)) from None
    except RecursionError:
        raise RecipeError("nested too deeply", place=Place(file)) from None
    return Document(data=data, file=file, lines=lines, places=walker.places)


class _Walker:
    """Turns a composed node tree into plain data, recording places and refusing trickery."""

    def __init__(self, file: str, lines: tuple[str, ...], line_offset: int) -> None:
        self.file = file
        self.lines = lines
        self.line_offset = line_offset
        self.places: dict[PathKey, tuple[int, int]] = {}

    def place(self, at: tuple[int, int]) -> Place:
        line, column = at
        snippet = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        return Place(self.file, line, column, snippet)

    def _mark(self, mark: object) -> tuple[int, int]:
        line = int(getattr(mark, "line", 0)) + 1 + self.line_offset
        return line, int(getattr(mark, "column", 0)) + 1

    def refuse_events(self, events: Iterator[object]) -> None:
        for event in events:
            at = self._mark(getattr(event, "start_mark", None))
            if getattr(event, "anchor", None) is not None:
                raise RecipeError(
                    "anchors and aliases are not allowed",
                    hint="write the value out where it is used",
                    place=self.place(at),
                )
            tag = getattr(event, "tag", None)
            if tag is not None and str(tag) != "!":
                raise RecipeError(
                    f"tags are not allowed, got {str(tag)!r}",
                    hint="write a plain value",
                    place=self.place(at),
                )

    def value(self, node: object, path: PathKey, depth: int) -> object:
        from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

        at = self._mark(node.start_mark)  # type: ignore[attr-defined]
        self.places[path] = at
        if depth > MAX_DEPTH:
            raise RecipeError(f"nested deeper than {MAX_DEPTH}", place=self.place(at))
        if isinstance(node, MappingNode):
            return self._mapping(node.value, path, depth)
        if isinstance(node, SequenceNode):
            return [self.value(n, (*path, i), depth + 1) for i, n in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self._scalar(str(node.tag), str(node.value), at)

    def _mapping(
        self, pairs: Sequence[tuple[object, object]], path: PathKey, depth: int
    ) -> dict[str, object]:
        out: dict[str, object] = {}
        for key_node, value_node in pairs:
            at = self._mark(key_node.start_mark)  # type: ignore[attr-defined]
            # Under a path of its own: `(*path, "\0key")` is the place of this mapping's own key.
            key = self.value(key_node, (*path, "\0name"), depth + 1)
            if isinstance(key, (int, float, bool)) or key is None:
                # Keys such as `1` or `true` are taken as the words the user typed.
                key = str(getattr(key_node, "value", key))
            if not isinstance(key, str):
                raise RecipeError("expected a word as key", place=self.place(at))
            if key in out:
                raise RecipeError(
                    f"duplicate key {key!r}",
                    hint="keep one of the two",
                    place=self.place(at),
                )
            name: PathKey = (*path, key, "\0key")
            self.places[name] = at
            out[key] = self.value(value_node, (*path, key), depth + 1)
        return out

    def _scalar(self, tag: str, text: str, at: tuple[int, int]) -> Scalar:
        if tag not in _STANDARD_TAGS:
            raise RecipeError(
                f"expected a plain value, got {text!r}",
                hint="put it in quotes if it is text",
                place=self.place(at),
            )
        kind = tag.rsplit(":", 1)[1]
        if kind == "str":
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            return _int(text)
        number = _float(text)
        if not math.isfinite(number):
            raise RecipeError(
                f"expected a finite number, got {text}",
                hint="write a plain number such as 0.5",
                place=self.place(at),
            )
        return number


def _int(text: str) -> int:
    clean = text.replace("_", "")
    sign = -1 if clean.startswith("-") else 1
    digits = clean.lstrip("+-")
    for prefix, base in (("0x", 16), ("0o", 8), ("0b", 2)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], base)
    return sign * int(digits, 10)


def _float(text: str) -> float:
    clean = text.replace("_", "").lower()
    if clean.lstrip("+-") in (".inf", ".nan"):
        return float(clean.replace(".", ""))
    return float(clean)


# --------------------------------------------------------------------------------------
# Writing


def dump(data: object) -> str:
    """The canonical YAML text of plain data: block style, one value a line.

    Args:
        data: Mappings with string keys, sequences, and finite scalars.

    Returns:
        Text that ends in a newline and that YAML 1.1 and 1.2 readers take alike.

    Raises:
        ValueError: A value is not plain data, or is not finite.
    """
    text = "".join(f"{line}\n" for line in _lines(data, 0))
    back = _read_back(text)
    if back != [_plain(data)]:
        raise ValueError(f"PyYAML reads the written text differently: {back!r} != {data!r}")
    return text


def dump_all(documents: Sequence[object]) -> str:
    """Several documents, separated by ``---``."""
    return "---\n".join(dump(document) for document in documents)


def _read_back(text: str) -> list[object]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return list(yaml.load_all(text, Loader=loader))


def _plain(data: object) -> object:
    if isinstance(data, Mapping):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_plain(value) for value in data]
    return data


def _lines(data: object, indent: int) -> Iterator[str]:
    pad = "  " * indent
    if isinstance(data, Mapping) and data:
        for key, value in data.items():
            if not isinstance(key, str):
                raise ValueError(f"expected a string key, got {key!r}")
            if _is_block(value):
                yield f"{pad}{scalar_text(key)}:"
                # Sequences stand at the same depth as their key, as mergekit's own files do.
                deeper = indent + 1 if isinstance(value, Mapping) else indent
                yield from _lines(value, deeper)
            else:
                yield f"{pad}{scalar_text(key)}: {_flow(value)}"
    elif isinstance(data, (list, tuple)) and data:
        for value in data:
            if _is_block(value):
                first, *rest = _lines(value, indent + 1)
                yield f"{pad}- {first.lstrip()}"
                yield from rest
            else:
                yield f"{pad}- {_flow(value)}"
    else:
        yield f"{pad}{_flow(data)}"


def _is_block(value: object) -> bool:
    return isinstance(value, (Mapping, list, tuple)) and len(value) > 0


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, (list, tuple)):
        return "[]"
    return scalar_text(value)


def scalar_text(value: object) -> str:
    """One scalar as YAML text that 1.1 and 1.2 readers take alike.

    Raises:
        ValueError: The value is not a finite scalar.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return float_text(value)
    if not isinstance(value, str):
        raise ValueError(f"expected plain data, got {type(value).__name__}: {value!r}")
    special = value.lower() in _WORDS_1_1 or _NUMBER_LIKE.match(value)
    if _PLAIN.match(value) and not special:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def float_text(value: float) -> str:
    """A finite float without exponent, so that YAML 1.1 does not read ``1e-5`` as text."""
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value}")
    text = format(Decimal(repr(value)), "f")
    return text if "." in text else f"{text}.0"


# --------------------------------------------------------------------------------------
# Files


def write_atomic(path: str | os.PathLike[str], text: str | bytes) -> None:
    """Replaces a file in one step: it holds the old bytes or the new ones, never a part.

    The bytes are on disk (``fsync`` of the file and of its folder) when this returns.

    Raises:
        OSError: The disk is full or the folder cannot be written; the old file still stands.
    """
    target = Path(path)
    data = text.encode("utf-8") if isinstance(text, str) else text
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            sync_file(stream)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
