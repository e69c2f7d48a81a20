"""Which of equal keys torch's unstable sort puts first, without sorting.

On the CPU torch sorts float32 values with the C++ library's introsort (Musser 1997, Software:
Practice and Experience 27(8)): it parts a range about the median of its second, middle and last
key as Hoare does (1962, Computer Journal 5(1)), and goes on with both parts. To know what stands
in front of one place, only the part that holds this place has to be parted further: about two
passes over the keys instead of some twenty. What is left of it in the end torch sorts itself, for
introsort does to a part what it does to the whole. Only of the equal keys is it noted where they
have come from.

Whether the torch that is installed sorts like that is tried once (:func:`is_known`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Keys = NDArray[np.signedinteger[Any]]
Indices = NDArray[np.int32]
Places = NDArray[np.intp]

_SORTED = 2048  # ranges up to here are sorted
_BLOCK = 1 << 16


@dataclass(frozen=True)
class _Tied:
    """The keys of one value.

    Attributes:
        at: Where they stand (n_tied,), rising.
        index: Where they stood at first (n_tied,).
    """

    at: Indices
    index: Indices

    def divide(self, place: int) -> tuple[_Tied, _Tied]:
        """Those before a place, and the others."""
        n = int(self.at.searchsorted(place))
        return _Tied(self.at[:n], self.index[:n]), _Tied(self.at[n:], self.index[n:])


class _Moves:
    """Follows the keys of one value while keys are swapped, none of them twice.

    Args:
        tied: These keys.
        value: Their value.
    """

    def __init__(self, tied: _Tied, value: int) -> None:
        self._tied = tied
        self._value = value
        self._at = tied.at.copy()
        self._moved = False

    def note(self, keys: Keys, source: Places, target: Places) -> None:
        """Keys (n,) went from some places to others."""
        (tied,) = (keys == self._value).nonzero()
        if len(tied):
            self._at[self._tied.at.searchsorted(source[tied])] = target[tied]
            self._moved = True

    def result(self) -> _Tied:
        """Where the keys stand now."""
        if not self._moved:
            return self._tied
        # Both in one number: numpy sorts those faster than it finds their order.
        pairs = (self._at.astype(np.int64) << 32) | self._tied.index
        pairs.sort()
        return _Tied((pairs >> 32).astype(np.int32), pairs.astype(np.int32))


def front(keys: Keys, n_front: int, value: int) -> Indices | None:
    """Indices of the keys with some value that a descending sort puts before a place.

    Args:
        keys: Integers (n,), overwritten.
        n_front: The place: how many keys stand before it.
        value: Which keys are asked for.

    Returns:
        Their indices (n_found,), or None where the sort would have changed its method.
    """
    import torch

    places = where(keys, value)
    tied = _Tied(places, places)
    found = []
    first, last, cut = 0, len(keys), 0
    depth = 2 * (len(keys).bit_length() - 1)
    while last - first > _SORTED and cut != n_front:
        if depth == 0:
            return None
        depth -= 1
        tied = _move_median_to_first(keys, _Moves(tied, value), first, last)
        moves = _Moves(tied, value)
        cut = _part(keys, moves, first + 1, last, keys[first])
        before, after = moves.result().divide(cut)
        if cut <= n_front:
            found.append(before.index)
            first, tied = cut, after
        else:
            last, tied = cut, before
    if first < n_front:
        # torch sorts integers as it sorts floats.
        sorted_ = first + _sort(torch.from_numpy(keys[first:last]))[: n_front - first]
        wanted = sorted_[keys[sorted_] == value]
        found.append(tied.index[np.searchsorted(tied.at, wanted)])
    return np.concatenate(found) if found else np.empty(0, np.int32)


def where(keys: Keys, value: int) -> Indices:
    """The places (n_found,) of a value among keys."""
    found = [
        (np.flatnonzero(keys[start : start + _BLOCK] == value) + start).astype(np.int32)
        for start in range(0, len(keys), _BLOCK)
    ]
    return np.concatenate(found) if found else np.empty(0, np.int32)


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
            found = front(keys.copy(), n_front, value)
            if found is None or sorted(expected) != sorted(found.tolist()):
                return False
    return True


def _sort(keys: torch.Tensor) -> NDArray[np.int64]:
    """What torch's unstable descending sort makes of keys, as indices (n,)."""
    import torch

    order: NDArray[np.int64] = torch.argsort(keys, descending=True).numpy()
    return order


def _move_median_to_first(keys: Keys, moves: _Moves, first: int, last: int) -> _Tied:
    """Swaps the median of the second, middle and last key with the first."""
    a, b, c = first + 1, first + (last - first) // 2, last - 1
    if keys[a] > keys[b]:
        median = b if keys[b] > keys[c] else c if keys[a] > keys[c] else a
    else:
        median = a if keys[a] > keys[c] else c if keys[b] > keys[c] else b
    _swap(keys, moves, np.array((first,)), np.array((median,)))
    return moves.result()


def _part(keys: Keys, moves: _Moves, first: int, last: int, pivot: int) -> int:
    """Parts a range about a pivot; returns where the second part begins.

    From the left, keys that do not belong there are swapped with those that do not belong to the
    right, from the right; keys equal to the pivot are swapped too. So many swaps at once are
    known as soon as both lists are.
    """
    while last - first > 4 * _BLOCK:
        left = _places(keys[first : first + _BLOCK] <= pivot, first)
        right = _places(keys[last - _BLOCK : last] >= pivot, last - _BLOCK)[::-1]
        n = min(len(left), len(right))
        _swap(keys, moves, left[:n], right[:n])
        first = int(left[n]) if n < len(left) else first + _BLOCK
        last = int(right[n]) + 1 if n < len(right) else last - _BLOCK
    left = _places(keys[first:last] <= pivot, first)
    right = _places(keys[first:last] >= pivot, first)[::-1]
    n = min(len(left), len(right))
    n = int(np.count_nonzero(left[:n] < right[:n]))
    _swap(keys, moves, left[:n], right[:n])
    ends = [last, *left[n : n + 1], *right[:n][-1:]]
    return int(min(ends))


def _places(chosen: NDArray[np.bool_], start: int) -> Places:
    """Where a range that begins at ``start`` holds what was chosen."""
    places: Places = chosen.nonzero()[0]
    places += start
    return places


def _swap(keys: Keys, moves: _Moves, left: Places, right: Places) -> None:
    of_left, of_right = keys[left], keys[right]
    moves.note(of_left, left, right)
    moves.note(of_right, right, left)
    keys[left] = of_right
    keys[right] = of_left
