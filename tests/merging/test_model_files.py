from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_models import VOCABULARY, write_model

from evomerge_compiler.errors import UsageError, WorkFailed
from evomerge_compiler.merging import model_files
from evomerge_compiler.merging.weights import TensorInfo, read_tensors, same_bytes


def merged(donor: dict[str, Any], tensors: dict[str, TensorInfo], **kwargs: Any) -> dict[str, Any]:
    def equal(one: str, other: str) -> bool:
        return same_bytes(tensors[one], tensors[other])

    return model_files.merged_config(donor, tensors, equal=equal, **kwargs)


def _config(folder: Path, **changes: Any) -> dict[str, Any]:
    tensors = read_tensors(folder)
    donor = model_files.read_json(folder / "config.json") | changes
    return merged(donor, tensors, n_layers=4, per_layer={})


def test_depth_dtype_and_vocabulary_are_those_of_the_weights(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    config = _config(folder, num_hidden_layers=9, dtype="float32", vocab_size=1)
    assert config["num_hidden_layers"] == 4
    assert config["dtype"] == "bfloat16"
    assert config["vocab_size"] == VOCABULARY


def test_dtype_keeps_the_key_of_the_donor(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    donor = model_files.read_json(folder / "config.json")
    del donor["dtype"]
    tensors = read_tensors(folder)
    old = merged(donor | {"torch_dtype": "float16"}, tensors, n_layers=4, per_layer={})
    assert old["torch_dtype"] == "bfloat16" and "dtype" not in old


@pytest.mark.parametrize(
    ("weights_tied", "declared", "expected"),
    [(True, True, True), (True, False, True), (False, False, False), (False, True, False)],
)
def test_tying_follows_the_weights(
    tmp_path: Path, weights_tied: bool, declared: bool, expected: bool
) -> None:
    folder = write_model(tmp_path / "m", tied=weights_tied)
    assert _config(folder, tie_word_embeddings=declared)["tie_word_embeddings"] is expected


def test_head_equal_to_the_embedding_stays_tied(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    tensors = read_tensors(folder)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    donor = model_files.read_json(folder / "config.json")
    for declared in (True, False):
        config = merged(
            donor | {"tie_word_embeddings": declared}, tensors, n_layers=4, per_layer={}
        )
        assert config["tie_word_embeddings"] is declared


def test_token_ids_come_with_the_tokenizer(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    donor = model_files.read_json(folder / "config.json")
    ids = {"eos_token_id": 9, "hidden_size": 1}
    config = merged(donor, read_tensors(folder), n_layers=4, per_layer={}, token_ids=ids)
    assert config["eos_token_id"] == 9 and config["bos_token_id"] == donor["bos_token_id"]
    assert config["hidden_size"] == donor["hidden_size"]


def test_weights_of_another_depth_are_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    donor = model_files.read_json(folder / "config.json")
    with pytest.raises(WorkFailed, match="do not hold 5 layers"):
        merged(donor, read_tensors(folder), n_layers=5, per_layer={})


SLIDING = ["full_attention", "sliding_attention", "full_attention", "sliding_attention"]


def _deep(tensors: dict[str, TensorInfo], n_layers: int) -> dict[str, TensorInfo]:
    made = {}
    for name, info in tensors.items():
        for layer in range(n_layers if ".layers.0." in name else 0):
            made[name.replace(".0.", f".{layer}.")] = info
        if ".layers." not in name:
            made[name] = info
    return made


def test_per_layer_lists_follow_the_layers(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", config={"layer_types": SLIDING})
    values = {"m": model_files.per_layer_values(folder)}
    sources = [("m", 0), ("m", 1), ("m", 1), ("m", 3), ("m", 2)]
    per_layer = model_files.follow_layers(sources, values)
    donor = model_files.read_json(folder / "config.json")
    tensors = _deep(read_tensors(folder), 5)
    config = merged(donor, tensors, n_layers=5, per_layer=per_layer)
    assert config["layer_types"] == [SLIDING[i] for _, i in sources]
    with pytest.raises(WorkFailed, match="layer that its model does not have"):
        model_files.follow_layers([("m", 4)], values)


def test_nested_text_config(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    text = model_files.read_json(folder / "config.json")
    config = merged(
        {"text_config": text, "dtype": "float32"}, read_tensors(folder), n_layers=4, per_layer={}
    )
    assert config["text_config"]["num_hidden_layers"] == 4 and config["dtype"] == "bfloat16"
    assert "num_hidden_layers" not in config


@pytest.mark.parametrize("text", [None, "[]", "{"])
def test_config_that_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match=r"config\.json"):
        model_files.read_json(tmp_path / "config.json")


def test_tokenizer_template_and_generation_from_their_donors(tmp_path: Path) -> None:
    a, b = (write_model(tmp_path / name, seed=i) for i, name in enumerate("ab"))
    out = tmp_path / "out"
    out.mkdir()
    model_files.copy_tokenizer(a, b, out)
    assert json.loads((out / "tokenizer.json").read_text()) == {"name": "a"}
    assert "chat_template" not in json.loads((out / "tokenizer_config.json").read_text())
    assert (out / "chat_template.jinja").read_text().startswith("b: ")
    # The token that ends an answer is the chat template's.
    assert json.loads((out / "generation_config.json").read_text()) == {"eos_token_id": 3}


def test_no_chat_template_where_the_merge_has_none(tmp_path: Path) -> None:
    a = write_model(tmp_path / "a")
    (a / "chat_template.jinja").write_text("{{ messages }}")
    out = tmp_path / "out"
    out.mkdir()
    model_files.copy_tokenizer(a, None, out)
    assert model_files.read_chat_template(out) is None
    assert model_files.read_chat_template(a) == "{{ messages }}"


def test_one_donor_is_copied_as_it_is(tmp_path: Path) -> None:
    a = write_model(tmp_path / "a")
    (a / "additional_chat_templates").mkdir()
    (a / "additional_chat_templates" / "tools.jinja").write_text("tools")
    out = tmp_path / "out"
    out.mkdir()
    model_files.copy_tokenizer(a, a, out)
    assert (out / "tokenizer_config.json").read_bytes() == (
        a / "tokenizer_config.json"
    ).read_bytes()
    assert (out / "additional_chat_templates" / "tools.jinja").read_text() == "tools"


def test_named_templates_have_a_default(tmp_path: Path) -> None:
    named = [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert model_files.read_chat_template(tmp_path) == "d"


def test_code_of_its_own_comes_along(tmp_path: Path) -> None:
    a = write_model(tmp_path / "a", config={"auto_map": {"AutoModel": "own.Model"}})
    (a / "own.py").write_text("Model = 1")
    plain = write_model(tmp_path / "plain")
    (plain / "stray.py").write_text("")
    out = tmp_path / "out"
    out.mkdir()
    for donor in (a, plain):
        model_files.copy_code(donor, out)
    assert [path.name for path in out.iterdir()] == ["own.py"]
