"""What stands beside the weights of a merged model: config.json, tokenizer, chat template.

mergekit takes all of them from one donor in silence. Here each comes from its own donor, and
config.json says what the merged weights really hold: depth, per-layer settings, vocabulary,
dtype and whether the head is tied. Nothing here needs torch.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evomerge_compiler.errors import UsageError, WorkFailed
from evomerge_compiler.merging.weights import (
    DTYPE_NAMES,
    EMBEDDING_ENDINGS,
    HEAD_ENDINGS,
    TensorSpec,
    find_ending,
    layer_prefix,
)
from evomerge_compiler.yamlio import write_atomic

CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
CHAT_TEMPLATE = "chat_template.jinja"
TOKENIZER_FILES = (
    "tokenizer.json", TOKENIZER_CONFIG, "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "spiece.model",
    "sentencepiece.bpe.model", "tekken.json",
)  # fmt: skip
# Configuration lists with one entry a layer. A list is not told by its length alone: a model of
# two layers may have two end-of-text tokens.
PER_LAYER_KEYS = ("layer_types", "mlp_layer_types", "no_rope_layers", "layers_block_type")
TOKEN_ID_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")
LayerSource = tuple[str, int]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        UsageError: It is not there, or holds something else.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{path.parent.name} has no {path.name}",
            hint="name a folder with a whole transformers model",
        ) from None
    except ValueError as error:
        raise UsageError(f"{path.parent.name}/{path.name} is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path.parent.name}/{path.name} holds no JSON object")
    return data


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Writes JSON as transformers does: sorted, indented."""
    write_atomic(path, json.dumps(data, indent=2, sort_keys=True) + "\n")


def text_part(config: dict[str, Any]) -> dict[str, Any]:
    """The part that describes the decoder: ``text_config`` of models with several parts."""
    nested = config.get("text_config")
    return nested if "num_hidden_layers" not in config and isinstance(nested, dict) else config


def model_depth(folder: Path) -> int:
    """Layers of a model folder, as its config.json says.

    Raises:
        UsageError: It does not say.
    """
    depth = text_part(read_json(folder / CONFIG)).get("num_hidden_layers")
    if not isinstance(depth, int):
        raise UsageError(
            f"{folder.name}/{CONFIG} names no num_hidden_layers",
            hint="merging by layers needs a decoder that transformers knows",
        )
    return depth


def per_layer_values(folder: Path) -> dict[str, list[Any]]:
    """The per-layer lists of a model, one entry a layer.

    Models written by transformers 4 leave ``layer_types`` out, and with sliding windows it then
    depends on the depth: transformers is asked, which costs its import in just that case.
    """
    config = text_part(read_json(folder / CONFIG))
    n_layers = config.get("num_hidden_layers")
    if "layer_types" not in config and _slides(config):
        from transformers import AutoConfig

        config = text_part(AutoConfig.from_pretrained(folder).to_dict())
    return {
        key: list(config[key])
        for key in PER_LAYER_KEYS
        if isinstance(config.get(key), list) and len(config[key]) == n_layers
    }


def _slides(config: Mapping[str, Any]) -> bool:
    if config.get("use_sliding_window") is False:
        return False
    return any("sliding_window" in key and config[key] for key in config)


def follow_layers(
    sources: Sequence[LayerSource], values: Mapping[str, Mapping[str, list[Any]]]
) -> dict[str, list[Any]]:
    """Per-layer lists of a model whose layers come from elsewhere.

    Args:
        sources: For each layer of the result, the model and the layer it is built from.
        values: For each model, its own per-layer lists.

    Returns:
        The lists that all these models have.

    Raises:
        WorkFailed: A layer is to be taken that the model does not have.
    """
    shared = set.intersection(*(set(values[model]) for model, _ in sources))
    try:
        return {
            key: [values[model][key][layer] for model, layer in sources]
            for key in PER_LAYER_KEYS
            if key in shared
        }
    except IndexError:
        raise WorkFailed(
            "a slice names a layer that its model does not have", reason="invalid", step="merge"
        ) from None


