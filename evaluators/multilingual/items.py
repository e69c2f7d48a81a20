"""Reads the items of the multilingual tasks; the task files name these functions."""

from __future__ import annotations

from pathlib import Path

from evomerge_compiler.scoring.items import answer, loader, prompt

__all__ = ["answer", "load", "prompt"]

load = loader(Path(__file__).parent / "data")
