"""Families about coding and decoding of text."""

from __future__ import annotations

import random

from questions import Question, code, each, family, sentence, words


@family(difficulty=3)
def shift_letters(rng: random.Random) -> Question:
    by, back = rng.randint(1, 12), rng.random() < 0.4
    upper = rng.choice(("shifted", "kept", "lowered"))
    digits = rng.random() < 0.4
    way = "back" if back else "forward"
    rules = [
        "After z comes a again." if not back else "Before a comes z.",
        {
            "shifted": "Upper-case letters are shifted in the same way and stay upper-case.",
            "kept": "Upper-case letters are not changed.",
            "lowered": "Upper-case letters become lower-case first and are then shifted.",
        }[upper],
        "Digits are shifted by the same number; "
        + ("after 9 comes 0." if not back else "before 0 comes 9.")
        if digits
        else "Digits are not changed.",
        "All other characters are not changed.",
    ]  # fmt: skip
    step = -by if back else by
    body = [
        f"step = {step}",
        'result = ""',
        f"for char in {'text.lower()' if upper == 'lowered' else 'text'}:",
        '    if "a" <= char <= "z":',
        '        result += chr((ord(char) - ord("a") + step) % 26 + ord("a"))',
    ]
    if upper == "shifted":
        body += [
            '    elif "A" <= char <= "Z":',
            '        result += chr((ord(char) - ord("A") + step) % 26 + ord("A"))',
        ]
    if digits:
        body += ['    elif "0" <= char <= "9":', "        result += str((int(char) + step) % 10)"]
    body += ["    else:", "        result += char", "return result"]
    return Question(
        name="encode" if not back else "decode",
        arguments="text: str",
        returns="str",
        task=f"Return `text` with each lower-case letter moved {by} place{'s' if by > 1 else ''} "
        f"{way} in the alphabet.",
        rules=rules,
        body="\n".join(body),
        calls=each(
            "Meet at 9, Zoe!", "xyz ABC 789", "Abba 1974", "", "abcdefghijklmnopqrstuvwxyz",
            "NOPQRSTUVWXYZ", "0123456789", "..., !", sentence(rng, 4),
        ),
    )  # fmt: skip


@family(difficulty=3, repair=True)
def encode_runs(rng: random.Random) -> Question:
    order = rng.choice(("after", "before"))
    ones = rng.random() < 0.5
    least = rng.choice((1, 1, 3, 4)) if ones else 1
    between = rng.choice(("", "", "-", ","))
    pair = 'f"{char}{count}"' if order == "after" else 'f"{count}{char}"'
    rules = [f"The number stands {order} the character."]
    if least > 1:
        rules.append(f"Runs of fewer than {least} characters are written as they are.")
        test = f"count < {least}"
    elif ones:
        rules.append("A run of one is written as the character alone, with no number.")
        test = "count == 1"
    else:
        rules.append("The number is written for runs of one, too.")
        test = "count == 0"
    if between:
        rules.append(f"The runs are joined with {between!r}.")
    rules.append("An empty text gives an empty string.")
    plain = "" if test == "count == 0" else f" if {test} else "
    piece = f"char * count{plain}{pair}" if plain else pair
    return Question(
        name="compress",
        arguments="text: str",
        returns="str",
        task="Return `text` with each run of equal characters replaced by the character and "
        "the length of the run.",
        rules=rules,
        body=code(
            """
            parts = []
            start = 0
            while start < len(text):
                char = text[start]
                end = start
                while end < len(text) and text[end] == char:
                    end += 1
                count = end - start
                parts.append($piece)
                start = end
            return $between.join(parts)
            """,
            piece=piece, between=repr(between),
        ),
        calls=[
            ["aaabccddddd"], ["xxxxyzzz"], ["oooops  yes"], [""], ["a"], ["ab"], ["AAaa"],
            ["zzzzzzzzzzzz"], ["mississippi"], ["aabbbbccccc"],
        ],
        bugs=[
            ("count = end - start", "count = end - start - 1"),
            ("    end = start\n", "    end = start + 2\n"),
            ("start = end\n", "start = end + 1\n"),
        ],
    )  # fmt: skip


