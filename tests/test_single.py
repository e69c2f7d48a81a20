"""A candidate that is made again outside its run is the same model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from simulated_run import evolve

from evomerge_compiler import cli, errors, export, single
from evomerge_compiler.run_folder import RunFolder


class _Merged(Exception):
    """What would have been merged, and how."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("single") / "run"
    evolve(path, 1, final=False)
    return path


def merged_on(device: str, run: Path) -> None:
    """Writes the lock of a run whose candidates were merged there."""
    lock = RunFolder.open(run).lock
    where = {"merge_device": "cuda"} if device == "cuda" else {}
    locked = replace(lock, resolved={"simulated": True, **where})
    (run / "recipe.lock.yaml").write_text(locked.text())


@pytest.mark.parametrize("command", ["merge", "evaluate", "export"])
@pytest.mark.parametrize(
    ("device", "gpu", "flags", "cuda"),
    [
        ("cpu", True, (), False),
        ("cpu", True, ("--cuda",), True),
        ("cuda", True, (), True),
        ("cuda", False, ("--no-cuda",), False),
        ("cuda", False, (), None),
    ],
)
def test_a_candidate_is_merged_again_where_its_run_merged_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str, device: str, gpu: bool, flags: tuple[str, ...], cuda: bool | None,
) -> None:  # fmt: skip
    def merge_to(recipe: Any, out: Path, options: Any, **_: Any) -> None:
        raise _Merged(options.cuda)

    for module in (single, export):
        monkeypatch.setattr(module, "merge_to", merge_to)
    monkeypatch.setattr(single, "gpu_available", lambda: gpu)
    merged_on(device, run)
    target = f"{run}:000/c00"
    more = {"merge": ["-o", tmp_path / "out"], "export": [tmp_path / "out"]}.get(command, [])
    if command == "evaluate":
        more = ["--device", "cpu"]
    code = cli.run([command, target, *map(str, more), *flags])
    told = capsys.readouterr().err
    if cuda is None:
        assert code == errors.EXIT_MISSING_PREREQUISITE
        assert "was merged on a GPU and none is found" in told and "--no-cuda" in told
    else:
        assert code == errors.EXIT_BUG and f"_Merged: {cuda}" in told
