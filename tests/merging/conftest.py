"""Plans made by hand, so that tests of merging do not depend on what compiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tiny_models import key

from evomerge_compiler.compiler.merge_plan import MergePlan, Stage

A, B = "models/src/a", "models/src/b"


class Plans:
    """Makes documents, stages and plans over the models ``a`` and ``b``."""

    @staticmethod
    def stage(name: str, document: Mapping[str, Any], *inputs: str) -> Stage:
        return Stage(name, document, inputs, key(name, str(document), inputs))

    @staticmethod
    def plan(
        stages: Sequence[Stage], n_layers: int = 4, *, config: str = "a", tokenizer: str = "a",
        template: str | None = "a",
    ) -> MergePlan:  # fmt: skip
        return MergePlan(
            text="",
            stages=tuple(stages),
            models={},
            merge_key=key([stage.stage_key for stage in stages]),
            random_seed=7,
            config_donor=config,
            tokenizer_donor=tokenizer,
            chat_template_donor=template,
            n_layers=n_layers,
            depth_changed=n_layers != 4,
            notes=(),
        )

    @staticmethod
    def linear(weight_a: float = 0.5, weight_b: float = 0.5) -> dict[str, Any]:
        entries = [(A, weight_a), (B, weight_b)]
        models = [{"model": m, "parameters": {"weight": w}} for m, w in entries]
        return {"merge_method": "linear", "base_model": A, "models": models, "dtype": "bfloat16"}

    @staticmethod
    def stack(*parts: tuple[str, int, int]) -> dict[str, Any]:
        slices = [{"sources": [{"model": m, "layer_range": [a, b]}]} for m, a, b in parts]
        return {"merge_method": "passthrough", "slices": slices, "dtype": "bfloat16"}


@pytest.fixture(scope="session")
def plans() -> type[Plans]:
    return Plans
