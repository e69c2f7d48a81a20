"""See the package."""

from __future__ import annotations

from typing import Any


def resolve_chat_template(tokenizer: Any, *, chat_template: None, tools: None, **_: Any) -> Any:
    """The tokenizer's own template."""
    return tokenizer.chat_template
