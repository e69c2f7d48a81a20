"""The ask/tell protocol, the registry, and what strategies share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from evomerge_compiler.candidate import Outcome, Proposal
from evomerge_compiler.genome import Gene, Genome, GenomeSpace
from evomerge_compiler.yamlio import Scalar


class Parameters(BaseModel):
    """A strategy's own parameters, as written under ``search.parameters``."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Strategy(Protocol):
    """An ask/tell search.

    The order of calls is ``ask(0), tell(0), ask(1), tell(1), ...``. ``tell`` gets the outcomes in
    slot order, whatever order they finished in, with the genomes that were really scored: a
    person may have edited one. A failed outcome has no fitness and must never be given one.
    """

    def __init__(
        self, space: GenomeSpace, population: int, seed: int, parameters: Any
    ) -> None: ...

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
    """A strategy class: how to make one, and its parameters' schema."""

    summary: str
    parameters: type[Parameters]

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


# --------------------------------------------------------------------------------------
# Shared operators


def rng(seed: int, generation: int, slot: int) -> np.random.Generator:
    """The generator of one slot: draws never depend on what other slots drew."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, generation, slot))))


def sample_scalar(gene: Gene, random: np.random.Generator) -> Scalar:
    """A uniform draw from a gene's range; log-uniform for a log gene."""
    if gene.kind == "choice":
        return gene.choices[int(random.integers(len(gene.choices)))]
    if gene.kind == "int" and not gene.log:
        return int(random.integers(int(gene.low), int(gene.high) + 1))
    if gene.log:
        return float(np.exp(random.uniform(np.log(gene.low), np.log(gene.high))))
    return float(random.uniform(gene.low, gene.high))


def sample_genome(space: GenomeSpace, random: np.random.Generator) -> Genome:
    """A genome drawn uniformly from the space."""
    return space.from_flat([sample_scalar(c.gene, random) for c in space.coordinates])


def mutate_scalar(gene: Gene, value: Scalar, sigma: float, random: np.random.Generator) -> Scalar:
    """A neighbour of one value.

    Numbers move by a normal step of ``sigma`` times the range (in log space for a log gene) and
    are reflected at the bounds, so that no mass piles up there; a choice becomes another choice.
    """
    if gene.kind == "choice":
        others = [choice for choice in gene.choices if choice != value]
        return others[int(random.integers(len(others)))] if others else value
    low, high, at = gene.low, gene.high, float(value)  # type: ignore[arg-type]
    if gene.log:
        low, high, at = float(np.log(low)), float(np.log(high)), float(np.log(at))
    step = float(random.normal()) * sigma * (high - low)
    if gene.kind == "int" and not gene.log:
        # A step that rounds to nothing would be no mutation at all.
        step = float(np.sign(step) or 1.0) * max(1.0, abs(step))
    moved = reflect(at + step, low, high)
    return float(np.exp(moved)) if gene.log else moved


def reflect(value: float, low: float, high: float) -> float:
    """``value`` folded back into ``[low, high]`` at both ends."""
    width = high - low
    offset = (value - low) % (2 * width)
    return low + (offset if offset <= width else 2 * width - offset)


def choice_combinations(space: GenomeSpace) -> list[Genome]:
    """One genome for each combination of the single-valued choice genes, others at init.

    In the order of the genes, the last one varying fastest. With no such gene this is the
    initial genome alone.
    """
    start = list(space.complete(space.initial()))
    at = [
        index
        for index, coordinate in enumerate(space.coordinates)
        if coordinate.gene.kind == "choice" and len(coordinate.path) == 1
    ]
    out: dict[str, Genome] = {}
    for combination in itertools.product(*(space.coordinates[i].gene.choices for i in at)):
        flat = list(start)
        for index, value in zip(at, combination, strict=True):
            flat[index] = value
        genome = space.from_flat(flat)
        # Combinations that differ only in an inactive choice are one genome.
        out.setdefault(repr(genome.plain()), genome)
    return list(out.values())


def ranked(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Outcomes from best to worst; ties and failures by slot, failures last."""
    return sorted(
        outcomes,
        key=lambda o: (o.fitness is None, -(o.fitness.value if o.fitness else 0.0), o.id.slot),
    )
