"""A merge that is written has the tensors of one that is streamed, in a folder that loads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evomerge_compiler.errors import MissingPrerequisite, WorkFailed
from evomerge_compiler.merging import model_writer, weights
from evomerge_compiler.merging.model_writer import write_model
from evomerge_compiler.merging.tensors import spec_of
from evomerge_compiler.merging.weights import TensorSpec, scan


@dataclass
class Made:
    """A merge whose tensors are given; those in ``own`` are yielded as they are, not filled in."""

    shell: Path
    found: Mapping[str, Any]
    own: tuple[str, ...] = ()
    fails: bool = False

    @property
    def tensors(self) -> Mapping[str, TensorSpec]:
        return {name: spec_of(tensor) for name, tensor in self.found.items()}

    def stream(self, into: Mapping[str, Any] | None = None) -> Iterator[tuple[str, Any]]:
        assert into is not None
        for name, tensor in self.found.items():
            if self.fails:
                raise WorkFailed("no", reason="invalid", step="merge")
            yield name, tensor if name in self.own else into[name].copy_(tensor)


@pytest.fixture
def merge(tmp_path: Path) -> Made:
    import torch

    shell = tmp_path / "shell"
    (shell / "inner").mkdir(parents=True)
    (shell / "config.json").write_text("{}")
    (shell / "inner" / "code.py").write_text("1\n")
    found = {
        # Elements of several sizes, an odd number of the smallest, one with none.
        "b.bytes": torch.arange(3, dtype=torch.uint8),
        "a.half": torch.randn(3, 5).to(torch.bfloat16),
        "c.single": torch.randn(2, 2, 2),
        "d.double": torch.randn(7, dtype=torch.float64),
        "e.empty": torch.empty(0, 4),
        "f.scalar": torch.tensor(1.5),
    }
    return Made(shell, found)


@pytest.mark.parametrize("own", [(), ("a.half", "c.single")])
def test_the_file_is_read_as_any_other(tmp_path: Path, merge: Made, own: tuple[str, ...]) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    merge.own = own
    out = tmp_path / "out"
    out.mkdir()
    (out / "left_over").touch()
    write_model(merge, out)
    read = load_file(out / "model.safetensors")
    assert sorted(read) == sorted(merge.found)
    assert all(torch.equal(read[name], merge.found[name]) for name in read)
    save_file(dict(merge.found), tmp_path / "model.safetensors", {"format": "pt"})
    assert scan(out).sha256 == scan(tmp_path).sha256
    assert (out / "model.safetensors").read_bytes() == (
        tmp_path / "model.safetensors"
    ).read_bytes()
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert files == {"config.json", "inner/code.py", "model.safetensors"}


def test_a_merge_that_fails_leaves_nothing(tmp_path: Path, merge: Made) -> None:
    merge.fails = True
    with pytest.raises(WorkFailed):
        write_model(merge, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["shell"]


def test_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, merge: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "free_space_bytes", lambda _: 100)
    with pytest.raises(MissingPrerequisite, match="GB of disk"):
        model_writer.write_model(merge, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["shell"]
