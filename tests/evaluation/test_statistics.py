"""Intervals cover what they say they cover."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evomerge_compiler.candidate import Score, Scores, TaskItems
from evomerge_compiler.errors import UsageError
from evomerge_compiler.evaluation.statistics import (
    Method,
    compare,
    paired_difference,
)

Items = dict[str, list[float]]


def worlds(
    n_worlds: int, sizes: dict[str, int], gain: dict[str, float], seed: int
) -> list[tuple[Items, Items]]:
    """Pairs of models on items of different hardness; the first is better by ``gain``."""
    random = np.random.default_rng(seed)
    out = []
    for _ in range(n_worlds):
        first: Items = {}
        second: Items = {}
        for domain, n in sizes.items():
            ease = random.uniform(0.05, 0.65, n)
            first[domain] = list((random.random(n) < ease + gain[domain]).astype(float))
            second[domain] = list((random.random(n) < ease).astype(float))
        out.append((first, second))
    return out


SIZES = {"code": 60, "math": 200, "prose": 90}
GAIN = {"code": 0.2, "math": 0.0, "prose": 0.1}
WEIGHTS = {"code": 1.0, "math": 1.0, "prose": 2.0}
TRUTH = (0.2 + 0.0 + 2 * 0.1) / 4


@pytest.mark.parametrize(("method", "n_worlds"), [("clt", 1000), ("bootstrap", 120)])
def test_the_interval_covers_the_truth_as_often_as_it_says(method: Method, n_worlds: int) -> None:
    inside = 0
    for first, second in worlds(n_worlds, SIZES, GAIN, seed=1):
        found = paired_difference(first, second, weights=WEIGHTS, method=method)
        inside += found.low <= TRUTH <= found.high
    spread = 4 * math.sqrt(0.95 * 0.05 / n_worlds)
    assert abs(inside / n_worlds - 0.95) < spread


@pytest.mark.parametrize(("method", "n_worlds"), [("clt", 1000), ("bootstrap", 120)])
def test_p_values_of_equal_models_are_uniform(method: Method, n_worlds: int) -> None:
    none = dict.fromkeys(SIZES, 0.0)
    found = [
        paired_difference(first, second, method=method).p_value
        for first, second in worlds(n_worlds, SIZES, none, seed=2)
    ]
    for level in (0.05, 0.2, 0.5):
        spread = 4 * math.sqrt(level * (1 - level) / n_worlds)
        assert abs(np.mean(np.array(found) <= level) - level) < spread + 0.01


def test_both_methods_agree() -> None:
    for first, second in worlds(5, SIZES, GAIN, seed=3):
        clt = paired_difference(first, second, weights=WEIGHTS)
        boot = paired_difference(first, second, weights=WEIGHTS, method="bootstrap")
        assert boot.difference == clt.difference
        assert boot.low == pytest.approx(clt.low, abs=0.012)
        assert boot.high == pytest.approx(clt.high, abs=0.012)
        assert boot == paired_difference(first, second, weights=WEIGHTS, method="bootstrap")


def test_pairing_narrows_the_interval() -> None:
    random = np.random.default_rng(4)
    base = (random.random(300) < 0.5).astype(float)
    flips = random.random(300) < 0.05
    better = np.where(flips, 1.0, base)
    paired = paired_difference({"d": list(better)}, {"d": list(base)})
    shuffled = paired_difference({"d": list(better)}, {"d": list(random.permutation(base))})
    assert paired.better and paired.p_value < 0.01
    assert paired.stderr < 0.4 * shuffled.stderr


def test_one_domain_is_students_paired_test() -> None:
    from scipy import stats

    (first, second), *_ = worlds(1, {"math": 80}, {"math": 0.1}, seed=5)
    found = paired_difference(first, second)
    theirs = stats.ttest_rel(first["math"], second["math"])
    assert found.p_value == pytest.approx(theirs.pvalue)
    interval = theirs.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_exchanging_the_models_mirrors_the_result() -> None:
    (first, second), *_ = worlds(1, SIZES, GAIN, seed=6)
    one, other = paired_difference(first, second), paired_difference(second, first)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert other.p_value == pytest.approx(one.p_value) and one.n == 350


def test_models_that_answer_alike_do_not_differ() -> None:
    same = {"d": [0.0, 1.0, 1.0]}
    found = paired_difference(same, same)
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert not found.better


@pytest.mark.parametrize(
    "call",
    [
        lambda: paired_difference({}, {}),
        lambda: paired_difference({"a": [1.0, 0.0]}, {"b": [1.0, 0.0]}),
        lambda: paired_difference({"a": [1.0, 0.0]}, {"a": [1.0, 0.0, 1.0]}),
        lambda: paired_difference({"a": [1.0]}, {"a": [0.0]}),
        lambda: paired_difference({"a": [1.0, 0.0]}, {"a": [1.0, 0.0]}, weights={"a": 0.0}),
        lambda: paired_difference({"a": [1.0, 0.0]}, {"a": [1.0, 0.0]}, weights={"b": 1.0}),
    ],
)
def test_what_cannot_be_compared(call: Callable[[], Any]) -> None:
    with pytest.raises(UsageError):
        call()


def scores(item_set: str, values: tuple[float, ...]) -> Scores:
    mean = sum(values) / len(values)
    return Scores(
        {"d": Score("acc", mean, None, len(values)), "judged": Score("x", 0.5, None, 9)},
        "key",
        {"d": TaskItems(item_set, values)},
    )


def test_scores_compare_only_over_the_same_items() -> None:
    better, worse = scores("s", (1.0, 1.0, 0.0, 1.0)), scores("s", (0.0, 1.0, 0.0, 1.0))
    found = compare(better, worse, weights={"d": 0.5, "judged": 0.5})
    assert (found.difference, found.n) == (0.25, 4)
    with pytest.raises(UsageError, match="not scored on the same items of d"):
        compare(better, scores("t", (0.0, 1.0, 0.0, 1.0)))
