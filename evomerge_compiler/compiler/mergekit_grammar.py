"""What the installed mergekit accepts: its methods, their parameters, its architectures.

mergekit's registry can only be read by importing mergekit, which imports torch. A child process
does that once; the answer is kept as JSON under a name that holds mergekit's version and a hash
of the files it was read from, so that compiling needs no torch. The package ships the answer for
the mergekit it was made with as ``mergekit_grammar.json``; a test proves it equal to the registry.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from evomerge_compiler import yamlio
from evomerge_compiler.errors import MissingPrerequisite

Scope = Literal["shared", "input", "non_base"]
BasePolicy = Literal["optional", "required", "forbidden", "ignored"]
Type = Literal["float", "int", "bool", "str"]

SHIPPED = Path(__file__).with_name("mergekit_grammar.json")
_DUMP_TIMEOUT_S = 300.0

# mergekit's registry does not say which methods draw random numbers. DARE and DELLA draw their
# masks; arcee_fusion samples the quantiles of tensors above a million elements.
RANDOM_METHODS = frozenset({"arcee_fusion", "dare_linear", "dare_ties", "della", "della_linear"})

# Parameters that a method accepts but never reads: task_arithmetic and the other methods
# without sparsification or sign consensus share one implementation with those that have them.
UNREAD_PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "task_arithmetic": {
        "density": "task_arithmetic drops nothing",
        "rescale": "task_arithmetic drops nothing, so there is nothing to rescale",
        "int8_mask": "task_arithmetic has no sign mask",
    },
    "dare_linear": {"int8_mask": "dare_linear has no sign mask"},
    "breadcrumbs": {"int8_mask": "breadcrumbs has no sign mask"},
    "della_linear": {"int8_mask": "della_linear has no sign mask"},
}

# Fewest inputs beside the base with which a method merges anything; the registry lets these
# through with fewer and then copies the base or the only input.
_MIN_NON_BASE = {"multislerp": 2}

# transformers 5 lists the kind of each layer in the configurations of these model types, and
# mergekit 0.1.5 does not bring that list to a new depth (found by searching transformers 5.23).
MODEL_TYPES_WITH_LAYER_TYPES = frozenset(
    "afmoe bamba cohere2 cwm exaone4 falcon_h1 gemma2 gemma3 gemma3_text gemma3n gemma4 gpt_oss "
    "granitemoehybrid jamba lfm2 lfm2_moe llama4 llama4_text ministral ministral3 mistral "
    "olmo3 olmo_hybrid qwen2 qwen2_5_vl qwen2_moe qwen2_vl qwen3 qwen3_5 qwen3_next smollm3 "
    "vaultgemma zamba zamba2".split()
)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method.

    Attributes:
        name: Its key.
        type: Its scalar type.
        nullable: Whether it may be null.
        scope: ``shared``: one value a tensor; ``input``: one an input, the base included;
            ``non_base``: one an input that is not the base.
        required: Whether it has no default.
        default: Its default, None when required.
    """

    name: str
    type: Type
    nullable: bool
    scope: Scope
    required: bool
    default: object


@dataclass(frozen=True)
class Method:
    """One merge method.

    Attributes:
        name: Its ``merge_method``.
        title: What people call it.
        base: Whether it has a base model. ``ignored`` methods take one as an ordinary input.
        min_inputs: Fewest inputs, the base included.
        max_inputs: Most inputs, None for any number.
        min_non_base: Fewest inputs beside the base.
        max_non_base: Most inputs beside the base, None for any number.
        parameters: By name.
        random: Whether it draws random numbers, so that the seed is part of the result.
    """

    name: str
    title: str
    base: BasePolicy
    min_inputs: int
    max_inputs: int | None
    min_non_base: int
    max_non_base: int | None
    parameters: Mapping[str, Parameter]
    random: bool


@dataclass(frozen=True)
class Tensor:
    """One tensor of an architecture, as mergekit names it.

    Attributes:
        name: Name, with ``{layer}`` in place of the layer's number in layer tensors.
        optional: Whether models may lack it.
    """

    name: str
    optional: bool


@dataclass(frozen=True)
class Architecture:
    """The tensors of one architecture, in mergekit's order.

    Attributes:
        name: Class name, as in ``config.json``.
        before: Tensors before the layers.
        layer: Tensors of each layer.
        after: Tensors after the layers.
    """

    name: str
    before: tuple[Tensor, ...]
    layer: tuple[Tensor, ...]
    after: tuple[Tensor, ...]

    def outside_layers(self) -> tuple[str, ...]:
        """Names of the tensors that belong to no layer."""
        return tuple(tensor.name for tensor in (*self.before, *self.after))

    def in_layer(self, layer: int) -> tuple[str, ...]:
        """Names of one layer's tensors."""
        return tuple(tensor.name.replace("{layer}", str(layer)) for tensor in self.layer)


@dataclass(frozen=True)
class Grammar:
    """What one version of mergekit accepts.

    Attributes:
        version: mergekit's version.
        methods: By name.
        architectures: By class name; those with one text module only.
    """

    version: str
    methods: Mapping[str, Method]
    architectures: Mapping[str, Architecture]


@functools.lru_cache(maxsize=1)
def installed() -> Grammar:
    """The grammar of the mergekit that this environment merges with.

    Raises:
        MissingPrerequisite: mergekit is not installed, or its registry cannot be read.
    """
    version, folder = _find()
    key = _sources_hash(folder)
    for path in (SHIPPED, _cache_path(version, key)):
        data = _read(path)
        if data is not None and (data.get("version"), data.get("sources")) == (version, key):
            return from_json(data)
    data = dump_in_child(folder, version, key)
    _store(_cache_path(version, key), data)
    return from_json(data)


