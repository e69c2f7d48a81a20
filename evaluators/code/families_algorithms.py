"""Families about small algorithms: searching, intervals, grids, graphs, tables."""

from __future__ import annotations

import random

from questions import Question, code, each, family, numbers


@family(difficulty=2)
def search_sorted(rng: random.Random) -> Question:
    task, name, form = rng.choice((
        ("the index of the first number in `numbers` that is equal to `target`, or -1 if there is "
         "none", "find_first", "next((i for i, n in enumerate(numbers) if n == target), -1)"),
        ("the index of the last number in `numbers` that is equal to `target`, or -1 if there is "
         "none", "find_last",
         "max((i for i, n in enumerate(numbers) if n == target), default=-1)"),
        ("the index at which `target` has to be inserted to keep the order, in front of equal "
         "numbers", "insert_index", "sum(1 for n in numbers if n $less target)"),
        ("the index at which `target` has to be inserted to keep the order, behind equal numbers",
         "insert_index", "sum(1 for n in numbers if not n $more target)"),
        ("the smallest number in `numbers` that is greater than `target`, or None if there is "
         "none", "next_above", "min((n for n in numbers if n > target), default=None)"),
        ("how many numbers in `numbers` are equal to `target`", "count_equal",
         "numbers.count(target)"),
        ("the number in `numbers` that is nearest to `target`, the smaller one of two equally "
         "near, or None for an empty list", "nearest",
         "min(numbers, key=lambda n: (abs(n - target), n)) if numbers else None"),
        ("the largest number in `numbers` that is less than `target`, or None if there is none",
         "next_below", "max((n for n in numbers if n < target), default=None)"),
        ("the index range `[first, last]` of the numbers equal to `target`, or an empty list if "
         "there is none", "find_range",
         "[numbers.index(target), len(numbers) - 1 - numbers[::-1].index(target)] "
         "if target in numbers else []"),
    ))  # fmt: skip
    # For the others a search from end to end would not see the direction.
    down = name == "insert_index" and rng.random() < 0.5
    lists = [[1, 3, 3, 5, 8, 9], [2, 4, 4, 4, 7], [-5, -1, 0, 6, 6, 10], [], [5], [1, 1, 1]]
    lists = [values[::-1] for values in lists] if down else lists
    targets = [(0, 3), (1, 4), (2, 6), (0, 6), (0, 0), (0, 10), (1, 5), (2, -3), (3, 1), (4, 5),
               (4, 4), (5, 1), (5, 2), (2, 10)]  # fmt: skip
    returns = "list[int]" if name == "find_range" else "int | None" if "None" in task else "int"
    less, more = (">", "<") if down else ("<", ">")
    return Question(
        name=name,
        arguments="numbers: list[int], target: int",
        returns=returns,
        task=f"`numbers` is sorted from {'large to small' if down else 'small to large'}. Return "
        f"{task}.",
        rules=["`numbers` may hold equal numbers."],
        body=code(f"return {form}", less=less, more=more),
        calls=[[lists[i], target] for i, target in targets],
    )


@family(difficulty=4, repair=True)
def merge_intervals(rng: random.Random) -> Question:
    touch = rng.random() < 0.5
    task, name, returns, result = rng.choice((
        ("the merged intervals, ordered by their start", "merge", "list[list[int]]", "merged"),
        ("the merged intervals as strings such as '1-5', ordered by their start", "describe",
         "list[str]", '[f"{start}-{end}" for start, end in merged]'),
        ("the gaps between the merged intervals, each as `[end, start]`, in order", "gaps",
         "list[list[int]]", "[[a[1], b[0]] for a, b in zip(merged, merged[1:])]"),
        ("how many intervals are left after merging", "count_merged", "int", "len(merged)"),
        ("the longest of the merged intervals (the first of them if several are longest), or None "
         "if there is none", "longest_merged", "list[int] | None",
         "max(merged, key=lambda m: m[1] - m[0]) if merged else None"),
    ))  # fmt: skip
    rule = (
        "Intervals that only touch, such as [1, 3] and [3, 5], are merged, too."
        if touch
        else "Intervals that only touch, such as [1, 3] and [3, 5], are not merged."
    )
    sign = "<=" if touch else "<"
    return Question(
        name=name,
        arguments="intervals: list[list[int]]",
        returns=returns,
        task=f"Merge all intervals `[start, end]` in `intervals` that overlap, and return {task}.",
        rules=["The intervals may come in any order, and each start is less than its end.", rule],
        body=code(
            """
            merged = []
            for start, end in sorted(intervals):
                if merged and start $sign merged[-1][1]:
                    merged[-1][1] = max(merged[-1][1], end)
                else:
                    merged.append([start, end])
            return $result
            """,
            sign=sign, result=result,
        ),
        calls=each(
            [[5, 8], [1, 4], [3, 5], [10, 12]], [[2, 9], [3, 4], [9, 11], [20, 21]],
            [[0, 2], [2, 4], [6, 7], [5, 9]], [], [[1, 2]], [[1, 3], [1, 3]],
            [[4, 6], [1, 4], [6, 9]], [[-5, -1], [-3, 2], [7, 8]], [[1, 10], [2, 3], [4, 5]],
            [[8, 9], [6, 7], [4, 5], [2, 3]],
        ),
        bugs=[("max(merged[-1][1], end)", "end"), ("sorted(intervals)", "intervals"),
              (f"start {sign} merged[-1][1]", f"start {sign} merged[0][1]")],
    )  # fmt: skip


