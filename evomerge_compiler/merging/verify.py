"""Makes sure that a merged model loads: its tensors are those that its config.json asks for.

mergekit reports success for several results that transformers then fills up with random weights.
The names are compared with those of the models it was merged from, which costs microseconds;
only where that comparison cannot decide, transformers loads the model and says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from evomerge_compiler.errors import WorkFailed
from evomerge_compiler.merging.stage_inputs import StageLayers
from evomerge_compiler.merging.weights import (
    EMBEDDING_ENDINGS,
    HEAD_ENDINGS,
    LayerName,
    TensorSpec,
    layer_prefix,
    read_tensors,
)

# Buffers that old checkpoints hold and models compute by themselves.
_COMPUTED = re.compile(r"(rotary_emb\.inv_freq|attn\.masked_bias|attn\.bias|rope\.freqs)\Z")


def check_tensors(
    folder: Path,
    tensors: Mapping[str, TensorSpec],
    inputs: Mapping[str, Path],
    layers: StageLayers,
    *,
    trust: bool = False,
) -> None:
    """Compares a merge's tensors with those of its inputs, layer by layer.

    Args:
        folder: The merged model, with its config.json.
        tensors: Its tensors.
        inputs: Name in the document to model folder.
        layers: Where its layers come from.
        trust: Let the model bring code of its own if transformers has to be asked.

    Raises:
        WorkFailed: It would not load, or would load with weights missing.
    """
    used = {name: read_tensors(inputs[name]) for name in layers.models}
    if not names_fit(tensors, used, layers):
        check_loads(folder, trust=trust)


def names_fit(
    tensors: Mapping[str, TensorSpec],
    inputs: Mapping[str, Mapping[str, TensorSpec]],
    layers: StageLayers,
) -> bool:
    """Whether a merge's tensors are those of its inputs, so that nobody need try to load it.

    Args:
        tensors: Its tensors.
        inputs: Name in the document to tensors, of all :attr:`StageLayers.models`.
        layers: Where its layers come from.
    """
    expected = _expected(inputs, layers)
    return expected is not None and not _differences(expected, tensors)


def _expected(
    inputs: Mapping[str, Mapping[str, TensorSpec]], layers: StageLayers
) -> dict[str, tuple[int, ...]] | None:
    """Names and shapes that the result should have, None where layers cannot be told apart."""
    found: dict[str, dict[int, dict[str, tuple[int, ...]]]] = {}
    expected: dict[str, tuple[int, ...]] = {}
    prefixes = set()
    for model in layers.models:
        tensors = inputs[model]
        prefix = layer_prefix(tensors, _n_layers(tensors))
        if prefix is None:
            return None
        prefixes.add(prefix)
        by_layer: dict[int, dict[str, tuple[int, ...]]] = found.setdefault(model, {})
        for name, info in tensors.items():
            parsed = LayerName.parse(name)
            if parsed is not None and parsed.prefix == prefix:
                by_layer.setdefault(parsed.index, {})[parsed.rest] = info.shape
            elif model == layers.first:
                expected[name] = info.shape
    if len(prefixes) != 1:
        return None
    prefix = prefixes.pop()
    for index, (model, layer) in enumerate(layers.sources):
        for rest, shape in found[model].get(layer, {}).items():
            expected[f"{prefix}{index}.{rest}"] = shape
    return expected


def _n_layers(tensors: Mapping[str, object]) -> int:
    """Depth of the deepest numbered group of tensors."""
    parsed = [LayerName.parse(name) for name in tensors]
    return 1 + max((name.index for name in parsed if name is not None), default=-1)


def _differences(
    expected: Mapping[str, tuple[int, ...]], tensors: Mapping[str, TensorSpec]
) -> list[str]:
    """Names that are missing, unexpected or of another shape.

    The head may come and go with tying; rows of embedding and head follow the tokenizer.
    """
    found = []
    for name in expected.keys() | tensors.keys():
        if name.endswith(HEAD_ENDINGS) or _COMPUTED.search(name):
            continue
        if name not in expected or name not in tensors:
            found.append(name)
        elif not name.endswith(EMBEDDING_ENDINGS) and tensors[name].shape != expected[name]:
            found.append(name)
    return found


def check_loads(folder: Path, *, trust: bool = False) -> None:
    """Loads a model with transformers and refuses anything but a perfect fit.

    Args:
        folder: Model folder.
        trust: Let it bring code of its own.

    Raises:
        WorkFailed: Weights are missing, left over, or of another shape than config.json says.
    """
    from transformers import AutoModelForCausalLM

    try:
        _, info = AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", output_loading_info=True, trust_remote_code=trust
        )
    except (OSError, ValueError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise WorkFailed(
            f"transformers cannot load the merged model: {first.replace(str(folder), '')}",
            reason="invalid",
            step="merge",
        ) from error
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        names = sorted(map(str, info.get(kind) or ()))
        if names:
            raise WorkFailed(
                f"the merged model has {len(names)} {kind.replace('_', ' ')}, first {names[0]}",
                reason="invalid",
                step="merge",
            )
