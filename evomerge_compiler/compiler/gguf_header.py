"""Reads the facts of a GGUF file from its header: no weights, no dependency.

The format is specified at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md: magic,
version, counts of tensors and of key-value pairs, the pairs, then name, shape, type and offset
of each tensor.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

from evomerge_compiler.errors import RecipeError

MAGIC = b"GGUF"
_MAX_LENGTH = 1 << 28
# Value types 0-7 and 10-12 are plain numbers; 8 is text, 9 an array.
_NUMBERS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?",
    10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_TEXT, _ARRAY = 8, 9
# Class names of the architectures that transformers reads from GGUF and mergekit merges.
_CLASSES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3": "Gemma3ForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "stablelm": "StableLmForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
    "falcon": "FalconForCausalLM",
}


def is_gguf(path: Path) -> bool:
    """Whether a file begins as a GGUF file does."""
    with path.open("rb") as stream:
        return stream.read(4) == MAGIC


def read_gguf_config(path: Path) -> dict[str, Any]:
    """The ``config.json`` that transformers would make of a GGUF file, as far as a merge cares.

    Raises:
        RecipeError: It is no GGUF file, is damaged, or has an unknown architecture.
    """
    if not is_gguf(path):
        raise RecipeError(
            f"{path.name!r} is a file, and not a GGUF file",
            hint="write a model folder, a GGUF file, a hub id, or zoo:NAME",
        )
    try:
        with path.open("rb") as stream:
            values, tensors = _Reader(stream).read()
    except (struct.error, UnicodeDecodeError, ValueError, MemoryError) as error:
        raise RecipeError(
            f"{path.name!r} is a damaged GGUF file: {error}", hint="fetch it again"
        ) from None
    kind = str(values.get("general.architecture"))
    if kind not in _CLASSES:
        raise RecipeError(
            f"GGUF architecture {kind!r} is not one that transformers can turn back",
            hint="expected one of: " + ", ".join(sorted(_CLASSES)),
        )
    heads = values.get(f"{kind}.attention.head_count")
    return {
        "architectures": [_CLASSES[kind]],
        "model_type": kind,
        "num_hidden_layers": values.get(f"{kind}.block_count"),
        "hidden_size": values.get(f"{kind}.embedding_length"),
        "intermediate_size": values.get(f"{kind}.feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": values.get(f"{kind}.attention.head_count_kv", heads),
        "vocab_size": values.get(
            f"{kind}.vocab_size", tensors.get("token_embd.weight", (0, 0))[-1]
        ),
        "rope_theta": values.get(f"{kind}.rope.freq_base"),
        "rms_norm_eps": values.get(f"{kind}.attention.layer_norm_rms_epsilon"),
        "tie_word_embeddings": "output.weight" not in tensors,
    }


class _Reader:
    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream

    def read(self) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
        """Key-value pairs (arrays are skipped) and tensor shapes, innermost dimension first."""
        self.stream.read(4)
        version = self.number(4)
        if version not in (2, 3):
            raise ValueError(f"version {version}, expected 2 or 3")
        n_tensors, n_values = self.number(10), self.number(10)
        if max(n_tensors, n_values) > _MAX_LENGTH:
            raise ValueError("more entries than a file can hold")
        values: dict[str, Any] = {}
        for _ in range(n_values):
            name = self.text()
            value = self.value(self.number(4))
            if value is not None:
                values[name] = value
        tensors: dict[str, tuple[int, ...]] = {}
        for _ in range(n_tensors):
            name = self.text()
            shape = tuple(self.number(10) for _ in range(self.number(4)))
            self.number(4)
            self.number(10)
            tensors[name] = shape
        return values, tensors

    def number(self, kind: int) -> Any:
        layout = _NUMBERS[kind]
        return struct.unpack(layout, self.stream.read(struct.calcsize(layout)))[0]

    def text(self) -> str:
        length = self.number(10)
        if length > _MAX_LENGTH:
            raise ValueError("text longer than a file can hold")
        data = self.stream.read(length)
        if len(data) != length:
            raise ValueError("the file ends inside its header")
        return data.decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self.text()
        if kind != _ARRAY:
            if kind not in _NUMBERS:
                raise ValueError(f"unknown value type {kind}")
            return self.number(kind)
        inner, length = self.number(4), self.number(10)
        if length > _MAX_LENGTH:
            raise ValueError("an array longer than a file can hold")
        if inner in _NUMBERS:
            self.stream.seek(length * struct.calcsize(_NUMBERS[inner]), 1)
        else:
            for _ in range(length):
                self.value(inner)
        return None
