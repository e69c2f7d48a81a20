"""Families about dictionaries, sets and records."""

from __future__ import annotations

import random
from typing import Any

from questions import Question, code, each, family, words


@family(difficulty=1)
def count_occurrences(rng: random.Random) -> Question:
    least = rng.choice((1, 2, 3))
    key, rule = rng.choice((
        ("word", ""),
        ("word.lower()", "Words that differ only in upper and lower case are counted together, "
         "under the lower-case word."),
        ("word[0]", "Count the first letters of the words instead of the whole words."),
        ("str(len(word))", "Count the lengths of the words instead of the words; the keys are "
         'strings such as "4".'),
    ))  # fmt: skip
    rules = [rule] if rule else []
    if least > 1:
        rules.append(f"Leave out everything that occurs fewer than {least} times.")
    result = "counts" if least == 1 else f"{{key: n for key, n in counts.items() if n >= {least}}}"
    return Question(
        name="tally",
        arguments="words: list[str]",
        returns="dict[str, int]",
        task="Return a dictionary that says how often each word occurs in `words`.",
        rules=[*rules, "No word is empty."],
        body=code("""
            counts = {}
            for word in words:
                key = $key
                counts[key] = counts.get(key, 0) + 1
            return $result
            """, key=key, result=result),
        calls=each(
            ["red", "Red", "blue", "red", "RED", "black", "blue", "red"],
            ["to", "be", "or", "not", "to", "Be", "to", "be"],
            ["ant", "bee", "cat", "ant", "Ant", "bat", "ant", "cow"], [], ["x"], ["x", "X"],
            ["a", "b", "c"], ["oh", "oh", "oh"], words(rng, 12),
            [word.title() if rng.random() < 0.5 else word for word in words(rng, 12)],
        ),
    )  # fmt: skip


@family(difficulty=2, repair=True)
def most_common(rng: random.Random) -> Question:
    rare = rng.random() < 0.4
    tie, pick = rng.choice((
        ("first", "items.index(item)"), ("last", "-last"), ("smallest", "item"),
        ("largest", "-item"),
    ))  # fmt: skip
    form = rng.choice(("value", "pair"))
    rule = {
        "first": "that appears first in the list",
        "last": "whose last appearance is nearest to the end of the list",
        "smallest": "that is the smallest",
        "largest": "that is the largest",
    }[tie]
    if tie == "last":
        pick = "items[::-1].index(item)"
    word = "rarest" if rare else "most frequent"
    sign = "" if rare else "-"
    result = "best" if form == "value" else "[best, items.count(best)]"
    also = "" if form == "value" else ", together with how often it occurs, as `[number, count]`"
    return Question(
        name="rarest" if rare else "most_frequent",
        arguments="items: list[int]",
        returns="int | None" if form == "value" else "list[int] | None",
        task=f"Return the {word} number of `items`{also}.",
        rules=[f"If several numbers are equally {'rare' if rare else 'frequent'}, take the one "
               f"{rule}.", "Return None for an empty list."],
        body=code("""
            if not items:
                return None
            best = min(items, key=lambda item: ($sign$count, $pick))
            return $result
            """, sign=sign, count="items.count(item)", pick=pick, result=result),
        calls=each(
            [4, 7, 7, 4, 9, 9, 2], [3, 1, 1, 3, 2, 2, 3, 1], [8, 5, 6, 6, 5, 8, 1, 1], [], [7],
            [2, 1], [-1, -1, 0, 0], [5, 5, 5, 3], [1, 2, 3, 2, 1], [6, 6, 4, 4, 4, 6, 1, 0],
            [rng.randint(0, 5) for _ in range(11)],
        ),
        bugs=[
            (f"{sign}items.count(item)", f"{'' if sign else '-'}items.count(item)"),
            (f"({sign}items.count(item), {pick})", pick),
            (f"items.count(item), {pick}", f"items.count(item), {_flipped(pick)}"),
        ],
    )  # fmt: skip


