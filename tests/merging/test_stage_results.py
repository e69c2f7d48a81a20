from __future__ import annotations

from collections import Counter

import pytest

from evomerge_compiler.merging.stage_results import (
    KeptStages,
    StageResults,
    StageTensors,
    count_uses,
    result_order,
)

NAMES = ("a", "b", "c", "d")


def stage(reads: dict[str, list[tuple[str, str]]], in_order: bool = False) -> StageTensors:
    return StageTensors(tuple(reads), reads, in_order)


def source(in_order: bool) -> StageTensors:
    return stage({name: [("source", name)] for name in NAMES}, in_order)


def test_a_stage_that_draws_is_made_in_its_order_and_no_further_than_needed() -> None:
    made: list[str] = []
    results = StageResults(source(True), lambda n: made.append(n) or n.upper(), {"c": 2, "b": 1})
    assert results.read("c") == "C" and made == ["a", "b", "c"]
    assert results.read("b") == "B" and results.read("c") == "C"
    assert made == ["a", "b", "c"] and results.n_held == 0


def test_others_are_made_when_they_are_read() -> None:
    made: list[str] = []
    results = StageResults(source(False), lambda n: made.append(n) or n.upper(), {"c": 2})
    assert results.read("c") == "C" and results.n_held == 1
    assert results.read("c") == "C" and results.n_held == 0
    assert made == ["c"]


def test_reading_more_often_than_foreseen_is_a_bug_where_it_cannot_be_made_again() -> None:
    results = StageResults(source(True), str.upper, {"b": 1})
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
        uses = count_uses(stages)
        assert uses["s2"] == Counter({"b": 1})
        # One that draws is made from its start, and reads what that takes.
        assert uses["s1"] == Counter(expected | ({"b": 3} if in_order else {}))


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
    made: list[str] = []
    shelf: dict[str, str] = {}
    for _ in range(2):
        results = StageResults(
            source(True), lambda n: made.append(n) or n.upper(), {"b": 1}, shelf
        )
        assert results.read("b") == "B"
    assert made == ["a", "b"]
    # A tensor that was not kept is drawn from the start again.
    again = StageResults(source(True), lambda n: made.append(n) or n.upper(), {"c": 1}, shelf)
    assert again.read("c") == "C" and made == ["a", "b", "a", "b", "c"]
