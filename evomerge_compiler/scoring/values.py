"""Strict comparison of plain (JSON) values."""

from __future__ import annotations


def same(left: object, right: object) -> bool:
    """Compares two JSON values without Python's equality of 1, 1.0 and True.

    Args:
        left: a JSON value.
        right: a JSON value.

    Returns:
        Whether both have the same types and values throughout; the order of keys is free.
    """
    if type(left) is not type(right):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left == right
