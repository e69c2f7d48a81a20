"""Which values of mergekit's parameters make sense.

mergekit 0.1.5 takes any number: a TIES density of -0.5 gives the plain base, weights that sum to
zero give tensors of NaN, an epsilon beyond DELLA's density fails in the middle of a merge. The
bounds here are read from its kernels (``mergekit/merge_methods`` and ``mergekit/sparsify.py``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evomerge_compiler.compiler.mergekit_grammar import Method, Parameter

ZERO_SUM = 1e-6
RANDOM_DROP = frozenset({"dare_linear", "dare_ties", "della", "della_linear"})
DELLA = frozenset({"della", "della_linear"})
BREADCRUMBS = frozenset({"breadcrumbs", "breadcrumbs_ties"})
# Which differences count is decided element by element, by the sign of what they sum to.
CONSENSUS = frozenset({"ties", "dare_ties", "breadcrumbs_ties", "della"})
DIFFERENCES = (
    RANDOM_DROP | BREADCRUMBS | {"task_arithmetic", "ties"}
)  # one implementation: generalized_task_arithmetic.py


@dataclass(frozen=True)
class Domain:
    """An interval.

    Attributes:
        low, high: Its ends.
        low_in, high_in: Whether the ends belong to it.
        why: What happens outside.
    """

    low: float = -math.inf
    high: float = math.inf
    low_in: bool = True
    high_in: bool = True
    why: str = ""

    def holds(self, value: float) -> bool:
        """Whether a value is inside."""
        above = value >= self.low if self.low_in else value > self.low
        below = value <= self.high if self.high_in else value < self.high
        return above and below

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'at least' if self.low_in else 'above'} {self.low:g}"
        left = f"from {self.low:g}" if self.low_in else f"above {self.low:g}"
        joint = "to" if self.low_in else "and up to"
        return (
            f"{left} {joint} {self.high:g}" if self.high_in else f"{left} and below {self.high:g}"
        )


_DROPPED = "at 0 nothing of the model is left"
DOMAINS: Mapping[tuple[str, str], Domain] = {
    ("slerp", "t"): Domain(0.0, 1.0, why="it is a place between the two models"),
    ("nearswap", "t"): Domain(0.0, why="it is a distance"),
    ("multislerp", "eps"): Domain(0.0, low_in=False, why="it keeps norms from being divided by 0"),
    ("karcher", "max_iter"): Domain(1.0, why="it is a number of steps"),
    ("karcher", "tol"): Domain(
        0.0, 1.0, low_in=False, high_in=False, why="tensors of a smaller norm are left out"
    ),
    ("ram", "epsilon"): Domain(0.0, why="it is a size"),
    ("ramplus_tl", "epsilon"): Domain(
        0.0, low_in=False, why="it keeps a count from being divided by 0"
    ),
    ("ramplus_tl", "r"): Domain(0.0, why="below 0 it weakens what it is to amplify"),
    ("ramplus_tl", "alpha"): Domain(0.0, why="it bounds an overlap, which is never below 0"),
    ("sce", "select_topk"): Domain(0.0, 1.0, low_in=False, why="it is a share; " + _DROPPED),
    ("ties", "density"): Domain(0.0, 1.0, low_in=False, why="it is a share; " + _DROPPED),
    **{
        (name, "density"): Domain(0.0, 1.0, low_in=False, why="it is a share; " + _DROPPED)
        for name in BREADCRUMBS
    },
    **{
        (name, "density"): Domain(
            0.0,
            1.0,
            low_in=False,
            high_in=False,
            why="at 1 mergekit draws no random numbers for it, "
            "which changes the masks of all other models",
        )
        for name in RANDOM_DROP
    },
    **{
        (name, "gamma"): Domain(0.0, 1.0, high_in=False, why="it is a share")
        for name in BREADCRUMBS
    },
    **{(name, "epsilon"): Domain(0.0, 0.5, high_in=False, why="it is a chance") for name in DELLA},
}


def value_problem(method: Method, parameter: Parameter, value: object) -> tuple[str, str] | None:
    """Why one scalar is no value of a parameter and what to do, None if it is one."""
    name = parameter.name
    if value is None:
        # mergekit has parameters that default to null and takes null from no file.
        return f"{name} has no value", "write one, or leave the parameter out"
    if parameter.type in ("bool", "str"):
        what, kind = ("true or false", bool) if parameter.type == "bool" else ("a word", str)
        right = isinstance(value, kind)
        return None if right else (f"{name} is {what}, got {_yaml(value)}", f"write {what}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"{name} is a number, got {_yaml(value)}", "write a number, without quotes"
    if parameter.type == "int" and not isinstance(value, int):
        return f"{name} is a whole number, got {value!r}", "write it without a fraction"
    if not math.isfinite(value):
        return f"{name} is a finite number, got {value!r}", "write a plain number"
    domain = DOMAINS.get((method.name, name))
    if domain is None or domain.holds(value):
        return None
    message = f"{name} of {method.name} is {domain}, got {value:g}: {domain.why}"
    return message, f"choose a {name} {domain}"


def _yaml(value: object) -> str:
    """A value as it would stand in YAML, words in quotes."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


