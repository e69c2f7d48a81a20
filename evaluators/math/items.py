"""Data of the math tasks; the task files name these functions with ``!function``."""

from pathlib import Path

from evomerge_compiler.scoring.items import answer, loader, prompt

__all__ = ["answer", "load", "prompt"]

load = loader(Path(__file__).parent / "data")
