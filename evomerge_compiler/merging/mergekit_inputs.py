"""A stage's inputs as mergekit's planner sees them: references, loaders, and lists of tensors.

Together with :mod:`evomerge_compiler.merging.mergekit_tasks` the place for what mergekit 0.1.5
keeps to itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Where a document names a model; elsewhere the same word may be a filter.
_MODEL_KEYS = frozenset({"model", "base_model", "tokenizer_source", "source"})
_weight_lists: dict[tuple[Any, ...], dict[tuple[int, ...], Any]] = {}


@lru_cache(maxsize=1)
def _input_class() -> Any:
    from mergekit.common import ModelPath, ModelReference
    from mergekit.io.tasks import LoaderCache

    class Input(ModelReference):  # type: ignore[misc]
        """A model reference that knows its configuration and whose path is not split.

        It is named and hashed as in the document: mergekit puts references into sets and takes
        the first.
        """

        def __init__(self, name: str, folder: Path, config: Any) -> None:
            super().__init__(model=ModelPath(path=str(folder)))
            # Past pydantic: these are read and compared thousands of times in a merge.
            key = (name, str(folder))
            in_sets = hash(ModelReference(model=ModelPath(path=name)))
            self.__dict__.update(_name=name, _key=key, _config=config, _hash=in_sets)

        def __eq__(self, other: object) -> bool:
            return self is other or (isinstance(other, Input) and self._key == other._key)

        def __hash__(self) -> int:
            found: int = self._hash
            return found

        def __str__(self) -> str:
            return str(self._name)

        def config(self, trust_remote_code: bool = False) -> Any:
            # mergekit sets the depth of the result in it, in one of its parts when it has some.
            nested = bool(self._config.sub_configs)
            return copy.deepcopy(self._config) if nested else copy.copy(self._config)

        def lazy_loader(self, *_: object, **__: object) -> Any:
            return LoaderCache().get(self)

    return Input


def reference(name: str, folder: Path, config: Any) -> Any:
    """mergekit's reference to an input.

    Args:
        name: Its name in the document.
        folder: Its files; for an earlier stage, those without weights.
        config: Its transformers configuration.
    """
    return _input_class()(name, folder, config)


class Loader:
    """What mergekit asks of the loader of a model's tensors."""

    def __init__(self, names: Mapping[str, object], read: Callable[[str], torch.Tensor]) -> None:
        self.index = SimpleNamespace(tensor_paths=names)
        self._read = read

    def get_tensor(self, key: str, device: str = "cpu", **_: object) -> torch.Tensor:
        return self._read(key).to(device)


@contextmanager
def use_loaders(loaders: dict[Any, Loader]) -> Iterator[None]:
    """Lets mergekit find these loaders, whose table belongs to the whole process."""
    from mergekit.io.tasks import LoaderCache

    before = LoaderCache.loaders
    LoaderCache.loaders = loaders
    try:
        yield
    finally:
        LoaderCache.loaders = before


def with_references(data: Any, inputs: Mapping[str, Any], key: str = "") -> Any:
    """A document whose names of models are replaced by references."""
    if isinstance(data, Mapping):
        return {name: with_references(value, inputs, name) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [with_references(value, inputs) for value in data]
    if isinstance(data, str) and key in _MODEL_KEYS:
        return inputs.get(data, data)
    return data


@lru_cache(maxsize=1)
def _known_modules() -> dict[int, Any]:
    """The modules of mergekit's architecture files, which never change, by their identity."""
    from mergekit.architecture.json_definitions import JSON_ARCHITECTURES

    found = [
        module.architecture for arch in JSON_ARCHITECTURES for module in arch.modules.values()
    ]
    return {id(module): module for module in found}


def named_once(module: Any) -> Any:
    """A module that lists its tensors once in the life of the process, where it can be known.

    The lists of an architecture file hold the number of layers and nothing else of the model's
    configuration.
    """
    if id(module.info) not in _known_modules():
        return module
    key = (id(module.info), module.weight_prefix, module.num_layers())

    def listed(what: str, *layer: int) -> Any:
        lists = _weight_lists.setdefault((*key, what), {})
        if layer not in lists:
            lists[layer] = getattr(module, what)(*layer)
        return lists[layer]

    return SimpleNamespace(
        pre_weights=partial(listed, "pre_weights"),
        layer_weights=lambda index: listed("layer_weights", index),
        post_weights=partial(listed, "post_weights"),
    )
