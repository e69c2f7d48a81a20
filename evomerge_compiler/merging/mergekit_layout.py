"""mergekit's plan of a stage, without the values of its parameters.

mergekit plans a stage as always: that is where layers, aliases, tokenizers and left-out tensors
are resolved. Candidates of a search mostly differ in weights and densities alone, so what is
planned here serves many of them; :mod:`evomerge_compiler.merging.mergekit_parameters` has mergekit
resolve the values of each. Written for mergekit 0.1.5.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial, reduce
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from evomerge_compiler.merging import kernels
from evomerge_compiler.merging.mergekit_inputs import (
    Loader,
    named_once,
    use_loaders,
    with_references,
)
from evomerge_compiler.merging.stage_results import StageTensors
from evomerge_compiler.merging.tensors import DTYPE_CODES, spec_of, torch_dtype
from evomerge_compiler.merging.weights import TensorSpec

if TYPE_CHECKING:
    import torch

Reader = Callable[[str, str], "torch.Tensor"]


@dataclass(frozen=True)
class Slot:
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
class Place:
    """Where the settings of an output tensor stand in a document.

    Attributes:
        module: Name of its module.
        part: Number of the slice within the module.
        t: How far along the slice it is, for gradients.
    """

    module: str
    part: int
    t: float


@dataclass(frozen=True)
class Output:
    """One output tensor.

    Attributes:
        task: mergekit's task that merges it, with the parameters of the document it was planned
            for.
        slots: What it is merged from.
        spec: What comes out.
        place: Where its settings stand.
        alike: One kernel call merges outputs for which this is equal, if their parameters are;
            None where no kernel does.
    """

    task: Any
    slots: tuple[Slot, ...]
    spec: TensorSpec
    place: Place
    alike: Hashable | None

    @property
    def base_index(self) -> int | None:
        """Which of mergekit's models is the base, None when none of them is."""
        return _base_index(self.task)


class Tokenizers:
    """What mergekit finds out about tokenizers, once for the same models.

    Attributes:
        rows: The rows of models' embeddings by token, filled by those who align them.
    """

    def __init__(self) -> None:
        self.rows: dict[Hashable, Any] = {}
        self._built: dict[Any, Any] = {}

    def build(self, task: Any) -> Any:
        """The result of mergekit's ``BuildTokenizer``."""
        if task not in self._built:
            self._built[task] = task.execute()
        return self._built[task]


