"""Families that ask for a way of writing: recursion, a comprehension, no sorting, ..."""

from __future__ import annotations

import random

from questions import Question, each, family, numbers, words


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
         "from each first letter to the last word in `words` that begins with it; no word is "
         "empty",
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
        body = f"return sorted({name}, key=lambda item: {key}"
        body += ", reverse=True)" if down else ")"
    else:
        task = f"Return the {one} in `{name}` for which {_asked(what)} is {extreme}."
        rules = ["If that is true of several, return the first of them. Return None for an empty "
                 "list."]  # fmt: skip
        body = f"return {'max' if down else 'min'}({name}, key=lambda item: {key}, default=None)"
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
        ("the list of the sums of the numbers at the same place", "list[int]",
         "[sum(t) for t in z]"),
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
                  f"try:\n    return items[index]\nexcept IndexError:\n    return {bad}",
                  numbered),
        "key": (f"the sum of the values of `data` at the keys in `keys`, or {shown} if one of the "
                "keys is missing", "sum_keys", "data: dict[str, int], keys: list[str]",
                "int" if bad != "None" else "int | None",
                "try:\n    return sum(data[key] for key in keys)\nexcept KeyError:\n"
                f"    return {bad}",
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
                  "for text in texts:\n    try:\n        return int(text)\n"
                  f"    except ValueError:\n        continue\nreturn {bad}", texts),
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
