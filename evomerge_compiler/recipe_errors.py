"""Mistakes in a recipe's shape, in words: what was expected, what came, where, what is near."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evomerge_compiler.errors import ErrorList, EvomergeError, did_you_mean
from evomerge_compiler.yamlio import Document

# Kind of pydantic error, or its first word, to what to do.
_REMEDIES = {
    "int": "write a whole number, without quotes",
    "float": "write a number, without quotes",
    "bool": "write true or false, without quotes",
    "string_pattern_mismatch": "use letters, digits, '_' and '-'",
    "string_too_short": "write some text",
    "string": "write a word, in quotes if it looks like a number",
    "list": "write a list: [first, second]",
    "dict": "write a mapping: {key: value}",
    "model": "write a mapping: {key: value}",
    "greater": "choose a value inside the bounds",
    "less": "choose a value inside the bounds",
    "too": "choose a length inside the bounds",
}


def _remedy(kind: str) -> str:
    return _REMEDIES.get(kind) or _REMEDIES.get(kind.split("_")[0], "see evomerge schema")


def validate(schema: type[Any], document: Document) -> Any:
    """The file as a schema object.

    Raises:
        ErrorList: All its mistakes, with places and the nearest right words.
    """
    from pydantic import ValidationError

    try:
        return schema.model_validate(document.data)
    except ValidationError as error:
        found = [_translate(schema, document, item) for item in error.errors()]
        raise ErrorList(found) from None


def _translate(schema: type[Any], document: Document, item: Any) -> EvomergeError:
    loc = tuple(part for part in item["loc"] if part != "[key]")
    dotted = ".".join(str(part) for part in loc)
    kind = item["type"]
    if kind == "extra_forbidden":
        known = _known_keys(schema, loc[:-1])
        return document.error(
            f"unknown key {loc[-1]!r}" + (f" in {'.'.join(map(str, loc[:-1]))}" * (len(loc) > 1)),
            loc,
            hint=did_you_mean(str(loc[-1]), known),
            key=True,
        )
    if kind == "missing":
        return document.error(f"{dotted} is missing", loc[:-1], hint=f"add {loc[-1]}: ...")
    what = str(item["msg"])
    what = what[0].lower() + what[1:]
    hint = _remedy(kind)
    if kind == "literal_error":
        words = [w.strip("' ") for w in item["ctx"]["expected"].replace(" or ", ",").split(",")]
        hint = did_you_mean(str(item["input"]), words)
    shown = item["input"] if isinstance(item["input"], (str, int, float, bool)) else None
    got = f", got {shown!r}" if shown is not None else ""
    return document.error(f"{dotted}: {what}{got}", loc, hint=hint, key="[key]" in item["loc"])


def _known_keys(schema: Any, path: Sequence[str | int]) -> list[str]:
    """The keys a schema allows at ``path``, found by walking the annotations."""
    from typing import get_args

    from pydantic import BaseModel

    def models_in(annotation: Any) -> list[Any]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return [annotation]
        return [m for arg in get_args(annotation) for m in models_in(arg)]

    current = [schema]
    for step in path:
        following = []
        for model in current:
            for name, info in model.model_fields.items():
                if step == (info.alias or name):
                    following += models_in(info.annotation)
        # A key of a mapping (an alias, a domain) stays in the mapping's value type.
        current = following or current
    return [info.alias or name for m in current for name, info in m.model_fields.items()]
