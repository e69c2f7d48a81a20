"""Families about lists."""

from __future__ import annotations

import random

from questions import Question, code, each, family, numbers


@family(difficulty=1, repair=True)
def select_numbers(rng: random.Random) -> Question:
    k, high = rng.randint(2, 6), rng.randint(9, 15)
    which, test = rng.choice((
        (f"greater than {k}", f"n > {k}"),
        (f"at most {k}", f"n <= {k}"),
        (f"divisible by {k}", f"n % {k} == 0"),
        (f"between {k} and {high} (both included)", f"{k} <= n <= {high}"),
        (f"less than {k} or greater than {high}", f"n < {k} or n > {high}"),
        (f"odd and greater than {k}", f"n % 2 == 1 and n > {k}"),
    ))  # fmt: skip
    what, returns, result = rng.choice((
        ("a list of the numbers", "list[int]", "return found"),
        ("the sum of the numbers", "int", "return sum(found)"),
        ("how many of the numbers", "int", "return len(found)"),
        ("the largest of the numbers", "int | None", "return max(found) if found else None"),
    ))  # fmt: skip
    verb = " are" if what.startswith("how") else " that are"
    rules = []
    if "list" in what:
        rules.append("Keep their order.")
    if "largest" in what:
        rules.append("Return None if there is no such number.")
    return Question(
        name={"list[int]": "select", "int | None": "largest_match"}.get(
            returns, "sum_matching" if "sum" in what else "count_matching"),
        arguments="numbers: list[int]",
        returns=returns,
        task=f"Return {what} in `numbers`{verb} {which}.",
        rules=rules,
        body=code(
            """
            found = []
            for n in numbers:
                if $test:
                    found.append(n)
            $result
            """,
            test=test, result=result,
        ),
        calls=each(
            [3, 8, 12, 5, 20, 6, 15], [1, 2, 4, 9, 13, 30], [7, 10, 18, 2, 11, 6], [], [k],
            [high], [-3, -8, 0, -12], [k + 1, k - 1, high + 1, high - 1],
            [k + 1, k - 1], [2, 3, 4, 5, 6],
            numbers(rng, 8), numbers(rng, 10, 0, 30),
        ),
        bugs=[
            (test, f"not ({test})"),
            ("    if ", "    if n != numbers[-1] and "),
            ("found.append(n)\n", "found.append(numbers[0])\n"),
        ],
    )  # fmt: skip


@family(difficulty=2)
def nth_largest(rng: random.Random) -> Question:
    nth, word = rng.choice(((2, "second"), (3, "third")))
    largest, distinct = rng.random() < 0.5, rng.random() < 0.6
    missing = rng.choice(("None", "-1"))
    rules = ["Equal numbers count once." if distinct
             else "Equal numbers count separately, so the largest and the second largest may be "
             "equal." if largest else "Equal numbers count separately, so the smallest and the "
             "second smallest may be equal."]  # fmt: skip
    few = f"fewer than {nth}{' different' if distinct else ''} numbers"
    return Question(
        name=f"{word}_{'largest' if largest else 'smallest'}",
        arguments="numbers: list[int]",
        returns="int | None" if missing == "None" else "int",
        task=f"Return the {word} {'largest' if largest else 'smallest'} number in `numbers`.",
        rules=[*rules, f"If there are {few}, return {missing}."],
        body=code(
            """
            ordered = sorted($values, reverse=$reverse)
            if len(ordered) < $nth:
                return $missing
            return ordered[$index]
            """,
            values="set(numbers)" if distinct else "numbers", reverse=largest, nth=nth,
            missing=missing, index=nth - 1,
        ),
        calls=each(
            [4, 9, 7, 9, 2, 4], [10, 10, 8, 3, 3, 5], [6, 1, 1, 12, 12, 5, 8], [], [5], [3, 3],
            [3, 3, 3], [2, 1], [-4, -9, -1, -7], [0, -1, 0, 7, 7], [1, 2, 3], numbers(rng, 7),
        ),
    )  # fmt: skip