@family(difficulty=2)
def matrix_work(rng: random.Random) -> Question:
    task, name, returns, form = rng.choice((
        ("the matrix turned by 90 degrees clockwise", "turn_right", "list[list[int]]",
         "[list(row) for row in zip(*matrix[::-1])]"),
        ("the matrix turned by 90 degrees counter-clockwise", "turn_left", "list[list[int]]",
         "[list(row) for row in zip(*matrix)][::-1]"),
        ("the transposed matrix, in which rows and columns are exchanged", "transpose",
         "list[list[int]]", "[list(row) for row in zip(*matrix)]"),
        ("the sums of the columns, from left to right", "column_sums", "list[int]",
         "[sum(column) for column in zip(*matrix)]"),
        ("the largest number of each column, from left to right", "column_maxima", "list[int]",
         "[max(column) for column in zip(*matrix)]"),
        ("the matrix mirrored left to right", "mirror", "list[list[int]]",
         "[row[::-1] for row in matrix]"),
        ("the matrix with each number replaced by the sum of its row", "row_totals",
         "list[list[int]]", "[[sum(row)] * len(row) for row in matrix]"),
        ("the numbers at the edge of the matrix (first and last row, first and last column) added "
         "up, each once", "edge_sum", "int",
         "sum(n for r, row in enumerate(matrix) for c, n in enumerate(row) "
         "if r in (0, len(matrix) - 1) or c in (0, len(row) - 1))"),
        ("the position `[row, column]` of the largest number, counted from 0 (the first in "
         "reading order if it occurs more than once), or an empty list for an empty matrix",
         "find_largest", "list[int]",
         "max(([r, c] for r, row in enumerate(matrix) for c in range(len(row))), "
         "key=lambda p: (matrix[p[0]][p[1]], -p[0], -p[1]), default=[])"),
        ("the rows of the matrix ordered by their sum from small to large, rows with the same sum "
         "in their order", "order_rows", "list[list[int]]", "sorted(matrix, key=sum)"),
        ("the index of the column with the largest sum (the first if several are largest), or -1 "
         "for an empty matrix", "best_column", "int",
         "max(range(len(matrix[0])), key=lambda c: sum(row[c] for row in matrix)) "
         "if matrix else -1"),
        ("the numbers in reading order, but every second row (the second, the fourth and so on) "
         "from right to left", "snake", "list[int]",
         "[n for r, row in enumerate(matrix) for n in (row[::-1] if r % 2 else row)]"),
    ))  # fmt: skip
    return Question(
        name=name,
        arguments="matrix: list[list[int]]",
        returns=returns,
        task=f"`matrix` is a list of rows of equal length. Return {task}.",
        rules=["The matrix need not be square, and may be empty."],
        body=f"return {form}",
        calls=each(
            [[1, 2, 3], [4, 9, 6]], [[5, 1], [0, 7], [2, 2]], [[3, 8, 1], [7, 5, 9], [2, 6, 4]],
            [], [[4]], [[1, 2, 3, 4]], [[1], [2], [3]], [[-1, -2], [-3, -1]], [[5, 5], [5, 5]],
            [numbers(rng, 4), numbers(rng, 4), numbers(rng, 4), numbers(rng, 4)],
        ),
    )  # fmt: skip


_GRIDS = [
    ["##..#", "#...#", "..#..", "##.#."], ["#.#", ".#.", "#.#"], ["....", ".##.", ".##.", "...#"],
    [], ["."], ["#"], ["###", "###"], ["#....", ".#...", "..#..", "...##"], ["#.#.#"],
    ["##..", "...#", "..##", "#..."],
]  # fmt: skip


