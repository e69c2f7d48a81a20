"""mergekit's tasks of a stage, run without files: what mergekit keeps to itself is used here.

The task of each output tensor is run alone, or by a kernel of ours, several small ones at once.
mergekit's own executor compares every task with every other, its loader searches a list for every
tensor, and its writer only knows folders. Written for mergekit 0.1.5; another version is refused.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evomerge_compiler.errors import MissingPrerequisite
from evomerge_compiler.merging import kernels, mergekit_parameters
from evomerge_compiler.merging.mergekit_inputs import use_loaders
from evomerge_compiler.merging.mergekit_layout import (
    Output,
    Reader,
    StageLayout,
    Tokenizers,
    is_aligned,
)
from evomerge_compiler.merging.tensors import is_finite, spec_of, torch_dtype
from evomerge_compiler.merging.vocabulary_rows import VocabularyRows

if TYPE_CHECKING:
    import torch

MERGEKIT_VERSION = "0.1.5"


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
class Merged:
    """Tensors of a stage, cast and laid out as they would stand in the file.

    Attributes:
        tensors: In the order of the names that were asked for.
        non_finite: Names of those that hold NaN or infinity.
    """

    tensors: list[torch.Tensor]
    non_finite: tuple[str, ...]


class StageTasks:
    """A stage as mergekit has planned it.

    Args:
        layout: Its output tensors.
        document: Its mergekit configuration.
        tokenizers: What is known of tokenizers.
    """

    def __init__(
        self, layout: StageLayout, document: Mapping[str, Any], tokenizers: Tokenizers
    ) -> None:
        self.layout = layout
        self._document = document
        self._tokenizers = tokenizers
        self._parameters = mergekit_parameters.resolve(layout, document)

    def batches(self, names: Sequence[str], n_elements: int) -> list[tuple[str, ...]]:
        """Divides tensors into those that one call of :meth:`compute` should merge.

        Args:
            names: The tensors; their order is kept.
            n_elements: No batch of several has more.
        """
        found: list[list[str]] = []
        room = 0
        for name in names:
            output = self.layout.outputs[name]
            room -= output.spec.n_elements
            if room >= 0 and self._together(found[-1][-1], name):
                found[-1].append(name)
            else:
                found.append([name])
                room = n_elements - output.spec.n_elements
        return [tuple(batch) for batch in found]

    def compute(
        self,
        names: Sequence[str],
        read: Reader,
        content_key: Callable[[str, str], Hashable],
        scratch: kernels.Scratch | None,
        targets: Mapping[str, torch.Tensor],
    ) -> Merged:
        """Merges a tensor, or a batch.

        Args:
            names: The tensors.
            read: Reads a tensor of an input: (name in the document, tensor name).
            content_key: A content key of what ``read`` gives, for kernels.
            scratch: Memory of kernels, which are not used without it.
            targets: Where results are to go, by name; others get memory of their own.
        """
        outputs = [self.layout.outputs[name] for name in names]
        inputs = [self._load(output, read) for output in outputs]
        if scratch is not None and outputs[0].alike is not None:
            groups = [
                _group(output, tensors, content_key, targets.get(name))
                for name, output, tensors in zip(names, outputs, inputs, strict=True)
            ]
            done = self._by_kernel(names[0], groups, scratch)
            if done is not None:
                suspects = () if done.finite else zip(names, done.tensors, strict=True)
                return Merged(done.tensors, _non_finite(suspects))
        tensors = [self._by_mergekit(name, own) for name, own in zip(names, inputs, strict=True)]
        for at, name in enumerate(names):
            if name in targets:
                tensors[at] = targets[name].copy_(tensors[at])
        return Merged(tensors, _non_finite(zip(names, tensors, strict=True)))

    def write_tokenizer(self, folder: Path) -> None:
        """Writes the tokenizer that mergekit makes for this stage."""
        from mergekit.merge import _set_chat_template

        tokenizer = self.layout.tokenizer().tokenizer
        _set_chat_template(tokenizer, self.layout.configuration(self._document))
        tokenizer.save_pretrained(folder)

    def _together(self, one: str, other: str) -> bool:
        """Whether one kernel call merges both."""
        alike = self.layout.outputs[one].alike
        if alike is None or alike != self.layout.outputs[other].alike:
            return False
        first, second = self._parameters[one], self._parameters[other]
        return first is second or first == second

    def _load(self, output: Output, read: Reader) -> dict[Any, torch.Tensor]:
        """What an output is merged from, by mergekit's references."""
        found = {}
        for slot in output.slots:
            if slot.tensor is not None:
                found[slot.model] = read(slot.name, slot.tensor)
                continue
            with use_loaders(self.layout.loaders(read)):
                converted = slot.load.execute()
            if converted is not None:
                found[slot.model] = converted
        return found

    def _by_kernel(
        self, name: str, groups: Sequence[kernels.Group], scratch: kernels.Scratch
    ) -> kernels.Result | None:
        """The result of a kernel of ours, None where mergekit has to see to it.

        Args:
            name: One of the tensors.
            groups: All of them.
            scratch: Memory.
        """
        output, parameters = self.layout.outputs[name], self._parameters[name]
        kernel = kernels.fast(output.task.method_name)
        assert kernel is not None
        dtype = output.slots[0].dtype
        return kernel(
            groups,
            output.base_index,
            parameters.per_input,
            parameters.shared,
            scratch,
            dtype=torch_dtype(dtype) if dtype else None,
            out_dtype=torch_dtype(output.spec.dtype),
        )

    def _by_mergekit(self, name: str, tensors: dict[Any, torch.Tensor]) -> torch.Tensor:
        output = self.layout.outputs[name]
        result = self._merge(output, self._parameters[name].task(output), tensors)
        if output.task.output_weight.force_dtype or self.layout.out_dtype:
            result = result.to(torch_dtype(output.spec.dtype))
        if spec_of(result) != output.spec:
            raise InMemoryUnavailable(f"{name} came out as {spec_of(result)}")
        return result.contiguous()

    def _merge(self, output: Output, task: Any, tensors: dict[Any, torch.Tensor]) -> torch.Tensor:
        aligned = is_aligned(task)
        device = "cpu" if aligned else self.layout.device
        for slot in output.slots:
            if slot.model in tensors:
                tensor = tensors[slot.model].to(device)
                tensors[slot.model] = tensor.to(torch_dtype(slot.dtype)) if slot.dtype else tensor
        if aligned:
            tensors = self._aligned(task.gather_tensors, tensors)
            tensors = {model: tensor.to(self.layout.device) for model, tensor in tensors.items()}
        merged: torch.Tensor = task.execute(tensors=tensors)
        return merged

    def _aligned(self, task: Any, tensors: dict[Any, torch.Tensor]) -> dict[Any, torch.Tensor]:
        """The tensors with rows in the order of the tokenizer."""
        from mergekit.vocabulary import vocabulary_views

        info = self.layout.tokenizer()
        models = tuple(tensors)
        if task.tokens or task.pad_to_multiple_of or not models:
            aligned: dict[Any, torch.Tensor] = task.execute(info, tensors)
            return aligned
        vocabulary_views(list(tensors.values()), task.vocabulary_axis)  # refuses other widths
        rows = self._tokenizers.rows
        key = (self.layout.tokenizer_task, models, task.base_model)
        if key not in rows:
            ids = list(info.tokenizer.get_vocab().values())
            rows[key] = VocabularyRows.find(ids, info.permutations, models, task.base_model)
        result: dict[Any, torch.Tensor] = rows[key].align(tensors, task.vocabulary_axis)
        return result


def _group(
    output: Output,
    tensors: Mapping[Any, torch.Tensor],
    content_key: Callable[[str, str], Hashable],
    target: torch.Tensor | None,
) -> kernels.Group:
    """An output as kernels take it: its inputs in mergekit's order."""
    keys = {slot.model: content_key(slot.name, str(slot.tensor)) for slot in output.slots}
    order = output.task.model_order
    return kernels.Group([tensors[m] for m in order], target, [keys[m] for m in order])


def _non_finite(tensors: Iterable[tuple[str, torch.Tensor]]) -> tuple[str, ...]:
    return tuple(name for name, tensor in tensors if not is_finite(tensor))
