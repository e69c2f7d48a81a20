"""Resolves the parameters of every tensor as mergekit does, and refuses what goes wrong there.

mergekit looks for a parameter in the input's own settings, then the slice's, then the
document's, then takes the default. In a list of settings the first filter that is part of the
tensor's name wins; a list of numbers is a gradient over the layers of the slice, which embedding,
final norm and head see at its first value (``mergekit/config.py``, ``mergekit/plan.py``).

What no tensor ever reads is a mistake: a filter that matches nothing, a value behind a
catch-all, a value where mergekit does not look for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evomerge_compiler.compiler.merge_documents import MergeDocument, Problem
from evomerge_compiler.compiler.mergekit_grammar import (
    UNREAD_PARAMETERS,
    Architecture,
    Parameter,
    Tensor,
)
from evomerge_compiler.compiler.value_domains import Inputs, conflicts, value_problem
from evomerge_compiler.errors import did_you_mean
from evomerge_compiler.gene import Path

_LAYER = re.compile(r"(?<=\.)\d+(?=\.)")
_OUTSIDE_HINT = (
    "put {filter: embed_tokens, value: ...} and the like before it, or give each slice its own"
)


@dataclass(frozen=True)
class Entry:
    """One written setting: a scalar or gradient with an optional filter.

    Attributes:
        value: Scalar, or list of scalars.
        filter: Part of a tensor's name, None for all tensors.
        path: Where the value stands in the document.
    """

    value: Any
    filter: str | None
    path: Path

    @property
    def is_gradient(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.value, list)


Settings = Mapping[str, tuple[Entry, ...]]


@dataclass(frozen=True)
class Resolved:
    """A parameter of one tensor: its value and where that stands, None for a default."""

    value: Any
    path: Path | None


def check_parameters(document: MergeDocument, architecture: Architecture | None) -> list[Problem]:
    """Everything wrong with the parameters of one document.

    Args:
        document: A document that was read without a problem.
        architecture: Tensor names; None when they are unknown, then filters are not judged.
    """
    return _Checker(document, architecture).run()


def resolved_parameters(
    document: MergeDocument, architecture: Architecture
) -> Iterator[tuple[str, Inputs]]:
    """Every tensor's name and parameters, as mergekit would plan them."""
    for name, shared, each in _Checker(document, architecture).resolve_all():
        yield name, _plain(shared, each)


def _plain(shared: Mapping[str, Resolved], each: Sequence[Mapping[str, Resolved]]) -> Inputs:
    return Inputs(
        {name: r.value for name, r in shared.items()},
        [{name: r.value for name, r in values.items()} for values in each],
    )


def architecture_of_tensors(name: str, tensors: Sequence[str]) -> Architecture:
    """An architecture as the names in a model's own files show it, for one mergekit infers."""
    before: dict[str, Tensor] = {}
    layer: dict[str, Tensor] = {}
    for tensor in tensors:
        if _LAYER.search(tensor):
            pattern = _LAYER.sub("{layer}", tensor, count=1)
            layer[pattern] = Tensor(pattern, optional=False)
        else:
            before[tensor] = Tensor(tensor, optional=False)
    return Architecture(name, tuple(before.values()), tuple(layer.values()), ())


