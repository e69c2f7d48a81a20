"""Makes every source model of a merge a folder that mergekit can read.

Folders and zoo models are used where they are. A hub model is fetched into the hub's own cache.
A LoRA adapter is merged into its model, and a GGUF file is dequantised, once: into a folder
named by the content of what it was made from. (mergekit would name it by a checksum of the path,
and take a half-written one for whole.)
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path

from evomerge_compiler import recipe as recipes
from evomerge_compiler.compiler.model_headers import SourceModel, identity, locate, source_model
from evomerge_compiler.errors import MissingPrerequisite, UsageError, WorkFailed, full_disk
from evomerge_compiler.merging.failures import process_failure
from evomerge_compiler.merging.stage_cache import StageCache
from evomerge_compiler.merging.weights import check_finite, weight_files
from evomerge_compiler.processes import run_command, worker_environment
from evomerge_compiler.recipe import RECIPE_SUFFIXES, Recipe
from evomerge_compiler.recipe_schema import ModelSpec

LINKS = "src"
_HUB_PATTERNS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")


def materialise(
    model: SourceModel,
    folder: Path,
    cache: Path,
    *,
    offline: bool = False,
    trust_remote_code: bool = False,
) -> Path:
    """The folder of one source model, fetched or converted when it has to be.

    Args:
        model: The model, as the compiler knows it.
        folder: What relative paths in the recipe are relative to.
        cache: Where converted models are kept.
        offline: Never ask the hub.
        trust_remote_code: The model may bring its own Python.

    Raises:
        MissingPrerequisite: It is not here and cannot be fetched, or a library is missing.
        UsageError: It is there but cannot be used: pickled weights, an adapter of another model.
        RecipeError: What was fetched contradicts the facts in the recipe.
    """
    spec = model.spec
    located = locate(spec, folder)
    if located is None:
        located = fetch(spec.path, spec.revision, offline=offline, code=trust_remote_code)
        source_model(model.alias, spec, folder)  # now that it is here, its facts must agree
    if located.is_file():
        _require("gguf", "reading GGUF files", "gguf")
        located = _converted("gguf", [located], cache, identity(_plain(spec), located, folder))
    if spec.lora is not None:
        adapter_spec = ModelSpec(path=spec.lora)
        adapter = locate(adapter_spec, folder)
        if adapter is None:
            adapter = fetch(spec.lora, None, offline=offline, code=False)
        _check_adapter(adapter)
        made_from = f"{identity(_plain(spec), located, folder)}+"
        made_from += identity(adapter_spec, adapter, folder)
        located = _converted("lora", [located, adapter], cache, made_from)
    weight_files(located)
    return located


def link_source(work: Path, alias: str, folder: Path) -> None:
    """Makes ``src/<alias>`` below ``work``, by which compiled merges name a model, a link to it.

    Nothing is done where a folder of links is not wanted: there is no ``src``.
    """
    link = work / LINKS / alias
    if not link.parent.is_dir():
        return
    target = os.path.relpath(folder.resolve(), link.parent.resolve())
    if link.is_symlink() and os.readlink(link) == target:
        return
    if link.is_symlink() or link.exists():
        link.unlink()
    link.symlink_to(target)


def fetch_missing(
    recipe: Recipe, *, offline: bool = False, trust_remote_code: bool = False
) -> None:
    """Fetches every hub model of a recipe that is not on this machine, before anything runs.

    Raises:
        MissingPrerequisite: One cannot be fetched.
    """
    for spec in recipe.all_models.values():
        if spec.path.endswith(RECIPE_SUFFIXES):
            inner = recipes.load(recipe.folder / spec.path)
            fetch_missing(inner, offline=offline, trust_remote_code=trust_remote_code)
            continue
        local = spec.path.startswith((".", "/", "~")) or spec.path.count("/") != 1
        if not local and locate(spec, recipe.folder) is None:
            fetch(spec.path, spec.revision, offline=offline, code=trust_remote_code)


def _plain(spec: ModelSpec) -> ModelSpec:
    return spec.model_copy(update={"lora": None})


def _require(module: str, what: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise MissingPrerequisite(
            f"{what} needs the package {module!r}, which is not installed",
            hint=f"pip install 'evomerge-compiler[{extra}]'",
        )


def _check_adapter(adapter: Path) -> None:
    if not (adapter / "adapter_config.json").is_file():
        raise UsageError(
            f"{adapter.name} is no LoRA adapter: it has no adapter_config.json",
            hint="name the folder that peft saved",
        )
    if not (adapter / "adapter_model.safetensors").is_file():
        raise UsageError(
            f"{adapter.name} holds no adapter_model.safetensors",
            hint="pickled adapters run code when read: save the adapter again as safetensors",
        )


def fetch(name: str, revision: str | None, *, offline: bool, code: bool) -> Path:
    """Brings a hub model into the hub's cache."""
    wanted = name + (f" at {revision}" if revision else "")
    if offline:
        raise MissingPrerequisite(
            f"{wanted} is not on this machine, and it is not to be fetched",
            hint=f"run `hf download {name}` where there is a network, or leave --offline out",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = [*_HUB_PATTERNS, *(["*.py"] if code else [])]
    try:
        # Subfolders hold the same weights in other formats.
        return Path(
            snapshot_download(
                name, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"]
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        full = full_disk(error)
        if full is not None:
            raise full from error
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MissingPrerequisite(
            f"cannot fetch {wanted}: {first}",
            hint="check the name, the network, and `hf auth login` for gated models",
        ) from error


def _converted(kind: str, inputs: list[Path], cache: Path, made_from: str) -> Path:
    """A model made by :mod:`evomerge_compiler.merging.convert`, kept by content."""
    versions = [importlib.metadata.version(name) for name in ("transformers", "peft")]
    key = hashlib.sha256("\n".join([kind, made_from, *versions]).encode()).hexdigest()

    def build(part: Path) -> str:
        argv = [sys.executable, "-m", "evomerge_compiler.merging.convert", kind]
        argv += [str(path.resolve()) for path in inputs] + [str(part)]
        path = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        result = run_command(argv, env=worker_environment(offline=True, **path))
        if result.reason is not None:
            failure = process_failure(result, f"cannot convert {inputs[-1].name}")
            if isinstance(failure, WorkFailed):
                raise UsageError(failure.message)
            raise failure
        return check_finite(part).sha256

    with StageCache(cache / "sources").stage(key, build) as folder:
        return folder
