"""Mistakes in ``search:``, each at its place with the nearest right word."""

from __future__ import annotations

from pathlib import Path

import pytest

from evomerge_compiler import recipe as recipes
from evomerge_compiler.errors import ErrorList, EvomergeError
from evomerge_compiler.strategies import all_strategies
from evomerge_compiler.strategies.factory import build

ROOT = Path(__file__).resolve().parents[2]


def built(*overrides: str) -> object:
    recipe = recipes.load(ROOT / "recipes" / "linear.yaml", overrides=overrides)
    return build(recipe)


@pytest.mark.parametrize("name", all_strategies())
def test_every_strategy_is_built_from_a_recipe(name: str) -> None:
    objectives = "[code, math]" if name == "nsga2" else "[mean]"
    built(f"search.strategy={name}", f"search.objectives={objectives}")


@pytest.mark.parametrize(
    ("overrides", "message", "hint"),
    [
        (["strategy=cma-es"], "unknown strategy 'cma-es'", "cma_es"),
        (["strategy=tournament", "parameters={siez: 2}"], "unknown parameter 'siez'", "size"),
        (["strategy=tournament", "parameters={selection_pressure: 1.5}"], "less than or", None),
        (["strategy=tournament", "parameters={crossover: blendd}"], "crossover: input", None),
        (["strategy=cma_es", "parameters={sigma: 0}"], "greater than 0", None),
        (["strategy=sobol", "parameters={sigma: 1}"], "unknown parameter 'sigma'", None),
        (["strategy=map_elites", "parameters={bins: 1.5}"], "bins: input", None),
        (["objectives=[maths]"], "unknown objective 'maths'", "math"),
        (["strategy=random", "objectives=[math, math]"], "named twice", "leave one out"),
        (["strategy=nsga2"], "takes 2 objectives or more, the search has 1", "[code, math]"),
        (["strategy=cma_es", "objectives=[code, math]"], "takes one objective", "nsga2"),
        (["objectives=[]"], "at least 1", None),
        (["model_crossover={share: 0.01}"], "a share of 0.01 is 0 of 8 candidates", "at least"),
        (["model_crossover={share: 0.99}"], "a share of 0.99 is 8 of 8 candidates", "at least"),
        (["model_crossover={stages: 3}"], "unknown key 'stages'", "max_stages"),
        (["parameters={recover: models}"], "recover: input", None),
        (
            ["population=6", "parameters={recover: model}"],
            "recover: model never has its turn",
            "a population of at least 7",
        ),
        (["strategy=map_elites", "parameters={low: 0.9}"], "low 0.9 is above high 0.8", None),
        (["constraints=[{domain: maths, at_least: 0.4}]"], "unknown domain 'maths'", "math"),
        (["constraints=[{domain: math, at_least: best}]"], "expected a number, base", None),
        (["constraints=[{domain: math, at_leats: 1, at_least: 0}]"], "unknown key", "at_least"),
        (
            ["constraints=[{domain: math, at_least: base}, {domain: math, at_least: base}]"],
            "written twice",
            None,
        ),
    ],
)
def test_mistakes_are_named(overrides: list[str], message: str, hint: str | None) -> None:
    with pytest.raises(EvomergeError) as caught:
        built(*(f"search.{override}" for override in overrides))
    error = caught.value.errors[0] if isinstance(caught.value, ErrorList) else caught.value
    assert message in error.message
    assert hint is None or hint in (error.hint or "")
    # What the recipe leaves out is missing there; all else stands where it was given.
    given = {f"-S search.{override}" for override in overrides}
    assert error.place is not None
    assert error.place.file in given or error.place.file.endswith("linear.yaml")


def test_a_domain_is_not_called_like_an_objective() -> None:
    with pytest.raises(EvomergeError, match="cannot be called 'worst'"):
        built("evaluation.tasks={worst: {task: evomerge_tiny_math, metric: exact_match}}")


def test_what_only_the_strategy_knows_gets_a_place_too() -> None:
    overrides = ("search.strategy=cma_es", "search.parameters={covariance: diagonal}")
    recipe = recipes.load(ROOT / "recipes" / "quickstart.yaml", overrides=overrides)
    with pytest.raises(EvomergeError, match="real numbers alone") as caught:
        build(recipe)
    assert caught.value.place is not None and caught.value.exit_code == 2
