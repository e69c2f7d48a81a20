"""mergekit's plan of a stage, run without files: what mergekit keeps to itself is used here.

mergekit plans a stage as always: that is where filters, gradients, layers, aliases and tokenizers
are resolved. The task of each output tensor is then run alone. mergekit's own executor compares
every task with every other, its loader searches a list for every tensor, and its writer only knows
folders. Written for mergekit 0.1.5; another version is refused.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial, reduce
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from evomerge_compiler.errors import MissingPrerequisite
from evomerge_compiler.merging import kernels
from evomerge_compiler.merging.mergekit_inputs import (
    Loader,
    named_once,
    use_loaders,
    with_references,
)
from evomerge_compiler.merging.stage_results import StageTensors
from evomerge_compiler.merging.tensors import DTYPE_CODES, spec_of, torch_dtype
from evomerge_compiler.merging.vocabulary_rows import VocabularyRows
from evomerge_compiler.merging.weights import TensorSpec

if TYPE_CHECKING:
    import torch

MERGEKIT_VERSION = "0.1.5"
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


@dataclass(frozen=True)
class _Slot:
    """One input of an output tensor.

    Attributes:
        model: mergekit's reference.
        name: What the document calls that model.
        tensor: The tensor's name there; None when the model has none of this name.
        dtype: What it is loaded as; None leaves it as it is.
        load: mergekit's task where there is no such name: it converts tensors of other layouts.
    """

    model: Any
    name: str
    tensor: str | None
    dtype: str | None
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
        self.device: str = options.device
        self._tokenizers = tokenizers
        self._names = {model: name for name, model in inputs.items()}
        self._tensors = tensors
        self._document = with_references(document, inputs)
        with use_loaders(self._loaders(read)):
            planner = self._planner(options)
            planner._plan()
            self._out_dtype = planner.config.out_dtype
            self._tokenizer_task = planner._tokenizer_task
            found = {weight.name: self._output(task) for weight, task in planner._tensors}
            self._outputs = {name: output for name, output in found.items() if output is not None}
            order = self._order(options) if in_order else sorted(self._outputs)
        self.specs = {name: self._outputs[name].spec for name in sorted(self._outputs)}
        self.graph = StageTensors(
            order,
            {
                name: [(slot.name, slot.tensor) for slot in output.slots if slot.tensor]
                for name, output in self._outputs.items()
            },
            in_order,
        )

    def compute(
        self,
        name: str,
        read: Reader,
        content_key: Callable[[str, str], Hashable],
        scratch: kernels.Scratch | None,
        target: torch.Tensor | None,
    ) -> torch.Tensor:
        """Merges one tensor, cast and laid out as it would stand in the file.

        Args:
            name: The tensor.
            read: Reads a tensor of an input: (name in the document, tensor name).
            content_key: A content key of what ``read`` gives, for kernels.
            scratch: Memory of kernels, which are not used without it.
            target: Where a kernel may put the result.
        """
        output = self._outputs[name]
        loaded = {slot.model: self._load(slot, read) for slot in output.slots}
        tensors = {model: tensor for model, tensor in loaded.items() if tensor is not None}
        result = None
        if scratch is not None:
            result = self._by_kernel(output, tensors, content_key, scratch, target)
        if result is None:
            result = self._merge(output, tensors)
        if output.task.output_weight.force_dtype or self._out_dtype:
            result = result.to(torch_dtype(output.spec.dtype))
        if spec_of(result) != output.spec:
            raise InMemoryUnavailable(f"{name} came out as {spec_of(result)}")
        return result.contiguous()

    def write_tokenizer(self, folder: Path) -> None:
        """Writes the tokenizer that mergekit makes for this stage."""
        from mergekit.config import MergeConfiguration
        from mergekit.merge import _set_chat_template

        tokenizer = self._tokenizer().tokenizer
        _set_chat_template(tokenizer, MergeConfiguration.model_validate(self._document))
        tokenizer.save_pretrained(folder)

    # -- planning -----------------------------------------------------------------------------

    def _loaders(self, read: Reader) -> dict[Any, Loader]:
        return {
            model: Loader(self._tensors[name], partial(read, name))
            for model, name in self._names.items()
        }

    def _planner(self, options: Any) -> Any:
        from mergekit.architecture import get_architecture_info
        from mergekit.architecture.base import ConfiguredModelArchitecture
        from mergekit.config import MergeConfiguration
        from mergekit.merge import _model_out_config
        from mergekit.plan import MergePlanner

        # A planner changes its configuration.
        config = MergeConfiguration.model_validate(self._document)
        architecture = get_architecture_info(config, options)
        out = _model_out_config(config, architecture, options.trust_remote_code)
        planner = MergePlanner(config, architecture, options, out)

        # mergekit's own is kept for good in a cache of the process, and the planner with it; and
        # it makes the names of a layer anew for each model and each merge.
        @cache
        def modules(model: Any) -> Any:
            found = ConfiguredModelArchitecture(info=architecture, config=model.config())
            return SimpleNamespace(get_module=lambda name: named_once(found.get_module(name)))

        result = planner._out_module_arch
        planner._model_arch = modules
        planner._out_module_arch = lambda name: named_once(result(name))
        return planner

    def _output(self, task: Any) -> _Output | None:
        gather = _gather(task)
        slots = []
        for at, (model, weight) in enumerate(gather.weight_info.items()):
            name = self._names[model]
            held = self._tensors[name]
            wanted = (weight.name, *(weight.aliases or ()), *(weight.tied_names or ()))
            tensor = next((other for other in wanted if other in held), None)
            load = list(gather.arguments().values())[at] if tensor is None else None
            dtype = weight.force_dtype or gather.dtype
            slots.append(_Slot(model, name, tensor, DTYPE_CODES[dtype] if dtype else None, load))
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
        forced = task.output_weight.force_dtype or self._out_dtype
        dtypes = [torch_dtype(spec.dtype) for spec in found.values()]
        dtype = str(reduce(torch.promote_types, dtypes)).removeprefix("torch.")
        code = DTYPE_CODES[forced or dtype]
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
            return TensorSpec(slot.dtype or held.dtype, held.shape)
        converted = slot.load.execute()
        if converted is None:
            return None
        return spec_of(converted)

    def _order(self, options: Any) -> list[str]:
        """The order of mergekit's executor: by the greatest name of what is read.

        Where two outputs read the same, its own schedule for writing a folder is asked.
        """
        from mergekit.graph import Executor
        from mergekit.merge_methods.task_adapter import ExecuteMergeMethodTask

        labels = {
            name: max(slot.tensor or "" for slot in output.slots)
            for name, output in self._outputs.items()
        }
        if len(set(labels.values())) == len(labels):
            return sorted(labels, key=labels.__getitem__)
        targets = self._planner(options).plan_to_disk("nowhere")
        tasks = [handle.task() for handle in Executor(targets).schedule.tasks]
        merges = [task for task in tasks if isinstance(task, ExecuteMergeMethodTask)]
        names = [task.output_weight.name for task in merges]
        return [name for name in names if name in self._outputs]

    # -- execution ----------------------------------------------------------------------------

    def _load(self, slot: _Slot, read: Reader) -> torch.Tensor | None:
        if slot.tensor is not None:
            return read(slot.name, slot.tensor)
        with use_loaders(self._loaders(read)):
            loaded: torch.Tensor | None = slot.load.execute()
        return loaded

    def _by_kernel(
        self,
        output: _Output,
        tensors: Mapping[Any, torch.Tensor],
        content_key: Callable[[str, str], Hashable],
        scratch: kernels.Scratch,
        target: torch.Tensor | None,
    ) -> torch.Tensor | None:
        """The result of a kernel of ours, None where mergekit has to see to it."""
        task, slots = output.task, output.slots
        kernel = kernels.fast(task.method_name)
        first = next(iter(tensors.values()))
        if (
            kernel is None
            or _is_aligned(task)
            or self.device != "cpu"
            or any(slot.tensor is None or slot.dtype != slots[0].dtype for slot in slots)
            or any(t.shape != first.shape or not t.is_floating_point() for t in tensors.values())
        ):
            return None
        return kernel(
            [tensors[model] for model in task.model_order],
            task.model_order.index(task.base_model) if task.base_model in tensors else None,
            [dict(task.input_parameters[model].items()) for model in task.model_order],
            dict(task.parameters.items()),
            scratch,
            dtype=torch_dtype(slots[0].dtype) if slots[0].dtype else None,
            out_dtype=torch_dtype(output.spec.dtype),
            out=target,
            keys=[content_key(slot.name, str(slot.tensor)) for slot in slots],
        )

    def _merge(self, output: _Output, tensors: dict[Any, torch.Tensor]) -> torch.Tensor:
        task = output.task
        aligned = _is_aligned(task)
        device = "cpu" if aligned else self.device
        for slot in output.slots:
            if slot.model in tensors:
                tensor = tensors[slot.model].to(device)
                tensors[slot.model] = tensor.to(torch_dtype(slot.dtype)) if slot.dtype else tensor
        if aligned:
            tensors = self._aligned(task.gather_tensors, tensors)
            tensors = {model: tensor.to(self.device) for model, tensor in tensors.items()}
        merged: torch.Tensor = task.execute(tensors=tensors)
        return merged

    def _aligned(self, task: Any, tensors: dict[Any, torch.Tensor]) -> dict[Any, torch.Tensor]:
        """The tensors with rows in the order of the tokenizer."""
        from mergekit.vocabulary import vocabulary_views

        info = self._tokenizer()
        models = tuple(tensors)
        if task.tokens or task.pad_to_multiple_of or not models:
            aligned: dict[Any, torch.Tensor] = task.execute(info, tensors)
            return aligned
        vocabulary_views(list(tensors.values()), task.vocabulary_axis)  # refuses other widths
        key = (self._tokenizer_task, models, task.base_model)
        if key not in self._tokenizers:
            ids = list(info.tokenizer.get_vocab().values())
            rows = VocabularyRows.find(ids, info.permutations, models, task.base_model)
            self._tokenizers[key] = rows
        result: dict[Any, torch.Tensor] = self._tokenizers[key].align(
            tensors, task.vocabulary_axis
        )
        return result

    def _tokenizer(self) -> Any:
        """What mergekit finds out about tokenizers, once for the same models."""
        task = self._tokenizer_task
        if task not in self._tokenizers:
            self._tokenizers[task] = task.execute()
        return self._tokenizers[task]


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
