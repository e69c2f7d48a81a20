"""Tiny whole models, written without torch, and plans that merge them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY, HIDDEN, INNER, HEADS, KV_HEADS, HEAD_SIZE = 64, 32, 48, 4, 2, 8
ARCHITECTURES = {
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "llama": "LlamaForCausalLM",
}


def tensor_shapes(kind: str, n_layers: int, tied: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a model's weights."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    if not tied:
        shapes["lm_head.weight"] = (VOCABULARY, HIDDEN)
    queries, keys = HEADS * HEAD_SIZE, KV_HEADS * HEAD_SIZE
    for layer in range(n_layers):
        at = f"model.layers.{layer}."
        shapes |= {
            at + "input_layernorm.weight": (HIDDEN,),
            at + "post_attention_layernorm.weight": (HIDDEN,),
            at + "mlp.gate_proj.weight": (INNER, HIDDEN),
            at + "mlp.up_proj.weight": (INNER, HIDDEN),
            at + "mlp.down_proj.weight": (HIDDEN, INNER),
            at + "self_attn.q_proj.weight": (queries, HIDDEN),
            at + "self_attn.k_proj.weight": (keys, HIDDEN),
            at + "self_attn.v_proj.weight": (keys, HIDDEN),
            at + "self_attn.o_proj.weight": (HIDDEN, queries),
        }
        if kind == "qwen2":
            shapes |= {
                at + f"self_attn.{n}_proj.bias": (s,)
                for n, s in (("q", queries), ("k", keys), ("v", keys))
            }
        if kind == "qwen3":
            shapes |= {at + f"self_attn.{n}_norm.weight": (HEAD_SIZE,) for n in "qk"}
    return shapes


def bfloat16(values: np.ndarray) -> bytes:
    """Upper halves of float32 values."""
    return (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()


def write_safetensors(path: Path, tensors: Mapping[str, tuple[str, Sequence[int], bytes]]) -> None:
    """Writes name -> (dtype, shape, bytes)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, (dtype, shape, data) in tensors.items():
        end = start + len(data)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    body = b"".join(data for _, _, data in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def write_model(
    folder: Path,
    *,
    kind: str = "qwen2",
    n_layers: int = 4,
    seed: int = 0,
    tied: bool = True,
    config: Mapping[str, Any] | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Writes a model that transformers loads; ``weights`` replace drawn ones."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in tensor_shapes(kind, n_layers, tied).items():
        drawn = rng.normal(1.0 if "norm" in name else 0.0, 0.05, shape)
        values = (weights or {}).get(name, drawn)
        tensors[name] = ("BF16", shape, bfloat16(values))
    write_safetensors(folder / "model.safetensors", tensors)
    settings = {
        "architectures": [ARCHITECTURES[kind]], "model_type": kind, "dtype": "bfloat16",
        "vocab_size": VOCABULARY, "hidden_size": HIDDEN, "intermediate_size": INNER,
        "num_hidden_layers": n_layers, "num_attention_heads": HEADS, "hidden_act": "silu",
        "num_key_value_heads": KV_HEADS, "head_dim": HEAD_SIZE, "rms_norm_eps": 1e-6,
        "max_position_embeddings": 64, "tie_word_embeddings": tied, "rope_theta": 10000.0,
        "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    if kind != "llama":
        settings["layer_types"] = ["full_attention"] * n_layers
    settings |= config or {}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "tokenizer.json").write_text(json.dumps({"name": folder.name}))
    template = f"{folder.name}: {{{{ messages[0].content }}}}"
    tokenizer = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": seed + 2}))
    return folder


def key(*parts: object) -> str:
    """A content key for tests."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()
