"""Draws a task's items from families and writes them, one JSON Lines file a task.

A family is a function of a random source that draws one item; it is registered with the task it
belongs to and its difficulty:

    from evomerge_compiler.scoring.authoring import Authoring, Item

    tasks = Authoring(folder=Path(__file__).parent / "data", seed=20261121)

    @tasks.family("functions", difficulty=2, items=10)
    def run_length_encode(rng: random.Random) -> Item: ...

    if __name__ == "__main__":
        tasks.main()

``python generate.py`` writes the files anew, ``--out DIR`` elsewhere. The same seed writes the
same bytes on any machine, and a family's items do not depend on the other families.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TRIES_PER_ITEM = 200


@dataclass(frozen=True)
class Item:
    """One question.

    Attributes:
        prompt: What the model reads, whole.
        answer: A reference answer, as a good model would write it.
        fields: What the scorer needs besides. Lists, mappings and None become JSON text, since
            a column of a data set has one type.
    """

    prompt: str
    answer: str
    fields: Mapping[str, Any] = field(default_factory=dict)


Draw = Callable[[random.Random], Item | None]


@dataclass(frozen=True)
class Family:
    """A way to draw items.

    Attributes:
        task: Name of the task file's data: ``functions`` is written to ``functions.jsonl``.
        name: Name of the function.
        difficulty: 1 (most 1.5B chat models get it) to 5 (few do).
        items: How many are drawn.
        draw: The function; None means that this draw made no good item.
    """

    task: str
    name: str
    difficulty: int
    items: int
    draw: Draw


@dataclass
class Authoring:
    """The families of one folder.

    Attributes:
        folder: Where the files are written.
        seed: Of all draws.
        families: In the order in which they are written.
    """

    folder: Path
    seed: int
    families: list[Family] = field(default_factory=list)

    def family(self, task: str, *, difficulty: int, items: int) -> Callable[[Draw], Draw]:
        """Registers the decorated function.

        Raises:
            ValueError: The name is taken, or difficulty is not 1 to 5.
        """

        def register(draw: Draw) -> Draw:
            name = draw.__name__
            if not 1 <= difficulty <= 5:
                raise ValueError(f"{name}: difficulty is 1 to 5, got {difficulty}")
            if any(known.name == name for known in self.families):
                raise ValueError(f"two families are called {name}")
            self.families.append(Family(task, name, difficulty, items, draw))
            return draw

        return register

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """All items by task, as they are written; prompts of a task are distinct.

        Raises:
            ValueError: A family cannot draw as many distinct items as it should.
        """
        tasks: dict[str, list[dict[str, Any]]] = defaultdict(list)
        prompts: dict[str, set[str]] = defaultdict(set)
        for family in self.families:
            rng = random.Random(f"{self.seed}:{family.task}:{family.name}")
            seen, left = prompts[family.task], family.items
            for _ in range(_TRIES_PER_ITEM * family.items):
                if not left:
                    break
                item = family.draw(rng)
                if item is None or item.prompt in seen:
                    continue
                seen.add(item.prompt)
                tasks[family.task].append(_row(family, item))
                left -= 1
            if left:
                raise ValueError(f"{family.name}: {left} of {family.items} items are missing")
        return dict(tasks)

    def write(self, folder: Path) -> None:
        """Writes ``TASK.jsonl`` for each task."""
        folder.mkdir(parents=True, exist_ok=True)
        for task, rows in self.rows().items():
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
            (folder / f"{task}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def main(self) -> None:
        """The command line of a ``generate.py``."""
        parser = argparse.ArgumentParser(description="Writes the items of this folder's tasks.")
        parser.add_argument("--out", type=Path, default=self.folder)
        self.write(parser.parse_args().out)


def _row(family: Family, item: Item) -> dict[str, Any]:
    digest = hashlib.sha256(item.prompt.encode()).hexdigest()[:12]
    row: dict[str, Any] = {
        "id": f"{family.task}-{digest}",
        "family": family.name,
        "difficulty": family.difficulty,
        "prompt": item.prompt,
        "answer": item.answer,
    }
    for name, value in item.fields.items():
        plain = isinstance(value, (str, bool, int, float))
        row[name] = value if plain else json.dumps(value, ensure_ascii=False)
    return row