def merged_config(
    donor: Mapping[str, Any],
    tensors: Mapping[str, TensorSpec],
    *,
    n_layers: int,
    per_layer: Mapping[str, list[Any]],
    equal: Callable[[str, str], bool],
    token_ids: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The config.json of a merged model.

    Args:
        donor: The config donor's own.
        tensors: The merged tensors.
        n_layers: Layers of the result.
        per_layer: Per-layer lists of the result.
        equal: Whether two of the merged tensors are equal bit for bit; asked about head and
            embedding where that decides.
        token_ids: config.json of the tokenizer's donor when that is another model: its ids of
            special tokens are taken over.

    Raises:
        WorkFailed: The tensors do not hold ``n_layers`` layers.
    """
    config: dict[str, Any] = json.loads(json.dumps(donor))
    text = text_part(config)
    if layer_prefix(tensors, n_layers) is None:
        raise WorkFailed(
            f"the merged tensors do not hold {n_layers} layers", reason="invalid", step="merge"
        )
    _set_layers(text, n_layers, per_layer)
    for part in {id(part): part for part in (config, text)}.values():
        _set_dtype(part, tensors)
    embedding = find_ending(tensors, EMBEDDING_ENDINGS)
    if embedding is not None:
        text["vocab_size"] = tensors[embedding].shape[0]
        _set_tied(config, tensors, embedding, equal)
    if token_ids is not None:
        text.update((key, token_ids[key]) for key in TOKEN_ID_KEYS if key in token_ids)
    return config


def _set_layers(text: dict[str, Any], n_layers: int, per_layer: Mapping[str, list[Any]]) -> None:
    old_depth = text.get("num_hidden_layers")
    text["num_hidden_layers"] = n_layers
    for key in PER_LAYER_KEYS:
        own = text.get(key)
        if isinstance(own, list) and len(own) == old_depth:
            if key in per_layer:
                text[key] = list(per_layer[key])
            elif len({json.dumps(value) for value in own}) == 1:
                text[key] = own[:1] * n_layers
            elif n_layers != old_depth:
                del text[key]  # transformers then derives it from the depth
        elif key in per_layer and len(set(map(str, per_layer[key]))) > 1:
            text[key] = list(per_layer[key])


def _set_dtype(part: dict[str, Any], tensors: Mapping[str, TensorSpec]) -> None:
    """Names the dtype that most of the bytes have, under the key that the donor uses."""
    sizes: dict[str, int] = {}
    for info in tensors.values():
        sizes[info.dtype] = sizes.get(info.dtype, 0) + info.n_bytes
    name = DTYPE_NAMES.get(max(sizes, key=lambda dtype: (sizes[dtype], dtype)))
    if name is not None:
        part["torch_dtype" if "torch_dtype" in part and "dtype" not in part else "dtype"] = name


def _set_tied(
    config: dict[str, Any],
    tensors: Mapping[str, TensorSpec],
    embedding: str,
    equal: Callable[[str, str], bool],
) -> None:
    """A head of its own counts: a tied config would load the embedding in its place."""
    head = find_ending(tensors, HEAD_ENDINGS)
    tied = head is None or (bool(config.get("tie_word_embeddings")) and equal(head, embedding))
    for part in {id(part): part for part in (config, text_part(config))}.values():
        if part is config or "tie_word_embeddings" in part:
            part["tie_word_embeddings"] = tied


def copy_tokenizer(
    tokenizer: Path, chat_template: Path | None, destination: Path, *, keep_tokenizer: bool = False
) -> None:
    """Copies a tokenizer, a chat template and the generation settings that belong to them.

    Args:
        tokenizer: Model folder of the tokenizer's donor.
        chat_template: Model folder of the chat template's donor; None when the merge has none.
        destination: Folder of the merged model.
        keep_tokenizer: mergekit wrote a tokenizer of its own (a compiled ``tokenizer:``), which
            stays.
    """
    if not keep_tokenizer:
        for name in TOKENIZER_FILES:
            if (tokenizer / name).is_file():
                shutil.copyfile(tokenizer / name, destination / name)
    if chat_template == tokenizer and not keep_tokenizer:
        _copy_templates(tokenizer, destination)
    else:
        _set_template(destination, read_chat_template(chat_template) if chat_template else None)
    # The end-of-answer token in the generation settings is the chat template's.
    for donor in (chat_template, tokenizer):
        if donor is not None and (donor / GENERATION_CONFIG).is_file():
            shutil.copyfile(donor / GENERATION_CONFIG, destination / GENERATION_CONFIG)
            return


def _copy_templates(donor: Path, destination: Path) -> None:
    if (donor / CHAT_TEMPLATE).is_file():
        shutil.copyfile(donor / CHAT_TEMPLATE, destination / CHAT_TEMPLATE)
    named = donor / "additional_chat_templates"
    if named.is_dir():
        shutil.copytree(named, destination / named.name, dirs_exist_ok=True)


def _set_template(destination: Path, template: str | None) -> None:
    config_path = destination / TOKENIZER_CONFIG
    if config_path.is_file():
        config = read_json(config_path)
        if config.pop("chat_template", None) is not None:
            write_json(config_path, config)
    if template is None:
        (destination / CHAT_TEMPLATE).unlink(missing_ok=True)
    else:
        write_atomic(destination / CHAT_TEMPLATE, template)


def read_chat_template(folder: Path) -> str | None:
    """A model's default chat template, None when it has none.

    The file of its own wins over the entry in the tokenizer's configuration, as in transformers.
    """
    if (folder / CHAT_TEMPLATE).is_file():
        return (folder / CHAT_TEMPLATE).read_text("utf-8")
    if not (folder / TOKENIZER_CONFIG).is_file():
        return None
    template = read_json(folder / TOKENIZER_CONFIG).get("chat_template")
    if isinstance(template, list):
        named = {entry["name"]: entry["template"] for entry in template}
        template = named.get("default")
    return template if isinstance(template, str) else None


def copy_code(donor: Path, destination: Path) -> None:
    """Copies the Python files that a model of its own architecture needs."""
    if "auto_map" in read_json(donor / CONFIG):
        for path in sorted(donor.glob("*.py")):
            shutil.copyfile(path, destination / path.name)
