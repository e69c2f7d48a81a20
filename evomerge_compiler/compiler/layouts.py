"""Layer layouts: which layers a merge is built of, as plain lists and dicts for templates.

A template body prints what these functions return. All of them are pure, take model references
(``models/src/coder``, ``s2``) and pairs ``[start, end)`` of layers, and give mergekit ``slices``
for ``merge_method: linear`` with ``normalize: false``.

Three facts of mergekit 0.1.5 shape every slice:

- The embedding follows the parameters of the first slice, the final norm and the head those of the
  last one, so each weight there has a filter of its own: the three always come from source 0.
- Tensors outside the layers are planned with the first slice's *number* of inputs, so every slice
  lists equally many sources, some with weight 0.
- Config and tokenizer come from ``base_model``; source 0 is an input of every slice so that a
  template may name it there.

The data-flow space is that of Akiba et al., "Evolutionary Optimization of Model Merging Recipes"
(arXiv:2403.13187, section 3.2): a path through layers, and a scale W for the input of each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace

from evomerge_compiler.compiler.emission import AFTER_LAYERS, BEFORE_LAYERS, Input
from evomerge_compiler.errors import CompileError

# The tensors whose output is added to the residual stream, in pre-norm decoders.
RESIDUAL_OUTPUTS = ("o_proj", "down_proj")

PASSES = {"skip": 0, "once": 1, "twice": 2}
DECIMALS = 8
MOST_LAYERS = 10_000

Group = Sequence[int]


@dataclass(frozen=True)
class Step:
    """One run of consecutive layers of the result.

    Attributes:
        start: First layer, in the numbering of the sources.
        end: Layer after the last one.
        weights: Source index to its weight; a source that is left out has weight 0.
        factor: What the outputs into the residual stream are multiplied by.
    """

    start: int
    end: int
    weights: Mapping[int, float]
    factor: float = 1.0


@dataclass(frozen=True)
class Run:
    """Consecutive layers of a path, all of one group.

    Attributes:
        start: First layer.
        end: Layer after the last one.
        group: Index of the group.
        repeated: Whether the group has been passed before.
    """

    start: int
    end: int
    group: int
    repeated: bool


def layer_groups(n_layers: int, n_groups: int) -> list[list[int]]:
    """Splits layers into groups that differ by one layer at most, the larger ones first.

    Args:
        n_layers: Layers of a model.
        n_groups: Groups wanted.

    Returns:
        ``n_groups`` pairs ``[start, end)`` that follow each other from 0 to ``n_layers``.

    Raises:
        CompileError: There are fewer layers than groups.
    """
    if not 1 <= n_groups <= n_layers:
        raise CompileError(
            f"expected 1 to {n_layers} layer groups for a model of {n_layers} layers, "
            f"got {n_groups}",
            hint=f"set layer_groups to a number from 1 to {n_layers}",
        )
    size, larger = divmod(n_layers, n_groups)
    bounds = [index * size + min(index, larger) for index in range(n_groups + 1)]
    return [[start, end] for start, end in pairwise(bounds)]


def without(models: Sequence[Input], base: Input) -> list[Input]:
    """The models that are not the base: those whose difference from it counts.

    Raises:
        CompileError: Only the base is left.
    """
    others = [model for model in models if model.ref != base.ref]
    if not others:
        raise CompileError(
            "expected a model that is not the base, got only the base",
            hint="name another base:, or add a model",
        )
    return others


# --------------------------------------------------------------------------------------
# Frankenmerge: each group whole from one source


def frankenmerge_slices(
    sources: Sequence[str], groups: Sequence[Group], source: Sequence[int]
) -> list[dict[str, object]]:
    """Slices that take each layer group whole from one source.

    Args:
        sources: References; source 0 also gives embedding, final norm and head.
        groups: ``(n_groups, 2)`` layer ranges ``[start, end)``.
        source: ``(n_groups,)`` index of the source of each group.

    Raises:
        CompileError: An index names no source.
    """
    _check_indices("source", source, sources)
    pairs = zip(groups, source, strict=True)
    return slices(sources, [Step(start, end, {index: 1.0}) for (start, end), index in pairs])


# --------------------------------------------------------------------------------------
# DFS: a path through the layers


def path(
    groups: Sequence[Group],
    path_step: Sequence[str],
    keep_depth: bool = True,
    min_depth: int = 0,
    max_depth: int = MOST_LAYERS,
) -> list[Run]:
    """The layers that a path passes through, as runs.

    Each group is skipped, passed once, or passed twice in a row. With ``keep_depth`` the result
    has as many layers as the groups have in all, else from ``min_depth`` to ``max_depth``. A path
    of another length is brought back to that by the groups it passes once, because adjacent
    layers stand in for each other best: where it is too short, the groups next to the skipped ones
    are passed twice; where it is too long, the groups next to the repeated ones are skipped. The
    nearest goes first, of two equally near the later. The first and the last group, which meet
    embedding and head, are repeated only after all others and never skipped. Where that is not
    enough, the last of the path's own skips or repeats are taken back. Where groups are of unequal
    size, a part of a group changes: the layers next to the cause.

    Args:
        groups: ``(n_groups, 2)`` layer ranges ``[start, end)`` that follow each other.
        path_step: ``(n_groups,)`` words ``skip``, ``once`` or ``twice``.
        keep_depth: Whether the number of layers stays the same.
        min_depth: Fewest layers of a path that does not keep the depth.
        max_depth: Most layers of a path that does not keep the depth.

    Raises:
        CompileError: No layer is left, a word is unknown, or the bounds leave out the depth of
            the models themselves.
    """
    depth = sum(end - start for start, end in groups)
    if not (0 <= min_depth <= depth <= max_depth or keep_depth):
        raise CompileError(
            f"expected min_depth to max_depth around the {depth} layers of the models, got "
            f"{min_depth} to {max_depth}",
            hint=f"take min_depth of {depth} or less, and max_depth {depth} or more",
        )
    unknown = [word for word in path_step if word not in PASSES]
    if unknown:
        raise CompileError(f"expected steps of {', '.join(PASSES)}, got {unknown[0]!r}")
    steps = [PASSES[word] for word in path_step]
    counts = [[step] * (end - start) for (start, end), step in zip(groups, steps, strict=True)]
    length = sum(map(sum, counts))
    wanted = depth if keep_depth else min(max(length, min_depth), max_depth)
    if length != wanted:
        _balance(steps, counts, wanted)
    if not any(any(group) for group in counts):
        raise CompileError(
            "the path skips every layer group, so that no layer is left",
            hint="keep at least one group, or set keep_depth: true",
        )
    return list(_runs(groups, counts))


def _balance(steps: Sequence[int], counts: list[list[int]], wanted: int) -> None:
    """Changes ``counts``, the passes of each layer by group, until they are ``wanted`` in all."""

    def excess() -> int:
        return sum(map(sum, counts)) - wanted

    too_long = excess() > 0
    edited = [index for index, step in enumerate(steps) if step == (2 if too_long else 0)]
    outer = (0, len(steps) - 1)
    plain = [i for i, step in enumerate(steps) if step == 1 and not (too_long and i in outer)]

    def cause(index: int) -> int:
        return min(edited, key=lambda other: (abs(other - index), -other))

    def turn(index: int) -> tuple[bool, int, int]:
        return (index in outer, abs(cause(index) - index), -index)

    for index in sorted(plain, key=turn) if excess() else []:
        size = len(counts[index])
        take = min(abs(excess()), size)
        changed = [0 if too_long else 2] * take
        kept = [1] * (size - take)
        counts[index] = changed + kept if cause(index) < index else kept + changed
    for index in reversed(edited):
        size = len(counts[index])
        take = min(abs(excess()), size)
        counts[index] = counts[index][: size - take] + [1] * take


def _runs(groups: Sequence[Group], counts: Sequence[Sequence[int]]) -> Iterator[Run]:
    """The layers in the order of the path, cut where they jump and where a group ends."""
    for index, ((start, _), passes) in enumerate(zip(groups, counts, strict=True)):
        order: list[int] = []
        position = 0
        while position < len(passes):
            until = position
            while until < len(passes) and passes[until] == passes[position]:
                until += 1
            order += list(range(start + position, start + until)) * passes[position]
            position = until
        first = 0
        for place in range(1, len(order) + 1):
            if place == len(order) or order[place] != order[place - 1] + 1:
                yield Run(order[first], order[place - 1] + 1, index, repeated=_seen(order, first))
                first = place


def _seen(order: Sequence[int], first: int) -> bool:
    return order[first] in order[:first]


def dfs_slices(
    sources: Sequence[str],
    groups: Sequence[Group],
    path_step: Sequence[str],
    *,
    donor: Sequence[int],
    donor_weight: float,
    path_scale: Sequence[float],
    keep_depth: bool = True,
    min_depth: int = 0,
    max_depth: int = MOST_LAYERS,
    source: Sequence[int] | None = None,
    repeat_source: Sequence[int] | None = None,
) -> list[dict[str, object]]:
    """Slices of a path through the layers, with a donor blended in and its inputs scaled.

    A donor is blended into step t of T steps with weight ``donor_weight * t / (T - 1)``: nothing
    at the first step, ``donor_weight`` at the last.

    Scaling the input of step t by ``W_t`` multiplies the residual stream there. In a pre-norm
    decoder each block reads the stream through an RMS norm, which a common factor does not change
    (but for the norm's epsilon), and adds to it through ``o_proj`` and ``down_proj``. So the
    scaled network equals the unscaled one in which those two are multiplied by
    ``1 / (W_1 ... W_t)`` at step t; the final norm drops the common factor. Networks that norm a
    block's *output* (Gemma 2 and 3, OLMo 2) do not have this property.

    Args:
        sources: References; source 0 also gives embedding, final norm and head.
        groups: ``(n_groups, 2)`` layer ranges ``[start, end)``.
        path_step: ``(n_groups,)`` words ``skip``, ``once`` or ``twice``; see :func:`path`.
        donor: ``(n_groups,)`` index of the source blended into each group.
        donor_weight: Weight of the donor at the last step, 0 to 1.
        path_scale: ``(n_groups,)`` W of each step that enters the group; above 0.
        keep_depth: Whether the number of layers stays the same.
        min_depth: Fewest layers of a path that does not keep the depth.
        max_depth: Most layers of a path that does not keep the depth.
        source: ``(n_groups,)`` index of the source of each group; source 0 by default.
        repeat_source: The same for a group's second pass; source 0 by default.

    Raises:
        CompileError: An index names no source, a number is out of range, or no layer is left.
    """
    first = list(source) if source is not None else [0] * len(groups)
    again = list(repeat_source) if repeat_source is not None else [0] * len(groups)
    for name, indices in (("donor", donor), ("source", first), ("repeat_source", again)):
        _check_indices(name, indices, sources)
    if not 0 <= donor_weight <= 1:
        raise CompileError(f"expected a donor_weight from 0 to 1, got {donor_weight}")
    if any(scale <= 0 for scale in path_scale):
        raise CompileError(f"expected path_scale above 0, got {min(path_scale)}")
    runs = path(groups, path_step, keep_depth, min_depth, max_depth)
    steps: list[Step] = []
    scaled = 1.0
    for index, run in enumerate(runs):
        scaled *= path_scale[run.group]
        share = donor_weight * (index / (len(runs) - 1) if len(runs) > 1 else 1.0)
        weights = {(again if run.repeated else first)[run.group]: 1.0 - share}
        given = donor[run.group]
        weights[given] = weights.get(given, 0.0) + share
        steps.append(Step(run.start, run.end, weights, 1.0 / scaled))
    return slices(sources, steps)


# --------------------------------------------------------------------------------------
# Slices


def slices(sources: Sequence[str], steps: Sequence[Step]) -> list[dict[str, object]]:
    """mergekit slices of the steps, for ``linear`` with ``normalize: false``.

    Args:
        sources: References, all different.
        steps: Layer runs in the order of the result.

    Raises:
        CompileError: A source is listed twice.
    """
    if len(set(sources)) != len(sources):
        raise CompileError(
            "a source is listed twice, and mergekit tells inputs of a slice apart by model",
            hint="list each model once",
        )
    used = [_ordered({0: 0.0, **step.weights}) for step in steps]
    # Two at least, so that two genomes of one layout differ in numbers rather than in lines.
    n_inputs = min(len(sources), max(2, *(len(weights) for weights in used)))
    out: list[dict[str, object]] = []
    for index, (step, weights) in enumerate(zip(steps, used, strict=True)):
        spare = (i for i in range(len(sources)) if i not in weights)
        while len(weights) < n_inputs:
            weights[next(spare)] = 0.0
        outer = (
            *(BEFORE_LAYERS if index == 0 else ()),
            *(AFTER_LAYERS if index == len(steps) - 1 else ()),
        )
        listed = [
            {
                "model": sources[i],
                "layer_range": [step.start, step.end],
                "parameters": {"weight": _weight(i == 0, weight, step.factor, outer)},
            }
            for i, weight in weights.items()
        ]
        out.append({"sources": listed})
    return out


def _ordered(weights: Mapping[int, float]) -> dict[int, float]:
    return {index: weights[index] for index in sorted(weights)}


def _weight(is_first_source: bool, weight: float, factor: float, outer: Sequence[str]) -> object:
    """The weight of one source in one slice: a number, or a list of filters."""
    own = 1.0 if is_first_source else 0.0
    plain = round(weight, DECIMALS)
    scaled = round(weight * factor, DECIMALS)
    filters = [{"filter": name, "value": own} for name in outer if plain != own]
    if scaled != plain:
        filters += [{"filter": name, "value": scaled} for name in RESIDUAL_OUTPUTS]
    return [*filters, {"value": plain}] if filters else plain


def _check_indices(name: str, indices: Sequence[int], sources: Sequence[str]) -> None:
    for index in indices:
        if not 0 <= index < len(sources):
            raise CompileError(
                f"{name} {index} names no source: there are {len(sources)}, "
                f"0 to {len(sources) - 1}",
                hint=f"in the recipe's genome, let {name} take 0 to {len(sources) - 1} only",
            )


# What a template reaches as ``layout``; nothing else of this module.
FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "dfs_slices": dfs_slices,
    "frankenmerge_slices": frankenmerge_slices,
    "without": without,
}


def namespace(**more: Callable[..., object]) -> SimpleNamespace:
    """The functions of this module, and ``more``, as the ``layout`` of a template context."""
    return SimpleNamespace(**FUNCTIONS, **more)
