"""Tiny models and the folder of the toy tasks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

TASKS = Path(__file__).parent / "fixtures" / "tasks"
CHAT_TEMPLATE = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"


def byte_tokenizer() -> Any:
    """One token a byte, and an end of text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate(alphabet)}
    vocabulary["<|end|>"] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>"
    )


def new_model(seed: int, *, n_layers: int = 2, tied: bool = True) -> Any:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=257, hidden_size=64, intermediate_size=128, num_hidden_layers=n_layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        tie_word_embeddings=tied, eos_token_id=256, bos_token_id=256, pad_token_id=256,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


def toy_lines() -> list[str]:
    """The toy tasks' items with their answers."""

    sys.path.insert(0, str(TASKS))
    try:
        import toys
    finally:
        sys.path.remove(str(TASKS))
    return [f"{word}>{word.upper()}\n" for word in toys.words()]


def train(model: Any, tokenizer: Any, texts: list[str], *, steps: int, seed: int) -> None:
    import torch

    rows = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(steps):
        pick = torch.randint(len(texts), (32,), generator=generator)
        ids, mask = rows["input_ids"][pick], rows["attention_mask"][pick]
        labels = ids.masked_fill(mask == 0, -100)
        model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def save(model: Any, folder: Path, *, chat_template: str | None = None) -> Path:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = chat_template
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
