"""Scores become fitness."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from pydantic import ValidationError

from evomerge_compiler.candidate import CandidateId, Fitness, Outcome, Score, Scores, TaskItems
from evomerge_compiler.errors import UsageError
from evomerge_compiler.fitness import Constraint, bounds, fitness, front, knee, weights
from evomerge_compiler.genome import Genome
from evomerge_compiler.recipe_schema import ConstraintSpec, EvaluationSpec


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


SHARES = {"a": 0.25, "b": 0.75}


def test_the_worst_domain_is_an_objective_that_knows_no_weights() -> None:
    found = fitness(scores(a=(0.6, 0.03), b=(0.2, 0.04)), SHARES, ["worst", "mean"])
    assert found == Fitness((0.2, 0.3), 0.04)


def test_the_geometric_mean_is_weighted_and_its_error_is_that_of_a_simulation() -> None:
    found = fitness(scores(a=(0.6, 0.03), b=(0.2, 0.04)), SHARES, ["geometric"])
    assert found.value == pytest.approx(0.6**0.25 * 0.2**0.75, abs=1e-6)
    random = np.random.default_rng(0)
    drawn = random.normal(0.6, 0.03, 200_000) ** 0.25 * random.normal(0.2, 0.04, 200_000) ** 0.75
    assert found.stderr == pytest.approx(drawn.std(), rel=0.03)
    for bad in (0.0, -0.1):
        dead = fitness(scores(a=(0.9, 0.03), b=(bad, 0.0)), SHARES, ["geometric"])
        assert dead == Fitness((0.0,), None)


def constraints(*bounds_: object) -> tuple[Constraint, ...]:
    specs = [ConstraintSpec.model_validate({"domain": "a", "at_least": b}) for b in bounds_]
    parents = {
        "x": scores(a=(0.5, None), b=(0.9, None)),
        "y": scores(a=(0.7, None), b=(0.1, None)),
    }
    return bounds(specs, parents, scores(a=(0.3, None), b=(0.3, None)))


def test_bounds_are_numbers_or_relative_to_the_base_or_the_best_parent_of_the_domain() -> None:
    found = constraints(0.4, "base", "best_parent", "best_parent - 0.02", "base+0.1", 1)
    assert [c.at_least for c in found] == [0.4, 0.3, 0.7, 0.68, 0.4, 1.0]
    assert str(found[3]) == "a >= 0.68 (best_parent - 0.02)" and str(found[0]) == "a >= 0.4"


@pytest.mark.parametrize("bad", ["best", "0.4", "base - x", "base 0.1", True, None, "base - -1"])
def test_other_bounds_are_mistakes(bad: object) -> None:
    with pytest.raises(ValidationError):
        ConstraintSpec.model_validate({"domain": "a", "at_least": bad})


def test_what_misses_a_bound_is_infeasible_by_the_share_that_is_missing() -> None:
    at_most_b = constraints(0.4, "best_parent - 0.02")
    good = fitness(scores(a=(0.68, 0.1), b=(0.1, 0.1)), SHARES, ["mean"], at_most_b)
    assert good.feasible and good.violation == 0
    near = fitness(scores(a=(0.6799, 0.1), b=(0.1, 0.1)), SHARES, ["mean"], at_most_b)
    assert not near.feasible and near.violation == pytest.approx(0.0001 / 0.68, abs=1e-6)
    far = fitness(scores(a=(0.34, 0.1), b=(0.9, 0.1)), SHARES, ["mean"], at_most_b)
    assert far.violation == pytest.approx(0.06 / 0.4 + 0.34 / 0.68, abs=1e-6)
    hair = fitness(scores(a=(0.679999, 0.1), b=(0.1, 0.1)), SHARES, ["mean"], at_most_b)
    assert not hair.feasible


def test_the_front_is_what_nothing_beats() -> None:
    points = [(1, 5), (3, 3), (3, 2), (5, 1), (1, 5), (0, 6), (2, 2)]
    outcomes = [
        Outcome(CandidateId(0, i), Genome({}), Fitness(tuple(map(float, point))))
        for i, point in enumerate(points)
    ]
    failed = Outcome(CandidateId(1, 0), Genome({}), None)
    broken = Outcome(CandidateId(1, 1), Genome({}), Fitness((9.0, 9.0), None, 0.1))
    assert [o.id.slot for o in front([*outcomes, failed, broken])] == [3, 1, 0, 5]


# -- the knee ------------------------------------------------------------------------------


def points(*objectives: tuple[float, ...]) -> list[Outcome]:
    return [
        Outcome(CandidateId(0, i), Genome({}), Fitness(tuple(map(float, values))))
        for i, values in enumerate(objectives)
    ]


@pytest.mark.parametrize(
    ("front_", "slot"),
    [
        (points((0.9, -500.0)), 0),
        (points((0.9, -500.0), (0.1, -50.0)), 0),
        # Bulging: half the length costs little accuracy.
        (points((0.60, -1000.0), (0.59, -500.0), (0.50, -400.0), (0.2, -100.0)), 1),
        # Straight, then hollow: nothing is gained by compromise, so the best in the first wins.
        (points((4, 0), (3, 1), (2, 2), (0, 4)), 0),
        (points((4, 0), (1, 1), (0, 4)), 0),
        # Three objectives.
        (points((3, 0, 0), (2, 2, 2), (0, 3, 0), (0, 0, 3)), 1),
        # One outcome is best in two of three: no plane through three extremes.
        (points((3, 3, 0), (2, 2.5, 2), (0, 0, 3)), 1),
    ],
)
def test_the_knee_is_farthest_from_the_plane_of_the_extremes(
    front_: list[Outcome], slot: int
) -> None:
    found = knee(front_)
    assert found is not None and found.id.slot == slot
    # Units do not matter.
    scaled = [
        dataclasses.replace(o, fitness=Fitness((o.fitness.objectives[0] * 1000 + 7,
                                                *o.fitness.objectives[1:])))
        for o in front_ if o.fitness
    ]  # fmt: skip
    other = knee(scaled)
    assert other is not None and other.id.slot == slot


def test_an_empty_front_has_no_knee() -> None:
    assert knee([]) is None
