"""What a compiler must know of a source model, read without its weights, torch or the network.

A model on this machine tells its facts itself: ``config.json``, the JSON header of its
safetensors files, its tokenizer. A model that is not here has the ``facts`` its recipe states.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evomerge_compiler.assets import ZOO_PREFIX, zoo_model
from evomerge_compiler.compiler.gguf_header import read_gguf_config
from evomerge_compiler.compiler.source_files import (
    Tensors,
    content_hash,
    identity_files,
    read_json,
    read_tensors,
    read_tokenizer,
)
from evomerge_compiler.errors import EvomergeError, MissingPrerequisite, RecipeError
from evomerge_compiler.recipe_schema import Facts, ModelSpec

HEAD = "lm_head.weight"
# Model types whose configuration class ties the embeddings unless config.json says otherwise.
_TIED_BY_DEFAULT = frozenset({"cohere", "cohere2", "gemma", "gemma2", "gemma3", "gemma3_text"})


@dataclass(frozen=True)
class ModelFacts:
    """What decides whether and how models can be merged.

    ``None`` means unknown (the recipe does not say), except where noted.

    Attributes:
        architecture: Class name.
        model_type: As in ``config.json``.
        num_hidden_layers, hidden_size, intermediate_size: As in ``config.json``.
        num_attention_heads, num_key_value_heads, head_dim, vocab_size: As in ``config.json``.
        tie_word_embeddings: Whether the head is the embedding.
        rope: Rotary settings as canonical text; the base frequency and any scaling.
        rms_norm_eps: Epsilon of the norms.
        chat_template: Hash of the template, ``""`` for none, ``"?"`` for one that is unknown.
        vocabulary: Hash of token to row number.
        has_head: Whether the weights hold a head of their own.
        quantisation: How the weights are quantised, None when they are not.
    """

    architecture: str
    model_type: str | None
    num_hidden_layers: int
    hidden_size: int
    vocab_size: int
    tie_word_embeddings: bool
    intermediate_size: int | None = None
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    rope: str | None = None
    rms_norm_eps: float | None = None
    chat_template: str | None = None
    vocabulary: str | None = None
    has_head: bool = True
    quantisation: str | None = None


@dataclass(frozen=True)
class SourceModel:
    """One model that a merge reads.

    Attributes:
        alias: Its name in ``models/src/``.
        spec: What the recipe says of it.
        reference: What mergekit would be told to find it: hub id with revision, or a folder.
        folder: Where it is on this machine, None when it is not (or is a GGUF file).
        facts: What is known of it.
        tensors: Name to (dtype, shape) of its weights, None when they are not here.
        identity: Content identity: equal identities are equal models.
    """

    alias: str
    spec: ModelSpec
    reference: str
    folder: Path | None
    facts: ModelFacts
    tensors: Mapping[str, tuple[str, tuple[int, ...]]] | None = field(repr=False)
    identity: str


def source_model(alias: str, spec: ModelSpec, folder: Path) -> SourceModel:
    """Reads what can be known of one model.

    Args:
        alias: Its name in the recipe.
        spec: What the recipe says of it.
        folder: What relative paths in the recipe are relative to.

    Raises:
        RecipeError: It cannot be found, is no model mergekit can read, or contradicts the
            stated facts. The error has no place; the caller knows the recipe.
        MissingPrerequisite: It is on the hub and nothing is known of it here.
    """
    located = locate(spec, folder)
    if located is None:
        if spec.facts is None:
            raise _not_here(spec)
        facts, tensors = _stated(spec.facts), None
    elif located.is_file():
        facts, tensors = config_facts(read_gguf_config(located), {}, {}), None
    else:
        facts, tensors = _read_folder(located, _stamp(located))
    if spec.facts is not None and located is not None:
        _check_stated(spec.facts, facts)
    return SourceModel(
        alias=alias,
        spec=spec,
        reference=reference(spec, located),
        folder=located if located is not None and located.is_dir() else None,
        facts=facts,
        tensors=tensors,
        identity=identity(spec, located, folder),
    )


def _not_here(spec: ModelSpec) -> EvomergeError:
    looks_local = spec.path.startswith((".", "/", "~")) or spec.path.count("/") != 1
    if looks_local:
        return RecipeError(
            f"no model at {spec.path!r}",
            hint="write a folder, a GGUF file, a hub id (owner/name), or zoo:NAME",
        )
    what = spec.path + (f" at {spec.revision}" if spec.revision else "")
    return MissingPrerequisite(
        f"{what} is not on this machine and the recipe states no facts about it",
        hint=f"fetch it with `hf download {spec.path}`, or add facts: to the model",
    )


def anywhere(spec: ModelSpec, folder: Path) -> ModelSpec:
    """A spec whose local paths are absolute, for use outside the recipe that it stands in.

    Args:
        spec: What the recipe says of the model.
        folder: What relative paths in that recipe are relative to.
    """

    def absolute(path: str) -> str:
        local = Path(os.path.expanduser(path))
        found = not path.startswith(ZOO_PREFIX) and (folder / local).exists()
        return str((folder / local).resolve()) if found else path

    lora = None if spec.lora is None else absolute(spec.lora)
    return spec.model_copy(update={"path": absolute(spec.path), "lora": lora})


# --------------------------------------------------------------------------------------
# Where a model is


def locate(spec: ModelSpec, folder: Path) -> Path | None:
    """The folder or GGUF file of a model, None when it is not on this machine.

    Args:
        spec: What the recipe says of it.
        folder: What relative paths are relative to.

    Raises:
        UsageError: There is no zoo model of that name.
    """
    if spec.path.startswith(ZOO_PREFIX):
        return zoo_model(spec.path)
    path = Path(os.path.expanduser(spec.path))
    path = path if path.is_absolute() else folder / path
    if path.exists():
        return path.resolve()
    if spec.path.count("/") == 1:
        return _in_hub_cache(spec.path, spec.revision or "main")
    return None


def hub_cache() -> Path:
    """Where Hugging Face libraries keep what they fetched."""
    if named := os.environ.get("HF_HUB_CACHE"):
        return Path(named)
    home = os.environ.get("HF_HOME")
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(home or f"{root}/huggingface")) / "hub"


def _in_hub_cache(name: str, revision: str) -> Path | None:
    # The layout is documented: models--OWNER--NAME/{refs/REVISION, snapshots/COMMIT}.
    root = hub_cache() / ("models--" + name.replace("/", "--"))
    ref = root / "refs" / revision
    commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
    snapshot = root / "snapshots" / commit
    return snapshot if _is_complete(snapshot) else None


def _is_complete(snapshot: Path) -> bool:
    """Whether a snapshot holds the configuration and every shard, not just some files."""
    if not (snapshot / "config.json").exists():
        return False
    index = snapshot / "model.safetensors.index.json"
    if index.exists():
        shards = set(read_json(index).get("weight_map", {}).values())
        return all((snapshot / shard).exists() for shard in shards)
    return any(snapshot.glob("*.safetensors"))


def from_hub(spec: ModelSpec, located: Path | None) -> bool:
    """Whether a model is named by its hub id.

    Args:
        spec: What the recipe says of it.
        located: What :func:`locate` found; what is not on this machine can be nowhere else.
    """
    named = not spec.path.startswith((".", "/", "~"))
    return located is None or (named and located.is_relative_to(hub_cache()))


def reference(spec: ModelSpec, located: Path | None) -> str:
    """What a person hands to mergekit to find the model: a hub id, or an absolute folder."""
    fetched = from_hub(spec, located)
    text = spec.path if fetched else str(located)
    if fetched and spec.revision:
        text += f"@{spec.revision}"
    return text + (f"+{spec.lora}" if spec.lora else "")


# --------------------------------------------------------------------------------------
# What it is


def identity(spec: ModelSpec, located: Path | None, folder: Path) -> str:
    """Content identity of a model, its LoRA included."""
    if located is None or located.is_relative_to(hub_cache()):
        commit = located.name if located is not None else (spec.revision or "main")
        text = f"hub:{spec.path}@{commit}"
    else:
        text = content_hash(located)
    if spec.lora is None:
        return text
    adapter = locate(ModelSpec(path=spec.lora), folder)
    lora = f"hub:{spec.lora}@main" if adapter is None else content_hash(adapter)
    return f"{text}+{lora}"


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of a model's files: what its cached facts are good for."""
    found = []
    for file in identity_files(folder):
        status = file.stat()
        found.append((file.name, status.st_size, status.st_mtime_ns))
    return tuple(found)


