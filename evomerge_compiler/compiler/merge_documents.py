"""Reads rendered documents as mergekit configurations and refuses what mergekit would misread.

mergekit ignores unknown keys, adds a base model that is not listed as one more input, merges
reversed layer ranges into models of negative depth, and drops inputs of the final norm when the
first slice has fewer sources than the last. Here each of those is a :class:`Problem`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evomerge_compiler.compiler.mergekit_grammar import Grammar, Method
from evomerge_compiler.compiler.model_headers import ModelFacts
from evomerge_compiler.compiler.rendering import SOURCES
from evomerge_compiler.errors import did_you_mean
from evomerge_compiler.gene import Path

FINAL = "final"
KEYS = (
    "name",
    "merge_method",
    "base_model",
    "models",
    "slices",
    "parameters",
    "dtype",
    "out_dtype",
)
DTYPES = ("bfloat16", "float16", "float32", "float64")
_DONOR_HINT = "name the donor in the recipe: tokenizer:, chat_template: or config_from:"
# Keys of mergekit's that a template must not use, and what to do instead.
_REFUSED = {
    "modules": "evomerge merges models of one text module: use models: or slices:",
    "tokenizer": _DONOR_HINT,
    "tokenizer_source": _DONOR_HINT,
    "chat_template": _DONOR_HINT,
    "residual_weight": "mergekit 0.1.5 reads it and does nothing with it",
}


@dataclass(frozen=True)
class Problem:
    """Something wrong with the compiled text.

    Attributes:
        message: What was expected and what came.
        document: Index of the document.
        path: Where in it.
        hint: What to do.
        values: Paths of the values that are at fault; genes are looked for behind them.
    """

    message: str
    document: int
    path: Path
    hint: str | None = None
    values: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Source:
    """One input of a slice.

    Attributes:
        ref: ``models/src/<alias>`` or a stage name.
        start, end: Its layers, ``[start, end)``.
        parameters: Its own settings.
        path: Where it stands in the document.
    """

    ref: str
    start: int
    end: int
    parameters: Mapping[str, Any]
    path: Path


@dataclass(frozen=True)
class Slice:
    """A run of layers of the result."""

    sources: tuple[Source, ...]
    parameters: Mapping[str, Any]
    path: Path


@dataclass(frozen=True)
class MergeDocument:
    """One document, read.

    Attributes:
        index: Its place in the text.
        name: Stage name; ``final`` for the last one.
        method: Its merge method.
        base: Reference of the base model.
        slices: Layer runs; whole models are one slice.
        whole: Whether it lists ``models``.
        parameters: Settings for all inputs.
        data: The document itself.
    """

    index: int
    name: str
    method: Method
    base: str | None
    slices: tuple[Slice, ...]
    whole: bool
    parameters: Mapping[str, Any]
    data: Mapping[str, Any] = field(repr=False)

    @property
    def inputs(self) -> tuple[str, ...]:
        """References of all inputs, each once, in order."""
        refs = [source.ref for piece in self.slices for source in piece.sources]
        base = [self.base] if self.base is not None and self.base not in refs else []
        return tuple(dict.fromkeys([*refs, *base]))

    @property
    def n_layers(self) -> int:
        """Layers of the result."""
        return sum(piece.sources[0].end - piece.sources[0].start for piece in self.slices)


class Reader:
    """Reads the documents of one plan, in order.

    Args:
        grammar: What mergekit accepts.
        known: Facts of every input, by reference; stages are added as they are read.
        methods: Methods the template declares.
    """

    def __init__(
        self,
        grammar: Grammar,
        known: Mapping[str, ModelFacts],
        methods: Sequence[str],
    ) -> None:
        self.grammar = grammar
        self.known = dict(known)
        self.methods = methods
        self.problems: list[Problem] = []
        self.index = 0

    def wrong(
        self, message: str, *path: str | int, hint: str | None = None, value: bool = False
    ) -> None:
        values = (path,) if value else ()
        self.problems.append(Problem(message, self.index, path, hint, values))

    def read(self, documents: Sequence[Mapping[str, Any]]) -> list[MergeDocument]:
        """The documents that can be read; what is wrong goes to :attr:`problems`."""
        out: list[MergeDocument] = []
        for self.index, data in enumerate(documents):
            before = len(self.problems)
            self.keys(data, (), KEYS)
            name = self.name(data, last=self.index == len(documents) - 1)
            document = self.document(data, name)
            if document is None or len(self.problems) > before:
                # What follows from a mistake is not another mistake.
                continue
            out.append(document)
            self.known[name] = self.stage_facts(document)
        if not self.problems:
            self.unused_stages(out)
            self.collisions(out)
        return out

    def keys(self, data: Mapping[str, Any], path: Path, known: Sequence[str]) -> None:
        for key in data:
            if key in _REFUSED:
                self.wrong(f"{key!r} is not for templates", *path, key, hint=_REFUSED[key])
            elif key not in known:
                hint = did_you_mean(key, known)
                message = f"unknown key {key!r}, which mergekit would ignore"
                self.wrong(message, *path, key, hint=hint)

    def name(self, data: Mapping[str, Any], *, last: bool) -> str:
        name = data.get("name")
        if last:
            if name is not None:
                hint = "leave name: out of the last document: it is the result"
                self.wrong(f"the last document is named {name!r}", "name", hint=hint)
            return FINAL
        if not isinstance(name, str) or not name:
            self.wrong("a document before the last one has no name", hint="add name: s1")
            return f"unnamed {self.index}"
        taken = name in self.known or name == FINAL
        if taken or not all(c.isascii() and (c.isalnum() or c in "_-") for c in name):
            hint = "write letters, digits, '_' or '-', and each name once"
            self.wrong(f"{name!r} cannot name a stage", "name", hint=hint, value=True)
        return name

    # -- one document -----------------------------------------------------------------------

    def document(self, data: Mapping[str, Any], name: str) -> MergeDocument | None:
        method = self.method(data)
        base = self.base(data)
        for key in ("dtype", "out_dtype"):
            value = data.get(key)
            if value is not None and value not in DTYPES:
                hint = did_you_mean(str(value), DTYPES)
                self.wrong(f"unknown {key} {value!r}", key, hint=hint, value=True)
        parameters = self.parameters(data, ())
        given = [key for key in ("models", "slices") if data.get(key)]
        if len(given) != 1:
            got = "both" if given else "neither"
            self.wrong(
                f"expected models or slices, got {got}", *given[:1], hint="list one of them"
            )
            return None
        whole = given == ["models"]
        slices = self.models(data["models"]) if whole else self.slices(data["slices"])
        if method is None or slices is None:
            return None
        document = MergeDocument(self.index, name, method, base, slices, whole, parameters, data)
        self.check_inputs(document)
        self.check_depths(document)
        return document

    def method(self, data: Mapping[str, Any]) -> Method | None:
        name = data.get("merge_method")
        method = self.grammar.methods.get(name) if isinstance(name, str) else None
        if name is None:
            self.wrong("the document has no merge_method", hint="add merge_method: linear")
        elif method is None:
            hint = did_you_mean(str(name), self.grammar.methods)
            message = f"mergekit {self.grammar.version} has no merge_method {name!r}"
            self.wrong(message, "merge_method", hint=hint, value=True)
        elif name not in self.methods:
            message = f"the template's header does not list {name!r} under methods"
            self.wrong(message, "merge_method", hint=f"add {name} to methods: in the header")
        return method

    def base(self, data: Mapping[str, Any]) -> str | None:
        value = data.get("base_model")
        return None if value is None else self.ref(value, ("base_model",))

    def ref(self, value: object, path: Path) -> str | None:
        """A model reference, which must be one of the recipe's models or an earlier stage."""
        if isinstance(value, str) and value in self.known:
            return value
        message = f"{value!r} is no model of the recipe and no earlier stage"
        hint = did_you_mean(value, self.known) if isinstance(value, str) else "print a model's ref"
        self.wrong(message, *path, hint=hint, value=True)
        return None

    def parameters(self, data: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
        value = data.get("parameters")
        if value is None:
            return {}
        if not isinstance(value, dict):
            hint = "write parameters: {weight: 0.5}"
            self.wrong(f"expected parameters, got {value!r}", *path, "parameters", hint=hint)
            return {}
        return value

    def models(self, data: object) -> tuple[Slice, ...] | None:
        sources: list[Source] = []
        for item, path in self.entries(data, ("models",)):
            self.keys(item, path, ("model", "parameters"))
            ref = self.ref(item.get("model"), (*path, "model"))
            if ref is not None:
                depth = self.known[ref].num_hidden_layers
                own = self.parameters(item, path)
                sources.append(Source(ref, 0, depth, own, path))
        return (Slice(tuple(sources), {}, ()),) if sources else None

    def slices(self, data: object) -> tuple[Slice, ...] | None:
        out: list[Slice] = []
        for item, path in self.entries(data, ("slices",)):
            self.keys(item, path, ("sources", "parameters"))
            sources = [
                self.source(entry, at)
                for entry, at in self.entries(item.get("sources"), (*path, "sources"))
            ]
            good = tuple(source for source in sources if source is not None)
            if good and len(good) == len(sources):
                out.append(Slice(good, self.parameters(item, path), path))
        return tuple(out) or None

    def entries(self, data: object, path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
        if not isinstance(data, list) or not data:
            self.wrong(f"expected a list, got {data!r}", *path, hint="start each entry with '- '")
            return
        for index, item in enumerate(data):
            if isinstance(item, dict):
                yield item, (*path, index)
            else:
                hint = "write for example - model: {{ models[0].ref }}"
                self.wrong(f"expected a mapping, got {item!r}", *path, index, hint=hint)

    def source(self, item: Mapping[str, Any], path: Path) -> Source | None:
        self.keys(item, path, ("model", "layer_range", "parameters"))
        ref = self.ref(item.get("model"), (*path, "model"))
        layers = item.get("layer_range")
        at = (*path, "layer_range")
        whole_numbers = (
            isinstance(layers, list)
            and len(layers) == 2
            and all(isinstance(x, int) and not isinstance(x, bool) for x in layers)
        )
        if not whole_numbers:
            message = f"expected a layer_range [start, end] of whole numbers, got {layers!r}"
            self.wrong(message, *at, hint="write layer_range: [0, 4]", value=True)
            return None
        if ref is None:
            return None
        assert isinstance(layers, list)
        start, end = layers
        depth = self.known[ref].num_hidden_layers
        if not 0 <= start < end:
            message = f"layer_range [{start}, {end}] holds no layer"
            self.wrong(message, *at, hint="write [first, last + 1], counted from 0", value=True)
            return None
        if end > depth:
            message = f"layer_range [{start}, {end}] reaches beyond the {depth} layers of {ref}"
            self.wrong(message, *at, hint=f"its last layer is {depth - 1}", value=True)
            return None
        return Source(ref, start, end, self.parameters(item, path), path)

    # -- how inputs go together -------------------------------------------------------------

    def check_inputs(self, document: MergeDocument) -> None:
        for piece in document.slices:
            self.check_counts(document, piece)
        first, last = document.slices[0], document.slices[-1]
        if len(first.sources) < len(last.sources):
            self.wrong(
                f"the last slice has {len(last.sources)} sources, the first one "
                f"{len(first.sources)}: mergekit 0.1.5 drops the others from final norm and head",
                *last.path,
                hint="list as many sources in the first slice, some with weight 0",
            )

    def check_counts(self, document: MergeDocument, piece: Slice) -> None:
        method, base = document.method, document.base
        refs = [source.ref for source in piece.sources]
        path = piece.path or ("models",)
        if len(set(refs)) != len(refs):
            twice = next(ref for ref in refs if refs.count(ref) > 1)
            self.wrong(f"{twice} is listed twice", *path, hint="list each model once a slice")
            return
        if (
            base is not None
            and base not in refs
            and not document.whole
            and method.base != "ignored"
        ):
            self.wrong(f"the base {base} is no source of this slice", *path, hint="list it too")
            return
        if method.base == "required" and base is None:
            self.wrong(f"{method.name} needs a base_model", hint="add base_model: {{ base.ref }}")
            return
        if method.base == "ignored" and base is not None and base not in refs and document.whole:
            self.wrong(
                f"{method.name} has no base: mergekit would add {base} as one more input",
                "base_model",
                hint="leave base_model out, or list that model under models: too",
            )
            return
        # A base that whole models do not list is added by mergekit itself.
        listed = refs if base is None or base in refs else [*refs, base]
        others = [ref for ref in listed if ref != base or method.base == "ignored"]
        self.check_bounds(method, path, len(listed), len(others))

    def check_bounds(self, method: Method, path: Path, n_inputs: int, n_others: int) -> None:
        bounds = [
            ("inputs", n_inputs, method.min_inputs, method.max_inputs),
            ("inputs besides the base", n_others, method.min_non_base, method.max_non_base),
        ]
        for what, got, low, high in bounds:
            if got < low or (high is not None and got > high):
                wanted = f"at least {low}" if got < low else f"at most {high}"
                if low == high:
                    wanted = f"exactly {low}"
                message = f"{method.name} takes {wanted} {what}, got {got}"
                self.wrong(message, *path, hint="change the models of the recipe")
                return

    def check_depths(self, document: MergeDocument) -> None:
        for piece in document.slices:
            depths = {source.end - source.start for source in piece.sources}
            if document.whole and document.base is not None:
                depths.add(self.known[document.base].num_hidden_layers)
            if len(depths) > 1:
                lengths = " and ".join(map(str, sorted(depths)))
                self.wrong(
                    f"inputs of one slice have {lengths} layers",
                    *(piece.path or ("models",)),
                    hint="give all of them the same number of layers, with slices:",
                )

    def stage_facts(self, document: MergeDocument) -> ModelFacts:
        """Facts of what a document makes, as far as later stages care."""
        sources = [self.known[ref] for ref in document.inputs]
        return replace(
            sources[0],
            num_hidden_layers=document.n_layers,
            has_head=any(facts.has_head for facts in sources),
        )

    def unused_stages(self, documents: Sequence[MergeDocument]) -> None:
        for document in documents[:-1]:
            if not any(document.name in later.inputs for later in documents[document.index + 1 :]):
                self.index = document.index
                message = f"nothing reads stage {document.name!r}"
                self.wrong(message, "name", hint="use it as an input, or leave the document out")

    def collisions(self, documents: Sequence[MergeDocument]) -> None:
        """mergekit-multi rewrites every text equal to a stage's name, whatever it means."""
        names = {document.name for document in documents[:-1]}
        for document in documents:
            for path, text in _texts(document.data, ()):
                reference = path[-1] in ("model", "base_model", "name")
                if text in names and not reference:
                    self.index = document.index
                    self.wrong(
                        f"{text!r} is also the name of a stage, which mergekit-multi puts there",
                        *path,
                        hint="name the stage s1, s2, ...",
                    )


def _texts(data: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _texts(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _texts(value, (*path, index))
    elif isinstance(data, str):
        yield path, data


def alias_of(ref: str) -> str | None:
    """The alias of a model reference, None for a stage."""
    return ref[len(SOURCES) :] if ref.startswith(SOURCES) else None
