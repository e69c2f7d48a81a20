from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import write_model

from evomerge_compiler.merging import tensors
from evomerge_compiler.merging.weights import TensorsHash, tensors_sha256


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite(dtype: str, value: float) -> None:
    import torch

    tensor = torch.full(
        (3, 5), torch.finfo(getattr(torch, dtype)).max, dtype=getattr(torch, dtype)
    )
    assert tensors.is_finite(tensor)
    tensor[1, 2] = value
    assert not tensors.is_finite(tensor)


def test_integers_and_nothing_are_finite() -> None:
    import torch

    assert tensors.is_finite(torch.tensor([1, 2])) and tensors.is_finite(torch.empty(0))


def test_bits_count_and_not_values() -> None:
    import torch

    zero = torch.zeros(2, 2)
    assert not tensors.same_bits(zero, -zero) and torch.equal(zero, -zero)
    nan = torch.full((2,), float("nan"))
    assert tensors.same_bits(nan, nan.clone())
    assert not tensors.same_bits(zero, zero.reshape(4))
    assert not tensors.same_bits(zero, torch.zeros(2, 2, dtype=torch.int32))


def test_tensors_hash_as_their_files(tmp_path: Path) -> None:
    model = tensors.SourceModel(write_model(tmp_path / "m"))
    digest = TensorsHash()
    for name in reversed(list(model.tensors)):
        assert tensors.spec_of(model.read(name)).shape == model.tensors[name].shape
        add = model.read(name)
        tensors.add_tensor(digest, name, add.t().contiguous().t() if add.ndim == 2 else add)
    assert digest.hexdigest() == tensors_sha256(tmp_path / "m")


def test_draws_stand_still_while_others_draw() -> None:
    import torch

    torch.manual_seed(5)
    expected = [torch.rand(2), torch.rand(2)]
    torch.manual_seed(1)
    outside = torch.rand(3)
    torch.manual_seed(1)
    draws = tensors.Draws(5, "cpu")
    with draws:
        first = torch.rand(2)
        with tensors.Draws(6, "cpu"):
            torch.rand(7)
    assert torch.equal(torch.rand(3), outside)
    with draws:
        second = torch.rand(2)
    assert torch.equal(torch.stack([first, second]), torch.stack(expected))
