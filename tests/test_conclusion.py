"""What a run says at its end: finalists, comparisons, verdict, optimism, guards, control."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
from planted import Planted, planted_run
from simulated_run import QUICKSTART, digest

from evomerge_compiler.candidate import CandidateId, Scores
from evomerge_compiler.executors import simulated
from evomerge_compiler.report.summary import population_rows
from evomerge_compiler.report.verdict import final_text
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.run_folder.check import check

SEVERAL = ("search.strategy=nsga2", "search.objectives=[code, math]")


def run_of(path: Path, world: Planted, *overrides: str, generations: int = 2) -> dict[str, Any]:
    planted_run(path, world, *overrides, generations=generations)
    final = RunFolder.open(path).final()
    assert final is not None
    return final


def last_line(final: dict[str, Any]) -> str:
    return final_text("toy", final, Path("run")).splitlines()[-1]


def test_a_large_gain_is_real(tmp_path: Path) -> None:
    final = run_of(tmp_path / "run", Planted(seed=1, merges=0.12))
    assert final["verdict"]["claim"] == "gain"
    assert last_line(final).startswith("Verdict: a real gain. The winner beats every parent, the")
    assert "uniform" not in last_line(final)
    against = final["winner_against"]["coder"]
    assert against["better"] and against["held_out"]["test"] == "mcnemar"
    assert against["held_out"]["gained"] > against["held_out"]["lost"]


def test_a_gain_that_needed_no_search_says_so(tmp_path: Path) -> None:
    final = run_of(tmp_path / "run", Planted(seed=1, merges=0.12, uniform=0.12))
    assert final["verdict"]["claim"] == "gain"
    assert last_line(final).endswith("It does not beat the uniform merge, which needs no search.")


def test_equal_models_are_not_distinguishable(tmp_path: Path) -> None:
    final = run_of(tmp_path / "run", Planted(seed=2))
    assert final["verdict"]["claim"] == "not distinguishable"
    line = last_line(final)
    assert "no gain is shown" in line and "not distinguishable from the best parent coder" in line


def test_a_loss_is_called_a_loss(tmp_path: Path) -> None:
    final = run_of(tmp_path / "run", Planted(seed=3, merges=-0.15))
    assert final["verdict"]["claim"] == "loss"
    assert "is worse than the best parent coder by" in last_line(final)


# -- finalists -----------------------------------------------------------------------------


def test_finalists_are_within_a_standard_error_and_the_best_over_both_splits_wins(
    tmp_path: Path,
) -> None:
    final = run_of(tmp_path / "run", Planted(seed=5), "search.finalists=5")
    rows = final["finalists"]
    n = len(rows)
    assert 1 < n == final["verdict"]["finalists"]
    assert rows[0]["id"] == final["search_best"]
    scores = RunFolder.open(tmp_path / "run").candidate(CandidateId.parse(rows[0]["id"])).fitness
    assert scores is not None and scores.stderr is not None
    assert all(rows[0]["search"] >= r["search"] >= rows[0]["search"] - scores.stderr for r in rows)
    # Both splits have as many items here.
    winner = max(rows, key=lambda row: row["search"] + row["held_out"])
    assert final["winner"] == winner["id"] != final["search_best"]
    best = RunFolder.open(tmp_path / "run").best()
    assert best is not None and best["id"] == final["winner"]
    # Base, three parents and the uniform merge, for each finalist.
    assert final["verdict"]["comparisons"] == 5 * n
    against = final["winner_against"]["coder"]
    assert against["held_out"]["confidence"] == pytest.approx(1 - 0.05 / n)
    assert against["p_holm"] >= against["held_out"]["p_value"]


def test_one_finalist_needs_no_wider_interval(tmp_path: Path) -> None:
    final = run_of(tmp_path / "run", Planted(seed=5), "search.finalists=1")
    assert final["winner"] == final["search_best"] == final["finalists"][0]["id"]
    assert final["winner_against"]["coder"]["held_out"]["confidence"] == 0.95


def test_optimism_is_that_of_the_searchs_own_best(tmp_path: Path) -> None:
    final = run_of(tmp_path / "run", Planted(seed=5))
    optimism, row = final["optimism"], final["finalists"][0]
    assert optimism["id"] == row["id"] == final["search_best"]
    assert optimism["gap"] == pytest.approx(row["search"] - row["held_out"], abs=2e-6)
    assert "Optimism: the search's best" in final_text("toy", final, tmp_path)


def test_a_run_that_goes_on_leaves_no_old_finalists(tmp_path: Path) -> None:
    world = Planted(seed=5)
    for generations in (1, 2, 3):
        planted_run(tmp_path / "often", world, generations=generations)
    planted_run(tmp_path / "once", world, generations=3)
    assert digest(tmp_path / "often") == digest(tmp_path / "once")
    assert not check(tmp_path / "often")


# -- objectives and constraints ------------------------------------------------------------


def test_the_claim_is_about_what_was_searched_for(tmp_path: Path) -> None:
    """Merges are better in code alone: that is a gain for who asked for code, and no other."""
    world = Planted(seed=6, merges=-0.05, domain_levels={"code": 0.25})
    code = run_of(tmp_path / "code", world, "search.objectives=[code]")
    worst = run_of(tmp_path / "worst", world, "search.objectives=[worst]")
    assert code["verdict"]["claim"] == "gain"
    assert worst["verdict"]["claim"] != "gain"
    assert worst["winner_against"]["coder"]["held_out"]["test"] == "clt"
    assert "worst" in worst["models"]["winner"]["held_out"]["objectives"]


def test_of_several_objectives_the_knee_wins_and_trade_offs_are_called_so(tmp_path: Path) -> None:
    world = Planted(seed=7, domain_levels={"code": 0.25, "math": -0.25})
    final = run_of(tmp_path / "run", world, *SEVERAL)
    knees = [point["id"] for point in final["front"] if point["knee"]]
    assert knees == [final["winner"]]
    assert final["verdict"]["claim"] == "trade-off"
    assert "coder better in code and worse in math" in last_line(final)
    both = run_of(tmp_path / "both", dataclasses.replace(world, domain_levels={}, merges=0.2),
                  *SEVERAL)  # fmt: skip
    assert both["verdict"]["claim"] == "gain"


@pytest.mark.parametrize("objectives", ["[mean]", "[math]", "[worst]", "[geometric]"])
def test_nothing_is_claimed_beside_a_domain_that_cannot_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objectives: str
) -> None:
    """The scores of programs may be numbers without items."""

    def without_items(*arguments: Any, **named: Any) -> Scores:
        found = evaluate(*arguments, **named)
        kept = {domain: items for domain, items in found.items.items() if domain != "math"}
        return dataclasses.replace(found, items=kept)

    evaluate = simulated.evaluate
    monkeypatch.setattr(simulated, "evaluate", without_items)
    world = Planted(seed=1, merges=0.12, domain_levels={"math": -0.45})
    final = run_of(tmp_path / "run", world, f"search.objectives={objectives}")
    assert final["verdict"]["claim"] == "nothing to compare"
    assert final["verdict"]["unpaired"] == ["math"] and "winner_against" not in final
    assert last_line(final).endswith("item by item: math gave no two results of single items.")


def test_one_item_a_domain_is_nothing_to_compare(tmp_path: Path) -> None:
    final = run_of(tmp_path / "run", Planted(seed=1, n_items=1))
    assert final["verdict"]["claim"] == "nothing to compare"


def test_a_parent_called_base_is_a_parent(tmp_path: Path) -> None:
    """Where the base is none of the parents it has that name, else anybody may."""
    text = QUICKSTART.read_text().replace('base: {path: "zoo:base"}\n', "")
    text = text.replace("polyglot:", "base:", 1)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    world = Planted(seed=7, domain_levels={"code": 0.25, "math": -0.25})
    planted_run(tmp_path / "run", world, *SEVERAL, recipe=recipe)
    final = RunFolder.open(tmp_path / "run").final()
    assert final is not None and final["parents"] == ["coder", "mathematician", "base"]
    assert "; base " in last_line(final)


def test_the_ends_of_a_front_are_measured_on_held_out_items_too(tmp_path: Path) -> None:
    three = ("search.strategy=nsga2", "search.objectives=[code, math, multilingual]")
    final = run_of(tmp_path / "run", Planted(seed=6), *three, "search.finalists=3")
    points = final["front"]
    measured = {point["id"] for point in points if "held_out" in point}
    assert len(points) > len(measured) == 3
    rest = [point["id"] for point in points if not point["knee"]]
    assert measured == {final["winner"], rest[0], rest[-1]}
    # The knee alone is compared, and so corrected for.
    assert [row["id"] for row in final["finalists"]] == [final["winner"]]
    assert final["verdict"]["comparisons"] == 3 * 5
    assert {rest[0], rest[-1], "winner"} <= set(final["transfer"]["held_out"])
    text = final_text("toy", final, tmp_path)
    assert "math held out" in text and "what is kept of the parents" in text
    one = run_of(tmp_path / "one", Planted(seed=6), *three, "search.finalists=1")
    assert ["held_out" in p for p in one["front"]] == [p["knee"] for p in one["front"]]


def test_lengths_are_shown_where_they_are_searched_for(tmp_path: Path) -> None:
    world = Planted(seed=6, answers={"coder": "ees"})
    final = run_of(tmp_path / "run", world, "search.strategy=nsga2",
                   "search.objectives=[mean, tokens]")  # fmt: skip
    # Of equal ones the first; the coder says nothing in a third of its answers.
    assert final["transfer"]["slow"] == "mathematician"
    row = final["transfer"]["held_out"]["coder"]
    assert row["tokens"]["p10"] == 1 and row["length_change"] < -0.2
    assert "against mathematician" in final_text("toy", final, tmp_path)
    plain = run_of(tmp_path / "plain", world)
    text = final_text("toy", plain, tmp_path)
    assert "what is kept of the parents" in text and "against mathematician" not in text


def test_the_front_is_in_the_folder_and_the_same_after_a_resume(tmp_path: Path) -> None:
    world = Planted(seed=8)
    for generations in (1, 3):
        planted_run(tmp_path / "often", world, *SEVERAL, generations=generations)
    planted_run(tmp_path / "once", world, *SEVERAL, generations=3)
    assert digest(tmp_path / "often") == digest(tmp_path / "once")
    rows = RunFolder.open(tmp_path / "once").front()
    values = [(row.objectives["code"], row.objectives["math"]) for row in rows]
    assert values == sorted(values, reverse=True) and sum(row.knee for row in rows) == 1
    assert all(b[1] > a[1] for a, b in itertools.pairwise(values))


def test_what_breaks_a_constraint_never_wins(tmp_path: Path) -> None:
    # Candidates are about as good as the best parent: some are below it, some above.
    bound = "search.constraints=[{domain: code, at_least: best_parent}]"
    final = run_of(tmp_path / "run", Planted(seed=9), bound, generations=3)
    run = RunFolder.open(tmp_path / "run")
    parents = [run.baseline(name, "search") for name in ("coder", "mathematician", "polyglot")]
    least = max(scores.domains["code"].value for scores in parents if scores)
    told = [o for g in run.sealed_generations() for o in run.outcomes(g)]
    for outcome in told:
        assert outcome.fitness is not None and outcome.scores is not None
        assert outcome.fitness.feasible == (outcome.scores.domains["code"].value >= least)
    broken = [o for o in told if o.fitness and not o.fitness.feasible]
    assert 0 < len(broken) == final["infeasible"] < len(told)
    winner = run.candidate(CandidateId.parse(final["winner"]))
    assert winner.fitness is not None and winner.fitness.feasible
    assert final["constraints"][0]["search"]["bound"] == pytest.approx(least)
    rows = population_rows(run, 0)
    order = [float(row["violation"]) for row in sorted(rows, key=lambda row: int(row["rank"]))]
    assert order == sorted(order) and order[0] == 0 < order[-1]


def test_a_run_with_constraints_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    bound = "search.constraints=[{domain: code, at_least: base + 0.1}]"
    world = Planted(seed=10)
    for generations in (0, 1, 3):
        planted_run(tmp_path / "often", world, bound, generations=generations)
    planted_run(tmp_path / "once", world, bound, generations=3)
    assert digest(tmp_path / "often") == digest(tmp_path / "once")


def test_a_run_in_which_nothing_is_feasible_has_no_winner(tmp_path: Path) -> None:
    bound = "search.constraints=[{domain: code, at_least: 0.99}]"
    result = planted_run(tmp_path / "run", Planted(seed=11), bound)
    assert result.exit_code == 1 and result.final is not None
    assert result.final["winner"] is None
    assert not (tmp_path / "run/best.yaml").exists()
    assert "no candidate keeps to the constraints" in last_line(result.final)


# -- guards and control --------------------------------------------------------------------


def test_answers_that_are_cut_or_empty_are_told_before_the_verdict(tmp_path: Path) -> None:
    world = Planted(seed=12, merges=0.12, answers={"coder": "leeeeeeeee", "polyglot": "se"})
    final = run_of(tmp_path / "run", world)
    answers = final["guards"]["answers"]
    assert answers["coder"]["cut"] == pytest.approx(0.1)
    assert answers["polyglot"]["empty"] == pytest.approx(0.5)
    assert answers["winner"] == {"tokens": 20.0, "cut": 0.0, "empty": 0.0}
    assert final["guards"]["chat_template"]["applied"] is False
    text = final_text("toy", final, tmp_path)
    assert "Beware: answers were cut at the token limit: 10.0% of coder; raise" in text
    assert "Beware: answers are empty: 50.0% of polyglot" in text
    clean = run_of(tmp_path / "clean", Planted(seed=12, merges=0.12, answers={"coder": "e"}))
    assert clean["guards"]["warnings"] == []


def test_the_control_arm_has_as_many_candidates_and_resumes(tmp_path: Path) -> None:
    world, control = Planted(seed=13, merges=0.05), "search.control=true"
    for generations in (1, 2):
        planted_run(tmp_path / "often", world, control, generations=generations)
    final = run_of(tmp_path / "once", world, control, generations=2)
    assert digest(tmp_path / "often") == digest(tmp_path / "once")
    assert final["control"]["candidates"] == final["candidates"] == 16
    assert not final["winner_against"]["control"]["better"], "all candidates are as good"
    assert "not distinguishable from random candidates" in final_text("toy", final, tmp_path)
    arm = RunFolder.open(tmp_path / "once" / "control")
    assert arm.recipe.search is not None and arm.recipe.search.strategy == "random"
    assert not check(tmp_path / "once")
