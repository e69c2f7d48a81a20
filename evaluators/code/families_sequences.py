"""Families about the order of a list's numbers."""

from __future__ import annotations

import random

from questions import Question, code, each, family, numbers


@family(difficulty=2)
def running_totals(rng: random.Random) -> Question:
    mode, limit = rng.choice((
        ("sum", 0), ("max", 0), ("min", 0), ("floor", 0), ("cap", 10), ("cap", 15), ("reset", 10),
        ("reset", 12), ("zero", 0), ("alternate", 0), ("count", 5), ("count", 3),
    ))  # fmt: skip
    what, rule, step = {
        "sum": ("the sum", "", "total += n"),
        "max": ("the largest", "", "total = n if not result else max(total, n)"),
        "min": ("the smallest", "", "total = n if not result else min(total, n)"),
        "floor": ("the sum", "The running sum never falls below 0: where it would, it becomes 0 "
                  "and goes on from there.", "total = max(0, total + n)"),
        "cap": ("the sum", f"The running sum never rises above {limit}: where it would, it "
                f"becomes {limit} and goes on from there.", f"total = min({limit}, total + n)"),
        "reset": ("the sum", f"When the running sum is greater than {limit}, it is put into the "
                  "result and then starts again from 0.",
                  f"total = n if total > {limit} else total + n"),
        "zero": ("the sum", "At each 0 in the list the running sum starts again from 0.",
                 "total = 0 if n == 0 else total + n"),
        "alternate": ("the alternating sum", "The first number is added, the second subtracted, "
                      "the third added, and so on.",
                      "total += n if len(result) % 2 == 0 else -n"),
        "count": ("the count", f"Count only the numbers that are greater than {limit}.",
                  f"total += 1 if n > {limit} else 0"),
    }[mode]  # fmt: skip
    return Question(
        name=f"running_{mode if mode in ('max', 'min', 'count') else 'sums'}",
        arguments="numbers: list[int]",
        returns="list[int]",
        task=f"Return a list that holds, for each position of `numbers`, {what} of all numbers up "
        "to and including that position.",
        rules=[rule] if rule else [],
        body=code("""
            result = []
            total = 0
            for n in numbers:
                $step
                result.append(total)
            return result
            """, step=step),
        calls=each(
            [4, 7, -3, 8, 0, 6, 1], [5, 5, -12, 9, 0, 3], [6, 7, 2, 0, -9, 11, 4], [], [0], [9],
            [-5], [-1, -2, -3], [10, 10, 10], [3, 0, 3, 0, 3], numbers(rng, 9, -9, 12),
        ),
    )  # fmt: skip


@family(difficulty=3, repair=True)
def longest_streak(rng: random.Random) -> Question:
    what, test = rng.choice((
        ("that strictly increase", "numbers[i] > numbers[i - 1]"),
        ("that strictly decrease", "numbers[i] < numbers[i - 1]"),
        ("that are all equal", "numbers[i] == numbers[i - 1]"),
        ("that never fall (each is at least as large as the one before)",
         "numbers[i] >= numbers[i - 1]"),
        ("that alternate between even and odd", "numbers[i] % 2 != numbers[i - 1] % 2"),
        ("of which each is exactly 1 larger than the one before",
         "numbers[i] == numbers[i - 1] + 1"),
    ))  # fmt: skip
    form = rng.choice(("length", "list", "start"))
    last = rng.random() < 0.5
    tie = "last" if last else "first"
    rules = []
    if form != "length":
        rules.append(f"If several stretches are longest, take the {tie} one.")
    nothing = {"length": "0", "list": "[]", "start": "-1"}[form]
    rules.append(f"For an empty list, return {nothing if form != 'list' else 'an empty list'}.")
    stretch = f"the longest stretch of neighbouring numbers {what}"
    task = {
        "length": f"In `numbers`, find {stretch}, and return its length.",
        "list": f"In `numbers`, find {stretch}, and return it as a list.",
        "start": f"In `numbers`, find {stretch}, and return the index at which it begins.",
    }[form]
    better = ">=" if last and form != "length" else ">"
    return Question(
        name={"length": "longest_stretch_length", "list": "longest_stretch",
              "start": "longest_stretch_start"}[form],
        arguments="numbers: list[int]",
        returns="list[int]" if form == "list" else "int",
        task=task,
        rules=rules,
        body=code(
            """
            if not numbers:
                return $nothing
            best_start, best_length = 0, 1
            start = 0
            for i in range(1, len(numbers)):
                if not ($test):
                    start = i
                if i - start + 1 $better best_length:
                    best_start, best_length = start, i - start + 1
            return $result
            """,
            nothing=nothing, test=test, better=better,
            result={"length": "best_length", "start": "best_start",
                    "list": "numbers[best_start:best_start + best_length]"}[form],
        ),
        calls=each(
            [3, 4, 5, 2, 2, 1, 6, 7, 8], [9, 7, 7, 7, 4, 5, 6, 3, 2], [1, 2, 2, 3, 5, 5, 5, 4, 1],
            [], [7], [1, 1], [5, 4], [4, 5, 5, 4, 4, 5], [8, 6, 4, 6, 8], [2, 3, 2, 3, 4, 5, 0, 1],
            numbers(rng, 10, 0, 6),
        ),
        bugs=[("start = i\n", "start = i + 1\n"), ("not (", "("),
              ("range(1, len(numbers))", "range(1, len(numbers) - 1)")],
    )  # fmt: skip


