"""What mergekit sees of a stage's inputs: a folder of links for each, named as in the document.

Only the files that matter are linked, under relative names, so that neither a ``+`` or ``@`` in a
path nor a stray second set of weights changes what is merged. Weights are never copied.

Where a stage changes the number of layers, the inputs' config.json is adapted in the link folder.
mergekit 0.1.5 takes the output's configuration from an input, sets ``num_hidden_layers`` and
leaves ``layer_types`` at its old length, which transformers 5 refuses to write, after all weights
were merged. An input that declares the new depth from the start has nothing to be refused:
mergekit reads the layers that the slices name and asks the configuration of nothing else.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from evomerge_compiler.errors import WorkFailed
from evomerge_compiler.merging.model_files import (
    CONFIG,
    TOKENIZER_FILES,
    LayerSource,
    follow_layers,
    model_depth,
    per_layer_values,
    read_json,
    text_part,
    write_json,
)
from evomerge_compiler.merging.weights import INDEX_FILE, SINGLE_FILE, weight_files


@dataclass(frozen=True)
class StageLayers:
    """Where the layers of a stage's result come from.

    Attributes:
        sources: For each layer of the result, the input and the layer that decide its kind (the
            first of those it is merged from).
        first: The input that embeddings come from.
        sliced: The document names layers itself.
        depth: Layers of ``first``.
        per_layer: Per-layer configuration lists of the result.
    """

    sources: tuple[LayerSource, ...]
    first: str
    sliced: bool
    depth: int
    per_layer: Mapping[str, list[Any]]

    @property
    def n_layers(self) -> int:
        """Layers of the result."""
        return len(self.sources)

    @property
    def models(self) -> list[str]:
        """The inputs that name the result's tensors."""
        return list(dict.fromkeys([self.first, *(model for model, _ in self.sources)]))


def stage_layers(document: Mapping[str, Any], inputs: Mapping[str, Path]) -> StageLayers:
    """Finds out which layers a stage's result has.

    Args:
        document: The stage's mergekit configuration.
        inputs: Name in the document to model folder.

    Raises:
        WorkFailed: A slice names a layer that its model does not have.
    """
    slices = _slices(document)
    if slices:
        named = [part["sources"][0] for part in slices]
        ranges = [(source["model"], *source["layer_range"]) for source in named]
        sources = tuple((m, i) for m, start, end in ranges for i in range(start, end))
        first = str(named[0]["model"])
    else:
        entries = document.get("models") or []
        listed = [entry["model"] for entry in entries]
        base = document.get("base_model")
        first = str(base if base is not None else listed[0] if listed else next(iter(inputs)))
        depth = model_depth(inputs[first])
        sources = tuple((first, layer) for layer in range(depth))
    if not sources:
        raise WorkFailed("the slices hold no layer", reason="invalid", step="merge")
    used = dict.fromkeys(model for model, _ in sources)
    values = {name: per_layer_values(inputs[name]) for name in used}
    per_layer = follow_layers(sources, values)
    return StageLayers(sources, first, bool(slices), model_depth(inputs[first]), per_layer)


def _slices(document: Mapping[str, Any]) -> list[Any]:
    """The slices of a document, also when they stand below the only module that has some."""
    modules = document.get("modules") or {}
    nested = [module["slices"] for module in modules.values() if module.get("slices")]
    found = document.get("slices") or (nested[0] if len(nested) == 1 else [])
    return list(found)


def link_inputs(scratch: Path, inputs: Mapping[str, Path], layers: StageLayers) -> None:
    """Makes the link folders of all inputs below ``scratch``."""
    for name, folder in inputs.items():
        view = scratch / name
        view.mkdir(parents=True)
        for target, link in _linked_files(folder):
            (view / link).symlink_to(target.resolve())
        write_json(view / CONFIG, input_config(read_json(folder / CONFIG), layers))


def input_config(config: Mapping[str, Any], layers: StageLayers) -> dict[str, Any]:
    """An input's config.json as mergekit is to see it in this stage."""
    seen: dict[str, Any] = json.loads(json.dumps(config))
    if layers.sliced and has_layer_key(seen):
        text = text_part(seen)
        text["num_hidden_layers"] = layers.n_layers
        text.update(layers.per_layer)
    return seen


def _linked_files(folder: Path) -> Iterator[tuple[Path, str]]:
    weights = weight_files(folder)
    # transformers prefers the single file where both are; mergekit would read the index.
    if weights != [folder / SINGLE_FILE]:
        yield folder / INDEX_FILE, INDEX_FILE
    for path in weights:
        yield path, path.relative_to(folder).as_posix()
    for path in sorted(folder.glob("*.py")):
        yield path, path.name
    for name in (*TOKENIZER_FILES, "chat_template.jinja", "generation_config.json"):
        if (folder / name).is_file():
            yield folder / name, name


def has_layer_key(config: Mapping[str, Any]) -> bool:
    """Whether mergekit knows the architecture, and so sets its number of layers by itself.

    Others it takes apart by building the model from its config.json, which must stay as it is.
    """
    names = config.get("architectures") or [""]
    return names[0] in _known_architectures()


@lru_cache(maxsize=1)
def _known_architectures() -> frozenset[str]:
    """Class names in mergekit's architecture files, read without importing mergekit."""
    spec = importlib.util.find_spec("mergekit")
    if spec is None or spec.origin is None:
        return frozenset()
    names: set[str] = set()
    for path in Path(spec.origin).parent.glob("_data/architectures/*.json"):
        names.update(json.loads(path.read_text("utf-8"))["architectures"])
    return frozenset(names)
