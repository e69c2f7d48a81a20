"""Real transformers, merged by mergekit-yaml, scored by lm-eval: the command line end to end."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from simulated_run import QUICKSTART, digest

from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.run_folder import RunFolder

# Few items and candidates: what is tested is that all parts are real and fit together.
SMALL = ["--limit", "12", "-S", "search.plateau.patience=0"]
TINY = ["--limit", "6", "-S", "search.plateau.patience=0", "-S", "search.population=2"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "evomerge_compiler", *map(str, arguments)]


def evomerge(*arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        command(*arguments), env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real") / "run"
    text = evomerge("evolve", QUICKSTART, "--run-dir", folder, "--gens", 1, *TINY)
    for word in ("held-out items", "search items", "base", "uniform", "winner 000/", " ± "):
        assert word in text
    assert f"Winner: {folder}/generations/000/c0" in text
    return folder


def test_the_run_is_whole_and_its_candidates_are_scored(run: Path) -> None:
    assert "ok" in evomerge("check", run)
    outcomes = RunFolder.open(run).outcomes(0)
    assert len(outcomes) == 2
    for outcome in outcomes:
        assert outcome.scores is not None
        assert all(score.n == 6 for score in outcome.scores.domains.values())
        assert len(outcome.scores.weights) == 64
        assert all(len(items.tokens) == 6 for items in outcome.scores.items.values())


def test_the_exported_winner_loads_and_reproduces_its_scores(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "winner"
    exported = json.loads(evomerge("export", run, out, "--json"))
    assert exported["verified"] is True
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    with torch.no_grad():
        logits = model(**tokenizer("1+1=", return_tensors="pt")).logits
    assert torch.isfinite(logits).all()
    scored = json.loads(
        evomerge("evaluate", out, "--recipe", QUICKSTART, "--split", "search", "--limit", 6,
                 "--json")
    )  # fmt: skip
    best = RunFolder.open(run).candidate(CandidateId.parse(exported["id"]))
    assert best.scores is not None
    found = scored["evomerge"]["domains"]
    assert {d: round(found[d]["value"], 6) for d in found} == {
        d: score.value for d, score in best.scores.domains.items()
    }
    card = (out / "README.md").read_text()
    assert exported["id"] in card and "Lineage" in card and "held-out" in card


def test_a_candidate_runs_under_mergekit_in_the_run_folder(run: Path, tmp_path: Path) -> None:
    """The compiled file is what its first line says it is."""
    text = (run / "generations/000/c00/mergekit.yaml").read_text()
    (run / "mergekit.yaml").write_text(text)
    try:
        argv = text.splitlines()[0].split(":  ", 1)[1].split()
        program = Path(sys.executable).with_name(argv[0])
        replaced = [str(tmp_path / "OUT") if word == "OUT" else word for word in argv[1:]]
        replaced = [str(tmp_path / "st") if w == "models/stages" else w for w in replaced]
        subprocess.run([str(program), *replaced], cwd=run, env=ENVIRONMENT, check=True)
    finally:
        (run / "mergekit.yaml").unlink()
    from evomerge_compiler.merging.weights import tensors_sha256

    stored = RunFolder.open(run).candidate(CandidateId(0, 0))
    assert stored.scores is not None
    assert tensors_sha256(tmp_path / "OUT") == stored.scores.weights


def test_failures_by_time_limit_are_failures_and_are_tried_again(tmp_path: Path) -> None:
    run, again = tmp_path / "run", tmp_path / "again"
    only = ["-S", "search.population=1"]
    evomerge("evolve", QUICKSTART, "--run-dir", run, "--gens", 1, *TINY, *only,
             "--timeout_s", 0.5, code=1)  # fmt: skip
    [outcome] = RunFolder.open(run).outcomes(0)
    assert outcome.failure is not None and outcome.failure.reason == "timeout"
    assert outcome.fitness is None
    evomerge("retry", run, code=2)  # sealed: history is not rewritten
    evomerge("retry", run, "--select", "non_finite", "--to", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    evomerge("retry", run, "--to", again, "--timeout_s", 600)
    [outcome] = RunFolder.open(again).outcomes(0)
    assert outcome.scores is not None


@pytest.mark.parametrize(
    ("number", "code", "executor"),
    [(signal.SIGTERM, 143, "cli"), (signal.SIGTERM, 143, "warm"), (signal.SIGINT, 130, "warm")],
)
def test_signals_end_the_run_with_their_code_and_leave_no_process(
    tmp_path: Path, number: int, code: int, executor: str
) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        command("evolve", QUICKSTART, "--run-dir", run, "--gens", 1, "--executor", executor,
                *TINY),
        env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    # A merge is under way: its worker, and mergekit's own process, are there to be ended.
    begun = {"cli": "models/stages/.*", "warm": "models/shells/*"}[executor]
    while not list(run.glob(begun)) and time.monotonic() < deadline:
        time.sleep(0.05)
    children = _below(process.pid)
    assert children
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert not [pid for pid in children if Path(f"/proc/{pid}/exe").exists()]
    assert "ok" in evomerge("check", run)


def _below(pid: int) -> list[int]:
    """All descendants of a process."""
    out = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(stat.parent.name)
            out += [child, *_below(child)]
    return out


@pytest.mark.long
def test_one_worker_and_two_give_the_same_tree(tmp_path: Path) -> None:
    for jobs in (1, 2):
        evomerge("evolve", QUICKSTART, "--run-dir", tmp_path / f"j{jobs}", "--gens", 2,
                 "-j", jobs, *SMALL)  # fmt: skip
    assert digest(tmp_path / "j1") == digest(tmp_path / "j2")


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_twenty_kills_of_real_runs_leave_the_tree_of_an_unbroken_one(tmp_path: Path) -> None:
    """A run is killed at random moments until it is done; then the next one, to twenty kills."""
    unbroken = tmp_path / "unbroken"
    arguments = ["evolve", QUICKSTART, "--gens", 2, "-j", 2, *SMALL, "-S", "search.population=4"]
    evomerge(*arguments, "--run-dir", unbroken)
    n_files = len(_files(unbroken))
    dice, kills, runs = random.Random(7), 0, 0
    while kills < 20:
        run = tmp_path / f"run{runs}"
        killed_before = kills
        while _killed(arguments, run, dice.randrange(1, n_files // 3), 2 * dice.random()):
            kills += 1
        runs += 1
        assert kills > killed_before, "a run ended before it was killed once"
        assert digest(run) == digest(unbroken)


def _killed(arguments: list[object], run: Path, n_files: int, later_s: float) -> bool:
    """Starts or resumes a run and kills it; False where it ended before that.

    Args:
        arguments: Of the command.
        run: Its folder.
        n_files: Files that it writes first, so that it gets on however busy the machine is.
        later_s: How much longer it lives, at most.
    """
    there = len(_files(run))
    with subprocess.Popen(
        command(*arguments, "--run-dir", run), env=ENVIRONMENT,
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        while process.poll() is None and len(_files(run)) < there + n_files:
            time.sleep(0.02)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=later_s)
        process.kill()
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def _files(run: Path) -> list[Path]:
    """What a run has come to: the files of its candidates and models."""
    return [path for part in ("generations", "baselines") for path in (run / part).rglob("*.*")]
