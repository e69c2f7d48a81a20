"""Models of a given shape with random weights: made on the spot, deleted afterwards.

The fine-tunes are small changes of their base, many of which bfloat16 rounds away, as it does
with real ones: methods that trim and elect signs then do the work that they do on real models.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from evomerge_compiler.assets import zoo_model

if TYPE_CHECKING:
    import torch

_BASE_STD, _CHANGE_STD = 0.02, 0.0003
_BYTES = 2  # of a bfloat16


@dataclass(frozen=True)
class Shape:
    """A Qwen2 model with tied embeddings.

    Attributes:
        layers: Number of layers.
        hidden, inner: Sizes of the residual stream and of the MLP.
        heads, kv_heads: Attention heads, and those of keys and values.
        vocabulary: Rows of the embedding.
    """

    layers: int = 28
    hidden: int = 1536
    inner: int = 8960
    heads: int = 12
    kv_heads: int = 2
    vocabulary: int = 151936

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of each tensor, in the order of the file."""
        hidden, keys = self.hidden, self.hidden // self.heads * self.kv_heads
        yield "model.embed_tokens.weight", (self.vocabulary, hidden)
        for layer in range(self.layers):
            at = f"model.layers.{layer}."
            yield at + "input_layernorm.weight", (hidden,)
            yield at + "post_attention_layernorm.weight", (hidden,)
            for name, rows in (("q", hidden), ("k", keys), ("v", keys)):
                yield f"{at}self_attn.{name}_proj.weight", (rows, hidden)
                yield f"{at}self_attn.{name}_proj.bias", (rows,)
            yield at + "self_attn.o_proj.weight", (hidden, hidden)
            yield at + "mlp.gate_proj.weight", (self.inner, hidden)
            yield at + "mlp.up_proj.weight", (self.inner, hidden)
            yield at + "mlp.down_proj.weight", (hidden, self.inner)
        yield "model.norm.weight", (hidden,)

    @property
    def n_parameters(self) -> int:
        """Elements of all tensors."""
        total = 0
        for _, shape in self.tensors():
            total += shape[0] * (shape[1] if len(shape) == 2 else 1)
        return total

    @property
    def n_bytes(self) -> int:
        """Bytes of all tensors."""
        return self.n_parameters * _BYTES

    def config(self) -> dict[str, object]:
        """``config.json``."""
        return {
            "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "dtype": "bfloat16",
            "hidden_size": self.hidden, "intermediate_size": self.inner, "hidden_act": "silu",
            "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads, "vocab_size": self.vocabulary,
            "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
            "layer_types": ["full_attention"] * self.layers,
            "eos_token_id": 256, "pad_token_id": 257,
        }  # fmt: skip


def write_family(folder: Path, shape: Shape, names: tuple[str, ...]) -> dict[str, Path]:
    """Writes a base and its fine-tunes, tensor by tensor: no model is ever held.

    Args:
        folder: Gets a folder for each.
        shape: Of all of them.
        names: The base first.

    Returns:
        Name to folder.
    """
    import torch

    generators = [torch.Generator().manual_seed(number) for number in range(len(names))]
    folders = {name: folder / name for name in names}
    files = [_open(path, shape) for path in folders.values()]
    try:
        for name, size in shape.tensors():
            base = torch.empty(size).normal_(0, _BASE_STD, generator=generators[0])
            if "norm" in name:
                base += 1
            _write(files[0], base)
            for file, generator in zip(files[1:], generators[1:], strict=True):
                change = torch.empty(size).normal_(0, _CHANGE_STD, generator=generator)
                _write(file, change.add_(base))
    finally:
        for file in files:
            file.close()
    return folders


def _open(folder: Path, shape: Shape) -> IO[bytes]:
    """Writes all of a model but its tensors."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(shape.config(), indent=2), "utf-8")
    donor = zoo_model("zoo:base")
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copyfile(donor / name, folder / name)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, size in shape.tensors():
        end = start + size[0] * (size[1] if len(size) == 2 else 1) * _BYTES
        header[name] = {"dtype": "BF16", "shape": list(size), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file = (folder / "model.safetensors").open("wb")
    file.write(len(text).to_bytes(8, "little") + text)
    return file


def _write(file: IO[bytes], tensor: torch.Tensor) -> None:
    import torch

    file.write(tensor.to(torch.bfloat16).view(torch.int16).numpy().data)
