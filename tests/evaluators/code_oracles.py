"""What code items should return, computed in another way than by their reference solutions.

An oracle takes the words of the prompt, the name of the function and the arguments of a call.
It goes another road than the reference: the standard library, brute force, or a definition.
"""

from __future__ import annotations

import bisect
import datetime
import functools
import itertools
import re
import string
from collections.abc import Callable
from typing import Any

import numpy as np


def says(prompt: str, words: str) -> bool:
    """Whether a prompt has these words, however its lines are broken."""
    return words in " ".join(prompt.split())


def number_after(prompt: str, words: str) -> int:
    found = re.search(rf"{words} (\d+)", " ".join(prompt.split()))
    assert found is not None, words
    return int(found[1])


def prime_work(prompt: str, name: str, n: int) -> object:
    primes = [p for p in range(2, 2 * n + 3) if all(p % d for d in range(2, p))]
    upto = [p for p in primes if p <= n]
    below = [p for p in primes if p < n]
    dividing = [p for p in upto if n % p == 0]
    pairs = [[p, n - p] for p in upto if n - p in upto]
    return {
        "primes_below": below,
        "primes_down": upto[::-1],
        "count_primes": len(upto),
        "sum_primes": sum(below),
        "previous_prime": below[-1] if below else None,
        "next_prime": primes[len(upto)],
        "prime_divisors": dividing,
        "twin_primes": [[p, p + 2] for p in upto if p + 2 in upto],
        "prime_sum": pairs[0] if pairs else None,
        "largest_prime_factor": dividing[-1] if dividing else None,
        "count_composites": max(0, n - 1) - len(upto),
        "is_reversible_prime": n in upto
        and all(int(str(n)[::-1]) % d for d in range(2, int(str(n)[::-1]))),
    }[name]


def search_sorted(prompt: str, name: str, numbers: list[int], target: int) -> object:
    down = says(prompt, "from large to small")
    ascending = [-n for n in numbers] if down else numbers
    key = -target if down else target
    low, high = bisect.bisect_left(ascending, key), bisect.bisect_right(ascending, key)
    near = sorted(numbers, key=lambda n: (abs(n - target), n))
    return {
        "find_first": low if high > low else -1,
        "find_last": high - 1 if high > low else -1,
        "insert_index": low if says(prompt, "in front of equal") else high,
        "count_equal": high - low,
        "nearest": near[0] if near else None,
        "next_below": numbers[low - 1] if low else None,
        "next_above": numbers[high] if high < len(numbers) else None,
        "find_range": [low, high - 1] if high > low else [],
    }[name]