@family(difficulty=3)
def decode_runs(rng: random.Random) -> Question:
    before, missing = rng.random() < 0.5, rng.random() < 0.5
    result = rng.choice(("text", "pairs", "length", "longest"))
    form = "a number followed by a letter" if before else "a letter followed by a number"
    example = "3a2b" if before else "a3b2"
    task, returns, last = {
        "text": ("the text that the run-length code `code` stands for", "str",
                 'return "".join(char * count for char, count in runs)'),
        "pairs": ("the run-length code `code` as a list of `[letter, number]` pairs, in order",
                  "list[list]", "return [[char, count] for char, count in runs]"),
        "length": ("the length of the text that the run-length code `code` stands for", "int",
                   "return sum(count for _, count in runs)"),
        "longest": ("the letter with the largest number in the run-length code `code` (the first "
                    "of them if several are largest), or an empty string if there is none", "str",
                    'return max(runs, key=lambda run: run[1])[0] if runs else ""'),
    }[result]  # fmt: skip
    texts = [("x12", "y", "z3"), ("a", "b2", "c10", "d"), ("m4", "n", "m2"), (), ("a2", "b2"),
             ("z20",), ("q1",), ("k",), ("h", "e", "y"), ("e1", "f1", "g1")]  # fmt: skip
    codes = ["".join(p[1:] + p[0] if before else p for p in parts) for parts in texts]
    return Question(
        name={"text": "expand", "pairs": "read_runs", "length": "expanded_length",
              "longest": "longest_run"}[result],
        arguments="code: str",
        returns=returns,
        task=f"Return {task}.",
        rules=[
            f"A code is made of parts, each {form}: {example!r} stands for 'aaabb'.",
            "Numbers may have more than one digit.",
            "A letter with no number stands for one letter." if missing
            else "A letter with no number is left out.",
        ],
        body=code(
            """
            import re
            runs = []
            for $names in re.findall(r"$pattern", code):
                $add
            $last
            """,
            names="number, char" if before else "char, number",
            pattern="([0-9]*)([a-z])" if before else "([a-z])([0-9]*)", last=last,
            add="runs.append((char, int(number or 1)))" if missing
            else "if number:\n        runs.append((char, int(number)))",
        ),
        calls=each(*codes),
    )  # fmt: skip


_STYLES = {
    "snake_case": ("max_line_length", '"_".join(parts)'),
    "kebab-case": ("max-line-length", '"-".join(parts)'),
    "camelCase": ("maxLineLength", 'parts[0] + "".join(part.capitalize() for part in parts[1:])'),
    "PascalCase": ("MaxLineLength", '"".join(part.capitalize() for part in parts)'),
    "CONSTANT_CASE": ("MAX_LINE_LENGTH", '"_".join(parts).upper()'),
    "dot.case": ("max.line.length", '".".join(parts)'),
}

_SPLITS = {
    "snake_case": 'name.split("_")',
    "kebab-case": 'name.split("-")',
    "camelCase": '"".join("_" + c.lower() if c.isupper() else c for c in name).split("_")',
    "CONSTANT_CASE": 'name.lower().split("_")',
}


def _short(style: str) -> str:
    return style.lower().replace("case", "").strip("_.-")


@family(difficulty=2)
def convert_name(rng: random.Random) -> Question:
    source = rng.choice(list(_SPLITS))
    target = rng.choice([style for style in _STYLES if style != source])

    def styled(parts: list[str]) -> str:
        return str(eval(_STYLES[source][1], {"parts": parts}))  # our own expression

    names = [["user", "id"], ["load", "all", "files"], ["parse", "http", "header"], ["x"],
             ["total"], ["a", "b", "c"], ["go", "on"], words(rng, 3), words(rng, 4)]  # fmt: skip
    return Question(
        name=f"{_short(source)}_to_{_short(target)}",
        arguments="name: str",
        returns="str",
        task=f"Return `name`, which is written in {source}, in {target}.",
        rules=[f"So {_STYLES[source][0]!r} becomes {_STYLES[target][0]!r}.",
               "The name has at least one word, and its words are made of letters only."],
        body=code("""
            parts = $split
            return $join
            """, split=_SPLITS[source], join=_STYLES[target][1]),
        calls=[[styled(parts)] for parts in names],
    )  # fmt: skip
