"""One strategy after the other: what moves, what is held, and where each phase starts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from strategy_kits import NAMES, World, make, mixed_space, scored, space_of

from evomerge_compiler.candidate import CandidateId, Outcome, RaceRecord, genome_hash
from evomerge_compiler.evolution import arrange
from evomerge_compiler.fitness import front, knee
from evomerge_compiler.gene import Gene
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.recipe_schema import PhaseSpec
from evomerge_compiler.strategies.base import ranked
from evomerge_compiler.strategies.phases import OUTSIDE, Phases, Subspace
from evomerge_compiler.yamlio import dump

every_strategy = pytest.mark.parametrize("name", NAMES)
# Of the mixed space; the condition of t is moved in the first phase, t in the second.
FIRST = ["method", "weight", "depth"]
SECOND = ["ensemble", "t", "source"]
THIRD = ["epsilon"]


def phased(
    name: str, space: GenomeSpace, *genes: Sequence[str], generations: int = 3, seed: int = 3
) -> Any:
    phases = [
        PhaseSpec(name=f"p{index}", genes=list(names), generations=generations)
        for index, names in enumerate(genes)
    ]

    def kind(_index: int, part: GenomeSpace, given: int) -> Any:
        return make(name, part, seed=given)

    return Phases(space, phases, seed, kind)


def held(genome: Genome, moving: Sequence[str]) -> dict[str, object]:
    """The values that must not move; a gene that its conditions switch off has none."""
    return {n: v for n, v in genome.values.items() if n not in moving}


@every_strategy
def test_only_the_genes_of_the_phase_move(name: str) -> None:
    space = mixed_space()
    search = phased(name, space, FIRST, SECOND, THIRD)
    world, told = World(space, n_objectives=2, failing=frozenset({4})), []
    around = space.initial()
    for generation in range(11):
        moving = (FIRST, SECOND, THIRD, THIRD)[generation // 3]
        if generation in (3, 6):
            best = knee(front(told))
            assert best is not None
            around = best.genome
        proposals = search.ask(generation)
        values = [proposal.genome.values for proposal in proposals]
        for proposal in proposals:
            assert space.parse(proposal.genome.plain()) == (proposal.genome, [])
            still, lent = held(proposal.genome, moving), held(around, moving)
            assert all(still[n] == lent[n] for n in still.keys() & lent.keys())
            assert still.keys() ^ lent.keys() <= {"t"}, "only t depends on another gene"
            assert proposal.lineage.asked == genome_hash(proposal.genome)
            if generation >= 3:
                assert proposal.lineage.parents
        assert len({repr(v) for v in values}) > 1
        outcomes = world.outcomes(generation, proposals)
        told += outcomes
        search.tell(generation, outcomes)


@every_strategy
def test_replay_gives_the_same_genomes(name: str) -> None:
    space = mixed_space()
    world = World(space, n_objectives=2, failing=frozenset({2}), edits=0.2, seeds=2)
    one, two = (phased(name, space, FIRST, [*SECOND, *THIRD]) for _ in range(2))
    told = []
    for generation in range(8):
        state, asked = dump(dict(one.state())), one.ask(generation)
        told = world.outcomes(generation, asked)
        one.tell(generation, told)
        assert (dump(dict(two.state())), two.ask(generation)) == (state, asked)
        two.tell(generation, told)


def best_first(asked: Sequence[Any], generation: int) -> list[Outcome]:
    """Scores that fall from slot to slot."""
    return [
        scored(CandidateId(generation, slot), proposal.genome, 0.9 - slot / 100)
        for slot, proposal in enumerate(asked)
    ]


def test_a_phase_starts_at_the_best_and_says_so() -> None:
    space = mixed_space()
    search = phased("tournament", space, FIRST, SECOND, generations=2)
    assert search.state()["starts_from"] is None
    told = [best_first(search.ask(0), 0)]
    search.tell(0, told[0])
    later = [scored(CandidateId(1, i), p.genome, 0.5) for i, p in enumerate(search.ask(1))]
    search.tell(1, later)
    assert {"phase": "p1", "moves": SECOND, "starts_from": "000/c00"}.items() <= (
        search.state().items()
    )
    first = search.ask(2)[0]
    assert first.genome == ranked(told[0])[0].genome
    assert first.lineage.parents == (CandidateId(0, 0),)


def test_no_phase_starts_from_an_estimate() -> None:
    space = mixed_space()
    search = phased("random", space, FIRST, SECOND, generations=1)
    told = best_first(search.ask(0), 0)
    scores = told[0].scores
    assert scores is not None
    told[0] = replace(told[0], scores=replace(scores, race=RaceRecord(seen=20, of=50)))
    search.tell(0, told)
    assert search.state()["starts_from"] == "000/c01"


def test_a_phase_draws_numbers_of_its_own() -> None:
    space = space_of(Gene("a", "float"), Gene("b", "float"))
    search = phased("random", space, ["a"], ["b"], generations=1)
    asked = [search.ask(0)]
    search.tell(0, best_first(asked[0], 0))
    asked.append(search.ask(1))
    one, two = (
        [p.genome.values[gene] for p in part] for gene, part in zip("ab", asked, strict=True)
    )
    assert not set(one) & set(two)


def test_draws_keep_the_order_in_which_they_are_told() -> None:
    """CMA-ES takes outcomes for its draws in order, whatever parent lent the held genes."""
    space = space_of(Gene("a", "float"), Gene("b", "float"))
    search = phased("cma_es", space, ["a"], ["b"], generations=1)
    search.tell(0, list(reversed(best_first(search.ask(0), 0))))
    proposals = search.ask(1)
    assert proposals[0].lineage.parents and arrange(proposals) == proposals


def test_genes_that_another_phase_switches_on_take_their_first_values() -> None:
    space = mixed_space()
    search = phased("random", space, ["t", "ensemble"], ["method"], generations=1)
    asked = search.ask(0)
    assert not any("t" in proposal.genome.values for proposal in asked), "method is linear"
    search.tell(0, best_first(asked, 0))
    found = {p.genome.values["method"]: p.genome.values.get("t") for p in search.ask(1)}
    assert found == {"linear": None, "slerp": 0.5}


def test_what_a_person_writes_counts_even_outside_the_phase() -> None:
    """The phase's strategy has no use for it, the next phase starts from it."""
    space = space_of(Gene("a", "float"), Gene("b", "float"))
    edited = Genome({"a": 0.25, "b": 0.75})

    class Listener:
        def __init__(self, part: GenomeSpace) -> None:
            self.space, self.told = part, []
            self.real = make("random", part)

        def ask(self, generation: int) -> Any:
            return self.real.ask(generation)

        def tell(self, _generation: int, outcomes: Sequence[Outcome]) -> None:
            self.told += outcomes

    made: list[Any] = []

    def kind(_index: int, part: GenomeSpace, _seed: int) -> Any:
        made.append(Listener(part))
        return made[-1]

    phases = [PhaseSpec(name=n, genes=[n], generations=1) for n in "ab"]
    search = Phases(space, phases, 3, kind)
    told = best_first(search.ask(0), 0)
    told[3] = scored(CandidateId(0, 3), edited, 1.0)
    seeds = [
        scored(CandidateId(0, 8), Genome({"a": 0.5, "b": 0.1}), 0.2),
        scored(CandidateId(0, 9), Genome({"a": 0.1, "b": 0.5}), 0.3),
    ]
    search.tell(0, [*told, *seeds])
    inside = [*range(8), 9]
    assert [outcome.id.slot for outcome in made[0].told] == inside
    assert made[0].told[3].failure == OUTSIDE and made[0].told[3].fitness is None
    assert made[0].told[8].genome == Genome({"a": 0.1})
    assert made[1].space.fixed["a"] == 0.25 and made[1].space.initial() == Genome({"b": 0.75})


