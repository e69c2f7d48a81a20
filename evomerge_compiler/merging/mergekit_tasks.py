"""The one module that uses what mergekit keeps to itself: its plan of a stage, run without files.

mergekit plans a stage as always: that is where filters, gradients, layers, aliases and tokenizers
are resolved. The task of each output tensor is then run alone. mergekit's own executor compares
every task with every other, its loader searches a list for every tensor, and its writer only knows
folders. Written for mergekit 0.1.5; another version is refused.
"""

from __future__ import annotations

import copy
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from evomerge_compiler.errors import MissingPrerequisite
from evomerge_compiler.merging.options import MergeOptions, gpu_available
from evomerge_compiler.merging.stage_results import StageTensors
from evomerge_compiler.merging.weights import DTYPE_NAMES, TensorSpec

if TYPE_CHECKING:
    import torch

MERGEKIT_VERSION = "0.1.5"
# Where a document names a model; elsewhere the same word may be a filter.
_MODEL_KEYS = frozenset({"model", "base_model", "tokenizer_source", "source"})
_CODES = {name: code for code, name in DTYPE_NAMES.items()} | {
    "float8_e5m2": "F8_E5M2", "float8_e4m3fn": "F8_E4M3", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
Reader = Callable[[str, str], "torch.Tensor"]


class InMemoryUnavailable(MissingPrerequisite):
    """A merge that only the ``mergekit-yaml`` command can do here; the message says why."""


def require_version() -> None:
    """Raises InMemoryUnavailable when mergekit is not the version that is known here."""
    version = importlib.metadata.version("mergekit")
    if version != MERGEKIT_VERSION:
        raise InMemoryUnavailable(
            f"mergekit {version} is installed; merging in memory knows {MERGEKIT_VERSION}"
        )


def dtype_code(dtype: torch.dtype) -> str:
    """A torch dtype as safetensors headers name it."""
    return _CODES[str(dtype).removeprefix("torch.")]


def _torch_dtype(code: str) -> torch.dtype:
    import torch

    dtype: torch.dtype = getattr(torch, {code: name for name, code in _CODES.items()}[code])
    return dtype


def mergekit_options(own: MergeOptions, random_seed: int) -> Any:
    """The options that the command line of a merge gives; what concerns files is left out."""
    from mergekit.options import MergeOptions as Options

    cuda = own.cuda
    if cuda is None and own.device is None:
        cuda = gpu_available()
    return Options(
        random_seed=random_seed, cuda=bool(cuda), device=own.device,
        allow_crimes=own.allow_crimes, trust_remote_code=own.trust_remote_code,
    )  # fmt: skip


# -- inputs as mergekit sees them -------------------------------------------------------------


@lru_cache(maxsize=1)
def _input_class() -> Any:
    from mergekit.common import ModelPath, ModelReference
    from mergekit.io.tasks import LoaderCache
    from pydantic import PrivateAttr

    class Input(ModelReference):  # type: ignore[misc]
        """A model reference that knows its configuration and whose path is not split.

        It is named and hashed as in the document: mergekit puts references into sets and takes
        the first.
        """

        _name: str = PrivateAttr()
        _config: Any = PrivateAttr()
        _hash: int = PrivateAttr()

        def __init__(self, name: str, folder: Path, config: Any) -> None:
            super().__init__(model=ModelPath(path=str(folder)))
            self._name = name
            self._config = config
            self._hash = hash(ModelReference(model=ModelPath(path=name)))

        def __eq__(self, other: object) -> bool:
            if not isinstance(other, Input):
                return False
            return (self._name, self.model.path) == (other._name, other.model.path)

        def __hash__(self) -> int:
            return self._hash

        def __str__(self) -> str:
            return self._name

        def config(self, trust_remote_code: bool = False) -> Any:
            # mergekit sets the depth of the result in it.
            return copy.deepcopy(self._config)

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


class _Loader:
    """What mergekit asks of the loader of a model's tensors."""

    def __init__(self, names: Mapping[str, object], read: Callable[[str], torch.Tensor]) -> None:
        self.index = SimpleNamespace(tensor_paths=names)
        self._read = read

    def get_tensor(self, key: str, device: str = "cpu", **_: object) -> torch.Tensor:
        return self._read(key).to(device)


@contextmanager
def _loaders(loaders: dict[Any, _Loader]) -> Iterator[None]:
    """Lets mergekit find these loaders, whose table belongs to the whole process."""
    from mergekit.io.tasks import LoaderCache

    before = LoaderCache.loaders
    LoaderCache.loaders = loaders
    try:
        yield
    finally:
        LoaderCache.loaders = before


# -- one stage --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Slot:
    """One input of an output tensor.

    Attributes:
        model: mergekit's reference.
        name: What the document calls that model.
        tensor: The tensor's name there; None when the model has none of this name.
        load: mergekit's task, which can also convert tensors of another layout.
    """

    model: Any
    name: str
    tensor: str | None
    load: Any


@dataclass(frozen=True)
class _Output:
    """One output tensor.

    Attributes:
        task: mergekit's task that merges it.
        slots: What it is merged from.
        spec: What comes out.
    """

    task: Any
    slots: tuple[_Slot, ...]
    spec: TensorSpec


class StageTasks:
    """A stage as mergekit has planned it.

    Args:
        document: Its mergekit configuration.
        inputs: Name in the document to reference, of all models that it mentions.
        tensors: The same names to the tensors of these models.
        read: Reads a tensor of a source model: (name in the document, tensor name).
        options: mergekit's options.
        in_order: Whether it draws random numbers.
        tokenizers: What is known of tokenizers; filled here, kept by the caller.

    Attributes:
        graph: Names, order, and what is read of the inputs.
        specs: Name to what comes out, sorted by name.
        device: Where mergekit computes.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        inputs: Mapping[str, Any],
        tensors: Mapping[str, Mapping[str, TensorSpec]],
        read: Reader,
        options: Any,
        *,
        in_order: bool,
        tokenizers: dict[Any, Any],
    ) -> None:
        from mergekit.config import MergeConfiguration

        self.device: str = options.device
        self._tokenizers = tokenizers
        self._names = {model: name for name, model in inputs.items()}
        self._tensors = tensors
        self._config = MergeConfiguration.model_validate(_with_references(document, inputs))
        with _loaders(self._loaders(read)):
            planner = self._planner(options)
            # The tasks that write a folder are what mergekit's order is made from.
            targets = planner.plan_to_disk("nowhere") if in_order else planner._plan()
            self._tokenizer_task = planner._tokenizer_task
            found = {weight.name: self._output(task) for weight, task in planner._tensors}
            self._outputs = {name: output for name, output in found.items() if output is not None}
            order = self._order(targets) if in_order else sorted(self._outputs)
        self.specs = {name: self._outputs[name].spec for name in sorted(self._outputs)}
        self.graph = StageTensors(
            order,
            {
                name: [(slot.name, slot.tensor) for slot in output.slots if slot.tensor]
                for name, output in self._outputs.items()
            },
            in_order,
        )

    def compute(self, name: str, read: Reader) -> torch.Tensor:
        """Merges one tensor, cast and laid out as it would stand in the file.

        Args:
            name: The tensor.
            read: Reads a tensor of an input: (name in the document, tensor name).
        """
        output = self._outputs[name]
        found = {slot.model: self._load(slot, read) for slot in output.slots}
        result = self._merge(output, {model: t for model, t in found.items() if t is not None})
        result = result.to(_torch_dtype(output.spec.dtype)).contiguous()
        if tuple(result.shape) != output.spec.shape:
            raise InMemoryUnavailable(f"{name} came out in the shape {tuple(result.shape)}")
        return result

    def write_tokenizer(self, folder: Path) -> None:
        """Writes the tokenizer that mergekit makes for this stage."""
        from mergekit.merge import _set_chat_template

        tokenizer = self._tokenizer().tokenizer
        _set_chat_template(tokenizer, self._config)
        tokenizer.save_pretrained(folder)

    # -- planning -----------------------------------------------------------------------------

    def _loaders(self, read: Reader) -> dict[Any, _Loader]:
        return {
            model: _Loader(self._tensors[name], partial(read, name))
            for model, name in self._names.items()
        }

    def _planner(self, options: Any) -> Any:
        from mergekit.architecture import get_architecture_info
        from mergekit.merge import _model_out_config
        from mergekit.plan import MergePlanner

        architecture = get_architecture_info(self._config, options)
        out = _model_out_config(self._config, architecture, options.trust_remote_code)
        return MergePlanner(self._config, architecture, options, out)

    def _output(self, task: Any) -> _Output | None:
        gather = _gather(task)
        loads = gather.arguments().values()
        slots = []
        for model, load in zip(gather.weight_info, loads, strict=True):
            name = self._names[model]
            wanted = [load.tensor, *(load.aliases or ()), *(load.tied_names or ())]
            held = self._tensors[name]
            tensor = next((other for other in wanted if other in held), None)
            slots.append(_Slot(model, name, tensor, load))
        spec = self._spec(task, slots)
        return None if spec is None else _Output(task, tuple(slots), spec)

    def _spec(self, task: Any, slots: Sequence[_Slot]) -> TensorSpec | None:
        """What a task gives; None when mergekit leaves an optional tensor out."""
        import torch

        found = {slot.model: spec for slot in slots if (spec := self._slot_spec(slot)) is not None}
        if _is_left_out(task, list(found)):
            return None
        if not found:
            task.execute(tensors={})  # mergekit says what is missing
        first = next(iter(found.values()))
        forced = task.output_weight.force_dtype or self._config.out_dtype
        dtypes = [_torch_dtype(spec.dtype) for spec in found.values()]
        code = _CODES[forced] if forced else dtype_code(reduce(torch.promote_types, dtypes))
        shape = list(first.shape)
        if _is_aligned(task):
            rows = len(self._tokenizer().tokenizer.get_vocab())
            multiple = task.gather_tensors.pad_to_multiple_of or 1
            shape[task.gather_tensors.vocabulary_axis] = -(-rows // multiple) * multiple
        return TensorSpec(code, tuple(shape))

    def _slot_spec(self, slot: _Slot) -> TensorSpec | None:
        """What mergekit loads for a slot, None when there is nothing."""
        if slot.tensor is not None:
            held = self._tensors[slot.name][slot.tensor]
            dtype = _CODES[slot.load.dtype] if slot.load.dtype else held.dtype
            return TensorSpec(dtype, held.shape)
        converted = slot.load.execute()
        if converted is None:
            return None
        return TensorSpec(dtype_code(converted.dtype), tuple(converted.shape))

    def _order(self, targets: Sequence[Any]) -> list[str]:
        """The order of mergekit's executor: by the greatest name of what is read.

        Where two outputs read the same, its own schedule is asked. That takes long for models of
        many tensors.
        """
        from mergekit.graph import Executor
        from mergekit.merge_methods.task_adapter import ExecuteMergeMethodTask

        labels = {
            name: max(slot.tensor or "" for slot in output.slots)
            for name, output in self._outputs.items()
        }
        if len(set(labels.values())) == len(labels):
            return sorted(labels, key=labels.__getitem__)
        tasks = [handle.task() for handle in Executor(list(targets)).schedule.tasks]
        merges = [task for task in tasks if isinstance(task, ExecuteMergeMethodTask)]
        names = [task.output_weight.name for task in merges]
        return [name for name in names if name in self._outputs]

    # -- execution ----------------------------------------------------------------------------

    def _load(self, slot: _Slot, read: Reader) -> torch.Tensor | None:
        if slot.tensor is not None:
            return read(slot.name, slot.tensor)
        with _loaders(self._loaders(read)):
            loaded: torch.Tensor | None = slot.load.execute()
        return loaded

    def _merge(self, output: _Output, tensors: dict[Any, torch.Tensor]) -> torch.Tensor:
        task = output.task
        aligned = _is_aligned(task)
        device = "cpu" if aligned else self.device
        for slot in output.slots:
            if slot.model in tensors:
                tensor = tensors[slot.model].to(device)
                dtype = slot.load.dtype
                tensors[slot.model] = tensor.to(_torch_dtype(_CODES[dtype])) if dtype else tensor
        if aligned:
            tensors = task.gather_tensors.execute(self._tokenizer(), tensors)
            tensors = {model: tensor.to(self.device) for model, tensor in tensors.items()}
        merged: torch.Tensor = task.execute(tensors=tensors)
        return merged

    def _tokenizer(self) -> Any:
        """What mergekit finds out about tokenizers, once for the same models."""
        task = self._tokenizer_task
        if task not in self._tokenizers:
            self._tokenizers[task] = task.execute()
        return self._tokenizers[task]


def _with_references(data: Any, inputs: Mapping[str, Any], key: str = "") -> Any:
    """A document whose names of models are replaced by references."""
    if isinstance(data, Mapping):
        return {name: _with_references(value, inputs, name) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_with_references(value, inputs) for value in data]
    if isinstance(data, str) and key in _MODEL_KEYS:
        return inputs.get(data, data)
    return data


def _gather(task: Any) -> Any:
    """The task that collects the inputs of a tensor, below the one that aligns vocabularies."""
    return task.gather_tensors.gather_tensors if _is_aligned(task) else task.gather_tensors


def _is_aligned(task: Any) -> bool:
    from mergekit.tokenizer import PermutedVocabulary

    return isinstance(task.gather_tensors, PermutedVocabulary)


def _is_left_out(task: Any, present: Sequence[Any]) -> bool:
    """Whether mergekit skips a tensor that some inputs lack."""
    from mergekit import merge_methods
    from mergekit.merge_methods.base import OptionalTensorPolicy

    if not task.output_weight.optional or len(present) == len(task.model_order):
        return False
    spec = merge_methods.get(task.method_name).spec
    return (
        spec.optional_tensor_policy == OptionalTensorPolicy.BASE_OR_SKIP
        and len(present) < spec.contract.min_inputs
        and present != [task.base_model]
    )
