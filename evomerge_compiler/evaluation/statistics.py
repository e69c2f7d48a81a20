"""Whether one model is better than another, from their per-item results.

Two models that answer the same items are compared item by item: what makes an item hard for both
cancels, and the interval of the difference is narrower than the two intervals suggest. The
number compared is an objective of the search: the weighted mean of domain means, so that domains
are strata, or another one.

Sources: E. Miller, *Adding Error Bars to Evals* (arXiv 2411.00640), section 4.2 (paired
differences) and its central-limit intervals; W. Cochran, *Sampling Techniques*, equation 5.7
(variance of a stratified mean); B. Welch (1947) and F. Satterthwaite (1946) for the degrees of
freedom of a sum of variances; B. Efron and R. Tibshirani, *An Introduction to the Bootstrap*,
chapter 13 (percentile interval) and section 16.4 (a test with the centred bootstrap); S. Holm,
Scand. J. Statist. 6 (1979), for several comparisons at once. McNemar's test is in
:mod:`~evomerge_compiler.evaluation.mcnemar`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from evomerge_compiler import fitness as fit
from evomerge_compiler.candidate import Scores, TaskItems
from evomerge_compiler.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

Method = Literal["clt", "bootstrap", "mcnemar"]
CONFIDENCE = 0.95
_REPLICATES = 10_000
_REPLICATES_AT_ONCE = 250


@dataclass(frozen=True)
class PairedDifference:
    """How much better the first model is than the second.

    Attributes:
        difference: What was compared, of the first less that of the second.
        stderr: Its standard error.
        low: Lower end of the interval.
        high: Upper end.
        p_value: Two-sided, of no difference.
        n: Items compared, over all domains.
        confidence: Of the interval.
        method: How the p-value was found; with ``mcnemar`` the interval is that of ``clt``.
    """

    difference: float
    stderr: float
    low: float
    high: float
    p_value: float
    n: int
    confidence: float = CONFIDENCE
    method: Method = "clt"

    @property
    def better(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low > 0


# -- two models ----------------------------------------------------------------------------


def compare(
    first: Scores,
    second: Scores,
    *,
    weights: Mapping[str, float] | None = None,
    objective: str = fit.MEAN,
    method: Method | None = "clt",
    confidence: float = CONFIDENCE,
    other_items: tuple[Scores, Scores] | None = None,
) -> PairedDifference:
    """Compares two models by their scores' per-item values.

    Args:
        first, second: Their scores; domains without per-item values are left out.
        weights: Domain to its weight, equal when None.
        objective: What is compared, as in ``search.objectives``; larger is better in all.
        method: How; None takes exact McNemar where all items are right or wrong, and the
            bootstrap where they are graded. ``geometric``, which is no sum over items, is always
            compared by the bootstrap, and ``worst`` by bounds of the central limit theorem.
        confidence: Of the interval.
        other_items: Their scores on other items, which say what domains are likely the worst;
            without them it is these items, and bounds of ``worst`` are a little too narrow.

    Raises:
        UsageError: They were not scored on the same items, or no domain has per-item values.
    """
    for domain, items in first.items.items():
        other = second.items.get(domain)
        if other is None or other.item_set != items.item_set:
            raise UsageError(
                f"the two models were not scored on the same items of {domain}",
                hint="score both with the same evaluation and split",
            )
    kept = dict.fromkeys(first.items, 1.0) if weights is None else dict(weights)
    kept = {domain: weight for domain, weight in kept.items() if domain in first.items}
    column = _values
    if objective == fit.TOKENS:
        # Minus the mean over all items: each domain counts by its number of answers.
        column = _minus_tokens
        kept = {d: float(len(i.tokens)) for d, i in first.items.items() if i.tokens}
    elif objective not in fit.NO_DOMAINS:
        kept = {objective: 1.0}
    one, two = ({d: column(scores.items[d]) for d in kept} for scores in (first, second))
    if objective == fit.WORST:
        worst = [_worst(scores, kept) for scores in other_items or (first, second)]
        return _worst_difference(one, two, worst, confidence)
    if objective == fit.GEOMETRIC:
        return _geometric_difference(one, two, kept, confidence)
    found = {value for side in (one, two) for values in side.values() for value in values}
    chosen: Method = method or ("mcnemar" if found <= {0.0, 1.0} else "bootstrap")
    return paired_difference(one, two, weights=kept, method=chosen, confidence=confidence)


def unpaired(
    splits: Sequence[Scores], objectives: Sequence[str], weights: Mapping[str, float]
) -> list[str]:
    """Domains that objectives rest on and in which two models cannot be compared item by item.

    Args:
        splits: What one of them scored on each split; the other was asked the same.
        objectives: As in ``search.objectives``.
        weights: Domain to its weight.
    """
    alone: set[str] = set()
    for scores in splits:
        known = {domain for domain, items in scores.items.items() if len(items.values) > 1}
        for objective in objectives:
            if objective == fit.TOKENS:
                needed = [domain for domain, items in scores.items.items() if items.tokens]
            elif objective == fit.WORST:
                needed = list(weights)
            elif objective in fit.NO_DOMAINS:
                needed = [domain for domain, weight in weights.items() if weight > 0]
            else:
                needed = [objective]
            alone |= set(needed) - known
    return [domain for domain in weights if domain in alone]


def _values(items: TaskItems) -> Sequence[float]:
    return items.values


def _minus_tokens(items: TaskItems) -> Sequence[float]:
    return tuple(-float(n) for n in items.tokens)


def paired_difference(
    first: Mapping[str, Sequence[float]],
    second: Mapping[str, Sequence[float]],
    *,
    weights: Mapping[str, float] | None = None,
    method: Method = "clt",
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> PairedDifference:
    """Compares the weighted means of two models on the same items.

    ``clt`` takes a Student interval with Welch's and Satterthwaite's degrees of freedom; it is
    the default because it needs no random numbers and holds its coverage from about 30 items a
    domain on. ``mcnemar`` is for items that are right or wrong: its p-value is exact with any
    number of them. ``bootstrap`` draws the items of each domain again, 10,000 times, and takes
    percentiles; it is for graded items, which may be few or very skewed.

    Args:
        first: Domain to ``(n_items,)`` values of the first model.
        second: The same for the second, in the same order of items.
        weights: Domain to its weight, equal when None; normalised to sum 1.
        method: How interval and p-value are made.
        confidence: Of the interval.
        seed: Of the bootstrap's draws.

    Returns:
        Difference, interval and p-value.

    Raises:
        UsageError: The domains or the numbers of items differ, or a domain has fewer than two.
    """
    import numpy as np

    shares = _shares(first, second, weights)
    differences = {
        domain: np.asarray(first[domain], dtype=np.float64)
        - np.asarray(second[domain], dtype=np.float64)
        for domain in shares
    }
    found = _student(differences, shares, confidence)
    if method == "mcnemar":
        from evomerge_compiler.evaluation.mcnemar import exact_p

        p_value = exact_p([differences[d] for d in shares], list(shares.values()))
        return replace(found, p_value=p_value, method=method)
    if found.stderr == 0.0:
        return found
    if method == "bootstrap":
        drawn = _resampled([x[:, None] for x in differences.values()], seed)
        return _percentiles(found, drawn[:, :, 0] @ np.array(list(shares.values())))
    return found


def _student(
    differences: Mapping[str, Array], shares: Mapping[str, float], confidence: float
) -> PairedDifference:
    """The interval and the p-value of the central limit theorem."""
    difference = math.fsum(shares[d] * float(differences[d].mean()) for d in shares)
    variances = {d: shares[d] ** 2 * float(x.var(ddof=1)) / len(x) for d, x in differences.items()}
    stderr = math.sqrt(math.fsum(variances.values()))
    n = sum(len(x) for x in differences.values())
    if stderr == 0.0:
        # All items differ by the same amount: there is nothing to be uncertain about.
        p_value = 1.0 if difference == 0.0 else 0.0
        return PairedDifference(difference, 0.0, difference, difference, p_value, n, confidence)
    # Student's distribution alone: the whole of scipy.stats takes most of a second to import.
    from scipy import special

    freedom = stderr**4 / math.fsum(
        v**2 / (len(differences[d]) - 1) for d, v in variances.items() if v > 0
    )
    reach = float(special.stdtrit(freedom, _tails(confidence)[1])) * stderr
    p_value = 2.0 * float(special.stdtr(freedom, -abs(difference) / stderr))
    return PairedDifference(
        difference, stderr, difference - reach, difference + reach, p_value, n, confidence
    )


# -- bootstrap -----------------------------------------------------------------------------


def _geometric_difference(
    first: Mapping[str, Sequence[float]],
    second: Mapping[str, Sequence[float]],
    weights: Mapping[str, float],
    confidence: float,
) -> PairedDifference:
    """Compares weighted geometric means of domain means, by the bootstrap."""
    import numpy as np

    shares = _shares(first, second, weights)
    pairs = [np.column_stack([first[d], second[d]]).astype(np.float64) for d in shares]

    def difference(means: Array) -> float:
        one, two = (dict(zip(shares, column, strict=True)) for column in means.T.tolist())
        return fit.combined(fit.GEOMETRIC, one, shares) - fit.combined(fit.GEOMETRIC, two, shares)

    found = difference(np.array([pair.mean(axis=0) for pair in pairs]))
    n = sum(len(pair) for pair in pairs)
    drawn = np.array([difference(means) for means in _resampled(pairs, 0)])
    start = PairedDifference(found, float(drawn.std()), 0.0, 0.0, 1.0, n, confidence)
    return _percentiles(start, drawn)


def _percentiles(found: PairedDifference, drawn: Array) -> PairedDifference:
    """The difference with the interval and the p-value of ``(n_replicates,)`` drawn ones."""
    import numpy as np

    low, high = (float(q) for q in np.quantile(drawn, _tails(found.confidence)))
    beyond = np.count_nonzero(np.abs(drawn - found.difference) >= abs(found.difference) - 1e-12)
    p_value = (float(beyond) + 1.0) / (len(drawn) + 1.0)
    return replace(found, low=low, high=high, p_value=p_value, method="bootstrap")


def _resampled(columns: Sequence[Array], seed: int) -> Array:
    """``(n_replicates, n_domains, k)`` means, items drawn with replacement inside each domain.

    Args:
        columns: ``(n_items, k)`` values of each domain; the k of an item are drawn together.
        seed: Of the draws.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    means = np.zeros((_REPLICATES, len(columns), columns[0].shape[1]))
    for domain, values in enumerate(columns):
        for start in range(0, _REPLICATES, _REPLICATES_AT_ONCE):  # bounds the memory
            drawn = random.integers(0, len(values), (_REPLICATES_AT_ONCE, len(values)))
            means[start : start + _REPLICATES_AT_ONCE, domain] = values[drawn].mean(axis=1)
    return means


