"""The parameters of a stage's tensors, resolved by mergekit from a document.

A setting is searched for in the input, the slice, the module and the whole document, and may be a
gradient over layers or go by a filter on names. mergekit does that for each tensor; where all
settings of a slice are plain values, its tensors have the same ones. Written for mergekit 0.1.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evomerge_compiler.merging.mergekit_layout import Output, StageLayout, gather_task


@dataclass(frozen=True)
class Parameters:
    """The parameters of one output tensor.

    Attributes:
        shared: Those that its inputs share, with mergekit's defaults.
        per_input: Those of each of mergekit's models, in its order.
    """

    shared: Mapping[str, Any]
    per_input: tuple[Mapping[str, Any], ...]

    def task(self, output: Output) -> Any:
        """mergekit's task of an output with these parameters."""
        from mergekit.common import ImmutableMap

        values = zip(output.task.model_order, self.per_input, strict=True)
        return output.task.model_copy(
            update={
                "parameters": ImmutableMap(data=dict(self.shared)),
                "input_parameters": ImmutableMap(
                    data={model: ImmutableMap(data=dict(own)) for model, own in values}
                ),
            }
        )


def resolve(layout: StageLayout, document: Mapping[str, Any]) -> dict[str, Parameters]:
    """The parameters of all output tensors, by name.

    Args:
        layout: The layout of the document.
        document: A stage's mergekit configuration.
    """
    from mergekit.config import ConfigReader

    config = layout.normalized(document)
    found = {}
    shared_by_part: dict[tuple[str, int], Parameters] = {}
    for name, output in layout.outputs.items():
        place = output.place
        key = (place.module, place.part)
        if key in shared_by_part:
            found[name] = shared_by_part[key]
            continue
        module = config.modules[place.module]
        part = module.slices[place.part]
        reader = ConfigReader(config=config, t=place.t, slice_out=part, module=module)
        found[name] = _parameters(name, output, reader)
        if _is_plain(reader):
            shared_by_part[key] = found[name]
    return found


def _parameters(name: str, output: Output, reader: Any) -> Parameters:
    from mergekit import merge_methods
    from mergekit.parameter_resolver import resolve_parameters

    task = output.task
    weights = dict(gather_task(task).weight_info.items())
    shared, per_input = resolve_parameters(
        merge_methods.get(task.method_name).spec,
        tensor_name=name,
        inputs={model: weights[model].name for model in task.model_order},
        sources=reader.parameter_sources,
        base_model=reader.base_model,
        t=reader.t,
    )
    return Parameters(shared, tuple(per_input[model] for model in task.model_order))


def _is_plain(reader: Any) -> bool:
    """Whether no setting of a slice is a gradient or goes by a filter."""
    inputs = [source.model for source in reader.slice_out.sources]
    settings = [s for model in (None, *inputs) for s in reader.parameter_sources(model) if s]
    return all(
        isinstance(value, (bool, int, float, str)) for own in settings for value in own.values()
    )
