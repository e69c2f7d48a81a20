"""The one model that a worker keeps loaded.

A candidate of the same shape as the one before is copied into the resident parameters, tensor by
tensor; that gives the same bits as a fresh load and costs the bytes only. Anything that differs
(shape, names, config, tokenizer, generation defaults) is loaded afresh.
"""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evomerge_compiler.errors import MissingPrerequisite, WorkFailed, full_disk
from evomerge_compiler.evaluation import metered
from evomerge_compiler.evaluation.failures import failures_of_work, non_finite
from evomerge_compiler.evaluation.model_weights import FolderWeights, Weights
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.merging.tensors import is_finite, torch_dtype
from evomerge_compiler.merging.weights import TensorSpec

# What a model is besides its weights. The rest of a folder does not reach the evaluation.
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
_NOT_IN_SHELL = ("_name_or_path", "transformers_version")
_KEPT_ENCODINGS = 4


class ResidentModel:
    """Holds one model on one device.

    Attributes:
        lm: lm-eval's model object, None before the first load.
        shell_key: Hash of config, generation defaults and tokenizer of the loaded model.
        tokenizer_key: Hash of its tokenizer and chat template.
        fresh_loads: Models built from their files.
        swaps: Models copied into the resident one.
    """

    def __init__(self, plan: EvaluationPlan) -> None:
        self.plan = plan
        self.lm: Any = None
        self.shell_key = ""
        self.tokenizer_key = ""
        self.fresh_loads = 0
        self.swaps = 0
        self._encodings: dict[str, metered.Encodings] = {}
        self._settled = False

    @property
    def device(self) -> str:
        """Where the model is: the plan's device with ``auto`` decided."""
        return resolve_device(self.plan.device)

    @property
    def n_parameters(self) -> int:
        """Parameters of the loaded model."""
        return sum(parameter.numel() for parameter in self.lm.model.parameters())

    def load(self, model: Path | Weights) -> None:
        """Makes a model the resident one.

        Args:
            model: A transformers folder with safetensors, or weights from elsewhere.

        Raises:
            WorkFailed: It cannot be loaded or made, lacks weights, or has non-finite ones.
        """
        from safetensors import SafetensorError

        folder = model if isinstance(model, Path) else model.shell
        shell_key, tokenizer_key = shell_hashes(folder)
        try:
            weights = FolderWeights(model) if isinstance(model, Path) else model
            swapped = self.lm is not None and shell_key == self.shell_key and self._swap(weights)
            if not swapped:
                self.drop()
                self._load_fresh(weights, tokenizer_key)
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            self.drop()
            if full_disk(error) is not None:  # code of models is copied to the hub's cache
                raise
            raise _invalid(f"the model does not load: {error}", folder) from error
        except BaseException:
            self.drop()  # it may hold a mixture of two models
            raise
        self.shell_key, self.tokenizer_key = shell_key, tokenizer_key
        if isinstance(model, Path):  # other weights are looked at as they are made
            self._check_weights()

    def drop(self) -> None:
        """Frees the model."""
        if self.lm is None:
            return
        import torch

        self.lm = None
        self.shell_key = ""
        # The model's hook and lm-eval's object hold each other, and a worker that has settled
        # would never look at them again.
        self._settled = False
        gc.unfreeze()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def settle(self) -> None:
        """After the first work of a model: what was imported and loaded stays.

        A collection of garbage that walks through all of it takes longer than a small merge.
        :meth:`drop` undoes this.
        """
        if self._settled:  # gc.get_freeze_count() would count them all, one by one
            return
        gc.collect()
        gc.freeze()
        self._settled = True

    def _load_fresh(self, weights: Weights, tokenizer_key: str) -> None:
        import transformers

        plan = self.plan
        options = {"trust_remote_code": plan.trust_remote_code, "local_files_only": True}
        transformers.utils.logging.disable_progress_bar()
        with failures_of_work("load"):
            tokenizer = transformers.AutoTokenizer.from_pretrained(weights.shell, **options)
            dtype = _dtype(plan.dtype, self.device)
            if isinstance(weights, FolderWeights):
                model, info = transformers.AutoModelForCausalLM.from_pretrained(
                    weights.shell,
                    dtype=dtype,
                    use_safetensors=True,
                    output_loading_info=True,
                    **options,
                )
                _own_storage(model.to(self.device))
            else:
                model, info = _model_of(weights, dtype, options)
                model.to(self.device)
            _check_loading(info)
        if len(self._encodings) >= _KEPT_ENCODINGS and tokenizer_key not in self._encodings:
            self._encodings.pop(next(iter(self._encodings)))
        encodings = self._encodings.setdefault(tokenizer_key, metered.Encodings())
        with metered.quiet_lm_eval():
            self.lm = metered.metered_hflm()(model, tokenizer, encodings, plan)
        self.fresh_loads += 1

    def _swap(self, weights: Weights) -> bool:
        """Copies tensors over the resident ones; False when that is not possible."""
        import torch

        own = self.lm.model.state_dict(keep_vars=True)
        if not _fills(own, weights.tensors):
            return False
        with torch.no_grad():
            for name, tensor in weights.stream(_fillable(own, weights.tensors)):
                if tensor.data_ptr() != own[name].data_ptr():
                    own[name].copy_(tensor)
        self.swaps += 1
        return True

    def _check_weights(self) -> None:
        for name, tensor in self.lm.model.named_parameters():
            if not is_finite(tensor.detach()):
                self.drop()
                raise non_finite(f"the weights {name} hold a value that is not finite")