@family(difficulty=2)
def rotate_list(rng: random.Random) -> Question:
    left = rng.random() < 0.5
    text = rng.random() < 0.4
    name, kind, unit = ("text", "str", "word") if text else ("items", "list", "item")
    negative = rng.choice(("other", "none", "empty"))
    rule = {
        "other": f"A negative `steps` moves the other way, to the {'right' if left else 'left'}.",
        "none": f"If `steps` is negative, return `{name}` unchanged.",
        "empty": f"If `steps` is negative, return an empty {'string' if text else 'list'}.",
    }[negative]
    nothing = '""' if text else "[]"
    early = {
        "other": "",
        "none": f"if steps < 0:\n    return {name}\n",
        "empty": f"if steps < 0:\n    return {nothing}\n",
    }[negative]
    side, other = ("left", "right") if left else ("right", "left")
    lists = [list(range(1, 6)), list("abcd"), [10, 20, 30], [], [1], list(range(5, 12))]
    steps = [(0, 2), (1, 1), (2, 4), (0, 0), (0, -2), (1, -7), (3, 3), (3, -1), (4, 5), (5, 23),
             (5, -1)]  # fmt: skip
    given = [" ".join(map(str, items)) if text else items for items in lists]
    moved = "items[k:] + items[:k]"
    return Question(
        name=f"rotate_{side}",
        arguments=f"{name}: {kind}, steps: int",
        returns=kind,
        task=f"Return `{name}` with every {unit} moved `steps` places to the {side}.",
        rules=[f"What is moved out on the {side} comes in again on the {other}.",
               *(["Words are separated by single spaces."] if text else []),
               "`steps` may be larger than the length.", rule],
        body=early + ("items = text.split()\n" if text else "") + code(
            """
            if not items:
                return $nothing
            k = $steps % len(items)
            return $result
            """,
            nothing=nothing, steps="steps" if left else "-steps",
            result=f'" ".join({moved})' if text else moved,
        ),
        calls=[[given[i], count] for i, count in steps],
    )  # fmt: skip


@family(difficulty=2, repair=True)
def remove_duplicates(rng: random.Random) -> Question:
    mode = rng.choice(("first", "last", "most", "adjacent", "unique", "repeated"))
    most = rng.randint(2, 3)
    folded = rng.random() < 0.5
    kind = "list[str]" if folded else "list[int]"
    what = "words" if folded else "numbers"
    singular = what[:-1]
    task = {
        "first": f"without duplicates: of equal {what}, only the first one stays",
        "last": f"without duplicates: of equal {what}, only the last one stays",
        "most": f"with at most {most} of each {singular}: the first {most} stay, the others go",
        "adjacent": f"with each run of equal {what} next to each other replaced by one of them "
        "(the first)",
        "unique": f"without the {what} that occur more than once",
        "repeated": f"without the {what} that occur only once",
    }[mode]
    test = {
        "first": "keys[:i].count(keys[i]) == 0",
        "last": "keys[i + 1:].count(keys[i]) == 0",
        "most": f"keys[:i].count(keys[i]) < {most}",
        "adjacent": "i == 0 or keys[i] != keys[i - 1]",
        "unique": "keys.count(keys[i]) == 1",
        "repeated": "keys.count(keys[i]) > 1",
    }[mode]
    bug = {
        "first": ("keys[:i]", "keys[i + 1:]"),
        "last": ("keys[i + 1:]", "keys[:i]"),
        "most": (f" < {most}", f" <= {most}"),
        "adjacent": ("keys[i - 1]", "keys[0]"),
        "unique": (" == 1", " <= 2"),
        "repeated": (" > 1", " == 2"),
    }[mode]
    rules = [f"Keep the order of the {what} that stay."]
    if folded:
        rules.append("Words that differ only in upper and lower case are equal.")
    ints = each(
        [3, 1, 3, 2, 1, 3, 3], [5, 5, 4, 5, 4, 6, 5], [7, 8, 8, 8, 7, 9, 8], [], [1], [2, 2],
        [2, 2, 2, 2], [1, 2, 3], [0, -1, 0, -1, -1], numbers(rng, 10, 0, 4),
    )  # fmt: skip
    strs = each(
        ["Tea", "milk", "tea", "Sugar", "milk", "TEA", "tea"],
        ["no", "No", "yes", "NO", "Yes", "maybe", "no"],
        ["B", "a", "A", "a", "b", "c", "A"], [], ["one"], ["x", "X"], ["x", "x", "X", "x"],
        ["p", "q", "r"], ["Sun", "sun", "moon", "Sun", "MOON"],
        [rng.choice(("red", "Red", "blue", "BLUE", "green")) for _ in range(9)],
    )  # fmt: skip
    return Question(
        name={"unique": "only_unique", "repeated": "only_repeated"}.get(mode, "remove_duplicates"),
        arguments=f"{what}: {kind}",
        returns=kind,
        task=f"Return `{what}` {task}.",
        rules=rules,
        body=code(
            """
            keys = $keys
            result = []
            for i in range(len(keys)):
                if $test:
                    result.append($what[i])
            return result
            """,
            keys="[word.lower() for word in words]" if folded else "list(numbers)",
            test=test, what=what,
        ),
        calls=strs if folded else ints,
        bugs=[bug, ("    result.append(", "    result.insert(0, ")],
    )  # fmt: skip


