"""``evomerge transfer`` on simulated runs: which models it compares, and what it cannot say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from planted import Planted, planted_run
from simulated_run import evolve

from evomerge_compiler import cli, errors
from evomerge_compiler.run_folder import RunFolder

MODELS = ["coder", "mathematician", "polyglot", "uniform"]


def call(*arguments: str | Path) -> int:
    return cli.run([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("transfer") / "run"
    planted_run(path, Planted(seed=6, merges=0.05), "search.strategy=nsga2",
                "search.objectives=[code, math, multilingual]", "search.finalists=2")  # fmt: skip
    return path


def test_parents_uniform_merge_and_front_are_shown(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    front = [str(row.id) for row in RunFolder.open(run).front()]
    assert call("transfer", run, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in shown["rows"]] == MODELS + front and len(front) > 2
    rates = {row["name"]: row["rate"] for row in shown["rows"]}
    assert 0 < rates["coder"] < rates["mathematician"] < 1, "parents have a rate of their own"
    assert all("tokens" not in row for row in shown["rows"]) and shown["slow"] is None
    assert call("transfer", run) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[2:] == ["mean", "lost", "solvable", "rate", "new"]
    assert [line.split()[0] for line in lines] == MODELS + front


def test_on_held_out_items_there_are_those_that_were_asked_them(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    final = RunFolder.open(run).final()
    assert final is not None
    asked = [point["id"] for point in final["front"] if "held_out" in point]
    assert call("transfer", run, "--split", "held_out", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in shown["rows"]] == MODELS + asked and len(asked) == 2
    [winner] = [row for row in shown["rows"] if row["name"] == final["winner"]]
    told = final["transfer"]["held_out"]["winner"]
    assert {key: winner[key] for key in told} == pytest.approx(told, abs=1e-6)
    others = [point["id"] for point in final["front"] if "held_out" not in point]
    assert call("transfer", f"{run}:{others[0]}", "--split", "held_out") == errors.EXIT_BAD_INPUT
    assert f"no scores on held-out items of {others[0]}" in capsys.readouterr().err


def test_items_without_texts_are_counted(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("transfer", f"{run}:best") == 0
    text = capsys.readouterr().out
    assert "code: of 200 items" in text and "simulated items have no text" in text
    assert call("transfer", f"{run}:best", "--items", "2", "--json") == 0
    domains = json.loads(capsys.readouterr().out)["domains"]
    assert all(len(d["lost"]) == 2 < d["n_lost"] for d in domains)


def test_parents_that_are_not_scored_yet_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evolve(tmp_path / "run", 1, final=False)
    assert call("transfer", tmp_path / "run") == errors.EXIT_BAD_INPUT
    message = capsys.readouterr().err
    assert "no scores on search items of coder, mathematician, polyglot" in message
    assert "scored when the run ends" in message
