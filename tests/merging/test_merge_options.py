from __future__ import annotations

import subprocess
import sys

import pytest

from evomerge_compiler.merging.options import MergeOptions, mergekit_argv


def test_the_plain_command() -> None:
    argv = mergekit_argv("merge.yaml", "out", 7, MergeOptions(cuda=False))
    assert argv == [
        "mergekit-yaml", "merge.yaml", "out", "--random-seed", "7",
        "--no-copy-tokenizer", "--no-write-model-card", "--quiet",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "has_gpu", "expected"),
    [(True, False, True), (False, True, False), (None, True, True), (None, False, False)],
)
def test_cuda_when_asked_or_where_there_is_a_gpu(
    asked: bool | None, has_gpu: bool, expected: bool
) -> None:
    argv = mergekit_argv("c", "o", 1, MergeOptions(cuda=asked), has_gpu=lambda: has_gpu)
    assert ("--cuda" in argv) is expected


@pytest.mark.parametrize(
    ("option", "flag"),
    [
        ("allow_crimes", "--allow-crimes"),
        ("trust_remote_code", "--trust-remote-code"),
        ("low_cpu_memory", "--low-cpu-memory"),
    ],
)
def test_flags_are_given_when_set_and_only_then(option: str, flag: str) -> None:
    assert flag in mergekit_argv("c", "o", 1, MergeOptions(cuda=False, **{option: True}))
    assert flag not in mergekit_argv("c", "o", 1, MergeOptions(cuda=False))


def test_mergekit_knows_every_flag() -> None:
    """What mergekit does not know, it refuses with exit 2; this asks its own parser."""
    options = MergeOptions(
        cuda=True, allow_crimes=True, trust_remote_code=True, low_cpu_memory=True
    )
    argv = mergekit_argv("no.yaml", "out", 1, options)
    code = (
        "import sys; from mergekit.scripts.run_yaml import main;"
        "main.make_context('mergekit-yaml', sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *argv[1:]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
