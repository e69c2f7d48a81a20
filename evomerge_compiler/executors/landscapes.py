"""Landscapes over genes: test functions whose best point is known, as scores of which 100 is best.

A function sees each value of a genome as its place in the gene's range, 0 to 1, moved so that the
best point lies at a hidden place that the landscape's seed draws (all but ``rosenbrock`` and the
two-objective functions, whose best points are where they are in the literature). Those of one
objective have true scores of 0 to 100. The others are minimised in the literature, and here they
are 100 times 1 - f, which is below 0 wherever f is above 1. An item's score is the function's
value and noise of its own, which may lead beyond these bounds: so scores have standard errors,
and winners look better on the items that chose them than on others.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evomerge_compiler.candidate import TaskItems
from evomerge_compiler.compiler.merge_plan import digest
from evomerge_compiler.errors import RecipeError
from evomerge_compiler.executors.base import Job, Split
from evomerge_compiler.executors.local import identity
from evomerge_compiler.executors.simulated import Landscape
from evomerge_compiler.fitness import TOKENS
from evomerge_compiler.gene_units import to_unit
from evomerge_compiler.genome import GenomeSpace
from evomerge_compiler.recipe import Recipe

Point = Sequence[float]
# A hidden best point keeps this distance from the bounds, as a share of the range.
MARGIN = 0.15


@dataclass(frozen=True)
class Function:
    """A test function.

    Attributes:
        summary: One line for people.
        scores: ``(n,)`` units and ``(n,)`` units of the hidden point to one score or several;
            domains take them in turn.
        min_values: Values that a genome must have.
        max_values: Values that a genome may have; None for any number.
        min_domains: Domains that the evaluation must have.
    """

    summary: str
    scores: Callable[[Point, Point], tuple[float, ...]]
    min_values: int = 1
    max_values: int | None = None
    min_domains: int = 1


def _four_genes(at: Point, best: Point) -> tuple[float, ...]:
    """A hill; the third and fourth gene act together, so it is a ridge there."""
    a, b, c, d = (x - y for x, y in zip(at, best, strict=True))
    steps = (a / 0.3, b / 0.3, (c + d) / 0.3, (c - d) / 0.8)
    return (100 * math.exp(-0.5 * sum(step * step for step in steps)),)


def _sphere(at: Point, best: Point) -> tuple[float, ...]:
    """sum x_i^2 over [-5.12, 5.12] (De Jong 1975)."""
    return _loss(sum((10.24 * (x - y)) ** 2 for x, y in zip(at, best, strict=True)))


def _rosenbrock(at: Point, best: Point) -> tuple[float, ...]:
    """sum 100 (x_(i+1) - x_i^2)^2 + (1 - x_i)^2 over [-2.048, 2.048] (Rosenbrock 1960)."""
    x = [4.096 * unit - 2.048 for unit in at]
    pairs = itertools.pairwise(x)
    return _loss(sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in pairs))


def _rastrigin(at: Point, best: Point) -> tuple[float, ...]:
    """10 n + sum x_i^2 - 10 cos(2 pi x_i) over [-5.12, 5.12] (Rastrigin 1974)."""
    steps = [10.24 * (x - y) for x, y in zip(at, best, strict=True)]
    return _loss(sum(10 + x * x - 10 * math.cos(2 * math.pi * x) for x in steps))


def _zdt1(at: Point, best: Point) -> tuple[float, ...]:
    """Convex front f2 = 1 - sqrt(f1) (Zitzler, Deb and Thiele, Evol. Comp. 8(2), 2000)."""
    g = 1 + 9 * math.fsum(at[1:]) / (len(at) - 1)
    return 100 * (1 - at[0]), 100 * (1 - g * (1 - math.sqrt(at[0] / g)))


def _zdt2(at: Point, best: Point) -> tuple[float, ...]:
    """Concave front f2 = 1 - f1^2 (same source)."""
    g = 1 + 9 * math.fsum(at[1:]) / (len(at) - 1)
    return 100 * (1 - at[0]), 100 * (1 - g * (1 - (at[0] / g) ** 2))


def _loss(value: float) -> tuple[float, ...]:
    return (100 / (1 + value),)


FUNCTIONS: dict[str, Function] = {
    "four_genes": Function("a hill in four genes, two act together", _four_genes, 4, 4),
    "sphere": Function("a bowl", _sphere),
    "rosenbrock": Function("a bent valley", _rosenbrock, 2),
    "rastrigin": Function("a bowl with a local optimum at every step", _rastrigin),
    "zdt1": Function("two objectives, convex front", _zdt1, 2, None, 2),
    "zdt2": Function("two objectives, concave front", _zdt2, 2, None, 2),
}


@dataclass(frozen=True)
class GeneLandscape(Landscape):
    """Scores as a function of genes.

    Attributes:
        function: A name of :data:`FUNCTIONS`.
        noise: Standard deviation of one item's score.
    """

    function: str = "sphere"
    noise: float = 0.0

    def truth(self, domain: str, values: Mapping[str, object]) -> float:
        """The score without noise.

        Args:
            domain: The domain.
            values: Label of a coordinate to its unit, in the order of the space.
        """
        at = [float(unit) for unit in values.values()]  # type: ignore[arg-type]
        best = [MARGIN + (1 - 2 * MARGIN) * self.draw("best", label) for label in values]
        scores = FUNCTIONS[self.function].scores(at, best)
        return scores[self.domains.index(domain) % len(scores)]

    def score(self, domain: str, split: Split, values: Mapping[str, object]) -> TaskItems:
        """Per-item results: the true score, and noise that depends on genome and item."""
        true = self.truth(domain, values)
        own = random.Random(digest(self.seed, domain, split, dict(values)))
        items = tuple(true + self.noise * own.gauss(0.0, 1.0) for _ in range(self.n_items))
        item_set = hashlib.sha256(f"{domain} {split} {self.n_items}".encode()).hexdigest()
        return TaskItems(item_set, items)


@dataclass(frozen=True)
class GeneValues:
    """What a gene landscape sees of a job: each value of its genome as a unit.

    A gene that is not active counts as at its initial value. What has no genome, a model as it
    is or the uniform merge, stands at a place that is drawn from its content.

    Attributes:
        space: The genomes.
    """

    space: GenomeSpace

    def __call__(self, job: Job) -> dict[str, object]:
        """Label of each coordinate to its unit."""
        if job.genome is None:
            drawn = random.Random(identity(job))
            return {c.label: drawn.random() for c in self.space.coordinates}
        flat = self.space.complete(job.genome)
        return {
            c.label: to_unit(c.gene, value)
            for c, value in zip(self.space.coordinates, flat, strict=True)
        }


def of_recipe(recipe: Recipe) -> Landscape:
    """The landscape that ``simulation:`` asks for, over the recipe's own domains.

    Raises:
        RecipeError: It does not fit the recipe's genes or domains.
    """
    check(recipe)
    spec, evaluation = recipe.simulation, recipe.evaluation
    if evaluation is None:
        raise RecipeError("the recipe has no evaluation, so there are no domains to score")
    given: dict[str, Any] = {
        "domains": tuple(evaluation.tasks),
        "seed": spec.seed,
        "n_items": spec.items,
        "failing": {str(reason): share for reason, share in spec.failing.items()},
        "limit": evaluation.limit,
        "lengths": recipe.search is not None and TOKENS in recipe.search.objectives,
    }
    if spec.landscape == "merge":
        return Landscape(**given)
    return GeneLandscape(**given, function=spec.landscape, noise=spec.noise)


def check(recipe: Recipe) -> None:
    """Checks that the landscape fits the recipe's genes and domains.

    Raises:
        RecipeError: It does not.
    """
    name, evaluation, search = recipe.simulation.landscape, recipe.evaluation, recipe.search
    if name == "merge" or evaluation is None:
        return
    function = FUNCTIONS[name]
    n_values, n_domains = len(recipe.space.coordinates), len(evaluation.tasks)
    most = math.inf if function.max_values is None else function.max_values
    at = ("simulation", "landscape")
    if search and (search.model_crossover.share or search.parameters.get("recover") == "model"):
        message = f"landscape {name!r} is over genes, and a crossing of models has none of them"
        raise recipe.document.error(message, at, hint="take landscape: merge")
    if not function.min_values <= n_values <= most:
        least = function.min_values
        wanted = least if least == most else f"at least {least}"
        message = f"landscape {name!r} is over {wanted} values, the genome has {n_values}"
        hint = "fix or free genes, or take another landscape"
        raise recipe.document.error(message, at, hint=hint)
    if n_domains < function.min_domains:
        message = f"landscape {name!r} needs {function.min_domains} tasks, one an objective"
        hint = "add a task to evaluation.tasks, or take another landscape"
        raise recipe.document.error(message, at, hint=hint)
