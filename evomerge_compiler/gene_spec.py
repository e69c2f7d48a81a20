"""Reads the declaration of a gene, in a recipe's ``genome`` or a template's ``genes``.

A declaration is a mapping with exactly one of ``float: [low, high]``, ``int: [low, high]`` or
``choice: [a, b, ...]`` and any of ``per``, ``anchors``, ``filters``, ``init``, ``log``, ``when``,
``help``. It may also hold ``value``, which fixes the gene: in a template unless a recipe frees it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import cast, get_args

from evomerge_compiler.errors import EvomergeError, did_you_mean
from evomerge_compiler.gene import BY_DEPTH, BY_MODEL, OTHER_TENSORS, Gene, Kind, Path, Per
from evomerge_compiler.genome import MakeError
from evomerge_compiler.yamlio import Scalar

KINDS: tuple[Kind, ...] = get_args(Kind)
KEYS = (*KINDS, "per", "anchors", "filters", "init", "log", "when", "help")
MAX_ANCHORS = 64


def is_declaration(data: object) -> bool:
    """Whether a genome entry declares a gene, rather than fixing its value."""
    return isinstance(data, Mapping) and any(key in KEYS for key in data)


def read_gene(
    name: str, data: Mapping[str, object], error: MakeError, at: Path
) -> tuple[Gene | None, list[EvomergeError]]:
    """The gene that ``data`` declares, and everything that is wrong with it.

    Args:
        name: The gene's name.
        data: The declaration.
        error: Makes an error with a place.
        at: Path of the declaration in its file.
    """
    reader = _Reader(name, data, error, at)
    gene = reader.read()
    return (None if reader.problems else gene), reader.problems


def init_problems(
    gene: Gene, models: Collection[str], error: MakeError, at: Path
) -> Iterator[EvomergeError]:
    """Words in a gene's ``init`` that are neither models nor filters of it.

    Args:
        gene: The gene.
        models: Aliases of the recipe.
        error: Makes an error with a place.
        at: Path of the declaration in its file.
    """
    known = [
        *(models if gene.per in BY_MODEL else ()),
        *((*gene.filters, OTHER_TENSORS) if gene.filters else ()),
    ]

    def walk(part: object, path: Path) -> Iterator[EvomergeError]:
        if isinstance(part, list):
            for index, item in enumerate(part):
                yield from walk(item, (*path, index))
        elif isinstance(part, Mapping):
            for key, item in part.items():
                if key not in known:
                    message = f"gene {gene.name!r} has no value for {key!r}"
                    yield error(message, (*path, key), did_you_mean(str(key), known))
                yield from walk(item, (*path, key))

    yield from walk(gene.init, (*at, "init"))


def shape(gene: Gene) -> tuple[object, ...]:
    """What a gene has values for: genes of one shape take the same values."""
    return gene.per, gene.filters, gene.anchors


def declaration(gene: Gene, value: object) -> dict[str, object]:
    """A gene held at a value, in words that :func:`read_gene` reads."""
    range_: object = [gene.low, gene.high] if gene.kind != "choice" else list(gene.choices)
    written: dict[str, object] = {gene.kind: range_, "per": gene.per}
    written |= {"anchors": gene.anchors, "filters": list(gene.filters)}
    return {key: part for key, part in written.items() if part} | {"value": value}


class _Reader:
    def __init__(self, name: str, data: Mapping[str, object], error: MakeError, at: Path) -> None:
        self.name, self.data, self.error, self.at = name, data, error, at
        self.problems: list[EvomergeError] = []

    def wrong(self, message: str, *path: str | int, hint: str | None = None) -> None:
        self.problems.append(self.error(message, (*self.at, *path), hint))

    def read(self) -> Gene | None:
        for key in self.data:
            if key not in KEYS:
                self.wrong(f"unknown key {key!r} in a gene", key, hint=did_you_mean(key, KEYS))
        kinds = [kind for kind in KINDS if kind in self.data]
        if len(kinds) != 1:
            got = " and ".join(kinds) or "none of them"
            hint = "write for example {float: [0, 1]} or {choice: [a, b]}"
            self.wrong(f"expected one of float, int or choice, got {got}", hint=hint)
            return None
        kind = kinds[0]
        low, high = 0.0, 1.0
        choices: tuple[Scalar, ...] = ()
        if kind == "choice":
            choices = self.choices(self.data[kind])
        else:
            low, high = self.bounds(kind, self.data[kind])
        log = self.flag("log")
        if log and (kind == "choice" or low <= 0):
            self.wrong("a log gene needs a float or int range above 0", "log")
        per = self.per()
        anchors = self.anchors(kind, per)
        return Gene(
            name=self.name,
            kind=kind,
            low=low,
            high=high,
            choices=choices,
            per=per,
            anchors=anchors,
            filters=self.filters(),
            init=self.init(kind, low, high, choices, anchors),
            log=log,
            when=self.when(),
            help=str(self.data.get("help", "")),
        )

    def choices(self, data: object) -> tuple[Scalar, ...]:
        if not isinstance(data, list) or not data:
            self.wrong(f"expected a list of choices, got {data!r}", "choice")
            return ()
        for index, item in enumerate(data):
            if isinstance(item, (list, dict)) or item is None:
                self.wrong(f"expected a word, number or boolean, got {item!r}", "choice", index)
        if len({(type(item), str(item)) for item in data}) != len(data):
            self.wrong("a choice is listed twice", "choice")
        return tuple(data)

    def bounds(self, kind: Kind, data: object) -> tuple[float, float]:
        number = int if kind == "int" else (int, float)
        if (
            not isinstance(data, list)
            or len(data) != 2
            or any(isinstance(x, bool) or not isinstance(x, number) for x in data)
            or not all(math.isfinite(x) for x in data)
        ):
            what = "whole numbers" if kind == "int" else "numbers"
            self.wrong(f"expected a range of two {what} [low, high], got {data!r}", kind)
            return 0.0, 1.0
        low, high = data
        if not low < high:
            hint = "write the value itself to fix the gene" if low == high else "swap the two"
            self.wrong(f"expected low < high, got [{low}, {high}]", kind, hint=hint)
            return 0.0, 1.0
        return (low, high) if kind == "int" else (float(low), float(high))

    def flag(self, key: str) -> bool:
        value = self.data.get(key, False)
        if not isinstance(value, bool):
            self.wrong(f"expected true or false, got {value!r}", key)
            return False
        return value

    def per(self) -> Per | None:
        value = self.data.get("per")
        known = get_args(Per)
        if value is None or value in known:
            return cast("Per | None", value)
        self.wrong(f"unknown per {value!r}", "per", hint=did_you_mean(str(value), known))
        return None

    def anchors(self, kind: Kind, per: Per | None) -> int:
        value = self.data.get("anchors")
        if per not in BY_DEPTH:
            if value is not None:
                self.wrong("anchors are of a gene per depth", "anchors", hint="add per: depth")
            return 0
        if kind != "float":
            hint = "mergekit draws straight lines between anchors: take float, or per: layer_group"
            self.wrong(f"a gene per depth is a float, got {kind}", "per", hint=hint)
        if value is None:
            hint = "add anchors: 3, for a value at the first, the middle and the last layer"
            self.wrong("a gene per depth needs anchors", "per", hint=hint)
            return 2
        if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= MAX_ANCHORS:
            self.wrong(f"expected 2 to {MAX_ANCHORS} anchors, got {value!r}", "anchors")
            return 2
        return value

    def filters(self) -> tuple[str, ...]:
        value = self.data.get("filters", [])
        if not isinstance(value, list) or any(not isinstance(f, str) or not f for f in value):
            self.wrong(f"expected a list of tensor-name parts, got {value!r}", "filters")
            return ()
        if OTHER_TENSORS in value or len(set(value)) != len(value):
            self.wrong(
                f"filters must differ from each other and from {OTHER_TENSORS!r}", "filters"
            )
            return ()
        return tuple(value)

    def init(
        self, kind: Kind, low: float, high: float, choices: tuple[Scalar, ...], anchors: int
    ) -> object:
        value = self.data.get("init")
        probe = Gene(self.name, kind, low=low, high=high, choices=choices)

        def check(part: object, path: Path) -> None:
            if isinstance(part, Mapping):
                for key, item in part.items():
                    check(item, (*path, key))
            elif isinstance(part, list):
                if anchors and len(part) != anchors:
                    self.wrong(f"expected {anchors} anchors, got {len(part)}", *path)
                for index, item in enumerate(part):
                    check(item, (*path, index))
            elif (problem := probe.problem(part)) is not None:
                self.wrong(problem, *path, hint=probe.remedy())

        if value is not None:
            check(value, ("init",))
        return value

    def when(self) -> dict[str, tuple[Scalar, ...]]:
        value = self.data.get("when", {})
        if not isinstance(value, Mapping):
            self.wrong(f"expected a mapping of gene to value, got {value!r}", "when")
            return {}
        out: dict[str, tuple[Scalar, ...]] = {}
        for gene, allowed in value.items():
            if isinstance(allowed, Mapping):
                self.wrong(f"expected a value or a list of values, got {allowed!r}", "when", gene)
                continue
            out[gene] = tuple(allowed) if isinstance(allowed, list) else (allowed,)
        return out
