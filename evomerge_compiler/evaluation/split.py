"""Search items and held-out items, told apart by their content.

Fitness sees search items only; held-out items are scored once, at the end. A limit asks only some
of the search items; ``full_search`` is all of them, whatever the limit. The side an item
falls on depends on nothing but its own content, the share held out, and a salt: not on its place
in the file, on the other items, on the candidate, or on the run's seed. Adding items to a data
set therefore never moves an old item to the other side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Literal

Split = Literal["search", "full_search", "held_out", "all"]
SPLITS: tuple[Split, ...] = ("search", "full_search", "held_out", "all")

_SCALE = float(1 << 64)


def item_hash(document: object) -> str:
    """Content hash of one item.

    Args:
        document: The item as the task's data has it. Values that JSON does not know (images,
            dates) count by their ``str``.

    Returns:
        64 hex digits.
    """
    text = json.dumps(
        document, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def item_set_hash(item_hashes: Sequence[str]) -> str:
    """Hash of a set of items; equal sets may be compared item by item."""
    return hashlib.sha256("\n".join(sorted(item_hashes)).encode()).hexdigest()


def _position(hashed: str, salt: str) -> float:
    """A number in ``[0, 1)`` that is uniform over items."""
    digest = hashlib.sha256(f"{salt}\n{hashed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / _SCALE


def is_held_out(item_hash: str, holdout: float, salt: str) -> bool:
    """Whether an item is kept from fitness.

    Args:
        item_hash: Its content hash.
        holdout: Share of the items to hold out, in ``[0, 1)``.
        salt: Another salt gives another, independent division.
    """
    return _position(item_hash, salt) < holdout


def select(
    item_hashes: Sequence[str], split: Split, *, holdout: float, salt: str, limit: int | None
) -> list[int]:
    """The items of a split, in the order of their hashes.

    A limit takes an arbitrary but fixed subset: the items whose salted hashes come first. A
    larger limit keeps the items of a smaller one. The held-out split is never cut short, since
    it is what the final claim rests on; nor is ``full_search``.

    Args:
        item_hashes: ``(n_items,)`` content hashes.
        split: Which side, or all items.
        holdout: Share of the items to hold out.
        salt: Salt of the division.
        limit: Search items at most, None for all.

    Returns:
        Indices into ``item_hashes``, sorted by hash, then by index.
    """
    chosen = [
        index
        for index, hashed in enumerate(item_hashes)
        if split == "all" or is_held_out(hashed, holdout, salt) == (split == "held_out")
    ]
    if limit is not None and split in ("search", "all"):
        # A salt of its own: the order must not follow from the side of the division.
        chosen.sort(key=lambda index: (_position(item_hashes[index], f"{salt}/limit"), index))
        chosen = chosen[:limit]
    return sorted(chosen, key=lambda index: (item_hashes[index], index))
