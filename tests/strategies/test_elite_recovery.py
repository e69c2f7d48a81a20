"""The scheme of the 2x2x2 pipeline, number by number."""

from __future__ import annotations

from collections import Counter

from evomerge_compiler.candidate import CandidateId, Fitness, Outcome
from evomerge_compiler.crossing import Crossing
from evomerge_compiler.gene import Gene
from evomerge_compiler.genome import GenomeSpace
from evomerge_compiler.strategies.elite_recovery import (
    EliteRecovery,
    EliteRecoveryParameters,
    average,
    crossover,
)


def space() -> GenomeSpace:
    return GenomeSpace(
        genes=(
            Gene("interpolation", "choice", choices=("linear", "slerp")),
            Gene("ensemble", "choice", choices=("ties", "dare_ties")),
            Gene("recombination", "choice", choices=("frankenmerge", "dfs")),
            Gene("linear_weight", "float", init=0.5, when={"interpolation": ("linear",)}),
            Gene("density", "float", 0.05, 0.95, init=0.9),
        ),
        fixed={},
        fixed_genes={},
        models=("a", "b", "c"),
        n_groups=4,
    )


def told(strategy: EliteRecovery, generation: int, values: list[float]) -> list[Outcome]:
    out = [
        Outcome(CandidateId(generation, slot), proposal.genome, Fitness((value,)))
        for slot, (proposal, value) in enumerate(
            zip(strategy.ask(generation), values, strict=True)
        )
    ]
    strategy.tell(generation, out)
    return out


def test_generation_0_is_the_eight_combinations() -> None:
    strategy = EliteRecovery(space(), 8, 1, EliteRecoveryParameters())
    seen = {
        tuple(p.genome.values[g] for g in ("interpolation", "ensemble", "recombination"))
        for p in strategy.ask(0)
    }
    assert len(seen) == 8
    assert all(p.genome.values["density"] == 0.9 for p in strategy.ask(0))


def test_six_mutants_of_the_top_two_and_two_children_of_triples_by_rank() -> None:
    strategy = EliteRecovery(space(), 8, 1, EliteRecoveryParameters())
    values = [0.1, 0.8, 0.3, 0.7, 0.2, 0.6, 0.5, 0.4]
    told(strategy, 0, values)
    proposals = strategy.ask(1)
    origins = Counter(p.lineage.origin for p in proposals)
    assert origins == {"mutation": 6, "crossover": 2}
    parents = [tuple(p.slot for p in x.lineage.parents) for x in proposals]
    assert parents == [(1,), (1,), (1,), (3,), (3,), (3,), (5, 6, 7), (2, 4, 0)]


def test_no_candidate_is_asked_for_twice() -> None:
    for seed in range(20):
        strategy = EliteRecovery(space(), 8, seed, EliteRecoveryParameters())
        genomes = [
            outcome.genome
            for generation in range(6)
            for outcome in told(strategy, generation, [0.1, 0.8, 0.3, 0.7, 0.2, 0.6, 0.5, 0.4])
        ]
        assert len(set(genomes)) == 6 * 8


def test_mutation_rate_is_a_share_of_active_coordinates() -> None:
    s = GenomeSpace(
        (Gene("w", "float", per="layer_group", init=0.5),), {}, {}, ("a",), n_groups=200
    )
    strategy = EliteRecovery(s, 8, 5, EliteRecoveryParameters())
    told(strategy, 0, [0.5] * 8)
    changed = []
    for proposal in strategy.ask(1)[:6]:
        parent = strategy.last[proposal.lineage.parents[0].slot].genome
        pairs = zip(s.flatten(proposal.genome), s.flatten(parent), strict=True)
        changed.append(sum(a != b for a, b in pairs))
    assert 0.10 < sum(changed) / (6 * 200) < 0.20


def test_crossover_means_floats_by_fitness_and_votes_on_choices() -> None:
    s = space()
    genomes = [
        {"interpolation": "slerp", "ensemble": "ties", "recombination": "dfs", "density": 0.9},
        {"interpolation": "linear", "ensemble": "ties", "recombination": "dfs",
         "linear_weight": 0.2, "density": 0.5},
        {"interpolation": "linear", "ensemble": "dare_ties", "recombination": "dfs",
         "linear_weight": 0.8, "density": 0.1},
    ]  # fmt: skip
    parents = [
        Outcome(CandidateId(0, i), s.parse(g)[0], Fitness((f,)))
        for i, (g, f) in enumerate(zip(genomes, [0.6, 0.3, 0.1], strict=True))
    ]
    child = crossover(s, parents).values
    assert child["interpolation"] == "linear"
    assert child["ensemble"] == "ties"
    # Weighted by fitness over the parents in which the gene is active.
    assert child["linear_weight"] == round((0.3 * 0.2 + 0.1 * 0.8) / 0.4, 4)
    assert child["density"] == round(0.6 * 0.9 + 0.3 * 0.5 + 0.1 * 0.1, 4)


def test_a_three_way_tie_of_choices_goes_to_the_best_parent() -> None:
    s = GenomeSpace((Gene("k", "choice", choices=(0, 1, 2)),), {}, {}, ("a",), 1)
    parents = [
        Outcome(CandidateId(0, i), s.parse({"k": k})[0], Fitness((f,)))
        for i, (k, f) in enumerate([(2, 0.9), (0, 0.5), (1, 0.1)])
    ]
    assert crossover(s, parents).values["k"] == 2


def test_recover_model_averages_the_models_of_a_triple_by_fitness() -> None:
    strategy = EliteRecovery(space(), 8, 1, EliteRecoveryParameters(recover="model"))
    told(strategy, 0, [0.1, 0.8, 0.3, 0.7, 0.2, 0.6, 0.5, 0.4])
    *mutants, first, second = strategy.ask(1)
    assert not any(isinstance(mutant.genome, Crossing) for mutant in mutants)
    assert isinstance(first.genome, Crossing) and isinstance(second.genome, Crossing)
    assert [str(id) for id in first.genome.models] == ["000/c05", "000/c06", "000/c07"]
    assert first.lineage.parents == first.genome.models
    assert first.genome.values["weight"] == {"first": 0.4, "second": 0.3333, "third": 0.2667}
    assert second.genome.values["weight"] == {"first": 0.5, "second": 0.3333, "third": 0.1667}


def test_an_average_that_becomes_an_elite_mutates_in_its_weights() -> None:
    strategy = EliteRecovery(space(), 8, 1, EliteRecoveryParameters(recover="model"))
    told(strategy, 0, [0.1, 0.8, 0.3, 0.7, 0.2, 0.6, 0.5, 0.4])
    child = next(p.genome for p in strategy.ask(1) if isinstance(p.genome, Crossing))
    told(strategy, 1, [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9, 0.2])
    mutant, *_ = strategy.ask(2)
    assert isinstance(mutant.genome, Crossing) and mutant.genome.models == child.models
    assert mutant.genome.values != child.values
    assert child.space.parse(mutant.genome.values)[1] == []


def test_what_broke_a_constraint_has_no_share_in_an_average() -> None:
    genome = space().initial()
    parents = [
        Outcome(CandidateId(0, slot), genome, Fitness((0.5,), None, violation))
        for slot, violation in enumerate((0.0, 0.1, 0.0))
    ]
    assert average(parents).values["weight"] == {"first": 0.5, "second": 0.0, "third": 0.5}