@dataclass(frozen=True)
class Inputs:
    """The parameters of one tensor, resolved.

    Attributes:
        shared: Parameter to value.
        each: For each input that has parameters of its own, parameter to value.
    """

    shared: Mapping[str, object]
    each: Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class Conflict:
    """Values that are right each for itself and wrong together.

    Attributes:
        message: What is wrong.
        hint: What to do.
        parameters: Names of the parameters at fault.
        inputs: Indices into ``Inputs.each`` of the inputs at fault; empty for shared parameters.
    """

    message: str
    hint: str
    parameters: tuple[str, ...]
    inputs: tuple[int, ...] = ()


def conflicts(method: Method, inputs: Inputs) -> Iterator[Conflict]:
    """What is wrong with the values of one tensor taken together."""
    if any("weight" in values for values in inputs.each):
        yield from _weights(method, inputs)
    for index, values in enumerate(inputs.each):
        yield from _densities(method, values, index)
    flat, rows = inputs.shared.get("nuslerp_flatten"), inputs.shared.get("nuslerp_row_wise")
    if method.name == "nuslerp" and flat and rows:
        yield Conflict(
            "nuslerp_row_wise does nothing while nuslerp_flatten is true",
            "set nuslerp_flatten: false, or leave nuslerp_row_wise out",
            ("nuslerp_row_wise",),
        )


def _weights(method: Method, inputs: Inputs) -> Iterator[Conflict]:
    weights = [_float(values.get("weight")) for values in inputs.each]
    total, everyone = sum(weights), tuple(range(len(weights)))
    shown = " + ".join(f"{w:g}" for w in weights)
    normalised = bool(inputs.shared.get("normalize", inputs.shared.get("normalize_weights")))
    all_zero = not any(weights)
    what: str | None = None
    if method.name == "nuslerp" and abs(total) < ZERO_SUM:
        what = "mergekit then takes the middle in silence"
    elif method.name in ("linear", "multislerp") and all_zero:
        what = "nothing is left of any model"
    elif method.name in ("linear", "multislerp") and normalised and abs(total) < ZERO_SUM:
        what = "they are divided by their sum, which gives NaN"
    elif method.name in DIFFERENCES and normalised and abs(total) < ZERO_SUM and not all_zero:
        what = "mergekit then leaves them as they are in silence"
    if what:
        yield Conflict(
            f"the weights of {method.name} sum to 0 ({shown}): {what}",
            "give one of the models another weight",
            ("weight",),
            everyone,
        )
        return
    turned = _turned_signs(method.name, weights, total, normalised)
    if turned:
        hint = "keep the weights at 0 or above"
        if method.name not in ("nuslerp", "multislerp"):
            hint = f"set normalize: false, or {hint}"
        message = f"a weight of {method.name} is negative ({shown}): {turned}"
        below = tuple(index for index in everyone if weights[index] < 0)
        yield Conflict(message, hint, ("weight",), below)


def _turned_signs(
    method: str, weights: Sequence[float], total: float, normalised: bool
) -> str | None:
    """What mergekit makes of negative weights where it does not make what they say."""
    if not any(weight < 0 for weight in weights):
        return None
    if method == "nuslerp":
        return "the place between the two models is then outside of them"
    if method == "multislerp" and total < 0:
        return "direction and length both turn, so that the sign is lost"
    if method in CONSENSUS and normalised:
        return (
            "each number is divided by the sum of the weights that agree on it, so that a "
            "negative weight is undone where it stands alone"
        )
    if normalised and total < 0 and (method == "linear" or method in DIFFERENCES):
        return "all are divided by their sum, which is negative too and turns every sign"
    return None


def _densities(method: Method, values: Mapping[str, object], index: int) -> Iterator[Conflict]:
    density = _float(values.get("density"))
    if method.name in DELLA:
        epsilon = _float(values.get("epsilon"))
        # Decimal slack: 0.1 + 0.9 and 0.2 - 0.1 are meant exactly.
        if density - epsilon <= 1e-9 or density + epsilon >= 1 - 1e-9:
            yield Conflict(
                f"density {density:g} ± epsilon {epsilon:g} of {method.name} must stay between "
                "0 and 1: they are chances",
                f"take epsilon below {max(0.0, min(density, 1 - density)):g}",
                ("density", "epsilon"),
                (index,),
            )
    if method.name in BREADCRUMBS:
        gamma = _float(values.get("gamma"))
        if density + gamma > 1 + 1e-9:
            yield Conflict(
                f"density {density:g} and gamma {gamma:g} of {method.name} are together above 1: "
                "mergekit then drops fewer outliers than gamma says",
                f"take density at most {1 - gamma:g}, or gamma at most {max(0.0, 1 - density):g}",
                ("density", "gamma"),
                (index,),
            )


def _float(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
