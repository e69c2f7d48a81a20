"""lm-eval's transformers model with shared encodings, token counts and a guard against NaN.

Written against lm-eval 0.4.13's ``HFLM``: the methods overridden here are private in spirit.
"""

from __future__ import annotations

import functools
import json
import logging
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from evomerge_compiler.evaluation.failures import non_finite
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.merging.kernel_scratch import Findings

Finish = Literal["stop", "eos", "length"]

_KEPT_USAGES = 20_000
# Of one tokenizer. A race asks other items in each generation: all batches that were ever made
# would be kept for nothing, while those of one pass (two numbers a token) fit many times over.
KEPT_BATCHES_BYTES = 64 << 20


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
    """Tokenised prompts of one tokenizer; candidates share them.

    Attributes:
        texts: By text, of which an evaluation has so many and no more.
        batches: Padded, by the texts of each.
    """

    texts: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)
    batches: Findings = field(default_factory=lambda: Findings(KEPT_BATCHES_BYTES))


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


def usage_key(prompt: str, gen_kwargs: Mapping[str, Any]) -> tuple[str, str]:
    """What equal requests have in common."""
    return prompt, json.dumps(gen_kwargs, sort_keys=True, default=str)


class _Recorder:
    """Stands in for lm-eval's answer cache, which is told of every answer in batch order."""

    def __init__(self, lm: Any) -> None:
        self.lm = lm
        self.usage: dict[tuple[str, str], deque[Usage]] = defaultdict(deque)
        self._known: dict[tuple[tuple[int, ...], tuple[str, ...]], Usage] = {}

    def add_partial(self, attr: str, request: Any, answer: Any) -> None:
        if attr == "generate_until":
            ids, stops = self.lm.pending.popleft()
            prompt, gen_kwargs = request
            self.usage[usage_key(prompt, gen_kwargs)].append(self._ended(ids, stops))

    def _ended(self, ids: list[int], stops: Sequence[str]) -> Usage:
        # Candidates of one run give many equal answers, and finding an end decodes several times.
        key = (tuple(ids), tuple(stops))
        if key not in self._known:
            if len(self._known) >= _KEPT_USAGES:
                self._known.clear()
            self._known[key] = _usage(self.lm, ids, stops)
        return self._known[key]


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
def metered_hflm() -> Any:
    """The class, made when first asked for: its base needs torch."""
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
            make = super().tok_batch_encode
            batch: tuple[Any, Any] = self.encodings.batches.recall(
                (tuple(strings), padding_side, left_truncate_len, truncation),
                lambda: make(list(strings), padding_side, left_truncate_len, truncation),
                lambda found: sum(tensor.nbytes for tensor in found),
            )
            return batch

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
