"""Families that check the form of a text."""

from __future__ import annotations

import random

from questions import Question, code, each, family


@family(difficulty=3)
def check_numbers(rng: random.Random) -> Question:
    count, top, mark = rng.choice((2, 3, 4)), rng.choice((99, 255, 999)), rng.choice((".", "-"))
    zeros = rng.random() < 0.5
    rule = (
        "Leading zeros are allowed."
        if zeros
        else "A number must not have leading zeros, but 0 itself is allowed."
    )
    lists = [["1", "20", "33", "4"], ["0", "255", "99", "100"], ["7", "007", "1", "1"],
             ["256", "1", "1", "1"], ["1", "", "2", "3"], ["a", "1", "2", "3"], ["0"] * 4,
             ["999", "1", "2", "3"], ["1000", "1", "2", "3"], [" 1", "2", "3", "4"]]  # fmt: skip
    texts = ["1.2.3.4.5", "1.2", "", "1.2.3", "...", "1.2.3.4", "12", "1,2"]
    return Question(
        name="is_code",
        arguments="text: str",
        returns="bool",
        task=f"Return True if `text` is made of exactly {count} whole numbers from 0 to {top} "
        f"with {mark!r} between them, else False.",
        rules=["Only the digits 0 to 9 may occur in a number.", rule],
        body=code(
            """
            parts = text.split($mark)
            if len(parts) != $count:
                return False
            for part in parts:
                if not part.isdigit() or int(part) > $top$test:
                    return False
            return True
            """,
            mark=repr(mark), count=count, top=top,
            test="" if zeros else ' or (len(part) > 1 and part[0] == "0")',
        ),
        calls=each(*(mark.join(parts[:count]) for parts in lists),
                   *(text.replace(".", mark) for text in texts)),
    )  # fmt: skip


@family(difficulty=3)
def check_password(rng: random.Random) -> Question:
    size = rng.choice((6, 8, 10))
    (one, first), (two, second) = rng.sample((
        ("at least one digit", "any(c.isdigit() for c in text)"),
        ("at least one upper-case letter", "any(c.isupper() for c in text)"),
        ("at least two lower-case letters", "sum(c.islower() for c in text) >= 2"),
        ("at least one of the characters ! ? # %", 'any(c in "!?#%" for c in text)'),
        ("no character three times in a row",
         "not any(a == b == c for a, b, c in zip(text, text[1:], text[2:]))"),
    ), 2)  # fmt: skip
    return Question(
        name="is_good_password",
        arguments="text: str",
        returns="bool",
        task="Return True if `text` is a good password, else False.",
        rules=[f"A good password has at least {size} characters and no spaces, {one} and {two}."],
        body=f'return (\n    len(text) >= {size}\n    and " " not in text\n    and {first}\n'
        f"    and {second}\n)",
        calls=each("Summer2024!", "abc", "PASSWORD1234!", "correct horse 1A!", "aaaBBB111???",
                   "", "aB1!aB1!aB", "lowercase#only", "NoDigitsHere!?", "Abcdef12345", "Xy7%Xy",
                   "Zz9!zzXy", "12345678!?", "aabbccddee1%", "Ab1!cd2?", "aaa1!XYz"),
    )  # fmt: skip


@family(difficulty=4)
def check_date(rng: random.Random) -> Question:
    order, leap = rng.choice(("D.M.Y", "Y-M-D", "M/D/Y", "Y/M/D")), rng.random() < 0.6
    low, high = rng.choice(((1, 9999), (1900, 2099)))
    mark = order[1]
    form = mark.join({"D": "DD", "M": "MM", "Y": "YYYY"}[c] for c in order[::2])
    february = (
        "February has 29 days in years that are divisible by 4, but not in those that are "
        "divisible by 100 and not by 400."
        if leap
        else "February always has 28 days."
    )
    dates = [
        ("2024", "02", "29"), ("2023", "04", "31"), ("1999", "12", "31"), ("1900", "02", "29"),
        ("2000", "02", "29"), ("2023", "02", "28"), ("2021", "13", "01"), ("2021", "00", "10"),
        ("2021", "06", "00"), ("21", "06", "07"), ("2021", "6", "7"), ("1899", "11", "30"),
        ("2100", "01", "01"), ("0000", "01", "01"), ("2021", "11", "11"),
    ]  # fmt: skip
    texts = [mark.join({"Y": y, "M": m, "D": d}[c] for c in order[::2]) for y, m, d in dates]
    return Question(
        name="is_date",
        arguments="text: str",
        returns="bool",
        task=f"Return True if `text` is a date of the form '{form}' that exists, else False.",
        rules=["Day and month have two digits, the year has four.", february,
               *([f"Only the years {low} to {high} are allowed."] if low > 1 else
                 ["The year 0000 does not exist."])],
        body=code(
            """
            parts = text.split("$mark")
            if [len(part) for part in parts] != $sizes:
                return False
            if not all(part.isdigit() for part in parts):
                return False
            $names = map(int, parts)
            days = [31, $february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
            return $low <= y <= $high and 1 <= m <= 12 and 1 <= d <= days[m - 1]
            """,
            mark=mark, sizes=[4 if c == "Y" else 2 for c in order[::2]], low=low, high=high,
            names=", ".join(order[::2].lower()),
            february="29 if y % 4 == 0 and (y % 100 != 0 or y % 400 == 0) else 28" if leap
            else "28",
        ),
        calls=each(*texts, "", "today", "2021-02", "01.02.2021", "2021-03-04", "05/06/2021",
                   "2021/07/08"),
    )  # fmt: skip