def _flipped(key: str) -> str:
    return key[1:] if key.startswith("-") else f"-{key}"


@family(difficulty=2)
def invert_mapping(rng: random.Random) -> Question:
    mode = rng.choice(("list", "sorted", "first", "last", "count", "unique"))
    skip = rng.random() < 0.5
    returns, rule, step = {
        "list": ("dict[str, list[str]]", "a list of the keys that had it, in the order of "
                 "`mapping`", "result.setdefault(value, []).append(key)"),
        "sorted": ("dict[str, list[str]]", "a list of the keys that had it, sorted alphabetically",
                   "result[value] = sorted([*result.get(value, []), key])"),
        "first": ("dict[str, str]", "the first key that had it", "result.setdefault(value, key)"),
        "last": ("dict[str, str]", "the last key that had it", "result[value] = key"),
        "count": ("dict[str, int]", "the number of keys that had it",
                  "result[value] = result.get(value, 0) + 1"),
        "unique": ("dict[str, str]", "the key that had it; leave out values that several keys "
                   "had", "if list(mapping.values()).count(value) == 1:\n"
                   "        result[value] = key"),
    }[mode]  # fmt: skip
    topics = (("town", "country"), ("pupil", "class"), ("file", "folder"))
    topic, noun = topics[(len(mode) + skip) % 3]
    keys = {
        "town": ["Paris", "Rome", "Lyon", "Milan", "Oslo", "Nice"],
        "pupil": ["Mia", "Ben", "Zoe", "Abe", "Kim", "Lea"],
        "file": ["b.txt", "a.txt", "d.md", "c.md", "f.py", "e.py"],
    }[topic]  # fmt: skip
    values = {"town": ["FR", "IT", "NO"], "pupil": ["1b", "1a", "2c"],
              "file": ["old", "new", "tmp"]}[topic]  # fmt: skip

    def mapping(*picks: int) -> dict[str, str]:
        return {keys[i]: values[pick] if pick >= 0 else "" for i, pick in enumerate(picks)}

    body = ["result = {}", "for key, value in mapping.items():"]
    if skip:
        body += ['    if value == "":', "        continue"]
    return Question(
        name=f"by_{noun}",
        arguments="mapping: dict[str, str]",
        returns=returns,
        task=f"Given `mapping` from {topic} to {noun}, return a dictionary from each {noun} to "
        f"{rule}.",
        rules=[f"Leave out each {topic} whose {noun} is an empty string."] if skip else
              [f"An empty string counts as a {noun} like any other."],
        body="\n".join([*body, f"    {step}", "return result"]),
        calls=each(
            mapping(0, 1, 0, 1, 2), mapping(2, 0, 2, -1, 1), mapping(1, -1, 1, 0, -1, 2), {},
            mapping(0), mapping(-1), mapping(0, 0, 0), mapping(2, 1, 0), mapping(-1, -1, 0),
            dict(reversed(mapping(1, 2, 2, 1, 1, 0).items())),
        ),
    )  # fmt: skip


