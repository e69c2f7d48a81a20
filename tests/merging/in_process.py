"""The reference merge without the start of a process for each stage."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evomerge_compiler.compiler import MergePlan
from evomerge_compiler.merging import cli
from evomerge_compiler.merging.cli import MergedModel
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.processes import CommandResult

CPU = MergeOptions(cuda=False, offline=True)


@contextlib.contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _mergekit_yaml(argv: Sequence[str], *, cwd: Path, **_: Any) -> CommandResult:
    """The entry point of the ``mergekit-yaml`` command, as its process would run it."""
    from mergekit.io.tasks import LoaderCache
    from mergekit.scripts.run_yaml import main

    LoaderCache.loaders = {}
    try:
        with _in_folder(cwd):
            main(args=list(argv[1:]), standalone_mode=False)
    except Exception:
        return CommandResult(1, "", traceback.format_exc(), 0.0)
    return CommandResult(0, "", "", 0.0)


def run_plan_in_process(
    plan: MergePlan, sources: Mapping[str, Path], work: Path, options: MergeOptions = CPU
) -> MergedModel:
    """:func:`run_plan` with mergekit's entry point called in place of its command."""
    out = work / "out" / plan.merge_key
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "run_command", _mergekit_yaml)
        return cli.run_plan(plan, sources, work=work, out=out, options=options)
