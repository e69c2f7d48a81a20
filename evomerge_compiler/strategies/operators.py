"""What strategies do to genomes: draw, mutate, cross; and how they propose them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from evomerge_compiler.candidate import (
    CandidateId,
    Lineage,
    Origin,
    Outcome,
    Proposal,
    genome_hash,
)
from evomerge_compiler.crossing import Crossing
from evomerge_compiler.gene import Gene, initial_value
from evomerge_compiler.gene_units import from_unit, to_unit
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.yamlio import Scalar

# How far blend crossover reaches beyond the parents, as a share of their distance.
BLEND_REACH = 0.5
# Attempts to find a genome that is not there yet; a small space has no other.
TRIES = 20


def rng(seed: int, generation: int, slot: int) -> np.random.Generator:
    """The generator of one slot: draws never depend on what other slots drew."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, generation, slot))))


def propose(
    genome: Genome, origin: Origin, operator: str, parents: Sequence[CandidateId] = ()
) -> Proposal:
    """A proposal with its lineage; a parent that was taken twice is named once."""
    named = tuple(dict.fromkeys(parents))
    return Proposal(genome, Lineage(origin, operator, named, genome_hash(genome)))


# -- drawing -------------------------------------------------------------------------------


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


def first_generation(
    space: GenomeSpace, population: int, seed: int, generation: int, strategy: str
) -> list[Proposal]:
    """Uniform draws; the recipe's initial genome leads those of generation 0.

    Later generations have no other reason to come here than that nothing was scored before.
    """
    out = []
    for slot in range(population):
        if generation == slot == 0:
            out.append(propose(space.initial(), "initial", f"{strategy}.initial"))
            continue
        genome = sample_genome(space, rng(seed, generation, slot))
        out.append(propose(genome, "sampled", f"{strategy}.sample"))
    return out


def choice_combinations(space: GenomeSpace) -> list[Genome]:
    """One genome for each combination of the single-valued choice genes, others at init.

    In the order of the genes, the last one varying fastest. With no such gene this is the
    initial genome alone.
    """
    start = list(space.initial_values)
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


# -- mutation ------------------------------------------------------------------------------


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


def mutate(
    space: GenomeSpace,
    genome: Genome,
    rate: float,
    sigma: float,
    random: np.random.Generator,
    *,
    surely: bool = True,
) -> Genome:
    """Changes each active coordinate with probability ``rate``.

    A crossing of models keeps its models, and its own genes change.

    Args:
        space: The space of the experiment.
        genome: The parent.
        rate: Probability a coordinate.
        sigma: Step as a share of the range.
        random: The slot's generator.
        surely: Change one coordinate where chance would change none.
    """
    if isinstance(genome, Crossing):
        values = Genome(genome.values)
        return genome.moved(mutate(genome.space, values, rate, sigma, random, surely=surely))
    flat = list(space.complete(genome))
    active = space.active_coordinates(genome)
    if not active:
        return genome
    chosen = [i for i in active if random.random() < rate]
    if not chosen and surely:
        chosen = [active[int(random.integers(len(active)))]]
    for index in chosen:
        gene = space.coordinates[index].gene
        flat[index] = mutate_scalar(gene, flat[index], sigma, random)
    return space.from_flat(flat)


def unlike(
    genome: Genome,
    known: set[Genome],
    space: GenomeSpace,
    sigma: float,
    random: np.random.Generator,
) -> Genome:
    """The genome, or a mutant of it while it is one of ``known``: no score is paid for twice."""
    for _ in range(TRIES):
        if genome not in known:
            break
        genome = mutate(space, genome, 0.0, sigma, random)
    return genome


def different(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Outcomes of different merges, the first of equal ones: two of the same cross to nothing."""
    found: dict[object, Outcome] = {}
    for outcome in outcomes:
        key = outcome.scores.eval_key if outcome.scores else outcome.genome
        found.setdefault(key, outcome)
    return list(found.values())


# -- crossover of two ----------------------------------------------------------------------

Flat = Sequence[Scalar]


def both_complete(space: GenomeSpace, one: Genome, two: Genome) -> tuple[Flat, Flat]:
    """Both as flat values; where one has no value it takes the other's, so it has no say."""
    first: list[Scalar] = []
    second: list[Scalar] = []
    both = zip(space.coordinates, space.flatten(one), space.flatten(two), strict=True)
    for coordinate, a, b in both:
        spare = initial_value(coordinate) if a is None and b is None else None
        first.append(a if a is not None else b if b is not None else spare)
        second.append(b if b is not None else a if a is not None else spare)
    return first, second


def _uniform(genes: Sequence[Gene], a: Flat, b: Flat, random: np.random.Generator) -> list[Scalar]:
    return [x if random.random() < 0.5 else y for x, y in zip(a, b, strict=True)]


def _one_point(
    genes: Sequence[Gene], a: Flat, b: Flat, random: np.random.Generator
) -> list[Scalar]:
    cut = int(random.integers(1, len(a))) if len(a) > 1 else 0
    return [*a[:cut], *b[cut:]]


def _arithmetic(
    genes: Sequence[Gene], a: Flat, b: Flat, random: np.random.Generator
) -> list[Scalar]:
    share = random.random()
    return _mixed(genes, a, b, random, lambda: share)


def _blend(genes: Sequence[Gene], a: Flat, b: Flat, random: np.random.Generator) -> list[Scalar]:
    return _mixed(
        genes, a, b, random, lambda: float(random.uniform(-BLEND_REACH, 1 + BLEND_REACH))
    )


def _mixed(
    genes: Sequence[Gene],
    a: Flat,
    b: Flat,
    random: np.random.Generator,
    share: Callable[[], float],
) -> list[Scalar]:
    """Numbers on the line through both parents, choices from either."""
    out: list[Scalar] = []
    for gene, x, y in zip(genes, a, b, strict=True):
        if gene.kind == "choice":
            out.append(x if random.random() < 0.5 else y)
            continue
        start, end = to_unit(gene, x), to_unit(gene, y)
        out.append(from_unit(gene, reflect(start + share() * (end - start), 0.0, 1.0)))
    return out


# Name to crossover. ``blend`` is BLX-alpha (Eshelman and Schaffer, Real-coded genetic algorithms
# and interval-schemata, FOGA 2, 1993) with alpha = 0.5.
CROSSOVERS = {
    "uniform": _uniform,
    "one_point": _one_point,
    "arithmetic": _arithmetic,
    "blend": _blend,
}


def cross(
    space: GenomeSpace, one: Genome, two: Genome, kind: str, random: np.random.Generator
) -> Genome:
    """A child of two genomes.

    Args:
        space: The space of the genomes.
        one: The first parent.
        two: The second parent.
        kind: A name of :data:`CROSSOVERS`: ``uniform`` takes each coordinate from either,
            ``one_point`` the coordinates before a cut from one and those behind it from the
            other, ``arithmetic`` a point between them, ``blend`` for each number a point
            between them or up to half their distance beyond.
        random: The slot's generator.
    """
    a, b = both_complete(space, one, two)
    genes = [coordinate.gene for coordinate in space.coordinates]
    return space.from_flat(CROSSOVERS[kind](genes, a, b, random))
