"""Families that ask for a way of writing: recursion, a comprehension, no sorting, ..."""

from __future__ import annotations

import random

from questions import Question, code, each, family, numbers, sentence, words


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


@family(difficulty=1, task="constructs")
def list_comprehensions(rng: random.Random) -> Question:
    k = rng.randint(2, 5)
    argument, form, task = rng.choice((
        ("numbers", f"[n * n for n in numbers if n > {k}]",
         f"the squares of all numbers in `numbers` that are greater than {k}"),
        ("numbers", f"[n + {k} if n % 2 == 0 else n - {k} for n in numbers]",
         f"`numbers` with {k} added to every even number and {k} subtracted from every odd one"),
        ("numbers", "[i for i, n in enumerate(numbers) if n < 0]",
         "the indices of all negative numbers in `numbers`"),
        ("numbers", "[b - a for a, b in zip(numbers, numbers[1:])]",
         "the differences of each number in `numbers` and the one before it, from the second on"),
        ("numbers", f"[n for n in numbers if n % {k} == 1]",
         f"the numbers in `numbers` that leave the remainder 1 when divided by {k}"),
        ("numbers", f"[n for i, n in enumerate(numbers) if i % {k} == 0]",
         f"the numbers in `numbers` whose index is divisible by {k} (the first has index 0)"),
        ("names", f"[name for name in names if len(name) > {k + 1}]",
         f"the strings in `names` that are longer than {k + 1} characters"),
        ("names", f"[name[:{k}].upper() for name in names]",
         f"the first {k} characters of each string in `names`, in upper case"),
        ("names", '[name for name in names if name[0] == name[-1]]',
         "the strings in `names` that begin and end with the same letter; no string is empty"),
        ("names", "[len(name) for name in names if \"a\" in name]",
         "the lengths of the strings in `names` that have the letter a in them"),
    ))  # fmt: skip
    if argument == "numbers":
        calls = each(
            [3, -1, 4, 10, 7, 6],
            [8, 5, -2, 0, 9, 11, -6],
            [1, 2, 3, 4, 5, 6, 7],
            [],
            [0],
            [-3, -3],
            [5, 13, 21],
            numbers(rng, 8),
            numbers(rng, 10, -9, 30),
        )
    else:
        calls = each(["anna", "tree", "kayak", "to", "lamp"], ["area", "sun", "window", "banana"],
                     ["level", "a", "night", "gang"], [], ["x"], ["ab", "ba"], ["aaaaaaa"],
                     words(rng, 6), words(rng, 8))  # fmt: skip
    strings = argument == "names" and "len" not in form.split(" for ")[0]
    return Question(
        name="pick_names" if argument == "names" else "transform",
        arguments=f"{argument}: list[{'str' if argument == 'names' else 'int'}]",
        returns="list[str]" if strings else "list[int]",
        task=f"Return a list of {task}." if not task.startswith("`") else f"Return {task}.",
        rules=["Use a list comprehension."],
        construct="list_comprehension",
        body=f"return {form}",
        calls=calls,
    )


