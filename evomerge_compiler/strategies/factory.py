"""Makes the strategy that a recipe names, with its parameters checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from evomerge_compiler.errors import ErrorList, EvomergeError, UsageError, did_you_mean
from evomerge_compiler.fitness import NO_DOMAINS
from evomerge_compiler.gene import Path
from evomerge_compiler.genome import GenomeSpace
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.recipe_schema import SearchSpec
from evomerge_compiler.strategies import Strategy, StrategyType, all_strategies
from evomerge_compiler.strategies.base import Parameters
from evomerge_compiler.strategies.model_crossover import ModelCrossover
from evomerge_compiler.strategies.phases import Phases, Subspace


def build(recipe: Recipe) -> Strategy:
    """The recipe's strategy, or that of its phases, ready for its first ``ask``.

    Where the recipe asks for crossovers of models, the strategy has the other slots.

    Raises:
        RecipeError: The strategy or one of its parameters is unknown or out of range.
        UsageError: The recipe is no experiment.
    """
    search = recipe.search
    if search is None:
        raise UsageError(
            f"recipe {recipe.name!r} is a single merge, there is nothing to search",
            hint="evomerge merge runs it; evolve needs kind: experiment",
        )
    choices = [_Choice.of_phase(search, index) for index in range(len(search.phases))]
    choices = choices or [_Choice(search.strategy, search.parameters, ("search",))]
    kinds = [_kind(recipe, choice) for choice in choices]
    problems = [*_domain_problems(recipe), *_constraint_problems(recipe)]
    parameters = []
    for kind, choice in zip(kinds, choices, strict=True):
        problems += _number_problems(recipe, kind, choice)
        try:
            parameters.append(kind.parameters.model_validate(choice.parameters))
        except ValidationError as error:
            known = list(kind.parameters.model_fields)
            problems += [_translate(recipe, choice, known, item) for item in error.errors()]
    problems += _crossover_problems(recipe, parameters)
    if problems:
        raise ErrorList(problems)
    n_children = n_crossings(search)

    def make(index: int, space: GenomeSpace, seed: int) -> Strategy:
        try:
            population = search.population - n_children
            return kinds[index](space, population, seed, parameters[index])
        except UsageError as error:
            # The strategy knows what does not fit, the recipe where it stands.
            error.place = recipe.document.place((*choices[index].at, "parameters"))
            raise

    if not search.phases:
        return _with_crossover(recipe, make(0, recipe.space, recipe.seed), n_children)
    for index, phase in enumerate(search.phases):
        # What does not fit a later phase is said now, not after days.
        make(index, Subspace.of(recipe.space, phase.genes, recipe.genome).space, recipe.seed)
    phases = Phases(recipe.space, search.phases, recipe.seed, make)
    return _with_crossover(recipe, phases, n_children)


def n_crossings(search: SearchSpec) -> int:
    """Slots of a generation after the first that crossovers of models have."""
    return round(search.model_crossover.share * search.population)


def recovers_models(search: SearchSpec) -> bool:
    """Whether the strategy itself averages models (``recover: model``)."""
    return search.parameters.get("recover") == "model"


def _with_crossover(recipe: Recipe, strategy: Strategy, n_children: int) -> Strategy:
    assert recipe.search is not None
    if not n_children:
        return strategy
    archive = recipe.search.model_crossover.archive
    return ModelCrossover(strategy, recipe.space, n_children, archive, recipe.seed)


def _crossover_problems(recipe: Recipe, parameters: Sequence[Parameters]) -> list[EvomergeError]:
    """Crossovers of models that there is no room for, or no strategy."""
    search = recipe.search
    assert search is not None
    problems = []
    share, n_children = search.model_crossover.share, n_crossings(search)
    if share and not 0 < n_children < search.population:
        message = f"a share of {share:g} is {n_children} of {search.population} candidates"
        hint = "leave at least one to the crossover and one to the strategy"
        at = ("search", "model_crossover", "share")
        problems.append(recipe.document.error(message, at, hint=hint))
    by_model = [p for p in parameters if getattr(p, "recover", None) == "model"]
    if by_model and search.phases:
        message = "recover: model makes candidates that hold no genes, which a phase needs"
        hint = "use search.model_crossover, whose candidates the phases are not told of"
        problems.append(recipe.document.error(message, ("search", "phases"), hint=hint))
    return problems


@dataclass(frozen=True)
class _Choice:
    """A strategy as a recipe names it.

    Attributes:
        name: Its name.
        parameters: As written.
        at: Where the two stand in the recipe.
    """

    name: str
    parameters: Mapping[str, object]
    at: Path

    @classmethod
    def of_phase(cls, search: SearchSpec, index: int) -> _Choice:
        """The strategy of a phase: its own, or the search's with some parameters changed."""
        phase, at = search.phases[index], ("search", "phases", index)
        if phase.strategy is not None:
            return cls(phase.strategy, phase.parameters, at)
        changed = {**search.parameters, **phase.parameters}
        return cls(search.strategy, changed, at if phase.parameters else ("search",))


def _kind(recipe: Recipe, choice: _Choice) -> StrategyType:
    known = all_strategies()
    if choice.name not in known:
        raise recipe.document.error(
            f"unknown strategy {choice.name!r}",
            (*choice.at, "strategy"),
            hint=did_you_mean(choice.name, known),
        )
    return known[choice.name]


def _domain_problems(recipe: Recipe) -> list[EvomergeError]:
    """Objectives that there are not."""
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
    return problems


def _number_problems(recipe: Recipe, kind: StrategyType, choice: _Choice) -> list[EvomergeError]:
    """More or fewer objectives than the strategy has use for."""
    search, evaluation = recipe.search, recipe.evaluation
    assert search is not None and evaluation is not None
    n, most = len(search.objectives), kind.max_objectives
    problems = []
    if n < kind.min_objectives or (most is not None and n > most):
        wanted = f"{kind.min_objectives} objectives or more"
        if n > kind.min_objectives:
            wanted = "one objective" if most == 1 else f"at most {most} objectives"
        message = f"strategy {choice.name!r} takes {wanted}, the search has {n}"
        domains = list(evaluation.tasks)
        hint = (
            f"name them: objectives: [{', '.join([*domains, *NO_DOMAINS][:2])}]"
            if n < kind.min_objectives
            else "strategy nsga2 takes several"
        )
        problems.append(recipe.document.error(message, choice.at, hint=hint))
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


def _translate(recipe: Recipe, choice: _Choice, known: list[str], item: object) -> EvomergeError:
    assert isinstance(item, dict)
    path = (*choice.at, "parameters", *item["loc"])
    if item["type"] == "extra_forbidden":
        name = str(item["loc"][-1])
        message = f"unknown parameter {name!r} of strategy {choice.name!r}"
        return recipe.document.error(message, path, hint=did_you_mean(name, known), key=True)
    text = str(item["msg"])
    return recipe.document.error(f"{item['loc'][-1]}: {text[0].lower()}{text[1:]}", path)
