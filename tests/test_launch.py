"""What an evolution's result means for the exit code, and how a run is found again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from simulated_run import QUICKSTART, evolve

from evomerge_compiler import launch
from evomerge_compiler import recipe as recipes
from evomerge_compiler.candidate import CandidateId, Fitness, Outcome
from evomerge_compiler.cli.progress import describe
from evomerge_compiler.errors import (
    EXIT_NOTHING_SELECTED,
    EXIT_OK,
    MissingPrerequisite,
    UsageError,
)
from evomerge_compiler.events import BackendReplaced
from evomerge_compiler.executors import placement
from evomerge_compiler.genome import Genome
from evomerge_compiler.history import Ending
from evomerge_compiler.merging.options import MergeOptions, gpu_available
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.run_folder.setup import RunSetup

NO_CUDA = MergeOptions(cuda=False)
BEST = Outcome(CandidateId(0, 0), Genome({}), Fitness((0.5,)))


@pytest.mark.parametrize(
    ("best", "failures", "final", "code"),
    [
        (BEST, {}, {"winner": "000/c00"}, EXIT_OK),
        (BEST, {"timeout": 5}, {"winner": "000/c00"}, EXIT_OK),
        (BEST, {"timeout": 4, "crashed": 2}, {"winner": "000/c00"}, EXIT_NOTHING_SELECTED),
        (None, {"invalid": 10}, {"winner": None}, EXIT_NOTHING_SELECTED),
        (None, {}, None, EXIT_OK),
    ],
)
def test_exit_codes(
    tmp_path: Path,
    best: Outcome | None,
    failures: dict[str, int],
    final: dict[str, object] | None,
    code: int,
) -> None:
    """More than half failed (the default), or nothing to select, is 1."""
    evolve(tmp_path / "run", 0)
    ending = Ending("generations", best, 10, failures, 0)
    folder = RunFolder.open(tmp_path / "run")
    assert launch.Result(folder, ending, final).exit_code == code


def test_a_run_is_resumed_by_its_folder_with_what_it_was_started_with(tmp_path: Path) -> None:
    run = tmp_path / "run"
    evolve(run, 0, overrides=("genome.density=0.4", "search.population=3"))
    recipe, source, folder = launch.load(run, launch.Options())
    assert folder == run
    assert source == QUICKSTART.read_bytes()
    assert recipe.space.fixed["density"] == 0.4
    assert recipe.search is not None and recipe.search.population == 3


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a recipe nor a run"):
        launch.load(tmp_path, launch.Options())


def test_a_merge_cannot_evolve(tmp_path: Path) -> None:
    recipe = QUICKSTART.with_name("model_stock.yaml")
    with pytest.raises(UsageError, match="single merge"):
        launch.evolve(recipe, launch.Options(run_dir=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_gpu_that_is_asked_for_has_to_be_there() -> None:
    assert launch.device_kind("cpu") == "cpu"
    if not gpu_available():
        assert launch.device_kind("auto") == "cpu"
        with pytest.raises(MissingPrerequisite, match="no GPU"):
            launch.device_kind("cuda:0")


def test_a_gpu_that_merges_and_another_backend_are_among_what_must_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = recipes.load(QUICKSTART)
    options = launch.Options()
    evaluation = launch.evaluation_of(recipe, options)
    on_cpu = launch._devices(replace(evaluation, device="cpu"), replace(options, merge=NO_CUDA))
    assert on_cpu == {"device": "cpu"}  # as every older lock says it
    for module in (launch, placement):
        monkeypatch.setattr(module, "gpu_available", lambda: True)
    monkeypatch.setattr(placement.gpus, "names", lambda: ("0", "1"))
    asked = replace(evaluation, backend="vllm")
    everything = {"device": "cuda", "merge_device": "cuda", "backend": "vllm"}
    assert launch._devices(asked, options) == everything
    assert launch._devices(evaluation, replace(options, merge=NO_CUDA)) == {"device": "cuda"}
    # One worker a GPU, unless it is said.
    assert launch.n_workers(options, evaluation) == 2
    assert launch.n_workers(replace(options, executor="ray"), evaluation) == 1
    assert launch.n_workers(replace(options, jobs=3), evaluation) == 3
    with pytest.raises(UsageError, match="GPUs here: cuda:0, cuda:1"):
        launch._devices(replace(evaluation, device="cuda:2"), options)


def test_a_run_goes_on_with_another_backend_only_when_that_is_accepted(tmp_path: Path) -> None:
    """The recipe may ask for another one; what scores is among what has to be accepted."""
    recipe = recipes.load(QUICKSTART)
    source = QUICKSTART.read_bytes()

    def opened(backend: str, accept: bool = False) -> RunFolder:
        asked = recipes.load(QUICKSTART, overrides=[f"evaluation.backend={backend}"])
        resolved = {"backend": backend} if backend != "hf" else {}
        setup = RunSetup(asked, source, resolved, accept_lock=accept)
        return RunFolder.open(tmp_path / "run", create_from=setup)

    assert recipe.evaluation is not None and recipe.evaluation.backend == "hf"
    opened("hf")
    with pytest.raises(UsageError, match=r"backend: \(absent\) -> vllm"):
        opened("vllm")
    (change,) = opened("vllm", accept=True).lock.accepted
    assert change["changes"] == ["backend: (absent) -> vllm"]


def test_a_backend_that_cannot_be_had_is_replaced_and_said() -> None:
    options = launch.Options(device="cpu", merge=NO_CUDA)
    asked = replace(launch.evaluation_of(recipes.load(QUICKSTART), options), backend="vllm")
    found, why = launch.with_backend(asked, options)
    assert found.backend == "hf"
    assert describe(BackendReplaced(why)) == (
        "backend hf in place of vllm: models are scored on the CPU"
    )
    # The nodes of a cluster may have what this machine lacks.
    elsewhere = replace(options, ray_address="auto")
    assert launch.with_backend(asked, elsewhere) == (asked, "")