class StageLayout:
    """The output tensors of a stage, as mergekit plans them.

    Args:
        document: Its mergekit configuration; values of parameters do not matter.
        inputs: Name in the document to reference, of all models that it mentions.
        tensors: The same names to the tensors of these models.
        read: Reads a tensor of a source model: (name in the document, tensor name).
        options: mergekit's options.
        in_order: Whether it draws random numbers.
        tokenizers: What is known of tokenizers.

    Attributes:
        outputs: Name to output tensor, in mergekit's order of planning.
        graph: Names, order, and what is read of the inputs.
        specs: Name to what comes out, sorted by name.
        device: Where mergekit computes.
        out_dtype: mergekit's name of the type of the result, or None.
        tokenizer_task: mergekit's task that makes a tokenizer, or None.
        inputs: As given.
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
        tokenizers: Tokenizers,
    ) -> None:
        from mergekit.architecture import get_architecture_info
        from mergekit.merge import _model_out_config

        self.inputs = inputs
        self.device: str = options.device
        self._options = options
        self._tokenizers = tokenizers
        self._names = {model: name for name, model in inputs.items()}
        self._tensors = tensors
        with use_loaders(self.loaders(read)):
            config = self.configuration(document)
            self._architecture = get_architecture_info(config, options)
            self._out_config = _model_out_config(
                config, self._architecture, options.trust_remote_code
            )
            planner = self._planner(config)
            places = _note_places(planner)
            planner._plan()
            self.out_dtype = planner.config.out_dtype
            self.tokenizer_task = planner._tokenizer_task
            found = {w.name: self._output(task, places[w.name]) for w, task in planner._tensors}
            self.outputs = {name: output for name, output in found.items() if output is not None}
            order = self._order(document) if in_order else sorted(self.outputs)
        self.specs = {name: self.outputs[name].spec for name in sorted(self.outputs)}
        self.graph = StageTensors(
            order,
            {
                name: [(slot.name, slot.tensor) for slot in output.slots if slot.tensor]
                for name, output in self.outputs.items()
            },
            in_order,
        )

    def configuration(self, document: Mapping[str, Any]) -> Any:
        """mergekit's configuration of a document that has this layout."""
        from mergekit.config import MergeConfiguration

        return MergeConfiguration.model_validate(with_references(document, self.inputs))

    def normalized(self, document: Mapping[str, Any]) -> Any:
        """The configuration as mergekit's planner changes it: slices of modules, nothing else."""
        planner = self._planner(self.configuration(document))
        planner.normalize_config()
        return planner.config

    def loaders(self, read: Reader) -> dict[Any, Loader]:
        """What mergekit reads the inputs with."""
        return {
            model: Loader(self._tensors[name], partial(read, name))
            for model, name in self._names.items()
        }

    def tokenizer(self) -> Any:
        """What mergekit finds out about the inputs' tokenizers."""
        return self._tokenizers.build(self.tokenizer_task)

    def _planner(self, config: Any) -> Any:
        from mergekit.architecture.base import ConfiguredModelArchitecture
        from mergekit.plan import MergePlanner

        architecture = self._architecture
        planner = MergePlanner(config, architecture, self._options, self._out_config)

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

    def _output(self, task: Any, place: Place) -> Output | None:
        gather = gather_task(task)
        slots = []
        for at, (model, weight) in enumerate(gather.weight_info.items()):
            name = self._names[model]
            held = self._tensors[name]
            wanted = (weight.name, *(weight.aliases or ()), *(weight.tied_names or ()))
            tensor = next((other for other in wanted if other in held), None)
            load = list(gather.arguments().values())[at] if tensor is None else None
            dtype = weight.force_dtype or gather.dtype
            slots.append(Slot(model, name, tensor, DTYPE_CODES[dtype] if dtype else None, load))
        spec = self._spec(task, slots)
        if spec is None:
            return None
        return Output(task, tuple(slots), spec, place, self._alike(task, slots, spec))

    def _spec(self, task: Any, slots: Sequence[Slot]) -> TensorSpec | None:
        """What a task gives; None when mergekit leaves an optional tensor out."""
        found = {slot.model: spec for slot in slots if (spec := self._slot_spec(slot)) is not None}
        if _is_left_out(task, list(found)):
            return None
        if not found:
            task.execute(tensors={})  # mergekit says what is missing
        first = next(iter(found.values()))
        forced = task.output_weight.force_dtype or self.out_dtype
        code = DTYPE_CODES[forced] if forced else _promoted(list(found.values()))
        shape = list(first.shape)
        if is_aligned(task):
            rows = len(self.tokenizer().tokenizer.get_vocab())
            multiple = task.gather_tensors.pad_to_multiple_of or 1
            shape[task.gather_tensors.vocabulary_axis] = -(-rows // multiple) * multiple
        return TensorSpec(code, tuple(shape))

    def _slot_spec(self, slot: Slot) -> TensorSpec | None:
        """What mergekit loads for a slot, None when there is nothing."""
        if slot.tensor is not None:
            held = self._tensors[slot.name][slot.tensor]
            return TensorSpec(slot.dtype or held.dtype, held.shape)
        converted = slot.load.execute()
        if converted is None:
            return None
        return spec_of(converted)

    def _alike(self, task: Any, slots: Sequence[Slot], spec: TensorSpec) -> Hashable | None:
        """See :class:`Output`."""
        if (
            kernels.fast(task.method_name) is None
            or is_aligned(task)
            or self.device != "cpu"
            or any(slot.tensor is None or slot.dtype != slots[0].dtype for slot in slots)
        ):
            return None
        held = [self._tensors[slot.name][str(slot.tensor)] for slot in slots]
        if any(
            info.shape != spec.shape or not torch_dtype(info.dtype).is_floating_point
            for info in held
        ):
            return None
        dtype = slots[0].dtype or _promoted(held)
        return len(task.model_order), _base_index(task), dtype, spec.dtype

    def _order(self, document: Mapping[str, Any]) -> list[str]:
        """The order of mergekit's executor: by the greatest name of what is read.

        Where two outputs read the same, its own schedule for writing a folder is asked.
        """
        from mergekit.graph import Executor
        from mergekit.merge_methods.task_adapter import ExecuteMergeMethodTask

        labels = {
            name: max(slot.tensor or "" for slot in output.slots)
            for name, output in self.outputs.items()
        }
        if len(set(labels.values())) == len(labels):
            return sorted(labels, key=labels.__getitem__)
        targets = self._planner(self.configuration(document)).plan_to_disk("nowhere")
        tasks = [handle.task() for handle in Executor(targets).schedule.tasks]
        merges = [task for task in tasks if isinstance(task, ExecuteMergeMethodTask)]
        names = [task.output_weight.name for task in merges]
        return [name for name in names if name in self.outputs]


def gather_task(task: Any) -> Any:
    """The task that collects the inputs of a tensor, below the one that aligns vocabularies."""
    return task.gather_tensors.gather_tensors if is_aligned(task) else task.gather_tensors


def is_aligned(task: Any) -> bool:
    """Whether a task's inputs get their rows in the order of a tokenizer."""
    from mergekit.tokenizer import PermutedVocabulary

    return isinstance(task.gather_tensors, PermutedVocabulary)


def _base_index(task: Any) -> int | None:
    order = task.model_order
    return order.index(task.base_model) if task.base_model in order else None


def _note_places(planner: Any) -> dict[str, Place]:
    """A table that fills as mergekit plans: name of an output to where its settings stand."""
    places: dict[str, Place] = {}
    plan_tensor = planner.plan_tensor

    def noted(weight: Any, weights_in: Any, models: Any, cfg_reader: Any) -> None:
        plan_tensor(weight, weights_in, models, cfg_reader)
        module, part = next(
            (name, number)
            for name, module in cfg_reader.config.modules.items() if module is cfg_reader.module
            for number, part in enumerate(module.slices) if part is cfg_reader.slice_out
        )  # fmt: skip
        places[weight.name] = Place(module, part, cfg_reader.t)

    planner.plan_tensor = noted
    return places


def _promoted(specs: Sequence[TensorSpec]) -> str:
    """The code of the type that torch computes in, given tensors of several types."""
    import torch

    dtype = reduce(torch.promote_types, (torch_dtype(spec.dtype) for spec in specs))
    return DTYPE_CODES[str(dtype).removeprefix("torch.")]


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
