"""How scores become fitness: objectives, constraints, and what beats what.

Objectives, all maximised: ``mean`` (weighted mean of the domains), ``worst`` (the lowest domain),
``geometric`` (weighted geometric mean), a domain by its name, and ``tokens`` (few of them).

Constraints are bounds below domains. A candidate that breaks one is ranked below all that break
none, by how far it is from them: Deb, An efficient constraint handling method for genetic
algorithms, Comput. Methods Appl. Mech. Eng. 186, 2000.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from evomerge_compiler.candidate import Fitness, Outcome, Scores
from evomerge_compiler.errors import UsageError
from evomerge_compiler.recipe_schema import ConstraintSpec, EvaluationSpec, parse_bound

DECIMALS = 6
# Objectives that are no domain.
MEAN, WORST, GEOMETRIC, TOKENS = "mean", "worst", "geometric", "tokens"
NO_DOMAINS = (MEAN, WORST, GEOMETRIC, TOKENS)


@dataclass(frozen=True)
class Constraint:
    """A bound below a domain, as a number.

    Attributes:
        domain: The domain.
        at_least: The bound, in the units of the domain's score.
        text: The bound as the recipe has it.
    """

    domain: str
    at_least: float
    text: str

    def __str__(self) -> str:
        relative = f" ({self.text})" if not self.text[:1].isdigit() else ""
        return f"{self.domain} >= {self.at_least:g}{relative}"


def weights(evaluation: EvaluationSpec) -> dict[str, float]:
    """Domain to its share of the fitness; the shares sum to 1."""
    total = sum(task.weight for task in evaluation.tasks.values())
    return {domain: task.weight / total for domain, task in evaluation.tasks.items()}


def fitness(
    scores: Scores,
    shares: Mapping[str, float],
    objectives: Sequence[str] = (MEAN,),
    constraints: Sequence[Constraint] = (),
) -> Fitness:
    """What a strategy sees of scores: one number an objective, larger is better.

    Standard errors take the domains as independent samples. That of ``mean`` is
    ``sqrt(sum((share_d * stderr_d) ** 2))``, that of ``geometric`` follows from it by the delta
    method, that of ``worst`` is the lowest domain's own. Each is unknown where one that it needs
    is.

    Args:
        scores: One score a domain.
        shares: Domain to weight, summing to 1.
        objectives: See above; the first one ranks candidates for people.
        constraints: What the domains must reach.

    Raises:
        ValueError: A domain has no score, or a score is not finite.
        UsageError: Tokens are asked for and no task generates any.
    """
    missing = [domain for domain in shares if domain not in scores.domains]
    if missing:
        raise ValueError(f"no score for {', '.join(missing)}")
    found = [_objective(scores, shares, name) for name in objectives]
    if not all(math.isfinite(value) for value, _ in found):
        raise ValueError(f"expected finite scores, got a fitness of {[v for v, _ in found]}")
    stderr = found[0][1]
    return Fitness(
        tuple(round(value, DECIMALS) for value, _ in found),
        None if stderr is None else round(stderr, DECIMALS),
        violation(scores, constraints),
    )


# -- objectives ----------------------------------------------------------------------------


def _objective(
    scores: Scores, shares: Mapping[str, float], name: str
) -> tuple[float, float | None]:
    """The value of one objective and its standard error."""
    if name == TOKENS:
        return -mean_tokens(scores), None
    if name in _COMBINED:
        values = {domain: scores.domains[domain].value for domain in shares}
        return combined(name, values, shares), _COMBINED[name][1](scores, values, shares)
    return scores.domains[name].value, scores.domains[name].stderr


def mean_tokens(scores: Scores) -> float:
    """Generated tokens an item, over all domains.

    Raises:
        UsageError: No task generates any.
    """
    counts = [n for items in scores.items.values() for n in items.tokens]
    if not counts:
        raise UsageError(
            "objective 'tokens': no task of this recipe generates text",
            hint="leave it out of search.objectives, or add a task that generates",
        )
    return sum(counts) / len(counts)


def combined(name: str, values: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """``mean``, ``worst`` or ``geometric`` of domain values.

    ``worst`` takes no notice of the weights. ``geometric`` is 0 where a domain is 0 or less.
    """
    return _COMBINED[name][0](values, shares)


Values = Mapping[str, float]


def _mean(values: Values, shares: Values) -> float:
    return sum(share * values[domain] for domain, share in shares.items())


def _worst(values: Values, shares: Values) -> float:
    return min(values[domain] for domain in shares)


def _geometric(values: Values, shares: Values) -> float:
    if min(values[domain] for domain in shares) <= 0:
        return 0.0
    return math.exp(math.fsum(s * math.log(values[domain]) for domain, s in shares.items()))


def _mean_stderr(scores: Scores, values: Values, shares: Values) -> float | None:
    return _root_of_squares(scores, shares)


def _worst_stderr(scores: Scores, values: Values, shares: Values) -> float | None:
    return scores.domains[min(shares, key=lambda domain: values[domain])].stderr


def _geometric_stderr(scores: Scores, values: Values, shares: Values) -> float | None:
    """d log G / d x_d is share_d / x_d; where a domain is 0 there is no such derivative."""
    value = _geometric(values, shares)
    if value == 0:
        return None
    relative = _root_of_squares(scores, {d: s / values[d] for d, s in shares.items()})
    return None if relative is None else value * relative


def _root_of_squares(scores: Scores, factors: Values) -> float | None:
    terms = []
    for domain, factor in factors.items():
        error = scores.domains[domain].stderr
        if error is None:
            return None
        terms.append(factor * error)
    return math.sqrt(sum(term * term for term in terms))


_Stderr = Callable[[Scores, Values, Values], float | None]
_COMBINED: dict[str, tuple[Callable[[Values, Values], float], _Stderr]] = {
    MEAN: (_mean, _mean_stderr),
    WORST: (_worst, _worst_stderr),
    GEOMETRIC: (_geometric, _geometric_stderr),
}


# -- constraints ---------------------------------------------------------------------------


def needs_models(constraints: Sequence[ConstraintSpec]) -> bool:
    """Whether a bound is relative to what the models themselves score."""
    return any(parse_bound(spec.at_least)[0] is not None for spec in constraints)


def bounds(
    specs: Sequence[ConstraintSpec], parents: Mapping[str, Scores], base: Scores | None
) -> tuple[Constraint, ...]:
    """Constraints with their bounds as numbers.

    Args:
        specs: As the recipe has them.
        parents: The parents' scores on search items; ``best_parent`` is, in each domain, the
            parent that is best there.
        base: The base's; both may be empty where no bound is relative.
    """
    out = []
    for spec in specs:
        reference, number = parse_bound(spec.at_least)
        if reference == "base":
            assert base is not None
            number += base.domains[spec.domain].value
        elif reference == "best_parent":
            number += max(scores.domains[spec.domain].value for scores in parents.values())
        out.append(Constraint(spec.domain, round(number, DECIMALS), str(spec.at_least)))
    return tuple(out)


def violation(scores: Scores, constraints: Sequence[Constraint]) -> float:
    """How far scores are from keeping to the constraints; 0 when they do.

    What is missing is divided by the bound before it is summed, as Deb (2000) has it: domains
    may be scored in other units.
    """
    missing = 0.0
    for constraint in constraints:
        # As files hold it, so that a resumed run comes to the same result.
        value = round(scores.domains[constraint.domain].value, DECIMALS)
        if value < constraint.at_least:
            missing += (constraint.at_least - value) / (abs(constraint.at_least) or 1.0)
    return max(round(missing, DECIMALS), 10**-DECIMALS) if missing else 0.0


# -- several objectives --------------------------------------------------------------------


def front(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The feasible outcomes that no other one beats: as good everywhere and better somewhere.

    Of equal ones the first stays. Sorted by the first objective, best first.
    """
    kept: dict[tuple[float, ...], Outcome] = {}
    for outcome in outcomes:
        if outcome.fitness is None or not outcome.fitness.feasible:
            continue
        new = outcome.fitness.objectives
        if any(_no_worse(old, new) for old in kept):
            continue
        kept = {old: o for old, o in kept.items() if not _no_worse(new, old)}
        kept[new] = outcome
    return [kept[objectives] for objectives in sorted(kept, reverse=True)]


