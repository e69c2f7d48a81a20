"""A real offline wandb run, read back with wandb's own reader, across a resume."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from simulated_run import QUICKSTART, evolve

from evomerge_compiler import recipe as recipes
from evomerge_compiler.events import Event, Finished, Observer, Started
from evomerge_compiler.tracking import WandbTracker

DOMAINS = ("code", "math", "multilingual", "structured_data")
PER_GENERATION = {
    "generation",
    "best_fitness",
    "avg_fitness",
    "population_size",
    *(f"{domain}_{what}" for domain in DOMAINS for what in ("avg", "best")),
}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    # No login of the person who runs the tests is seen.
    for name in ("HOME", "NETRC", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


class Last(Observer):
    """Ends the run as ``evomerge evolve`` does."""

    def __init__(self, tracker: WandbTracker) -> None:
        self.tracker = tracker

    def end(self, ending: Any) -> None:
        self.tracker.notice(Finished(ending.reason, ending.best.id, {}))


def tracked(run: Path, gens: int, *, end: bool) -> None:
    tracker = WandbTracker(run, project="tests")
    ending = evolve(run, gens, overrides=("search.plateau.patience=0",), observers=[tracker])
    if end:
        Last(tracker).end(ending)
    tracker.close()


def records(run: Path) -> list[dict[str, Any]]:
    """Every record of every wandb file of the run, as wandb itself reads them."""
    out = []
    for file in sorted(run.glob(".evomerge/wandb/offline-run-*/run-*.wandb")):
        done = subprocess.run(
            [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        out += [json.loads(line) for line in done.stdout.splitlines()]
    return out


def test_each_generation_is_logged_once_under_one_id_across_a_resume(tmp_path: Path) -> None:
    run = tmp_path / "run"
    tracked(run, 2, end=False)
    tracked(run, 4, end=True)
    found = records(run)
    history = [record["history"]["item"] for record in found if record["type"] == "history"]
    assert [row["generation"] for row in history] == [0, 1, 2, 3]
    assert [row["_step"] for row in history] == [0, 1, 2, 3]
    for row in history:
        assert set(row) >= PER_GENERATION
        assert row["population_size"] == 8
        assert all(isinstance(row[name], (int, float)) for name in PER_GENERATION)
    table = (run / "generations/003/population.tsv").read_text().splitlines()
    header = table[0].split("\t")
    column = [float(line.split("\t")[header.index("code")]) for line in table[1:]]
    assert history[3]["code_best"] == pytest.approx(max(column))
    assert history[3]["code_avg"] == pytest.approx(sum(column) / len(column), abs=1e-6)
    ids = {record["run"]["run_id"] for record in found if record["type"] == "run"}
    assert len(ids) == 1
    config = next(record["run"]["config"] for record in found if record["type"] == "run")
    assert config["update"]["template"] == "three_stage"
    artifacts = [record["artifact"] for record in found if record["type"] == "artifact"]
    assert len(artifacts) == 1
    names = {entry["path"] for entry in artifacts[0]["manifest"]["contents"]}
    assert {"recipe.yaml", "mergekit.yaml", "scores.yaml"} <= names


def test_wandb_is_never_a_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    def broken(**_: object) -> None:
        raise ConnectionError("no route to wandb")

    monkeypatch.setattr(wandb, "init", broken)
    with caplog.at_level(logging.WARNING):
        tracked(tmp_path / "run", 1, end=True)
    assert "the evolution goes on" in caplog.text
    assert (tmp_path / "run/generations/000/SEALED").exists()


def test_the_id_is_that_of_the_run_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        evolve(tmp_path / name, 0)
    ids = {WandbTracker(tmp_path / name).run_id for name in ("a", "b")}
    assert len(ids) == 2
    assert WandbTracker(tmp_path / "a").run_id in ids
    event: Event = Started(recipes.load(QUICKSTART), str(tmp_path / "a"), 1, 0)
    assert event.recipe.name == "quickstart"
