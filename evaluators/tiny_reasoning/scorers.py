"""Data and scoring of the reasoning tasks; the task files name these functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evomerge_compiler.scoring import math
from evomerge_compiler.scoring.items import answer, loader, prompt

__all__ = ["answer", "load", "prompt"]

load = loader(Path(__file__).parent / "data")


def score(row: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Compares the number behind the last ``;``; steps do not count, however right they are.

    Args:
        row: The item.
        results: One generated text.

    Returns:
        `exact_match`: 1.0 where the text has a result and it is the answer.
    """
    _, sign, result = results[0].rpartition(";")
    right = bool(sign) and math.last_number(result) == int(row["answer"])
    return {"exact_match": float(right)}
