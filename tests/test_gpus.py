"""What is known of GPUs without torch, from a driver and from what the user allows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import fake_driver
import pytest

from evomerge_compiler import gpus

ASK = """
import json, sys
from evomerge_compiler import gpus
print(json.dumps([[vars(gpu) for gpu in gpus.visible()], gpus.names(), gpus.free_bytes()]))
assert "torch" not in sys.modules
"""
SMI = """#!/bin/sh
echo 'GPU-10101010-1010-1010-1010-101010101010, 4000'
echo 'GPU-11111111-1111-1111-1111-111111111111, 3000'
echo 'GPU-99999999-9999-9999-9999-999999999999, 1'
echo 'GPU-88888888-9999-9999-9999-999999999999, [N/A]'
"""


@pytest.mark.parametrize(
    ("allowed", "count", "expected"),
    [
        (None, 0, ()),
        (None, 2, ("0", "1")),
        ("3,1", 2, ("3", "1")),
        ("GPU-8e5, GPU-11", 2, ("GPU-8e5", "GPU-11")),
        # The driver stops at the first name that it does not know.
        ("1,7,0", 1, ("1",)),
        ("", 0, ()),
        ("-1", 0, ()),
        # It shows a process one instance of divided GPUs, whatever is named.
        ("MIG-aa,MIG-bb,MIG-cc", 1, ("MIG-aa", "MIG-bb", "MIG-cc")),
    ],
)
def test_gpus_keep_the_names_that_the_user_gave(
    allowed: str | None, count: int, expected: tuple[str, ...]
) -> None:
    assert gpus.names_among(allowed, count) == expected


def test_the_driver_and_nvidia_smi_are_read(tmp_path: Path) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text(SMI)
    smi.chmod(0o755)
    own = {**fake_driver.build(tmp_path), "FAKE_GPUS": "2"}
    env = {**os.environ, **own, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    env.pop(gpus.VARIABLE, None)
    done = subprocess.run([sys.executable, "-c", ASK], env=env, capture_output=True, check=True)
    found, names, free = json.loads(done.stdout)
    assert [gpu["model"] for gpu in found] == ["Fake 0", "Fake 1"]
    assert found[0]["uuid"] == "10101010-1010-1010-1010-101010101010"
    assert [gpu["total_bytes"] >> 30 for gpu in found] == [8, 9]
    assert names == ["0", "1"]
    # Of the visible ones, the one with the least.
    assert free == 3000 << 20


def test_memory_that_nobody_can_tell_is_that_of_the_whole_gpu() -> None:
    assert gpus.parse_free("GPU-aa, 512\nGPU-bb, [N/A]\nsay what\n") == {"aa": 512 << 20}
