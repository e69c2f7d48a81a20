"""Families that ask for recursion, a generator, a while loop or no sorting."""

from __future__ import annotations

import random

from questions import Question, code, each, family, numbers


@family(difficulty=3, task="constructs")
def nested_recursion(rng: random.Random) -> Question:
    k = rng.randint(2, 5)
    task, name, returns, one, many = rng.choice((
        ("the sum of all numbers", "nested_sum", "int", "items", "sum(values)"),
        ("the largest number (there is at least one)", "nested_max", "int", "items",
         "max(values)"),
        (f"how many numbers are greater than {k}", "nested_count", "int", f"int(items > {k})",
         "sum(values)"),
        ("how many numbers there are", "nested_size", "int", "1", "sum(values)"),
        ("how deeply the lists are nested (a list without lists in it has depth 1)",
         "nested_depth", "int", "0", "1 + max(values, default=0)"),
        ("how many lists there are, the outermost included", "count_lists", "int", "0",
         "1 + sum(values)"),
        (f"the same nested lists with every number multiplied by {k}", "nested_scale", "list",
         f"items * {k}", "values"),
        ("the same nested lists with the order of items reversed in every list", "nested_reverse",
         "list", "items", "values[::-1]"),
    ))  # fmt: skip
    lists = [[1, [4, [6, 2]], 3], [[7], [[8, 1]], 5], [2, 9, [[3, [10]], 4]], [5], [[[6]]],
             [1, 2, 3], [[1, 2], [3, 4], [5, 6]], [[[[0]]], -7], [9, [9, [9, [9]]]]]  # fmt: skip
    empties = [] if "max" in name else [[], [[], [[]]], [1, []]]
    return Question(
        name=name,
        arguments="items: list",
        returns=returns,
        task=f"`items` is a list of whole numbers and lists, which may hold lists in turn. "
        f"Return {task}.",
        rules=["Use recursion."],
        construct="recursion",
        body=code(
            """
            def visit(items):
                if not isinstance(items, list):
                    return $one
                values = [visit(item) for item in items]
                return $many

            return visit(items)
            """,
            one=one, many=many,
        ),
        calls=each(*lists, *empties),
    )  # fmt: skip


@family(difficulty=2, task="constructs")
def recursion_only(rng: random.Random) -> Question:
    task, argument, name, returns, body, calls = rng.choice((
        ("`text` in reverse order", "text: str", "reverse", "str",
         'return text if not text else reverse(text[1:]) + text[0]', "text"),
        ("how many vowels (a, e, i, o, u; lower case) are in `text`", "text: str", "count_vowels",
         "int", 'return 0 if not text else (text[0] in "aeiou") + count_vowels(text[1:])', "text"),
        ("`text` with a hyphen between all neighbouring characters", "text: str", "hyphenate",
         "str", 'return text if len(text) < 2 else text[0] + "-" + hyphenate(text[1:])', "text"),
        ("True if `text` reads the same forwards and backwards, else False", "text: str",
         "is_palindrome", "bool",
         "return len(text) < 2 or (text[0] == text[-1] and is_palindrome(text[1:-1]))", "text"),
        ("`text` without its spaces", "text: str", "remove_spaces", "str",
         'return "" if not text else text[0].strip(" ") + remove_spaces(text[1:])', "text"),
        ("the sum of the digits of the number `n`, which is not negative", "n: int", "digit_sum",
         "int", "return n if n < 10 else n % 10 + digit_sum(n // 10)", "n"),
        ("the sum of the squares of the numbers from 1 to `n`, and 0 if `n` is less than 1",
         "n: int", "square_sum", "int", "return 0 if n < 1 else n * n + square_sum(n - 1)", "n"),
        ("the number `n`, which is not negative, in binary as a string", "n: int", "binary",
         "str", "return str(n) if n < 2 else binary(n // 2) + str(n % 2)", "n"),
        ("the `n`-th number of the sequence 0, 1, 1, 2, 3, 5, 8, ... in which each number is the "
         "sum of the two before it; `n` counts from 0", "n: int", "sequence_number", "int",
         "return n if n < 2 else sequence_number(n - 1) + sequence_number(n - 2)", "small"),
        ("the sum of all numbers in `numbers`, 0 for an empty list", "numbers: list[int]",
         "total", "int", "return numbers[0] + total(numbers[1:]) if numbers else 0", "list"),
        ("True if `numbers` is sorted from small to large (equal neighbours are allowed), else "
         "False", "numbers: list[int]", "is_sorted", "bool",
         "return len(numbers) < 2 or (numbers[0] <= numbers[1] and is_sorted(numbers[1:]))",
         "list"),
        ("the list of the even numbers in `numbers`, in their order", "numbers: list[int]",
         "evens", "list[int]",
         "return numbers and (numbers[:1] if numbers[0] % 2 == 0 else []) + evens(numbers[1:])",
         "list"),
    ))  # fmt: skip
    inputs = {
        "text": each("step on no pets", "a b c", "recursion", "", "x", "ab", "level", "  ",
                     "aeiou", "was it", "noon"),
        "n": each(13, 258, 40, 0, 1, 2, 9, 10, 99, 100, 64),
        "small": each(7, 10, 12, 0, 1, 2, 3, 4, 15),
        "list": each([3, 8, 8, 12], [5, 2, 4], [1, 6, 7], [], [4], [2, 1], [0, 0], [-4, -2, 3, 3],
                     [10, 9, 8, 7]),
    }  # fmt: skip
    return Question(
        name=name,
        arguments=argument,
        returns=returns,
        task=f"Return {task}.",
        rules=["Use recursion, and no loop or comprehension."],
        construct="recursion no_loop",
        body=body,
        calls=inputs[calls],
    )