def merge_intervals(prompt: str, name: str, intervals: list[list[int]]) -> object:
    # Half steps, so that a point at which intervals only touch is a point of its own.
    joined = says(prompt, "are merged, too")
    covered = {
        p
        for a, b in intervals
        for p in (range(2 * a, 2 * b + 1) if joined else range(2 * a + 1, 2 * b))
    }
    starts = sorted(p for p in covered if p - 1 not in covered)
    ends = sorted(p for p in covered if p + 1 not in covered)
    merged = [
        [(a - (not joined)) // 2, (b + (not joined)) // 2]
        for a, b in zip(starts, ends, strict=True)
    ]
    longest = sorted(merged, key=lambda m: m[0] - m[1])
    return {
        "merge": merged,
        "describe": ["-".join(map(str, m)) for m in merged],
        "gaps": [[a[1], b[0]] for a, b in itertools.pairwise(merged)],
        "count_merged": len(merged),
        "longest_merged": longest[0] if longest else None,
    }[name]


def grid_regions(prompt: str, name: str, grid: list[str]) -> object:
    mark = "#" if says(prompt, "Cells with '#'") else "."
    reach = 2 if says(prompt, "or a corner") else 1
    label = {(r, c): (r, c) for r, row in enumerate(grid) for c, x in enumerate(row) if x == mark}
    for _ in label:  # each cell takes the smallest label around it until nothing changes
        label = {
            (r, c): min(
                other
                for (y, x), other in label.items()
                if max(abs(r - y), abs(c - x)) <= 1 and abs(r - y) + abs(c - x) <= reach
            )
            for r, c in label
        }
    sizes = sorted((list(label.values()).count(x) for x in set(label.values())), reverse=True)
    return {
        "count_regions": len(sizes),
        "largest_region": sizes[0] if sizes else 0,
        "region_sizes": sizes,
        "count_single": sizes.count(1),
    }[name]


def shortest_path(prompt: str, name: str, grid: list[str]) -> int:
    height, width = len(grid), len(grid[0])
    free = {(r, c) for r in range(height) for c in range(width) if grid[r][c] != "#"}

    def linked(a: tuple[int, int], b: tuple[int, int]) -> bool:
        down, right = b[0] - a[0], b[1] - a[1]
        if says(prompt, "right or down"):
            return (down, right) in ((0, 1), (1, 0))
        if says(prompt, "eight directions"):
            return max(abs(down), abs(right)) == 1
        return abs(down) + abs(right) == 1

    distance = {cell: 0 if cell == (0, 0) else 10**6 for cell in free}
    for _ in free:  # Bellman and Ford
        for b in free:
            distance[b] = min([distance[b], *(distance[a] + 1 for a in free if linked(a, b))])
    if says(prompt, "cell with 'G'"):
        goals = [cell for cell in free if grid[cell[0]][cell[1]] == "G"]
    elif says(prompt, "last row"):
        goals = [cell for cell in free if cell[0] == height - 1]
    else:
        goals = [cell for cell in free if cell == (height - 1, width - 1)]
    best = min((distance[goal] for goal in goals), default=10**6)
    return -1 if best >= 10**6 else best + (name == "count_cells")


def order_tasks(prompt: str, name: str, *arguments: Any) -> object:
    if len(arguments) == 2:
        tasks, pairs = arguments
    else:
        tasks = list(arguments[0])
        pairs = [[a, b] for b, first in arguments[0].items() for a in first]
    impossible = None if says(prompt, "can be done, return None") else []
    largest = says(prompt, "alphabetically largest") or says(prompt, "in reverse alphabetical")
    valid = [
        list(order)
        for order in itertools.permutations(tasks)
        if all(order.index(a) < order.index(b) for a, b in pairs)
    ]
    if not valid:
        return impossible
    if name == "plan_tasks":
        return max(valid) if largest else min(valid)

    def round_of(task: str) -> int:
        return 1 + max((round_of(a) for a, b in pairs if b == task), default=-1)

    rounds = [[t for t in tasks if round_of(t) == i] for i in range(len(tasks))]
    return [sorted(r, reverse=largest) for r in rounds if r]


def text_distance(prompt: str, name: str, old: str, new: str) -> int:
    words = says(prompt, "word by word")
    a, b = (tuple(text.split()) if words else tuple(text) for text in (old, new))
    insert = number_after(prompt, "inserting a (?:word|character) costs")
    delete = number_after(prompt, "deleting a (?:word|character) costs")
    replace = insert + delete
    if says(prompt, "replacing"):
        replace = number_after(prompt, "by another costs")

    @functools.cache
    def cost(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return (len(a) - i) * delete + (len(b) - j) * insert
        if a[i] == b[j]:
            return min(cost(i + 1, j + 1), cost(i, j + 1) + insert, cost(i + 1, j) + delete)
        return min(cost(i + 1, j + 1) + replace, cost(i, j + 1) + insert, cost(i + 1, j) + delete)

    limit = number_after(prompt, "more than") if says(prompt, "If it is more than") else 10**9
    return cost(0, 0) if cost(0, 0) <= limit else -1


def choose_best(prompt: str, name: str, values: list[Any], limit: int) -> object:
    again = says(prompt, "any number of times")
    cap = 10 if says(prompt, "at most 10 counts") else 10**9
    pairs = [(v[0], min(v[1], cap)) if name == "best_load" else (v, 0) for v in values]
    counts = [range(limit // cost + 1 if again else 2) for cost, _ in pairs]
    picks = list(itertools.product(*counts))
    sums = [sum(n * cost for n, (cost, _) in zip(pick, pairs, strict=True)) for pick in picks]
    exact = [pick for pick, total in zip(picks, sums, strict=True) if total == limit]
    worth = [
        sum(n * value for n, (_, value) in zip(pick, pairs, strict=True))
        for pick, total in zip(picks, sums, strict=True)
        if total <= limit
    ]
    return {
        "best_load": max(worth),
        "fewest": min(map(sum, exact), default=-1),
        "count_ways": len(exact),
        "largest_sum": max(total for total in sums if total <= limit),
        "all_sums": sorted({total for total in sums if total <= limit}),
    }[name]


_TENS = ("", "X", "XX", "XXX", "XL", "L", "LX", "LXX", "LXXX", "XC")
_ONES = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
_HUNDREDS = ("", "C", "CC", "CCC", "CD", "D", "DC", "DCC", "DCCC", "CM")
ROMAN = [
    "M" * m + c + x + i for m, c, x, i in itertools.product(range(4), _HUNDREDS, _TENS, _ONES)
]


def roman_numerals(prompt: str, name: str, given: Any) -> object:
    if name == "to_roman":
        top = number_after(prompt, "less than 1 or greater than")
        if not 1 <= given <= top:
            return None if says(prompt, "return None") else ""
        text = ROMAN[given]
        if says(prompt, "Do not subtract"):
            for short, long in (("CM", "DCCCC"), ("CD", "CCCC"), ("XC", "LXXXX"), ("XL", "XXXX"),
                                ("IX", "VIIII"), ("IV", "IIII")):  # fmt: skip
                text = text.replace(short, long)
        return text
    if name == "from_roman":
        text = given.upper() if says(prompt, "case are the same") else given
        if text in ROMAN[1:]:
            return ROMAN.index(text)
        found = re.search(r"any other character, return (None|0|-1)", " ".join(prompt.split()))
        assert found is not None
        return None if found[1] == "None" else int(found[1])
    by_value = sorted(given, key=ROMAN.index)
    return {
        "sum_roman": sum(map(ROMAN.index, given)),
        "order_roman": by_value[::-1],
        "smallest_roman": by_value[0] if by_value else None,
    }[name]


def check_date(prompt: str, name: str, text: str) -> bool:
    form = re.search(r"of the form '([^']*)'", prompt)
    assert form is not None
    leap = not says(prompt, "always has 28")
    layout = form[1].replace("YYYY", "%Y").replace("MM", "%m").replace("DD", "%d")
    try:
        day = datetime.datetime.strptime(text, layout)
    except ValueError:
        return False
    if day.strftime(layout).rjust(10, "0") != text:  # it also reads one digit for two
        return False
    low, high = (1900, 2099) if says(prompt, "1900 to 2099") else (1, 9999)
    return low <= day.year <= high and (leap or (day.month, day.day) != (2, 29))


def number_bases(prompt: str, name: str, given: Any) -> object:
    base = int(name.rsplit("_", 1)[1])
    if name.startswith("to"):
        digits = np.base_repr(abs(given), base)
        if says(prompt, "put zeros in front"):
            digits = digits.zfill(number_after(prompt, "fewer than"))
        if given >= 0:
            return digits
        return "-" + digits if says(prompt, "a minus sign followed") else ""
    if not re.fullmatch("-?[0-9a-zA-Z]+", given):
        return None
    if given.startswith("-") and says(prompt, "minus sign is not allowed"):
        return None
    try:
        return int(given, base)
    except ValueError:
        return None


def times_of_day(prompt: str, name: str, first: str, second: Any) -> object:
    day = datetime.datetime(2000, 1, 1)
    start = datetime.datetime.strptime(first, "%H:%M").replace(year=2000)
    if name in ("later", "earlier"):
        unit = 30 if says(prompt, "half hours") else 60 if says(prompt, "hours after") else 1
        if says(prompt, "`count` hours"):
            unit = 60
        change = datetime.timedelta(minutes=second * unit)
        moved = start + change if name == "later" else start - change
        if says(prompt, "am or pm"):
            return moved.strftime("%I:%M ").lstrip("0") + ("am" if moved.hour < 12 else "pm")
        return moved.strftime("%H:%M")
    end = datetime.datetime.strptime(second, "%H:%M").replace(year=2000)
    if end < start:
        if says(prompt, "return None"):
            return None
        if says(prompt, "next day"):
            end += datetime.timedelta(days=1)
        else:
            start, end = end, start
    minutes = (end - start).seconds // 60
    clock = day + datetime.timedelta(minutes=minutes)
    return f"{clock.hour} h {clock.minute} min" if says(prompt, "'1 h 5 min'") else minutes


def shift_letters(prompt: str, name: str, text: str) -> str:
    by = number_after(prompt, "lower-case letter moved")
    by = -by if name == "decode" else by
    small, large, digits = string.ascii_lowercase, string.ascii_uppercase, string.digits

    def turned(letters: str) -> str:
        k = by % len(letters)
        return letters[k:] + letters[:k]

    table = str.maketrans(small, turned(small))
    if says(prompt, "become lower-case first"):
        text = text.lower()
    elif says(prompt, "shifted in the same way"):
        table |= str.maketrans(large, turned(large))
    if says(prompt, "Digits are shifted"):
        table |= str.maketrans(digits, turned(digits))
    return text.translate(table)


def rank_scores(prompt: str, name: str, scores: dict[str, int]) -> object:
    worst_first = sorted(set(scores.values()), reverse=not says(prompt, "The lowest score"))
    ranks: dict[str, int] = {}
    place = 0
    for level, value in enumerate(worst_first, 1):
        names = sorted(who for who, score in scores.items() if score == value)
        for offset, who in enumerate(names):
            if says(prompt, "1, 2, 2, 3"):
                ranks[who] = level
            elif says(prompt, "do not share"):
                ranks[who] = place + 1 + offset
            elif says(prompt, "1, 3, 3, 4"):
                ranks[who] = place + len(names)
            else:
                ranks[who] = place + 1
        place += len(names)
    if name == "ranks":
        return ranks
    return [f"{ranks[who]}. {who}" for who in sorted(ranks, key=lambda who: (ranks[who], who))]


def encode_runs(prompt: str, name: str, text: str) -> str:
    least = number_after(prompt, "Runs of fewer than") if says(prompt, "Runs of fewer") else 0
    if says(prompt, "the character alone"):
        least = 2
    joined = re.search(r"runs are joined with '(.)'", " ".join(prompt.split()))
    parts = []
    for char, run in itertools.groupby(text):
        size = len(list(run))
        pair = f"{char}{size}" if says(prompt, "stands after") else f"{size}{char}"
        parts.append(char * size if size < least else pair)
    return (joined[1] if joined else "").join(parts)


def matrix_work(prompt: str, name: str, rows: list[list[int]]) -> object:
    if not rows:
        return {"edge_sum": 0, "best_column": -1}.get(name, [])
    matrix = np.array(rows)
    inner = matrix[1:-1, 1:-1]
    flat = int(np.argmax(matrix))
    turned = {"turn_right": np.rot90(matrix, -1), "turn_left": np.rot90(matrix),
              "transpose": matrix.T, "mirror": np.fliplr(matrix)}  # fmt: skip
    if name in turned:
        return turned[name].tolist()
    return {
        "column_sums": matrix.sum(axis=0).tolist(),
        "column_maxima": matrix.max(axis=0).tolist(),
        "row_totals": np.repeat(matrix.sum(axis=1)[:, None], matrix.shape[1], 1).tolist(),
        "edge_sum": int(matrix.sum() - inner.sum()),
        "find_largest": list(divmod(flat, matrix.shape[1])),
        "order_rows": matrix[np.argsort(matrix.sum(axis=1), kind="stable")].tolist(),
        "best_column": int(np.argmax(matrix.sum(axis=0))),
        "snake": [n for i, row in enumerate(rows) for n in row[:: -1 if i % 2 else 1]],
    }[name]


def without_sorting(prompt: str, name: str, *lists: list[Any]) -> object:
    down = says(prompt, "large to small") or says(prompt, "largest number in")
    given = sorted(itertools.chain(*lists), key=int, reverse=down)
    if name == "middle":
        place = len(given) // 2 if says(prompt, "the larger of") else (len(given) - 1) // 2
        return sorted(given)[place] if given else None
    if name.startswith(("second", "third")):
        place = 2 if name.startswith("third") else 1
        return given[place] if len(given) > place else None
    if name.startswith(("largest", "smallest")):
        return given[: int(name[-1])]
    return list(dict.fromkeys(given)) if name == "different_in_order" else given


ORACLES: dict[str, Callable[..., object]] = {
    function.__name__: function
    for function in (
        prime_work, search_sorted, merge_intervals, grid_regions, shortest_path, order_tasks,
        text_distance, choose_best, roman_numerals, check_date, number_bases, times_of_day,
        shift_letters, rank_scores, encode_runs, matrix_work, without_sorting,
    )
}  # fmt: skip
