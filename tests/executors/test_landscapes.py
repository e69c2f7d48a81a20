"""Landscapes over genes: their best points, noise, and what has no genome."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import get_args

import pytest
from executor_kits import plan

from evomerge_compiler import recipe as recipes
from evomerge_compiler.errors import FAILURE_REASONS, EvomergeError
from evomerge_compiler.executors.base import Job
from evomerge_compiler.executors.landscapes import (
    FUNCTIONS,
    MARGIN,
    GeneLandscape,
    GeneValues,
    of_recipe,
)
from evomerge_compiler.executors.simulated import Landscape, SimulatedExecutor
from evomerge_compiler.gene import Gene
from evomerge_compiler.genome import GenomeSpace
from evomerge_compiler.recipe_schema import FailureReason, LandscapeName

ROOT = Path(__file__).resolve().parents[2]
SIMULATE = ROOT / "recipes" / "simulate.yaml"


def best_point(landscape: GeneLandscape, labels: str) -> dict[str, object]:
    """Where the single-objective functions have their best score."""
    if landscape.function == "rosenbrock":
        return dict.fromkeys(labels, (1 + 2.048) / 4.096)
    return {x: MARGIN + (1 - 2 * MARGIN) * landscape.draw("best", x) for x in labels}


@pytest.mark.parametrize("function", ["four_genes", "sphere", "rosenbrock", "rastrigin"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_best_point_scores_100_and_all_others_less(function: str, seed: int) -> None:
    landscape = GeneLandscape(("d",), seed, function=function)
    best = best_point(landscape, "abcd")
    assert landscape.truth("d", best) == pytest.approx(100)
    for label in best:
        for step in (-0.1, 0.1):
            moved = {**best, label: best[label] + step}  # type: ignore[operator]
            assert 0 <= landscape.truth("d", moved) < 99.5


def test_the_hidden_point_moves_with_the_seed() -> None:
    here, there = (GeneLandscape(("d",), seed, function="sphere") for seed in (0, 1))
    assert here.truth("d", best_point(there, "abcd")) < 90


@pytest.mark.parametrize(
    ("function", "worth"), [("zdt1", lambda x: 1 - x**0.5), ("zdt2", lambda x: 1 - x * x)]
)
def test_fronts_are_those_of_the_literature(function: str, worth) -> None:  # type: ignore[no-untyped-def]
    landscape = GeneLandscape(("one", "two", "three", "four"), function=function)
    for x in (0.0, 0.25, 1.0):
        at = {"a": x, "b": 0.0, "c": 0.0}
        found = [100 - landscape.truth(domain, at) for domain in landscape.domains]
        assert found == pytest.approx([100 * x, 100 * worth(x)] * 2)
        off = {**at, "c": 0.5}
        assert landscape.truth("two", off) < landscape.truth("two", at)


def test_noise_is_of_each_item_and_always_the_same() -> None:
    landscape = GeneLandscape(("d", "e"), n_items=400, function="sphere", noise=3.0)
    at = {"a": 0.3, "b": 0.6}
    items = landscape.score("d", "search", at).values
    assert items == landscape.score("d", "search", at).values
    assert statistics.stdev(items) == pytest.approx(3.0, rel=0.15)
    assert statistics.mean(items) == pytest.approx(landscape.truth("d", at), abs=0.6)
    assert items != landscape.score("d", "held_out", at).values
    assert items != landscape.score("e", "search", at).values


def test_a_standard_error_is_that_of_the_items() -> None:
    landscape = GeneLandscape(("d",), n_items=50, function="sphere", noise=3.0)
    space = GenomeSpace((Gene("a", "float"),), {}, {}, ("m",), 1)
    executor = SimulatedExecutor(landscape, values=GeneValues(space))
    job = Job("x", plan=plan("a", weight=0.5), genome=space.initial())
    ((_, result),) = executor.run([job])
    scores = result.scores["search"]
    values = scores.items["d"].values
    assert scores.domains["d"].stderr == pytest.approx(statistics.stdev(values) / 50**0.5)


def test_what_has_no_genome_stands_somewhere() -> None:
    space = GenomeSpace((Gene("a", "float"), Gene("b", "int", 1, 9)), {}, {}, ("m",), 1)
    values = GeneValues(space)
    one, same, other = (Job(x, plan=plan(y)) for x, y in (("x", "p"), ("z", "p"), ("x", "q")))
    assert values(one) == values(same) != values(other)
    assert all(0 <= unit < 1 for unit in values(one).values())  # type: ignore[operator]
    assert values(Job("x", plan=plan("p"), genome=space.initial())) == {"a": 0.5, "b": 0.5}


def test_words_of_the_schema_are_those_of_the_code() -> None:
    assert set(get_args(LandscapeName)) == {"merge", *FUNCTIONS}
    assert get_args(FailureReason) == FAILURE_REASONS


def of(*overrides: str) -> Landscape:
    return of_recipe(recipes.load(SIMULATE, overrides=overrides))


def test_a_recipe_says_which_landscape() -> None:
    assert of() == GeneLandscape(
        ("code", "math", "multilingual", "structured_data"), function="four_genes", noise=4.0
    )
    plain = of("simulation={landscape: merge, items: 9, failing: {timeout: 0.5}}")
    assert type(plain) is Landscape
    assert plain.n_items == 9 and plain.failing == {"timeout": 0.5}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["simulation.landscape=sphre"], "sphere"),
        (["genome.lambda=1.0"], "over 4 values, the genome has 3"),
        (
            ["genome={weight: 1.0, lambda: {float: [0, 1]}}", "simulation.landscape=zdt1"],
            "over at least 2 values, the genome has 1",
        ),
        (
            ["evaluation.tasks={code: {task: x}}", "simulation.landscape=zdt2"],
            "needs 2 tasks",
        ),
        (["simulation={noise: 1}"], "has the noise of its right and wrong items"),
        (["simulation.items=1"], "greater than or equal to 2"),
        (["simulation.failing={tired: 0.1}"], "tired"),
        (["simulation.failing={timeout: 2}"], "less than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_said(overrides: list[str], message: str) -> None:
    with pytest.raises(EvomergeError) as caught:
        of(*overrides)
    assert message in caught.value.render()
