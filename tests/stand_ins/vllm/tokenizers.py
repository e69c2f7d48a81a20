"""See the package."""

from __future__ import annotations

from typing import Any


def get_tokenizer(name: str, *, tokenizer_mode: str, revision: None, **kwargs: Any) -> Any:
    """The tokenizer of a model folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(name, **kwargs)
