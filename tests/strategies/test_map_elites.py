"""Niches: who holds which cell, and whose turn it is."""

from __future__ import annotations

import numpy as np
from strategy_kits import World, make, mixed_space, scored

from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.strategies.map_elites import best_of_cells, spread


def test_a_cell_holds_the_best_of_its_behaviour() -> None:
    table = np.array([[0.9, 0.0], [0.8, 0.04], [0.7, 0.5], [0.95, 1.0], [0.95, 0.99]])
    # Quality is column 0; column 1 in two steps from 0 to 1: rows 0 and 1, and the others.
    assert best_of_cells(table, 0, 2, [0.0] * 5) == [0, 3]
    assert best_of_cells(table, 0, 2, [0.1, 0.1, 0.0, 0.2, 0.1]) == [0, 2], "less broken, better"
    assert best_of_cells(table, 1, 1, [0.0] * 5) == [3]
    assert best_of_cells(table[:, :1], 0, 9, [0.0] * 5) == [3], "one domain has one niche"


def test_spread_takes_huge_and_equal_numbers() -> None:
    assert spread(np.array([[-1e308, 2.0], [1e308, 2.0]])).tolist() == [[0.0, 1.0], [1.0, 1.0]]


def test_domains_take_turns_in_being_quality() -> None:
    space = mixed_space()
    strategy = make("map_elites", space)
    turns = []
    for generation in range(5):
        world = World(space, n_objectives=2)
        strategy.tell(generation, world.outcomes(generation, strategy.ask(generation)))
        turns.append(strategy.state()["quality"])
    assert turns == ["d1", "d0", "d1", "d0", "d1"]


def test_the_best_of_each_domain_is_never_lost() -> None:
    space = mixed_space()
    strategy = make("map_elites", space, bins=4)
    best = {"d0": -1.0, "d1": -1.0}
    for generation, told in enumerate(World(space, n_objectives=2).run(strategy, 8)):
        assert len(told) == 8, generation
        for outcome in told:
            for name, score in outcome.scores.domains.items():
                best[name] = max(best[name], score.value)
    for name, archive in strategy.archives.items():
        assert max(o.scores.domains[name].value for o in archive) == best[name]
        assert len(archive) <= 4, "two domains: a row of cells for each"


def test_parents_come_from_the_archive_whose_turn_it_is() -> None:
    space = mixed_space()
    strategy = make("map_elites", space, bins=1)
    proposals = strategy.ask(0)
    told = [
        scored(CandidateId(0, i), p.genome, 0.1 * i, 0.8 - 0.1 * i)
        for i, p in enumerate(proposals)
    ]
    strategy.tell(0, told)
    # Generation 1: quality is d1, and of its one cell candidate 0 is the best.
    assert {p.lineage.parents for p in strategy.ask(1)} == {(CandidateId(0, 0),)}
