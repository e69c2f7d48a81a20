"""Builders of tiny models: random ones that run, and header-only ones that compile."""

from __future__ import annotations

import json
import struct
from pathlib import Path

HIDDEN, LAYERS, VOCAB = 32, 4, 264


def write_tokenizer(folder: Path, *, chat_template: str | None = None) -> None:
    """A byte-level tokenizer that AutoTokenizer loads."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<eos>", pad_token="<pad>", bos_token="<bos>"
    )
    fast.chat_template = chat_template
    fast.save_pretrained(folder)


def build_model(
    folder: Path,
    kind: str,
    seed: int,
    *,
    base: Path | None = None,
    tokenizer: bool = True,
    chat_template: str | None = None,
    **config: object,
) -> Path:
    """A random causal language model of 4 layers and hidden size 32.

    Args:
        folder: Where it is saved.
        kind: ``qwen2``, ``qwen3`` or ``llama``.
        seed: Of its weights.
        base: A model that it is a small change of, so that task vectors mean something.
        tokenizer: Whether a tokenizer is saved with it.
        chat_template: Of the tokenizer.
        **config: Further keys of its configuration.
    """
    import torch
    import transformers

    torch.set_num_threads(1)
    names = {"qwen2": "Qwen2", "qwen3": "Qwen3", "llama": "Llama"}
    settings: dict[str, object] = {
        "hidden_size": HIDDEN,
        "intermediate_size": 48,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": VOCAB,
        "max_position_embeddings": 128,
        "tie_word_embeddings": True,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
    }
    if kind == "qwen3":
        settings["head_dim"] = 8
    shape = getattr(transformers, names[kind] + "Config")(**{**settings, **config})
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = getattr(transformers, names[kind] + "ForCausalLM")(shape)
    origin = None if base is None else transformers.AutoModelForCausalLM.from_pretrained(base)
    known = {} if origin is None else dict(origin.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.05
            parameter.copy_(known[name] + noise if name in known else parameter + noise)
    model.to(torch.float32).save_pretrained(folder)
    if tokenizer:
        write_tokenizer(folder, chat_template=chat_template)
    return folder


# --------------------------------------------------------------------------------------
# Models of which a compiler sees all there is to see, written without torch


def write_header_model(folder: Path, *, drop: tuple[str, ...] = (), **config: object) -> Path:
    """A model folder with a true configuration, header and tokenizer, and weights of zeros.

    Args:
        folder: Where it is written.
        drop: Names of files that are left out.
        **config: Keys of its configuration; ``vocab`` is the list of its tokens,
            ``chat_template`` its chat template, ``shapes`` odd tensors (None for a missing one).
    """
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = config.pop("vocab", [chr(97 + i) for i in range(20)])
    template = config.pop("chat_template", None)
    odd = config.pop("shapes", {})
    settings: dict[str, object] = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "num_hidden_layers": LAYERS,
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": 24,
        "tie_word_embeddings": True,
        "rope_theta": 10000.0,
        "rms_norm_eps": 1e-6,
        **config,
    }
    hidden, rows = settings["hidden_size"], settings["vocab_size"]
    shapes = {"model.embed_tokens.weight": [rows, hidden], "model.norm.weight": [hidden]}
    if not settings["tie_word_embeddings"]:
        shapes["lm_head.weight"] = [rows, hidden]
    for layer in range(int(str(settings["num_hidden_layers"]))):
        shapes[f"model.layers.{layer}.input_layernorm.weight"] = [hidden]
    assert isinstance(odd, dict)
    shapes = {name: shape for name, shape in {**shapes, **odd}.items() if shape is not None}
    files = {
        "config.json": json.dumps(settings).encode(),
        "model.safetensors": safetensors_bytes(shapes),
        "tokenizer.json": json.dumps(
            {"model": {"vocab": {t: i for i, t in enumerate(vocabulary)}}, "added_tokens": []}
        ).encode(),
        "tokenizer_config.json": json.dumps(
            {} if template is None else {"chat_template": template}
        ).encode(),
    }
    for name, data in files.items():
        if name not in drop:
            (folder / name).write_bytes(data)
    return folder


def safetensors_bytes(shapes: dict[str, list[int]]) -> bytes:
    """A safetensors file of float32 zeros."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(offset)
