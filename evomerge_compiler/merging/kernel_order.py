"""Which of equal keys torch's unstable sort puts first, without sorting.

On the CPU torch sorts float32 values with the C++ library's introsort (Musser 1997, Software:
Practice and Experience 27(8)): it parts a range about the median of its second, middle and last
key as Hoare does (1962, Computer Journal 5(1)), and goes on with both parts. To know what stands
in front of one place, only the part that holds this place has to be parted further: three passes
over the keys instead of some twenty. What is left of it in the end torch sorts itself, for
introsort does to a part what it does to the whole.

Whether the torch that is installed sorts like that is tried once (:func:`is_known`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Keys = NDArray[np.signedinteger[Any]]
Indices = NDArray[np.int32]

_SORTED = 2048  # ranges up to here are sorted
_BLOCK = 1 << 16


def front(keys: Keys, order: Indices, n_front: int, value: int) -> Indices | None:
    """Indices of the keys with some value that a descending sort puts before a place.

    Args:
        keys: Integers (n,), overwritten.
        order: Memory (n,) for indices, overwritten.
        n_front: The place: how many keys stand before it.
        value: Which keys are asked for.

    Returns:
        Their indices (n_found,), or None where the sort would have changed its method.
    """
    import torch

    for start in range(0, len(keys), _BLOCK):
        order[start : start + _BLOCK] = np.arange(start, min(start + _BLOCK, len(keys)))
    first, last = 0, len(keys)
    depth = 2 * (len(keys).bit_length() - 1)
    while last - first > _SORTED:
        if depth == 0:
            return None
        depth -= 1
        _move_median_to_first(keys, order, first, last)
        cut = _part(keys, order, first + 1, last, keys[first])
        if cut == n_front:
            break
        first, last = (cut, last) if cut < n_front else (first, cut)
    else:
        # torch sorts integers as it sorts floats.
        sorted_ = first + _sort(torch.from_numpy(keys[first:last]))
        keys[first:last], order[first:last] = keys[sorted_], order[sorted_]
    return where(keys[:n_front], value, order)


def where(keys: Keys, value: int, order: Indices | None = None) -> Indices:
    """The places (n_found,) of a value among keys, or what ``order`` holds there."""
    starts = range(0, len(keys), _BLOCK)
    n_found = sum(int(np.count_nonzero(keys[i : i + _BLOCK] == value)) for i in starts)
    found, n = np.empty(n_found, np.int32), 0
    for start in starts:
        places = np.flatnonzero(keys[start : start + _BLOCK] == value) + start
        found[n : n + len(places)] = places if order is None else order[places]
        n += len(places)
    return found


@lru_cache(maxsize=1)
def is_known() -> bool:
    """Whether torch sorts as :func:`front` expects."""
    import torch

    draw = np.random.default_rng(0)
    for n, n_values in ((12, 3), (400, 5), (9000, 60), (9000, 4000)):
        keys = draw.integers(0, n_values, n).astype(np.int32)
        sorted_ = _sort(torch.from_numpy(keys).float())
        for n_front in (1, n // 3, n - 2):
            value = keys[sorted_[n_front - 1]]
            expected = [i for i in sorted_[:n_front] if keys[i] == value]
            found = front(keys.copy(), np.empty(n, np.int32), n_front, value)
            if found is None or sorted(expected) != sorted(found.tolist()):
                return False
    return True


def _sort(keys: torch.Tensor) -> NDArray[np.int64]:
    """What torch's unstable descending sort makes of keys, as indices (n,)."""
    import torch

    order: NDArray[np.int64] = torch.argsort(keys, descending=True).numpy()
    return order


def _move_median_to_first(keys: Keys, order: Indices, first: int, last: int) -> None:
    """Swaps the median of the second, middle and last key with the first."""
    a, b, c = first + 1, first + (last - first) // 2, last - 1
    if keys[a] > keys[b]:
        median = b if keys[b] > keys[c] else c if keys[a] > keys[c] else a
    else:
        median = a if keys[a] > keys[c] else c if keys[b] > keys[c] else b
    for values in (keys, order):
        values[first], values[median] = values[median], values[first]


def _part(keys: Keys, order: Indices, first: int, last: int, pivot: int) -> int:
    """Parts a range about a pivot; returns where the second part begins.

    From the left, keys that do not belong there are swapped with those that do not belong to the
    right, from the right; keys equal to the pivot are swapped too. So many swaps at once are
    known as soon as both lists are.
    """
    while last - first > 4 * _BLOCK:
        left = np.flatnonzero(keys[first : first + _BLOCK] <= pivot) + first
        right = np.flatnonzero(keys[last - _BLOCK : last] >= pivot)[::-1] + (last - _BLOCK)
        n = min(len(left), len(right))
        _swap(keys, order, left[:n], right[:n])
        first = int(left[n]) if n < len(left) else first + _BLOCK
        last = int(right[n]) + 1 if n < len(right) else last - _BLOCK
    left = np.flatnonzero(keys[first:last] <= pivot) + first
    right = np.flatnonzero(keys[first:last] >= pivot)[::-1] + first
    n = min(len(left), len(right))
    n = int(np.count_nonzero(left[:n] < right[:n]))
    _swap(keys, order, left[:n], right[:n])
    ends = [last, *left[n : n + 1], *right[:n][-1:]]
    return int(min(ends))


def _swap(keys: Keys, order: Indices, left: NDArray[np.intp], right: NDArray[np.intp]) -> None:
    for values in (keys, order):
        moved = values[left]
        values[left] = values[right]
        values[right] = moved
