"""Facts, identities and places of models, read from headers alone."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from model_builders import safetensors_bytes, write_header_model

from evomerge_compiler.compiler.gguf_header import read_gguf_config
from evomerge_compiler.compiler.model_headers import (
    ModelFacts,
    SourceModel,
    config_facts,
    locate,
    source_model,
)
from evomerge_compiler.compiler.source_files import file_hash, read_tensors, read_tokenizer
from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.recipe_schema import Facts, ModelSpec

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def read(folder: Path, **spec: object) -> SourceModel:
    return source_model("m", ModelSpec(path=str(folder), **spec), folder)  # type: ignore[arg-type]


def facts(folder: Path, **config: object) -> ModelFacts:
    return read(write_header_model(folder, **config)).facts


# --------------------------------------------------------------------------------------
# Facts


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama"])
def test_headers_agree_with_safetensors_and_transformers(
    kind: str, tiny_models: Callable[[str], dict[str, Path]]
) -> None:
    from safetensors import safe_open
    from transformers import AutoConfig

    folder = tiny_models(kind)["a"]
    model = read(folder)
    assert model.tensors is not None
    with safe_open(folder / "model.safetensors", framework="numpy") as file:
        expected = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    assert {name: shape for name, (_, shape) in model.tensors.items()} == expected
    config = AutoConfig.from_pretrained(folder)
    for name in ("num_hidden_layers", "hidden_size", "vocab_size", "tie_word_embeddings"):
        assert getattr(model.facts, name) == getattr(config, name)
    assert model.facts.rms_norm_eps == config.rms_norm_eps
    assert model.facts.architecture == config.architectures[0]


def test_both_ways_of_writing_rope_read_alike(tmp_path: Path) -> None:
    old = facts(tmp_path / "old", rope_theta=1e6, rope_scaling=None)
    new = facts(
        tmp_path / "new",
        rope_parameters={"rope_theta": 1000000.0, "rope_type": "default"},
        rope_theta=None,
    )
    assert old.rope == new.rope == "theta 1e+06"
    old = facts(tmp_path / "old2", rope_theta=1e4, rope_scaling={"type": "yarn", "factor": 4.0})
    new = facts(
        tmp_path / "new2",
        rope_parameters={"rope_theta": 1e4, "rope_type": "yarn", "factor": 4.0},
        rope_theta=None,
    )
    assert old.rope == new.rope != "theta 10000"


@pytest.mark.parametrize(
    ("model_type", "said", "has_head", "tied"),
    [
        ("qwen2", True, False, True),
        ("qwen2", False, True, False),
        ("qwen2", None, True, False),
        ("qwen2", None, False, True),
        ("gemma2", None, True, True),
    ],
)
def test_tying_of_embeddings(
    model_type: str, said: bool | None, has_head: bool, tied: bool
) -> None:
    config = {
        "architectures": ["X"],
        "model_type": model_type,
        "num_hidden_layers": 1,
        "hidden_size": 2,
        "vocab_size": 3,
    }
    if said is not None:
        config["tie_word_embeddings"] = said
    tensors = {"model.embed_tokens.weight": ("F32", (3, 2))}
    if has_head:
        tensors["lm_head.weight"] = ("F32", (3, 2))
    found = config_facts(config, tensors, {})
    assert found.tie_word_embeddings is tied
    assert found.has_head is has_head


def test_a_text_model_inside_a_larger_one_is_read() -> None:
    inner = {
        "num_hidden_layers": 7,
        "hidden_size": 2,
        "vocab_size": 3,
        "model_type": "gemma3_text",
    }
    found = config_facts({"architectures": ["G"], "text_config": inner}, {}, {})
    assert (found.num_hidden_layers, found.model_type) == (7, "gemma3_text")


def test_added_tokens_do_not_make_another_vocabulary(tmp_path: Path) -> None:
    for name, word in (("one", "<|im_end|>"), ("two", "<|user|>")):
        (tmp_path / name).mkdir()
        data = {
            "model": {"vocab": {"a": 0, "b": 1, word: 2}},
            "added_tokens": [{"id": 2, "content": word}],
        }
        (tmp_path / name / "tokenizer.json").write_text(json.dumps(data))
    one, two = (read_tokenizer(tmp_path / name) for name in ("one", "two"))
    assert one["vocabulary"] == two["vocabulary"]


def test_a_unigram_vocabulary_is_read(tmp_path: Path) -> None:
    data = {"model": {"vocab": [["a", -1.0], ["b", -2.0]]}, "added_tokens": []}
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    listed = read_tokenizer(tmp_path)["vocabulary"]
    data = {"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": []}
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    assert read_tokenizer(tmp_path)["vocabulary"] == listed


@pytest.mark.parametrize("place", ["file", "config", "list"])
def test_chat_templates_are_found_wherever_they_are(place: str, tmp_path: Path) -> None:
    if place == "file":
        (tmp_path / "chat_template.jinja").write_text("{{ x }}\n")
    else:
        value: object = "{{ x }}"
        if place == "list":
            value = [
                {"name": "tools", "template": "{{ y }}"},
                {"name": "default", "template": "{{ x }}"},
            ]
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": value}))
    (tmp_path / "none").mkdir()
    found = read_tokenizer(tmp_path)["chat_template"]
    assert len(found) == 64
    assert read_tokenizer(tmp_path / "none")["chat_template"] == ""


def test_facts_stand_in_for_a_model_that_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    stated = Facts(
        architecture="Qwen2ForCausalLM",
        num_hidden_layers=28,
        hidden_size=1536,
        vocab_size=151936,
        tie_word_embeddings=False,
        rope_theta=10000.0,
        chat_template=True,
    )
    model = source_model("m", ModelSpec(path="o/n", revision="v1", facts=stated), tmp_path)
    assert (model.folder, model.tensors) == (None, None)
    assert (model.facts.num_hidden_layers, model.facts.has_head) == (28, True)
    assert (model.facts.rope, model.facts.chat_template) == ("theta 10000", "?")
    assert (model.reference, model.identity) == ("o/n@v1", "hub:o/n@v1")


def test_stated_facts_must_be_the_models_own(tmp_path: Path) -> None:
    folder = write_header_model(tmp_path / "m")
    right = {
        "architecture": "Qwen2ForCausalLM",
        "num_hidden_layers": 4,
        "hidden_size": 8,
        "vocab_size": 24,
        "tie_word_embeddings": True,
        "rope_theta": 10000.0,
        "chat_template": False,
    }
    read(folder, facts=Facts(**right))  # type: ignore[arg-type]
    for key, wrong in (
        ("num_hidden_layers", 5),
        ("rope_theta", 1e6),
        ("tie_word_embeddings", False),
        ("chat_template", True),
    ):
        with pytest.raises(EvomergeError, match=f"facts.{key} says"):
            read(folder, facts=Facts(**{**right, key: wrong}))  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------
# Files


def test_a_sharded_model_is_read_whole(tmp_path: Path) -> None:
    folder = write_header_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    for index, name in enumerate(("x.weight", "y.weight")):
        (folder / f"model-{index}.safetensors").write_bytes(safetensors_bytes({name: [2, 2]}))
    weight_map = {"x.weight": "model-0.safetensors", "y.weight": "model-1.safetensors"}
    index_file = folder / "model.safetensors.index.json"
    index_file.write_text(json.dumps({"weight_map": weight_map}))
    assert set(read_tensors(folder)) == {"x.weight", "y.weight"}
    (folder / "model-1.safetensors").unlink()
    with pytest.raises(EvomergeError, match="no whole safetensors"):
        read_tensors(folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"",
        lambda data: data[:4],
        lambda data: struct.pack("<Q", 2**60) + data[8:],
        lambda data: data[:9] + b"\xff" + data[10:],
        lambda data: struct.pack("<Q", 2) + b"[]",
    ],
    ids=["short", "long", "empty", "no header", "huge header", "no text", "no mapping"],
)
def test_damaged_weights_are_seen(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    folder = write_header_model(tmp_path / "m")
    weights = folder / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    with pytest.raises(EvomergeError, match="no whole safetensors"):
        read(folder)


def test_identity_is_the_content(tmp_path: Path) -> None:
    one = write_header_model(tmp_path / "one")
    two = write_header_model(tmp_path / "two")
    assert read(one).identity == read(two).identity
    (two / "README.md").write_text("not part of the model")
    assert read(one).identity == read(two).identity
    seen = {read(one).identity}
    for name in ("config.json", "model.safetensors", "tokenizer_config.json"):
        file = two / name
        kept = file.read_bytes()
        changed = kept[:-1] + b" }" if name.endswith("json") else kept[:-1] + b"\1"
        file.write_bytes(changed)
        seen.add(read(two).identity)
        file.write_bytes(kept)
    assert len(seen) == 4


def test_hashes_are_kept_and_follow_the_file(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"one")
    first = file_hash(file)
    assert file_hash(file) == first
    file.write_bytes(b"three")
    assert file_hash(file) != first


def test_a_lora_is_part_of_the_identity(tmp_path: Path) -> None:
    folder = write_header_model(tmp_path / "m")
    adapter = tmp_path / "lora"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(safetensors_bytes({"x": [1]}))
    plain, adapted = read(folder), read(folder, lora=str(adapter))
    assert adapted.identity.startswith(plain.identity + "+sha256:")
    assert adapted.reference == f"{folder}+{adapter}"


# --------------------------------------------------------------------------------------
# Places


def in_hub_cache(root: Path, name: str) -> Path:
    repository = root / f"models--{name.replace('/', '--')}"
    write_header_model(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return repository


def test_a_fetched_model_is_found_by_the_hubs_own_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = in_hub_cache(tmp_path / "hub", "owner/name")
    snapshot = repository / "snapshots" / COMMIT
    for revision in (None, "main", COMMIT):
        assert locate(ModelSpec(path="owner/name", revision=revision), tmp_path) == snapshot
    assert locate(ModelSpec(path="owner/name", revision="v2"), tmp_path) is None
    assert locate(ModelSpec(path="owner/other"), tmp_path) is None
    model = source_model("m", ModelSpec(path="owner/name"), tmp_path)
    assert (model.identity, model.reference) == (f"hub:owner/name@{COMMIT}", "owner/name")


def test_a_half_fetched_model_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = in_hub_cache(tmp_path, "owner/name") / "snapshots" / COMMIT
    index = {"weight_map": {"x": "model.safetensors", "y": "model-2.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    assert locate(ModelSpec(path="owner/name"), tmp_path) is None
    (snapshot / "model.safetensors.index.json").unlink()
    (snapshot / "config.json").unlink()
    assert locate(ModelSpec(path="owner/name"), tmp_path) is None


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    folder = write_header_model(tmp_path / "models" / "m")
    assert locate(ModelSpec(path="models/m"), tmp_path) == folder.resolve()
    assert locate(ModelSpec(path=str(folder)), Path("/")) == folder.resolve()
    assert locate(ModelSpec(path="models/m"), tmp_path / "models") is None


# --------------------------------------------------------------------------------------
# GGUF


def gguf_bytes(values: dict[str, object], tensors: dict[str, list[int]]) -> bytes:
    """A GGUF header, version 3."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    def typed(value: object) -> bytes:
        if isinstance(value, str):
            return struct.pack("<I", 8) + text(value)
        if isinstance(value, float):
            return struct.pack("<If", 6, value)
        if isinstance(value, int):
            return struct.pack("<II", 4, value)
        assert isinstance(value, list)
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(v) for v in value)

    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    for name, value in values.items():
        out += text(name) + typed(value)
    for name, shape in tensors.items():
        out += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        out += struct.pack("<IQ", 0, 0)
    return out


