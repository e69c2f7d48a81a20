"""Stands in for vLLM, which runs on GPUs only: what lm-eval's ``VLLM`` uses, by transformers.

Names, arguments and results are those of vLLM 0.18 (``vllm/entrypoints/llm.py``, ``outputs.py``,
``sampling_params.py``); one prompt at a time, greedy, in float32.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ENGINES: list[dict[str, Any]] = []  # the arguments of every engine that was started


@dataclass
class SamplingParams:
    """Arguments of one request."""

    temperature: float = 1.0
    max_tokens: int = 16
    stop: list[str] = field(default_factory=list)
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True


@dataclass
class TokensPrompt:
    """A prompt as tokens."""

    prompt_token_ids: list[int]


class LLM:
    """An engine."""

    def __init__(
        self, *, model: str, max_model_len: int | None, max_num_seqs: int | None,
        gpu_memory_utilization: float, dtype: str, seed: int, **others: Any,
    ) -> None:  # fmt: skip
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if os.environ.get("VLLM_LOGGING_STREAM") != "ext://sys.stderr":
            print("INFO starting an engine")  # as vLLM does
        if not Path(model, "config.json").is_file():
            raise OSError(f"{model} has no config.json")
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        longest = max_model_len or self.model.config.max_position_embeddings
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=longest))
        ENGINES.append(
            {"max_num_seqs": max_num_seqs, "share": gpu_memory_utilization, "dtype": dtype}
        )

    def generate(
        self, prompts: Sequence[TokensPrompt], *, sampling_params: Sequence[SamplingParams],
        use_tqdm: bool, lora_request: None,
    ) -> list[SimpleNamespace]:  # fmt: skip
        pairs = zip(prompts, sampling_params, strict=True)
        return [self._answer(list(prompt.prompt_token_ids), params) for prompt, params in pairs]

    def _answer(self, prompt: list[int], params: SamplingParams) -> SimpleNamespace:
        found = self._prompt_logprobs(prompt) if params.prompt_logprobs else None
        ids: list[int] = []
        total, text, reason, stopped_by = 0.0, "", "length", None
        while reason == "length" and len(ids) < params.max_tokens:
            logprobs = self._logprobs(prompt + ids)[-1]
            ids.append(int(logprobs.argmax()))
            total += float(logprobs[ids[-1]])
            if ids[-1] == self.tokenizer.eos_token_id:
                reason = "stop"
                break
            text = self.tokenizer.decode(ids, skip_special_tokens=params.skip_special_tokens)
            for stop in params.stop:
                if stop in text and reason == "length":
                    text, reason, stopped_by = text[: text.index(stop)], "stop", stop
        output = SimpleNamespace(
            text=text, token_ids=tuple(ids), finish_reason=reason, stop_reason=stopped_by,
            cumulative_logprob=None if params.logprobs is None else total,
        )  # fmt: skip
        return SimpleNamespace(outputs=[output], prompt_logprobs=found)

    def _logprobs(self, ids: list[int]) -> Any:
        import torch

        with torch.no_grad():
            return self.model(torch.tensor([ids])).logits[0].log_softmax(-1)

    def _prompt_logprobs(self, prompt: list[int]) -> list[dict[int, SimpleNamespace] | None]:
        rows = self._logprobs(prompt)
        found: list[dict[int, SimpleNamespace] | None] = [None]
        for row, token in zip(rows[:-1], prompt[1:], strict=True):
            kept = {token, int(row.argmax())}
            found.append({each: SimpleNamespace(logprob=float(row[each])) for each in kept})
        return found
