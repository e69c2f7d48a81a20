"""``evomerge evaluate RUN:ID``: mergekit merges the candidate, lm-eval asks it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from simulated_run import evolve

from evomerge_compiler import cli, errors, gpus, launch, yamlio
from evomerge_compiler.cli import evaluate_command
from evomerge_compiler.evaluation.perplexity import default_text
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.executors import placement

LIMIT = 6
RECIPE = """\
version: 1
name: two
models:
  coder: {path: "zoo:coder", domain: code}
  mathematician: {path: "zoo:mathematician", domain: math}
template: linear
evaluation:
  tasks:
    code: {task: evomerge_tiny_code, metric: pass_at_1}
    math: {task: evomerge_tiny_math, metric: exact_match}
  batch_size: 64
  holdout: 0.5
  limit: 32
search: {population: 2}
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An open generation, of which 000/c01 is all coder and no mathematician."""
    recipe, run = tmp_path / "two.yaml", tmp_path / "run"
    recipe.write_text(RECIPE)
    evolve(run, 0, recipe=recipe)
    path = run / "generations/000/c01/recipe.yaml"
    data = yamlio.read_file(path).data
    assert isinstance(data, dict)
    data["genome"]["weight"] = {"coder": 1.0, "mathematician": 0.0}
    path.write_text(yamlio.dump(data))
    return run


def evaluated(target: str, out: Path, *more: str) -> tuple[dict[str, Any], dict[str, str]]:
    """What the command says of a target, and the answers that it kept, by file."""
    flags = ["--split", "search", "--limit", str(LIMIT), "--output_path", str(out)]
    assert cli.run(["evaluate", target, *flags, "--log_samples", *more]) == 0
    data = json.loads((out / "results.json").read_text())
    return data, {path.name: path.read_text() for path in sorted(out.glob("samples_*"))}


def test_a_candidate_is_merged_and_asked_as_many_items_as_the_limit_says(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merged, answers = evaluated(f"{run}:000/c01", tmp_path / "merged")
    domains = merged["evomerge"]["domains"]
    assert [domain["n"] for domain in domains.values()] == [LIMIT, LIMIT]
    assert merged["config"]["limit"] == LIMIT
    assert [text.count("\n") for text in answers.values()] == [LIMIT, LIMIT]
    table = capsys.readouterr().out.splitlines()
    for line, (name, domain) in zip(table[1:], domains.items(), strict=True):
        assert line.split()[0] == name and f"{domain['value']:.4f}" in line
    # A merge that is all coder answers as the coder does, word by word.
    recipe = str(tmp_path / "two.yaml")
    plain, its_answers = evaluated("zoo:coder", tmp_path / "plain", "--recipe", recipe,
                                   "--perplexity", recipe)  # fmt: skip
    assert plain["evomerge"]["domains"] == domains
    assert its_answers == answers
    assert (
        0 < plain["evomerge"]["bits_per_byte"] < 100 and "bits_per_byte" not in merged["evomerge"]
    )


def test_perplexity_without_a_file_is_of_the_own_text() -> None:
    context = evaluate_command.command.make_context("evaluate", ["zoo:coder", "--perplexity"])
    assert evaluate_command._text(context.params) == default_text()
    context = evaluate_command.command.make_context("evaluate", ["zoo:coder"])
    assert evaluate_command._text(context.params) is None


@pytest.mark.parametrize(
    ("target", "flags", "message"),
    [
        ("{run}:000/c09", (), "000/c09"),
        ("{run}:000/c01", ("--limit", "0"), "0 is not in the range x>=1"),
        ("{run}:c01", (), "expected a candidate such as 003/c05, got 'c01'"),
        ("{run}", (), "best"),
        ("zoo:coder", ("--perplexity", "nowhere.txt"), "no text file 'nowhere.txt'"),
        ("zoo:coder", ("--perplexity", "a.txt", "--text", "b.txt"), "both name a text"),
        ("zoo:coder", ("--output_path", "/dev/null/out"), "/dev/null is a file"),
        ("zoo:coder", ("--device", "gpu"), "device 'gpu' is none of auto, cpu, cuda and cuda:N"),
    ],
)
def test_what_cannot_be_evaluated_is_said_before_any_merge(
    run: Path, capsys: pytest.CaptureFixture[str],
    target: str, flags: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    assert cli.run(["evaluate", target.format(run=run), *flags]) == errors.EXIT_BAD_INPUT
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["hf", "vllm"])
def test_a_gpu_that_is_named_is_the_only_one_that_is_seen(
    backend: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither mergekit-yaml nor lm-eval's class of vLLM takes a number."""

    class Asked(Exception):
        pass

    def session(plan: EvaluationPlan) -> None:
        raise Asked(plan.backend, plan.device, os.environ[gpus.VARIABLE])

    for module in (launch, placement):
        monkeypatch.setattr(module, "gpu_available", lambda: True)
    monkeypatch.setattr(gpus, "names", lambda: ("GPU-aa", "GPU-bb"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr("evomerge_compiler.evaluation.lm_eval.Session", session)
    monkeypatch.setenv(gpus.VARIABLE, "0,1")
    device = ["--backend", backend, "--device"]
    assert cli.run(["evaluate", "zoo:coder", *device, "cuda:1"]) == errors.EXIT_BUG
    assert f"Asked: ('{backend}', 'cuda', 'GPU-bb')" in capsys.readouterr().err
    assert cli.run(["evaluate", "zoo:coder", *device, "cuda:2"]) == errors.EXIT_BAD_INPUT
    assert "GPUs here: cuda:0, cuda:1" in capsys.readouterr().err
