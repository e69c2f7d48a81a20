"""What earlier answers say of items: the two-parameter logistic model, and p-IRT estimates by it.

A model of ability t has item i right with chance ``1 / (1 + exp(-(a_i t - b_i)))``, where ``a_i``
says how much the item tells good models from bad ones and ``b_i`` how hard it is. Items are
calibrated on the answers of models that were asked all of them; another model's ability follows
from the few items that it was asked, and its score on the others from its ability.

Sources: A. Birnbaum, in Lord and Novick, *Statistical Theories of Mental Test Scores* (1968),
chapter 17, for the model; R. Mislevy, *Bayes modal estimation in item response models*,
Psychometrika 51 (1986), for the priors, without which a handful of models calibrates nothing;
F. Maia Polo et al., *tinyBenchmarks* (ICML 2024), section 3, for p-IRT; L. Papke and
J. Wooldridge, J. Appl. Econometrics 11 (1996), for answers that are graded and not right or wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

# Priors: abilities are standard normal, slopes log-normal around 1, difficulties normal around
# that of the domain's mean score.
_SLOPE_SD, _DIFFICULTY_SD = 0.5, 2.0
# Of the ability of a model that is to be estimated.
_ABILITY_SD = 2.0
_MAX_STEPS = 500
_NEWTON_STEPS = 30
_MAX_ABILITY = 6.0


@dataclass(frozen=True)
class Calibration:
    """The items of one domain, as earlier models answered them.

    Attributes:
        slopes: ``(n_items,)`` a.
        difficulties: ``(n_items,)`` b.
        low, high: Least and largest value of an answer; the model is of their range.
        abilities: ``(n_models,)`` of the models that were asked.
    """

    slopes: tuple[float, ...]
    difficulties: tuple[float, ...]
    low: float
    high: float
    abilities: tuple[float, ...]

    def expected(self, ability: float) -> Array:
        """``(n_items,)`` values that a model of this ability has on average."""
        return self.low + (self.high - self.low) * self._chances(ability)

    def ability(self, items: Sequence[int], values: Sequence[float]) -> float:
        """The most probable ability of a model that was asked some items.

        Args:
            items: Which ones.
            values: What it got for each.
        """
        import numpy as np

        at = list(items)
        a = np.array(self.slopes)[at]
        b = np.array(self.difficulties)[at]
        y = _scaled(np.array(values, dtype=np.float64), self.low, self.high)
        # Wide: a candidate may be far from the models before it, and a narrow prior would pull
        # its estimate to theirs.
        centre, precision = float(np.mean(self.abilities)), 1 / _ABILITY_SD**2
        found = centre
        for _ in range(_NEWTON_STEPS):  # the posterior is log-concave
            p = _logistic(a * found - b)
            slope = float((a * (y - p)).sum()) - precision * (found - centre)
            step = slope / (float((a * a * p * (1 - p)).sum()) + precision)
            found = min(max(found + min(max(step, -1.0), 1.0), -_MAX_ABILITY), _MAX_ABILITY)
            if abs(step) < 1e-9:
                break
        return found

    def contested(self) -> Array:
        """``(n_items,)`` variance of an answer over models as able as those before.

        Two models differ most often on the items where it is large, whether their abilities
        decide that or chance.
        """
        import numpy as np

        mean = np.mean([self._chances(ability) for ability in self.abilities], axis=0)
        variance: Array = mean * (1 - mean)
        return variance

    def _chances(self, ability: float) -> Array:
        import numpy as np

        return _logistic(np.array(self.slopes) * ability - np.array(self.difficulties))


def calibrate(answers: Sequence[Sequence[float]]) -> Calibration:
    """Fits the items of a domain.

    Args:
        answers: ``(n_models, n_items)`` per-item values of models that were asked all.

    Returns:
        The mode of the posterior of slopes, difficulties and abilities, jointly.
    """
    import numpy as np
    from scipy import optimize

    table = np.array(answers, dtype=np.float64)
    low, high = float(min(table.min(), 0.0)), float(max(table.max(), 1.0))
    y = _scaled(table, low, high)
    n_items = y.shape[1]
    mean = min(max(float(y.mean()), 0.02), 0.98)
    centre = -math.log(mean / (1 - mean))

    def loss(flat: Array) -> tuple[float, Array]:
        log_a, b, t = flat[:n_items], flat[n_items : 2 * n_items], flat[2 * n_items :]
        a = np.exp(log_a)
        z = a * t[:, None] - b
        value = float((np.logaddexp(0.0, z) - y * z).sum())
        value += float((log_a**2).sum()) / (2 * _SLOPE_SD**2) + float((t**2).sum()) / 2
        value += float(((b - centre) ** 2).sum()) / (2 * _DIFFICULTY_SD**2)
        r = _logistic(z) - y
        gradient = np.concatenate(
            [
                (r * t[:, None]).sum(axis=0) * a + log_a / _SLOPE_SD**2,
                -r.sum(axis=0) + (b - centre) / _DIFFICULTY_SD**2,
                (r * a).sum(axis=1) + t,
            ]
        )
        return value, gradient

    spread = y.mean(axis=1) - y.mean()
    start = np.concatenate(
        [np.zeros(n_items), np.full(n_items, centre), spread / (float(spread.std()) or 1.0)]
    )
    options = {"maxiter": _MAX_STEPS}
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    return Calibration(
        slopes=tuple(np.exp(found[:n_items]).tolist()),
        difficulties=tuple(found[n_items : 2 * n_items].tolist()),
        low=low,
        high=high,
        abilities=tuple(found[2 * n_items :].tolist()),
    )


def _scaled(values: Array, low: float, high: float) -> Array:
    """Values as shares of their range; what lies outside counts as its end."""
    import numpy as np

    return np.clip((values - low) / (high - low), 0.0, 1.0)


def _logistic(z: Array) -> Array:
    import numpy as np

    chances: Array = 0.5 * (1.0 + np.tanh(0.5 * z))  # no overflow on either side
    return chances
