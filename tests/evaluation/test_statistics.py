"""Intervals cover what they say they cover."""

from __future__ import annotations

import itertools
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
    holm,
    paired_difference,
)
from evomerge_compiler.fitness import combined

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


@pytest.mark.parametrize(
    ("method", "n_worlds"), [("clt", 1000), ("bootstrap", 120), ("mcnemar", 600)]
)
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


def discordant(gained: int, lost: int, same: int = 20) -> tuple[list[float], list[float]]:
    first = [1.0] * gained + [0.0] * lost + [1.0] * same
    return first, [0.0] * gained + [1.0] * lost + [1.0] * same


@pytest.mark.parametrize(
    ("gained", "lost"), [(0, 1), (5, 0), (8, 2), (30, 17), (400, 350), (3, 3)]
)
def test_in_one_domain_mcnemars_test_is_the_binomial_one(gained: int, lost: int) -> None:
    from scipy import stats

    first, second = discordant(gained, lost)
    found = paired_difference({"d": first}, {"d": second}, method="mcnemar")
    wanted = stats.binomtest(gained, gained + lost).pvalue
    assert found.p_value == pytest.approx(wanted, rel=1e-9)
    assert found.difference == pytest.approx((gained - lost) / (gained + lost + 20))


def test_a_p_value_next_to_nothing_is_not_below_nothing() -> None:
    """A race asks how far out it lies; of less than 0 there is no such place."""
    for seed in range(20):
        draws = np.random.default_rng(seed)
        best = {d: (draws.random(20) < 0.9).astype(float).tolist() for d in "abcd"}
        found = paired_difference({d: [0.0] * 20 for d in best}, best, method="mcnemar")
        assert 0.0 <= found.p_value < 1e-6


def test_over_domains_mcnemars_test_counts_every_way_to_flip() -> None:
    sides = {"a": discordant(4, 1), "b": discordant(2, 0, 7), "c": discordant(1, 3, 2)}
    weights = {"a": 0.5, "b": 0.2, "c": 0.3}
    first, second = ({d: side[i] for d, side in sides.items()} for i in (0, 1))
    found = paired_difference(first, second, weights=weights, method="mcnemar")
    worths = [
        weights[d] / len(one)
        for d, (one, two) in sides.items()
        for a, b in zip(one, two, strict=True)
        if a != b
    ]
    sums = [
        abs(sum(sign * worth for sign, worth in zip(signs, worths, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(worths))
    ]
    wanted = np.mean(np.array(sums) >= abs(found.difference) - 1e-12)
    assert found.p_value == pytest.approx(wanted, rel=1e-9)


def test_two_items_prove_nothing_though_both_differ_alike() -> None:
    found = paired_difference({"d": [1.0, 1.0]}, {"d": [0.0, 0.0]}, method="mcnemar")
    assert found.p_value == pytest.approx(0.5)


def test_holms_correction() -> None:
    # The example of Holm's procedure: steps of 4, 3, 2 and 1 times p, never less than before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == [] and holm([0.2]) == [0.2]


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


# -- objectives ----------------------------------------------------------------------------


def answered(values: dict[str, list[float]], tokens: dict[str, list[int]] | None = None) -> Scores:
    items = {
        d: TaskItems(d, tuple(v), tuple(tokens[d]) if tokens else ()) for d, v in values.items()
    }
    domains = {d: Score("acc", sum(v) / len(v), None, len(v)) for d, v in values.items()}
    return Scores(domains, "key", items)


def test_a_domain_is_compared_alone() -> None:
    (first, second), *_ = worlds(1, SIZES, GAIN, seed=7)
    found = compare(answered(first), answered(second), weights=WEIGHTS, objective="prose")
    alone = paired_difference({"prose": first["prose"]}, {"prose": second["prose"]})
    assert found == alone and found.n == SIZES["prose"]


def test_fewer_tokens_are_better() -> None:
    values = {"a": [1.0, 0.0, 1.0], "b": [1.0, 1.0]}
    short = answered(values, {"a": [10, 20, 30], "b": [5, 5]})
    long = answered(values, {"a": [20, 40, 60], "b": [5, 15]})
    found = compare(short, long, objective="tokens", method=None)
    assert found.difference == pytest.approx(70 / 5) and found.method == "bootstrap"


def test_the_geometric_mean_is_compared_by_the_bootstrap() -> None:
    inside = 0
    shares = {d: w / 4 for d, w in WEIGHTS.items()}
    for first, second in worlds(60, SIZES, GAIN, seed=8):
        found = compare(
            answered(first), answered(second), weights=WEIGHTS, objective="geometric", method=None
        )
        means = [{d: float(np.mean(v)) for d, v in side.items()} for side in (first, second)]
        wanted = combined("geometric", means[0], shares) - combined("geometric", means[1], shares)
        assert found.difference == pytest.approx(wanted) and found.method == "bootstrap"
        # Ease is drawn from 0.05 to 0.65, so 0.35 and the gains are the true scores.
        better = combined("geometric", {d: 0.35 + g for d, g in GAIN.items()}, shares)
        inside += found.low <= better - 0.35 <= found.high
    assert inside >= 51


@pytest.mark.parametrize(
    ("gain", "truth"),
    [
        (dict.fromkeys(SIZES, 0.0), 0.0),
        (GAIN, 0.0),
        # Nobody is right with a chance below 0: what is left of 0.35 is 0.35**2 / 1.2.
        ({"code": -0.3, "math": 0.1, "prose": 0.1}, 0.35**2 / 1.2 - 0.35),
        (dict.fromkeys(SIZES, 0.25), 0.25),
    ],
)
def test_bounds_of_the_worst_domain_hold_though_domains_tie(
    gain: dict[str, float], truth: float
) -> None:
    n, wrong, found_out = 300, 0, 0
    pairs = worlds(2 * n, SIZES, gain, seed=8)
    for (first, second), (third, fourth) in zip(pairs[:n], pairs[n:], strict=True):
        one, two = answered(first), answered(second)
        others = (answered(third), answered(fourth))
        found = compare(one, two, objective="worst", other_items=others)
        wrong += not found.low <= truth <= found.high
        found_out += found.p_value <= 0.05
    assert wrong <= 0.05 * n + 4 * math.sqrt(0.05 * 0.95 * n)
    assert found_out > 0.7 * n if truth else found_out <= 0.05 * n + 15


def test_items_that_are_right_or_wrong_and_graded_ones_have_their_tests() -> None:
    (first, second), *_ = worlds(1, {"d": 40}, {"d": 0.1}, seed=9)
    assert compare(answered(first), answered(second), method=None).method == "mcnemar"
    graded = {"d": [value / 2 for value in first["d"]]}
    assert compare(answered(graded), answered(second), method=None).method == "bootstrap"
