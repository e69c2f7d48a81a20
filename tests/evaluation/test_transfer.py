"""Negative transfer, new solves and lengths, counted by hand."""

from __future__ import annotations

import pytest

from evomerge_compiler.candidate import Score, Scores, TaskItems
from evomerge_compiler.evaluation.transfer import (
    lengths,
    rate_of,
    slowest,
    transfer_row,
    transfer_table,
    transfers,
)


def items(right: str, tokens: tuple[int, ...] = (), item_set: str = "a") -> TaskItems:
    return TaskItems(item_set, tuple(float(digit) for digit in right), tokens)


def scores(**domains: TaskItems) -> Scores:
    found = {
        name: Score("m", sum(task.values) / len(task.values), None, len(task.values))
        for name, task in domains.items()
    }
    return Scores(found, "key", domains)


SLOW = scores(sums=items("11100", (10, 20, 30, 20, 20)), chains=items("10", (40, 40), "b"))
FAST = scores(sums=items("10010", (2, 2, 2, 2, 2)), chains=items("00", (4, 4), "b"))
MERGE = scores(sums=items("10001", (5, 5, 5, 5, 30)), chains=items("10", (30, 10), "b"))
PARENTS = {"slow": SLOW, "fast": FAST}


def test_what_some_parent_has_right_and_the_merge_wrong_is_lost() -> None:
    found = transfers(MERGE, PARENTS)
    assert (found["sums"].solvable, found["sums"].lost, found["sums"].new) == (4, (1, 2, 3), (4,))
    assert (found["chains"].solvable, found["chains"].lost) == (1, ())
    # Each item counts once: 3 of 5, not the mean of 3/4 and 0/1.
    assert rate_of(found) == pytest.approx(3 / 5)


def test_parents_have_a_rate_of_their_own() -> None:
    """What only the other one can do; the floor under any merge that is no better."""
    slow, fast = (transfers(parent, PARENTS) for parent in (SLOW, FAST))
    assert slow["sums"].lost == (3,) and not slow["sums"].new
    assert rate_of(slow) == pytest.approx(1 / 5)
    assert rate_of(fast) == pytest.approx(3 / 5)


def test_right_is_what_the_task_judges() -> None:
    judged = TaskItems("a", (0.9, 1.0), correct=(True, False))
    parent = TaskItems("a", (1.0, 1.0))
    found = transfers(scores(sums=judged), {"p": scores(sums=parent)})
    assert found["sums"].lost == (1,)


def test_only_the_same_items_are_compared() -> None:
    other = scores(sums=items("11111", item_set="z"), chains=items("10", item_set="b"))
    assert set(transfers(MERGE, {"slow": SLOW, "other": other})) == {"chains"}
    assert transfers(MERGE, {}) == {}
    nothing = transfers(scores(sums=items("10")), {"p": scores(sums=items("00"))})
    assert nothing["sums"].new == (0,) and rate_of(nothing) is None


def test_lengths_are_those_of_answers_and_their_change_is_the_mean_of_ratios() -> None:
    found = lengths(MERGE, SLOW)
    assert found is not None
    assert found.mean == pytest.approx(90 / 7)
    assert found.quantiles == {"p10": 5, "p50": 5, "p90": 30, "max": 30}
    # sums 10 of 20 tokens, chains 20 of 40.
    assert found.change == pytest.approx(-0.5)
    longer = scores(sums=items("1" * 5, (100,) * 5), chains=items("10", (40, 40), "b"))
    assert lengths(longer, SLOW).change == pytest.approx(2.0)  # type: ignore[union-attr]
    assert lengths(scores(sums=items("10"))) is None


@pytest.mark.parametrize(
    ("n", "quantiles"), [(1, (1, 1, 1, 1)), (10, (1, 5, 9, 10)), (11, (2, 6, 10, 11))]
)
def test_a_quantile_is_the_length_that_so_many_do_not_exceed(
    n: int, quantiles: tuple[int, ...]
) -> None:
    found = lengths(scores(sums=items("1" * n, tuple(range(n, 0, -1)))))
    assert found is not None and tuple(found.quantiles.values()) == quantiles


def test_the_slow_model_is_the_one_that_says_most() -> None:
    assert slowest({"fast": FAST, "slow": SLOW}) == "slow"
    assert slowest({"one": scores(sums=items("10"))}) is None


def test_the_table_has_parents_and_merges_on_both_splits() -> None:
    both = {
        name: {"search": one, "held_out": one}
        for name, one in {"slow": SLOW, "fast": FAST, "winner": MERGE}.items()
    }
    table = transfer_table(both, ["slow", "fast"])  # type: ignore[arg-type]
    assert list(table) == ["slow", "search", "held_out"] and table["slow"] == "slow"
    row = table["held_out"]["winner"]  # type: ignore[index]
    assert row == transfer_row(MERGE, PARENTS, SLOW)
    assert (row["items"], row["lost"], row["new"], row["length_change"]) == (7, 3, 1, -0.5)
    assert transfer_table({}, ["slow"]) == {}
