from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge_compiler.gene import Gene
from evomerge_compiler.gene_units import from_quantile, from_unit, index_of, to_unit

NUMBERS = [
    Gene("f", "float", -2.0, 3.0),
    Gene("log", "float", 1e-6, 1.0, log=True),
    Gene("i", "int", -3, 7),
    Gene("log i", "int", 1, 1000, log=True),
]


@pytest.mark.parametrize("gene", NUMBERS, ids=lambda gene: gene.name)
@given(share=st.floats(0, 1))
def test_there_and_back(gene: Gene, share: float) -> None:
    value = gene.quantise(from_unit(gene, share))
    assert gene.problem(value) is None
    assert gene.quantise(from_unit(gene, to_unit(gene, value))) == value
    assert gene.problem(gene.quantise(from_quantile(gene, share))) is None


def test_bounds_are_0_and_1_and_hold() -> None:
    gene = Gene("log", "float", 0.01, 1.0, log=True)
    assert [to_unit(gene, x) for x in (0.01, 0.1, 1.0)] == pytest.approx([0, 0.5, 1])
    assert from_unit(gene, 7.0) == pytest.approx(1.0)
    assert from_unit(gene, -7.0) == pytest.approx(0.01)


def test_quantiles_share_evenly() -> None:
    for gene in (Gene("i", "int", 1, 4), Gene("c", "choice", choices=(1, True, "a", "b"))):
        found = Counter(repr(from_quantile(gene, (i + 0.5) / 100)) for i in range(100))
        assert sorted(found.values()) == [25, 25, 25, 25]


def test_one_and_true_are_different_choices() -> None:
    gene = Gene("c", "choice", choices=(True, 1, 1.0))
    assert [index_of(gene, choice) for choice in gene.choices] == [0, 1, 2]