@family(difficulty=2)
def merge_counts(rng: random.Random) -> Question:
    how, form = rng.choice((
        ("the sum of both numbers", "a + b"), ("the larger of both numbers", "max(a, b)"),
        ("the smaller of both numbers", "min(a, b)"),
        ("the number of `first` minus the number of `second`", "a - b"),
        ("the number of `second`", "b"),
    ))  # fmt: skip
    keys, rule = rng.choice((
        ("[*first, *second]", "The result has the keys of both; a missing number counts as 0."),
        ("[key for key in first if key in second]", "The result has only the keys that both "
         "have."),
        ("first", "The result has the keys of `first`; where `second` lacks one, its number "
         "counts as 0."),
    ))  # fmt: skip
    zero = rng.random() < 0.5
    rules = [rule, "Leave out keys whose result is 0."] if zero else [rule]
    test = "if value != 0:\n        result[key] = value" if zero else "result[key] = value"
    return Question(
        name="combine",
        arguments="first: dict[str, int], second: dict[str, int]",
        returns="dict[str, int]",
        task=f"Return a dictionary that combines `first` and `second`: each key has {how}.",
        rules=rules,
        body=code("""
            result = {}
            for key in $keys:
                a, b = first.get(key, 0), second.get(key, 0)
                value = $form
                $test
            return result
            """, keys=keys, form=form, test=test),
        calls=[
            [{"a": 3, "b": 5, "c": 2}, {"b": 5, "c": 7, "d": 1}],
            [{"x": 4, "y": 0, "z": 6}, {"x": 1, "z": -6, "w": 2}],
            [{"k": 2, "m": 9}, {"m": 0, "k": 3, "n": 4}], [{}, {}], [{"a": 1}, {}], [{}, {"a": 1}],
            [{"a": 0}, {"a": 0}], [{"a": -3}, {"a": 3}], [{"p": 1, "q": 2}, {"q": 1, "p": 2}],
            [{"t": 8, "u": -1}, {"u": 5, "v": -2}],
        ],
    )  # fmt: skip


@family(difficulty=2)
def compare_sets(rng: random.Random) -> Question:
    three = rng.random() < 0.5
    down = rng.random() < 0.4
    if three:
        what, test = rng.choice((
            ("in all three lists", "== 3"), ("in exactly two of the three lists", "== 2"),
            ("in exactly one of the three lists", "== 1"),
            ("in at least two of the three lists", ">= 2"),
        ))  # fmt: skip
        body = f"n for n in set(a + b + c) if (n in a) + (n in b) + (n in c) {test}"
    else:
        what, form = rng.choice((
            ("in both lists", "set(a) & set(b)"), ("in `a` but not in `b`", "set(a) - set(b)"),
            ("in exactly one of the two lists", "set(a) ^ set(b)"),
            ("in at least one of the two lists", "set(a) | set(b)"),
        ))  # fmt: skip
        body = f"n for n in {form}"
    extra, test = rng.choice((("", ""), ("even ", "% 2 == 0"), ("positive ", "> 0")))
    condition = f" and n {test}" if three and test else f" if n {test}" if test else ""
    form = f"[{body}{condition}]"
    lists = [
        [[1, 4, 2, 4, 8], [2, 8, 9, -6], [8, 4, 7, -6]], [[5, 6, -2, 10], [6, 10, 3], [3, -2, 10]],
        [[0, 1, 12, 7, 3], [1, 12, 5, 4], [12, 4, 0, 9]], [[], [], []], [[1, 2], [], []],
        [[], [3, 4], [4]], [[2, 2, 2], [2, 2], [2]], [[-1, -2, -4], [-2, -3, -4], [-4, -5]],
        [[20, 11, 14], [11, 14, 16, 9], [16, 14, 11]], [[6], [6, 8], [8, 10, 0]],
    ]  # fmt: skip
    return Question(
        name="common" if "all" in what or "both" in what else "in_lists",
        arguments="a: list[int], b: list[int]" + (", c: list[int]" if three else ""),
        returns="list[int]",
        task=f"Return the {extra}numbers that are {what}, sorted from "
        f"{'large to small' if down else 'small to large'}.",
        rules=["Each number occurs once in the result, however often it is in the lists."],
        body=f"found = {form}\nreturn sorted(found{', reverse=True' if down else ''})",
        calls=lists if three else [call[:2] for call in lists],
    )


