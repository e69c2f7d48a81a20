"""Evenly spread, whatever the generations."""

from __future__ import annotations

from collections import Counter

import numpy as np
from scipy.stats import qmc
from strategy_kits import World, make, mixed_space, real_space, space_of

from evomerge_compiler.gene import Gene


def points(strategy_name: str, population: int, generations: int) -> np.ndarray:
    space = real_space(5)
    told = World(space).run(make(strategy_name, space, population), generations)
    flat = [space.flatten(o.genome) for generation in told for o in generation]
    return (np.array(flat, dtype=float) + 1) / 2


def test_the_sequence_goes_on_from_generation_to_generation() -> None:
    assert np.array_equal(points("sobol", 8, 8), points("sobol", 64, 1))


def test_it_is_more_even_than_chance() -> None:
    assert qmc.discrepancy(points("sobol", 8, 8)) < qmc.discrepancy(points("random", 8, 8)) / 3


def test_choices_and_whole_numbers_come_equally_often() -> None:
    space = space_of(
        Gene("w", "choice", choices=("a", "b", "c", "d")), Gene("n", "int", 1, 8, init=1)
    )
    told = World(space).run(make("sobol", space, 16), 4)
    genomes = [o.genome.values for generation in told for o in generation]
    assert set(Counter(g["w"] for g in genomes).values()) == {16}
    assert set(Counter(g["n"] for g in genomes).values()) == {8}


def test_state_says_how_far_it_is() -> None:
    strategy = make("sobol", mixed_space(), 8)
    assert strategy.state()["points_drawn"] == 0
    World(mixed_space()).run(strategy, 2)
    assert strategy.state()["points_drawn"] == 16
