"""Tiny models that have learnt the toy tasks a little, made once a test session."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluation_toys import byte_tokenizer, new_model, save, toy_lines, train


@pytest.fixture(scope="session")
def toy_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """``a`` and ``b``: trained differently from one start; ``deep``: three layers, untrained."""
    import torch

    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")
    out = {}
    for name, steps in (("a", 60), ("b", 35)):
        model = new_model(0)
        train(model, byte_tokenizer(), toy_lines(), steps=steps, seed=ord(name))
        out[name] = save(model, root / name)
    out["deep"] = save(new_model(1, n_layers=3), root / "deep")
    return out