@family(difficulty=2, task="constructs")
def dict_comprehensions(rng: random.Random) -> Question:
    k = rng.randint(2, 6)
    argument, form, task, returns = rng.choice((
        ("words", f"{{word: len(word) for word in words if len(word) > {k}}}",
         f"from each word in `words` that is longer than {k} characters to its length",
         "dict[str, int]"),
        ("words", "{word: word[::-1] for word in words}",
         "from each word in `words` to the same word in reverse", "dict[str, str]"),
        ("words", "{word.upper(): word.count(\"e\") for word in words}",
         "from each word in `words`, in upper case, to the number of times the letter e is in it",
         "dict[str, int]"),
        ("words", "{word: i for i, word in enumerate(words)}",
         "from each word in `words` to its index, the last one if it occurs more than once",
         "dict[str, int]"),
        ("words", "{word[0]: word for word in words}",
         "from each first letter to the last word in `words` that begins with it; no word is empty",
         "dict[str, str]"),
        ("prices", f"{{name: price * {k} for name, price in prices.items()}}",
         f"with every price in `prices` multiplied by {k}", "dict[str, int]"),
        ("prices", f"{{name: price for name, price in prices.items() if price >= {k * 2}}}",
         f"with the entries of `prices` whose price is at least {k * 2}", "dict[str, int]"),
        ("prices", f"{{name: min(price, {k * 2}) for name, price in prices.items()}}",
         f"with the entries of `prices`, where every price above {k * 2} is replaced by {k * 2}",
         "dict[str, int]"),
        ("prices", "{name.title(): price for name, price in prices.items() if price % 2 == 1}",
         "with the entries of `prices` whose price is odd, and each name with a capital first "
         "letter", "dict[str, int]"),
    ))  # fmt: skip
    if argument == "words":
        calls = each(["see", "apple", "tree", "even", "banana"], ["tea", "three", "rest", "tea"],
                     ["elephant", "egg", "ape", "ewe", "apricot"], [], ["z"], ["ab", "ab"],
                     ["bee", "be", "eel"], ["committee", "coffee"], words(rng, 7))  # fmt: skip
    else:
        calls = each(
            {"pen": 3, "book": 12, "lamp": 25},
            {"cup": 8, "mug": 9, "plate": 4},
            {"tea": 5, "coffee": 7, "cocoa": 11, "milk": 2},
            {},
            {"x": 0},
            {"a": 1},
            {"soap": 6, "comb": 6},
            {"cake": 10, "pie": 13, "bun": 1},
        )
    kind = "list[str]" if argument == "words" else "dict[str, int]"
    return Question(
        name="word_table" if argument == "words" else "new_prices",
        arguments=f"{argument}: {kind}",
        returns=returns,
        task=f"Return a dictionary {task}.",
        rules=["Use a dictionary comprehension."],
        construct="dict_comprehension",
        body=f"return {form}",
        calls=calls,
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
         f"n = 1\nwhile count > 0:\n    if n % {k}:\n        yield n\n        count -= 1\n    n += 1"),
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
                "int | None", f"{build}\nreturn result[{nth - 1}] if len(result) >= {nth} else None"),
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
        (f"how many days it takes until a stock of `n` is used up, when each day half of it "
         f"(rounded down) plus {k} is taken; the last day may take less", "days_left", "n: int",
         f"days = 0\nwhile n > 0:\n    n -= n // 2 + {k}\n    days += 1\nreturn days"),
        (f"how many years it takes until an amount of 100 is at least 100 + `n`, when each year "
         f"{k} percent of it (rounded down to a whole number) are added", "years_needed",
         "n: int", "amount, years = 100, 0\nwhile amount < 100 + n:\n"
         f"    amount += amount * {k} // 100\n    years += 1\nreturn years"),
    ))  # fmt: skip
    start = [k**2 * 4, k**3, 5040]
    return Question(
        name=name,
        arguments=arguments,
        returns="int",
        task=f"`n` is a positive whole number. Return {task}.",
        rules=["Use a while loop, and no for loop or comprehension."],
        construct="while_loop no_for",
        body=body,
        calls=each(*start, 1, 2, k, k + 1, k * 10, 9, 10, 99, 100, 729, 512),
    )


