"""The items beside this file; the task files name these functions with ``!function``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evomerge_compiler.scoring.items import answer, loader, prompt

__all__ = ["answer", "load", "prompt"]

load: Callable[..., dict[str, Any]] = loader(Path(__file__).parent / "data")
