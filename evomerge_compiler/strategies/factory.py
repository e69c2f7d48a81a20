"""Makes the strategy that a recipe names, with its parameters checked."""

from __future__ import annotations

from pydantic import ValidationError

from evomerge_compiler.errors import ErrorList, EvomergeError, UsageError, did_you_mean
from evomerge_compiler.fitness import NO_DOMAINS
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.strategies import Strategy, StrategyType, all_strategies


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
    problems = [*_objective_problems(recipe, kind), *_constraint_problems(recipe)]
    try:
        parameters = kind.parameters.model_validate(recipe.search.parameters)
    except ValidationError as error:
        known_keys = list(kind.parameters.model_fields)
        problems += [_translate(recipe, known_keys, item) for item in error.errors()]
    if problems:
        raise ErrorList(problems)
    try:
        return kind(recipe.space, recipe.search.population, recipe.seed, parameters)
    except UsageError as error:
        # The strategy knows what does not fit, the recipe where it stands.
        error.place = recipe.document.place(("search", "parameters"))
        raise


def _objective_problems(recipe: Recipe, kind: StrategyType) -> list[EvomergeError]:
    """Objectives that there are not, or that the strategy has no use for."""
    search, evaluation = recipe.search, recipe.evaluation
    assert search is not None and evaluation is not None
    known = (*NO_DOMAINS, *evaluation.tasks)
    problems = []
    for name in NO_DOMAINS:
        if name in evaluation.tasks:
            message = f"a domain cannot be called {name!r}: that is an objective"
            where = ("evaluation", "tasks", name)
            problems.append(recipe.document.error(message, where, hint="rename it", key=True))
    for index, name in enumerate(search.objectives):
        at = ("search", "objectives", index)
        if name not in known:
            hint = did_you_mean(name, known)
            problems.append(recipe.document.error(f"unknown objective {name!r}", at, hint=hint))
        elif name in search.objectives[:index]:
            message = f"objective {name!r} is named twice"
            problems.append(recipe.document.error(message, at, hint="leave one out"))
    n, most = len(search.objectives), kind.max_objectives
    if n < kind.min_objectives or (most is not None and n > most):
        wanted = f"{kind.min_objectives} objectives or more"
        if n > kind.min_objectives:
            wanted = "one objective" if most == 1 else f"at most {most} objectives"
        message = f"strategy {search.strategy!r} takes {wanted}, the search has {n}"
        domains = list(evaluation.tasks)
        hint = (
            f"name them: objectives: [{', '.join([*domains, *NO_DOMAINS][:2])}]"
            if n < kind.min_objectives
            else "strategy nsga2 takes several"
        )
        problems.append(recipe.document.error(message, ("search",), hint=hint))
    return problems


def _constraint_problems(recipe: Recipe) -> list[EvomergeError]:
    """Constraints on domains that there are not, or written twice."""
    search, evaluation = recipe.search, recipe.evaluation
    assert search is not None and evaluation is not None
    problems = []
    for index, constraint in enumerate(search.constraints):
        at = ("search", "constraints", index)
        if constraint.domain not in evaluation.tasks:
            message = f"constraint on an unknown domain {constraint.domain!r}"
            hint = did_you_mean(constraint.domain, evaluation.tasks)
            problems.append(recipe.document.error(message, (*at, "domain"), hint=hint))
        elif constraint in search.constraints[:index]:
            message = "this constraint is written twice"
            problems.append(recipe.document.error(message, at, hint="leave one out"))
    return problems


def _translate(recipe: Recipe, known: list[str], item: object) -> EvomergeError:
    assert isinstance(item, dict)
    path = ("search", "parameters", *item["loc"])
    if item["type"] == "extra_forbidden":
        name = str(item["loc"][-1])
        message = f"unknown parameter {name!r} of strategy {recipe.search.strategy!r}"  # type: ignore[union-attr]
        return recipe.document.error(message, path, hint=did_you_mean(name, known), key=True)
    text = str(item["msg"])
    return recipe.document.error(f"{item['loc'][-1]}: {text[0].lower()}{text[1:]}", path)
