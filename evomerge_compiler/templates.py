"""Templates: Jinja text that renders to mergekit YAML, with the genes it reads declared on top.

A template file ``NAME.yaml.j2`` is a YAML header, a line ``---``, and a Jinja body. The header has
``summary``, ``methods`` (mergekit methods the body may emit) and ``genes``: name to declaration
(see :mod:`evomerge_compiler.gene_spec`), where ``value`` fixes a gene that a recipe may free.
``base: origin`` says that models count by their difference from the base, so that genes with
``per: model`` have no value for the base itself. A gene with ``sources: n`` numbers what a merge
is made of: n results of earlier stages, then the models; numbers beyond the last are dropped.

Bodies render in Jinja's immutable sandbox with ``StrictUndefined``; every printed value goes
through JSON, so that no value can smuggle YAML structure in.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from evomerge_compiler import assets, yamlio
from evomerge_compiler.errors import (
    ErrorList,
    EvomergeError,
    Place,
    TemplateError,
    did_you_mean,
)
from evomerge_compiler.gene import Gene
from evomerge_compiler.gene_spec import read_gene
from evomerge_compiler.gradients import Gradient

SUFFIX = ".yaml.j2"
HEADER_KEYS = ("summary", "methods", "genes")
OPTIONAL_KEYS = ("base",)
BASE_ROLES = ("input", "origin")
MAX_RENDERED_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Template:
    """A parsed template.

    Attributes:
        name: How recipes call it.
        path: Its file.
        summary: One sentence.
        methods: mergekit merge methods the body may emit.
        genes: Declared genes, in order.
        fixed: Values of the declared genes that stay put unless a recipe frees them.
        body: Jinja text after the header.
        body_line: 1-based line of the file on which the body starts.
        sha256: Hash of the whole file, for the lock.
        base: ``origin`` when models count by their difference from the base, else ``input``.
        numbering: Genes whose choices are numbers of sources; to each the number of sources
            that come before the models.
    """

    name: str
    path: Path
    summary: str
    methods: tuple[str, ...]
    genes: tuple[Gene, ...]
    fixed: Mapping[str, object]
    body: str = field(repr=False)
    body_line: int
    sha256: str
    base: str = "input"
    numbering: Mapping[str, int] = field(default_factory=dict)

    def genes_for(self, n_models: int) -> tuple[Gene, ...]:
        """The declared genes; of those that number sources, only the choices that exist."""
        return tuple(
            _narrowed(gene, n_models + self.numbering[gene.name])
            if gene.name in self.numbering
            else gene
            for gene in self.genes
        )

    def fixed_for(self, n_models: int, n_groups: int) -> dict[str, object]:
        """The values of fixed genes, as far as there are sources and layer groups for them."""
        out: dict[str, object] = {}
        for name, value in self.fixed.items():
            if name in self.numbering:
                value = _existing(value, n_models + self.numbering[name])
            out[name] = value[:n_groups] if isinstance(value, list) else value
        return out

    def render(self, context: Mapping[str, object]) -> str:
        """The YAML text of the body under ``context``.

        Raises:
            TemplateError: The body does not parse, names something unknown, or is refused by
                the sandbox; the place is the line in the template's own file.
        """
        from jinja2 import TemplateError as JinjaError
        from jinja2 import TemplateSyntaxError

        try:
            text: str = _compiled(self.path.parent, self.body).render(**context)
        except TemplateSyntaxError as error:
            hint = "see the Jinja template syntax: https://jinja.palletsprojects.com/templates"
            raise self._error(str(error.message), error.lineno, hint) from None
        except EvomergeError as error:
            # A layout function refused its arguments: say which template line called it.
            if error.place is not None:
                raise
            raise self._error(error.message, _line_in_body(error), error.hint) from None
        except (JinjaError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            hint = (
                "a body sees g (the genes), models, base, groups, n_layers, dtype, out_dtype "
                "and layout, and nothing else"
            )
            raise self._error(str(error), _line_in_body(error), hint) from None
        if len(text) > MAX_RENDERED_BYTES:
            raise self._error(f"rendered to {len(text)} characters, more than allowed", 1)
        return text

    def line_places(self, context: Mapping[str, object]) -> dict[int, Place]:
        """Rendered line (1-based) to the template line that printed it.

        Renders with a mark before every piece of the body, so it is slower than :meth:`render`;
        it is meant for errors.

        Raises:
            TemplateError: The marked body does not render.
        """
        environment = _environment(self.path.parent).overlay(extensions=[_marks()])
        try:
            text: str = environment.from_string(self.body).render(**context)
        except Exception as error:
            raise self._error(str(error), _line_in_body(error)) from None
        out: dict[int, Place] = {}
        lines = self.path.read_text(encoding="utf-8").splitlines()
        current = 1
        for number, rendered in enumerate(text.split("\n"), start=1):
            found = [int(mark) for mark in _MARK.findall(rendered)]
            # The first mark that is followed by something to see is the line's own.
            shown = [
                int(match[1]) for match in _MARKED_PIECE.finditer(rendered) if match[2].strip()
            ]
            current = (shown or found or [current])[0]
            line = self.body_line + current - 1
            snippet = lines[line - 1] if 0 < line <= len(lines) else ""
            column = len(snippet) - len(snippet.lstrip()) + 1
            out[number] = Place(str(self.path), line, column, snippet)
            current = found[-1] if found else current
        return out

    def _error(self, message: str, body_line: int, hint: str | None = None) -> TemplateError:
        lines = self.path.read_text(encoding="utf-8").splitlines()
        line = self.body_line + body_line - 1
        snippet = lines[line - 1] if 0 < line <= len(lines) else ""
        return TemplateError(
            f"template {self.name!r}: {message}",
            hint=hint,
            place=Place(str(self.path), line, 1, snippet),
        )


# A mark is the number of a body line between two characters that no template holds.
_MARK = re.compile("\ue000([0-9]+)\ue001")
_MARKED_PIECE = re.compile("\ue000([0-9]+)\ue001([^\ue000]*)")


@functools.lru_cache(maxsize=1)
def _marks():  # type: ignore[no-untyped-def]
    """A Jinja extension that puts a mark before every line and every printed value."""
    from jinja2.ext import Extension
    from jinja2.lexer import Token

    def mark(line: int) -> str:
        return f"\ue000{line}\ue001"

    class Marks(Extension):
        def filter_stream(self, stream):  # type: ignore[no-untyped-def]
            for token in stream:
                if token.type == "data" and stream.name is None:
                    pieces = str(token.value).split("\n")
                    marked = [mark(token.lineno + i) + text for i, text in enumerate(pieces)]
                    yield Token(token.lineno, "data", "\n".join(marked))
                    continue
                if token.type == "variable_begin" and stream.name is None:
                    yield Token(token.lineno, "data", mark(token.lineno))
                yield token

    return Marks


def _line_in_body(error: BaseException) -> int:
    """The body line on which an exception was raised, read from the traceback."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


