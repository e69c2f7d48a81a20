"""Families about the best of many choices."""

from __future__ import annotations

import random

from questions import Question, code, each, family


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


@family(difficulty=4)
def text_distance(rng: random.Random) -> Question:
    words = rng.random() < 0.3
    costs = rng.choice(((1, 1, 1), (1, 1, 99), (2, 1, 1), (1, 2, 1), (2, 2, 3), (1, 3, 2)))
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
             ["xyz", "abc"], ["algorithm", "logarithms"], ["abcdefg", "tuvwxyz"]]  # fmt: skip
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
            ["a b c d e", "v w x y z"],
            ["p q r s t u", "q p s r u t"],
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
            task="Each item in `items` is a pair `[weight, worth]`. Return the largest total "
            "worth of items whose total weight is at most `limit`.",
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
    sums = [
        [[2, 5, 3], 11],
        [[4, 6, 9], 15],
        [[1, 3, 4], 6],
        [[], 5],
        [[], 0],
        [[7], 7],
        [[7], 14],
        [[2, 4], 9],
        [[5, 10], 15],
        [[3, 8, 10, 1], 12],
        [[6, 2, 9], 8],
    ]
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
        calls=sums,
    )  # fmt: skip