class _Checker:
    def __init__(self, document: MergeDocument, architecture: Architecture | None) -> None:
        self.document = document
        self.method = document.method
        self.architecture = architecture
        self.problems: dict[tuple[str, Path], Problem] = {}
        self.entries: list[tuple[str, Entry]] = []
        self.used: set[Path] = set()
        self.top = self.settings(document.parameters, (), "document")
        self.slices = [
            self.settings(piece.parameters, piece.path, "slice") if piece.path else {}
            for piece in document.slices
        ]
        self.own = [
            {
                source.ref: self.settings(
                    source.parameters,
                    source.path,
                    "base" if source.ref == document.base else "input",
                )
                for source in piece.sources
            }
            for piece in document.slices
        ]

    def wrong(
        self, message: str, path: Path, hint: str | None = None, values: Sequence[Path] = ()
    ) -> None:
        problem = Problem(message, self.document.index, path, hint, tuple(values))
        self.problems.setdefault((message, path), problem)

    def run(self) -> list[Problem]:
        seen: set[object] = set()
        for _, shared, each in self.resolve_all() if not self.problems else ():
            # Most tensors have the values of another one.
            key = tuple((r.path, repr(r.value)) for v in (shared, *each) for r in v.values())
            if key not in seen and not self.problems:
                seen.add(key)
                self.check_together(_plain(shared, each), shared, each)
        if not self.problems and self.architecture is not None:
            self.check_unused()
        return list(self.problems.values())

    # -- what is written --------------------------------------------------------------------

    def settings(self, data: Mapping[str, Any], at: Path, scope: str) -> Settings:
        out: dict[str, tuple[Entry, ...]] = {}
        for name, value in data.items():
            path = (*at, "parameters", name)
            parameter = self.parameter(name, path, scope)
            entries = tuple(self.read(value, path))
            for entry in entries:
                if parameter is not None:
                    self.check_entry(parameter, entry)
                    self.entries.append((name, entry))
            out[name] = entries
        return out

    def parameter(self, name: str, path: Path, scope: str) -> Parameter | None:
        method = self.method
        parameter = method.parameters.get(name)
        unread = UNREAD_PARAMETERS.get(method.name, {})
        if parameter is None:
            known = [n for n in method.parameters if n not in unread]
            message = f"{method.name} has no parameter {name!r}, which mergekit would ignore"
            self.wrong(message, path, did_you_mean(name, known))
        elif name in unread:
            self.wrong(f"{name} does nothing here: {unread[name]}", path, "leave it out")
        elif parameter.scope == "shared" and scope in ("input", "base"):
            message = f"{name} of {method.name} is one value for all models; mergekit would "
            hint = "put it under the document's or the slice's parameters:"
            self.wrong(message + "ignore it here", path, hint)
        elif parameter.scope == "non_base" and scope == "base":
            message = f"{name} of {method.name} is not read for the base model"
            self.wrong(message, path, "leave it out there")
        else:
            return parameter
        return None

    def read(self, value: Any, path: Path) -> Iterator[Entry]:
        if isinstance(value, dict):
            yield from self.conditional(value, path)
        elif isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
            for index, item in enumerate(value):
                yield from self.conditional(item, (*path, index))
        elif isinstance(value, list) and not value:
            self.wrong("expected a value, got an empty list", path, "write a number")
        elif isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value):
            hint = "write each as {filter: ..., value: ...}, the last one without a filter"
            self.wrong("a list of settings mixes values and filters", path, hint)
        else:
            yield Entry(value, None, path)

    def conditional(self, item: Mapping[str, Any], path: Path) -> Iterator[Entry]:
        for key in item:
            if key not in ("filter", "value"):
                message = f"unknown key {key!r} in a setting, which mergekit would ignore"
                self.wrong(message, (*path, key), did_you_mean(key, ("filter", "value")))
                return
        name = item.get("filter")
        if "value" not in item:
            self.wrong("a setting has no value", path, "write {filter: mlp, value: 0.5}")
        elif name is not None and (not isinstance(name, str) or not name):
            message = f"expected part of a tensor's name, got {name!r}"
            self.wrong(message, (*path, "filter"), "for example mlp or self_attn")
        else:
            self.check_layer_filter(name, path)
            everything = name is None or name == "*"
            yield Entry(item["value"], None if everything else name, (*path, "value"))

    def check_layer_filter(self, name: str | None, path: Path) -> None:
        """A filter such as ``layers.1`` is also part of ``layers.10``."""
        match = re.search(r"layers\.(\d+)$", name or "")
        depth = max(source.end for piece in self.document.slices for source in piece.sources)
        if match and depth > 10 * int(match[1]) > 0:
            message = f"the filter {name!r} also takes layer {match[1]}0"
            self.wrong(message, (*path, "filter"), f"write {name}. with a dot at the end")

    def check_entry(self, parameter: Parameter, entry: Entry) -> None:
        values = entry.value if entry.is_gradient else [entry.value]
        for index, value in enumerate(values):
            path = (*entry.path, index) if entry.is_gradient else entry.path
            problem = value_problem(self.method, parameter, value)
            if problem:
                message, hint = problem
                self.wrong(message, path, hint, values=[path])
        at_document = entry.path[0] == "parameters"
        if entry.is_gradient and at_document and len(self.document.slices) > 1:
            message = f"the gradient of {parameter.name} starts anew in each slice"
            self.wrong(message, entry.path, "give each slice its own values")

    # -- what mergekit reads ----------------------------------------------------------------

    def resolve_all(self) -> Iterator[tuple[str, dict[str, Resolved], list[dict[str, Resolved]]]]:
        """For every tensor of the result: name, shared parameters, those of each input."""
        slices = self.document.slices
        before, after = self.outside()
        for name in before:
            yield self.tensor(0, name, None, 0.0)
        for name in after:
            yield self.tensor(len(slices) - 1, name, None, 0.0)
        made = 0
        for index, piece in enumerate(slices):
            n_layers = piece.sources[0].end - piece.sources[0].start
            for offset in range(n_layers):
                # mergekit takes the last value of a gradient for a slice of one layer.
                t = offset / (n_layers - 1) if n_layers > 1 else 1.0
                for pattern in self.layer_patterns():
                    shown = pattern.replace("{layer}", str(made))
                    yield self.tensor(index, shown, (pattern, offset), t)
                made += 1

    def outside(self) -> tuple[list[str], list[str]]:
        if self.architecture is None:
            return [""], []
        before = [tensor.name for tensor in self.architecture.before]
        return before, [tensor.name for tensor in self.architecture.after]

    def layer_patterns(self) -> list[str]:
        if self.architecture is None:
            return [""]
        return [tensor.name for tensor in self.architecture.layer]

    def tensor(
        self, index: int, name: str, layer: tuple[str, int] | None, t: float
    ) -> tuple[str, dict[str, Resolved], list[dict[str, Resolved]]]:
        """One tensor; ``layer`` is its name pattern and the layer's number in the slice."""
        parameters = self.method.parameters.values()
        outside = layer is None
        top = (self.slices[index], self.top)
        shared = {
            p.name: self.resolve(p, top, name, t, outside)
            for p in parameters
            if p.scope == "shared"
        }
        each: list[dict[str, Resolved]] = []
        for source in self.document.slices[index].sources:
            if source.ref == self.document.base and self.method.base != "ignored":
                continue
            own = name
            if layer is not None:
                # Settings of one input go by the input's own name for the tensor.
                own = layer[0].replace("{layer}", str(source.start + layer[1]))
            scopes = (self.own[index][source.ref], *top)
            each.append(
                {
                    p.name: self.resolve(p, scopes, own, t, outside)
                    for p in parameters
                    if p.scope != "shared"
                }
            )
        return name, shared, each

    def resolve(
        self,
        parameter: Parameter,
        scopes: Sequence[Settings],
        name: str,
        t: float,
        outside: bool,
    ) -> Resolved:
        for settings in scopes:
            for entry in settings.get(parameter.name, ()):
                if entry.filter is not None and entry.filter not in name:
                    continue
                self.used.add(entry.path)
                if outside and entry.is_gradient and len(set(map(repr, entry.value))) > 1:
                    what = name or "the tensors outside the layers"
                    message = f"the gradient of {parameter.name} reaches {what}"
                    self.wrong(
                        f"{message}, which would get its first value", entry.path, _OUTSIDE_HINT
                    )
                value = _at(entry.value, t) if entry.is_gradient else entry.value
                return Resolved(value, entry.path)
        if parameter.required:
            inside = f" for {name}" if name else ""
            self.wrong(
                f"{self.method.name} needs {parameter.name}, and none is given{inside}",
                ("merge_method",),
                f"add parameters: {{{parameter.name}: ...}}",
            )
        return Resolved(parameter.default, None)

    def check_together(
        self,
        inputs: Inputs,
        shared: Mapping[str, Resolved],
        each: Sequence[Mapping[str, Resolved]],
    ) -> None:
        for conflict in conflicts(self.method, inputs):
            tables = [each[index] for index in conflict.inputs] or [shared]
            found = [table[n].path for table in tables for n in conflict.parameters if n in table]
            written = [path for path in found if path is not None]
            at = written[0] if written else ("merge_method",)
            self.wrong(conflict.message, at, conflict.hint, written)

    def check_unused(self) -> None:
        assert self.architecture is not None
        names = [
            *self.architecture.outside_layers(),
            *(t.name for t in self.architecture.layer),
        ]
        parts = {part for name in names for part in name.replace("{layer}.", "").split(".")}
        for name, entry in self.entries:
            if entry.path in self.used:
                continue
            layered = any(_could_match(entry.filter, pattern) for pattern in names)
            if entry.filter is not None and not layered:
                hint = did_you_mean(entry.filter, parts)
                message = f"no tensor has {entry.filter!r} in its name"
                self.wrong(message, (*entry.path[:-1], "filter"), hint)
            else:
                self.wrong(
                    f"this {name} is never read: every tensor it could be for gets its value "
                    "elsewhere",
                    entry.path,
                    "filters are tried in order, an input's own settings before the document's",
                )


def _could_match(part: str | None, pattern: str) -> bool:
    """Whether a filter is part of a tensor name, whatever the layer's number."""
    if part is None:
        return True
    return (
        _LAYER.sub("{layer}", part) in pattern
        or part in pattern
        or (bool(re.search(r"\d", part)) and re.sub(r"\d+", "{layer}", part) in pattern)
    )


def _at(values: Sequence[Any], t: float) -> Any:
    """A gradient at ``t``, as mergekit evaluates it."""
    numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    if not numeric:
        return values[int(t * (len(values) - 1))]
    scaled = t * (len(values) - 1)
    low = int(scaled)
    high = min(len(values) - 1, low + 1)
    share = scaled - low
    return (1 - share) * values[low] + share * values[high]