LLAMA = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.embedding_length": 8,
    "llama.feed_forward_length": 16,
    "llama.attention.head_count": 2,
    "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.tokens": ["a", "b"],
}


def test_gguf_headers_tell_the_facts(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(gguf_bytes(LLAMA, {"token_embd.weight": [8, 32], "output.weight": [8, 32]}))
    model = source_model("m", ModelSpec(path="m.gguf"), tmp_path)
    found = model.facts
    assert (found.architecture, found.num_hidden_layers) == ("LlamaForCausalLM", 2)
    assert (found.hidden_size, found.vocab_size, found.num_key_value_heads) == (8, 32, 2)
    assert (found.rope, found.tie_word_embeddings) == ("theta 10000", False)
    assert model.identity.startswith("sha256:")
    file.write_bytes(gguf_bytes(LLAMA, {"token_embd.weight": [8, 32]}))
    assert read_gguf_config(file)["tie_word_embeddings"] is True


def test_no_gguf_bytes_give_anything_but_a_header_or_an_error(tmp_path: Path) -> None:
    whole = gguf_bytes(LLAMA, {"token_embd.weight": [8, 32]})
    file = tmp_path / "m.gguf"
    for cut in range(0, len(whole) - 1, 3):
        file.write_bytes(whole[:cut])
        with pytest.raises(EvomergeError):
            read_gguf_config(file)


def test_unknown_gguf_architectures_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(gguf_bytes({**LLAMA, "general.architecture": "strange"}, {}))
    with pytest.raises(EvomergeError, match="'strange'"):
        read_gguf_config(file)
