"""The families register here, and ``generate.py`` writes what they draw."""

from __future__ import annotations

from pathlib import Path

from evomerge_compiler.scoring.authoring import Authoring

TASKS = Authoring(folder=Path(__file__).parent / "data", seed=20261121)
family = TASKS.family
ITEMS_PER_FAMILY = 12
