"""What racing and crossings come to in a plan, beside what they came to in a run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from simulated_run import QUICKSTART, evolve

from evomerge_compiler import cli
from evomerge_compiler import recipe as recipes
from evomerge_compiler.executors.simulated import Landscape
from evomerge_compiler.plan_bounds import WrittenParents, written_parents
from evomerge_compiler.run_folder import RunFolder

GENS = 5
RACING = ("search.plateau.patience=0", "evaluation.racing={rungs: [20, 25], alpha: 0.3}")
CROSSING = (
    "search.plateau.patience=0",
    "search.parameters={recover: model, n_elite: 1, n_mutants: 2}",
    "search.model_crossover={share: 0.25, max_stages: 6}",
)
# A task of the quickstart recipe has 32 items.
LANDSCAPE = Landscape(n_items=32, width=0.2)


def planned(
    capsys: pytest.CaptureFixture[str], recipe: Path, run: Path, *settings: str, gens: int = GENS
) -> dict[str, Any]:
    flags = [word for setting in settings for word in ("-S", setting)]
    arguments = ["plan", str(recipe), "--run-dir", str(run), "--gens", str(gens), "--json"]
    assert cli.run([*arguments, *flags]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_what_a_race_asks_lies_between_the_bounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    racing = planned(capsys, QUICKSTART, run, *RACING)["racing"]
    assert (racing["candidates"], racing["asked_everything"]) == (32, 8)
    assert racing["items_at_most"] == 40 * 128
    assert racing["items_at_least"] == 8 * 128 + 32 * 80
    evolve(run, GENS, overrides=RACING, landscape=LANDSCAPE)
    final = RunFolder.open(run).final()
    assert final is not None and final["racing"]["dropped"]
    assert racing["audit_items"] == 3 * 128 >= final["racing"]["audit_items"] > 0
    assert racing["items_at_least"] <= final["racing"]["items"] < racing["items_at_most"]
    assert final["racing"]["of"] <= racing["items_at_most"]
    ahead = planned(capsys, run, run, gens=GENS + 1)["racing"]
    assert (ahead["candidates"], ahead["asked_everything"]) == (8, 0)
    assert ahead["items_at_least"] == 8 * 80


def test_a_search_without_a_rival_is_asked_everything_once_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    evolve(run, 1, overrides=RACING, landscape=Landscape(failing={"crashed": 1.0}), final=False)
    racing = planned(capsys, run, run, gens=3)["racing"]
    assert (racing["candidates"], racing["asked_everything"]) == (8, 8)


def test_the_range_is_told_in_words_and_in_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["plan", str(QUICKSTART), "--run-dir", str(tmp_path), "--gens", "3"]
    assert cli.run([*call, "-S", "evaluation.racing={}"]) == 0
    text = capsys.readouterr().out
    assert "racing: 16 candidates race; the 8 before them calibrate" in text
    assert "nothing dropped: 3,072 items" in text
    assert "after 20 items a task: 2,304 items (75%)" in text
    assert re.search(r"expected time with one worker: .* if nothing is dropped, .* if all", text)
    many = ("evaluation.racing={}", "evaluation.limit=200")
    plan = planned(capsys, QUICKSTART, tmp_path, *many, gens=3)
    assert 0 < plan["seconds_at_least"] < plan["seconds"]
    assert cli.run([*call, "-S", "evaluation.racing={}", "-S", "evaluation.limit=20"]) == 0
    assert "saves nothing, for no task has more than 20 items" in capsys.readouterr().out
    assert cli.run(call) == 0
    text = capsys.readouterr().out
    assert "racing" not in text and "crossings" not in text


def written(run: Path) -> dict[str, int]:
    """Candidates that others of the run read as models, and the generation that first did."""
    found: dict[str, int] = {}
    for file in sorted(run.glob("generations/*/*/mergekit.yaml")):
        for alias in re.findall(r"models/src/(\d{3}-c\d\d)", file.read_text()):
            found.setdefault(alias, int(file.parts[-3]))
    return found


def test_no_more_parents_are_written_than_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    plan = planned(capsys, QUICKSTART, run, *CROSSING)
    evolve(run, GENS, overrides=CROSSING, final=False)
    found, parents = written(run), plan["parents"]
    assert 0 < len(found) <= parents["at_most"]
    assert min(found.values()) == parents["since"] == 1
    [room] = [need for need in plan["needs"] if "models/parents" in need["what"]]
    assert room["n_bytes"] == parents["at_most"] * parents["bytes_each"]


def parents(generations: int, *settings: str, n_stages: int = 1) -> WrittenParents | None:
    recipe = recipes.load(QUICKSTART, overrides=settings)
    return written_parents(
        recipe, first=0, generations=generations, n_stages=n_stages, bytes_each=10
    )


@pytest.mark.parametrize(
    ("settings", "generations", "at_most", "since"),
    [
        # 1, 3, 7, 15 merges: the third generation after the first may be too long.
        (("search.model_crossover={share: 0.25}",), 3, 0, None),
        (("search.model_crossover={share: 0.25}",), 4, 4, 3),
        (("search.model_crossover={share: 0.25}",), 6, 12, 3),
        # 1, 4, 13 merges; a parent of each candidate.
        (("search.parameters={recover: model}",), 3, 8, 2),
        # No more than there are candidates before the last generation.
        (
            (
                "search.parameters={recover: model}",
                "search.model_crossover={share: 0.5, max_stages: 1}",
            ),
            3,
            16,
            1,
        ),
        (("search.model_crossover={share: 0.25, max_stages: null}",), 50, 0, None),
    ],
)
def test_parents_are_counted_from_where_chains_grow_too_long(
    settings: tuple[str, ...], generations: int, at_most: int, since: int | None
) -> None:
    found = parents(generations, *settings)
    assert found is not None
    assert (found.at_most, found.since) == (at_most, since)


def test_without_crossings_there_are_no_parents() -> None:
    assert parents(50) is None


# -- the shortlist -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "gens", "wanted"),
    [
        ("seed=1", 3, {"candidates": 8, "items": 1600, "searched": 128}),
        ("search.population=2", 2, {"candidates": 4, "items": 1600, "searched": 128}),
        ("search.shortlist=0", 3, None),
        ("evaluation.limit=1000", 3, None),
    ],
)
def test_the_shortlist_is_counted(
    setting: str,
    gens: int,
    wanted: dict[str, int] | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = planned(capsys, QUICKSTART, tmp_path, setting, gens=gens)
    assert found["shortlist"] == wanted
    n = 0 if wanted is None else wanted["candidates"]
    each = found["seconds_per_candidate"]
    # Twelve and a half times the items, of one merge.
    assert 11 * n * each < found["shortlist_seconds"] <= 12.5 * n * each or not n


def test_the_shortlist_is_told_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["plan", str(QUICKSTART), "--run-dir", str(tmp_path), "--gens", "3"]) == 0
    text = capsys.readouterr().out
    assert "the best 8 are asked all search items, about 1,600 in place of 128" in text
    assert re.search(r"  then .* for the shortlist and .* for the final test: .* in all\n", text)
