"""The ask/tell protocol, the registry, and the rules of both that hold for every strategy."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from evomerge_compiler.candidate import Outcome, Proposal
from evomerge_compiler.genome import GenomeSpace


class Parameters(BaseModel):
    """A strategy's own parameters, as written under ``search.parameters``."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Strategy(Protocol):
    """An ask/tell search.

    The order of calls is ``ask(0), tell(0), ask(1), tell(1), ...``. ``tell`` gets the outcomes in
    slot order, whatever order they finished in, with the genomes that were really scored: a
    person may have edited one. A failed outcome has no fitness and must never be given one. One
    that breaks a constraint has a fitness and ranks below all that break none: see :func:`merit`.
    """

    def ask(self, generation: int) -> list[Proposal]:
        """The proposals of one generation; its length is the generation's size."""

    def tell(self, generation: int, outcomes: Sequence[Outcome]) -> None:
        """What became of them, in slot order.

        Raises:
            RuntimeError: ``ask`` was not called for this generation.
        """

    def state(self) -> Mapping[str, object]:
        """What the next generation is sampled from, as plain data for ``search.yaml``."""


class StrategyType(Protocol):
    """A strategy class: how to make one, and what it takes.

    Attributes:
        summary: One line for people.
        parameters: The schema of ``search.parameters``.
        min_objectives: How many objectives it needs.
        max_objectives: How many it can use; None for any number.
    """

    summary: str
    parameters: type[Parameters]
    min_objectives: int
    max_objectives: int | None

    def __call__(
        self, space: GenomeSpace, population: int, seed: int, parameters: Any
    ) -> Strategy: ...


_REGISTRY: dict[str, StrategyType] = {}


def strategy(name: str) -> Callable[[Any], Any]:
    """Registers a strategy class under the name that recipes use."""

    def register(cls: Any) -> Any:
        if name in _REGISTRY:
            raise ValueError(f"strategy {name!r} is registered twice")
        _REGISTRY[name] = cls
        return cls

    return register


def registry() -> Mapping[str, StrategyType]:
    """Registered strategies by name."""
    return _REGISTRY


class Search(ABC):
    """What all strategies share: the order of calls, and what may be told.

    A strategy writes :meth:`propose`, :meth:`learn` and :meth:`state`.

    Args:
        space: The genomes to search.
        population: Proposals a generation.
        seed: The recipe's seed.
        parameters: The strategy's own.
    """

    summary: ClassVar[str]
    parameters: ClassVar[type[Parameters]]
    min_objectives: ClassVar[int] = 1
    max_objectives: ClassVar[int | None] = 1

    def __init__(self, space: GenomeSpace, population: int, seed: int, parameters: Any) -> None:
        self.space, self.population, self.seed = space, population, seed
        self.p = parameters
        self._generation = -1
        self._asked: list[Proposal] | None = None

    @abstractmethod
    def propose(self, generation: int) -> list[Proposal]:
        """The proposals of the next generation; called once for each."""

    @abstractmethod
    def learn(self, generation: int, outcomes: Sequence[Outcome]) -> None:
        """Takes in what became of them, in slot order; numbers are finite."""

    @abstractmethod
    def state(self) -> Mapping[str, object]:
        """What the next generation is sampled from, as plain data for ``search.yaml``."""

    def ask(self, generation: int) -> list[Proposal]:
        """The proposals of one generation; the same ones when asked again before ``tell``.

        Raises:
            RuntimeError: It is not this generation's turn.
        """
        if self._asked is not None and generation == self._generation:
            return list(self._asked)
        if self._asked is not None or generation != self._generation + 1:
            raise RuntimeError(f"ask({generation}) after {self._last_call()}")
        self._asked = self.propose(generation)
        self._generation = generation
        return list(self._asked)

    def tell(self, generation: int, outcomes: Sequence[Outcome]) -> None:
        """What became of the generation, in slot order.

        Generation 0 may have more outcomes than proposals: seeds that a person wrote.

        Raises:
            RuntimeError: ``ask`` was not called for this generation.
            ValueError: There are too few or too many outcomes, their numbers of objectives
                differ, or an objective is not finite.
        """
        if self._asked is None or generation != self._generation:
            raise RuntimeError(f"tell({generation}) after {self._last_call()}")
        check_told(generation, len(self._asked), outcomes)
        self.learn(generation, outcomes)
        self._asked = None

    def _last_call(self) -> str:
        if self._generation < 0:
            return "nothing"
        return f"{'tell' if self._asked is None else 'ask'}({self._generation})"


def check_told(generation: int, n_asked: int, outcomes: Sequence[Outcome]) -> None:
    """Refuses outcomes that no strategy can learn from.

    Raises:
        ValueError: As of :meth:`Search.tell`.
    """
    few = len(outcomes) < n_asked
    if few or (generation > 0 and len(outcomes) > n_asked):
        raise ValueError(f"expected {n_asked} outcomes, got {len(outcomes)}")
    fitness = [o.fitness.objectives for o in outcomes if o.fitness is not None]
    if len({len(objectives) for objectives in fitness}) > 1:
        raise ValueError("expected as many objectives for each outcome")
    if not all(math.isfinite(value) for objectives in fitness for value in objectives):
        raise ValueError("expected finite objectives; what has no score is a failure")
    if not all(0 <= o.fitness.violation < math.inf for o in outcomes if o.fitness):
        raise ValueError("expected violations of 0 or more")


Merit = tuple[int, float, float]
NO_MERIT: Merit = (2, 0.0, 0.0)


def merit(outcome: Outcome) -> Merit:
    """What outcomes are sorted by; the least is the best.

    Feasible ones come first, by value; then infeasible ones, by violation; then failures, whose
    merit is :data:`NO_MERIT`. Source: the rules of Deb, An efficient constraint handling method
    for genetic algorithms, Comput. Methods Appl. Mech. Eng. 186, 2000, section 3.
    """
    fitness = outcome.fitness
    if fitness is None:
        return NO_MERIT
    return int(not fitness.feasible), fitness.violation, -fitness.value


def ranked(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Outcomes from best to worst by :func:`merit`; ties by slot."""
    return sorted(outcomes, key=lambda outcome: (merit(outcome), outcome.id.slot))


def scored_of(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes that have a fitness, feasible or not, in their order."""
    return [outcome for outcome in outcomes if outcome.scored]


def feasible_of(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes that have a fitness and keep to the constraints, in their order."""
    return [o for o in outcomes if o.fitness is not None and o.fitness.feasible]