@family(difficulty=3)
def stock_changes(rng: random.Random) -> Question:
    short = rng.choice(("ignore", "zero", "stop"))
    empty = rng.random() < 0.5
    most = rng.choice((0, 20, 30))
    rules = [
        "'in' adds the amount to the item's stock, 'out' takes it away. An item that was "
        "never mentioned has the stock 0."
    ]
    rules.append({
        "ignore": "An 'out' that is larger than the stock is ignored.",
        "zero": "An 'out' that is larger than the stock sets the stock to 0.",
        "stop": "At the first 'out' that is larger than the stock, stop and leave it and all "
        "later steps out.",
    }[short])  # fmt: skip
    if most:
        rules.append(f"A stock never becomes larger than {most}: what is more is lost.")
    rules.append("Items with stock 0 are left out of the result." if empty else
                 "Every item that had an 'in' or 'out' that was not left out or ignored is in the "
                 "result, even with stock 0.")  # fmt: skip
    act = {"ignore": "continue", "zero": "amount = have", "stop": "break"}[short]
    result = "{item: n for item, n in stock.items() if n > 0}" if empty else "stock"
    add = f"min({most}, have + amount)" if most else "have + amount"
    return Question(
        name="final_stock",
        arguments="steps: list[list]",
        returns="dict[str, int]",
        task="Each step in `steps` is a list `[action, item, amount]`, where the action is 'in' "
        "or 'out'. Return the stock of each item after all steps, as a dictionary.",
        rules=rules,
        body=code("""
            stock = {}
            for action, item, amount in steps:
                have = stock.get(item, 0)
                if action == "in":
                    stock[item] = $add
                    continue
                if amount > have:
                    $act
                stock[item] = have - amount
            return $result
            """, add=add, act=act, result=result),
        calls=each(
            [["in", "nuts", 9], ["out", "nuts", 12], ["in", "bolts", 25], ["out", "bolts", 25],
             ["in", "nuts", 2]],
            [["in", "tea", 15], ["in", "tea", 18], ["out", "milk", 1], ["out", "tea", 14]],
            [["in", "pen", 4], ["out", "pen", 4], ["in", "ink", 7], ["out", "ink", 9],
             ["in", "ink", 30]],
            [], [["in", "a", 3]], [["out", "a", 3]], [["in", "a", 0], ["in", "b", 1]],
            [["in", "x", 50], ["out", "x", 10]],
            [["in", "x", 20], ["in", "y", 30], ["in", "x", 1]],
            [["in", "q", 5], ["out", "q", 6], ["out", "q", 5], ["out", "z", 2], ["in", "r", 8]],
        ),
    )  # fmt: skip


@family(difficulty=3)
def look_up_path(rng: random.Random) -> Question:
    mark = rng.choice((".", "/", ":", ">"))
    lists = rng.random() < 0.5
    default = rng.choice(("None", '"missing"', "-1", "False"))
    rules = [f"The keys of the path are separated by {mark!r}."]
    if lists:
        rules.append("Where the path meets a list, the key is an index into it, counted from 0.")
        step = (
            "if isinstance(data, dict) and key in data:\n        data = data[key]\n"
            "    elif isinstance(data, list) and key.isdigit() and int(key) < len(data):\n"
            "        data = data[int(key)]"
        )
    else:
        rules.append("Lists are not searched: a path that goes on into one does not exist.")
        step = "if isinstance(data, dict) and key in data:\n        data = data[key]"
    rules.append(f"If the path does not exist, return {default}.")
    data: dict[str, Any] = {
        "user": {"name": "Ada", "tags": ["x", "y"], "home": {"city": "Bonn", "zip": 0}},
        "rows": [{"id": 7}, {"id": 9}], "on": True,
    }  # fmt: skip
    paths = ["user>home>city", "rows>1>id", "user>tags>0", "on", "user>age", "user>name>first",
             "user>home>zip", "rows>2>id", "rows>x", "nothing", "on>0", "user>tags>5"]  # fmt: skip
    return Question(
        name="look_up",
        arguments="data: dict, path: str",
        returns="object",
        task="Return the value that `path` leads to in the nested dictionary `data`.",
        rules=rules,
        body=code("""
            for key in path.split($mark):
                $step
                else:
                    return $default
            return data
            """, mark=repr(mark), step=step, default=default),
        calls=[
            *([data, path.replace(">", mark)] for path in paths),
            [{"a": {"0": "zero"}}, f"a{mark}0"], [{}, "a"], [{"a": None}, "a"],
        ],
    )  # fmt: skip
