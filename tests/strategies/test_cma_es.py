"""As good as cmaes driven directly, and what lies around it: batches, restarts, edits."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import cmaes
import numpy as np
import pytest
from strategy_kits import FAILED, World, make, mixed_space, real_space, scored, space_of

from evomerge_compiler.candidate import CandidateId, Outcome
from evomerge_compiler.errors import UsageError
from evomerge_compiler.executors.landscapes import GeneLandscape
from evomerge_compiler.gene import Gene
from evomerge_compiler.gene_units import to_unit
from evomerge_compiler.genome import GenomeSpace
from evomerge_compiler.strategies.cma_es import CmaEs
from evomerge_compiler.strategies.distributions import Layout, MixedDistribution

TARGET = 1e-8
# Genes are written with 4 decimals. Over a range this wide that is 1e-11 of it, so that the
# target can be hit.
SCALE = 1e6


def sphere(x: np.ndarray) -> float:
    return float(np.sum((x - 1.3) ** 2))


def rosenbrock(x: np.ndarray) -> float:
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def wide_space(n: int) -> GenomeSpace:
    return space_of(*(Gene(f"x{i}", "float", -5 * SCALE, 5 * SCALE, init=0.0) for i in range(n)))


def evaluations_of_strategy(function: Callable[[np.ndarray], float], n: int, seed: int) -> int:
    space = wide_space(n)
    strategy = make("cma_es", space, 4 + int(3 * math.log(n)), seed)
    count = 0
    for generation in range(2000):
        told = []
        for slot, proposal in enumerate(strategy.ask(generation)):
            value = function(np.array(space.flatten(proposal.genome)) / SCALE)
            count += 1
            if value <= TARGET:
                return count
            told.append(scored(CandidateId(generation, slot), proposal.genome, -value))
        strategy.tell(generation, told)
    raise AssertionError("never hit")


def evaluations_of_cmaes(function: Callable[[np.ndarray], float], n: int, seed: int) -> int:
    size = 4 + int(3 * math.log(n))
    own = int(np.random.SeedSequence((seed, 0)).generate_state(1)[0])
    bounds = np.array([[0.0, 1.0]] * n)
    optimiser = cmaes.CMA(np.full(n, 0.5), 0.25, bounds=bounds, population_size=size, seed=own)
    for count in range(0, 2000 * size, size):
        told = []
        for index in range(size):
            x = optimiser.ask()
            value = function(10 * x - 5)
            if value <= TARGET:
                return count + index + 1
            told.append((x, value))
        optimiser.tell(told)
    raise AssertionError("never hit")


@pytest.mark.parametrize("function", [sphere, rosenbrock])
@pytest.mark.parametrize(("n", "n_seeds"), [(5, 3), (20, 1)])
def test_it_takes_no_more_evaluations_than_cmaes_itself(
    function: Callable[[np.ndarray], float], n: int, n_seeds: int
) -> None:
    ours = [evaluations_of_strategy(function, n, seed) for seed in range(n_seeds)]
    theirs = [evaluations_of_cmaes(function, n, seed) for seed in range(n_seeds)]
    assert statistics.median(ours) == pytest.approx(statistics.median(theirs), rel=0.15)


def test_four_genes_in_twenty_generations() -> None:
    """99 of 100 of a noisy hill, its best point hidden elsewhere each time."""
    space = space_of(*(Gene(f"x{i}", "float", init=0.5) for i in range(4)))
    reached = 0
    for seed in range(10):
        hill = GeneLandscape(("d",), seed, function="four_genes", noise=4.0)
        strategy, best = make("cma_es", space, 10, seed), 0.0
        for generation in range(20):
            told = []
            for slot, proposal in enumerate(strategy.ask(generation)):
                values = dict(zip("abcd", space.flatten(proposal.genome), strict=True))
                items = hill.score("d", "search", values).values
                told.append(
                    scored(CandidateId(generation, slot), proposal.genome, statistics.mean(items))
                )
                best = max(best, hill.truth("d", values))
            strategy.tell(generation, told)
        reached += best >= 99
    assert reached >= 9


def mixed_loss(space: GenomeSpace, flat: tuple[object, ...]) -> float:
    """0 where every number is at 0.7 of its range and every choice is its last."""
    loss = 0.0
    for coordinate, value in zip(space.coordinates, flat, strict=True):
        gene = coordinate.gene
        if value is None:
            continue
        if gene.kind == "choice":
            loss += 0.2 * (value != gene.choices[-1])
        else:
            loss += (to_unit(gene, value) - 0.7) ** 2  # type: ignore[arg-type]
    return loss


def test_mixed_genomes_are_solved() -> None:
    space = mixed_space()
    solved = 0
    for seed in range(5):
        strategy, best = make("cma_es", space, 12, seed), math.inf
        for generation in range(80):
            told = []
            for slot, proposal in enumerate(strategy.ask(generation)):
                loss = mixed_loss(space, space.flatten(proposal.genome))
                best = min(best, loss)
                told.append(scored(CandidateId(generation, slot), proposal.genome, -loss))
            strategy.tell(generation, told)
        solved += best < 0.01
    assert solved >= 4


def fitted(strategy: CmaEs, generations: int, first: int = 0) -> None:
    """Moves the search towards x = 0.5."""
    for generation in range(first, first + generations):
        told = [
            scored(CandidateId(generation, i), p.genome,
                   -sum((x - 0.5) ** 2 for x in strategy.space.flatten(p.genome)))  # type: ignore[operator]
            for i, p in enumerate(strategy.ask(generation))
        ]  # fmt: skip
        strategy.tell(generation, told)


def test_a_small_population_fills_a_batch_over_generations() -> None:
    strategy = make("cma_es", real_space(), population=1)
    start = strategy.state()
    fitted(strategy, 3)
    assert strategy.state() == {**start, "waiting": 3}
    fitted(strategy, 1, first=3)
    assert strategy.state()["waiting"] == 0 and strategy.state()["centre"] != start["centre"]


def test_what_failed_or_scored_the_same_teaches_nothing() -> None:
    strategy = make("cma_es", real_space())
    fitted(strategy, 3)
    before = strategy.state()
    failed = [
        Outcome(CandidateId(3, i), p.genome, None, FAILED) for i, p in enumerate(strategy.ask(3))
    ]
    strategy.tell(3, failed)
    same = [scored(CandidateId(4, i), p.genome, 0.5) for i, p in enumerate(strategy.ask(4))]
    strategy.tell(4, same)
    assert strategy.state() == before


def test_a_failure_counts_as_the_worst() -> None:
    """Whatever lies right of 0 fails: the centre moves left."""
    strategy = make("cma_es", real_space(1), 8)
    for generation in range(6):
        told = []
        for slot, proposal in enumerate(strategy.ask(generation)):
            (x,) = strategy.space.flatten(proposal.genome)
            id = CandidateId(generation, slot)
            if x > 0:
                told.append(Outcome(id, proposal.genome, None, FAILED))
            else:
                told.append(scored(id, proposal.genome, -abs(x + 0.1)))
        strategy.tell(generation, told)
    assert -0.3 < strategy.state()["centre"]["x0"] < 0.0


def test_a_search_that_stalls_starts_again_with_longer_batches() -> None:
    strategy = make("cma_es", real_space(1), 6, patience=5)
    fitted(strategy, 60)
    state = strategy.state()
    assert state["restarts"] >= 1
    assert state["batch"] == 6 * 2 ** state["restarts"]


def test_a_batch_of_one_genome_is_a_stall() -> None:
    """Steps have become finer than the 11 values that the gene can be written as."""
    narrow = space_of(Gene("x", "float", 0.4995, 0.5005, init=0.4996))
    strategy = make("cma_es", narrow, patience=1000)
    fitted(strategy, 60)
    assert strategy.state()["restarts"] >= 1


def test_patience_0_goes_on_where_it_is() -> None:
    strategy = make("cma_es", real_space(2), patience=0)
    for generation in range(60):
        told = [
            scored(CandidateId(generation, i), p.genome, 0.5)
            for i, p in enumerate(strategy.ask(generation))
        ]
        strategy.tell(generation, told)
    assert strategy.state()["restarts"] == 0


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_an_edit_far_away_does_not_throw_the_step(covariance: str) -> None:
    space = real_space(4)
    strategy = make("cma_es", space, covariance=covariance)
    fitted(strategy, 30)
    before = strategy.state()["sigma"]
    proposals = strategy.ask(30)
    told = [scored(CandidateId(30, i), p.genome, 0.0) for i, p in enumerate(proposals)]
    told[0] = scored(told[0].id, space.from_flat([-1.0] * 4), 5.0)
    strategy.tell(30, told)
    assert before / 3 < strategy.state()["sigma"] < before * 3


def test_values_that_are_not_active_stay_with_the_optimiser() -> None:
    space = mixed_space()
    layout = Layout(space)
    distribution = MixedDistribution(layout, layout.units(layout.start), 0.25, 8, seed=1)
    points = [distribution.ask() for _ in range(40)]
    t = [c.label for c in space.coordinates].index("t")
    linear = [point for point in points if point.flat[0] == "linear"]
    assert len({point.flat[t] for point in linear}) > 10, "t is drawn although nothing reads it"
    assert all("t" not in space.from_flat(point.flat).values for point in linear)
    edited = distribution.inject(space.flatten(space.from_flat(linear[0].flat)), linear[0])
    assert edited.flat == linear[0].flat
    # What a person did write counts, and whatever else was drawn stays.
    flat = list(space.flatten(space.from_flat(linear[0].flat)))
    flat[3] = 1.2345
    edited = distribution.inject(flat, linear[0])
    assert edited.flat == (*linear[0].flat[:3], 1.2345, *linear[0].flat[4:])


def test_whole_numbers_and_choices_are_no_real_numbers() -> None:
    space = space_of(
        Gene("two", "int", 4, 5),
        Gene("few", "int", 1, 8, log=True),
        Gene("many", "int", 0, 1000),
        Gene("word", "choice", choices=("a", "b")),
        Gene("fixed", "choice", choices=("x",)),
    )
    layout = Layout(space)
    names = [[layout.labels[i] for i in part]
             for part in (layout.numbers, layout.steps, layout.categories)]  # fmt: skip
    assert names == [["many"], ["few"], ["two", "word"]]


def test_a_diagonal_covariance_is_for_real_numbers() -> None:
    with pytest.raises(UsageError, match="real numbers alone"):
        make("cma_es", mixed_space(), covariance="diagonal")
    World(real_space()).run(make("cma_es", real_space(), covariance="diagonal"), 5)
