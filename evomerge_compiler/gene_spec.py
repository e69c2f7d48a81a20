"""Reads the declaration of a gene, in a recipe's ``genome`` or a template's ``genes``.

A declaration is a mapping with exactly one of ``float: [low, high]``, ``int: [low, high]`` or
``choice: [a, b, ...]`` and any of ``per``, ``filters``, ``init``, ``log``, ``when``, ``help``.
In a template it may also hold ``value``, which fixes the gene unless a recipe frees it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast, get_args

from evomerge_compiler.errors import EvomergeError, did_you_mean
from evomerge_compiler.genome import OTHER_TENSORS, Gene, Kind, MakeError, Path, Per
from evomerge_compiler.yamlio import Scalar

KINDS: tuple[Kind, ...] = get_args(Kind)
KEYS = (*KINDS, "per", "filters", "init", "log", "when", "help")


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
        return Gene(
            name=self.name,
            kind=kind,
            low=low,
            high=high,
            choices=choices,
            per=self.per(),
            filters=self.filters(),
            init=self.init(kind, low, high, choices),
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

    def init(self, kind: Kind, low: float, high: float, choices: tuple[Scalar, ...]) -> object:
        value = self.data.get("init")
        probe = Gene(self.name, kind, low=low, high=high, choices=choices)

        def check(part: object, path: Path) -> None:
            if isinstance(part, Mapping):
                for key, item in part.items():
                    check(item, (*path, key))
            elif isinstance(part, list):
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
