from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import bfloat16, tensor_shapes, write_model, write_safetensors

from evomerge_compiler.errors import WorkFailed
from evomerge_compiler.merging.failures import last_line, process_failure, scrub
from evomerge_compiler.merging.stage_inputs import stage_layers
from evomerge_compiler.merging.verify import check_loads, check_tensors
from evomerge_compiler.merging.weights import read_tensors
from evomerge_compiler.processes import CommandResult

A = "models/src/a"


def rewrite(folder: Path, drop: str = "", add: str = "", reshape: str = "") -> None:
    tensors = {}
    for name, shape in tensor_shapes("qwen2", 4, tied=True).items():
        shape = (*shape[:-1], shape[-1] + 1) if name == reshape else shape
        tensors[name] = ("BF16", shape, bfloat16(np.full(shape, 0.01)))
    tensors.pop(drop, None)
    if add:
        tensors[add] = ("BF16", (1,), bfloat16(np.ones(1)))
    write_safetensors(folder / "model.safetensors", tensors)


def check(plans: Any, source: Path, result: Path) -> None:
    inputs = {A: source}
    layers = stage_layers(plans.stack((A, 0, 4)), inputs)
    check_tensors(result, read_tensors(result), inputs, layers)


def test_equal_names_need_no_transformers(plans: Any, tmp_path: Path) -> None:
    source, result = write_model(tmp_path / "a"), write_model(tmp_path / "out", seed=1)
    (result / "config.json").unlink()  # transformers could not load it any more
    check(plans, source, result)


def test_buffers_that_models_compute_do_not_count(plans: Any, tmp_path: Path) -> None:
    source, result = write_model(tmp_path / "a"), write_model(tmp_path / "out")
    rewrite(source, add="model.layers.0.self_attn.rotary_emb.inv_freq")
    (result / "config.json").unlink()
    check(plans, source, result)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"drop": "model.layers.3.mlp.up_proj.weight"}, "missing keys"),
        ({"add": "model.layers.3.mlp.extra.weight"}, "unexpected keys"),
        ({"reshape": "model.norm.weight"}, "transformers cannot load|mismatched keys"),
    ],
    ids=["missing", "unexpected", "shape"],
)
def test_weights_that_would_not_load_are_found(
    plans: Any, tmp_path: Path, damage: dict[str, str], message: str
) -> None:
    source, result = write_model(tmp_path / "a"), write_model(tmp_path / "out")
    rewrite(result, **damage)
    with pytest.raises(WorkFailed, match=message) as error:
        check(plans, source, result)
    assert error.value.reason == "invalid" and str(tmp_path) not in error.value.message


def test_transformers_decides_where_names_cannot(plans: Any, tmp_path: Path) -> None:
    """The result is whole, but its inputs are named in a way that says nothing of layers."""
    source, result = write_model(tmp_path / "a"), write_model(tmp_path / "out")
    write_safetensors(source / "model.safetensors", {"odd": ("BF16", (1,), b"\0\0")})
    check(plans, source, result)


def test_a_head_that_is_equal_to_the_embedding_loads(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    tensors = {}
    for name, shape in tensor_shapes("qwen2", 4, tied=False).items():
        tensors[name] = ("BF16", shape, bfloat16(np.full(shape, 0.5)))
    write_safetensors(folder / "model.safetensors", tensors)
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is True
    check_loads(folder)


# -- messages ---------------------------------------------------------------------------------


def result(returncode: int, stderr: str, timed_out: bool = False) -> CommandResult:
    return CommandResult(returncode, "", stderr, 1.0, timed_out)


TRACE = 'Traceback (most recent call last):\n  File "/x/y.py", line 1\nValueError: bad /tmp/a/b\n'


@pytest.mark.parametrize(
    ("ended", "reason", "message"),
    [
        (result(1, TRACE + "a last word\n"), "invalid", "m: ValueError: bad b"),
        (result(1, "torch.OutOfMemoryError: CUDA out of memory\n"), "out_of_memory", "out of mem"),
        # Another try, with the GPU in order again, may end well.
        (
            result(1, "torch.AcceleratorError: CUDA error: illegal access\n"),
            "crashed",
            "CUDA error",
        ),
        (result(1, "RuntimeError: CUDNN_STATUS_EXECUTION_FAILED\n"), "crashed", "CUDNN"),
        (result(-9, ""), "out_of_memory", "ended by signal 9"),
        (result(-11, ""), "crashed", "ended by signal 11"),
        (result(-15, TRACE, timed_out=True), "timeout", "ran past the time limit"),
    ],
)
def test_how_processes_fail(ended: CommandResult, reason: str, message: str) -> None:
    failure = process_failure(ended, "m")
    assert isinstance(failure, WorkFailed) and failure.reason == reason
    assert message in failure.message


@pytest.mark.parametrize(
    "words",
    ["OSError: [Errno 28] No space left on device", "ModuleNotFoundError: No module named 'x'"],
)
def test_the_machines_fault(words: str) -> None:
    failure = process_failure(result(1, words + "\n"), "m")
    assert failure.exit_code == 3 and failure.hint


def test_last_line_and_scrub() -> None:
    assert last_line("") == "it wrote no message"
    assert last_line("one\n  two  \n\n") == "two"
    assert (
        scrub("in '/home/me/x/file.py' and https://a.b/c/d") == "in 'file.py' and https://a.b/c/d"
    )