def _no_worse(one: Sequence[float], two: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(one, two, strict=True))


def knee(front: Sequence[Outcome]) -> Outcome | None:
    """The outcome of a front from which any gain in one objective costs most in another.

    It is the farthest, on the better side, from the hyperplane through the front's extremes, with
    each objective scaled to 0..1 over the front: Das, On characterizing the "knee" of the Pareto
    curve based on normal-boundary intersection, Structural Optimization 18, 1999. Where the
    extremes span no hyperplane that faces all objectives (one outcome is best in several), sums
    of the scaled objectives are compared. Of equal ones the first is taken.

    Args:
        front: As :func:`front` gives it; None when it is empty.
    """
    import numpy as np

    if not front:
        return None
    table = np.array([o.fitness.objectives for o in front if o.fitness is not None])
    width = np.ptp(table, axis=0)
    scaled = (table - table.min(axis=0)) / np.where(width > 0, width, 1.0)
    extremes = scaled[scaled.argmax(axis=0)]
    normal = np.ones(table.shape[1])
    if np.linalg.matrix_rank(extremes) == len(extremes):
        solved = np.linalg.solve(extremes, normal)
        normal = solved if (solved > 0).all() else normal
    # Rounded: on a straight front all are as far but for the last digit.
    return front[int(np.round(scaled @ normal, 9).argmax())]