@family(difficulty=3)
def version_numbers(rng: random.Random) -> Question:
    zero, v = rng.random() < 0.5, rng.choice(("", "v"))
    kind = rng.choice(("compare", "newest", "oldest", "up", "down"))
    rules = ["The parts are compared as numbers, so 1.10 is newer than 1.9."]
    rules.append(
        "Missing parts count as 0, so 1.2 and 1.2.0 are equal."
        if zero
        else "If one version is the beginning of the other, the longer one is newer."
    )
    if v:
        rules.append("Each version begins with the letter v.")
    numbers = f'[int(part) for part in version{"[1:]" if v else ""}.split(".")]'
    key = f"def key(version):\n    return {f'({numbers} + [0] * 5)[:5]' if zero else numbers}\n\n"
    if kind == "compare":
        pairs = [
            ["1.10", "1.9"],
            ["2.0.1", "2.0.1.1"],
            ["3.4", "3.4.0"],
            ["1", "2"],
            ["1.0", "1"],
            ["0.9.9", "0.10"],
            ["5.1.2", "5.1.2"],
            ["10.0", "9.99.99"],
            ["1.02", "1.2"],
        ]
        return Question(
            name="compare_versions", arguments="a: str, b: str", returns="int",
            task="Return 1 if version `a` is newer than version `b`, -1 if it is older, and 0 if "
            "both are equal.",
            rules=rules, body=f"{key}return (key(a) > key(b)) - (key(a) < key(b))",
            calls=[[v + a, v + b] for a, b in pairs],
        )  # fmt: skip
    lists = [
        ["1.9", "1.10", "1.2.3"],
        ["2.0", "0.30", "2.0.0.1", "1.99"],
        ["4.1", "4", "4.0.7"],
        ["1"],
        [],
        ["3.3.3", "3.3", "3.3.0"],
        ["0.1", "0.0.9", "0.11"],
        ["8.1", "7.7", "8.12"],
    ]
    single = kind in ("newest", "oldest")
    pick = {"newest": "max", "oldest": "min"}.get(kind)
    return Question(
        name=kind if single else "sort_versions",
        arguments="versions: list[str]",
        returns="str | None" if single else "list[str]",
        task=f"Return the {kind} of `versions`, or None for an empty list." if single else
        f"Return `versions`, sorted from {'old to new' if kind == 'up' else 'new to old'}.",
        rules=[*rules, *(["Of equal versions take the first in the list." if single else
                          "Equal versions keep their order."] if zero else [])],
        body=key + (f"return {pick}(versions, key=key) if versions else None" if single else
                    f"return sorted(versions, key=key{', reverse=True' * (kind == 'down')})"),
        calls=each(*([v + version for version in versions] for versions in lists)),
    )  # fmt: skip


@family(difficulty=3)
def nested_brackets(rng: random.Random) -> Question:
    pairs = rng.choice(("()", "()[]", "()[]{}", "<>", "[]{}"))
    kind = rng.choice(("valid", "depth", "first"))
    listed = " ".join(pairs[i : i + 2] for i in range(0, len(pairs), 2))
    task, name, returns, good, bad = {
        "valid": ("True if the brackets in `text` are balanced, else False", "is_balanced", "bool",
                  "True", "False"),
        "depth": ("how deeply the brackets in `text` are nested", "max_depth", "int", "deepest",
                  "-1"),
        "first": ("the index of the first character at which the brackets in `text` go wrong",
                  "first_error", "int", "-1", "i"),
    }[kind]  # fmt: skip
    rules = [
        f"The brackets are {listed}. Each closing bracket must match the last one that is "
        "still open. All other characters are ignored."
    ]
    rules += {
        "valid": ["Brackets that are never closed are not balanced."],
        "depth": ["A text without brackets has depth 0.", "If the brackets are not balanced, "
                  "return -1."],
        "first": ["That is the index of a closing bracket that does not match; if there is none "
                  "but brackets stay open, the length of the text. If the brackets are "
                  "balanced, return -1."],
    }[kind]  # fmt: skip
    closing = {pairs[i + 1]: pairs[i] for i in range(0, len(pairs), 2)}
    body = code("""
        closing = $closing
        open_brackets = []
        deepest = 0
        for i, char in enumerate(text):
            if char in closing.values():
                open_brackets.append(char)
                deepest = max(deepest, len(open_brackets))
            elif char in closing:
                if not open_brackets or open_brackets.pop() != closing[char]:
                    return $bad
        return $unclosed if open_brackets else $good
        """, closing=closing, bad=bad, good=good,
        unclosed={"valid": "False", "depth": "-1", "first": "len(text)"}[kind])  # fmt: skip
    if kind != "depth":
        body = "\n".join(line for line in body.split("\n") if "deepest" not in line)
    o, c = pairs[0], pairs[1]
    p, q = pairs[-2], pairs[-1]
    return Question(
        name=name, arguments="text: str", returns=returns, task=f"Return {task}.", rules=rules,
        body=body,
        calls=each(
            f"a{o}b{p}c{q}{c}d{o}{c}", f"{o}x{o}y{c}", f"k{p}{q}{c}m{o}", "", "none", o, c,
            f"{o}{c}", f"{o}{p}{c}{q}", f"{c}{o}", f"{o}{o}{o}z{c}{c}{c}", f"{o}{c}{p}{q}",
            "(]", "{(a)}", "[<>]", "a]b", "x}y", "1>0", "m)", f"{p}{o}{c}{o}{c}{q}{c}", "({[x]})",
        ),
    )  # fmt: skip
