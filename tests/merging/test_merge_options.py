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


def test_a_device_replaces_cuda() -> None:
    argv = mergekit_argv("c", "o", 1, MergeOptions(device="cuda:1"), has_gpu=lambda: True)
    assert "--cuda" not in argv and argv[argv.index("--device") + 1] == "cuda:1"


@pytest.mark.parametrize(
    ("option", "flag"),
    [
        ("allow_crimes", "--allow-crimes"),
        ("trust_remote_code", "--trust-remote-code"),
        ("low_cpu_memory", "--low-cpu-memory"),
        ("read_to_gpu", "--read-to-gpu"),
        ("lazy_unpickle", "--lazy-unpickle"),
    ],
)
def test_flags_are_given_when_set_and_only_then(option: str, flag: str) -> None:
    assert flag in mergekit_argv("c", "o", 1, MergeOptions(cuda=False, **{option: True}))
    assert flag not in mergekit_argv("c", "o", 1, MergeOptions(cuda=False))


def test_shard_size() -> None:
    argv = mergekit_argv("c", "o", 1, MergeOptions(cuda=False, out_shard_size="2B"))
    assert argv[-2:] == ["--out-shard-size", "2B"]


def test_mergekit_knows_every_flag() -> None:
    """What mergekit does not know, it refuses with exit 2; this asks its own parser."""
    options = MergeOptions(
        cuda=True, device="cpu", allow_crimes=True, trust_remote_code=True, low_cpu_memory=True,
        read_to_gpu=True, lazy_unpickle=True, out_shard_size="2B",
    )  # fmt: skip
    argv = mergekit_argv("no.yaml", "out", 1, options)
    code = (
        "import sys; from mergekit.scripts.run_yaml import main;"
        "main.make_context('mergekit-yaml', sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *argv[1:]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
