"""McNemar's test, exact and over several domains at once.

Source: Q. McNemar, *Note on the sampling error of the difference between correlated proportions
or percentages*, Psychometrika 12 (1947); exact by the binomial distribution in place of its
chi-squared limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import fft, special

Array = npt.NDArray[np.float64]
# Steps from 0 to the largest difference on which exact probabilities are added up.
_STEPS = 20_000


def exact_p(differences: Sequence[Array], shares: Sequence[float]) -> float:
    """McNemar's exact test over strata, two-sided.

    Given how many items of each domain only one of the models has right, each falls to either
    model with chance 1/2 where there is no difference. The distribution of the weighted sum is
    that of the domains' binomial ones, convolved on a fine grid. A sum counts as extreme when it
    is within the grid's error of the observed one, so that p is never too small.

    Args:
        differences: For each domain, ``(n,)`` differences of -1, 0 or 1, an item each.
        shares: For each domain, its share of the whole.
    """
    worths = [share / len(x) for x, share in zip(differences, shares, strict=True)]
    counts = [int(np.count_nonzero(x)) for x in differences]
    observed = math.fsum(float(x.sum()) * w for x, w in zip(differences, worths, strict=True))
    if observed == 0.0:
        return 1.0
    step = math.fsum(n * w for n, w in zip(counts, worths, strict=True)) / _STEPS
    own: list[Array] = []
    error = 0.5
    for n, worth in zip(counts, worths, strict=True):
        if n == 0 or worth == 0:
            continue
        sums = np.rint(worth * (2 * np.arange(n + 1) - n) / step).astype(int)
        own.append(np.zeros(2 * int(sums[-1]) + 1))
        np.add.at(own[-1], sums + sums[-1], _fair(n))
        error += 0.5
    chances = _convolved(own)
    places = np.arange(len(chances)) - len(chances) // 2
    extreme = np.abs(places) >= abs(observed) / step - error
    # The convolution leaves an error of either sign where a chance is next to nothing.
    return min(1.0, max(0.0, float(chances[extreme].sum())))


def _fair(n: int) -> Array:
    """``(n + 1,)`` chances of each number of heads in ``n`` throws of a fair coin."""
    heads = np.arange(n + 1)
    ways = special.gammaln(n + 1) - special.gammaln(heads + 1) - special.gammaln(n - heads + 1)
    chances: Array = np.exp(ways - n * np.log(2.0))
    return chances


def _convolved(parts: Sequence[Array]) -> Array:
    """The convolution of all, as the product of their Fourier transforms."""
    length = sum(len(part) - 1 for part in parts) + 1
    padded = fft.next_fast_len(length, real=True)
    product = np.prod([fft.rfft(part, padded) for part in parts], axis=0)
    chances: Array = fft.irfft(product, padded)[:length]
    return chances
