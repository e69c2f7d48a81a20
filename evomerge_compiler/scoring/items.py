"""Items of a task, read from beside its YAML file.

A task folder has a module of its own that says where its data lie, ``items.py``:

    from pathlib import Path
    from evomerge_compiler.scoring.items import answer, loader, prompt
    load = loader(Path(__file__).parent / "data")

and its task files name the functions and the file:

    custom_dataset: !function items.load
    doc_to_text: !function items.prompt
    doc_to_target: !function items.answer
    metadata: {version: 1.0, items: translation}

So the tasks load from any working folder, with no cache of data sets on disk. Prompt and answer
are functions since lm-eval's templates would interpret braces, and take a list for a literal.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def read(path: Path) -> list[Row]:
    """Reads one JSON Lines file.

    Raises:
        ValueError: A line is not JSON; the message has file and line.
    """
    rows = []
    # Not splitlines: it also breaks at separators that a string may hold.
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line:
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(f"{path.name}:{number}: {error}") from error
    return rows


def loader(folder: Path) -> Callable[..., dict[str, Any]]:
    """Makes the function that a task file names under ``custom_dataset``.

    Args:
        folder: Where the ``.jsonl`` files lie.

    Returns:
        ``load(items=NAME, **metadata)``, which reads ``NAME.jsonl`` as the split ``test``.
    """

    def load(*, items: str, **_: object) -> dict[str, Any]:
        import datasets

        return {"test": datasets.Dataset.from_list(read(folder / f"{items}.jsonl"))}

    return load


def prompt(row: Row) -> str:
    """The text that the model reads."""
    return str(row["prompt"])


def answer(row: Row) -> str:
    """The reference answer, which the task's own scorer finds right."""
    return str(row["answer"])