# -- the worst domain ----------------------------------------------------------------------


def _worst(scores: Scores, domains: Mapping[str, float]) -> str:
    return min(domains, key=lambda domain: scores.domains[domain].value)


def _worst_difference(
    first: Mapping[str, Sequence[float]],
    second: Mapping[str, Sequence[float]],
    worst: Sequence[str],
    confidence: float,
) -> PairedDifference:
    """Compares the lowest domain means.

    The lowest of several means is no smooth function of them: where domains are as good as each
    other it is too low on average, and neither the bootstrap nor the central limit theorem covers
    it. Bounds that hold: the second model's lowest is at most its score in any one domain, so the
    difference is at least the least ``first[d] - second[j]`` over all d, for a j that other items
    chose; and its lower bound is the least of their lower bounds, since that of the true least is
    among them. The upper bound mirrors it.

    Args:
        first, second: Domain to ``(n_items,)`` values.
        worst: For each model a domain that is likely its worst.
        confidence: Of the interval.
    """
    import numpy as np

    _shares(first, second, None)
    one, two = (
        {d: np.asarray(v, dtype=np.float64) for d, v in m.items()} for m in (first, second)
    )
    above = [_gap(one, two, domain, worst[1], confidence) for domain in one]
    below = [_gap(one, two, worst[0], domain, confidence) for domain in two]
    gain = max(_one_sided(gap) for gap in above)
    loss = max(_one_sided(replace(gap, difference=-gap.difference)) for gap in below)
    least, other_least = (min(float(v.mean()) for v in m.values()) for m in (one, two))
    return PairedDifference(
        least - other_least,
        min(above, key=lambda gap: gap.difference).stderr,
        min(gap.low for gap in above),
        max(gap.high for gap in below),
        min(1.0, 2 * min(gain, loss)),
        sum(len(v) for v in one.values()),
        confidence,
    )


