"""Racing in a search: the same bytes however it is run, and no claim that rests on an estimate."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from simulated_run import QUICKSTART, digest, evolve

from evomerge_compiler import cli
from evomerge_compiler import recipe as recipes
from evomerge_compiler.ask_tell import ask, tell
from evomerge_compiler.candidate import CandidateId, Outcome, Score, Scores, TaskItems
from evomerge_compiler.errors import EvomergeError, RecipeError
from evomerge_compiler.executors.simulated import Landscape
from evomerge_compiler.fitness import fitness, weights
from evomerge_compiler.history import History
from evomerge_compiler.racing import race_of
from evomerge_compiler.report.summary import candidate_rows, run_status
from evomerge_compiler.report.verdict import final_text
from evomerge_compiler.run_folder import RunFolder

SETTINGS = ("search.plateau.patience=0", "evaluation.racing.alpha=0.2")
LANDSCAPE = Landscape(n_items=100, width=0.2)


def race(run: Path, gens: int = 3, **more: Any) -> None:
    evolve(run, gens, **{"landscape": LANDSCAPE, "overrides": SETTINGS, **more})


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("raced") / "run"
    race(run)
    return run


def outcomes(run: Path) -> list[Outcome]:
    folder = RunFolder.open(run)
    return [o for number in folder.sealed_generations() for o in folder.outcomes(number)]


def test_some_are_dropped_and_the_first_generation_is_asked_everything(raced: Path) -> None:
    found = outcomes(raced)
    dropped = [o for o in found if not o.complete]
    assert dropped and all(o.id.generation > 0 for o in dropped)
    for outcome in dropped:
        assert outcome.fitness is not None and outcome.scores is not None
        record = outcome.scores.race
        assert record is not None and record.seen in (80, 200) and record.of == 400
        assert outcome.fitness.value == pytest.approx(record.estimates[-1], abs=1e-6)
        asked = sum(len(items.values) for items in outcome.scores.items.values())
        assert asked == record.seen
    assert any(o.complete and o.id.generation > 0 for o in found)


def test_no_estimate_is_the_best_or_a_finalist(raced: Path) -> None:
    final, found = RunFolder.open(raced).final(), {str(o.id): o for o in outcomes(raced)}
    assert final is not None
    best = max((o for o in found.values() if o.complete), key=lambda o: o.fitness.value)
    assert found[final["search_best"]].fitness == best.fitness
    for row in final["finalists"]:
        assert found[row["id"]].complete


def test_what_was_saved_and_how_far_estimates_were_off_is_told(raced: Path) -> None:
    final = RunFolder.open(raced).final()
    assert final is not None
    told, found = final["racing"], {str(o.id): o for o in outcomes(raced)}
    assert told["dropped"] >= len(told["audited"]) > 0
    assert told["items"] < told["of"] and told["share"] == pytest.approx(
        told["items"] / told["of"], abs=1e-6
    )
    for row in told["audited"]:
        whole = RunFolder.open(raced).baseline(row["id"].replace("/", "-"), "search")
        assert whole is not None and whole.complete
        shares = dict.fromkeys(whole.domains, 0.25)
        assert row["all_items"] == fitness(whole, shares).value
        assert row["estimate"] == found[row["id"]].fitness.value
    text = final_text("quickstart", final, raced)
    assert f"Racing: {told['items']} of {told['of']} items asked" in text
    status = run_status(raced)
    assert "candidates dropped" in str(status["raced"]) and status["failed"] == 0
    rows = {row["id"]: row for row in candidate_rows(raced)}
    for id, outcome in found.items():
        assert rows[id]["state"] == ("scored" if outcome.complete else "dropped")
        if outcome.scores.race is not None:
            assert rows[id]["items"] == f"{outcome.scores.race.seen}/400"


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(raced: Path, tmp_path: Path, workers: int) -> None:
    race(
        tmp_path / "run",
        workers=workers,
        landscape=Landscape(n_items=100, width=0.2, delay_s=0.01),
    )
    assert digest(tmp_path / "run") == digest(raced)


def test_a_resumed_run_is_the_same_run(raced: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    race(run, 1, final=False)
    race(run, 2, final=False)
    # As if killed in the middle of a generation, some of it done.
    folder = run / "generations" / "001"
    for name in ("SEALED", "population.tsv"):
        (folder / name).unlink()
    for slot in random.Random(0).sample(range(8), 4):
        (folder / f"c{slot:02d}" / "scores.yaml").unlink()
    race(run)
    assert digest(run) == digest(raced)


def test_without_irt_items_are_not_told_apart(tmp_path: Path) -> None:
    race(tmp_path / "run", 2, overrides=(*SETTINGS, "evaluation.racing.irt=false"))
    dropped = [o for o in outcomes(tmp_path / "run") if not o.complete]
    assert dropped
    for outcome in dropped:
        for domain, items in outcome.scores.items.items():
            mean = sum(items.values) / len(items.values)
            assert outcome.scores.domains[domain].value == pytest.approx(mean, abs=1e-6)


@pytest.mark.long
def test_real_models_race_alike_in_memory_and_by_command(tmp_path: Path) -> None:
    """Merged once and asked rung after rung, in two workers or through mergekit-yaml."""
    settings = [
        "--limit", "24", "-S", "evaluation.racing.rungs=[10]", "-S", "evaluation.racing.alpha=0.3",
        "-S", "search.population=4", "-S", "search.plateau.patience=0", "-S", "seed=1",
        "-S", "evaluation.holdout=0.05", "-S", "evaluation.racing.audit=1",
        "-S", "search.shortlist=0",
    ]  # fmt: skip
    for name, how in (("warm", ["-j", "2"]), ("cli", ["--executor", "cli"])):
        arguments = ["evolve", str(QUICKSTART), "--run-dir", str(tmp_path / name), "--gens", "2"]
        assert cli.run([*arguments, *settings, *how]) == 0
    found = [o for o in outcomes(tmp_path / "warm") if not o.complete]
    assert found and all(len(o.scores.weights) == 64 for o in found)
    assert digest(tmp_path / "warm") == digest(tmp_path / "cli")


# -- what a race follows from ---------------------------------------------------------------


def history(recipe: recipes.Recipe, rights: list[int], n: int = 40, key: str = "k") -> History:
    """A generation of candidates with so many of n items right in each domain."""
    made = History(recipe.search)
    found = []
    for slot, right in enumerate(rights):
        items = {
            d: TaskItems(f"set {d}", (1.0,) * right + (0.0,) * (n - right))
            for d in recipe.evaluation.tasks
        }
        domains = {d: Score("acc", right / n, 0.08, n) for d in items}
        scores = Scores(domains, f"{key}{slot}", items)
        value = fitness(scores, weights(recipe.evaluation))
        found.append(Outcome(CandidateId(0, slot), recipe.genome, value, scores=scores))
    made.add(found)
    return made


def test_the_rival_is_the_best_so_far() -> None:
    recipe = recipes.load(QUICKSTART, overrides=SETTINGS)
    found = race_of(recipe, history(recipe, [10, 30, 29, 12, 28]))
    assert found is not None
    assert found.rival.eval_key == "k1"
    assert found.looks == (20,) and found.alpha == 0.2
    assert race_of(recipe, History(recipe.search)) is None


def test_what_was_told_is_no_rival() -> None:
    recipe = recipes.load(QUICKSTART, overrides=SETTINGS)
    assert race_of(recipe, history(recipe, [30, 29], key="told:k")) is None


def test_a_race_of_one_domain_compares_it_alone() -> None:
    recipe = recipes.load(QUICKSTART, overrides=(*SETTINGS, "search.objectives=[math]"))
    found = race_of(recipe, history(recipe, [30, 29]))
    assert found is not None and found.shares == {"math": 1.0}
    assert set(found.tracks) == set(recipe.evaluation.tasks)


def test_too_few_items_are_refused() -> None:
    recipe = recipes.load(QUICKSTART, overrides=SETTINGS)
    with pytest.raises(RecipeError, match="code: expected at least 10 items, got 8"):
        race_of(recipe, history(recipe, [4, 5], n=8))


def test_a_metric_that_is_no_mean_is_refused() -> None:
    recipe = recipes.load(QUICKSTART, overrides=SETTINGS)
    made = history(recipe, [20, 20])
    for scores in made.answers.values():
        scores.domains["math"] = Score("f1", 0.7, None, 40)  # type: ignore[index]
    with pytest.raises(RecipeError, match=r"math: f1 is no mean over items: 0\.7"):
        race_of(recipe, made)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("search.objectives=[mean, tokens]", "racing compares by one objective"),
        ("search.objectives=[worst]", "a mean over items, got worst"),
        ("evaluation.tasks.code.task='command: ./judge.py'", "code is judged by a program"),
        ("evaluation.racing.rungs=[50, 20]", "expected numbers in ascending order"),
        ("evaluation.racing.rungs=[5]", "greater than or equal to 10"),
        ("evaluation.racing.alhpa=0.1", "unknown key 'alhpa'"),
    ],
)
def test_recipes_that_cannot_be_raced_are_refused(setting: str, message: str) -> None:
    strategy = ("search.strategy=nsga2",) if "tokens" in setting else ()
    with pytest.raises(EvomergeError, match=message):
        recipes.load(QUICKSTART, overrides=(*SETTINGS, *strategy, setting))


def test_what_is_told_counts_whole_in_a_run_that_races(raced: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    race(run, 1, final=False)
    [first, *_] = ask(run, 2).open
    told = {domain: {"value": 0.9, "stderr": 0.01, "n": 100} for domain in LANDSCAPE.domains}
    tell(run, first.id, told)
    stored = RunFolder.open(run).candidate(first.id)
    assert stored.scores is not None and stored.scores.told and stored.scores.complete
