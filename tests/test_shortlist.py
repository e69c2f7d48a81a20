"""The best of a search on few items are asked all search items, and these choose the finalists."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from planted import Planted, model_of, planted_run
from simulated_run import QUICKSTART, digest

from evomerge_compiler import cli
from evomerge_compiler import recipe as recipes
from evomerge_compiler.ask_tell import ask, tell
from evomerge_compiler.candidate import CandidateId, Failure, Outcome
from evomerge_compiler.cli.progress import as_data, describe
from evomerge_compiler.durability import volatile
from evomerge_compiler.events import Concluding, Event, Finished, ModelScored, Observer
from evomerge_compiler.executors.base import Job, JobResult
from evomerge_compiler.executors.simulated import SimulatedExecutor
from evomerge_compiler.fitness import fitness
from evomerge_compiler.launch import search
from evomerge_compiler.report.summary import candidate_rows
from evomerge_compiler.report.verdict import final_text
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.run_folder.check import check
from evomerge_compiler.run_folder.fork import fork
from evomerge_compiler.run_folder.setup import RunSetup

LIMIT = 20
LIMITED = f"evaluation.limit={LIMIT}"
SEVERAL = ("search.strategy=nsga2", "search.objectives=[code, math, multilingual]")
SHARES = dict.fromkeys(("code", "math", "multilingual", "structured_data"), 0.25)


def world(seed: int = 5, limit: int | None = LIMIT, **more: Any) -> Planted:
    return Planted(seed=seed, limit=limit, **more)


def short_run(run: Path, *overrides: str, seed: int = 5, generations: int = 3) -> dict[str, Any]:
    planted_run(run, world(seed), LIMITED, *overrides, generations=generations)
    final = RunFolder.open(run).final()
    assert final is not None
    return final


def outcomes(run: Path) -> dict[str, Outcome]:
    folder = RunFolder.open(run)
    return {str(o.id): o for n in folder.sealed_generations() for o in folder.outcomes(n)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("short") / "run"
    short_run(folder)
    return folder


@pytest.fixture(scope="module")
def final(run: Path) -> dict[str, Any]:
    found = RunFolder.open(run).final()
    assert found is not None
    return found


# -- what is asked, and what it decides ----------------------------------------------------


def test_the_best_of_the_search_are_asked_all_search_items(
    run: Path, final: dict[str, Any]
) -> None:
    short, found = final["shortlist"], outcomes(run)
    assert (short["items"], short["of"], len(short["candidates"])) == (4 * LIMIT, 800, 8)
    merits = {o.scores.eval_key: o.fitness.value for o in found.values() if o.fitness}
    best = sorted(merits.values(), reverse=True)[:8]
    rows = short["candidates"]
    assert sorted((row["search"] for row in rows), reverse=True) == best
    assert sorted(row["place"] for row in rows) == list(range(1, 9))
    full = [row["full_search"] for row in rows]
    assert full == sorted(full, reverse=True) and short["leader"] == rows[0]["id"]
    for row in rows:
        scores = RunFolder.open(run).baseline(row["id"].replace("/", "-"), "full_search")
        assert scores is not None and {s.n for s in scores.domains.values()} == {200}
        assert fitness(scores, SHARES).value == row["full_search"]
        # The search's own items are among them.
        few = found[row["id"]].scores
        assert few is not None
        assert scores.items["code"].values[:LIMIT] == few.items["code"].values


def test_all_search_items_choose_the_finalists(final: dict[str, Any]) -> None:
    leader, *rest = final["shortlist"]["candidates"]
    near = [
        row["id"] for row in rest if row["full_search"] >= leader["full_search"] - leader["stderr"]
    ]
    assert [row["id"] for row in final["finalists"]] == [leader["id"], *near][:3]
    assert leader["place"] > 1 and final["search_best"] != leader["id"]
    # As many search items as held-out ones, now that all are asked.
    pooled = {row["id"]: row["full_search"] + row["held_out"] for row in final["finalists"]}
    assert final["winner"] == max(pooled, key=pooled.__getitem__)
    assert set(final["models"]["winner"]) == {"search", "full_search", "held_out"}


def test_the_gap_is_told_from_few_items_to_all_to_held_out_ones(
    run: Path, final: dict[str, Any]
) -> None:
    found, leader = final["optimism"], final["shortlist"]["leader"]
    assert found["id"] == leader
    assert found["gap"] == pytest.approx(found["search"] - found["held_out"], abs=2e-6)
    assert found["full_gap"] == pytest.approx(found["full_search"] - found["held_out"], abs=2e-6)
    # The best of many on few items: that is what they lose.
    assert found["gap"] > abs(found["full_gap"])
    text = final_text("toy", final, run)
    place = next(r["place"] for r in final["shortlist"]["candidates"] if r["id"] == leader)
    ordinal = {2: "2nd", 3: "3rd"}.get(place, f"{place}th")
    assert (
        f"Shortlist: the best 8 of the search were asked all 800 search items; {leader} leads "
        f"(it was {ordinal} on 80)." in text
    )
    assert f"Optimism: the best of the shortlist, {leader}, scored" in text
    assert "Finalists, on search / all search / held-out items: " in text


def test_it_is_shown_beside_the_fitness(run: Path, final: dict[str, Any]) -> None:
    wanted = {row["id"]: row["full_search"] for row in final["shortlist"]["candidates"]}
    shown = {row["id"]: row["full_search"] for row in candidate_rows(run)}
    assert {id: value for id, value in shown.items() if value is not None} == wanted


def test_no_file_of_a_candidate_changes(run: Path, tmp_path: Path) -> None:
    plain = short_run(tmp_path / "off", "search.shortlist=0")
    assert "shortlist" not in plain and "full_search" not in plain["models"]["winner"]
    off, on = digest(tmp_path / "off"), digest(run)
    names = [name for name in off if name.startswith("generations/")]
    assert {name: off[name] for name in names} == {name: on[name] for name in names}
    assert not any("full_search" in name for name in off)
    assert not check(run)


@pytest.mark.parametrize(
    ("limit", "setting"),
    [
        (None, "evaluation.limit=null"),
        (200, "evaluation.limit=200"),
        (None, "evaluation.limit=300"),
    ],
)
def test_where_nothing_is_left_unasked_nothing_changes(
    tmp_path: Path, limit: int | None, setting: str
) -> None:
    trees = []
    for name, size in (("on", 8), ("off", 0)):
        planted_run(tmp_path / name, world(limit=limit), setting, f"search.shortlist={size}")
        tree = digest(tmp_path / name)
        assert not any("full_search" in path for path in tree)
        trees.append(tree)
    assert trees[0] == trees[1]


def test_a_limit_leaves_nothing_unasked_of_a_program(tmp_path: Path) -> None:
    task = "evaluation.tasks={code: {task: 'command: ./judge.py {model}', metric: quality}}"
    assert "shortlist" not in short_run(tmp_path / "run", task)


def test_there_are_never_fewer_than_finalists(tmp_path: Path) -> None:
    final = short_run(tmp_path / "run", "search.shortlist=2", "search.finalists=4")
    assert len(final["shortlist"]["candidates"]) == 4


# -- kills, and runs that go on ------------------------------------------------------------


class Watched(SimulatedExecutor):
    """Counts what is asked, breaks off after some results, or fails some jobs.

    Args:
        planted: The world.
        results: How many results it gives before it is interrupted.
        failing: Labels of jobs that fail on all search items.
    """

    def __init__(
        self, planted: Planted, results: int | None = None, failing: Sequence[str] = ()
    ) -> None:
        super().__init__(planted, values=model_of)
        self.left = results
        self.failing = failing
        self.asked: list[tuple[str, str]] = []

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, JobResult]]:
        for index, result in super().run(jobs):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left = None if self.left is None else self.left - 1
            job = jobs[index]
            self.asked += [(job.label, split) for split in job.splits]
            if job.label in self.failing and "full_search" in job.splits:
                result = JobResult(failure=Failure("evaluate", "timeout", "it took too long"))
            yield index, result


class Recorder(Observer):
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def notice(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def watched(
    run: Path,
    executor: Watched,
    *overrides: str,
    generations: int = 3,
    observers: Sequence[Observer] = (),
) -> None:
    given = ("search.plateau.patience=0", "search.strategy=tournament", LIMITED, *overrides)
    recipe = recipes.load(QUICKSTART, overrides=given)
    setup = RunSetup(recipe, QUICKSTART.read_bytes(), {"simulated": True}, given)
    folder = RunFolder.open(run, create_from=setup)
    with folder.hold(), volatile(), executor:
        search(recipe, folder, executor, observers, generations)


def test_what_is_asked_at_the_end_is_told_as_it_comes(
    final: dict[str, Any], tmp_path: Path
) -> None:
    recorder = Recorder()
    failing = final["shortlist"]["candidates"][-1]["id"].replace("/", "-")
    watched(tmp_path / "run", Watched(world(), failing=[failing]), observers=[recorder])
    told = recorder.of(ModelScored)
    names = {row["id"].replace("/", "-") for row in final["shortlist"]["candidates"]}
    assert {event.name for event in told[:8]} == names
    assert {event.name for event in told[8:]} >= {"base", "coder", "uniform"}
    lines = [describe(event) for event in told]
    assert any("  all search items:  code 0." in line for line in lines)
    assert f"{failing}  failed in evaluate: timeout: it took too long" in lines
    assert sum("held out:" in line for line in lines) == len(told) - 8
    [concluding], [finished] = recorder.of(Concluding), recorder.of(Finished)
    assert describe(concluding).startswith("asking the best 8 all search items, then scoring")
    assert str(finished.best) == final["winner"]
    assert all(json.dumps(as_data(event)) for event in told)


def test_a_kill_at_any_result_costs_no_byte(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        watched(path, Watched(world(), 2), generations=3)
    asked: list[tuple[str, str]] = []
    interrupted = 0
    while interrupted < 200:
        executor = Watched(world(), 1)
        try:
            watched(path, executor)
            break
        except KeyboardInterrupt:
            asked += executor.asked
            interrupted += 1
    assert 20 < interrupted < 200
    assert digest(path) == digest(run)
    full = [label for label, split in asked if split == "full_search"]
    assert len(full) == len(set(full)) == 8, "each was asked once"


def test_a_finished_run_asks_nothing_again(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    executor, recorder = Watched(world()), Recorder()
    watched(tmp_path / "run", executor, observers=[recorder])
    assert executor.asked == [] and not recorder.of(ModelScored)
    assert digest(tmp_path / "run") == digest(run)


def test_a_damaged_answer_is_found_and_asked_again(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    [first, *_] = sorted((tmp_path / "run" / "baselines").glob("*/full_search/items.tsv"))
    first.write_bytes(first.read_bytes()[:-9])
    assert [finding.level for finding in check(tmp_path / "run")] == ["damage"]
    watched(tmp_path / "run", Watched(world()))
    assert digest(tmp_path / "run") == digest(run)


@pytest.mark.parametrize(
    "settings",
    [
        (),
        SEVERAL,
        ("search.control=true", "search.constraints=[{domain: code, at_least: base - 0.1}]"),
    ],
    ids=["one objective", "several", "a control, and a constraint"],
)
def test_a_run_that_goes_on_leaves_nothing_of_earlier_shortlists(
    tmp_path: Path, settings: tuple[str, ...]
) -> None:
    for generations in (1, 2, 3):
        short_run(tmp_path / "often", *settings, generations=generations)
    short_run(tmp_path / "once", *settings)
    assert digest(tmp_path / "often") == digest(tmp_path / "once")
    assert not check(tmp_path / "often")


def test_a_branch_starts_without_a_shortlist(run: Path, tmp_path: Path) -> None:
    fork(run, 2, tmp_path / "branch")
    assert not (tmp_path / "branch" / "baselines").exists()
    assert cli.run(["gc", str(run)]) == 0 and not check(run)


# -- failures, and what was told -----------------------------------------------------------


def test_one_that_cannot_be_asked_is_left_out_with_its_reason(
    run: Path, final: dict[str, Any], tmp_path: Path
) -> None:
    leader = final["shortlist"]["leader"]
    name = leader.replace("/", "-")
    watched(tmp_path / "run", Watched(world(), failing=[name]))
    found = RunFolder.open(tmp_path / "run").final()
    assert found is not None
    assert found["not_scored"][name] == "timeout: it took too long"
    ids = [row["id"] for row in found["shortlist"]["candidates"]]
    assert ids == [row["id"] for row in final["shortlist"]["candidates"]][1:]
    assert found["shortlist"]["leader"] == ids[0] == found["optimism"]["id"]


def test_where_none_can_be_asked_the_search_decides(final: dict[str, Any], tmp_path: Path) -> None:
    names = [row["id"].replace("/", "-") for row in final["shortlist"]["candidates"]]
    watched(tmp_path / "run", Watched(world(), failing=names))
    found = RunFolder.open(tmp_path / "run").final()
    assert found is not None and found["shortlist"]["leader"] is None
    assert found["finalists"][0]["id"] == found["search_best"]
    text = final_text("toy", found, tmp_path)
    assert "Shortlist: none of the best of the search could be asked" in text


def test_what_was_told_is_measured_too(tmp_path: Path) -> None:
    short_run(tmp_path / "run", generations=1)
    [first, *_] = ask(tmp_path / "run").open
    tell(tmp_path / "run", first.id, {d: {"value": 0.95, "stderr": 0.01, "n": 7} for d in SHARES})
    final = short_run(tmp_path / "run", generations=2)
    [row] = [row for row in final["shortlist"]["candidates"] if row["id"] == str(first.id)]
    assert row["place"] == 1 and row["search"] == 0.95
    assert (final["shortlist"]["items"], final["shortlist"]["of"]) == (4 * LIMIT, 800)
    assert final["search_best"] == row["id"] and row["full_search"] < 0.8


# -- racing, constraints, several objectives, the control ----------------------------------


def test_what_a_race_dropped_is_never_listed(tmp_path: Path) -> None:
    racing = "evaluation.racing={rungs: [10], alpha: 0.3}"
    final = short_run(tmp_path / "run", racing, "search.shortlist=20", generations=4)
    found = outcomes(tmp_path / "run")
    dropped = {id for id, outcome in found.items() if not outcome.complete}
    listed = {row["id"] for row in final["shortlist"]["candidates"]}
    assert dropped and listed and not dropped & listed


def test_of_several_objectives_points_of_the_front_are_listed(tmp_path: Path) -> None:
    final = short_run(tmp_path / "run", *SEVERAL, "search.shortlist=3", seed=6)
    points = {point["id"]: point for point in final["front"]}
    rows = {row["id"]: row for row in final["shortlist"]["candidates"]}
    assert len(points) > len(rows) == 3 and rows.keys() <= points.keys()
    assert final["search_best"] in rows and rows[final["search_best"]]["place"] == 1
    assert {id for id, point in points.items() if "full_search" in point} == rows.keys()
    [knee] = [id for id, point in points.items() if point["knee"]]
    assert knee == final["winner"] == final["shortlist"]["leader"]
    # Held-out items are asked of those that nothing beats on all search items.
    full = {id: tuple(points[id]["full_search"].values()) for id in rows}
    beaten = {
        a
        for a, b in itertools.permutations(full, 2)
        if full[a] != full[b] and all(x <= y for x, y in zip(full[a], full[b], strict=True))
    }
    assert {id for id, point in points.items() if "held_out" in point} == rows.keys() - beaten
    assert [row.id for row in RunFolder.open(tmp_path / "run").front() if row.knee] == [
        CandidateId.parse(knee)
    ]
    text = final_text("toy", final, tmp_path)
    assert "Shortlist: 3 points of the front were asked all 800 search items; the knee is" in text
    assert "code all search" in text


def test_constraints_are_bounds_on_all_search_items_too(tmp_path: Path) -> None:
    bound = "search.constraints=[{domain: code, at_least: best_parent}]"
    final = short_run(tmp_path / "run", bound, seed=9)
    run = RunFolder.open(tmp_path / "run")
    parents = [
        run.baseline(name, "full_search") for name in ("coder", "mathematician", "polyglot")
    ]
    least = max(scores.domains["code"].value for scores in parents if scores)
    assert final["constraints"][0]["full_search"]["bound"] == pytest.approx(least)
    rows, broken = final["shortlist"]["candidates"], []
    for row in rows:
        scores = run.baseline(row["id"].replace("/", "-"), "full_search")
        assert scores is not None
        broken.append(scores.domains["code"].value < least)
        assert ("violation" in row) == broken[-1]
    # What breaks them comes last, however good it is, and is no finalist.
    assert broken == sorted(broken) and 0 < sum(broken) < len(broken)
    kept = {row["id"] for row in rows if "violation" not in row}
    assert {row["id"] for row in final["finalists"]} <= kept


def test_where_all_break_a_constraint_on_all_items_the_nearest_leads(tmp_path: Path) -> None:
    bound = "search.constraints=[{domain: code, at_least: 0.66}]"
    final = short_run(tmp_path / "run", bound, seed=9)
    rows = final["shortlist"]["candidates"]
    assert all("violation" in row for row in rows)
    assert rows[0]["violation"] == min(row["violation"] for row in rows)
    assert [row["id"] for row in final["finalists"]] == [rows[0]["id"]] == [final["winner"]]
    text = final_text("toy", final, tmp_path)
    assert "On all search items none of them keeps to the constraints" in text


def test_the_control_has_a_shortlist_of_its_own(tmp_path: Path) -> None:
    final = short_run(tmp_path / "run", "search.control=true", seed=13)
    control = RunFolder.open(tmp_path / "run" / "control")
    found = {
        folder.split("/")[1]: control.baseline(folder.split("/")[1], "full_search")
        for folder in control.baseline_folders()
    }
    values = {n.replace("-", "/"): fitness(s, SHARES).value for n, s in found.items() if s}
    assert len(values) == 8
    assert final["control"]["best"] == max(values, key=values.__getitem__)
    assert not check(tmp_path / "run")


def test_the_simulated_search_keeps_to_the_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["simulate", str(QUICKSTART), "--gens", "2", "--run-dir", str(tmp_path / "run")]
    assert cli.run([*call, "-S", "simulation.items=100"]) == 0
    assert ", on all search items 0." in capsys.readouterr().out
    final = RunFolder.open(tmp_path / "run").final()
    assert final is not None
    assert (final["shortlist"]["items"], final["shortlist"]["of"]) == (128, 400)
