"""Long to short on the zoo's pair: what is reported of it, and what merging it gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evomerge_compiler.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "recipes" / "long-to-short.yaml"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
# 50 search items and about 50 held-out ones: enough for every part of the report.
SMALL = (
    "--gens", "1", "--limit", "25", "-S", "search.population=5", "-S", "evaluation.holdout=0.06",
    "-S", "search.finalists=3", "-S", "search.shortlist=0",
)  # fmt: skip
PARENTS = ("slow", "fast")


def evomerge(*arguments: object) -> str:
    command = [sys.executable, "-m", "evomerge_compiler", *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def columns(items: Path) -> dict[str, tuple[str, list[int]]]:
    """Domain to the right/wrong digits and the tokens of a plain ``items.tsv``."""
    rows = [line.split("\t") for line in items.read_text().splitlines()]
    at = {name: rows[0].index(name) for name in ("domain", "values", "tokens")}
    return {
        row[at["domain"]]: (row[at["values"]], [int(n) for n in row[at["tokens"]].split(",")])
        for row in rows[1:]
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real") / "run"
    text = evomerge("evolve", RECIPE, "--run-dir", folder, *SMALL)
    for word in ("the front", "tokens held out", "what is kept of the parents", "against slow"):
        assert word in text
    return folder


def test_the_report_is_what_the_items_say(run: Path) -> None:
    """All of it again from the files, with nothing of the package."""
    final = RunFolder.open(run).final()
    assert final is not None and final["transfer"]["slow"] == "slow"
    found: dict[str, Any] = final["transfer"]["held_out"]
    read = {
        name: columns(run / "baselines" / name / "held_out" / "items.tsv")
        for name in ("slow", "fast", "uniform")
    }
    for name, domains in read.items():
        lost = new = solvable = 0
        ratios = []
        for domain, (right, tokens) in domains.items():
            slow, fast = (read[parent][domain][0] for parent in PARENTS)
            for mine, one, other in zip(right, slow, fast, strict=True):
                some = "1" in (one, other)
                solvable += some
                lost += some and mine == "0"
                new += mine == "1" and not some
            ratios.append(sum(tokens) / sum(read["slow"][domain][1]) - 1)
        row = found[name]
        assert (row["lost"], row["new"], row["solvable"]) == (lost, new, solvable)
        assert row["rate"] == pytest.approx(lost / solvable, abs=1e-6)
        assert row["length_change"] == pytest.approx(sum(ratios) / 2, abs=1e-6)
    assert found["slow"]["length_change"] == 0 > found["fast"]["length_change"]
    assert found["fast"]["rate"] > found["slow"]["rate"]


def test_the_items_that_were_lost_are_named(run: Path) -> None:
    best = (run / "best.yaml").read_text().split("id: ")[1].split()[0].strip('"')
    shown = json.loads(evomerge("transfer", f"{run}:{best}", "--items", 500, "--json"))
    assert [row["name"] for row in shown["rows"]] == [*PARENTS, "uniform", best]
    row = shown["rows"][-1]
    assert row["lost"] == sum(domain["n_lost"] for domain in shown["domains"])
    scores = {name: RunFolder.open(run).baseline(name, "search") for name in PARENTS}
    answers = {
        line["prompt"]: line["answer"]
        for task in ("sums", "chains")
        for line in map(
            json.loads,
            (ROOT / f"evaluators/tiny_reasoning/data/{task}.jsonl").read_text().splitlines(),
        )
    }
    for domain in shown["domains"]:
        for item in domain["lost"]:
            assert answers[item["item"]["prompt"]] == item["item"]["target"]
            right = [
                name
                for name, one in scores.items()
                if one is not None and one.items[domain["domain"]].right[item["position"]]
            ]
            assert right and right == list(item["right"])
    text = evomerge("transfer", run, "--split", "held_out")
    assert text.startswith("held-out items") and "against slow" in text


@pytest.mark.long
def test_merges_are_right_at_a_fraction_of_the_slow_models_length(tmp_path: Path) -> None:
    """The recipe as it ships: a front of merges, and one that is as right and far shorter."""
    evomerge("evolve", RECIPE, "--run-dir", tmp_path / "run")
    final = RunFolder.open(tmp_path / "run").final()
    assert final is not None
    parents = {
        (row["mean"], row["objectives"]["tokens"])
        for row in (final["models"][name]["search"] for name in PARENTS)
    }
    front = [(point["mean"], point["tokens"]) for point in final["front"]]
    beaten = [
        one
        for one in front
        for other in {*front, *parents} - {one}
        if other[0] >= one[0] and other[1] >= one[1]
    ]
    assert len(set(front) - set(beaten)) >= 5
    # On items that the search never saw.
    slow = final["models"]["slow"]["held_out"]
    fast = final["models"]["fast"]["held_out"]
    assert fast["mean"] < 0.5 * slow["mean"], "the pair has something to trade"
    held = [point["held_out"] for point in final["front"] if "held_out" in point]
    assert [
        one
        for one in held
        if one["mean"] >= 0.95 * slow["mean"]
        and one["tokens"] >= 0.6 * slow["objectives"]["tokens"]  # both are negative
    ]