def _gap(
    first: Mapping[str, Array], second: Mapping[str, Array], a: str, b: str, confidence: float
) -> PairedDifference:
    """The first model in domain ``a`` less the second in ``b``; paired where they are one."""
    one, two = first[a], second[b]
    if a == b:
        return _student({a: one - two}, {a: 1.0}, confidence)
    # Two samples: as strata of weight 1, the second one negative.
    return _student({a: one, f"-{b}": -two}, {a: 1.0, f"-{b}": 1.0}, confidence)


def _one_sided(gap: PairedDifference) -> float:
    """The p-value of no positive difference."""
    return gap.p_value / 2 if gap.difference > 0 else 1 - gap.p_value / 2


# -- several comparisons -------------------------------------------------------------------


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for being several, in the order given.

    Where each that is at most alpha counts, the chance that any of them counts wrongly is at most
    alpha, however the comparisons depend on each other, and whichever of them is looked at.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    out = [0.0] * len(p_values)
    least = 0.0
    for place, index in enumerate(order):
        least = max(least, (len(p_values) - place) * p_values[index])
        out[index] = min(1.0, least)
    return out


# --------------------------------------------------------------------------------------


def _shares(
    first: Mapping[str, object],
    second: Mapping[str, object],
    weights: Mapping[str, float] | None,
) -> dict[str, float]:
    if not first or set(first) != set(second):
        raise UsageError(
            f"expected the same domains twice, got {sorted(first)} and {sorted(second)}"
        )
    if weights is not None and set(weights) != set(first):
        raise UsageError(f"expected weights for {sorted(first)}, got {sorted(weights)}")
    for domain, values in first.items():
        others = second[domain]
        if not isinstance(values, Sequence) or not isinstance(others, Sequence):
            continue
        if len(values) != len(others) or len(values) < 2:
            raise UsageError(
                f"{domain}: expected the same 2 or more items twice, got {len(values)} and "
                f"{len(others)}",
                hint="one item has no spread, and no interval",
            )
    given = weights or dict.fromkeys(first, 1.0)
    total = math.fsum(given.values())
    if not total > 0 or min(given.values()) < 0:
        raise UsageError(f"weights must be at least 0 and not all 0, got {dict(given)}")
    return {domain: given[domain] / total for domain in first}


def _tails(confidence: float) -> tuple[float, float]:
    return (1 - confidence) / 2, (1 + confidence) / 2
