"""Scores become fitness."""

from __future__ import annotations

import math

import pytest

from evomerge_compiler.candidate import CandidateId, Fitness, Outcome, Score, Scores, TaskItems
from evomerge_compiler.errors import UsageError
from evomerge_compiler.fitness import fitness, front, weights
from evomerge_compiler.genome import Genome
from evomerge_compiler.recipe_schema import EvaluationSpec


def scores(**domains: tuple[float, float | None]) -> Scores:
    return Scores({d: Score("m", v, e, 100) for d, (v, e) in domains.items()}, "key")


def test_the_weighted_mean_and_its_error() -> None:
    found = fitness(scores(a=(0.2, 0.03), b=(0.6, 0.04)), {"a": 0.25, "b": 0.75})
    assert found.value == pytest.approx(0.5)
    assert found.stderr == pytest.approx(math.hypot(0.25 * 0.03, 0.75 * 0.04), abs=1e-6)


def test_an_unknown_error_stays_unknown() -> None:
    assert fitness(scores(a=(0.2, 0.03), b=(0.6, None)), {"a": 0.5, "b": 0.5}).stderr is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_never_becomes_a_fitness(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        fitness(scores(a=(bad, 0.1)), {"a": 1.0})
    with pytest.raises(ValueError, match="no score for b"):
        fitness(scores(a=(0.5, 0.1)), {"a": 0.5, "b": 0.5})


def test_shares_sum_to_one() -> None:
    tasks = {d: {"task": "t", "metric": "m", "weight": w} for d, w in (("a", 1.0), ("b", 3.0))}
    spec = EvaluationSpec.model_validate({"tasks": tasks})
    assert weights(spec) == {"a": 0.25, "b": 0.75}


def test_objectives_are_the_mean_domains_and_few_tokens() -> None:
    plain = scores(a=(0.2, 0.03), b=(0.6, 0.04))
    items = {"a": TaskItems("x", (1.0, 0.0), (10, 30)), "b": TaskItems("y", (1.0,), (50,))}
    found = Scores(plain.domains, "key", items)
    shares = {"a": 0.5, "b": 0.5}
    assert fitness(found, shares, ["b", "mean", "tokens"]) == Fitness((0.6, 0.4, -30.0), 0.04)
    assert fitness(found, shares, ["tokens", "a"]).stderr is None
    with pytest.raises(UsageError, match="no task of this recipe generates"):
        fitness(plain, shares, ["mean", "tokens"])


def test_the_front_is_what_nothing_beats() -> None:
    points = [(1, 5), (3, 3), (3, 2), (5, 1), (1, 5), (0, 6), (2, 2)]
    outcomes = [
        Outcome(CandidateId(0, i), Genome({}), Fitness(tuple(map(float, point))))
        for i, point in enumerate(points)
    ]
    failed = Outcome(CandidateId(1, 0), Genome({}), None)
    assert [o.id.slot for o in front([*outcomes, failed])] == [3, 1, 0, 5]
