"""Turns gene values into the inputs and parameters of a mergekit document.

A template says which gene is which parameter; here, in one place, is how a gene's shape becomes
mergekit's. A gene holds one value, or one for each model, layer group, or both, and with
``filters`` one for each kind of tensor. Values for layer groups make one slice a group (the
embedding goes with the first group, the final norm and the head with the last one); without them
whole models are listed. Values over depth become mergekit's list form, a straight line from each
value to the next over the layers. mergekit gives the first one to embedding, norm and head alike,
so they have filters of their own: the embedding gets the first value, norm and head the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from markupsafe import Markup

from evomerge_compiler.errors import CompileError
from evomerge_compiler.gene import OTHER_TENSORS
from evomerge_compiler.gradients import Gradient, over_depth
from evomerge_compiler.templates import json_text

# Tensors outside the layers, by parts of their names: before the first and after the last layer.
BEFORE_LAYERS = ("embed_tokens",)
AFTER_LAYERS = ("model.norm", "lm_head")


class Input(Protocol):
    """A model as a template sees it."""

    @property
    def alias(self) -> str:
        """Its name in the recipe."""

    @property
    def ref(self) -> str:
        """Its reference in compiled text."""


def expect(
    models: Sequence[Input],
    at_least: int,
    at_most: int | None = None,
    *,
    besides_base: bool = False,
) -> Sequence[Input]:
    """The models, when their number suits the method.

    Args:
        models: What the recipe lists.
        at_least: Fewest that make sense.
        at_most: Most that the method takes, None for any number.
        besides_base: Whether the base was taken out of ``models`` before counting.

    Raises:
        CompileError: There are too few or too many.
    """
    if len(models) >= at_least and (at_most is None or len(models) <= at_most):
        return models
    if at_most is None:
        wanted = f"at least {at_least}"
    elif at_least == at_most:
        wanted = f"exactly {at_least}"
    else:
        wanted = f"{at_least} to {at_most}"
    what = "models besides the base" if besides_base else "models"
    got = ", ".join(model.alias for model in models) or "none"
    raise CompileError(
        f"expected {wanted} {what}, got {len(models)} ({got})",
        hint="change the list under models:, or choose another template",
    )


def separate(base: Input, models: Sequence[Input]) -> Input | None:
    """The base when it is none of the models, else None."""
    return None if base in models else base


def inputs(
    models: Sequence[Input],
    groups: Sequence[Sequence[int]],
    *,
    base: Input | None = None,
    each: Mapping[str, object] | None = None,
    shared: Mapping[str, object] | None = None,
) -> Markup:
    """The ``models`` or ``slices`` of a document and its ``parameters``, as YAML lines.

    Args:
        models: The inputs that have parameters of their own.
        groups: ``(n_groups, 2)`` layer ranges ``[start, end)``.
        base: A base model that is no input of its own; it is listed first.
        each: Parameter to gene value, one setting for each model.
        shared: Parameter to gene value, one setting for all models.

    Raises:
        CompileError: A shared parameter has values for each model.
    """
    each, shared = dict(each or {}), dict(shared or {})
    for name, value in shared.items():
        if _by_model(value, models):
            raise CompileError(
                f"{name!r} is one value for all models, its gene has one for each",
                hint=f"give {name} no per:, or per: layer_group",
            )
    listed = [m for m in ([base] if base is not None else []) if m not in models]
    parts = _parts(models, each, shared)
    if any(_by_group(part) for part in parts):
        if any(map(over_depth, parts)):
            raise CompileError(
                "a gene per depth and one per layer group meet in one merge",
                hint="give both per: depth, or both per: layer_group",
            )
        body: dict[str, object] = {"slices": _slices(listed, models, groups, each, shared)}
        whole = {name: value for name, value in shared.items() if not _by_group(value)}
    else:
        entries: list[dict[str, object]] = [{"model": model.ref} for model in listed]
        for model in models:
            entries.append({"model": model.ref} | _parameters(_own(each, model)))
        body, whole = {"models": entries}, shared
    body |= _parameters(whole)
    return Markup("\n".join(f"{key}: {json_text(value)}" for key, value in body.items()))


def _slices(
    listed: Sequence[Input],
    models: Sequence[Input],
    groups: Sequence[Sequence[int]],
    each: Mapping[str, object],
    shared: Mapping[str, object],
) -> list[dict[str, object]]:
    out: list[dict[str, object]] = []
    for index, (start, end) in enumerate(groups):
        sources: list[dict[str, object]] = []
        for model in listed:
            sources.append({"model": model.ref, "layer_range": [start, end]})
        for model in models:
            own = {name: _of_group(value, index) for name, value in _own(each, model).items()}
            sources.append({"model": model.ref, "layer_range": [start, end]} | _parameters(own))
        here = {name: _of_group(v, index) for name, v in shared.items() if _by_group(v)}
        out.append({"sources": sources} | _parameters(here))
    return out


def _parts(
    models: Sequence[Input], each: Mapping[str, object], shared: Mapping[str, object]
) -> list[object]:
    own = [value for model in models for value in _own(each, model).values()]
    return [*own, *shared.values()]


def _own(each: Mapping[str, object], model: Input) -> dict[str, object]:
    """Each parameter's value for one model."""
    out = {}
    for name, value in each.items():
        if isinstance(value, Mapping) and OTHER_TENSORS not in value:
            value = value[model.alias]
        out[name] = value
    return out


def _by_model(value: object, models: Sequence[Input]) -> bool:
    aliases = {model.alias for model in models}
    return isinstance(value, Mapping) and bool(aliases & set(value))


def _by_group(value: object) -> bool:
    return isinstance(value, (list, tuple))


def _of_group(value: object, index: int) -> object:
    return value[index] if isinstance(value, (list, tuple)) else value


def _parameters(values: Mapping[str, object]) -> dict[str, object]:
    if not values:
        return {}
    return {"parameters": {name: setting(value) for name, value in values.items()}}


def setting(value: object) -> object:
    """A value as mergekit's setting: one with filters becomes a list, the catch-all last."""
    by_filter = value if isinstance(value, Mapping) else {OTHER_TENSORS: value}
    rest = by_filter[OTHER_TENSORS]
    settings: list[dict[str, object]] = []
    if isinstance(rest, Gradient):
        settings += [{"filter": name, "value": rest.anchors[0]} for name in BEFORE_LAYERS]
        settings += [{"filter": name, "value": rest.anchors[-1]} for name in AFTER_LAYERS]
    elif not isinstance(value, Mapping):
        return value
    settings += [
        {"filter": name, "value": _plain(part)}
        for name, part in by_filter.items()
        if name != OTHER_TENSORS
    ]
    return [*settings, {"value": _plain(rest)}]


def _plain(value: object) -> object:
    return list(value.anchors) if isinstance(value, Gradient) else value


# What a template reaches of this module as ``layout``, beside the functions of layouts.py.
FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "expect": expect,
    "inputs": inputs,
    "separate": separate,
}
