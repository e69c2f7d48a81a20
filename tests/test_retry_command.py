"""``evomerge retry``: what it goes on with, and that nothing is lost where it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simulated_run import QUICKSTART

from evomerge_compiler import cli, errors, launch
from evomerge_compiler.candidate import CandidateId, Failure
from evomerge_compiler.executors import placement
from evomerge_compiler.executors.local import LocalExecutor
from evomerge_compiler.history import Ending
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.run_folder import RunFolder

FAILED, OTHER = CandidateId(0, 1), CandidateId(0, 2)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Started on the CPU; one candidate timed out, and another one crashed."""
    path = tmp_path / "run"
    on_cpu = launch.Options(
        run_dir=path, generations=0, device="cpu", merge=MergeOptions(cuda=False)
    )
    launch.evolve(QUICKSTART, on_cpu)
    folder = RunFolder.open(path)
    with folder.hold():
        for id, reason in ((FAILED, "timeout"), (OTHER, "crashed")):
            folder.candidate(id)
            folder.commit_compiled(id, "merge_method: linear\n")
            folder.commit_outcome(id, Failure("evaluate", reason, "it took too long"))
    return path


def failures(path: Path) -> list[CandidateId]:
    return [c.id for c in RunFolder.open(path).candidates(0) if c.failure is not None]


def test_a_run_that_may_not_go_on_here_keeps_its_failures_until_it_may(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    searched: list[tuple[Any, list[CandidateId]]] = []

    def search(recipe: Any, folder: RunFolder, executor: Any, *_: Any) -> launch.Result:
        searched.append((executor, failures(run)))
        return launch.Result(folder, Ending("generations", None, 1, {}, 0), None)

    monkeypatch.setattr(launch, "search", search)
    for module in (launch, placement):
        monkeypatch.setattr(module, "gpu_available", lambda: True)
    monkeypatch.setattr(placement.gpus, "names", lambda: ("0",))
    again = ["retry", str(run), "--select", "timeout"]
    assert cli.run(again) == errors.EXIT_BAD_INPUT
    told = capsys.readouterr().err
    assert "device: cpu -> cuda" in told and "run again" not in told
    assert failures(run) == [FAILED, OTHER] and not searched
    as_it_was = ["--device", "cpu", "--no-cuda", "--executor", "cli", "--retries", "3"]
    assert cli.run([*again, *as_it_was, "--timeout_s", "600"]) == 0
    assert "1 candidates of generation 000 run again" in capsys.readouterr().err
    [(executor, left)] = searched
    assert type(executor) is LocalExecutor and left == [OTHER]
    assert executor.settings.retries == 3 and executor.settings.timeout_s == 600
    assert executor.settings.merge.cuda is False
    assert cli.run(again) == 0
    assert "nothing to retry" in capsys.readouterr().out
    # A GPU instead, for those who say so.
    assert cli.run(["retry", str(run), "--accept-lock"]) == 0
    assert failures(run) == []
