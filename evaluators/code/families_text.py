"""Families about strings."""

from __future__ import annotations

import random

from questions import Question, code, family, sentence, words


@family(difficulty=1)
def count_characters(rng: random.Random) -> Question:
    kind, test = rng.choice((
        ("vowels (a, e, i, o, u; upper and lower case)", "char.lower() in 'aeiou'"),
        ("digits (0 to 9)", "char in '0123456789'"),
        ("upper-case letters", "char.isupper()"),
        ("letters", "char.isalpha()"),
        ("characters that are neither letters nor digits nor spaces",
         "not char.isalnum() and char != ' '"),
        ("letters after m in the alphabet (upper and lower case)",
         "char.lower() in 'nopqrstuvwxyz'"),
    ))  # fmt: skip
    task, body = rng.choice((
        (f"Return how many {kind} are in `text`.", "sum(1 for char in text if $test)"),
        (f"Return how many different {kind} are in `text`. Upper and lower case of a letter count "
         "as different.", "len({char for char in text if $test})"),
        (f"Return the positions of all {kind} in `text` as a list, counted from 0.",
         "[i for i, char in enumerate(text) if $test]"),
    ))  # fmt: skip
    return Question(
        name="count_matching" if "how many" in task else "find_positions",
        arguments="text: str",
        returns="int" if "how many" in task else "list[int]",
        task=task,
        body=code("return " + body, test=test),
        calls=[
            ["Hello World 2024!"], ["Zoo Keeper, Room 17?"], ["Umbrella OPEN (x2)"], [""],
            ["AEIOUaeiou"], ["BANANA boat 55, 5?"], ["123"], ["..., !?"], ["x"],
            [sentence(rng, 6)],
        ],
    )  # fmt: skip


@family(difficulty=2, repair=True)
def pick_word(rng: random.Random) -> Question:
    longest, tie = rng.choice(("longest", "shortest")), rng.choice(("first", "last", "alphabet"))
    empty = rng.choice(('""', "None"))
    nothing = "an empty string" if empty == '""' else "None"
    sign = "-" if longest == "longest" else ""
    key, pick = {
        "first": (f"{sign}len(word)", "min"),
        "last": (f"{sign}len(word)", "min"),
        "alphabet": (f"({sign}len(word), word)", "min"),
    }[tie]
    rule = {
        "first": "If several words have that length, take the one that comes first in the text.",
        "last": "If several words have that length, take the one that comes last in the text.",
        "alphabet": "If several words have that length, take the alphabetically smallest of them.",
    }[tie]
    return Question(
        name=f"{longest}_word",
        arguments="text: str",
        returns="str" if empty == '""' else "str | None",
        task=f"Return the {longest} word of `text`. Words are separated by white space.",
        rules=[rule, f"If the text has no words, return {nothing}."],
        body=code(
            """
            words = text.split()
            if not words:
                return $empty
            return $pick($words, key=lambda word: $key)
            """,
            empty=empty, pick=pick, key=key,
            words="reversed(words)" if tie == "last" else "words",
        ),
        calls=[
            ["the quick brown fox jumps over it"], ["to be or not at all today"],
            ["red green blue black grey"], [""], ["   "], ["alone"], ["bb aa cc"],
            ["zzz yyyy xxxx ww vv"], [" ".join(words(rng, 7))], [" ".join(words(rng, 9))],
        ],
        bugs=[
            ("if not words:", "if len(words) == 1:"),
            (f"{sign}len(word)", f"{'' if sign else '-'}len(word)"),
        ],
    )  # fmt: skip


@family(difficulty=2)
def recase_words(rng: random.Random) -> Question:
    size = rng.randint(2, 5)
    which, test = rng.choice((
        (f"every word with at least {size} letters", f"len(word) >= {size}"),
        (f"every word with fewer than {size + 1} letters", f"len(word) < {size + 1}"),
        ("the first and the last word", "index in (0, len(words) - 1)"),
        ("every second word, beginning with the first one,", "index % 2 == 0"),
        ("every word that begins with a vowel (a, e, i, o or u)", "word[0] in 'aeiou'"),
    ))  # fmt: skip
    how, change = rng.choice((
        ("in upper case", "word.upper()"),
        ("with a capital first letter", "word.capitalize()"),
        ("reversed", "word[::-1]"),
    ))  # fmt: skip
    return Question(
        name="change_words",
        arguments="text: str",
        returns="str",
        task=f"Return `text` with {which} written {how}, and all other words as they are.",
        rules=["The text is in lower case, and single spaces separate its words.",
               "An empty text gives an empty string."],
        body=code(
            """
            words = text.split()
            changed = []
            for index, word in enumerate(words):
                changed.append($change if $test else word)
            return " ".join(changed)
            """,
            change=change, test=test,
        ),
        calls=[
            ["an owl sat on the old iron gate"], ["we see three tall ships"],
            ["it was only a dream in autumn"], [""], ["a"], ["alpha"], ["one two"],
            ["ox in ice"], [" ".join(words(rng, 7))], [" ".join(words(rng, 10))],
        ],
    )  # fmt: skip