@functools.lru_cache(maxsize=32)
def _compiled(folder: Path, body: str):  # type: ignore[no-untyped-def]
    # Jinja's own cache is for templates from files; a search renders one body many times.
    return _environment(folder).from_string(body)


@functools.lru_cache(maxsize=8)
def _environment(folder: Path):  # type: ignore[no-untyped-def]
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_quote,
        # Macros shared between templates, such as the layouts of recombined layers.
        loader=FileSystemLoader([folder, *assets.folders("templates")]),
    )
    environment.globals = {"range": _bounded_range}
    return environment


def _bounded_range(*bounds: int) -> range:
    out = range(*bounds)
    if len(out) > 100_000:
        raise ValueError(f"range of {len(out)} is more than a merge can need")
    return out


def _quote(value: object) -> object:
    """Every printed value as JSON, which is YAML; text of macros passes through."""
    from jinja2 import Undefined
    from markupsafe import Markup

    return value if isinstance(value, (Undefined, Markup)) else json_text(value)


def json_text(value: object) -> str:
    """JSON without exponents, which YAML 1.1 would read as text."""
    if isinstance(value, float):
        return yamlio.float_text(value)
    if isinstance(value, Gradient):
        raise value.misplaced()
    if isinstance(value, Mapping):
        inner = ", ".join(f"{json.dumps(str(k))}: {json_text(v)}" for k, v in value.items())
        return "{" + inner + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(json_text(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def load(name: str, *, base_folder: Path | None = None) -> Template:
    """Loads a template by name, or by path when the name has a slash or the suffix.

    Args:
        name: ``three_stage`` or ``./mine.yaml.j2``.
        base_folder: What relative paths are relative to.

    Raises:
        TemplateError: There is none, or its header is wrong.
    """
    if "/" in name or name.endswith(SUFFIX):
        path = ((base_folder or Path.cwd()) / name).resolve()
        if not path.is_file():
            raise TemplateError(f"no template file {name!r}")
    else:
        known = assets.names("templates")
        if name not in known:
            raise TemplateError(f"unknown template {name!r}", hint=did_you_mean(name, known))
        path = known[name]
    return _parse(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _parse(path: Path, _mtime_ns: int) -> Template:
    text = path.read_text(encoding="utf-8")
    header, separator, body = text.partition("\n---\n")
    if not separator:
        raise TemplateError(
            "expected a header, a line '---', and a body",
            hint="see a shipped template: evomerge ls templates",
            place=Place(str(path), 1, 1),
        )
    document = yamlio.parse(header, file=str(path))
    data = document.data
    problems: list[EvomergeError] = []

    def error(message: str, at: tuple[str | int, ...], hint: str | None) -> EvomergeError:
        return document.error(message, at, hint=hint, kind=TemplateError)

    if not isinstance(data, Mapping):
        raise error(f"expected a header with {', '.join(HEADER_KEYS)}", (), None)
    known = (*HEADER_KEYS, *OPTIONAL_KEYS)
    for key in data:
        if key not in known:
            problems.append(error(f"unknown key {key!r}", (key,), did_you_mean(key, known)))
    role = data.get("base", "input")
    if role not in BASE_ROLES:
        problems.append(
            error(f"unknown role {role!r}", ("base",), did_you_mean(str(role), BASE_ROLES))
        )
    for key in HEADER_KEYS:
        if key not in data:
            problems.append(error(f"the header has no {key!r}", (), f"add {key}: ..."))
    genes, fixed, numbering, wrong = _read_genes(data.get("genes") or {}, error)
    problems += wrong
    if problems:
        raise ErrorList(problems)
    return Template(
        name=path.name.removesuffix(SUFFIX),
        path=path,
        summary=str(data["summary"]),
        methods=tuple(data["methods"]),
        genes=genes,
        fixed=fixed,
        body=body,
        body_line=header.count("\n") + 3,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        base=str(role),
        numbering=numbering,
    )


def _existing(value: object, n_sources: int) -> object:
    """Numbers of sources without those that do not exist; source 0 always does."""
    if isinstance(value, list):
        return [number for number in value if number < n_sources] or [0]
    return value if isinstance(value, int) and value < n_sources else 0


def _narrowed(gene: Gene, n_sources: int) -> Gene:
    choices = tuple(c for c in gene.choices if isinstance(c, int) and c < n_sources)
    init = None if gene.init is None else _existing(gene.init, n_sources)
    return replace(gene, choices=choices, init=init)


def _read_genes(  # type: ignore[no-untyped-def]
    data: object, error
) -> tuple[tuple[Gene, ...], dict[str, object], dict[str, int], list[EvomergeError]]:
    genes: list[Gene] = []
    fixed: dict[str, object] = {}
    numbering: dict[str, int] = {}
    problems: list[EvomergeError] = []
    if not isinstance(data, Mapping):
        return (), {}, {}, [error("expected a mapping of gene names", ("genes",), None)]
    for name, declaration in data.items():
        at = ("genes", name)
        if not isinstance(declaration, Mapping):
            problems.append(error(f"expected a gene, got {declaration!r}", at, None))
            continue
        rest = {k: v for k, v in declaration.items() if k not in ("value", "sources")}
        gene, wrong = read_gene(name, rest, error, at)
        problems += wrong
        if gene is None:
            continue
        genes.append(gene)
        if "value" in declaration:
            fixed[name] = declaration["value"]
        if "sources" in declaration:
            earlier = declaration["sources"]
            if isinstance(earlier, bool) or not isinstance(earlier, int) or gene.kind != "choice":
                message = f"expected a number of earlier stages, and choices, got {earlier!r}"
                problems.append(error(message, (*at, "sources"), None))
                continue
            numbering[name] = earlier
    return tuple(genes), fixed, numbering, problems
