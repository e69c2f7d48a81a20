"""The math items: drawn again they are the same, and SymPy finds the same answers."""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sympy
import yaml

from evomerge_compiler.scoring import symbolic
from evomerge_compiler.scoring.items import read
from evomerge_compiler.scoring.math import score

MATH = Path(__file__).parents[2] / "evaluators" / "math"
KINDS = ("arithmetic", "word_problems", "fractions", "equations", "geometry", "sequences")
ITEMS_PER_FAMILY = 12
PLAIN_CONSTANTS = ("", "0", "1", "yes", "no", "true", "null", "[]", "{}")


@functools.cache
def rows(kind: str) -> list[dict[str, Any]]:
    return read(MATH / "data" / f"{kind}.jsonl")


def right(row: dict[str, Any], answer: str) -> float:
    return score(row, [answer])["exact_match"]


class _Exact(ast.NodeTransformer):
    """Every number of a proof becomes a rational number."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, (int, float)):
            return node
        name = ast.Name("Rational", ast.Load())
        return ast.Call(name, [ast.Constant(str(node.value))], [])


def proven(row: dict[str, Any]) -> sympy.Basic:
    """The value of an item's proof."""
    tree = ast.fix_missing_locations(_Exact().visit(ast.parse(row["proof"], mode="eval")))
    space = {name: getattr(sympy, name) for name in dir(sympy)}
    letters = "abcdefhklmnpqrstuvwxyzACFPRSTV"
    space |= {letter: sympy.Symbol(letter) for letter in letters}
    space["reduce"] = functools.reduce
    return sympy.sympify(eval(compile(tree, row["id"], "eval"), space))


def stated(row: dict[str, Any]) -> sympy.Rational:
    """The number that an item's answer states; mixed numbers have two parts."""
    return sympy.Rational(sum(Fraction(part) for part in row["answer"].rstrip("%").split()))


def test_the_generator_writes_the_shipped_bytes(tmp_path: Path) -> None:
    command = [sys.executable, MATH / "generate.py", "--out", tmp_path]
    subprocess.run(command, check=True, cwd=tmp_path)
    for kind in KINDS:
        name = f"{kind}.jsonl"
        assert (tmp_path / name).read_bytes() == (MATH / "data" / name).read_bytes(), kind
    assert len(list(tmp_path.iterdir())) == len(KINDS)


def test_items_are_distinct_and_families_equal() -> None:
    every = [row for kind in KINDS for row in rows(kind)]
    assert len(every) >= 480
    for field in ("id", "prompt"):
        assert len({row[field] for row in every}) == len(every)
    families = Counter((row["id"].split("-")[0], row["family"]) for row in every)
    assert set(families.values()) == {ITEMS_PER_FAMILY}
    # The same sum in other words would be the same item.
    proofs = Counter((row["family"], row["proof"]) for row in every)
    assert set(proofs.values()) == {1}


@pytest.mark.parametrize("kind", KINDS)
def test_reference_answers_are_right(kind: str) -> None:
    for row in rows(kind):
        assert score(row, [row["answer"]]) == {"exact_match": 1.0, "answered": 1.0}, row["id"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_is_proven(kind: str) -> None:
    for row in rows(kind):
        value = proven(row)
        if row["form"] == "symbolic":
            assert symbolic.same(sympy.latex(value), row["answer"]), row
        elif row["places"] >= 0:
            tolerance = sympy.Rational(1, 2 * 10 ** row["places"])
            assert abs(value - stated(row)) <= tolerance, row
        else:
            assert sympy.simplify(value - stated(row)) == 0, row


@pytest.mark.parametrize("kind", KINDS)
def test_constant_answers_score_the_declared_chance(kind: str) -> None:
    numbers = [row for row in rows(kind) if row["form"] != "symbolic"]
    constants = {row["answer"] for row in numbers} | set(PLAIN_CONSTANTS)
    best = max(sum(right(row, answer) for row in numbers) for answer in constants)
    # No number is an expression: there, the commonest one is the best constant.
    expressions = Counter(row["answer"] for row in rows(kind) if row["form"] == "symbolic")
    best = max(best, *expressions.values(), 0)
    metadata = yaml.safe_load((MATH / f"{kind}.yaml").read_text())["metadata"]
    assert best / len(rows(kind)) == pytest.approx(metadata["chance"], abs=0.01)
    assert metadata["chance"] <= 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_off_by_one_is_wrong(kind: str) -> None:
    for row in rows(kind):
        if row["form"] != "symbolic":
            percent = "%" if row["answer"].endswith("%") else ""
            assert not right(row, f"{stated(row) + 1}{percent}"), row["id"]
        else:
            assert not right(row, f"${row['answer']} + 1$"), row["id"]


def test_expressions_cannot_be_copied_from_the_question() -> None:
    """A model that repeats the question's formula has not solved it."""
    for kind in KINDS:
        for row in rows(kind):
            if row["form"] == "symbolic":
                assert row["answer"] not in row["prompt"], row["id"]
                assert right(row, row["prompt"]) == 0.0, row["id"]


def test_rows_of_a_kind_have_the_same_columns() -> None:
    for kind in KINDS:
        assert len({tuple(row) for row in rows(kind)}) == 1
        assert all(row["form"] in {"any", "decimal", "fraction", "mixed", "symbolic"}
                   for row in rows(kind))  # fmt: skip
        assert json.dumps(rows(kind)).count('"places"') == len(rows(kind))