@family(difficulty=2, repair=True)
def split_chunks(rng: random.Random) -> Question:
    size = rng.randint(2, 4)
    rest = rng.choice(("short", "drop", "pad", "merge"))
    front = rng.random() < 0.3 and rest in ("short", "drop")
    rule = {
        "short": f"The {'first' if front else 'last'} chunk may be shorter.",
        "drop": f"What is left over at the {'start' if front else 'end'} and does not fill a "
        "chunk is left out.",
        "pad": "If the last chunk is shorter, fill it up with zeros at its end.",
        "merge": f"If fewer than {size} numbers are left at the end, they are added to the chunk "
        "before; if there is none, they form a chunk themselves.",
    }[rest]
    rules = [rule]
    if front:
        rules.insert(0, "Count the chunks from the end of the list, but return them in the order "
                     "of the list.")  # fmt: skip
    after = {
        "short": "",
        "drop": f"chunks = [chunk for chunk in chunks if len(chunk) == {size}]\n",
        "pad": f"if chunks:\n    chunks[-1] = chunks[-1] + [0] * ({size} - len(chunks[-1]))\n",
        "merge": f"if len(chunks) > 1 and len(chunks[-1]) < {size}:\n"
        "    rest = chunks.pop()\n    chunks[-1] = chunks[-1] + rest\n",
    }[rest]  # fmt: skip
    if front:
        head = code(
            """
            start = len(numbers) % $size
            chunks = [numbers[:start]] if start else []
            for i in range(start, len(numbers), $size):
                chunks.append(numbers[i:i + $size])
            """, size=size)  # fmt: skip
    else:
        head = code(
            """
            chunks = []
            for i in range(0, len(numbers), $size):
                chunks.append(numbers[i:i + $size])
            """, size=size)  # fmt: skip
    return Question(
        name="chunks",
        arguments="numbers: list[int]",
        returns="list[list[int]]",
        task=f"Return `numbers` split into chunks of {size}, as a list of lists.",
        rules=[*rules, "An empty list gives an empty list."],
        body=f"{head}\n{after}return chunks",
        calls=each(
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [4, 8, 15, 16, 23], [9, 7, 5, 3, 1, 2, 4], [],
            [1], [1, 2], [1, 2, 3], [1, 2, 3, 4], [5] * 12, [6, 5, 4, 3, 2, 1],
            numbers(rng, 13),
        ),
        bugs=[(f"i:i + {size}", f"i:i + {size - 1}"), (", len(numbers), ", ", len(numbers) - 1, "),
              ("return chunks", "return chunks[1:]")],
    )  # fmt: skip


