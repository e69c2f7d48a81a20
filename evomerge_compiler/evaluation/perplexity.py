"""Bits per byte on a text, and coherence: how near a model is to its parents' fluency.

Bits per byte is the length of the text in bits when the model's probabilities are used to code
it, divided by its length in UTF-8 bytes. Unlike perplexity it does not depend on the tokenizer,
so models with different ones compare. Coherence is ``exp(best parent's bits - model's bits)``
clipped to 0..1: 1 for a model as fluent as its best parent, near 0 for one that is broken. Low
perplexity of a model's *own* text is no sign of health (loops have the lowest), which is why the
text is given.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomerge_compiler import assets
from evomerge_compiler.errors import UsageError
from evomerge_compiler.evaluation.resident import failures_of_work, non_finite

WINDOW_TOKENS = 512
MAX_BATCH_SIZE = 8
DEFAULT_TEXT_BYTES = 20_000
_DATA = ("tiny", "data")
_MAX_LOGITS = 1 << 27


@dataclass(frozen=True)
class TextScore:
    """A model's code length for a text.

    Attributes:
        bits_per_byte: Bits a UTF-8 byte.
        n_tokens: Tokens scored: all of the text.
        n_bytes: UTF-8 bytes of the text.
    """

    bits_per_byte: float
    n_tokens: int
    n_bytes: int

    @property
    def token_perplexity(self) -> float:
        """``2 ** (bits a token)``; compares models of one tokenizer only."""
        return float(2.0 ** (self.bits_per_byte * self.n_bytes / self.n_tokens))


def bits_per_byte(
    model: Any,
    tokenizer: Any,
    text: str,
    *,
    window_tokens: int = WINDOW_TOKENS,
    batch_size: int | None = None,
) -> TextScore:
    """Scores a text.

    Windows overlap by half, and each token is scored once, in the window where it has most
    context: at least half a window, apart from the text's beginning. The first token follows
    the beginning-of-text (else end-of-text) token; where the tokenizer has neither, it costs
    ``log2(vocabulary)`` bits, as under a uniform guess.

    Args:
        model: A causal transformers model.
        tokenizer: Its tokenizer.
        text: What to score.
        window_tokens: Length of a window, cut to the model's own context length.
        batch_size: Windows a forward pass; None takes what half a gigabyte of logits allows.

    Returns:
        Bits a byte.

    Raises:
        UsageError: The text is empty.
        WorkFailed: A log-probability is not finite, or memory ran out.
    """
    import torch

    n_bytes = len(text.encode("utf-8"))
    tokens = list(tokenizer.encode(text, add_special_tokens=False))
    if not tokens:
        raise UsageError("the text for perplexity is empty")
    prefix = tokenizer.bos_token_id
    prefix = tokenizer.eos_token_id if prefix is None else prefix
    nats = 0.0 if prefix is not None else math.log(model.config.vocab_size)
    ids = tokens if prefix is None else [prefix, *tokens]
    longest = getattr(model.config, "max_position_embeddings", None) or window_tokens
    window = max(2, min(window_tokens, longest))
    if batch_size is None:
        fitting = _MAX_LOGITS // (window * model.config.vocab_size)
        batch_size = max(1, min(MAX_BATCH_SIZE, fitting))
    scored = 0 if prefix is not None else 1
    with torch.no_grad(), failures_of_work("perplexity"):
        for rows, lengths, fresh in _batches(list(_windows(len(ids), window)), ids, batch_size):
            logprobs = _logprobs(model, rows)
            for row, length, new in zip(logprobs, lengths, fresh, strict=True):
                part = row[length - 1 - new : length - 1]
                nats -= float(part.sum(dtype=torch.float64))
                scored += new
    if not math.isfinite(nats):
        raise non_finite("a log-probability of the perplexity text is not finite")
    return TextScore(nats / math.log(2.0) / n_bytes, scored, n_bytes)


def coherence(bits: float, parent_bits: Iterable[float]) -> float:
    """How near a model comes to the best of its parents.

    Args:
        bits: The model's bits per byte.
        parent_bits: Its parents', on the same text, which should be text that they model well.

    Returns:
        ``exp(best parent's - model's)``, clipped to 0..1.

    Raises:
        UsageError: There is no parent.
    """
    parents = list(parent_bits)
    if not parents:
        raise UsageError("coherence needs the bits per byte of at least one parent")
    return min(1.0, math.exp(min(parents) - bits))


def default_text(max_bytes: int = DEFAULT_TEXT_BYTES) -> str:
    """Text that the zoo's models know: prompts and answers of the tiny tasks, in turn.

    Args:
        max_bytes: Roughly how much.

    Returns:
        One item a line, the domains alternating, always the same.

    Raises:
        UsageError: The tiny tasks are not there.
    """
    folders = [folder.joinpath(*_DATA) for folder in assets.folders("evaluators")]
    files = next((found for f in folders if (found := sorted(f.glob("*.jsonl")))), None)
    if files is None:
        raise UsageError("no text to score", hint="name one: --perplexity FILE")
    columns = [file.read_text(encoding="utf-8").splitlines() for file in files]
    lines: list[str] = []
    size = 0
    for items in zip(*columns, strict=False):
        for item in map(json.loads, items):
            lines.append(f"{item['prompt']}{item['answer']}\n")
            size += len(lines[-1].encode("utf-8"))
        if size >= max_bytes:
            break
    return "".join(lines)


def read_text(path: Path) -> str:
    """A text file.

    Raises:
        UsageError: It is not there, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"no text file {str(path)!r}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: expected UTF-8 text: {error.reason}") from None


def _windows(n_ids: int, window: int) -> Iterator[tuple[int, int, int]]:
    """Start, end and number of newly predicted tokens of each window over ``n_ids`` tokens."""
    step = max(1, window // 2)
    done = 1  # the first token is only ever context
    start = 0
    while done < n_ids:
        end = min(start + window, n_ids)
        yield start, end, end - done
        done = end
        start += step


def _batches(
    windows: list[tuple[int, int, int]], ids: list[int], batch_size: int
) -> Iterator[tuple[Any, list[int], list[int]]]:
    import torch

    for at in range(0, len(windows), batch_size):
        part = windows[at : at + batch_size]
        lengths = [end - start for start, end, _ in part]
        rows = torch.zeros((len(part), max(lengths)), dtype=torch.long)
        for row, (start, end, _) in zip(rows, part, strict=True):
            row[: end - start] = torch.tensor(ids[start:end])
        # Padding is on the right of causal models and never looked at.
        yield rows, lengths, [new for _, _, new in part]


def _logprobs(model: Any, rows: Any) -> Any:
    """``(n_rows, n_ids - 1)`` log-probabilities of each row's tokens after its first."""
    import torch

    rows = rows.to(model.device)
    logits = model(input_ids=rows).logits[:, :-1].float()
    picked = logits.gather(-1, rows[:, 1:, None]).squeeze(-1)
    return picked - torch.logsumexp(logits, dim=-1)
