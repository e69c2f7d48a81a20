"""What the task files of this folder name: their items, prompts and reference answers."""

from __future__ import annotations

from pathlib import Path

from evomerge_compiler.scoring.items import answer, loader, prompt

__all__ = ["answer", "load", "prompt"]

load = loader(Path(__file__).parent / "data")
