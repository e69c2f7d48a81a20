"""How scores become fitness: objectives, of which the weighted mean of the domains is one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from evomerge_compiler.candidate import Fitness, Outcome, Scores
from evomerge_compiler.errors import UsageError
from evomerge_compiler.recipe_schema import EvaluationSpec

DECIMALS = 6
# Objectives that are no domain.
MEAN, TOKENS = "mean", "tokens"


def weights(evaluation: EvaluationSpec) -> dict[str, float]:
    """Domain to its share of the fitness; the shares sum to 1."""
    total = sum(task.weight for task in evaluation.tasks.values())
    return {domain: task.weight / total for domain, task in evaluation.tasks.items()}


def fitness(
    scores: Scores, shares: Mapping[str, float], objectives: Sequence[str] = (MEAN,)
) -> Fitness:
    """What a strategy sees of scores: one number an objective, larger is better.

    ``mean`` is the weighted mean of the domains. Its standard error takes the domains as
    independent samples: ``sqrt(sum((share_d * stderr_d) ** 2))``; unknown where one domain's is.
    ``tokens`` is minus the mean number of generated tokens. A domain's name is its score.

    Args:
        scores: One score a domain.
        shares: Domain to weight, summing to 1.
        objectives: ``mean``, ``tokens`` or domains; the first one ranks candidates for people.

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
    )


def _objective(
    scores: Scores, shares: Mapping[str, float], name: str
) -> tuple[float, float | None]:
    """The value of one objective and its standard error."""
    if name == MEAN:
        return _mean(scores, shares)
    if name == TOKENS:
        counts = [n for items in scores.items.values() for n in items.tokens]
        if not counts:
            raise UsageError(
                "objective 'tokens': no task of this recipe generates text",
                hint="leave it out of search.objectives, or add a task that generates",
            )
        return -sum(counts) / len(counts), None
    return scores.domains[name].value, scores.domains[name].stderr


def _mean(scores: Scores, shares: Mapping[str, float]) -> tuple[float, float | None]:
    value = sum(share * scores.domains[domain].value for domain, share in shares.items())
    terms = []
    for domain, share in shares.items():
        error = scores.domains[domain].stderr
        if error is None:
            return value, None
        terms.append(share * error)
    return value, math.sqrt(sum(term * term for term in terms))


def front(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes that no other one beats: none is as good everywhere and better somewhere.

    Of equal ones the first stays. Sorted by the first objective, best first.
    """
    kept: dict[tuple[float, ...], Outcome] = {}
    for outcome in outcomes:
        if outcome.fitness is None:
            continue
        new = outcome.fitness.objectives
        if any(_no_worse(old, new) for old in kept):
            continue
        kept = {old: o for old, o in kept.items() if not _no_worse(new, old)}
        kept[new] = outcome
    return [kept[objectives] for objectives in sorted(kept, reverse=True)]


def _no_worse(one: Sequence[float], two: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(one, two, strict=True))
