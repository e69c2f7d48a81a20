"""Families about small algorithms: searching, intervals, grids, graphs, tables."""

from __future__ import annotations

import random

from questions import Question, code, each, family, numbers


@family(difficulty=3)
def search_sorted(rng: random.Random) -> Question:
    down = rng.random() < 0.4
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
        ("the sum of the lengths of the merged intervals", "covered_length", "int",
         "sum(end - start for start, end in merged)"),
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
        ("the position `[row, column]` of the largest number, counted from 0 (the first in reading "
         "order if it occurs more than once), or an empty list for an empty matrix",
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
def shortest_path(rng: random.Random) -> Question:
    steps, moves = rng.choice((
        ("one cell up, down, left or right", "(-1, 0), (1, 0), (0, -1), (0, 1)"),
        ("one cell in any of the eight directions",
         "(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)"),
        ("one cell right or down", "(1, 0), (0, 1)"),
    ))  # fmt: skip
    cells = rng.random() < 0.4
    goal = rng.choice(("corner", "mark", "row"))
    task = {
        "corner": "from the top left to the bottom right cell",
        "mark": "from the top left cell to the cell with 'G'",
        "row": "from the top left cell to any cell of the last row",
    }[goal]
    test = {
        "corner": "(r, c) == (len(grid) - 1, len(grid[0]) - 1)",
        "mark": 'grid[r][c] == "G"',
        "row": "r == len(grid) - 1",
    }[goal]
    grids = [
        ["...#", ".#..", ".#.#", "...."],
        ["..#.", "#..#", "##..", "...."],
        ["...", ".#.", "..."],
        ["."],
        ["#"],
        ["#..", "..."],
        [".#", "#."],
        [".....", "####.", ".....", ".####", "....."],
        [".#.", ".#.", ".#."],
        ["...."],
        [".", ".", "."],
        ["..", "##", ".."],
    ]
    if goal == "mark":
        spots = [(3, 3), (0, 3), (1, 2), (0, 0), (0, 0), (1, 2), (1, 1), (4, 4), (0, 2), (0, 2),
                 (1, 0), (2, 1)]  # fmt: skip
        for grid, (r, c) in zip(grids, spots, strict=True):
            grid[r] = grid[r][:c] + "G" + grid[r][c + 1 :]
        grids.append(["..", ".."])
    return Question(
        name="count_cells" if cells else "count_moves",
        arguments="grid: list[str]",
        returns="int",
        task=f"`grid` is a list of strings of equal length, in which '.' is free and '#' is a "
        f"wall. Return the smallest number of "
        f"{'cells on a way (with first and last)' if cells else 'moves'} {task}.",
        rules=[f"A move goes {steps}, and never onto a wall.",
               "If there is no way, or the top left cell is a wall, return -1."],
        body=code(
            """
            from collections import deque
            queue = deque([(0, 0, $start)])
            seen = {(0, 0)}
            if grid[0][0] == "#":
                return -1
            while queue:
                r, c, steps = queue.popleft()
                if $test:
                    return steps
                for dr, dc in [$moves]:
                    y, x = r + dr, c + dc
                    inside = 0 <= y < len(grid) and 0 <= x < len(grid[0])
                    if inside and grid[y][x] != "#" and (y, x) not in seen:
                        seen.add((y, x))
                        queue.append((y, x, steps + 1))
            return -1
            """,
            start=1 if cells else 0, test=test, moves=moves,
        ),
        calls=each(*grids),
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
        {}, {"one": []}, {"a": ["b"], "b": ["a"]}, {"a": ["a"], "b": []}, {"c": [], "b": [], "a": []},
        {"m": ["k", "l"], "k": ["j"], "l": ["j"], "j": [], "n": ["m", "j"]},
        {"p": ["q"], "q": ["r"], "r": ["p"], "s": []},
    ]  # fmt: skip
    arguments, given, before = {
        "needs": ("needs: dict[str, list[str]]", "`needs` gives for each task the tasks that must "
                  "be done before it.", "before = {task: set(first) for task, first in needs.items()}"),
        "pairs": ("tasks: list[str], pairs: list[list[str]]", "Each `[a, b]` in `pairs` says that "
                  "task a must be done before task b.",
                  "before = {task: {a for a, b in pairs if b == task} for task in tasks}"),
        "rounds": ("needs: dict[str, list[str]]", "`needs` gives for each task the tasks that must "
                   "be done in an earlier round.",
                   "before = {task: set(first) for task, first in needs.items()}"),
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


@family(difficulty=4)
def text_distance(rng: random.Random) -> Question:
    words = rng.random() < 0.3
    costs = rng.choice(((1, 1, 1), (1, 1, 2), (1, 1, 99), (2, 1, 1), (1, 2, 1), (1, 1, 3)))
    limit = rng.choice((0, 0, 3))
    insert, delete, replace = costs
    unit = "word" if words else "character"
    shown = [f"inserting a {unit} costs {insert}", f"deleting a {unit} costs {delete}"]
    if replace < 99:
        shown.append(f"replacing a {unit} by another costs {replace}")
    rules = [f"The changes: {', '.join(shown[:-1])} and {shown[-1]}."]
    if words:
        rules.append("Words are separated by white space.")
    if limit:
        rules.append(f"If it is more than {limit}, return -1.")
    result = f"row[-1] if row[-1] <= {limit} else -1" if limit else "row[-1]"
    pairs = [["kitten", "sitting"], ["ground", "round"], ["flaw", "lawn"], ["", ""], ["", "abc"],
             ["abc", ""], ["same", "same"], ["ab", "ba"], ["sunday", "saturday"], ["a", "aaa"],
             ["xyz", "abc"]]  # fmt: skip
    if words:
        pairs = [
            ["we eat red apples", "we ate green apples"],
            ["a b c d", "b c d"],
            ["the cat sat", "the fat cat sat down"],
            ["", ""],
            ["", "one two"],
            ["one two", ""],
            ["same", "same"],
            ["x y", "y x"],
            ["to be or not", "not to be"],
            ["a", "a a a"],
        ]
    return Question(
        name="edit_cost",
        arguments="old: str, new: str",
        returns="int",
        task=f"Return the smallest total cost of changing `old` into `new` {unit} by {unit}.",
        rules=rules,
        body=("old, new = old.split(), new.split()\n" if words else "") + code(
            """
            row = [j * $insert for j in range(len(new) + 1)]
            for i, a in enumerate(old):
                above, row = row, [(i + 1) * $delete]
                for j, b in enumerate(new):
                    same = above[j] if a == b else above[j] + $replace
                    row.append(min(same, row[j] + $insert, above[j + 1] + $delete))
            return $result
            """,
            insert=insert, delete=delete, replace=replace, result=result,
        ),
        calls=pairs,
    )  # fmt: skip


@family(difficulty=4)
def choose_best(rng: random.Random) -> Question:
    kind = rng.choice(("knapsack", "coins", "ways", "sum", "count"))
    again = rng.random() < 0.5
    once = "Each may be taken any number of times." if again else "Each may be taken only once."
    size = (
        "for size in range(cost, limit + 1)" if again else "for size in range(limit, cost - 1, -1)"
    )
    if kind == "knapsack":
        least = rng.random() < 0.3
        rows = [[[[3, 4], [4, 5], [2, 3]], 6], [[[5, 10], [4, 40], [6, 30], [3, 50]], 10],
                [[[1, 1], [3, 4], [4, 5], [5, 7]], 7], [[], 5], [[[2, 3]], 1], [[[2, 3]], 0],
                [[[2, 3]], 7], [[[1, 2], [1, 3]], 2], [[[6, 9], [5, 7], [5, 7]], 10],
                [[[4, 1], [3, 1], [2, 0]], 12]]  # fmt: skip
        rule = (
            ["Worth at most 10 counts for each item; what is above is cut off."] if least else []
        )
        return Question(
            name="best_load", arguments="items: list[list[int]], limit: int", returns="int",
            task="Each item in `items` is a pair `[weight, worth]`. Return the largest total worth "
            "of items whose total weight is at most `limit`.",
            rules=[once, *rule, "All weights are positive."],
            body=code(
                """
                best = [0] * (limit + 1)
                for cost, worth in items:
                    $size:
                        best[size] = max(best[size], best[size - cost] + $worth)
                return best[limit]
                """, size=size, worth="min(worth, 10)" if least else "worth"),
            calls=rows,
        )  # fmt: skip
    lists = [[[2, 5, 3], 11], [[4, 6, 9], 15], [[1, 3, 4], 6], [[], 5], [[], 0], [[7], 7],
             [[7], 14], [[2, 4], 9], [[5, 5, 5], 10], [[3, 8, 10, 1], 12], [[6, 2, 9], 8]]  # fmt: skip
    task, name, returns, start, step, result = {
        "coins": ("the smallest number of values from `numbers` whose sum is exactly `limit`, or "
                  "-1 if that is not possible", "fewest", "int",
                  "[0] + [10 ** 9] * limit", "min(best[size], best[size - cost] + 1)",
                  "best[limit] if best[limit] < 10 ** 9 else -1"),
        "ways": ("in how many ways values from `numbers` can be chosen so that their sum is "
                 "exactly `limit`; the order does not matter", "count_ways", "int",
                 "[1] + [0] * limit", "best[size] + best[size - cost]", "best[limit]"),
        "sum": ("the largest sum of values from `numbers` that is not more than `limit`",
                "largest_sum", "int", "[True] + [False] * limit",
                "best[size] or best[size - cost]",
                "max(size for size in range(limit + 1) if best[size])"),
        "count": ("the list of all sums of values from `numbers` that are not more than `limit`, "
                  "from small to large", "all_sums", "list[int]", "[True] + [False] * limit",
                  "best[size] or best[size - cost]",
                  "[size for size in range(limit + 1) if best[size]]"),
    }[kind]  # fmt: skip
    if kind in ("ways", "count") or not again:
        lists = [[list(dict.fromkeys(values)), limit] for values, limit in lists]
    rule = "Taking no value gives the sum 0."
    return Question(
        name=name,
        arguments="numbers: list[int], limit: int",
        returns=returns,
        task=f"Return {task}.",
        rules=[once, rule, "All values are positive and different."],
        body=code(
            """
            best = $start
            for cost in numbers:
                $size:
                    best[size] = $step
            return $result
            """, start=start, size=size, step=step, result=result),
        calls=[[list(dict.fromkeys(values)), limit] for values, limit in lists],
    )  # fmt: skip
