"""Who wins a tournament, who stays, and what children are made of."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from strategy_kits import FAILED, World, make, mixed_space, real_space, scored, space_of

from evomerge_compiler.candidate import CandidateId, Outcome
from evomerge_compiler.gene import Gene
from evomerge_compiler.strategies.operators import CROSSOVERS, cross
from evomerge_compiler.strategies.tournament import Tournament


def ready(population: int = 4, **parameters: object) -> Tournament:
    """A strategy whose first candidate was the best, the last the worst."""
    strategy = make("tournament", real_space(), population, **parameters)
    told = [
        scored(CandidateId(0, i), p.genome, 1.0 - 0.1 * i) for i, p in enumerate(strategy.ask(0))
    ]
    strategy.tell(0, told)
    return strategy


@pytest.mark.parametrize("pressure", [0.0, 0.7, 1.0])
def test_pressure_is_the_chance_that_the_better_of_two_wins(pressure: float) -> None:
    strategy = ready(population=2, size=2, selection_pressure=pressure)
    random = np.random.default_rng(1)
    wins = Counter(strategy._winner(random).id.slot for _ in range(2000))
    assert wins[0] / 2000 == pytest.approx(pressure, abs=0.03)


def test_larger_tournaments_hand_down_the_win() -> None:
    """Of three the chances are p, (1 - p) p and (1 - p)^2."""
    strategy = ready(population=3, size=3, selection_pressure=0.7)
    random = np.random.default_rng(1)
    wins = Counter(strategy._winner(random).id.slot for _ in range(4000))
    shares = [wins[slot] / 4000 for slot in range(3)]
    assert shares == pytest.approx([0.7, 0.21, 0.09], abs=0.03)


def test_elites_stay_as_they_are() -> None:
    strategy = ready(population=5, elitism=2)
    proposals = strategy.ask(1)
    kept = [p for p in proposals if p.lineage.origin == "elite"]
    assert [p.lineage.parents[0].slot for p in kept] == [0, 1]
    assert [p.genome for p in kept] == [o.genome for o in strategy.parents[:2]]
    genomes = [p.genome for p in proposals]
    assert len(set(genomes)) == 5, "children are new"


def test_there_are_always_children() -> None:
    assert ready(population=3, elitism=50).ask(1)[-1].lineage.origin != "elite"


def test_rates_of_0_and_1() -> None:
    plain = ready(population=12, elitism=0, crossover_rate=0, mutation_rate=1).ask(1)
    assert {p.lineage.origin for p in plain} == {"mutation"}
    crossed = ready(population=12, elitism=0, crossover_rate=1, mutation_rate=0).ask(1)
    assert {p.lineage.origin for p in crossed} == {"crossover"}


def test_when_all_fail_the_last_parents_stay() -> None:
    space = mixed_space()
    strategy = make("tournament", space)
    World(space, all_fail=frozenset({1, 2})).run(strategy, 3)
    assert {parent.id.generation for parent in strategy.parents} == {0}


def test_what_failed_in_the_last_generation_is_not_asked_again() -> None:
    space = space_of(Gene("few", "int", 0, 12))
    for seed in range(20):
        strategy = make("tournament", space, 3, seed, elitism=0, sigma=1.0)
        asked = [proposal.genome for proposal in strategy.ask(0)]
        told: list[Outcome] = [scored(CandidateId(0, 0), asked[0], 1.0)]
        told += [Outcome(CandidateId(0, i), asked[i], None, FAILED) for i in (1, 2)]
        strategy.tell(0, told)
        assert not {proposal.genome for proposal in strategy.ask(1)} & set(asked)


@pytest.mark.parametrize("kind", CROSSOVERS)
def test_children_lie_among_their_parents(kind: str) -> None:
    space = real_space(4)
    one, two = space.from_flat([0.2] * 4), space.from_flat([0.6] * 4)
    draws = np.random.default_rng(2)
    values = [space.flatten(cross(space, one, two, kind, draws)) for _ in range(200)]
    flat = np.array(values, dtype=float)
    if kind in ("uniform", "one_point"):
        assert set(flat.ravel().tolist()) == {0.2, 0.6}
    reach = 0.2 if kind == "blend" else 0.0
    assert flat.min() >= 0.2 - reach - 1e-9 and flat.max() <= 0.6 + reach + 1e-9
    assert flat.mean() == pytest.approx(0.4, abs=0.03)
    if kind == "arithmetic":
        assert np.all(flat == flat[:, :1]), "one share for all values"


def test_a_gene_that_one_parent_lacks_comes_from_the_other() -> None:
    space = mixed_space()
    start = list(space.complete(space.initial()))
    start[0], start[2] = "slerp", 0.9
    with_t = space.from_flat(start)
    start[0] = "linear"
    without = space.from_flat(start)
    draws = np.random.default_rng(3)
    children = [cross(space, without, with_t, "arithmetic", draws) for _ in range(30)]
    assert {c.values["t"] for c in children if "t" in c.values} == {0.9}
