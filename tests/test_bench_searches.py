"""The suite `strategies`: budgets, kept scores and `cma.fmin2`, on a simulated landscape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from evomerge_compiler import recipe as recipes
from evomerge_compiler.bench import chosen
from evomerge_compiler.bench.figures import lead, mean
from evomerge_compiler.bench.kept_scores import KeptScores
from evomerge_compiler.bench.searches import Lab, Ledger, ask_and_tell, decoded, fmin2
from evomerge_compiler.bench.strategies import ARMS, CONTROL, search
from evomerge_compiler.candidate import Failure
from evomerge_compiler.compiler import gather
from evomerge_compiler.executors.base import Job, JobResult
from evomerge_compiler.executors.simulated import Landscape, SimulatedExecutor
from evomerge_compiler.strategies import all_strategies


class Counting(SimulatedExecutor):
    """Counts what it scores; merges whose labels are named fail."""

    def __init__(self, failing: frozenset[str] = frozenset(), limit: int | None = None) -> None:
        super().__init__(Landscape(n_items=100, limit=limit))
        self.labels: list[str] = []
        self.failing = failing

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, JobResult]]:
        self.labels += [job.label for job in jobs]
        for index, result in super().run(jobs):
            if jobs[index].label in self.failing:
                result = JobResult(failure=Failure("merge", "invalid", "it broke"))
            yield index, result


@pytest.fixture(scope="module")
def lab() -> Lab:
    recipe = recipes.load("quickstart")
    return Lab(recipe, gather(recipe), budget=30)


def kept(path: Path, executor: SimulatedExecutor) -> closing[KeptScores]:
    return closing(KeptScores(path / "scores.sqlite", executor))


@pytest.mark.parametrize("arm", ARMS)
def test_a_search_pays_for_its_budget_and_goes_on_from_what_is_kept(
    arm: str, lab: Lab, tmp_path: Path
) -> None:
    first, again = Counting(), Counting()
    with kept(tmp_path, first) as scores:
        found = search(lab, scores, arm, seed=3)
    assert found.n_merges == lab.budget
    assert found.n_failed == 0
    # Each merge is scored once; the winner once more, on other items.
    assert len(first.labels) == len(set(first.labels)) + 1 <= lab.budget + 1
    with kept(tmp_path, again) as scores:
        assert search(lab, scores, arm, seed=3) == found
        assert again.labels == []
        assert search(lab, scores, arm, seed=4) != found
    assert again.labels


def test_the_best_on_all_search_items_wins(lab: Lab, tmp_path: Path) -> None:
    few = Lab(lab.recipe, lab.world, budget=30, shortlist=8)
    executor = Counting(limit=3)
    with kept(tmp_path, executor) as scores:
        found = search(few, scores, CONTROL, seed=5)
        strategy = all_strategies()[CONTROL]
        ledger = Ledger(few, scores)
        ask_and_tell(strategy(lab.recipe.space, 8, 5, strategy.parameters()), ledger)
        listed = ledger.leaders(8)
        asked = scores.score([plan for _, plan in listed], "full_search")
    # 8 more than the search had, and one on held-out items: the second search asked nothing.
    assert len(executor.labels) == 30 + 8 + 1
    values = [few.value(result) for result in asked]
    at = values.index(max(values))
    assert at > 0, "few items are wrong about it"
    assert found.full_search == values[at]
    assert listed[at][0].fitness is not None
    assert found.search == listed[at][0].fitness.value


def test_the_winner_is_the_first_of_the_best(lab: Lab, tmp_path: Path) -> None:
    strategy = all_strategies()[CONTROL]
    with kept(tmp_path, Counting()) as scores:
        ledger = Ledger(lab, scores)
        ask_and_tell(strategy(lab.recipe.space, 8, 1, strategy.parameters()), ledger)
    values = [outcome.fitness.value for outcome, _ in ledger.history if outcome.fitness]
    assert ledger.best is not None
    assert ledger.best[0] is ledger.history[values.index(max(values))][0]


def test_equal_merges_cost_a_strategy_nothing_and_fmin2_their_price(
    lab: Lab, tmp_path: Path
) -> None:
    executor = Counting()
    genomes = [lab.recipe.space.initial()] * 3
    with kept(tmp_path, executor) as scores:
        free, dear = Ledger(lab, scores), Ledger(lab, scores, repeats_cost=True)
        assert len(free.take(0, genomes)) == len(dear.take(0, genomes)) == 3
    assert (free.n_paid, dear.n_paid, len(executor.labels)) == (1, 3, 1)


def test_a_point_without_a_score_ends_fmin2_and_no_strategy(
    lab: Lab, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with kept(tmp_path_factory.mktemp("whole"), Counting()) as scores:
        whole = Ledger(lab, scores, repeats_cost=True)
        fmin2(lab.recipe.space, whole, seed=1)
    third = whole.history[2][1]
    assert third is not None
    with kept(tmp_path, Counting(frozenset({third.merge_key[:12]}))) as scores:
        broken = Ledger(lab, scores, repeats_cost=True)
        fmin2(lab.recipe.space, broken, seed=1)
        assert 2 < len(broken.history) < len(whole.history)
        assert broken.best is not None
        kind = all_strategies()[CONTROL]
        guessing = Ledger(lab, scores)
        guessing.take(0, [whole.history[2][0].genome])
        ask_and_tell(kind(lab.recipe.space, 8, 1, kind.parameters()), guessing)
    assert guessing.n_paid == lab.budget
    assert sum(not outcome.scored for outcome, _ in guessing.history) == 1


def test_fmin2_gets_better_and_draws_by_its_seed_alone(lab: Lab, tmp_path: Path) -> None:
    wide = Lab(lab.recipe, lab.world, budget=200)
    with kept(tmp_path, Counting()) as scores:
        one, two = (Ledger(wide, scores, repeats_cost=True) for _ in range(2))
        for number, ledger in enumerate((one, two)):
            np.random.seed(number)
            fmin2(lab.recipe.space, ledger, seed=5)
    assert [o.genome for o, _ in one.history] == [o.genome for o, _ in two.history]
    values = [outcome.fitness.value for outcome, _ in one.history if outcome.fitness]
    assert len(values) == 200
    assert np.mean(values[-50:]) > np.mean(values[:50]) + 0.05


def test_points_outside_the_range_are_folded_at_0_and_cut_at_1(lab: Lab) -> None:
    space = lab.recipe.space
    n = len(space.coordinates)
    assert decoded(space, [-0.25] * n) == decoded(space, [0.25] * n)
    assert decoded(space, [7.5] * n) == decoded(space, [1.0] * n) != decoded(space, [0.25] * n)


def test_failures_are_kept(lab: Lab, tmp_path: Path) -> None:
    for expected in (1, 0):
        executor = Counting()
        with kept(tmp_path, executor) as scores:
            plan = Ledger(lab, scores)._compiled(lab.recipe.space.initial())
            assert not isinstance(plan, Failure)
            executor.failing = frozenset({plan.merge_key[:12]})
            [result] = scores.score([plan])
        assert result.failure == Failure("merge", "invalid", "it broke")
        assert len(executor.labels) == expected


def test_a_mean_has_students_interval_and_a_lead_is_paired() -> None:
    found = mean("x", [1.0, 2.0, 3.0], "score")
    assert (found.value, found.n) == (2.0, 3)
    # 4.303 is the 97.5 % quantile of t with 2 degrees of freedom, as tables have it.
    assert (
        found.high - 2.0
        == pytest.approx(2.0 - found.low)
        == pytest.approx(4.303 / 3**0.5, abs=1e-3)
    )
    paired = lead(("a", "b"), [1.0, 5.0], [0.5, 4.5], "score", stage="again: ")
    assert (paired.name, paired.low, paired.value, paired.high) == ("again: a - b", 0.5, 0.5, 0.5)
    assert mean("x", [1.0], "score").low == 1.0


def test_suites_of_hours_run_when_they_are_named() -> None:
    assert "strategies" not in chosen(())
    assert chosen(("strategies",)) == ["strategies"]