def to_text(data: Mapping[str, Any]) -> str:
    """The grammar's JSON as it is written."""
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def dump_in_child(folder: Path, version: str, key: str) -> dict[str, Any]:
    """Reads the registry in a child process that imports mergekit.

    Raises:
        MissingPrerequisite: The child failed.
    """
    from evomerge_compiler.processes import run_command, worker_environment

    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "methods.json"
        command = [sys.executable, "-c", _DUMP_PROGRAM, str(target)]
        result = run_command(
            command, env=worker_environment(offline=True), timeout_s=_DUMP_TIMEOUT_S
        )
        if result.returncode or not target.is_file():
            lines = result.stderr_tail.strip().splitlines() or ["no output"]
            raise MissingPrerequisite(
                f"mergekit {version} cannot be imported: {lines[-1]}",
                hint="evomerge doctor checks the installation",
            )
        methods = json.loads(target.read_text(encoding="utf-8"))
    return {
        "version": version,
        "sources": key,
        "methods": methods,
        "architectures": _architectures(folder),
    }


def find_installed() -> tuple[Path, str, str]:
    """Folder, version and sources hash of the installed mergekit."""
    version, folder = _find()
    return folder, version, _sources_hash(folder)


def _find() -> tuple[str, Path]:
    # find_spec of a top-level package locates it without importing it.
    spec = importlib.util.find_spec("mergekit")
    if spec is None or not spec.submodule_search_locations:
        raise MissingPrerequisite(
            "mergekit is not installed", hint="pip install 'mergekit>=0.1.5,<0.1.6'"
        )
    return importlib.metadata.version("mergekit"), Path(
        next(iter(spec.submodule_search_locations))
    )


def _sources_hash(folder: Path) -> str:
    """Hash of every file that the grammar is read from."""
    digest = hashlib.sha256()
    files = [
        *sorted((folder / "merge_methods").glob("*.py")),
        *sorted((folder / "_data" / "architectures").glob("*.json")),
    ]
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def user_cache() -> Path:
    """The folder under which evomerge keeps what it can make again."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "evomerge"


def _cache_path(version: str, key: str) -> Path:
    return user_cache() / f"mergekit-{version}-{key[:16]}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # No cache, or a torn one: the registry is read again.
        return None
    return data if isinstance(data, dict) else None


def _store(path: Path, data: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    yamlio.write_atomic(path, to_text(data))


def _architectures(folder: Path) -> dict[str, Any]:
    """mergekit's architecture files as plain data, by class name."""
    out: dict[str, Any] = {}
    for path in sorted((folder / "_data" / "architectures").glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.get("kind", "module") != "module":
            continue
        body = {
            "before": _tensors(data["pre_weights"]),
            "layer": _tensors(data["layer_templates"]["weights"]),
            "after": _tensors(data["post_weights"]),
        }
        for name in data["architectures"]:
            out.setdefault(name, body)
    return out


def _tensors(weights: Iterable[Mapping[str, Any]]) -> list[list[object]]:
    return [
        [w["name"].replace("${layer_index}", "{layer}"), bool(w.get("optional"))] for w in weights
    ]


def from_json(data: Mapping[str, Any]) -> Grammar:
    """A grammar from its JSON."""
    return Grammar(
        version=str(data["version"]),
        methods={m["name"]: _method(m) for m in data["methods"]},
        architectures={
            name: Architecture(
                name,
                **{
                    part: tuple(Tensor(str(n), bool(o)) for n, o in body[part])
                    for part in ("before", "layer", "after")
                },
            )
            for name, body in data["architectures"].items()
        },
    )


def _method(data: Mapping[str, Any]) -> Method:
    base = cast("BasePolicy", data["base"])
    # A method that needs a base merges nothing without a second input.
    floor = _MIN_NON_BASE.get(data["name"], 1)
    return Method(
        name=data["name"],
        title=data["title"] or data["name"],
        base=base,
        min_inputs=data["min_inputs"],
        max_inputs=data["max_inputs"],
        min_non_base=max(floor, data["min_non_base"] or 0),
        max_non_base=data["max_non_base"],
        parameters={p["name"]: Parameter(**p) for p in data["parameters"]},
        random=data["name"] in RANDOM_METHODS,
    )


_DUMP_PROGRAM = """
import json, sys, typing
from mergekit.merge_methods.registry import registered_methods

def kind(annotation):
    arguments = [a for a in typing.get_args(annotation) if a is not type(None)]
    nullable = len(arguments) < len(typing.get_args(annotation))
    plain = arguments[0] if arguments else annotation
    return plain.__name__, nullable

methods = []
for method in registered_methods():
    spec, contract = method.spec, method.spec.contract
    parameters = []
    for p in spec.parameters:
        name, nullable = kind(p.value_type)
        parameters.append({
            "name": p.name, "type": name, "nullable": nullable, "scope": p.scope.value,
            "required": p.required, "default": None if p.required else p.default,
        })
    methods.append({
        "name": spec.name, "title": spec.pretty_name, "base": contract.base.value,
        "min_inputs": contract.min_inputs, "max_inputs": contract.max_inputs,
        "min_non_base": contract.min_non_base, "max_non_base": contract.max_non_base,
        "parameters": sorted(parameters, key=lambda p: p["name"]),
    })
methods.sort(key=lambda m: m["name"])
with open(sys.argv[1], "w", encoding="utf-8") as stream:
    json.dump(methods, stream)
"""
