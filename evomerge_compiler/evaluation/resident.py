"""The one model that a worker keeps loaded.

A candidate of the same shape as the one before is copied into the resident parameters, file by
file; that gives the same bits as a fresh load and costs the bytes only. Anything that differs
(shape, names, config, tokenizer, generation defaults) is loaded afresh.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evomerge_compiler.errors import MissingPrerequisite, WorkFailed
from evomerge_compiler.evaluation import metered
from evomerge_compiler.evaluation.failures import failures_of_work, non_finite
from evomerge_compiler.evaluation.spec import EvaluationPlan

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

    @property
    def device(self) -> str:
        """Where the model is: the plan's device with ``auto`` decided."""
        return resolve_device(self.plan.device)

    def load(self, folder: Path) -> None:
        """Makes the model of ``folder`` the resident one.

        Args:
            folder: A transformers folder with safetensors.

        Raises:
            WorkFailed: It cannot be loaded, lacks weights, or has non-finite ones.
        """
        from safetensors import SafetensorError

        shell_key, tokenizer_key = _shell(folder)
        try:
            swapped = self.lm is not None and shell_key == self.shell_key and self._swap(folder)
            if not swapped:
                self.drop()
                self._load_fresh(folder, tokenizer_key)
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            self.drop()  # it may hold a mixture of two models
            raise _invalid(f"the model does not load: {error}", folder) from error
        self.shell_key, self.tokenizer_key = shell_key, tokenizer_key
        self._check_weights()

    def drop(self) -> None:
        """Frees the model."""
        if self.lm is None:
            return
        import torch

        self.lm = None
        self.shell_key = ""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _load_fresh(self, folder: Path, tokenizer_key: str) -> None:
        import transformers

        plan = self.plan
        options = {"trust_remote_code": plan.trust_remote_code, "local_files_only": True}
        transformers.utils.logging.disable_progress_bar()
        with failures_of_work("load"):
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
            model, info = transformers.AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=_dtype(plan.dtype, self.device),
                use_safetensors=True,
                output_loading_info=True,
                **options,
            )
            _check_loading(info)
            _own_storage(model.to(self.device))
        if len(self._encodings) >= _KEPT_ENCODINGS and tokenizer_key not in self._encodings:
            self._encodings.pop(next(iter(self._encodings)))
        encodings = self._encodings.setdefault(tokenizer_key, metered.Encodings())
        with metered.quiet_lm_eval():
            self.lm = metered.metered_hflm()(model, tokenizer, encodings, plan)
        self.fresh_loads += 1

    def _swap(self, folder: Path) -> bool:
        """Copies the folder's tensors over the resident ones; False when that is not possible."""
        from safetensors import safe_open

        model = self.lm.model
        own = model.state_dict(keep_vars=True)
        files = _weight_files(folder)
        names: dict[str, tuple[Path, list[int]]] = {}
        for file in files:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118  (not a mapping)
                    names[name] = (file, list(tensors.get_slice(name).get_shape()))
        if not _fills(own, {name: shape for name, (_, shape) in names.items()}):
            return False
        import torch

        with torch.no_grad():
            for file in files:
                with safe_open(file, framework="pt", device="cpu") as tensors:
                    for name in tensors.keys():  # noqa: SIM118
                        own[name].copy_(tensors.get_tensor(name))
        self.swaps += 1
        return True

    def _check_weights(self) -> None:
        import torch

        for name, tensor in self.lm.model.named_parameters():
            if not bool(torch.isfinite(tensor).all()):
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


def _shell(folder: Path) -> tuple[str, str]:
    """Hashes of what a model is besides its weights, and of its tokenizer alone."""
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


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return [folder / name for name in sorted(shards)]
    return [folder / "model.safetensors"] if (folder / "model.safetensors").is_file() else []


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


def _own_storage(model: Any) -> None:
    """Copies parameters out of the file's memory map.

    transformers maps the file on a CPU. Weights that are swapped in place, and folders that are
    deleted while the model lives, both need storage that is the model's own. Parameters stay the
    same objects, so tied ones stay tied.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()


def _fills(own: Mapping[str, Any], names: Mapping[str, Sequence[int]]) -> bool:
    """Whether the named tensors fill the model's exactly, each piece of storage once."""
    storages = [own[name].data_ptr() for name in names if name in own]
    same_shapes = all(
        name in own and list(own[name].shape) == list(shape) for name, shape in names.items()
    )
    every = {tensor.data_ptr() for tensor in own.values()}
    return same_shapes and len(storages) == len(set(storages)) and set(storages) == every
