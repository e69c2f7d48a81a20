"""What an evolution's result means for the exit code, and how a run is found again."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated_run import QUICKSTART, evolve

from evomerge_compiler import launch
from evomerge_compiler.candidate import CandidateId, Fitness, Outcome
from evomerge_compiler.errors import (
    EXIT_NOTHING_SELECTED,
    EXIT_OK,
    MissingPrerequisite,
    UsageError,
)
from evomerge_compiler.genome import Genome
from evomerge_compiler.history import Ending
from evomerge_compiler.merging.options import gpu_available
from evomerge_compiler.run_folder import RunFolder

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
