"""Bits per byte on a text, and coherence: how near a model is to its parents' fluency.

Bits per byte is the length of the text in bits when the model's probabilities are used to code
it, divided by its length in UTF-8 bytes. Unlike perplexity it does not depend on the tokenizer,
so models with different ones compare. A text is a file, or passages that follow contexts, for
models that were taught answers and never prompts. Coherence is
``exp(best parent's bits - model's bits)`` clipped to 0..1: 1 for a model as fluent as its best
parent, near 0 for one that is broken. Low perplexity of a model's *own* text is no sign of
health (loops have the lowest), which is why the text is given.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomerge_compiler import assets
from evomerge_compiler.errors import UsageError
from evomerge_compiler.evaluation.failures import failures_of_work, non_finite
from evomerge_compiler.evaluation.spec import DEFAULT_SALT
from evomerge_compiler.evaluation.split import is_held_out, item_hash

WINDOW_TOKENS = 512
MAX_BATCH_SIZE = 8
DEFAULT_PASSAGES = 256
HOLDOUT = 0.5
_DATA = ("tiny", "data")
_MAX_LOGITS = 1 << 27


@dataclass(frozen=True)
class Passage:
    """Text to score, and what is read before it without being scored."""

    text: str
    context: str = ""


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
    text: str | Sequence[Passage],
    *,
    window_tokens: int = WINDOW_TOKENS,
    batch_size: int | None = None,
) -> TextScore:
    """Scores a text.

    Long passages are read in windows that overlap by half; each token is scored once, with at
    least half a window of context, apart from a passage's beginning. The first token of a
    passage without context follows the beginning-of-text (else end-of-text) token; where the
    tokenizer has neither, it costs ``log2(vocabulary)`` bits, as under a uniform guess.

    Args:
        model: A causal transformers model.
        tokenizer: Its tokenizer.
        text: What to score; a string is one passage.
        window_tokens: Length of a window, cut to the model's own context length.
        batch_size: Windows a forward pass; None takes what half a gigabyte of logits allows.

    Returns:
        Bits a byte.

    Raises:
        UsageError: The text is empty.
        WorkFailed: A log-probability is not finite, or memory ran out.
    """
    import torch

    passages = [Passage(text)] if isinstance(text, str) else list(text)
    n_bytes = sum(len(passage.text.encode("utf-8")) for passage in passages)
    if not n_bytes:
        raise UsageError("the text for perplexity is empty")
    longest = getattr(model.config, "max_position_embeddings", None) or window_tokens
    window = max(2, min(window_tokens, longest))
    if batch_size is None:
        fitting = _MAX_LOGITS // (window * model.config.vocab_size)
        batch_size = max(1, min(MAX_BATCH_SIZE, fitting))
    nats, n_tokens, windows = 0.0, 0, []
    for passage in passages:
        ids, first = _encode(tokenizer, passage)
        n_tokens += len(ids) - first
        if first == 0 and ids:
            nats += math.log(model.config.vocab_size)
        windows += [(ids[start:end], new) for start, end, new in _windows(ids, first, window)]
    # Windows of like length share a batch, with little padding.
    windows.sort(key=lambda entry: len(entry[0]))
    with torch.no_grad(), failures_of_work("perplexity"):
        for at in range(0, len(windows), batch_size):
            nats -= _logprob(model, windows[at : at + batch_size])
    if not math.isfinite(nats):
        raise non_finite("a log-probability of the perplexity text is not finite")
    return TextScore(nats / math.log(2.0) / n_bytes, n_tokens, n_bytes)


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


def default_text(n_passages: int = DEFAULT_PASSAGES) -> list[Passage]:
    """Answers that the zoo's models know, behind their prompts: items of the tiny tasks.

    Held-out items (of the usual division) are left out, so that a search may use the result.

    Args:
        n_passages: How many at most.

    Returns:
        The domains in turn, always the same.

    Raises:
        UsageError: The tiny tasks are not there.
    """
    folders = [folder.joinpath(*_DATA) for folder in assets.folders("evaluators")]
    files = next((found for f in folders if (found := sorted(f.glob("*.jsonl")))), None)
    if files is None:
        raise UsageError("no text to score", hint="name one: --perplexity FILE")
    columns = []
    for file in files:
        items = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        columns.append([i for i in items if not is_held_out(item_hash(i), HOLDOUT, DEFAULT_SALT)])
    in_turn = [item for items in zip(*columns, strict=False) for item in items]
    return [
        Passage(text=f"{item['answer']}\n", context=item["prompt"])
        for item in in_turn[:n_passages]
    ]


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


def _encode(tokenizer: Any, passage: Passage) -> tuple[list[int], int]:
    """Token ids, and the index of the first one to score; 0 where nothing comes before it."""
    ids = list(tokenizer.encode(passage.text, add_special_tokens=False, verbose=False))
    before = list(tokenizer.encode(passage.context, add_special_tokens=False, verbose=False))
    prefix = tokenizer.bos_token_id
    if prefix is None and not before:
        prefix = tokenizer.eos_token_id
    if prefix is not None:
        before.insert(0, prefix)
    return before + ids, len(before)


def _windows(ids: Sequence[int], first: int, window: int) -> Iterator[tuple[int, int, int]]:
    """Start, end and number of newly predicted tokens of each window."""
    done = max(first, 1)  # a token that nothing comes before is only ever context
    while done < len(ids):
        start = max(0, done - window // 2)
        end = min(start + window, len(ids))
        yield start, end, end - done
        done = end


def _logprob(model: Any, windows: Sequence[tuple[Sequence[int], int]]) -> float:
    """Sum of the log-probabilities of the last ``new`` tokens of each window, in nats."""
    import torch

    longest = max(len(ids) for ids, _ in windows)
    rows = torch.zeros((len(windows), longest), dtype=torch.long)
    for row, (ids, _) in zip(rows, windows, strict=True):
        # Padding is on the right, where a causal model does not look.
        row[: len(ids)] = torch.tensor(ids)
    rows = rows.to(model.device)
    logits = model(input_ids=rows).logits[:, :-1].float()
    picked = logits.gather(-1, rows[:, 1:, None]).squeeze(-1) - torch.logsumexp(logits, dim=-1)
    parts = [
        row[len(ids) - 1 - new : len(ids) - 1].sum(dtype=torch.float64)
        for row, (ids, new) in zip(picked, windows, strict=True)
    ]
    return float(torch.stack(parts).sum())
