"""Layouts: groups, paths, and the slices they become."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge_compiler.compiler import layouts
from evomerge_compiler.compiler.layouts import Run, Step
from evomerge_compiler.errors import CompileError

WORDS = ("skip", "once", "twice")
paths = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8)


@dataclass(frozen=True)
class Model:
    """A model as a template sees it."""

    alias: str
    ref: str


A, B, BASE = Model("a", "models/src/a"), Model("b", "models/src/b"), Model("base", "z")


def visited(runs: Sequence[Run]) -> list[int]:
    return [layer for run in runs for layer in range(run.start, run.end)]


def visits(words: str, n_layers: int | None = None, keep_depth: bool = True) -> list[int]:
    """The layers of a path written as one letter a group: s(kip), o(nce), t(wice)."""
    steps = [{"s": "skip", "o": "once", "t": "twice"}[letter] for letter in words]
    groups = layouts.layer_groups(n_layers or len(words), len(words))
    return visited(layouts.path(groups, steps, keep_depth))


# --------------------------------------------------------------------------------------


@given(st.integers(1, 200), st.data())
def test_layer_groups_cover_all_layers_evenly(n_layers: int, data: st.DataObject) -> None:
    n_groups = data.draw(st.integers(1, n_layers))
    groups = layouts.layer_groups(n_layers, n_groups)
    sizes = [end - start for start, end in groups]
    assert len(groups) == n_groups
    assert [layer for start, end in groups for layer in range(start, end)] == list(range(n_layers))
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("n_groups", [0, -1, 5])
def test_more_groups_than_layers_is_an_error(n_groups: int) -> None:
    with pytest.raises(CompileError, match="1 to 4 layer groups") as caught:
        layouts.layer_groups(4, n_groups)
    assert caught.value.hint == "set layer_groups to a number from 1 to 4"


# --------------------------------------------------------------------------------------
# Paths


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("oooo", [0, 1, 2, 3]),
        ("otso", [0, 1, 1, 3]),  # of the right depth: untouched
        ("tsso", [0, 0, 3, 3]),  # too short by one, and only the last group is left to repeat
        ("sooo", [1, 1, 2, 3]),  # the nearest neighbour stands in for a skipped group
        ("osoo", [0, 2, 2, 3]),
        ("ooso", [0, 1, 1, 3]),
        ("ooos", [0, 1, 2, 2]),
        ("tooo", [0, 0, 2, 3]),  # the nearest neighbour makes room for a repeated group
        ("otoo", [0, 1, 1, 3]),
        ("ooto", [0, 2, 2, 3]),
        ("ooot", [0, 1, 3, 3]),
        ("ttoo", [0, 0, 1, 3]),  # one neighbour made room, then the last repeat is taken back
        ("ssoo", [2, 2, 3, 3]),
        ("ssso", [1, 2, 3, 3]),  # one neighbour stands in, then the last skips are taken back
        ("tttt", [0, 1, 2, 3]),
        ("ssss", [0, 1, 2, 3]),
        ("s", [0]),
        ("t", [0]),
        ("so", [1, 1]),
        ("to", [0, 1]),  # the last group is never left out, so the repeat is taken back
        ("oso", [0, 2, 2]),
        ("ooooots", [0, 1, 2, 3, 4, 5, 5]),
        ("ootoooo", [0, 1, 2, 2, 4, 5, 6]),  # of two equally near neighbours the later
    ],
)
def test_a_path_is_brought_back_to_the_depth(words: str, expected: list[int]) -> None:
    assert visits(words) == expected


@pytest.mark.parametrize(
    ("words", "n_layers", "expected"),
    [
        # Groups of 2, 2, 1: half of the middle group makes room, next to its cause.
        ("oot", 5, [0, 1, 2, 4, 4]),
        # Half of it stands in for the last group: its later half, next to the gap.
        ("oos", 5, [0, 1, 2, 3, 3]),
        # Groups of 2, 1, 1: the middle makes room for half, then half the repeat is taken back.
        ("too", 4, [0, 0, 1, 3]),
        ("soo", 4, [2, 2, 3, 3]),
    ],
)
def test_groups_of_unequal_size_change_in_part(
    words: str, n_layers: int, expected: list[int]
) -> None:
    assert visits(words, n_layers) == expected


@given(paths, st.integers(0, 30))
def test_depth_is_kept_whatever_the_path(steps: list[str], extra: int) -> None:
    groups = layouts.layer_groups(len(steps) + extra, len(steps))
    runs = layouts.path(groups, steps)
    assert len(visited(runs)) == len(steps) + extra
    assert all(run.start < run.end for run in runs)
    # Groups are entered in order, and no layer more than twice.
    assert [run.group for run in runs] == sorted(run.group for run in runs)
    assert max(visited(runs).count(layer) for layer in visited(runs)) <= 2


@given(paths, st.integers(0, 30))
def test_a_free_path_is_taken_literally(steps: list[str], extra: int) -> None:
    groups = layouts.layer_groups(len(steps) + extra, len(steps))
    expected = [
        layer
        for (start, end), word in zip(groups, steps, strict=True)
        for _ in range(WORDS.index(word))
        for layer in range(start, end)
    ]
    if not expected:
        with pytest.raises(CompileError, match="no layer is left"):
            layouts.path(groups, steps, keep_depth=False)
        return
    assert visited(layouts.path(groups, steps, keep_depth=False)) == expected
    if len(expected) == len(steps) + extra:
        assert layouts.path(groups, steps) == layouts.path(groups, steps, keep_depth=False)


@given(paths, st.integers(0, 30), st.data())
def test_a_free_path_keeps_to_its_bounds(
    steps: list[str], extra: int, data: st.DataObject
) -> None:
    depth = len(steps) + extra
    least = data.draw(st.integers(1, depth), "min_depth")
    most = data.draw(st.integers(depth, 2 * depth), "max_depth")
    groups = layouts.layer_groups(depth, len(steps))
    bounded = visited(layouts.path(groups, steps, False, least, most))
    length = sum(
        WORDS.index(word) * (end - start) for (start, end), word in zip(groups, steps, strict=True)
    )
    assert len(bounded) == min(max(length, least), most)
    if least <= length <= most:
        assert bounded == visited(layouts.path(groups, steps, keep_depth=False))
    assert visited(layouts.path(groups, steps, False, depth, depth)) == visited(
        layouts.path(groups, steps)
    )


@pytest.mark.parametrize("bounds", [(-1, 9), (5, 9), (2, 3), (5, 3)])
def test_bounds_lie_around_the_depth_of_the_models(bounds: tuple[int, int]) -> None:
    groups = layouts.layer_groups(4, 4)
    with pytest.raises(CompileError, match="around the 4 layers of the models") as caught:
        layouts.path(groups, ["once"] * 4, False, *bounds)
    assert caught.value.hint == "take min_depth of 4 or less, and max_depth 4 or more"
    layouts.path(groups, ["once"] * 4, True, *bounds)


@pytest.mark.parametrize("n_groups", [4, 5, 8])
def test_every_single_change_of_a_plain_path_has_an_effect(n_groups: int) -> None:
    for index, letter in itertools.product(range(n_groups), "st"):
        words = "o" * index + letter + "o" * (n_groups - index - 1)
        assert visits(words) != list(range(n_groups)), words


def test_an_unknown_step_is_named() -> None:
    with pytest.raises(CompileError, match="skip, once, twice, got 'thrice'"):
        layouts.path([[0, 1]], ["thrice"])


def test_runs_know_second_passes() -> None:
    runs = layouts.path([[0, 2], [2, 4]], ["twice", "once"], keep_depth=False)
    assert runs == [Run(0, 2, 0, False), Run(0, 2, 0, True), Run(2, 4, 1, False)]


# --------------------------------------------------------------------------------------
# Slices


def weight_of(source: dict[str, Any], tensor: str) -> float:
    """The weight that mergekit gives a tensor: the first filter in its name wins."""
    weight = source["parameters"]["weight"]
    if not isinstance(weight, list):
        return float(weight)
    return float(next(w["value"] for w in weight if w.get("filter", "") in tensor))


@given(
    st.integers(1, 5),
    st.lists(
        st.tuples(
            st.dictionaries(st.integers(0, 4), st.floats(0, 1), max_size=3),
            st.floats(0.25, 4),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_slices_hold_what_mergekit_needs(
    n_sources: int, drawn: list[tuple[dict[int, float], float]]
) -> None:
    steps = [
        Step(i, i + 1, {k % n_sources: w for k, w in weights.items()}, factor)
        for i, (weights, factor) in enumerate(drawn)
    ]
    names = [f"m{i}" for i in range(n_sources)]
    found: list[Any] = layouts.slices(names, steps)
    counts = {len(part["sources"]) for part in found}
    assert len(counts) == 1  # mergekit plans the head with the first slice's number of inputs
    for step, part in zip(steps, found, strict=True):
        listed = {source["model"]: source for source in part["sources"]}
        assert len(listed) == len(part["sources"])
        assert part["sources"][0]["model"] == "m0"
        for i, name in enumerate(names):
            expected = step.weights.get(i, 0.0)
            got = weight_of(listed[name], "mlp.up_proj") if name in listed else 0.0
            assert got == pytest.approx(expected, abs=1e-8)
            for tensor in ("self_attn.o_proj.weight", "mlp.down_proj.weight"):
                got = weight_of(listed[name], tensor) if name in listed else 0.0
                assert got == pytest.approx(expected * step.factor, abs=1e-8)
    for part, tensor in (
        (found[0], "model.embed_tokens.weight"),
        (found[-1], "model.norm.weight"),
        (found[-1], "lm_head.weight"),
    ):
        assert [weight_of(s, tensor) for s in part["sources"]] == [
            float(i == 0) for i in range(len(part["sources"]))
        ]


def test_a_layers_own_norm_is_not_taken_for_the_final_one() -> None:
    found: list[Any] = layouts.slices(["m0", "m1"], [Step(0, 1, {1: 1.0})])
    norm = "model.layers.0.post_attention_layernorm.weight"
    assert [weight_of(s, norm) for s in found[0]["sources"]] == [0.0, 1.0]


def test_a_source_that_is_listed_twice_is_an_error() -> None:
    with pytest.raises(CompileError, match="listed twice"):
        layouts.slices(["m0", "m0"], [Step(0, 1, {0: 1.0})])


def dfs(**changed: Any) -> list[Any]:
    arguments: dict[str, Any] = {
        "path_step": ["once"] * 3,
        "donor": [1, 2, 1],
        "donor_weight": 0.5,
        "path_scale": [1.0, 1.0, 1.0],
    }
    return layouts.dfs_slices(
        ["m0", "m1", "m2"], layouts.layer_groups(3, 3), **{**arguments, **changed}
    )


def test_scales_run_up_along_the_path() -> None:
    found = dfs(path_step=["twice", "skip", "once"], path_scale=[2.0, 8.0, 0.5], donor_weight=0.0)
    factors = [weight_of(part["sources"][0], "o_proj") for part in found]
    assert factors == [0.5, 0.25, 0.5]  # 1/2, 1/(2 x 2), 1/(2 x 2 x 0.5); the skipped 8 is not met


def test_the_donor_grows_to_its_full_weight() -> None:
    found = dfs()
    shares = [{s["model"]: weight_of(s, "q_proj") for s in part["sources"]} for part in found]
    assert shares == [{"m0": 1.0, "m1": 0.0}, {"m0": 0.75, "m2": 0.25}, {"m0": 0.5, "m1": 0.5}]


def test_each_pass_may_take_layers_of_another_model() -> None:
    found = dfs(
        path_step=["once", "twice", "skip"],
        source=[1, 0, 0],
        repeat_source=[0, 2, 0],
        donor_weight=0.0,
    )
    taken = [
        next(s["model"] for s in part["sources"] if weight_of(s, "q_proj") == 1.0)
        for part in found
    ]
    assert taken == ["m1", "m0", "m2"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"donor": [1, 3, 1]}, "donor 3 names no source"),
        ({"source": [0, 0, -1]}, "source -1 names no source"),
        ({"repeat_source": [0, 7, 0]}, "repeat_source 7 names no source"),
        ({"donor_weight": 1.5}, "donor_weight from 0 to 1"),
        ({"path_scale": [1.0, 0.0, 1.0]}, "path_scale above 0"),
    ],
)
def test_bad_numbers_are_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(CompileError, match=message):
        dfs(**changed)


def test_frankenmerge_takes_each_group_from_its_source() -> None:
    found: list[Any] = layouts.frankenmerge_slices(["m0", "m1"], [[0, 3], [3, 5]], [1, 0])
    assert [weight_of(s, "q_proj") for s in found[0]["sources"]] == [0.0, 1.0]
    assert [weight_of(s, "q_proj") for s in found[1]["sources"]] == [1.0, 0.0]
    assert [s["layer_range"] for part in found for s in part["sources"]] == [
        [0, 3],
        [0, 3],
        [3, 5],
        [3, 5],
    ]


# --------------------------------------------------------------------------------------


def test_the_base_is_no_input_of_its_own_difference() -> None:
    assert layouts.without([A, BASE, B], BASE) == [A, B]
    with pytest.raises(CompileError, match="got only the base"):
        layouts.without([BASE], BASE)


def test_templates_reach_functions_only() -> None:
    reached = vars(layouts.namespace(mine=len))
    assert set(reached) == {*layouts.FUNCTIONS, "mine"}
    assert all(callable(function) for function in reached.values())
