"""Compares the tensors of the models of a merge by their headers.

mergekit finds a missing or differently shaped tensor in the middle of a merge, after it has
written the others; quantised weights it takes for tensors of other names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from evomerge_compiler.compiler.mergekit_grammar import Architecture
from evomerge_compiler.compiler.model_headers import SourceModel
from evomerge_compiler.errors import CompileError, EvomergeError
from evomerge_compiler.recipe import Recipe

_LAYER = re.compile(r"\.layers\.(\d+)\.")
# Expert tensors are stored fused or one by one; mergekit converts between the two.
_CONVERTED = re.compile("moe|mixtral", re.IGNORECASE)
_VOCABULARY = ("embed_tokens", "lm_head", "wte", "embeddings")


def tensor_errors(
    recipe: Recipe, sources: Mapping[str, SourceModel], architecture: Architecture | None
) -> list[EvomergeError]:
    """Quantised models, and models whose tensors do not match those of the first model.

    Args:
        recipe: The recipe.
        sources: Alias to model; models that are not on this machine are not judged.
        architecture: Tensor names that mergekit asks for, None when unknown.
    """
    errors: list[EvomergeError] = []

    def wrong(alias: str, message: str, hint: str) -> None:
        is_base = recipe.base_spec is not None and alias == recipe.base
        place = recipe.document.place(("base",) if is_base else ("models", alias))
        errors.append(CompileError(message, hint=hint, place=place))

    for alias, source in sources.items():
        if source.facts.quantisation:
            message = f"{alias} is quantised ({source.facts.quantisation})"
            wrong(alias, message, "merge the model it was made from, and quantise the result")
    here = {alias: source for alias, source in sources.items() if source.tensors}
    if errors or len(here) < 2:
        return errors
    first = next(iter(here))
    for alias in [alias for alias in here if alias != first]:
        for message in _differences(first, here[first], alias, here[alias], architecture):
            wrong(alias, message, f"replace {alias} by a model of the same make as {first}")
            break
    return errors


def _differences(
    first: str,
    one: SourceModel,
    alias: str,
    other: SourceModel,
    architecture: Architecture | None,
) -> Iterator[str]:
    assert one.tensors is not None and other.tensors is not None
    depth = min(one.facts.num_hidden_layers, other.facts.num_hidden_layers)
    names, others = _names(one.tensors, depth), _names(other.tensors, depth)
    for name in sorted(names & others):
        shape, its = one.tensors[name][1], other.tensors[name][1]
        if shape != its and not any(part in name for part in _VOCABULARY):
            yield f"{name} is {_shown(shape)} in {first} and {_shown(its)} in {alias}"
    if architecture is None or _CONVERTED.search(architecture.name):
        return
    needed = {t.name for t in (*architecture.before, *architecture.after) if not t.optional}
    for layer in range(depth):
        in_layer = zip(architecture.in_layer(layer), architecture.layer, strict=True)
        needed |= {name for name, tensor in in_layer if not tensor.optional}
    for name in sorted((names ^ others) & needed):
        has, lacks = (first, alias) if name in names else (alias, first)
        yield f"{lacks} has no tensor {name}, {has} has one"


def _names(tensors: Mapping[str, object], depth: int) -> set[str]:
    """Tensor names, without those of layers that only one of the two models has."""
    out = set()
    for name in tensors:
        match = _LAYER.search(name)
        if match is None or int(match[1]) < depth:
            out.add(name)
    return out


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"
