"""Writes the items of the reasoning tasks: ``python evaluators/tiny_reasoning/generate.py``.

The same seed writes the same bytes.  Items of a task are distinct by prompt.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from pathlib import Path

from problems import FAMILIES, Problem

SEED = 20261121
ITEMS_PER_TASK = 400


def items(task: str) -> list[Problem]:
    """Draws the test items of one task.

    Args:
        task: One of FAMILIES.

    Returns:
        ITEMS_PER_TASK problems with distinct prompts, in the order they were drawn.
    """
    rng = random.Random(f"{SEED}:{task}")
    found: dict[str, Problem] = {}
    while len(found) < ITEMS_PER_TASK:
        problem = FAMILIES[task](rng)
        found.setdefault(problem.prompt, problem)
    return list(found.values())


def record(task: str, problem: Problem) -> dict[str, str]:
    """The row that the task file reads; `id` depends on the prompt alone."""
    digest = hashlib.sha256(problem.prompt.encode()).hexdigest()[:12]
    return {"id": f"{task}-{digest}", "prompt": problem.prompt, "answer": problem.result}


def main() -> None:
    """Writes one JSON Lines file a task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    for task in FAMILIES:
        rows = [json.dumps(record(task, problem)) for problem in items(task)]
        (folder / f"{task}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
