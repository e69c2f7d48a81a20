"""Whether one model is better than another, from their per-item results.

Two models that answer the same items are compared item by item: what makes an item hard for both
cancels, and the interval of the difference is narrower than the two intervals suggest. The
number compared is the weighted mean of domain means, so domains are strata.

Sources: E. Miller, *Adding Error Bars to Evals* (arXiv 2411.00640), section 4.2 (paired
differences) and its central-limit intervals; W. Cochran, *Sampling Techniques*, equation 5.7
(variance of a stratified mean); B. Welch (1947) and F. Satterthwaite (1946) for the degrees of
freedom of a sum of variances; B. Efron and R. Tibshirani, *An Introduction to the Bootstrap*,
chapter 13 (percentile interval) and section 16.4 (a test with the centred bootstrap).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evomerge_compiler.candidate import Scores, TaskItems
from evomerge_compiler.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Method = Literal["clt", "bootstrap"]
CONFIDENCE = 0.95
_REPLICATES = 10_000
_REPLICATES_AT_ONCE = 250


@dataclass(frozen=True)
class PairedDifference:
    """How much better the first model is than the second.

    Attributes:
        difference: Weighted mean over domains of the mean difference of items.
        stderr: Its standard error.
        low: Lower end of the interval.
        high: Upper end.
        p_value: Two-sided, of no difference.
        n: Items compared, over all domains.
        confidence: Of the interval.
    """

    difference: float
    stderr: float
    low: float
    high: float
    p_value: float
    n: int
    confidence: float = CONFIDENCE

    @property
    def better(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low > 0


def paired_difference(
    first: Mapping[str, Sequence[float]],
    second: Mapping[str, Sequence[float]],
    *,
    weights: Mapping[str, float] | None = None,
    method: Method = "clt",
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> PairedDifference:
    """Compares two models on the same items.

    ``clt`` takes a Student interval with Welch's and Satterthwaite's degrees of freedom; it is
    the default because it needs no random numbers and holds its coverage from about 30 items a
    domain on. ``bootstrap`` draws the items of each domain again, 10,000 times, and takes
    percentiles; it is the check where items are few or differences very skewed.

    Args:
        first: Domain to ``(n_items,)`` values of the first model.
        second: The same for the second, in the same order of items.
        weights: Domain to its weight, equal when None; normalised to sum 1.
        method: How the interval is made.
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
    difference = math.fsum(shares[d] * float(differences[d].mean()) for d in shares)
    variances = {d: shares[d] ** 2 * float(x.var(ddof=1)) / len(x) for d, x in differences.items()}
    stderr = math.sqrt(math.fsum(variances.values()))
    n = sum(len(x) for x in differences.values())
    if stderr == 0.0:
        # All items differ by the same amount: there is nothing to be uncertain about.
        p_value = 1.0 if difference == 0.0 else 0.0
        return PairedDifference(difference, 0.0, difference, difference, p_value, n, confidence)
    if method == "bootstrap":
        means = _bootstrap([differences[d] for d in shares], list(shares.values()), seed)
        low, high = (float(q) for q in np.quantile(means, _tails(confidence)))
        beyond = np.count_nonzero(np.abs(means - difference) >= abs(difference) - 1e-12)
        p_value = (float(beyond) + 1.0) / (len(means) + 1.0)
    else:
        from scipy import stats

        freedom = stderr**4 / math.fsum(
            v**2 / (len(differences[d]) - 1) for d, v in variances.items() if v > 0
        )
        reach = float(stats.t.ppf(_tails(confidence)[1], freedom)) * stderr
        low, high = difference - reach, difference + reach
        p_value = 2.0 * float(stats.t.sf(abs(difference) / stderr, freedom))
    return PairedDifference(difference, stderr, low, high, p_value, n, confidence)


def compare(
    first: Scores,
    second: Scores,
    *,
    weights: Mapping[str, float] | None = None,
    method: Method = "clt",
) -> PairedDifference:
    """Compares two models by their scores' per-item values.

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
    kept = None if weights is None else {d: w for d, w in weights.items() if d in first.items}
    return paired_difference(
        _values(first.items), _values(second.items), weights=kept, method=method
    )


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


def _values(items: Mapping[str, TaskItems]) -> dict[str, Sequence[float]]:
    return {domain: entry.values for domain, entry in items.items()}


def _tails(confidence: float) -> tuple[float, float]:
    return (1 - confidence) / 2, (1 + confidence) / 2


def _bootstrap(
    differences: Sequence[npt.NDArray[np.float64]], shares: Sequence[float], seed: int
) -> npt.NDArray[np.float64]:
    """``(n_replicates,)`` weighted means, items drawn with replacement inside each domain."""
    import numpy as np

    random = np.random.default_rng(seed)
    means = np.zeros(_REPLICATES)
    for values, share in zip(differences, shares, strict=True):
        for start in range(0, _REPLICATES, _REPLICATES_AT_ONCE):  # bounds the memory
            drawn = random.integers(0, len(values), (_REPLICATES_AT_ONCE, len(values)))
            means[start : start + _REPLICATES_AT_ONCE] += share * values[drawn].mean(axis=1)
    return means