@family(difficulty=3)
def interleave(rng: random.Random) -> Question:
    take = rng.choice((1, 1, 2))
    rest = rng.choice(("append", "drop", "reverse"))
    second_first = rng.random() < 0.5
    a, b = ("second", "first") if second_first else ("first", "second")
    each_time = "one item" if take == 1 else f"{take} items"
    stop = f"Stop when one of the lists has fewer than {take} items left" if take > 1 else (
        "Stop when one of the lists has nothing left")  # fmt: skip
    rule = {
        "append": f"; then what is left of `{a}` follows, and after it what is left of `{b}`.",
        "drop": " at the beginning of a round, and leave out what is left of both.",
        "reverse": f"; then what is left of `{a}`, followed by what is left of `{b}`, is put at "
        "the end in reverse order.",
    }[rest]
    tail = {
        "append": f"return result + {a}[i:] + {b}[i:]",
        "drop": "return result",
        "reverse": f"return result + ({a}[i:] + {b}[i:])[::-1]",
    }[rest]
    return Question(
        name="interleave",
        arguments="first: list[int], second: list[int]",
        returns="list[int]",
        task=f"Return one list that takes {each_time} from `{a}`, then {each_time} from `{b}`, "
        "and so on in turn.",
        rules=[stop + rule],
        body=code(
            """
            result = []
            i = 0
            while i + $take <= min(len(first), len(second)):
                result += $a[i:i + $take] + $b[i:i + $take]
                i += $take
            """, take=take, a=a, b=b) + "\n" + tail,
        calls=[
            [[1, 2, 3, 4, 5, 6], [10, 20, 30]], [[1, 3, 5], [2, 4, 6, 8, 9, 7]],
            [[7, 8, 9, 6, 5], [70, 80]], [[], []], [[1, 2, 3], []], [[], [4, 5, 6, 7]],
            [[1], [2]], [[1, 1, 1, 1], [2, 2, 2, 2]], [[1, 2, 3, 4], [5, 6, 7]],
            [numbers(rng, 5), numbers(rng, 9)],
        ],
    )  # fmt: skip


@family(difficulty=2)
def move_to_end(rng: random.Random) -> Question:
    k = rng.randint(3, 6)
    what, test = rng.choice((
        ("zeros", "n == 0"), ("negative numbers", "n < 0"), ("even numbers", "n % 2 == 0"),
        (f"multiples of {k}", f"n % {k} == 0"), (f"numbers greater than {k}", f"n > {k}"),
    ))  # fmt: skip
    front = rng.random() < 0.5
    order = rng.choice(("kept", "sorted", "reversed")) if what != "zeros" else "kept"
    moved = {"kept": "moved", "sorted": "sorted(moved)", "reversed": "moved[::-1]"}[order]
    rule = {
        "kept": "The moved numbers and the others each keep their order.",
        "sorted": "The moved numbers are sorted from small to large; the others keep their order.",
        "reversed": "The moved numbers stand in reverse order; the others keep their order.",
    }[order]
    return Question(
        name=f"move_to_{'front' if front else 'end'}",
        arguments="numbers: list[int]",
        returns="list[int]",
        task=f"Return a list with all {what} of `numbers` moved to the "
        f"{'front' if front else 'end'}.",
        rules=[rule],
        body=code("""
            moved = [n for n in numbers if $test]
            others = [n for n in numbers if not ($test)]
            return $result
            """, test=test, result=f"{moved} + others" if front else f"others + {moved}"),
        calls=each(
            [5, 0, 9, -2, 12, 0, 3, -7, 4], [8, -1, 6, 0, 7, -5, 15, 10], [0, 1, -6, 12, 5, 0, -3],
            [], [0], [1, 2, 3, 4, 5, 6, 7, 8], [9, 6, 3, 0, -3, -6], [-4, -8, -1],
            numbers(rng, 9, -9, 12), numbers(rng, 7, -5, 9),
        ),
    )  # fmt: skip