@family(difficulty=3, task="constructs")
def own_generator(rng: random.Random) -> Question:
    k = rng.randint(2, 4)
    arguments, task, loop = rng.choice((
        ("count: int", f"the first `count` numbers of the sequence that begins with 1, where each "
         f"number is {k} times the one before plus 1",
         f"n = 1\nfor _ in range(count):\n    yield n\n    n = {k} * n + 1"),
        ("count: int", "the first `count` numbers of the sequence 0, 1, 1, 2, 3, 5, 8, ..., where "
         "each number is the sum of the two before it",
         "a, b = 0, 1\nfor _ in range(count):\n    yield a\n    a, b = b, a + b"),
        ("count: int", f"the first `count` positive numbers that are not divisible by {k}",
         f"n = 1\nwhile count > 0:\n    if n % {k}:\n        yield n\n        count -= 1\n"
         "    n += 1"),
        ("count: int", f"the numbers from `count` down to 1, each of them {k} times",
         f"for n in range(count, 0, -1):\n    for _ in range({k}):\n        yield n"),
        ("count: int", f"the multiples of {k}, beginning with {k}, that are not greater than "
         "`count`", f"n = {k}\nwhile n <= count:\n    yield n\n    n += {k}"),
        ("count: int", "the first `count` triangular numbers 1, 3, 6, 10, ..., where the n-th one "
         "is the sum of the numbers from 1 to n",
         "total = 0\nfor n in range(1, count + 1):\n    total += n\n    yield total"),
    ))  # fmt: skip
    return Question(
        name="make_list",
        arguments=arguments,
        returns="list[int]",
        task=f"Return a list of {task}.",
        rules=["If `count` is 0 or less, the list is empty.",
               "Write an inner generator function that uses yield, and build the list from it."],
        construct="generator",
        body=code("""
            def values(count):
                $loop

            return list(values(count))
            """, loop=loop.replace("\n", "\n    ")),
        calls=each(5, 8, 6, 0, 1, 2, 3, -4, 12),
    )  # fmt: skip


@family(difficulty=2, task="constructs")
def while_loops(rng: random.Random) -> Question:
    k = rng.randint(3, 9)
    task, name, arguments, body = rng.choice((
        (f"how many times `n` can be divided by {k} with no remainder", "count_divisions",
         "n: int", f"count = 0\nwhile n % {k} == 0:\n    n //= {k}\n    count += 1\nreturn count"),
        (f"the smallest power of {k} (1, {k}, {k * k}, ...) that is greater than `n`",
         "next_power", "n: int", f"power = 1\nwhile power <= n:\n    power *= {k}\nreturn power"),
        ("how many digits `n` has", "count_digits", "n: int",
         "count = 1\nwhile n > 9:\n    n //= 10\n    count += 1\nreturn count"),
        (f"the largest number k with k * k less than or equal to `n` + {k}", "whole_root",
         "n: int", f"root = 0\nwhile (root + 1) ** 2 <= n + {k}:\n    root += 1\nreturn root"),
        ("the result of adding up the digits of `n` again and again until only one digit is left",
         "digital_root", "n: int",
         "while n > 9:\n    total = 0\n    while n:\n        total += n % 10\n        n //= 10\n"
         "    n = total\nreturn n"),
        ("how many days it takes until a stock of `n` is used up, when each day half of what is "
         f"left (rounded down) plus {k} is taken; the last day may take less", "days_left",
         "n: int",
         f"days = 0\nwhile n > 0:\n    n -= n // 2 + {k}\n    days += 1\nreturn days"),
        (f"how many years it takes until an amount of 100 is at least 100 + `n`, when each year "
         f"{k} percent of it (rounded down to a whole number) are added", "years_needed",
         "n: int", "amount, years = 100, 0\nwhile amount < 100 + n:\n"
         f"    amount += amount * {k} // 100\n    years += 1\nreturn years"),
    ))  # fmt: skip
    return Question(
        name=name,
        arguments=arguments,
        returns="int",
        task=f"`n` is a positive whole number. Return {task}.",
        rules=["Use a while loop, and no for loop or comprehension."],
        construct="while_loop no_for",
        body=body,
        calls=each(360, 972, 5040, 1, 2, k, k * k, k**3, k + 1, 9, 10, 99, 100, 729, 512),
    )


