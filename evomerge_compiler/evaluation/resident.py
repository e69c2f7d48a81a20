"""The one model that a worker keeps loaded, and lm-eval's view of it.

A candidate of the same shape as the one before is copied into the resident parameters, file by
file; that gives the same bits as a fresh load and costs the bytes only. Anything that differs
(shape, names, config, tokenizer, generation defaults) is loaded afresh.

Written against lm-eval 0.4.13's ``HFLM``: the methods overridden here are private in spirit.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evomerge_compiler.errors import EvomergeError, MissingPrerequisite, WorkFailed
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.processes import verdict

Finish = Literal["stop", "eos", "length"]

# What a model is besides its weights. The rest of a folder does not reach the evaluation.
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
_NOT_IN_SHELL = ("_name_or_path", "transformers_version")
_KEPT_ENCODINGS = 4


@dataclass(frozen=True)
class Usage:
    """How one answer ended.

    Attributes:
        tokens: Tokens up to and with the end-of-text token, or the one that completes the stop
            string. Tokens that a batch generates after a row has ended do not count.
        finish: ``stop`` string, ``eos`` token, or the ``length`` limit.
    """

    tokens: int
    finish: Finish


@dataclass
class Encodings:
    """Tokenised prompts of one tokenizer; candidates share them."""

    texts: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)
    batches: dict[tuple[Any, ...], tuple[Any, Any]] = field(default_factory=dict)


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
        self._encodings: dict[str, Encodings] = {}

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
        encodings = self._encodings.setdefault(tokenizer_key, Encodings())
        with quiet_lm_eval():
            self.lm = _metered_hflm()(model, tokenizer, encodings, plan)
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


def non_finite(message: str) -> WorkFailed:
    """The failure of a model that computes NaN or infinity."""
    return WorkFailed(message, reason="non_finite", step="evaluate")


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


@contextmanager
def quiet_lm_eval() -> Iterator[None]:
    """lm-eval warns of things that are deliberate here; its errors still come through."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def failures_of_work(doing: str) -> Iterator[None]:
    """Running out of memory is the candidate's failure, not a bug.

    Raises:
        WorkFailed: Memory ran out.
    """
    try:
        yield
    except EvomergeError:
        raise
    except (MemoryError, RuntimeError) as error:
        if verdict(error) != "out_of_memory":
            raise
        message = f"out of memory while evaluating ({doing})"
        hint = "a smaller batch_size needs less"
        raise WorkFailed(message, reason="out_of_memory", step="evaluate", hint=hint) from error


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


# --------------------------------------------------------------------------------------
# lm-eval's model object


def usage_key(prompt: str, gen_kwargs: Mapping[str, Any]) -> tuple[str, str]:
    """What equal requests have in common."""
    return prompt, json.dumps(gen_kwargs, sort_keys=True, default=str)


class _Recorder:
    """Stands in for lm-eval's answer cache, which is told of every answer in batch order."""

    def __init__(self, lm: Any) -> None:
        self.lm = lm
        self.usage: dict[tuple[str, str], deque[Usage]] = defaultdict(deque)

    def add_partial(self, attr: str, request: Any, answer: Any) -> None:
        if attr == "generate_until":
            ids, stops = self.lm.pending.popleft()
            prompt, gen_kwargs = request
            self.usage[usage_key(prompt, gen_kwargs)].append(_usage(self.lm, ids, stops))


def _usage(lm: Any, ids: list[int], stops: Sequence[str]) -> Usage:
    """Where an answer ended, from all tokens that its batch row holds."""
    ends = lm.eos_ids
    end = next((at + 1 for at, token in enumerate(ids) if token in ends), 0)
    kept = ids[: end or len(ids)]

    def stopped(n_tokens: int) -> bool:
        text = lm.tokenizer.decode(kept[:n_tokens], skip_special_tokens=True)
        return any(stop in text for stop in stops if stop)

    if not stopped(len(kept)):
        return Usage(len(kept), "eos" if end else "length")
    low, high = 1, len(kept)  # the first length whose text holds a stop string
    while low < high:
        middle = (low + high) // 2
        if stopped(middle):
            high = middle
        else:
            low = middle + 1
    return Usage(low, "stop")


@functools.cache
def _metered_hflm() -> Any:
    """lm-eval's transformers model with shared encodings, token counts and a NaN guard."""
    import torch
    from lm_eval.models.huggingface import HFLM

    class MeteredHFLM(HFLM):  # type: ignore[misc]
        def __init__(
            self, model: Any, tokenizer: Any, encodings: Encodings, plan: EvaluationPlan
        ) -> None:
            self.encodings = encodings
            self.pending: deque[tuple[list[int], list[str]]] = deque()
            super().__init__(
                pretrained=model,
                tokenizer=tokenizer,
                batch_size=plan.batch_size,
                max_length=plan.max_length,
                trust_remote_code=plan.trust_remote_code,
            )
            self.recorder = _Recorder(self)
            self.set_cache_hook(self.recorder)
            declared = getattr(model.generation_config, "eos_token_id", None)
            ends = declared if isinstance(declared, list) else [declared]
            self.eos_ids = {end for end in [*ends, tokenizer.eos_token_id] if end is not None}
            model.register_forward_hook(self._guard)

        def _guard(self, module: Any, arguments: Any, output: Any) -> None:
            # A masked part of the vocabulary may be -inf; a whole position may not.
            logits = getattr(output, "logits", None)
            if logits is not None and not bool(torch.isfinite(logits.amax(-1)).all()):
                raise non_finite("the model computes logits that are not finite")

        def tok_encode(
            self,
            string: str,
            add_special_tokens: bool | None = None,
            left_truncate_len: int | None = None,
            **kwargs: Any,
        ) -> list[int]:
            key = (string, add_special_tokens, left_truncate_len, *sorted(kwargs.items()))
            if key not in self.encodings.texts:
                self.encodings.texts[key] = super().tok_encode(
                    string, add_special_tokens, left_truncate_len, **kwargs
                )
            return list(self.encodings.texts[key])

        def tok_batch_encode(
            self,
            strings: Sequence[str],
            padding_side: str = "left",
            left_truncate_len: int | None = None,
            truncation: bool = False,
        ) -> tuple[Any, Any]:
            key = (tuple(strings), padding_side, left_truncate_len, truncation)
            if key not in self.encodings.batches:
                self.encodings.batches[key] = super().tok_batch_encode(
                    list(strings), padding_side, left_truncate_len, truncation
                )
            return self.encodings.batches[key]

        def _model_generate(
            self, context: Any, max_length: int, stop: list[str], **arguments: Any
        ) -> Any:
            output = super()._model_generate(context, max_length, stop, **arguments)
            rows = output[:, context.shape[1] :].tolist()
            self.pending = deque((row, stop) for row in rows)
            return output

        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            self.recorder.usage.clear()
            return list(super().generate_until(requests, disable_tqdm=disable_tqdm))

    return MeteredHFLM