@family(difficulty=2, task="constructs")
def lambda_keys(rng: random.Random) -> Question:
    down = rng.random() < 0.5
    argument, what, key = rng.choice((
        ("words: list[str]", "their length", "len(item)"),
        ("words: list[str]", "their last letter", "item[-1]"),
        ("words: list[str]", "how often the letter e is in them", 'item.count("e")'),
        ("words: list[str]", "how many different letters they have", "len(set(item))"),
        ("points: list[list[int]]", "the sum of their two numbers", "item[0] + item[1]"),
        ("points: list[list[int]]", "their second number", "item[1]"),
        ("points: list[list[int]]", "the difference of their first and their second number "
         "(first minus second)", "item[0] - item[1]"),
        ("points: list[list[int]]", "their smaller number", "min(item)"),
    ))  # fmt: skip
    name = argument.partition(":")[0]
    one = "word" if name == "words" else "pair of numbers"
    pick = rng.choice(("order", "best"))
    order = "large to small" if down else "small to large"
    if "last letter" in what:
        order = "z to a" if down else "a to z"
        extreme = "nearest to z" if down else "nearest to a"
    else:
        extreme = "largest" if down else "smallest"
    single = what.replace("their", "its").replace("they have", "it has").replace("them", "it")
    if single.startswith("how"):
        single = "number that says " + single
    if pick == "order":
        task = f"Return `{name}`, ordered by {what} from {order}."
        rules = [f"Where that is equal, each {one} keeps its place."]
        body = f"return sorted({name}, key=lambda item: {'-' if False else ''}({key})"
        body += ", reverse=True)" if down else ")"
    else:
        task = f"Return the {one} in `{name}` for which {_asked(what)} is {extreme}."
        rules = ["If that is true of several, return the first of them. Return None for an empty "
                 "list."]  # fmt: skip
        body = f"return {'max' if down else 'min'}({name}, key=lambda item: {key}, default=None)"
    body = body.replace(f": ({key})", f": {key}")
    if name == "words":
        calls = each(
            ["tree", "sun", "bee", "window", "oak"],
            ["level", "area", "on", "see"],
            ["kiwi", "plum", "fig", "peach", "pear"],
            [],
            ["a"],
            ["be", "eb"],
            ["eel", "eee", "el"],
            ["aa", "b", "cc", "d"],
            ["zebra", "lamb", "stone"],
        )
    else:
        calls = each(
            [[3, 9], [5, 1], [4, 4], [0, 9]],
            [[7, 2], [1, 8], [6, 6], [2, 7]],
            [[10, 0], [-1, 5], [4, 3]],
            [],
            [[1, 1]],
            [[2, 3], [3, 2]],
            [[0, 0], [0, 0], [5, -5]],
            [[9, 1], [8, 2], [7, 3]],
            [[-4, 4], [4, -4]],
        )
    item = "str" if name == "words" else "list[int]"
    return Question(
        name=f"order_{name}" if pick == "order" else f"best_{one.partition(' ')[0]}",
        arguments=argument,
        returns=argument.partition(": ")[2] if pick == "order" else f"{item} | None",
        task=task,
        rules=[
            *(
                ["Each word has at least one letter, all in lower case."]
                if name == "words"
                else ["Each point is a pair `[a, b]`."]
            ),
            *rules,
            "Use a lambda.",
        ],
        construct="lambda",
        body=body,
        calls=calls,
    )


def _asked(what: str) -> str:
    """A property of the items as one of a single item."""
    return {
        "their length": "the length",
        "their last letter": "the last letter",
        "how often the letter e is in them": "the number of letters e",
        "how many different letters they have": "the number of different letters",
        "the sum of their two numbers": "the sum of both numbers",
        "their second number": "the second number",
        "their smaller number": "the smaller number",
    }.get(what, "the first number minus the second number")


@family(difficulty=2, task="constructs")
def pairing_with_zip(rng: random.Random) -> Question:
    k = rng.randint(2, 4)
    three = rng.random() < 0.3
    task, returns, form = rng.choice((
        ("the list of the sums of the numbers at the same place", "list[int]", "[sum(t) for t in z]"),
        ("the list of the larger numbers of those at the same place", "list[int]",
         "[max(t) for t in z]"),
        ("how often the numbers at the same place are all equal", "int",
         "sum(1 for t in z if len(set(t)) == 1)"),
        ("the sum of the products of the numbers at the same place", "int",
         "sum(t[0] * t[1] for t in z)" if not three else "sum(t[0] * t[1] * t[2] for t in z)"),
        ("the list of the places, counted from 0, at which the numbers differ by more than "
         f"{k}", "list[int]", f"[i for i, t in enumerate(z) if max(t) - min(t) > {k}]"),
        ("the list of the lists of the numbers at the same place, the last place first",
         "list[list[int]]", "[list(t) for t in z][::-1]"),
        (f"True if at every place the numbers differ by at most {k}, else False", "bool",
         f"all(max(t) - min(t) <= {k} for t in z)"),
    ))  # fmt: skip
    names = ["a", "b", "c"][: 3 if three else 2]
    rows = [
        [[3, 8, 1], [5, 8, -2], [4, 8, 0]], [[7, 2, 9, 4], [7, 6, 3], [7, 1, 8, 4]],
        [[1, 5], [4, 5, 6], [2, 9]], [[], [], []], [[1], [], [2]], [[2], [2], [2]],
        [[0, 0, 0], [1, 2, 3], [5, 5, 5]], [[-1, -2], [1, 2], [0, 0]],
        [[10, 20, 30], [10, 21, 27], [11, 20, 29]], [[6, 6], [6, 6], [6, 6]],
    ]  # fmt: skip
    if "True if" in task:
        rows[1] = [[7, 2, 9, 4], [8, 3, 8, 5], [7, 2, 9, 4]]
        rows[0] = [[3, 8, 1], [3, 8, 2], [3, 8, 1]]
    return Question(
        name="compare_lists" if returns in ("int", "bool") else "combine_lists",
        arguments=", ".join(f"{name}: list[int]" for name in names),
        returns=returns,
        task=f"Look at the numbers at the same place in {'all three' if three else 'both'} lists, "
        f"and return {task}.",
        rules=["If the lists differ in length, what is left of the longer ones is ignored.",
               "Use zip."],
        construct="zip",
        body=f"z = zip({', '.join(names)})\nreturn {form}",
        calls=[row[: len(names)] for row in rows],
    )  # fmt: skip


