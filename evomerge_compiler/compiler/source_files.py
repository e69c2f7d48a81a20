"""The files of a model folder: content hashes, safetensors headers, tokenizer; no torch."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evomerge_compiler import yamlio
from evomerge_compiler.compiler.mergekit_grammar import user_cache
from evomerge_compiler.errors import RecipeError

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)
MAX_HEADER_BYTES = 100 * 1024 * 1024
# Tensor name to (dtype, shape).
Tensors = Mapping[str, tuple[str, tuple[int, ...]]]


def content_hash(path: Path) -> str:
    digest = hashlib.sha256()
    for file in identity_files(path):
        digest.update(f"{file.name}\0{file_hash(file)}\n".encode())
    return "sha256:" + digest.hexdigest()


def identity_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    named = [path / name for name in ("config.json", *TOKENIZER_FILES)]
    weights = [*path.glob("*.safetensors"), *path.glob("adapter_config.json")]
    return sorted(file for file in {*named, *weights} if file.is_file())


def file_hash(path: Path) -> str:
    """sha256 of a file, kept in the user's cache by path, size and time of change."""
    status = path.stat()
    key = f"{path}\0{status.st_size}\0{status.st_mtime_ns}"
    return _file_hash(path, key)


@functools.lru_cache(maxsize=4096)
def _file_hash(path: Path, key: str) -> str:
    name = hashlib.sha256(key.encode()).hexdigest()
    kept = user_cache() / "hashes" / name[:2] / name
    if kept.is_file() and len(text := kept.read_text(encoding="utf-8")) == 64:
        return text
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    kept.parent.mkdir(parents=True, exist_ok=True)
    yamlio.write_atomic(kept, digest.hexdigest())
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"cannot read {path.name}: {error}") from None
    if not isinstance(data, dict):
        raise RecipeError(f"{path.name} holds no mapping")
    return data


def read_tensors(folder: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name to (dtype, shape) of every tensor in a folder's safetensors files.

    Raises:
        RecipeError: There are none, or a header is damaged.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(read_json(index).get("weight_map", {}).values()))
        files = [folder / shard for shard in shards]
    else:
        files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise RecipeError(
            f"{folder.name!r} has no safetensors weights",
            hint="pickled weights (.bin, .pt) run code when loaded: save them as safetensors",
        )
    out: dict[str, tuple[str, tuple[int, ...]]] = {}
    for file in files:
        out.update(_header(file))
    return out


def _header(file: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The header of one safetensors file: 8 bytes of length, then JSON."""
    damaged = RecipeError(
        f"{file.parent.name}/{file.name} is no whole safetensors file", hint="fetch it again"
    )
    try:
        size_bytes = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER_BYTES, size_bytes - 8):
                raise damaged
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        ends = [int(entry["data_offsets"][1]) for entry in header.values()]
        if max(ends, default=0) != size_bytes - 8 - length:
            raise damaged
        return {name: (e["dtype"], tuple(map(int, e["shape"]))) for name, e in header.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise damaged from None


def read_tokenizer(folder: Path) -> dict[str, str]:
    """``vocabulary`` (hash of token to row) and ``chat_template`` (hash, ``""`` for none)."""
    out: dict[str, str] = {}
    tokenizer = folder / "tokenizer.json"
    if tokenizer.is_file():
        data = read_json(tokenizer)
        rows = _rows(data)
        text = json.dumps(sorted(rows.items(), key=lambda item: (item[1], item[0])))
        out["vocabulary"] = hashlib.sha256(text.encode()).hexdigest()
    elif (folder / "tokenizer.model").is_file():
        out["vocabulary"] = file_hash(folder / "tokenizer.model")
    template = _chat_template(folder)
    out["chat_template"] = (
        hashlib.sha256(template.strip().encode()).hexdigest() if template else ""
    )
    return out


def _rows(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    """Token to embedding row of the tokenizer's own vocabulary.

    Added tokens are left out: chat models rename them freely over the same rows, and merging
    them row by row is what everyone means.
    """
    vocabulary = tokenizer.get("model", {}).get("vocab", {})
    added = {token.get("content") for token in tokenizer.get("added_tokens", [])}
    if isinstance(vocabulary, list):
        return {str(t[0]): i for i, t in enumerate(vocabulary) if str(t[0]) not in added}
    return {str(t): int(i) for t, i in vocabulary.items() if t not in added}


def _chat_template(folder: Path) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json"
    value = read_json(config).get("chat_template") if config.is_file() else None
    if isinstance(value, list):
        named = {item.get("name"): item.get("template") for item in value}
        value = named.get("default")
    return value if isinstance(value, str) else ""
