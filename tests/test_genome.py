"""Genes, conditions, shapes and the round trip between nested, flat and written genomes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge_compiler import yamlio
from evomerge_compiler.gene import Gene
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.strategies.operators import rng, sample_genome


def space() -> GenomeSpace:
    return GenomeSpace(
        genes=(
            Gene("a", "choice", choices=("x", "y")),
            Gene("w", "float", -1.0, 1.0, per="model_x_layer_group", filters=("mlp",), init=0.3),
            Gene("s", "choice", choices=(0, 1, 2), per="layer_group", init=[0, 1, 2],
                 when={"a": ("y",)}),
            Gene("t", "float", 0.0, 2.0, when={"a": ("y",)}),
            Gene("u", "int", 1, 5, when={"k": (True,)}),
        ),
        fixed={"k": True, "j": 2.0},
        fixed_genes={
            "k": Gene("k", "choice", choices=(True, False)),
            "j": Gene("j", "float", 0, 4, when={"a": ("x",)}),
        },
        models=("m", "n"),
        n_groups=4,
    )  # fmt: skip


def test_inactive_genes_are_not_in_the_genome() -> None:
    genome = space().initial()
    assert set(genome.values) == {"a", "w", "u"}
    flat = list(space().complete(genome))
    flat[0] = "y"
    other = space().from_flat(flat)
    assert set(other.values) == {"a", "w", "s", "t", "u"}
    assert other.values["s"] == [0, 1, 2, 0]


def test_a_template_sees_active_fixed_genes_too() -> None:
    values = space().values(space().initial())
    assert values["j"] == 2.0
    assert values["k"] is True


@given(st.integers(0, 10_000))
def test_flat_nested_and_written_forms_are_one(seed: int) -> None:
    s = space()
    genome = sample_genome(s, rng(seed, 0, 0))
    assert s.from_flat(s.complete(genome)) == genome
    data = yamlio.parse(yamlio.dump(genome.plain())).data
    parsed, problems = s.parse(data)
    assert problems == []
    assert parsed == genome
    assert hash(parsed) == hash(genome)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"a": "z", "w": 0.1, "u": 1}, "expected one of ['x', 'y'], got 'z'"),
        ({"a": "x", "w": 3, "u": 1}, "expected a number from -1 to 1, got 3"),
        ({"a": "x", "w": True, "u": 1}, "got True"),
        ({"a": "x", "w": 0.1, "u": 1.5}, "whole number"),
        ({"a": "x", "w": 0.1, "u": 1, "t": 0.5}, "not active"),
        ({"a": "x", "w": 0.1}, "'u' has no value"),
        ({"a": "y", "w": 0.1, "u": 1, "t": 0.5, "s": [0, 1, 2, 0, 1]}, "at most 4"),
        ({"a": "x", "w": {"m": 0.1, "q": 0.2}, "u": 1}, "'q'"),
        ({"a": "x", "w": {"m": 0.1}, "u": 1}, "no value for n"),
        ({"a": "x", "w": {"m": 0.1, "n": {"mpl": 1, "other": 0}}, "u": 1}, "'mpl'"),
        ({"a": "x", "w": 0.1, "u": 1, "k": True}, "is held at True"),
        ({"a": "x", "w": 0.1, "u": 1, "ww": True}, "unknown gene 'ww'"),
        ([1], "expected a mapping"),
    ],
)
def test_a_wrong_genome_is_named(data: object, words: str) -> None:
    _, problems = space().parse(data)
    assert any(words in problem.message for problem in problems), [str(p) for p in problems]


def test_shorthand_fans_out_and_one_mistake_is_one_error() -> None:
    genome, problems = space().parse({"a": "x", "w": 0.25, "u": 1})
    assert problems == []
    assert genome.values["w"]["n"][3] == {"mlp": 0.25, "other": 0.25}  # type: ignore[index]
    _, problems = space().parse({"a": "x", "w": 7, "u": 1})
    assert len(problems) == 1


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_quantised_values_are_values_of_the_gene(value: float) -> None:
    for gene in (
        Gene("g", "float", 0.00004, 0.7),
        Gene("g", "int", -3, 9),
        Gene("g", "float", 1e-6, 1e-2, log=True),
    ):
        quantised = gene.quantise(value)
        assert gene.problem(quantised) is None
        assert gene.quantise(quantised) == quantised


def test_a_cycle_of_conditions_is_inactive() -> None:
    s = GenomeSpace(
        (
            Gene("a", "choice", choices=(1, 2), when={"b": (1,)}),
            Gene("b", "choice", choices=(1, 2), when={"a": (1,)}),
        ),
        {}, {}, ("m",), 1,
    )  # fmt: skip
    assert s.initial().values == {}


def test_a_genome_of_another_space_has_no_coordinates_here() -> None:
    elsewhere = Genome({"w": {"first": 0.5, "second": 0.5}, "s": 1})
    assert set(space().flatten(elsewhere)) == {None}
    assert space().active_coordinates(elsewhere) == ()


def test_too_few_and_too_many_values_are_refused() -> None:
    flat = space().initial_values
    for wrong in (flat[:-1], (*flat, 1)):
        with pytest.raises(ValueError, match="coordinates"):
            space().from_flat(wrong)


def test_conditions_tell_true_from_one_and_may_change_within_one_space() -> None:
    one = GenomeSpace(
        genes=(
            Gene("a", "choice", choices=(1, True)),
            Gene("t", "float", 0.0, 1.0, when={"a": (True,)}),
        ),
        fixed={}, fixed_genes={}, models=(), n_groups=1,
    )  # fmt: skip
    assert [set(one.active({"a": value})) for value in (1, True, 1)] == [{"a"}, {"a", "t"}, {"a"}]