def test_a_search_that_never_scored_goes_on_from_the_first_values() -> None:
    space = mixed_space()
    search = phased("elite_recovery", space, FIRST, SECOND, generations=1)
    asked = search.ask(0)
    search.tell(0, [Outcome(CandidateId(0, i), p.genome, None) for i, p in enumerate(asked)])
    assert search.state()["starts_from"] is None
    assert search.ask(1)[0].genome.values["weight"] == {"a": 0.5, "b": 0.5}


def test_calls_out_of_order_are_refused() -> None:
    search = phased("random", mixed_space(), FIRST, SECOND, generations=2)
    with pytest.raises(RuntimeError):
        search.ask(1)
    search.tell(0, best_first(search.ask(0), 0))
    with pytest.raises(RuntimeError):
        search.tell(1, [])


def test_a_subspace_goes_there_and_back() -> None:
    space = mixed_space()
    around = space.from_flat([*space.complete(space.initial())])
    sub = Subspace.of(space, ["method", "t"], around)
    for method in ("linear", "slerp"):
        inside = sub.space.from_flat([method, 0.25])
        outside = sub.widen(inside)
        assert ("t" in outside.values) == (method == "slerp")
        assert sub.narrow(outside) == inside
        again, problems = space.parse(json.loads(json.dumps(outside.plain())))
        assert (again, problems) == (outside, [])
    other = space.from_flat([*space.complete(around)[:-1], 0.01])
    assert sub.narrow(other) is None
