"""Makes the strategy that a recipe names, with its parameters checked."""

from __future__ import annotations

from pydantic import ValidationError

from evomerge_compiler.errors import ErrorList, EvomergeError, UsageError, did_you_mean
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.strategies import Strategy, all_strategies


def build(recipe: Recipe) -> Strategy:
    """The recipe's strategy, ready for its first ``ask``.

    Raises:
        RecipeError: The strategy or one of its parameters is unknown or out of range.
        UsageError: The recipe is no experiment.
    """
    if recipe.search is None:
        raise UsageError(
            f"recipe {recipe.name!r} is a single merge, there is nothing to search",
            hint="evomerge merge runs it; evolve needs kind: experiment",
        )
    known = all_strategies()
    kind = known.get(recipe.search.strategy)
    if kind is None:
        raise recipe.document.error(
            f"unknown strategy {recipe.search.strategy!r}",
            ("search", "strategy"),
            hint=did_you_mean(recipe.search.strategy, known),
        )
    try:
        parameters = kind.parameters.model_validate(recipe.search.parameters)
    except ValidationError as error:
        raise ErrorList(
            [_translate(recipe, list(kind.parameters.model_fields), e) for e in error.errors()]
        ) from None
    return kind(recipe.space, recipe.search.population, recipe.seed, parameters)


def _translate(recipe: Recipe, known: list[str], item: object) -> EvomergeError:
    assert isinstance(item, dict)
    path = ("search", "parameters", *item["loc"])
    if item["type"] == "extra_forbidden":
        name = str(item["loc"][-1])
        message = f"unknown parameter {name!r} of strategy {recipe.search.strategy!r}"  # type: ignore[union-attr]
        return recipe.document.error(message, path, hint=did_you_mean(name, known), key=True)
    text = str(item["msg"])
    return recipe.document.error(f"{item['loc'][-1]}: {text[0].lower()}{text[1:]}", path)
