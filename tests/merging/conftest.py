"""Plans made by hand, for tests of merging that must not depend on the compiler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_models import key

A, B = "models/src/a", "models/src/b"


class Plans:
    """Makes stages and plans."""

    @staticmethod
    def stage(name: str, document: Mapping[str, Any], *inputs: str) -> Any:
        stage_key = key(name, sorted(document.items(), key=str), inputs)
        return SimpleNamespace(name=name, document=document, inputs=inputs, stage_key=stage_key)

    @staticmethod
    def plan(stages: Sequence[Any], n_layers: int = 4, **donors: str | None) -> Any:
        given = {"config_donor": "a", "tokenizer_donor": "a", "chat_template_donor": "a"} | donors
        return SimpleNamespace(stages=tuple(stages), random_seed=7, n_layers=n_layers, **given)

    @staticmethod
    def linear(weight_a: float = 0.5, weight_b: float = 0.5) -> dict[str, Any]:
        entries = [(A, weight_a), (B, weight_b)]
        models = [{"model": m, "parameters": {"weight": w}} for m, w in entries]
        return {"merge_method": "linear", "dtype": "bfloat16", "models": models}

    @staticmethod
    def stack(*parts: tuple[str, int, int]) -> dict[str, Any]:
        slices = [{"sources": [{"model": m, "layer_range": [a, b]}]} for m, a, b in parts]
        return {"merge_method": "passthrough", "dtype": "bfloat16", "slices": slices}


@pytest.fixture(scope="session")
def plans() -> type[Plans]:
    return Plans