@family(difficulty=2, task="constructs")
def catching_errors(rng: random.Random) -> Question:
    kind = rng.choice(("ints", "sum", "index", "key", "divide", "first"))
    bad, shown = rng.choice((("None", "None"), ("-1", "-1"), ("0", "0")))
    texts = each(["4", "x", " 7 ", "3.5", "-2"], ["10", "", "a1", "0"], ["five", "5", "1e3", "6"],
                 [], ["9"], ["no"], ["--1", "+8"], ["12", "13"])  # fmt: skip
    numbered = [[[5, 6, 7], 2], [[5, 6, 7], 3], [["a", "b"], -2], [[], 0], [[1], -2], [[4, 9], 1],
                [["x"], 0], [[0, 0, 8], -1]]  # fmt: skip
    task, name, arguments, returns, body, calls = {
        "ints": (f"a list in which each string of `texts` is replaced by its whole number, or by "
                 f"{shown} if int() cannot read it", "to_ints", "texts: list[str]", "list",
                 "result = []\nfor text in texts:\n    try:\n        result.append(int(text))\n"
                 f"    except ValueError:\n        result.append({bad})\nreturn result", texts),
        "sum": (f"the sum of the whole numbers among the strings in `texts`; strings that int() "
                f"cannot read are left out, and if none can be read the result is {shown}",
                "sum_texts", "texts: list[str]", "int" if bad != "None" else "int | None",
                "found = []\nfor text in texts:\n    try:\n        found.append(int(text))\n"
                f"    except ValueError:\n        continue\nreturn sum(found) if found else {bad}",
                texts),
        "index": (f"the item of `items` at `index` (a negative one counts from the end), or "
                  f"{shown} if there is none", "item_at", "items: list, index: int", "object",
                  f"try:\n    return items[index]\nexcept IndexError:\n    return {bad}", numbered),
        "key": (f"the sum of the values of `data` at the keys in `keys`, or {shown} if one of the "
                "keys is missing", "sum_keys", "data: dict[str, int], keys: list[str]",
                "int" if bad != "None" else "int | None",
                f"try:\n    return sum(data[key] for key in keys)\nexcept KeyError:\n    return {bad}",
                [[{"a": 3, "b": 4}, ["a", "b"]], [{"a": 3}, ["a", "c"]], [{"x": 5}, ["x", "x"]],
                 [{}, []], [{}, ["q"]], [{"k": -2, "m": 9}, ["m", "k"]], [{"k": 7}, ["k"]]]),
        "divide": (f"the list of the numbers of `a` divided by the number of `b` at the same "
                   f"place, rounded down with //; where the number of `b` is 0, the result has "
                   f"{shown}. Both lists are equally long", "divide_all",
                   "a: list[int], b: list[int]", "list",
                   "result = []\nfor x, y in zip(a, b):\n    try:\n        result.append(x // y)\n"
                   f"    except ZeroDivisionError:\n        result.append({bad})\nreturn result",
                   [[[9, 4, 7], [2, 0, 7]], [[10, -5], [3, 2]], [[1, 0], [0, 0]], [[], []],
                    [[6], [6]], [[8, 8, 8], [1, 2, 3]], [[-7], [-2]]]),
        "first": (f"the first string in `texts` that int() can read, as a whole number, or "
                  f"{shown} if there is none", "first_int", "texts: list[str]",
                  "int" if bad != "None" else "int | None",
                  "for text in texts:\n    try:\n        return int(text)\n    except ValueError:\n"
                  f"        continue\nreturn {bad}", texts),
    }[kind]  # fmt: skip
    return Question(
        name=name,
        arguments=arguments,
        returns=returns,
        task=f"Return {task}.",
        rules=["Use try and except."],
        construct="try",
        body=body,
        calls=calls,
    )
