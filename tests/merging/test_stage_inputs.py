from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_model

from evomerge_compiler.errors import UsageError, WorkFailed
from evomerge_compiler.merging.stage_inputs import has_layer_key, link_inputs, stage_layers

A, B = "models/src/a", "models/src/b"
SLIDING = ["full_attention", "sliding_attention", "full_attention", "sliding_attention"]


def config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    return {
        A: write_model(tmp_path / "a", config={"layer_types": SLIDING}),
        B: write_model(tmp_path / "b", n_layers=6),
    }


def test_models_keep_the_layers_of_the_base(plans: Any, inputs: dict[str, Path]) -> None:
    layers = stage_layers(plans.linear(), inputs)
    assert layers.sources == tuple((A, i) for i in range(4))
    assert (layers.first, layers.sliced, layers.n_layers) == (A, False, 4)
    assert layers.per_layer == {"layer_types": SLIDING}


def test_slices_name_layers_that_repeat_and_skip(plans: Any, inputs: dict[str, Path]) -> None:
    layers = stage_layers(plans.stack((A, 3, 4), (A, 0, 2), (B, 4, 6)), inputs)
    assert layers.sources == ((A, 3), (A, 0), (A, 1), (B, 4), (B, 5))
    full = "full_attention"
    assert layers.per_layer["layer_types"] == [SLIDING[3], full, SLIDING[1], full, full]


def test_slices_below_a_module(plans: Any, inputs: dict[str, Path]) -> None:
    slices = plans.stack((A, 0, 1), (B, 0, 1))["slices"]
    document = {"merge_method": "passthrough", "modules": {"text_decoder": {"slices": slices}}}
    assert stage_layers(document, inputs).sources == ((A, 0), (B, 0))


@pytest.mark.parametrize("span", [(2, 5), (3, 3), (3, 1)])
def test_layers_that_are_not_there(
    plans: Any, inputs: dict[str, Path], span: tuple[int, int]
) -> None:
    with pytest.raises(WorkFailed, match="layer"):
        stage_layers(plans.stack((A, *span)), inputs)


def test_old_configs_are_completed_by_transformers(plans: Any, tmp_path: Path) -> None:
    """Before transformers 5, which layers slide stood nowhere: it followed from their number."""
    slides = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2}
    folder = write_model(tmp_path / "a", config=slides)
    text = config(folder)
    del text["layer_types"]
    (folder / "config.json").write_text(json.dumps(text))
    layers = stage_layers(plans.stack((A, 1, 4), (A, 1, 4)), {A: folder})
    full, slide = "full_attention", "sliding_attention"
    assert layers.per_layer["layer_types"] == [full, slide, slide] * 2


def test_views_declare_the_new_depth(plans: Any, inputs: dict[str, Path], tmp_path: Path) -> None:
    before = {path: path.read_bytes() for folder in inputs.values() for path in folder.iterdir()}
    layers = stage_layers(plans.stack((A, 0, 4), (B, 4, 6)), inputs)
    link_inputs(tmp_path / "scratch", inputs, layers)
    for name in inputs:
        view = config(tmp_path / "scratch" / name)
        assert view["num_hidden_layers"] == len(view["layer_types"]) == 6
    assert {path: path.read_bytes() for path in before} == before


def test_views_of_equal_depth_keep_each_config(
    plans: Any, inputs: dict[str, Path], tmp_path: Path
) -> None:
    link_inputs(tmp_path / "scratch", inputs, stage_layers(plans.linear(), inputs))
    assert config(tmp_path / "scratch" / B) == config(inputs[B])


def test_architectures_that_mergekit_takes_apart_keep_their_config(
    plans: Any, inputs: dict[str, Path], tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "c", config={"architectures": ["SmolLM3ForCausalLM"]})
    assert not has_layer_key(config(folder)) and has_layer_key(config(inputs[A]))
    views = {"models/src/c": folder}
    link_inputs(tmp_path / "s", views, stage_layers(plans.stack(("models/src/c", 0, 2)), views))
    assert config(tmp_path / "s/models/src/c") == config(folder)


def test_views_hold_what_transformers_would_load(
    plans: Any, inputs: dict[str, Path], tmp_path: Path
) -> None:
    """mergekit would rather read an index, and a second set of weights that lies about."""
    (inputs[A] / "model.safetensors.index.json").write_text('{"weight_map": {"x": "gone"}}')
    (inputs[A] / "pytorch_model.bin").write_bytes(b"")
    link_inputs(tmp_path / "s", {A: inputs[A]}, stage_layers(plans.stack((A, 0, 4)), inputs))
    names = sorted(path.name for path in (tmp_path / "s" / A).iterdir())
    assert names == [
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json",
    ]  # fmt: skip


def test_config_without_depth(plans: Any, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "a", config={"num_hidden_layers": None})
    with pytest.raises(UsageError, match="num_hidden_layers"):
        stage_layers(plans.linear(), {A: folder, B: folder})