@family(difficulty=3, task="constructs")
def without_sorting(rng: random.Random) -> Question:
    down = rng.random() < 0.5
    sign, order = (">", "large to small") if down else ("<", "small to large")
    nth = rng.choice((2, 3))
    kind = rng.choice(("sort", "nth", "merge", "median", "unique", "top", "words"))
    place = "insert(next((i for i, m in enumerate(result) if n $sign m), len(result)), n)"
    build = "result = []\nfor n in numbers:\n    result." + place.replace("$sign", sign)
    big = "largest" if down else "smallest"
    ordinal = {2: "second", 3: "third"}[nth]
    task, arguments, returns, body = {
        "sort": (f"`numbers`, ordered from {order}", "numbers: list[int]", "list[int]",
                 f"{build}\nreturn result"),
        "nth": (f"the {ordinal} {big} number in `numbers`, where equal numbers count separately, "
                f"or None if there are fewer than {nth} numbers", "numbers: list[int]",
                "int | None",
                f"{build}\nreturn result[{nth - 1}] if len(result) >= {nth} else None"),
        "merge": (f"one list with all numbers of `first` and `second`, ordered from {order}; both "
                  f"lists are ordered from {order} already", "first: list[int], second: list[int]",
                  "list[int]", f"numbers = first + second\n{build}\nreturn result"),
        "median": (f"the middle number of `numbers` when they are ordered by size; of an even "
                   f"count, the {'larger' if down else 'smaller'} of the two middle numbers; None "
                   "for an empty list", "numbers: list[int]", "int | None",
                   f"{build}\nreturn result[(len(result) - 1) // 2] if result else None"),
        "unique": (f"the different numbers in `numbers`, ordered from {order}",
                   "numbers: list[int]", "list[int]",
                   build.replace("in numbers:", "in set(numbers):") + "\nreturn result"),
        "top": (f"the {nth} {big} numbers in `numbers`, ordered from {order}, or all of them if "
                "there are fewer", "numbers: list[int]", "list[int]",
                f"{build}\nreturn result[:{nth}]"),
        "words": (f"`numbers`, which are strings of digits such as '042', ordered by their value "
                  f"from {order}; no two have the same value", "numbers: list[str]", "list[str]",
                  build.replace(f"n {sign} m", f"int(n) {sign} int(m)") + "\nreturn result"),
    }[kind]  # fmt: skip
    lists = [[5, 2, 9, 2, 7], [8, 1, 6, 3], [4, 12, -3, 12, 0, 5], [], [3], [2, 1], [6, 6, 6],
             [-1, -5, -2], [1, 2, 3, 4, 5], numbers(rng, 8)]  # fmt: skip
    if kind == "merge":
        pairs = [[[1, 4, 9], [2, 4, 10]], [[3, 7], [1, 5, 8, 9]], [[-2, 0], [-5, 6]], [[], []],
                 [[1], []], [[], [2, 3]], [[1, 1], [1]], [[1, 2, 3], [4, 5]]]  # fmt: skip
        calls = [[part[::-1] if down else part for part in pair] for pair in pairs]
    elif kind == "words":
        calls = each(["10", "9", "100"], ["042", "5", "0070"], ["3", "20", "1"], [], ["7"],
                     ["2", "11"], ["099", "100", "98"], ["1", "2", "3"])  # fmt: skip
    else:
        calls = each(*lists)
    return Question(
        name={"sort": "put_in_order", "nth": f"{ordinal}_{big}", "merge": "merge_ordered",
              "median": "middle", "unique": "different_in_order", "top": f"{big}_{nth}",
              "words": "order_codes"}[kind],
        arguments=arguments,
        returns=returns,
        task=f"Return {task}.",
        rules=["Do not use sorted() or sort(), and do not import anything."],
        construct="no_sort no_import",
        body=body,
        calls=calls,
    )  # fmt: skip
