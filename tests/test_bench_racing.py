"""The suite `racing`: searches on a table of answers, on a simulated landscape."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from evomerge_compiler import recipe as recipes
from evomerge_compiler.bench.figures import Figure
from evomerge_compiler.bench.kept_scores import KeptScores
from evomerge_compiler.bench.racing import (
    ARMS,
    FULL,
    Searched,
    TableExecutor,
    estimate_errors,
    figures,
)
from evomerge_compiler.compiler import compile_recipe
from evomerge_compiler.evaluation import race as races
from evomerge_compiler.evaluation.race import Race
from evomerge_compiler.executors.base import Job
from evomerge_compiler.executors.simulated import Landscape, SimulatedExecutor
from evomerge_compiler.strategies.factory import build

LANDSCAPE = Landscape(n_items=60)
EVERY = tuple(range(60))


def plans(n: int) -> list[Job]:
    recipe = recipes.load("quickstart")
    found = build(recipe).ask(0)[:n]
    return [
        Job(f"c{slot}", plan=compile_recipe(recipe, genome=one.genome), genome=one.genome)
        for slot, one in enumerate(found)
    ]


def test_a_table_answers_as_its_executor_and_fewer_items_are_some_of_them(tmp_path: Path) -> None:
    [job, other] = plans(2)
    executor = SimulatedExecutor(LANDSCAPE)
    with closing(KeptScores(tmp_path / "scores.sqlite", executor)) as scores:
        [(_, expected)] = executor.run([job])
        whole = expected.scores["search"]
        every = {domain: (items.item_set, EVERY) for domain, items in whole.items.items()}
        [(_, found)] = TableExecutor(scores, every).run([job])
        assert found.scores["search"] == whole
        few = dict.fromkeys(whole.items, ("few", EVERY[::3]))
        [(_, fewer)] = TableExecutor(scores, few).run([job])
        for domain, items in fewer.scores["search"].items.items():
            assert items.values == whole.items[domain].values[::3]
            assert fewer.scores["search"].domains[domain].n == 20
        assert scores.n_scored == 1
        # A race of the table is the race of the executor.
        tracks = {domain: races.track(60, domain) for domain in whole.items}
        race = Race(whole, tracks, (20, 40), dict.fromkeys(tracks, 0.25), 0.4)
        raced = Job(other.label, plan=other.plan, genome=other.genome, race=race)
        assert list(TableExecutor(scores, every).run([raced])) == list(executor.run([raced]))


def of(name: str, found: Sequence[Figure]) -> Figure:
    [one] = [figure for figure in found if figure.name == name]
    return one


def test_the_figures_are_of_pairs_of_searches() -> None:
    searched = {
        name: [Searched(0.7 - (name != FULL) * loss, asked, (0.01, -0.03))]
        for (name, asked), loss in zip(
            dict(zip(ARMS, (1000, 500, 300), strict=True)).items(), (0, 0.01, 0.05), strict=True
        )
    }
    found = list(figures({name: 3 * each for name, each in searched.items()}))
    assert of("racing: items asked", found).value == pytest.approx(0.5)
    assert of("racing: items asked", found).holds
    assert of("every item - racing", found).value == pytest.approx(0.01)
    assert of("racing: loss at the upper end of its interval", found).holds
    [_, _, last] = ARMS
    assert of(f"{last}: items asked", found).holds is False
    assert of(f"{last}: loss at the upper end of its interval", found).holds is False
    assert of("racing: size of that error", found).value == pytest.approx(0.02)


def test_estimates_are_nearer_than_means_and_of_those_that_did_not_calibrate() -> None:
    executor = SimulatedExecutor(Landscape(n_items=150, width=0.3))
    answers = [result.scores["search"] for _, result in executor.run(plans(8))]
    shares = dict.fromkeys(answers[0].items, 0.25)
    found = estimate_errors(answers, 5, shares, seed=1)
    assert set(found) == {(rung, irt) for rung in (20, 50, 100) for irt in (True, False)}
    assert all(len(sizes) == 3 for sizes in found.values())
    assert max(found[100, True]) < max(found[20, False]) < 0.2
    # An estimate follows from those that calibrate and from nobody else.
    few = estimate_errors(answers[:6], 5, shares, seed=1)
    assert few[50, True] == found[50, True][:1]
