"""Writes the test items of the tiny tasks: ``python evaluators/tiny/generate.py [--out FOLDER]``.

The same seed writes the same bytes.  Items of a domain are distinct by prompt.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from pathlib import Path

from families import DOMAINS, Item, draw

SEED = 20250611
ITEMS_PER_DOMAIN = 800


def items(domain: str) -> list[Item]:
    """Draws the test items of one domain.

    Args:
        domain: one of DOMAINS.

    Returns:
        ITEMS_PER_DOMAIN items with distinct prompts, in the order they were drawn.
    """
    rng = random.Random(f"{SEED}:{domain}")
    found: dict[str, Item] = {}
    while len(found) < ITEMS_PER_DOMAIN:
        item = draw(domain, rng)
        found.setdefault(item.prompt, item)
    return list(found.values())


def record(domain: str, item: Item) -> dict[str, object]:
    """Turns an item into the row that the task file reads.

    Args:
        domain: the item's domain, which opens its id.
        item: the item.

    Returns:
        The row; `id` depends on the prompt alone, so it is the same in every version.
    """
    digest = hashlib.sha256(item.prompt.encode()).hexdigest()[:12]
    row: dict[str, object] = {
        "id": f"{domain}-{digest}",
        "prompt": item.prompt,
        "answer": item.answer,
    }
    for name, value in item.fields.items():
        # Values differ in type from item to item, and a column of a data set may not.
        row[name] = json.dumps(value) if name in ("calls", "expected", "value") else value
    return row


def main() -> None:
    """Writes one JSON Lines file a domain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    for domain in DOMAINS:
        rows = [json.dumps(record(domain, item), ensure_ascii=False) for item in items(domain)]
        (folder / f"{domain}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