def resolve_device(device: str) -> str:
    """The device with ``auto`` decided.

    Raises:
        MissingPrerequisite: CUDA is asked for and absent.
    """
    import torch

    available = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if available else "cpu"
    if device.startswith("cuda") and not available:
        raise MissingPrerequisite(
            f"device {device!r} is asked for and torch sees no GPU",
            hint="use --device cpu, or install a torch built for CUDA",
        )
    return device


# --------------------------------------------------------------------------------------
# Folders


def shell_hashes(folder: Path) -> tuple[str, str]:
    """Hashes of what a model is besides its weights, and of its tokenizer alone.

    Raises:
        WorkFailed: The folder has no readable config.json.
    """
    tokenizer = hashlib.sha256()
    for name in _TOKENIZER_FILES:
        file = folder / name
        if file.is_file():
            tokenizer.update(f"{name}\n".encode() + file.read_bytes())
    shell = hashlib.sha256(tokenizer.digest())
    for name in ("config.json", "generation_config.json"):
        file = folder / name
        if not file.is_file():
            if name == "config.json":
                raise _invalid("the model folder has no config.json", folder)
            continue
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise _invalid(f"{name} is not JSON: {error}", folder) from error
        if isinstance(data, dict):
            data = {key: value for key, value in data.items() if key not in _NOT_IN_SHELL}
        shell.update(f"{name}\n{json.dumps(data, sort_keys=True)}\n".encode())
    # Remote code is part of the shell too.
    for file in sorted(folder.glob("*.py")):
        shell.update(f"{file.name}\n".encode() + file.read_bytes())
    return shell.hexdigest(), tokenizer.hexdigest()


def _invalid(message: str, folder: Path) -> WorkFailed:
    # Messages are kept in run folders, which hold no machine paths.
    text = message.replace(str(folder), "MODEL")
    return WorkFailed(text, reason="invalid", step="evaluate")


# --------------------------------------------------------------------------------------
# Weights


def _dtype(dtype: str, device: str) -> Any:
    import torch

    if dtype == "auto":
        # CPUs emulate bfloat16 slowly, and float32 does not depend on the batch's make-up.
        return torch.float32 if device == "cpu" else "auto"
    return getattr(torch, dtype)


def _check_loading(info: Mapping[str, Any]) -> None:
    missing = sorted(info.get("missing_keys") or ())
    mismatched = sorted(str(key) for key in info.get("mismatched_keys") or ())
    wrong = missing or mismatched
    if wrong:
        what = "lacks" if missing else "has the wrong shape for"
        raise ValueError(f"the file {what} {len(wrong)} tensors, for example {wrong[0]}")


def _model_of(weights: Weights, dtype: Any, options: Mapping[str, Any]) -> tuple[Any, Any]:
    """A new model with these weights, as ``from_pretrained`` makes it from a folder.

    The tensors become the model's own parameters: at no time are there two copies of all.
    """
    import torch
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, GenerationConfig

    config = AutoConfig.from_pretrained(weights.shell, **options)
    to = dtype if isinstance(dtype, torch.dtype) else None
    # Always a copy: a tensor may be a view of a source's mapped file.
    tensors = {name: tensor.to(to or tensor.dtype, copy=True) for name, tensor in weights.stream()}
    model, info = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
        None, config=config, state_dict=tensors, dtype=dtype, output_loading_info=True
    )
    if (weights.shell / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(weights.shell)
    return model, info


def _own_storage(model: Any) -> None:
    """Copies parameters out of the file's memory map.

    transformers maps the file on a CPU. Weights that are swapped in place, and folders that are
    deleted while the model lives, both need storage that is the model's own. Parameters stay the
    same objects, so tied ones stay tied.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()


def _fillable(own: Mapping[str, Any], tensors: Mapping[str, TensorSpec]) -> dict[str, Any]:
    """The resident tensors that a merge may write to: on the CPU, of its own dtype."""
    return {
        name: own[name].detach()
        for name, spec in tensors.items()
        if own[name].dtype == torch_dtype(spec.dtype)
        and own[name].device.type == "cpu"
        and own[name].is_contiguous()
    }


def _fills(own: Mapping[str, Any], tensors: Mapping[str, TensorSpec]) -> bool:
    """Whether the named tensors fill the model's exactly, each piece of storage once."""
    storages = [own[name].data_ptr() for name in tensors if name in own]
    same_shapes = all(
        name in own and tuple(own[name].shape) == tuple(tensor.shape)
        for name, tensor in tensors.items()
    )
    every = {tensor.data_ptr() for tensor in own.values()}
    return same_shapes and len(storages) == len(set(storages)) and set(storages) == every
