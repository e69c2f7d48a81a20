"""The contract every strategy keeps: replay, ties, failures, mixed and conditional genes."""

from __future__ import annotations

import numpy as np
import pytest

from evomerge_compiler.candidate import CandidateId, Failure, Fitness, Outcome, Proposal
from evomerge_compiler.genome import Gene, Genome, GenomeSpace, plain_error
from evomerge_compiler.strategies import all_strategies
from evomerge_compiler.yamlio import dump

NAMES = list(all_strategies())


def mixed_space() -> GenomeSpace:
    """Floats, ints, a log gene, choices, per-model and per-group genes, and conditions."""
    return GenomeSpace(
        genes=(
            Gene("method", "choice", choices=("linear", "slerp")),
            Gene("ensemble", "choice", choices=("ties", "dare_ties")),
            Gene("t", "float", 0.0, 1.0, init=0.5, when={"method": ("slerp",)}),
            Gene("weight", "float", -1.0, 2.0, per="model", init=0.5),
            Gene("source", "choice", choices=(0, 1, 2, 3), per="layer_group", init=[0, 1, 2]),
            Gene("depth", "int", 1, 9),
            Gene("epsilon", "float", 1e-6, 1e-2, log=True),
        ),
        fixed={},
        fixed_genes={},
        models=("a", "b"),
        n_groups=4,
    )


def make(name: str, space: GenomeSpace, population: int = 8, seed: int = 3):  # type: ignore[no-untyped-def]
    kind = all_strategies()[name]
    return kind(space, population, seed, kind.parameters())


def landscape(space: GenomeSpace, genome: Genome) -> float:
    flat = space.complete(genome)
    return round(0.5 - abs(float(flat[3]) - 0.7) / 10 + 0.01 * (flat[0] == "slerp"), 3)  # type: ignore[arg-type]


def outcomes(
    space: GenomeSpace, generation: int, proposals: list[Proposal], fail: frozenset[int]
) -> list[Outcome]:
    out = []
    for slot, proposal in enumerate(proposals):
        failed = slot in fail
        out.append(
            Outcome(
                CandidateId(generation, slot),
                proposal.genome,
                None if failed else Fitness((landscape(space, proposal.genome),), 0.02),
                Failure("merge", "crashed", "killed") if failed else None,
            )
        )
    return out


def drive(name: str, generations: int, fail: frozenset[int] = frozenset()) -> list[list[Proposal]]:
    space = mixed_space()
    strategy = make(name, space)
    asked = []
    for generation in range(generations):
        proposals = strategy.ask(generation)
        asked.append(proposals)
        strategy.tell(generation, outcomes(space, generation, proposals, fail))
    return asked


@pytest.mark.parametrize("name", NAMES)
def test_replay_gives_the_same_genomes(name: str) -> None:
    assert drive(name, 6) == drive(name, 6)


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_gives_other_genomes(name: str) -> None:
    space = mixed_space()
    one, two = make(name, space, seed=1), make(name, space, seed=2)
    for strategy in (one, two):
        proposals = strategy.ask(0)
        strategy.tell(0, outcomes(space, 0, proposals, frozenset()))
    assert one.ask(1) != two.ask(1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fail", [frozenset(), frozenset({0, 3}), frozenset(range(8))])
def test_every_proposal_is_a_genome_of_the_space(name: str, fail: frozenset[int]) -> None:
    space = mixed_space()
    for generation in drive(name, 8, fail):
        assert len(generation) == 8
        for proposal in generation:
            parsed, problems = space.parse(proposal.genome.plain(), plain_error)
            assert problems == []
            assert parsed == proposal.genome, "values are quantised before they are proposed"
            assert ("t" in proposal.genome.values) == (proposal.genome.values["method"] == "slerp")


@pytest.mark.parametrize("name", NAMES)
def test_failures_are_never_parents(name: str) -> None:
    fail = frozenset({0, 1, 2, 5})
    for number, generation in enumerate(drive(name, 4, fail)):
        for proposal in generation:
            for parent in proposal.lineage.parents:
                assert parent.generation < number
                assert parent.slot not in fail


@pytest.mark.parametrize("name", NAMES)
def test_an_edited_genome_is_what_counts(name: str) -> None:
    """The strategy is told the genome that was scored, not the one it asked for."""
    space = mixed_space()
    strategy = make(name, space)
    proposals = strategy.ask(0)
    told = outcomes(space, 0, proposals, frozenset())
    flat = list(space.complete(told[0].genome))
    flat[3] = 1.2345
    edited = space.from_flat(flat)
    told[0] = Outcome(told[0].id, edited, Fitness((9.0,)))
    strategy.tell(0, told)
    from_best = [p for p in strategy.ask(1) if told[0].id in p.lineage.parents]
    if name == "elite_recovery":
        assert any(space.flatten(p.genome)[3] == 1.2345 for p in from_best)


@pytest.mark.parametrize("name", NAMES)
def test_state_is_plain_data(name: str) -> None:
    space = mixed_space()
    strategy = make(name, space)
    dump(dict(strategy.state()))
    strategy.tell(0, outcomes(space, 0, strategy.ask(0), frozenset({1})))
    dump(dict(strategy.state()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("values", [[0.5] * 8, [0.0] * 8, [-1.0] * 8, [1e300, -1e300] * 4])
def test_ties_and_extreme_fitness_are_survived(name: str, values: list[float]) -> None:
    space = mixed_space()
    strategy = make(name, space)
    for generation in range(3):
        told = [
            Outcome(CandidateId(generation, i), p.genome, Fitness((v,)))
            for i, (p, v) in enumerate(zip(strategy.ask(generation), values, strict=True))
        ]
        strategy.tell(generation, told)
    assert len(strategy.ask(3)) == 8


def test_a_space_of_one_choice_and_a_space_without_genes() -> None:
    for genes in ((Gene("only", "choice", choices=("x",)),), ()):
        space = GenomeSpace(genes, {}, {}, ("a",), 1)
        for name in NAMES:
            strategy = make(name, space, population=3)
            for generation in range(2):
                proposals = strategy.ask(generation)
                assert len(proposals) == 3
                told = [
                    Outcome(CandidateId(generation, i), p.genome, Fitness((0.1,)))
                    for i, p in enumerate(proposals)
                ]
                strategy.tell(generation, told)


def test_mutation_stays_in_range_and_moves_something() -> None:
    from evomerge_compiler.strategies.operators import mutate

    space = mixed_space()
    genome = space.initial()
    random = np.random.default_rng(0)
    for _ in range(300):
        child = mutate(space, genome, 0.15, 0.1, random)
        assert space.parse(child.plain())[1] == []
        assert child != genome
        genome = child