@family(difficulty=2)
def check_palindrome(rng: random.Random) -> Question:
    case = rng.random() < 0.5
    empty = rng.choice((True, False))
    rule, test = rng.choice((
        ("Spaces do not count.", "char != ' '"),
        ("Only letters count; all other characters are ignored.", "char.isalpha()"),
        ("Only letters and digits count; all other characters are ignored.", "char.isalnum()"),
        ("Only digits count; all other characters are ignored.", "char in '0123456789'"),
        ("All characters count, spaces and punctuation too.", "True"),
        ("Hyphens and spaces do not count.", "char not in '- '"),
    ))  # fmt: skip
    digits = "digits" in rule and "letters" not in rule
    rules = [rule]
    if not digits:
        rules.append(
            "Upper and lower case of a letter are the same."
            if case
            else "Upper and lower case of a letter are different."
        )
    rules.append(f"If nothing is left to compare, return {empty}.")
    return Question(
        name="is_palindrome",
        arguments="text: str",
        returns="bool",
        task="Return True if `text` reads the same forwards and backwards, else False.",
        rules=rules,
        body=code(
            """
            kept = [char for char in $text if $test]
            if not kept:
                return $empty
            return kept == kept[::-1]
            """,
            text="text.lower()" if case and not digits else "text", test=test, empty=empty,
        ),
        calls=[
            ["never odd or even"], ["12-321"], ["Kayak"], [""], ["ab"], ["a1b2a"], ["no-on"],
            ["1a2b1"], ["Was it a car or a cat I saw?"], ["step on no pets"], ["1 2 2 1!"],
            ["x-y x"], ["!?"], ["level"], ["ab1ba7"], ["A b a"], ["7!7?"], ["Noon"], [" - "],
        ],
    )  # fmt: skip


@family(difficulty=3)
def shorten_text(rng: random.Random) -> Question:
    limit = rng.randint(8, 16)
    mark = rng.choice(("...", "~", "--"))
    mode = rng.choice(("end", "start", "word", "middle"))
    rules = [f"A text of at most {limit} characters is returned as it is."]
    where, cut = {
        "end": ("its first characters are kept, and the mark stands behind them",
                "return text[:keep] + mark"),
        "start": ("its last characters are kept, and the mark stands in front",
                  "return mark + text[len(text) - keep:]"),
        "word": ("its first words are kept, as many whole words as fit, joined with single "
                 "spaces, and the mark stands directly behind them",
                 'kept = ""\nfor word in text.split():\n'
                 '    longer = (kept + " " + word).strip()\n'
                 "    if len(longer) > keep:\n        break\n    kept = longer\n"
                 "return kept + mark"),
        "middle": ("characters are taken out of its middle: the mark stands between a beginning "
                   "and an end of the text, and the beginning is one character longer than the "
                   "end if they cannot be of equal length",
                   "end = keep // 2\nstart = keep - end\n"
                   "return text[:start] + mark + text[len(text) - end:]"),
    }[mode]  # fmt: skip
    rules.append(f"Of a longer text {where}.")
    rules.append(f"The mark {mark!r} shows what is missing and counts as part of the length.")
    if mode == "word":
        rules.append("If not even the first word fits, the result is the mark alone.")
    else:
        rules.append(f"The result then has exactly {limit} characters.")
    return Question(
        name="shorten",
        arguments="text: str",
        returns="str",
        task=f"Return `text` shortened to at most {limit} characters.",
        rules=rules,
        body=code(
            """
            if len(text) <= $limit:
                return text
            mark = $mark
            keep = $limit - len(mark)
            """,
            limit=limit, mark=repr(mark),
        ) + "\n" + cut,
        calls=[
            ["the rain in Spain stays in the plain"], ["a very long title for one book"],
            ["we all live in a yellow submarine"], [""], ["short"], ["x" * limit],
            ["x" * (limit + 1)], ["ab " * limit + "z"], ["incomprehensibilities of life"],
            ["one two three four five six"], ["to be or not to be"],
        ],
    )  # fmt: skip


