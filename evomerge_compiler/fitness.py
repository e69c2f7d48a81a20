"""How scores become fitness: the weighted mean of the domains, and its standard error."""

from __future__ import annotations

import math
from collections.abc import Mapping

from evomerge_compiler.candidate import Fitness, Scores
from evomerge_compiler.recipe_schema import EvaluationSpec

DECIMALS = 6


def weights(evaluation: EvaluationSpec) -> dict[str, float]:
    """Domain to its share of the fitness; the shares sum to 1."""
    total = sum(task.weight for task in evaluation.tasks.values())
    return {domain: task.weight / total for domain, task in evaluation.tasks.items()}


def fitness(scores: Scores, shares: Mapping[str, float]) -> Fitness:
    """The weighted mean of the domain scores.

    Its standard error takes the domains as independent samples:
    ``sqrt(sum((share_d * stderr_d) ** 2))``; unknown where one domain's is.

    Args:
        scores: One score a domain.
        shares: Domain to weight, summing to 1.

    Raises:
        ValueError: A domain has no score, or a score is not finite.
    """
    missing = [domain for domain in shares if domain not in scores.domains]
    if missing:
        raise ValueError(f"no score for {', '.join(missing)}")
    value = sum(share * scores.domains[domain].value for domain, share in shares.items())
    if not math.isfinite(value):
        raise ValueError(f"expected finite scores, got a fitness of {value}")
    errors = [scores.domains[domain].stderr for domain in shares]
    stderr = None
    if all(error is not None for error in errors):
        terms = [
            share * error
            for share, error in zip(shares.values(), errors, strict=True)
            if error is not None
        ]
        stderr = round(math.sqrt(sum(term * term for term in terms)), DECIMALS)
    return Fitness((round(value, DECIMALS),), stderr)
