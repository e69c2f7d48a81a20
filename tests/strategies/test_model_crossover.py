"""Crossovers of models beside every strategy: who is crossed, and what the strategy learns."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from strategy_kits import FAILED, NAMES, World, make, mixed_space, scored

from evomerge_compiler.candidate import (
    CandidateId,
    Fitness,
    Outcome,
    Score,
    Scores,
    TaskItems,
    genome_hash,
)
from evomerge_compiler.crossing import Crossing, parse
from evomerge_compiler.strategies.base import Strategy
from evomerge_compiler.strategies.model_crossover import (
    ModelCrossover,
    competition,
    draw_parents,
    resources,
)
from evomerge_compiler.yamlio import dump

SPACE = mixed_space()
every_strategy = pytest.mark.parametrize("name", NAMES)


def crossed(name: str, *, n_children: int = 2, archive: int = 5) -> ModelCrossover:
    return ModelCrossover(make(name, SPACE, 8 - n_children), SPACE, n_children, archive, seed=3)


def through_json(outcome: Outcome) -> Outcome:
    """The outcome as a later process reads it from the run folder."""
    genome, problems = SPACE.initial(), []
    if isinstance(outcome.genome, Crossing):
        read, problems = parse(json.loads(json.dumps(outcome.genome.document())))
        genome = read or genome
    else:
        genome, problems = SPACE.parse(json.loads(json.dumps(outcome.genome.plain())))
    assert problems == []
    return Outcome(outcome.id, genome, outcome.fitness, outcome.failure, outcome.scores)


def world(**kinds: object) -> World:
    return World(SPACE, n_objectives=2, **kinds)  # type: ignore[arg-type]


@every_strategy
def test_replay_gives_the_same_proposals(name: str) -> None:
    here = world(failing=frozenset({2}), all_fail=frozenset({0, 3}), edits=0.0, seeds=1)
    first, told, asked, states = crossed(name), [], [], []
    for generation in range(8):
        states.append(dump(dict(first.state())))
        asked.append(first.ask(generation))
        assert first.ask(generation) == asked[-1], "to ask again changes nothing"
        told.append(here.outcomes(generation, asked[-1]))
        first.tell(generation, told[-1])
    again = crossed(name)
    for generation in range(8):
        assert dump(dict(again.state())) == states[generation]
        assert again.ask(generation) == asked[generation]
        again.tell(generation, [through_json(outcome) for outcome in told[generation]])


@every_strategy
def test_the_strategy_is_told_of_its_own_candidates_alone(name: str) -> None:
    """Beside crossings it asks for what it asks for without them."""
    alone, beside, here = make(name, SPACE, 6), crossed(name), world()
    for generation in range(5):
        own, proposals = alone.ask(generation), beside.ask(generation)
        assert proposals[:6] == own
        children = [p.genome for p in proposals[6:] if isinstance(p.genome, Crossing)]
        assert len(children) == (2 if generation else 0)
        told = here.outcomes(generation, proposals)
        beside.tell(generation, told)
        # The samples of generation 0 are told to a strategy like seeds.
        alone.tell(generation, told if generation == 0 else told[:6])


@every_strategy
def test_slots_in_any_order_and_edits_are_survived(name: str) -> None:
    strategy, here = crossed(name), world(edits=0.0)
    for generation in range(5):
        told = here.outcomes(generation, strategy.ask(generation))
        plain = next(o for o in told if not isinstance(o.genome, Crossing))
        told[told.index(plain)] = scored(plain.id, here.anything(), 0.4, 0.4)
        strategy.tell(generation, told[::-1])


def test_samples_fill_in_while_there_is_nobody_to_cross() -> None:
    strategy, here = crossed("tournament"), world(all_fail=frozenset({0, 1}))
    for generation in range(3):
        proposals = strategy.ask(generation)
        assert [p.lineage.operator for p in proposals[6:]] == ["model_crossover.sample"] * 2
        strategy.tell(generation, here.outcomes(generation, proposals))
    assert all(isinstance(p.genome, Crossing) for p in strategy.ask(3)[6:])


def test_parents_are_different_scored_candidates_of_earlier_generations() -> None:
    strategy, here = crossed("random", n_children=4), world(failing=frozenset({1}))
    for generation in range(6):
        proposals = strategy.ask(generation)
        for child in (p for p in proposals if isinstance(p.genome, Crossing)):
            assert child.lineage.asked == genome_hash(child.genome)
            assert child.lineage.parents == child.genome.models  # type: ignore[attr-defined]
            one, other = child.lineage.parents
            assert one != other and max(one, other).generation < generation
            assert 1 not in (one.slot, other.slot)
        strategy.tell(generation, here.outcomes(generation, proposals))


def test_behind_the_cut_the_child_is_at_1_minus_t() -> None:
    strategy = crossed("random")
    strategy.tell(0, world().outcomes(0, strategy.ask(0)))
    for child in strategy.ask(1)[6:]:
        before, after = (child.genome.values[name] for name in ("t_before", "t_after"))
        assert before + after == pytest.approx(1.0, abs=2e-4)  # type: ignore[operator]


@pytest.mark.parametrize("n_told", [7, 9])
def test_missing_and_surplus_outcomes_are_refused(n_told: int) -> None:
    strategy, here = crossed("tournament"), world()
    strategy.tell(0, here.outcomes(0, strategy.ask(0)))
    told = here.outcomes(1, strategy.ask(1))
    with pytest.raises(ValueError, match="expected 8 outcomes"):
        strategy.tell(1, [*told, told[-1]][:n_told])


# -- competition and attraction ------------------------------------------------------------


def answering(slot: int, *right: int, violation: float = 0.0) -> Outcome:
    """A candidate that answers some of six items."""
    values = tuple(float(item in right) for item in range(6))
    scores = Scores(
        {"d": Score("acc", sum(values) / 6, None, 6)}, f"{slot}", {"d": TaskItems("six", values)}
    )
    genome = SPACE.from_flat([*SPACE.complete(SPACE.initial())[:-1], 10.0 ** -(2 + slot / 10)])
    fitness = Fitness((sum(values) / 6,), None, violation)
    return Outcome(CandidateId(0, slot), genome, fitness, scores=scores)


def test_an_item_is_worth_the_more_the_fewer_answer_it() -> None:
    crowd = [answering(slot, 0, 1, 2) for slot in range(3)]
    shares = resources([*crowd, answering(3, 5)])
    assert competition(shares).tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 6])
    assert shares[0].tolist() == pytest.approx([1 / 18] * 3 + [0.0] * 3)


def test_the_second_parent_is_strong_where_the_first_is_weak() -> None:
    told = [answering(0, 0, 1, 2), answering(1, 0, 1), answering(2, 3, 4, 5)]
    random = np.random.default_rng(1)
    seconds = [second for first, second in (draw_parents(told, random) for _ in range(200))
               if first == 0]  # fmt: skip
    assert seconds and set(seconds) == {2}


def test_the_archive_keeps_niches_and_never_what_breaks_a_constraint() -> None:
    strategy = crossed("random", archive=3)
    strategy.inner = _Deaf()
    told = [answering(slot, 0, 1, 2) for slot in range(4)]
    told += [answering(4, 5), answering(5, 0, 1, 2, 3, 4, 5, violation=0.1)]
    strategy.tell(0, [*told, *(Outcome(CandidateId(0, s), SPACE.initial(), None, FAILED)
                               for s in (6, 7))])  # fmt: skip
    kept = {outcome.id.slot for outcome in strategy.archive}
    assert 4 in kept and 5 not in kept and len(kept) == 3


def test_scores_of_any_sign_compete() -> None:
    told = [scored(CandidateId(0, i), SPACE.initial(), v, -v) for i, v in enumerate((-3, 0, 9))]
    shares = resources(told)
    assert (shares >= 0).all() and np.isfinite(shares).all()
    assert competition(shares)[2] == competition(shares).max()


class _Deaf(Strategy):
    """Takes everything in and asks for nothing."""

    def tell(self, generation: int, outcomes: Sequence[Outcome]) -> None:
        pass