@family(difficulty=4)
def grid_regions(rng: random.Random) -> Question:
    eight, dots = rng.random() < 0.5, rng.random() < 0.4
    mark = "." if dots else "#"
    task, name, returns, result = rng.choice((
        ("the number of regions", "count_regions", "int", "len(sizes)"),
        ("the size of the largest region, or 0 if there is none", "largest_region", "int",
         "max(sizes, default=0)"),
        ("the sizes of all regions, from large to small", "region_sizes", "list[int]",
         "sorted(sizes, reverse=True)"),
        ("the number of regions that are made of a single cell", "count_single", "int",
         "sizes.count(1)"),
    ))  # fmt: skip
    sides = "share a side" if not eight else "share a side or a corner"
    steps = "(-1, 0), (1, 0), (0, -1), (0, 1)"
    if eight:
        steps += ", (-1, -1), (-1, 1), (1, -1), (1, 1)"
    return Question(
        name=name,
        arguments="grid: list[str]",
        returns=returns,
        task=f"`grid` is a list of strings of equal length. Cells with {mark!r} that {sides} "
        f"belong to the same region. Return {task}.",
        rules=["The grid may be empty."],
        body=code(
            """
            left = {
                (r, c)
                for r, row in enumerate(grid)
                for c, cell in enumerate(row)
                if cell == $mark
            }
            sizes = []
            while left:
                todo = [left.pop()]
                size = 0
                while todo:
                    r, c = todo.pop()
                    size += 1
                    for dr, dc in [$steps]:
                        if (r + dr, c + dc) in left:
                            left.remove((r + dr, c + dc))
                            todo.append((r + dr, c + dc))
                sizes.append(size)
            return $result
            """,
            mark=repr(mark), steps=steps, result=result,
        ),
        calls=each(*_GRIDS),
    )  # fmt: skip


@family(difficulty=5)
def order_tasks(rng: random.Random) -> Question:
    tie, cycle = rng.choice(("first", "last")), rng.choice(("[]", "None"))
    form = rng.choice(("needs", "pairs", "rounds"))
    words = "an empty list" if cycle == "[]" else "None"
    small = "alphabetically smallest" if tie == "first" else "alphabetically largest"
    needs = [
        {"cake": ["eggs", "flour"], "eggs": [], "flour": [], "party": ["cake"]},
        {"d": ["b"], "b": ["a"], "c": ["a"], "a": []}, {"x": [], "z": ["y"], "y": ["x"], "w": []},
        {}, {"one": []}, {"a": ["b"], "b": ["a"]}, {"a": ["a"], "b": []},
        {"c": [], "b": [], "a": []},
        {"m": ["k", "l"], "k": ["j"], "l": ["j"], "j": [], "n": ["m", "j"]},
        {"p": ["q"], "q": ["r"], "r": ["p"], "s": []},
    ]  # fmt: skip
    from_needs = "before = {task: set(first) for task, first in needs.items()}"
    arguments, given, before = {
        "needs": ("needs: dict[str, list[str]]",
                  "`needs` gives for each task the tasks that must be done before it.",
                  from_needs),
        "pairs": ("tasks: list[str], pairs: list[list[str]]",
                  "Each `[a, b]` in `pairs` says that task a must be done before task b.",
                  "before = {task: {a for a, b in pairs if b == task} for task in tasks}"),
        "rounds": ("needs: dict[str, list[str]]",
                   "`needs` gives for each task the tasks that must be done in an earlier round.",
                   from_needs),
    }[form]  # fmt: skip
    pick = "min" if tie == "first" else "max"
    down = "" if tie == "first" else ", reverse=True"
    if form == "rounds":
        task = (
            "Return the rounds as a list of lists: each round has all tasks that can be done "
            f"in it, in {'' if tie == 'first' else 'reverse '}alphabetical order."
        )
        step = f"done.append(sorted(ready{down}))\nready = set(ready)"
        rules = [f"If not all tasks can be done, return {words}."]
    else:
        task = "Return all tasks in an order in which they can be done."
        step = f"ready = {{{pick}(ready)}}\ndone += ready"
        rules = [
            f"Whenever several tasks can be done next, take the {small} of them.",
            f"If not all tasks can be done, return {words}.",
        ]
    result = "list[list[str]]" if form == "rounds" else "list[str]"
    return Question(
        name="plan_rounds" if form == "rounds" else "plan_tasks",
        arguments=arguments,
        returns=result if cycle == "[]" else f"{result} | None",
        task=f"{given} {task}",
        rules=rules,
        body=code(
            """
            $before
            done = []
            while before:
                ready = [task for task, first in before.items() if not first]
                if not ready:
                    return $cycle
                $step
                before = {t: first - ready for t, first in before.items() if t not in ready}
            return done
            """,
            before=before, cycle=cycle, step=step.replace("\n", "\n    "),
        ),
        calls=[[list(n), [[a, b] for b, first in n.items() for a in first]] if form == "pairs"
               else [n] for n in needs],
    )  # fmt: skip
