from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from tiny_models import bfloat16, write_model, write_safetensors

from evomerge_compiler.compiler.model_headers import source_model
from evomerge_compiler.errors import EvomergeError, MissingPrerequisite, UsageError
from evomerge_compiler.merging import sources
from evomerge_compiler.merging.sources import materialise
from evomerge_compiler.merging.verify import check_loads
from evomerge_compiler.merging.weights import read_tensors
from evomerge_compiler.recipe_schema import Facts, ModelSpec

FACTS = Facts(
    architecture="Qwen2ForCausalLM", num_hidden_layers=4, hidden_size=32, vocab_size=64,
    tie_word_embeddings=True,
)  # fmt: skip


def make(spec: ModelSpec, folder: Path, **kwargs: bool) -> Path:
    model = source_model("a", spec, folder)
    return materialise(model, folder, folder / "cache", **kwargs)


def tokenized(folder: Path) -> Path:
    """A model folder with a tokenizer that can be read."""
    vocabulary = {f"t{i}": i for i in range(64)}
    tokenizer = {"model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "t0"}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | {"added_tokens": []}))
    return folder


def write_adapter(folder: Path, rank: int = 2) -> Path:
    folder.mkdir()
    settings = {
        "peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": ["q_proj"],
        "task_type": "CAUSAL_LM", "base_model_name_or_path": "/not/here",
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    rng = np.random.default_rng(5)
    tensors = {}
    for layer in range(4):
        at = f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_"
        for name, shape in (("A", (rank, 32)), ("B", (32, rank))):
            data = rng.normal(0, 0.1, shape).astype("<f4")
            tensors[f"{at}{name}.weight"] = ("F32", shape, data.tobytes())
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    return folder


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    model = tokenized(write_model(tmp_path / "m"))
    assert make(ModelSpec(path="m"), tmp_path) == model
    assert not (tmp_path / "cache").exists()


def test_a_hub_model_in_the_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--me--m" / "snapshots" / "abc"
    tokenized(write_model(snapshot))
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    assert make(ModelSpec(path="me/m"), tmp_path, offline=True) == snapshot


def test_a_hub_model_that_may_not_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(MissingPrerequisite, match="me/m at v1 is not on this machine") as error:
        make(ModelSpec(path="me/m", revision="v1", facts=FACTS), tmp_path, offline=True)
    assert "hf download me/m" in str(error.value.hint)


def test_a_full_disk_is_no_fault_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    with pytest.raises(MissingPrerequisite, match="no space") as caught:
        make(ModelSpec(path="me/m", revision="v1", facts=FACTS), tmp_path)
    assert caught.value.hint is not None and "larger disk" in caught.value.hint


def test_gguf_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPrerequisite, match="gguf") as error:
        sources._require("gguf", "reading GGUF files", "gguf")
    assert error.value.hint == "pip install 'evomerge-compiler[gguf]'"


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("adapter_config.json", "no LoRA adapter"),
        ("adapter_model.safetensors", "no adapter_model"),
    ],
)
def test_adapters_that_are_none(tmp_path: Path, left_out: str, message: str) -> None:
    tokenized(write_model(tmp_path / "m"))
    (write_adapter(tmp_path / "lora") / left_out).unlink()
    with pytest.raises(UsageError, match=message):
        make(ModelSpec(path="m", lora="lora"), tmp_path)


@pytest.mark.long
def test_lora_is_merged_once(tmp_path: Path) -> None:
    """W + (alpha / r) B A, in a folder that a second call finds."""
    model = tokenized(write_model(tmp_path / "m"))
    adapter = write_adapter(tmp_path / "lora")
    folder = make(ModelSpec(path="m", lora="lora"), tmp_path)
    check_loads(folder)
    assert (folder / "tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()

    def read(where: Path, name: str) -> np.ndarray:
        info = (
            read_tensors(where)[name]
            if where != adapter
            else dict(_adapter_tensors(adapter))[name]
        )
        with info.file.open("rb") as stream:
            stream.seek(info.start)
            data = stream.read(info.end - info.start)
        if info.dtype == "F32":
            return np.frombuffer(data, "<f4").reshape(info.shape)
        bits = np.frombuffer(data, "<u2").astype("<u4") << 16
        return bits.view("<f4").reshape(info.shape)

    name = "model.layers.1.self_attn.q_proj.weight"
    at = "base_model.model.model.layers.1.self_attn.q_proj.lora_"
    delta = 2 * read(adapter, f"{at}B.weight") @ read(adapter, f"{at}A.weight")
    np.testing.assert_allclose(read(folder, name), read(model, name) + delta, atol=2e-3)
    marker = folder / "OK"
    made = marker.stat().st_ino
    assert make(ModelSpec(path="m", lora="lora"), tmp_path) == folder
    assert marker.stat().st_ino == made


def _adapter_tensors(adapter: Path):
    from evomerge_compiler.merging.weights import _read_header

    return _read_header(adapter / "adapter_model.safetensors")


@pytest.mark.long
def test_an_adapter_of_another_model_is_the_users_mistake(tmp_path: Path) -> None:
    tokenized(write_model(tmp_path / "m"))
    adapter = write_adapter(tmp_path / "lora")
    wrong = ("BF16", (2, 7), bfloat16(np.ones((2, 7))))
    at = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    write_safetensors(adapter / "adapter_model.safetensors", {f"{at}A.weight": wrong})
    with pytest.raises(EvomergeError, match="cannot convert lora") as error:
        make(ModelSpec(path="m", lora="lora"), tmp_path)
    assert error.value.exit_code == 2


@pytest.mark.long
def test_gguf_is_read_through_transformers(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(64)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(["t", "1", "t1", *(f"t{i}" for i in range(2, 63))])
    writer.add_token_types([1] * 64)
    writer.add_token_merges(["t 1"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    rng = np.random.default_rng(0)
    shapes = {"token_embd": (64, 32), "output_norm": (32,), "output": (64, 32)}
    for layer in range(2):
        shapes |= {
            f"blk.{layer}.{name}": shape
            for name, shape in {
                "attn_norm": (32,), "ffn_norm": (32,), "ffn_gate": (48, 32), "ffn_up": (48, 32),
                "ffn_down": (32, 48), "attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32),
                "attn_output": (32, 32),
            }.items()
        }  # fmt: skip
    drawn = {f"{name}.weight": rng.normal(0, 0.1, s).astype("<f4") for name, s in shapes.items()}
    for name, data in drawn.items():
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    folder = make(ModelSpec(path="m.gguf"), tmp_path)
    check_loads(folder)
    info = read_tensors(folder)["model.layers.1.mlp.up_proj.weight"]
    with info.file.open("rb") as stream:
        stream.seek(info.start)
        found = np.frombuffer(stream.read(info.end - info.start), "<f4").reshape(info.shape)
    np.testing.assert_array_equal(found, drawn["blk.1.ffn_up.weight"])
    assert (folder / "tokenizer.json").is_file()