@family(difficulty=2)
def shared_part(rng: random.Random) -> Question:
    end = rng.random() < 0.5
    case = rng.random() < 0.5
    length = rng.random() < 0.5
    two = rng.random() < 0.3
    part = "suffix" if end else "prefix"
    where = "end" if end else "begin"
    given = "both `first` and `second`" if two else "all strings in `names`"
    rules = [
        "If there is none, return 0." if length else "If there is none, return an empty string."
    ]
    if case:
        rules.append(
            "Ignore the difference of upper and lower case"
            + ("." if length else ", and return the result in lower case.")
        )
    else:
        rules.append("Upper and lower case of a letter are different.")
    if not two:
        rules.append(f"For an empty list, return {0 if length else 'an empty string'}.")
    lower = ".lower()" if case else ""
    flip = "[::-1]" if end else ""
    pairs = [["interview", "Interval"], ["reading", "Sleeping"], ["sunflower", "sunFLOWER"],
             ["", "x"], ["same", "same"], ["ab", "abc"], ["bc", "abc"], ["Cat", "cat"],
             ["dogs", "cats"], ["station", "nation"], ["UPPER", "upper"],
             ["prefix", "presuffix"]]  # fmt: skip
    lists = [["interview", "interval", "Internet"], ["reading", "Sleeping", "SING"],
             ["flower", "flow", "flight"], [], ["alone"], ["Abc", "abd"], ["singing", "ringing"],
             ["", "a"], ["x", "y"], ["Same", "same"], ["undo", "under", "unit", "UNTIL"],
             ["station", "nation", "ration"]]  # fmt: skip
    body = code(
        """
        names = [name$lower$flip for name in $names]
        if not names:
            return $nothing
        size = 0
        while size < min(len(name) for name in names) and len({name[size] for name in names}) == 1:
            size += 1
        return $result
        """,
        lower=lower, flip=flip, names="(first, second)" if two else "names",
        nothing="0" if length else '""',
        result="size" if length else f"names[0][:size]{flip}",
    )  # fmt: skip
    return Question(
        name=f"common_{part}_length" if length else f"common_{part}",
        arguments="first: str, second: str" if two else "names: list[str]",
        returns="int" if length else "str",
        task=f"Return the {'length of the ' if length else ''}longest string that {given} "
        f"{where} with.",
        rules=rules,
        body=body,
        calls=[list(pair) for pair in pairs] if two else [[names] for names in lists],
    )  # fmt: skip


@family(difficulty=3)
def group_anagrams(rng: random.Random) -> Question:
    least = rng.choice((1, 2, 3))
    order = rng.choice(("first", "size", "alphabet"))
    inner = rng.random() < 0.5
    rules = ["Words are anagrams of each other if they have the same letters, each as often."]
    if least > 1:
        rules.append(f"Leave out groups of fewer than {least} words.")
    rules.append(
        "Within a group, the words are sorted alphabetically."
        if inner
        else "Within a group, the words keep the order of the list."
    )
    rules.append({
        "first": "The groups are ordered by where their first word stands in the list.",
        "size": "The largest groups come first; groups of equal size are ordered by where their "
                "first word stands in the list.",
        "alphabet": "The groups are ordered alphabetically by their first word"
                    + (", after the words in them were sorted." if inner else "."),
    }[order])  # fmt: skip
    body = [
        "groups = {}",
        "for word in words:",
        '    groups.setdefault("".join(sorted(word)), []).append(word)',
    ]
    values = "[sorted(group) for group in groups.values()]" if inner else "list(groups.values())"
    body.append(f"found = {values}")
    if least > 1:
        body.append(f"found = [group for group in found if len(group) >= {least}]")
    if order == "size":
        body.append("found.sort(key=len, reverse=True)")
    elif order == "alphabet":
        body.append("found.sort(key=lambda group: group[0])")
    body.append("return found")
    return Question(
        name="group_anagrams",
        arguments="words: list[str]",
        returns="list[list[str]]",
        task="Return the words of `words` in groups of anagrams, as a list of lists.",
        rules=rules,
        body="\n".join(body),
        calls=[
            [["tea", "cat", "eat", "ate", "act", "dog"]],
            [["stop", "won", "pots", "now", "spot", "owl"]],
            [["least", "arc", "slate", "car", "stale", "zoo"]], [[]], [["solo"]],
            [["won", "now", "own", "ate", "tea", "eat", "eta"]],
            [["won", "now", "own", "nwo", "tea", "eat", "ate"]],
            [["ab", "ba"]],
            [["x", "y", "x"]], [["aab", "abb", "bba", "baa", "aba"]],
            [["rat", "tar", "art", "bat", "tab", "elbow", "below", "z"]],
            [["god", "eat", "dog", "tea", "ate", "act"]],
        ],
    )  # fmt: skip
