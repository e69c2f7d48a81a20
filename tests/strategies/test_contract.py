"""What every strategy keeps: replay, ties, failures, edits, mixed and conditional genes."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from strategy_kits import (
    FAILED,
    NAMES,
    SPACES,
    World,
    make,
    mixed_space,
    real_space,
    scored,
    spaces,
)

from evomerge_compiler.candidate import CandidateId, Fitness, Outcome, genome_hash
from evomerge_compiler.genome import GenomeSpace, plain_error
from evomerge_compiler.strategies.base import feasible_of, ranked
from evomerge_compiler.strategies.operators import mutate
from evomerge_compiler.yamlio import dump

every_strategy = pytest.mark.parametrize("name", NAMES)
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def through_json(space: GenomeSpace, outcome: Outcome) -> Outcome:
    """The outcome as a later process reads it from the run folder."""
    genome, problems = space.parse(json.loads(json.dumps(outcome.genome.plain())))
    assert problems == []
    objectives = None
    if outcome.fitness is not None:
        objectives = Fitness(
            tuple(json.loads(json.dumps(outcome.fitness.objectives))),
            violation=outcome.fitness.violation,
        )
    return Outcome(outcome.id, genome, objectives, outcome.failure, outcome.scores)


@every_strategy
@pytest.mark.parametrize("n_objectives", [1, 2])
@pytest.mark.parametrize("space", [SPACES["mixed"], SPACES["real"], SPACES["whole"]])
def test_replay_gives_the_same_genomes(name: str, n_objectives: int, space: GenomeSpace) -> None:
    """50 generations with failures, edits, seeds, constraints, and ones in which all fail."""
    world = World(
        space,
        broken=0.3,
        n_objectives=n_objectives,
        failing=frozenset({2, 5}),
        all_fail=frozenset({0, 7, 8}),
        edits=0.05,
        seeds=2,
    )
    first, asked, states = make(name, space), [], []
    told = []
    for generation in range(50):
        states.append(dump(dict(first.state())))
        asked.append(first.ask(generation))
        told.append(world.outcomes(generation, asked[-1]))
        first.tell(generation, told[-1])
    again = make(name, space)
    for generation in range(50):
        assert dump(dict(again.state())) == states[generation]
        assert again.ask(generation) == asked[generation]
        again.tell(generation, [through_json(space, outcome) for outcome in told[generation]])


@every_strategy
def test_another_seed_gives_other_genomes(name: str) -> None:
    space = mixed_space()
    one, two = make(name, space, seed=1), make(name, space, seed=2)
    for strategy in (one, two):
        World(space).run(strategy, 1)
    assert one.ask(1) != two.ask(1)


@every_strategy
def test_random_numbers_of_others_are_neither_used_nor_changed(name: str) -> None:
    space = mixed_space()
    found = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        before = (random.getstate(), repr(np.random.get_state()))
        found.append(World(space, n_objectives=2).run(make(name, space), 4))
        assert (random.getstate(), repr(np.random.get_state())) == before
    assert found[0] == found[1]


def check_proposals(space: GenomeSpace, asked: list[list[Outcome]], population: int) -> None:
    for generation in asked:
        assert len(generation) == population
        for outcome in generation:
            parsed, problems = space.parse(outcome.genome.plain(), plain_error)
            assert problems == [], [problem.render() for problem in problems]
            assert parsed == outcome.genome, "values are quantised before they are proposed"


@every_strategy
@every_space
@pytest.mark.parametrize(
    "failing", [frozenset(), frozenset({0, 3}), frozenset(range(8))], ids=["none", "some", "all"]
)
def test_every_proposal_is_a_genome_of_the_space(
    name: str, space: GenomeSpace, failing: frozenset[int]
) -> None:
    world = World(space, n_objectives=2, failing=failing)
    check_proposals(space, world.run(make(name, space), 6), 8)


@every_strategy
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(space=spaces())
def test_any_space_can_be_searched(name: str, space: GenomeSpace) -> None:
    world = World(space, n_objectives=2, failing=frozenset({1}), edits=0.2, seeds=1)
    strategy = make(name, space, population=4)
    for generation in range(5):
        proposals = strategy.ask(generation)
        told = [Outcome(CandidateId(0, 0), p.genome, None) for p in proposals]
        check_proposals(space, [told], 4)
        strategy.tell(generation, world.outcomes(generation, proposals))
        dump(dict(strategy.state()))


@every_strategy
@pytest.mark.parametrize("population", [1, 2, 3, 5, 9, 64])
def test_populations_of_any_size(name: str, population: int) -> None:
    space = mixed_space()
    world = World(space, n_objectives=2, all_fail=frozenset({1}))
    check_proposals(space, world.run(make(name, space, population), 6), population)


@every_strategy
def test_parents_are_scored_candidates_of_earlier_generations(name: str) -> None:
    space, failing = mixed_space(), frozenset({0, 1, 2, 5})
    strategy = make(name, space)
    world = World(space, n_objectives=2, failing=failing)
    for number in range(5):
        proposals = strategy.ask(number)
        for proposal in proposals:
            assert proposal.lineage.asked == genome_hash(proposal.genome)
            for parent in proposal.lineage.parents:
                assert parent.generation < number
                assert parent.slot not in failing
        strategy.tell(number, world.outcomes(number, proposals))


@every_strategy
def test_state_is_plain_data(name: str) -> None:
    space = mixed_space()
    strategy = make(name, space)
    for generation in range(3):
        text = dump(dict(strategy.state()))
        assert text == dump(dict(strategy.state())), "to look changes nothing"
        strategy.tell(generation, World(space).outcomes(generation, strategy.ask(generation)))
    assert strategy.state()["strategy"] == name


@every_strategy
@pytest.mark.parametrize("space", [SPACES["mixed"], SPACES["real"], SPACES["words"]])
@pytest.mark.parametrize(
    "values", [[0.5] * 8, [0.0] * 8, [-1.0] * 8, [1e300, -1e300] * 4, [1.0] * 7 + [2.0]]
)
def test_ties_and_extreme_fitness_are_survived(
    name: str, space: GenomeSpace, values: list[float]
) -> None:
    strategy = make(name, space)
    for generation in range(12):
        proposals = strategy.ask(generation)
        told = [
            scored(CandidateId(generation, i), p.genome, v)
            for i, (p, v) in enumerate(zip(proposals, values, strict=True))
        ]
        strategy.tell(generation, told)
    assert len(strategy.ask(12)) == 8


# -- order, number and finiteness ----------------------------------------------------------


@every_strategy
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_what_is_no_violation_is_refused(name: str, value: float) -> None:
    strategy = make(name, mixed_space())
    told = World(mixed_space()).outcomes(0, strategy.ask(0))
    bad = scored(told[0].id, told[0].genome, 0.5, violation=value)
    with pytest.raises(ValueError, match="violations"):
        strategy.tell(0, [bad, *told[1:]])


@every_strategy
def test_calls_out_of_order_are_refused(name: str) -> None:
    space = mixed_space()
    strategy, world = make(name, space), World(space)
    for call in (lambda: strategy.tell(0, []), lambda: strategy.ask(1)):
        with pytest.raises(RuntimeError, match="after nothing"):
            call()
    proposals = strategy.ask(0)
    assert strategy.ask(0) == proposals, "to ask again changes nothing"
    told = world.outcomes(0, proposals)
    for call in (lambda: strategy.ask(1), lambda: strategy.tell(1, told)):
        with pytest.raises(RuntimeError, match=r"after ask\(0\)"):
            call()
    strategy.tell(0, told)
    for call in (lambda: strategy.tell(0, told), lambda: strategy.ask(0)):
        with pytest.raises(RuntimeError, match=r"after tell\(0\)"):
            call()


@every_strategy
def test_missing_and_surplus_outcomes_are_refused(name: str) -> None:
    space = mixed_space()
    strategy, world = make(name, space), World(space)
    told = world.outcomes(0, strategy.ask(0))
    with pytest.raises(ValueError, match="expected 8 outcomes, got 7"):
        strategy.tell(0, told[:-1])
    strategy.tell(0, [*told, scored(CandidateId(0, 8), world.anything(), 0.3)])  # a seed
    told = world.outcomes(1, strategy.ask(1))
    for wrong in (told[:-1], [*told, told[0]]):
        with pytest.raises(ValueError, match="expected 8 outcomes"):
            strategy.tell(1, wrong)
    strategy.tell(1, told)


@every_strategy
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(name: str, value: float) -> None:
    space = mixed_space()
    strategy = make(name, space)
    told = World(space).outcomes(0, strategy.ask(0))
    for objectives in ((value,), (0.5, value)):
        bad = scored(told[0].id, told[0].genome, *objectives)
        with pytest.raises(ValueError, match="objectives"):
            strategy.tell(0, [bad, *told[1:]])


# -- constraints ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("random", "sobol")])
def test_a_search_goes_where_the_constraint_holds(name: str) -> None:
    """The more x0 the better, and no more than -0.5 is allowed: three quarters are forbidden."""
    space = real_space(2)
    strategy = make(name, space, population=12)
    shares = []
    best = -1.0
    for generation in range(15):
        told = []
        for slot, proposal in enumerate(strategy.ask(generation)):
            x = float(proposal.genome.values["x0"])  # type: ignore[arg-type]
            y = float(proposal.genome.values["x1"])  # type: ignore[arg-type]
            id = CandidateId(generation, slot)
            told.append(
                scored(id, proposal.genome, x, x - y * y, violation=max(x + 0.5, 0.0))
            )  # fmt: skip
        shares.append(len(feasible_of(told)) / len(told))
        best = max([best, *(o.fitness.value for o in feasible_of(told) if o.fitness)])
        strategy.tell(generation, told)
    assert np.mean(shares[-5:]) > 0.35, shares
    assert -0.56 < best <= -0.5


def test_the_order_is_that_of_debs_rules() -> None:
    genome = mixed_space().initial()
    told = [
        Outcome(CandidateId(0, 0), genome, None, FAILED),
        scored(CandidateId(0, 1), genome, 0.9, violation=0.2),
        scored(CandidateId(0, 2), genome, 0.1),
        scored(CandidateId(0, 3), genome, 0.4, violation=0.1),
        scored(CandidateId(0, 4), genome, 0.3),
        scored(CandidateId(0, 5), genome, 0.3),
    ]
    assert [o.id.slot for o in ranked(told)] == [4, 5, 2, 3, 1, 0]
    assert [o.id.slot for o in feasible_of(told)] == [2, 4, 5]


# -- what a person does --------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("random", "sobol")])
@pytest.mark.parametrize("as_seed", [False, True])
def test_an_edited_genome_and_a_seed_are_what_counts(name: str, as_seed: bool) -> None:
    """The same history with one genome that a person wrote leads elsewhere."""
    space = mixed_space()
    asks = []
    for written in (False, True):
        strategy = make(name, space)
        told = World(space, n_objectives=2).outcomes(0, strategy.ask(0))
        flat = list(space.complete(told[0].genome))
        flat[3], flat[9] = 1.2345, 7
        best = scored(CandidateId(0, 0), space.from_flat(flat), 9.0, 9.0)
        if written and as_seed:
            told.append(Outcome(CandidateId(0, 8), best.genome, best.fitness, None, best.scores))
        elif written:
            told[0] = best
        else:
            told[0] = scored(told[0].id, told[0].genome, 9.0, 9.0)
        strategy.tell(0, told)
        asks.append([proposal.genome for proposal in strategy.ask(1)])
    assert asks[0] != asks[1]


@every_strategy
def test_equal_genomes_may_be_told(name: str) -> None:
    space = mixed_space()
    strategy = make(name, space)
    for generation in range(6):
        strategy.ask(generation)
        told = [
            scored(CandidateId(generation, i), space.initial(), 0.1 * i, 0.5) for i in range(8)
        ]
        strategy.tell(generation, told)


@every_strategy
def test_a_run_that_never_scores_goes_on(name: str) -> None:
    space = mixed_space()
    strategy = make(name, space)
    for generation in range(30):
        proposals = strategy.ask(generation)
        assert not any(proposal.lineage.parents for proposal in proposals)
        strategy.tell(
            generation,
            [Outcome(CandidateId(generation, i), p.genome, None, FAILED)
             for i, p in enumerate(proposals)],
        )  # fmt: skip


def test_mutation_stays_in_range_and_moves_something() -> None:
    space = mixed_space()
    genome = space.initial()
    draws = np.random.default_rng(0)
    for _ in range(300):
        child = mutate(space, genome, 0.15, 0.1, draws)
        assert space.parse(child.plain())[1] == []
        assert child != genome
        genome = child
