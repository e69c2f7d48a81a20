from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from evomerge_compiler.merging.stage_results import (
    KeptStages,
    StageResults,
    StageTensors,
    needed,
    result_order,
)

NAMES = ("a", "b", "c", "d")
EACH = [(name,) for name in NAMES]


def stage(reads: dict[str, list[tuple[str, str]]], in_order: bool = False) -> StageTensors:
    return StageTensors(tuple(reads), reads, in_order)


def source(in_order: bool) -> StageTensors:
    return stage({name: [("source", name)] for name in NAMES}, in_order)


class Maker:
    """Makes tensors, and remembers which."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __call__(self, batch: Sequence[str]) -> list[str]:
        self.made += batch
        return [name.upper() for name in batch]


@pytest.mark.parametrize("batches", [EACH, [("a", "b"), ("c",), ("d",)]])
def test_a_stage_that_draws_is_made_in_its_order_and_no_further_than_needed(
    batches: list[tuple[str, ...]],
) -> None:
    make = Maker()
    results = StageResults(batches, make, {"c": 2, "b": 1}, in_order=True)
    assert results.read("c") == "C" and make.made == ["a", "b", "c"]
    assert results.read("b") == "B" and results.read("c") == "C"
    assert make.made == ["a", "b", "c"] and results.n_held == 0


def test_others_are_made_when_they_are_read() -> None:
    make = Maker()
    results = StageResults(EACH, make, {"c": 2}, in_order=False)
    assert results.read("c") == "C" and results.n_held == 1
    assert results.read("c") == "C" and results.n_held == 0
    assert make.made == ["c"]


def test_a_batch_is_made_at_once_and_held_until_each_of_it_was_read() -> None:
    make = Maker()
    results = StageResults([("a", "c"), ("d",)], make, {"a": 1, "c": 2}, in_order=False)
    assert results.read("c") == "C" and make.made == ["a", "c"] and results.n_held == 2
    assert results.read("a") == "A" and results.n_held == 1
    assert results.read("c") == "C" and make.made == ["a", "c"] and results.n_held == 0


def test_reading_more_often_than_foreseen_is_a_bug_where_it_cannot_be_made_again() -> None:
    results = StageResults(EACH, Maker(), {"b": 1}, in_order=True)
    assert results.read("b") == "B"
    with pytest.raises(RuntimeError, match="more often than foreseen"):
        results.read("b")


def test_only_what_the_result_needs_is_counted() -> None:
    for in_order, expected in ((False, {"b": 2}), (True, {"a": 1, "b": 2})):
        stages = {
            "s1": source(False),
            "s2": stage({name: [("s1", name), ("s1", "b")] for name in NAMES}, in_order),
            "final": stage({"x": [("s2", "b")], "y": [("source", "d")]}),
        }
        found = needed(stages)
        assert found["s2"].uses == Counter({"b": 1})
        # One that draws is made from its start, and reads what that takes.
        assert found["s2"].names == (["a", "b"] if in_order else ["b"])
        assert found["s1"].uses == Counter(expected | ({"b": 3} if in_order else {}))
        assert found["s1"].names == sorted(expected)


def test_the_result_follows_what_draws() -> None:
    drawn = StageTensors(("c", "a", "b"), {n: [] for n in "abc"}, in_order=True)
    middle = stage({name: [("s1", name)] for name in "abc"})
    final = stage({"1": [("s2", "a")], "2": [("s2", "b")], "3": [("s2", "c")], "4": [("s2", "a")]})
    assert result_order({"s1": drawn, "s2": middle, "final": final}) == ["3", "1", "4", "2"]


def test_a_result_that_draws_keeps_its_own_order() -> None:
    final = StageTensors(("z", "y"), {"z": [("s1", "b")], "y": [("s1", "a")]}, in_order=True)
    assert result_order({"s1": source(True), "final": final}) == ["z", "y"]


def test_stages_used_longest_ago_make_room() -> None:
    kept: KeptStages[str] = KeptStages(10)
    first = kept.stage("one", 4)
    assert first is not None
    first["a"] = "A"
    kept.stage("two", 4)
    assert kept.stage("one", 4) == {"a": "A"}
    kept.stage("three", 4)
    assert list(kept) == ["one", "three"]
    assert kept.stage("large", 11) is None and list(kept) == ["one", "three"]


def test_what_is_kept_is_not_made_again() -> None:
    make = Maker()
    shelf: dict[str, str] = {}
    for _ in range(2):
        results = StageResults(EACH, make, {"b": 1}, in_order=True, kept=shelf)
        assert results.read("b") == "B"
    assert make.made == ["a", "b"]
    # A tensor that was not kept is drawn from the start again.
    again = StageResults(EACH, make, {"c": 1}, in_order=True, kept=shelf)
    assert again.read("c") == "C" and make.made == ["a", "b", "a", "b", "c"]