@functools.lru_cache(maxsize=64)
def _read_folder(folder: Path, _stamp: object) -> tuple[ModelFacts, Tensors]:
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise RecipeError(
            f"{folder.name!r} is a folder without config.json",
            hint="a model folder holds config.json, safetensors weights and a tokenizer",
        )
    tensors = read_tensors(folder)
    return config_facts(read_json(config_path), tensors, read_tokenizer(folder)), tensors


def config_facts(
    config: Mapping[str, Any], tensors: Tensors, tokenizer: Mapping[str, str]
) -> ModelFacts:
    """Facts from a ``config.json``, tensor names, and what :func:`read_tokenizer` found.

    Raises:
        RecipeError: The configuration lacks what every decoder has.
    """
    inner = config.get("text_config")
    body: Mapping[str, Any] = {**config, **(inner if isinstance(inner, dict) else {})}
    architectures = config.get("architectures")
    counts = ("num_hidden_layers", "hidden_size", "vocab_size")
    wrong = [key for key in counts if type(body.get(key)) is not int or body[key] < 1]
    if not isinstance(architectures, list) or not architectures:
        wrong.append("architectures")
    if wrong:
        raise RecipeError(
            f"the model's configuration has no usable {', '.join(wrong)}",
            hint="evomerge merges decoder language models",
        )
    model_type = body.get("model_type")
    tied = body.get("tie_word_embeddings")
    if tied is None:
        tied = model_type in _TIED_BY_DEFAULT or bool(tensors and HEAD not in tensors)
    return ModelFacts(
        architecture=str(body["architectures"][0]),
        model_type=model_type,
        num_hidden_layers=body["num_hidden_layers"],
        hidden_size=body["hidden_size"],
        vocab_size=body["vocab_size"],
        tie_word_embeddings=bool(tied),
        intermediate_size=body.get("intermediate_size"),
        num_attention_heads=body.get("num_attention_heads"),
        num_key_value_heads=body.get("num_key_value_heads"),
        head_dim=body.get("head_dim"),
        rope=_rope(body),
        rms_norm_eps=_number(body.get("rms_norm_eps")),
        chat_template=tokenizer.get("chat_template"),
        vocabulary=tokenizer.get("vocabulary"),
        has_head=HEAD in tensors if tensors else not tied,
        quantisation=_quantisation(config),
    )