@family(difficulty=2)
def sliding_window(rng: random.Random) -> Question:
    size = rng.randint(2, 4)
    what, form = rng.choice((
        ("sum", "sum(window)"),
        ("largest number", "max(window)"),
        ("smallest number", "min(window)"),
        ("difference of the largest and the smallest number", "max(window) - min(window)"),
    ))  # fmt: skip
    ends = rng.random() < 0.5
    after = "the number after it" if size == 2 else f"up to {size - 1} numbers after it"
    rule = (
        "At the end the windows become shorter, so that the result is as long as `numbers`: the "
        f"window of a number is the number itself and {after}."
        if ends
        else f"If `numbers` has fewer than {size} numbers, return an empty list."
    )
    return Question(
        name="slide",
        arguments="numbers: list[int]",
        returns="list[int]",
        task=f"Return a list with the {what} of each window of {size} neighbouring numbers in "
        "`numbers`, from left to right.",
        rules=[rule],
        body=code(
            """
            result = []
            for start in range($stop):
                window = numbers[start:start + $size]
                result.append($form)
            return result
            """,
            size=size, form=form, stop="len(numbers)" if ends else f"len(numbers) - {size - 1}",
        ),
        calls=each(
            [4, 1, 7, 3, 9], [2, 8, 8, 5, 1, 6], [10, -2, 5, 0, 3], [], [6], [1, 2], [3, 1, 2],
            [5, 5, 5, 5], [-3, -1, -4, -1, -5], numbers(rng, 8),
        ),
    )  # fmt: skip


@family(difficulty=2, repair=True)
def step_sequence(rng: random.Random) -> Question:
    a, b, half, limit = rng.choice((
        (3, 1, 2, 20), (3, 1, 2, 12), (1, 3, 2, 7), (5, 1, 2, 10), (1, 1, 2, 8), (2, 1, 3, 6),
    ))  # fmt: skip
    form = rng.choice(("steps", "list", "largest"))
    head = {
        "steps": "the number of steps until the value is 1",
        "list": "the list of all values from `n` to 1, both included",
        "largest": "the largest value that occurs from `n` to 1, both included",
    }[form]
    over = {"steps": "-1", "list": "[]", "largest": "-1"}[form]
    odd = f"{a} * n + {b}" if a > 1 else f"n + {b}"
    if half == 2:
        step = f"an even value n is followed by n divided by 2, and an odd one by {odd}"
    else:
        step = f"a value n divisible by 3 is followed by n divided by 3, any other one by {odd}"
    result = {"steps": "len(values) - 1", "list": "values", "largest": "max(values)"}[form]
    return Question(
        name={"steps": "count_steps", "list": "all_values", "largest": "peak"}[form],
        arguments="n: int",
        returns="list[int]" if form == "list" else "int",
        task=f"A sequence begins with the positive number `n`: {step}. Return {head}.",
        rules=[f"If 1 is not reached after {limit} steps, return "
               f"{'an empty list' if form == 'list' else over}."],
        body=code("""
            values = [n]
            while values[-1] != 1:
                if len(values) > $limit:
                    return $over
                last = values[-1]
                values.append(last // $half if last % $half == 0 else $odd)
            return $result
            """, limit=limit, over=over, half=half, result=result,
            odd=odd.replace("n", "last")),
        calls=each(*([9, 4, 27] if half == 3 else [10, 8, 5]), 1, 2, 3, 4, 6, 7, 9, 11, 17, 27,
                   32, 64, 81, 12, 13, 1024),
        bugs=[(f"last // {half}", f"last // {half} + 1"), ("values = [n]", "values = [n, n]"),
              (f"% {half} == 0", f"% {half} != 0")],
    )  # fmt: skip
