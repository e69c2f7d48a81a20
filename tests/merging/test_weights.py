from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from tiny_models import bfloat16, write_model, write_safetensors

from evomerge_compiler.errors import MissingPrerequisite, UsageError, WorkFailed
from evomerge_compiler.merging import weights

ONE = ("F32", (2, 2), np.arange(4, dtype="<f4").tobytes())
TWO = ("BF16", (3,), bfloat16(np.ones(3)))


def test_hash_does_not_depend_on_how_tensors_are_spread(tmp_path: Path) -> None:
    whole, split = tmp_path / "whole", tmp_path / "split"
    whole.mkdir()
    split.mkdir()
    write_safetensors(whole / "model.safetensors", {"b": TWO, "a": ONE})
    write_safetensors(split / "x-1.safetensors", {"a": ONE})
    write_safetensors(split / "x-2.safetensors", {"b": TWO})
    index = {"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}
    (split / "model.safetensors.index.json").write_text(json.dumps(index))
    assert weights.tensors_sha256(whole) == weights.tensors_sha256(split)
    found = weights.scan(whole)
    assert (found.n_parameters, found.n_bytes, found.non_finite) == (7, 22, ())


def test_hash_is_the_same_in_any_order_and_in_any_pieces(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"b": TWO, "a": ONE})
    digest = weights.TensorsHash()
    for name, (dtype, shape, data) in (("b", TWO), ("a", ONE)):
        digest.add(name, weights.TensorSpec(dtype, shape), [data[:3], data[3:]])
    assert digest.hexdigest() == weights.tensors_sha256(tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        {"a": ONE, "c": TWO},
        {"a": ("F32", (4,), ONE[2]), "b": TWO},
        {"a": ("I32", (2, 2), ONE[2]), "b": TWO},
        {"a": ("F32", (2, 2), ONE[2][::-1]), "b": TWO},
    ],
    ids=["name", "shape", "dtype", "bytes"],
)
def test_hash_sees_every_change(tmp_path: Path, changed: dict[str, tuple]) -> None:
    hashes = []
    for number, tensors in enumerate(({"a": ONE, "b": TWO}, changed)):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_safetensors(folder / "model.safetensors", tensors)
        hashes.append(weights.tensors_sha256(folder))
    assert hashes[0] != hashes[1]


def _bits(kind: str, value: float) -> bytes:
    if kind == "BF16":
        return struct.pack("<f", value)[2:]
    return np.array([value], dtype={"F64": "<f8", "F32": "<f4", "F16": "<f2"}[kind]).tobytes()


@pytest.mark.parametrize("kind", ["F64", "F32", "F16", "BF16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_values_are_found_in_every_dtype(
    tmp_path: Path, kind: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_CHUNK_BYTES", 16)  # so that the value is in a later chunk
    good = _bits(kind, 3e4) * 20 + _bits(kind, 0.0)
    tensors = {"good": (kind, (21,), good), "odd": (kind, (22,), good + _bits(kind, value))}
    write_safetensors(tmp_path / "model.safetensors", tensors)
    assert weights.scan(tmp_path).non_finite == ("odd",)
    with pytest.raises(WorkFailed, match="1 merged tensor holds NaN or infinity, first odd") as e:
        weights.check_finite(tmp_path)
    assert (e.value.reason, e.value.step) == ("non_finite", "merge")


def test_integers_are_never_non_finite(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"ids": ("I64", (1,), b"\xff" * 8)})
    assert weights.scan(tmp_path).non_finite == ()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth"])
def test_pickles_are_refused_with_the_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match=name) as error:
        weights.weight_files(tmp_path)
    assert "safetensors" in str(error.value.hint)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": ONE})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UsageError, match="not a whole safetensors file"):
        weights.read_tensors(tmp_path)
    path.write_bytes(b"PK\x03\x04 this is a zip file")
    with pytest.raises(UsageError, match="not a whole safetensors file"):
        weights.read_tensors(tmp_path)


def test_an_index_that_names_absent_files_is_refused(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "gone.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UsageError, match=r"gone\.safetensors"):
        weights.weight_files(tmp_path)


def test_same_bytes(tmp_path: Path) -> None:
    other = ("BF16", (3,), bfloat16(np.full(3, 2.0)))
    write_safetensors(tmp_path / "model.safetensors", {"a": TWO, "b": TWO, "c": other})
    found = weights.read_tensors(tmp_path)
    assert weights.same_bytes(found["a"], found["b"])
    assert not weights.same_bytes(found["a"], found["c"])


def test_layer_prefix_of_several_towers() -> None:
    names = [f"visual.blocks.{i}.norm.weight" for i in range(3)]
    names += [f"model.layers.{i}.mlp.experts.{e}.up.weight" for i in range(3) for e in range(2)]
    assert weights.layer_prefix(dict.fromkeys(names), 3) == "model.layers."
    assert weights.layer_prefix(dict.fromkeys(names), 4) is None


def test_real_model_is_read(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    assert weights.layer_prefix(weights.read_tensors(folder), 4) == "model.layers."


def test_too_little_disk_is_a_missing_prerequisite(tmp_path: Path) -> None:
    weights.require_space(tmp_path / "not" / "there", 1)
    with pytest.raises(MissingPrerequisite, match="GB of disk"):
        weights.require_space(tmp_path, 1 << 62)