def _quantisation(config: Mapping[str, Any]) -> str | None:
    found = config.get("quantization_config")
    return str(found.get("quant_method", "unknown")) if isinstance(found, dict) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _rope(config: Mapping[str, Any]) -> str | None:
    """Rotary settings as canonical text, from either of the two ways transformers wrote them."""
    settings = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(settings, dict):
        settings = {"rope_type": str(settings)}
    theta = settings.get("rope_theta", config.get("rope_theta"))
    if theta is None and not settings:
        return None
    # Settings that are the default in one way of writing are absent in the other.
    rest = {k: v for k, v in settings.items() if k not in ("rope_theta", "type", "rope_type")}
    kind = settings.get("rope_type") or settings.get("type") or "default"
    return rope_text(_number(theta), None if kind == "default" else {**rest, "rope_type": kind})


def rope_text(theta: float | None, scaling: Mapping[str, Any] | None = None) -> str:
    """Rotary settings as canonical text."""
    shown = "?" if theta is None else f"{theta:g}"
    return f"theta {shown}" + (f", {json.dumps(scaling, sort_keys=True)}" if scaling else "")


def _stated(facts: Facts) -> ModelFacts:
    """The facts a recipe states of a model that is not here."""
    template = facts.chat_template
    known = {None: None, False: "", True: "?"}.get(template, template)  # type: ignore[arg-type]
    return ModelFacts(
        architecture=facts.architecture,
        model_type=None,
        num_hidden_layers=facts.num_hidden_layers,
        hidden_size=facts.hidden_size,
        vocab_size=facts.vocab_size,
        tie_word_embeddings=facts.tie_word_embeddings,
        intermediate_size=facts.intermediate_size,
        num_attention_heads=facts.num_attention_heads,
        num_key_value_heads=facts.num_key_value_heads,
        rope=None if facts.rope_theta is None else rope_text(facts.rope_theta),
        rms_norm_eps=facts.rms_norm_eps,
        chat_template=known if isinstance(known, str) else None,
        has_head=not facts.tie_word_embeddings,
    )


def _check_stated(stated: Facts, found: ModelFacts) -> None:
    """Stated facts must be those of the model itself."""
    wanted = _stated(stated)
    compared: Iterable[tuple[str, str]] = (
        *((k, k) for k in stated.model_dump(exclude_none=True) if k != "rope_theta"),
        *([("rope_theta", "rope")] if stated.rope_theta is not None else []),
    )
    for key, name in compared:
        want, got = getattr(wanted, name), getattr(found, name)
        if got is None or want == got or (want == "?" and got):
            continue
        raise FactsDisagree(
            f"facts.{key} says {getattr(stated, key)!r}, the model's own files say {got!r}",
            hint="leave facts: out, the model is on this machine",
            key=key,
        )


class FactsDisagree(RecipeError):
    """A stated fact is not the model's.

    Attributes:
        key: The fact.
    """

    def __init__(self, message: str, *, hint: str, key: str) -> None:
        super().__init__(message, hint=hint)
        self.key = key
