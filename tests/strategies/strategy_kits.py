"""Spaces to search, and a person and a machine that score what a strategy asks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from evomerge_compiler.candidate import (
    CandidateId,
    Failure,
    Fitness,
    Outcome,
    Proposal,
    Score,
    Scores,
    genome_hash,
)
from evomerge_compiler.gene import BY_DEPTH, Gene
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.strategies import Strategy, all_strategies

NAMES = list(all_strategies())
FAILED = Failure("merge", "crashed", "killed")


def space_of(*genes: Gene, n_groups: int = 4) -> GenomeSpace:
    return GenomeSpace(genes, {}, {}, models=("a", "b"), n_groups=n_groups)


def mixed_space() -> GenomeSpace:
    """Floats, ints, a log gene, choices, per-model and per-group genes, and conditions."""
    return space_of(
        Gene("method", "choice", choices=("linear", "slerp")),
        Gene("ensemble", "choice", choices=("ties", "dare_ties")),
        Gene("t", "float", 0.0, 1.0, init=0.5, when={"method": ("slerp",)}),
        Gene("weight", "float", -1.0, 2.0, per="model", init=0.5),
        Gene("source", "choice", choices=(0, 1, 2, 3), per="layer_group", init=[0, 1, 2]),
        Gene("depth", "int", 1, 9),
        Gene("epsilon", "float", 1e-6, 1e-2, log=True),
    )


def real_space(n: int = 3) -> GenomeSpace:
    return space_of(*(Gene(f"x{i}", "float", -1.0, 1.0, init=0.0) for i in range(n)))


SPACES = {
    "mixed": mixed_space(),
    "real": real_space(),
    "log": space_of(Gene("e", "float", 1e-6, 1.0, log=True), Gene("n", "int", 1, 900, log=True)),
    "whole": space_of(
        Gene("two", "int", 0, 1), Gene("few", "int", -3, 5), Gene("many", "int", 0, 10_000)
    ),
    "words": space_of(Gene("w", "choice", choices=("a", "b", 1, True), per="layer_group")),
    "one word": space_of(Gene("only", "choice", choices=("x",))),
    "chain": space_of(
        Gene("a", "choice", choices=(False, True)),
        Gene("b", "int", 0, 1, when={"a": (True,)}),
        Gene("c", "float", 0.0, 1.0, per="model", filters=("mlp",), when={"b": (1,)}),
    ),
    "depth": space_of(
        Gene("w", "float", -0.5, 1.5, per="model_x_depth", anchors=3, filters=("mlp",)),
        Gene("d", "float", 0.01, 1.0, per="depth", anchors=2, log=True, init=[0.1, 0.5]),
    ),
    "none": space_of(),
}


@st.composite
def spaces(draw: st.DrawFn) -> GenomeSpace:
    """Any genome space: all kinds, shapes and conditions."""
    genes: list[Gene] = []
    parents: list[Gene] = []
    for index in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(("float", "int", "choice")))
        pers = [None, "model", "layer_group", "model_x_layer_group"]
        per = draw(st.sampled_from([*pers, *BY_DEPTH] if kind == "float" else pers))
        log = kind != "choice" and draw(st.booleans())
        low, high, choices = 0.0, 1.0, ()
        if kind == "choice":
            words = st.one_of(st.text("abc", max_size=2), st.integers(0, 3), st.booleans())
            choices = tuple(
                draw(st.lists(words, min_size=1, max_size=4, unique_by=lambda x: (type(x), x)))
            )
        elif kind == "int":
            low = draw(st.integers(1 if log else -50, 50))
            high = low + draw(st.integers(1, 200))
        else:
            low = draw(st.floats(1e-3 if log else -100, 100).map(lambda x: round(x, 4)))
            high = round(low + draw(st.floats(0.01, 100)), 4)
        when = {}
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            when = {parent.name: (draw(st.sampled_from(parent.choices)),)}
        gene = Gene(
            f"g{index}", kind, low, high, choices, per,  # type: ignore[arg-type]
            filters=("mlp",) if draw(st.booleans()) else (), log=log, when=when,
            anchors=draw(st.integers(2, 4)) if per in BY_DEPTH else 0,
        )  # fmt: skip
        genes.append(gene)
        if kind == "choice" and per is None and not gene.filters:
            parents.append(gene)
    return space_of(*genes, n_groups=draw(st.integers(1, 3)))


def make(
    name: str, space: GenomeSpace, population: int = 8, seed: int = 3, **parameters: Any
) -> Any:
    kind = all_strategies()[name]
    return kind(space, population, seed, kind.parameters(**parameters))


def scored(id: CandidateId, genome: Genome, *objectives: float, violation: float = 0.0) -> Outcome:
    """An outcome with objectives, and with domain scores of the same values."""
    domains = {
        f"d{i}": Score("acc", value, 0.02, 50) for i, value in enumerate((*objectives, 0.5)[:2])
    }
    scores = Scores(domains, genome_hash(genome))
    return Outcome(id, genome, Fitness(objectives, 0.02, violation), scores=scores)


class World:
    """Scores proposals by their content, fails some, and edits some.

    Args:
        space: The genomes.
        n_objectives: Of each outcome.
        failing: Slots that fail in every generation.
        all_fail: Generations in which every candidate fails.
        edits: Share of genomes that a person replaces.
        seeds: Genomes that a person adds to generation 0.
        broken: Share of genomes that break a constraint.
    """

    def __init__(
        self,
        space: GenomeSpace,
        *,
        n_objectives: int = 1,
        failing: frozenset[int] = frozenset(),
        all_fail: frozenset[int] = frozenset(),
        edits: float = 0.0,
        seeds: int = 0,
        broken: float = 0.0,
    ) -> None:
        self.space, self.n_objectives = space, n_objectives
        self.failing, self.all_fail = failing, all_fail
        self.edits, self.seeds, self.broken = edits, seeds, broken
        self.random = np.random.default_rng(5)

    def outcomes(self, generation: int, proposals: Sequence[Proposal]) -> list[Outcome]:
        genomes = [proposal.genome for proposal in proposals]
        if generation == 0:
            genomes += [self.anything() for _ in range(self.seeds)]
        out = []
        for slot, genome in enumerate(genomes):
            id = CandidateId(generation, slot)
            if self.random.random() < self.edits:
                genome = self.anything()
            if slot in self.failing or generation in self.all_fail:
                out.append(Outcome(id, genome, None, FAILED))
            else:
                violation = self.violation(genome)
                out.append(scored(id, genome, *self.objectives(genome), violation=violation))
        return out

    def anything(self) -> Genome:
        from evomerge_compiler.strategies.operators import sample_genome

        return sample_genome(self.space, self.random)

    def objectives(self, genome: Genome) -> tuple[float, ...]:
        """Rugged, with ties: rounded sums of what the genome holds."""
        return tuple(self._draws(genome, self.n_objectives))

    def violation(self, genome: Genome) -> float:
        """0, or how far a genome that is drawn to be infeasible is."""
        last = self._draws(genome, self.n_objectives + 1)[-1]
        return last if last < self.broken else 0.0

    @staticmethod
    def _draws(genome: Genome, n: int) -> list[float]:
        text = json.dumps(genome.plain(), sort_keys=True)
        draw = np.random.default_rng(list(text.encode()))
        return [round(float(x), 2) for x in draw.random(n)]

    def run(self, strategy: Strategy, generations: int) -> list[list[Outcome]]:
        told = []
        for generation in range(generations):
            told.append(self.outcomes(generation, strategy.ask(generation)))
            strategy.tell(generation, told[-1])
        return told
