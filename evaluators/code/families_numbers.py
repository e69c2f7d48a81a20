"""Families about whole numbers."""

from __future__ import annotations

import random

from questions import Question, code, each, family


@family(difficulty=1)
def digit_work(rng: random.Random) -> Question:
    name, task, form = rng.choice((
        ("digit_sum", "the sum of the digits of `n`", "sum(digits)"),
        ("digit_product", "the product of the digits of `n`", "math.prod(digits)"),
        ("largest_digit", "the largest digit of `n`", "max(digits)"),
        ("count_even_digits", "the number of even digits of `n`",
         "sum(1 for d in digits if d % 2 == 0)"),
        ("count_different_digits", "the number of different digits of `n`", "len(set(digits))"),
        ("largest_rearranged", "the largest number that can be written with all digits of `n`",
         'int("".join(map(str, sorted(digits, reverse=True))))'),
        ("digits_reversed", "the list of the digits of `n` from right to left", "digits[::-1]"),
        ("digit_range", "the difference of the largest and the smallest digit of `n`",
         "max(digits) - min(digits)"),
        ("reverse_number", "the number that has the digits of `n` in reverse order",
         'int("".join(map(str, digits[::-1])))'),
    ))  # fmt: skip
    returns = "list[int]" if "list" in task else "int"
    negative = rng.choice(("ignore", "minus", "none"))
    if returns != "int" and negative == "minus":
        negative = "ignore"
    rule = {
        "ignore": "The sign of a negative number is ignored.",
        "minus": "For a negative number, use its digits in the same way and return the result "
        "with a minus sign.",
        "none": "For a negative number, return None.",
    }[negative]
    result = f"({form}) * (-1 if n < 0 else 1)" if negative == "minus" else form
    return Question(
        name=name,
        arguments="n: int",
        returns=f"{returns} | None" if negative == "none" else returns,
        task=f"Return {task}.",
        rules=[rule],
        body=("import math\n" if "math" in form else "")
        + ("if n < 0:\n    return None\n" if negative == "none" else "")
        + f"digits = [int(char) for char in str(abs(n))]\nreturn {result}",
        calls=each(5283, 90417, 3366, 0, 7, 10, 100200, -482, -5, -1030, 987654321, 112233, 46),
    )  # fmt: skip


@family(difficulty=1, repair=True)
def fizz_words(rng: random.Random) -> Question:
    a, b = rng.choice(((3, 5), (2, 7), (4, 6), (3, 4), (5, 7), (2, 5)))
    one, two = rng.choice((("Fizz", "Buzz"), ("Tick", "Tock"), ("Red", "Blue"), ("Hop", "Skip")))
    both = rng.choice(("join", "first", "other"))
    kind = rng.choice(("multiple", "digit"))
    if kind == "multiple":
        tests = (f"n % {a} == 0", f"n % {b} == 0")
        about = (f"that are divisible by {a}", f"that are divisible by {b}")
    else:
        tests = (f"n % {a} == 0", f'"{b}" in str(n)')
        about = (f"that are divisible by {a}", f"that have the digit {b}")
    word = {"join": one + two, "first": one, "other": "Both"}[both]
    return Question(
        name=f"{one.lower()}_{two.lower()}",
        arguments="limit: int",
        returns="list[str]",
        task=f"Return a list of strings for the numbers from 1 to `limit`: '{one}' for numbers "
        f"{about[0]}, '{two}' for numbers {about[1]}, and the number itself as a string for all "
        "others.",
        rules=[f"Where both are true, the string is '{word}'.",
               "If `limit` is less than 1, return an empty list."],
        body=code("""
            result = []
            for n in range(1, limit + 1):
                if $first and $second:
                    result.append("$both")
                elif $first:
                    result.append("$one")
                elif $second:
                    result.append("$two")
                else:
                    result.append(str(n))
            return result
            """, first=tests[0], second=tests[1], both=word, one=one, two=two),
        calls=each(8, 7, 12, 0, 1, -3, 2, 3, 20, 42, 60),
        bugs=[("range(1, limit + 1)", "range(1, limit)"),
              ("result.append(str(n))", "result.append(n)"),
              (f"if {tests[0]} and {tests[1]}", f"if {tests[0]} or {tests[1]}")],
    )  # fmt: skip


@family(difficulty=2, repair=True)
def prime_work(rng: random.Random) -> Question:
    task, name, returns, nothing, form = rng.choice((
        ("a list of all prime numbers less than `n`, from small to large", "primes_below",
         "list[int]", "", "[k for k in range(2, n) if is_prime(k)]"),
        ("a list of all prime numbers up to and including `n`, from large to small",
         "primes_down", "list[int]", "", "[k for k in range(n, 1, -1) if is_prime(k)]"),
        ("how many prime numbers are less than or equal to `n`", "count_primes", "int", "",
         "len([k for k in range(2, n + 1) if is_prime(k)])"),
        ("the sum of all prime numbers less than `n`", "sum_primes", "int", "",
         "sum(k for k in range(2, n) if is_prime(k))"),
        ("the largest prime number less than `n`", "previous_prime", "int | None",
         "If there is none, return None.",
         "next((k for k in range(n - 1, 1, -1) if is_prime(k)), None)"),
        ("the smallest prime number greater than `n`", "next_prime", "int", "",
         "next(k for k in range(max(n, 1) + 1, 2 * max(n, 1) + 1) if is_prime(k))"),
        ("the different prime numbers that divide `n`, from small to large", "prime_divisors",
         "list[int]", "If `n` is less than 2, return an empty list.",
         "[k for k in range(2, n + 1) if is_prime(k) and n % k == 0]"),
        ("all pairs `[p, p + 2]` of prime numbers with p + 2 less than or equal to `n`, from "
         "small to large", "twin_primes", "list[list[int]]", "",
         "[[k, k + 2] for k in range(2, n - 1) if is_prime(k) and is_prime(k + 2)]"),
        ("the pair `[p, q]` of prime numbers with p + q equal to `n` and the smallest p",
         "prime_sum", "list[int] | None", "If there is no such pair, return None.",
         "next(([k, n - k] for k in range(2, n) if is_prime(k) and is_prime(n - k)), None)"),
        ("the largest prime number that divides `n`", "largest_prime_factor", "int | None",
         "If `n` is less than 2, return None.",
         "next((k for k in range(n, 1, -1) if is_prime(k) and n % k == 0), None)"),
        ("how many numbers from 2 to `n` (both included) are not prime", "count_composites",
         "int", "", "len([k for k in range(2, n + 1) if not is_prime(k)])"),
        ("True if `n` is a prime number and its digits in reverse order are a prime number too, "
         "else False", "is_reversible_prime", "bool", "Negative numbers are not prime.",
         "is_prime(n) and is_prime(int(str(n)[::-1]))"),
    ))  # fmt: skip
    return Question(
        name=name,
        arguments="n: int",
        returns=returns,
        task=f"Return {task}.",
        rules=[nothing] if nothing else [],
        body=code("""
            def is_prime(k):
                if k < 2:
                    return False
                for d in range(2, int(k ** 0.5) + 1):
                    if k % d == 0:
                        return False
                return True

            return $form
            """, form=form),
        calls=each(31, 20, 60, 13, 0, 1, 2, 3, 4, 5, 7, 49, 90, 97),
        bugs=[("int(k ** 0.5) + 1", "int(k ** 0.5)"), ("k < 2", "k < 4"),
              ("range(2, int(k ** 0.5) + 1)", "range(3, int(k ** 0.5) + 1)")],
    )  # fmt: skip


@family(difficulty=2)
def divisors_and_multiples(rng: random.Random) -> Question:
    task, name, rule, form = rng.choice((
        ("the greatest common divisor of all numbers in `numbers`", "common_divisor",
         "For an empty list, return 0.", "math.gcd(*numbers)"),
        ("the least common multiple of all numbers in `numbers`", "common_multiple",
         "For an empty list, return 1.", "math.lcm(*numbers)"),
        ("the greatest common divisor of the smallest and the largest number in `numbers`",
         "divisor_of_ends", "For an empty list, return 0.",
         "math.gcd(min(numbers), max(numbers)) if numbers else 0"),
        ("how many pairs of neighbours in `numbers` have no common divisor except 1",
         "coprime_neighbours", "A pair of neighbours is a number and the one right after it.",
         "sum(1 for a, b in zip(numbers, numbers[1:]) if math.gcd(a, b) == 1)"),
        ("the greatest common divisor of each number in `numbers` and the number after it, as a "
         "list", "neighbour_divisors", "The list is one shorter than `numbers`, and empty if "
         "`numbers` is empty.", "[math.gcd(a, b) for a, b in zip(numbers, numbers[1:])]"),
        ("a list in which each number of `numbers` is divided by the greatest common divisor of "
         "all of them", "reduce_all", "An empty list gives an empty list.",
         "[n // math.gcd(*numbers) for n in numbers]"),
        ("the smallest positive number that leaves the remainder 1 when it is divided by any of "
         "`numbers`, and that is greater than 1", "remainder_one",
         "For an empty list, return 2.", "math.lcm(*numbers) + 1"),
        ("how many numbers from 1 to 100 are divisible by every number in `numbers`",
         "count_multiples", "For an empty list, return 100.", "100 // math.lcm(*numbers)"),
        ("the numbers from 1 to 30 that are divisible by none of `numbers`, as a list",
         "without_multiples", "For an empty list, return all numbers from 1 to 30.",
         "[n for n in range(1, 31) if all(n % k for k in numbers)]"),
        ("the numbers that divide every number in `numbers`, from small to large, as a list",
         "common_divisors", "For an empty list, return an empty list.",
         "[k for k in range(1, max(numbers, default=0) + 1) if all(n % k == 0 for n in numbers)]"),
        ("the pair `[i, j]` of indices with i < j whose numbers have the largest greatest common "
         "divisor", "best_pair", "If several pairs are equally good, take the one with the "
         "smallest i, and of those the one with the smallest j. If there are fewer than two "
         "numbers, return an empty list.",
         "max(([i, j] for i in range(len(numbers)) for j in range(i + 1, len(numbers))), "
         "key=lambda p: (math.gcd(numbers[p[0]], numbers[p[1]]), -p[0], -p[1]), default=[])"),
    ))  # fmt: skip
    lists = [[12, 18, 30], [8, 20, 6, 9], [21, 14, 35, 10], [], [5], [7, 7], [6, 4], [9, 16, 25],
             [2, 3, 4], [15, 45, 30], [13, 26, 39, 52]]  # fmt: skip
    if name == "remainder_one":
        lists = [[2, 5], [4, 6], [3, 5, 7], [], [5], [7, 7], [6, 9, 2], [10], [2, 3, 4, 5]]
    return Question(
        name=name,
        arguments="numbers: list[int]",
        returns="list[int]" if "list" in task or "pair `" in task else "int",
        task=f"Return {task}.",
        rules=[rule, "All numbers are positive."],
        body=("import math\n" if "math" in form else "") + f"return {form}",
        calls=each(*lists),
    )


@family(difficulty=3)
def number_bases(rng: random.Random) -> Question:
    base = rng.choice((2, 3, 5, 7, 8, 12, 16))
    back = rng.random() < 0.4
    width = rng.choice((0, 0, 4, 6))
    negative = rng.choice(("sign", "none"))
    letters = " Use the letters A, B and so on for digits above 9." if base > 10 else ""
    rules = []
    if back:
        rules.append(
            "An empty string, or one with a character that is no digit of the base, gives None."
        )
        if base > 10:
            rules.append(
                "The letters A, B and so on stand for digits above 9, and may be in "
                "upper or lower case."
            )
        rules.append("A minus sign at the beginning is allowed if digits follow." if
                     negative == "sign" else "A minus sign is not allowed.")  # fmt: skip
        body = code("""
            digits = "0123456789ABCDEF"[:$base]
            text = text.upper()
            $sign
            if not text or any(char not in digits for char in text):
                return None
            value = 0
            for char in text:
                value = value * $base + digits.index(char)
            return $result
            """, base=base, result="-value if minus else value" if negative == "sign" else "value",
            sign='minus = text.startswith("-")\ntext = text[1:] if minus else text'
            if negative == "sign" else "",
        ).replace("text = text.upper()\n\n", "text = text.upper()\n")  # fmt: skip
        texts = ["1101", "-120", "1011001", "", "-", "0", "000", "2", "8", "9A", "ff", "7b", "--1",
                 "64", "G", "1 0", "-11"]  # fmt: skip
        return Question(
            name=f"from_base_{base}", arguments="text: str", returns="int | None",
            task=f"Return the whole number that `text` stands for in base {base}.",
            rules=rules, body=body, calls=each(*texts),
        )  # fmt: skip
    if width:
        rules.append(
            f"If it has fewer than {width} digits, put zeros in front until it has {width}."
        )
    rules.append(
        "A negative number gives a minus sign followed by the digits of its absolute value."
        if negative == "sign"
        else "A negative number gives an empty string."
    )
    pad = f'while len(text) < {width}:\n    text = "0" + text\n' if width else ""
    minus = '("-" if n < 0 else "") + text' if negative == "sign" else "text"
    early = "" if negative == "sign" else 'if n < 0:\n    return ""\n'
    return Question(
        name=f"to_base_{base}",
        arguments="n: int",
        returns="str",
        task=f"Return the whole number `n` written in base {base}.{letters}",
        rules=[*rules, "Do not put anything like '0b' in front."],
        body=early + code("""
            digits = "0123456789ABCDEF"
            left = abs(n)
            text = "" if left else "0"
            while left:
                text = digits[left % $base] + text
                left //= $base
            """, base=base) + f"\n{pad}return {minus}",
        calls=each(45, 190, 2748, 0, 1, base, base - 1, base * base, -6, -300, 99999),
    )  # fmt: skip


@family(difficulty=3)
def give_change(rng: random.Random) -> Question:
    coins = rng.choice(
        (
            [50, 20, 10, 5, 2, 1],
            [25, 10, 5, 1],
            [10, 5, 2],
            [100, 50, 20, 5],
            [20, 10, 5],
            [64, 16, 4, 1],
        )
    )
    form = rng.choice(("list", "count", "dict"))
    exact = min(coins) == 1
    head = {
        "list": "the list of coins, from large to small, that pays",
        "count": "how many coins are needed to pay",
        "dict": "a dictionary that says how many of each coin are needed to pay",
    }[form]
    rules = [
        f"The coins are {', '.join(map(str, coins[:-1]))} and {coins[-1]}, as many of each as "
        "needed. Always take the largest coin that still fits."
    ]
    if form == "dict":
        rules.append('The keys are strings such as "5"; coins that are not used are left out.')
    bad = {"list": "[]", "count": "0", "dict": "{}"}[form]
    words = {"list": "an empty list", "count": "0", "dict": "an empty dictionary"}[form]
    if not exact:
        rules.append(f"If a rest is left that no coin fits, return {words}.")
    rules.append(f"For an amount of 0 or less, return {words}.")
    result = {
        "list": "paid", "count": "len(paid)", "dict": "{str(c): paid.count(c) for c in paid}",
    }[form]  # fmt: skip
    check = "" if exact else f"if amount > 0:\n    return {bad}\n"
    return Question(
        name={"list": "pay", "count": "coins_needed", "dict": "pay"}[form],
        arguments="amount: int",
        returns={"list": "list[int]", "count": "int", "dict": "dict[str, int]"}[form],
        task=f"Return {head} `amount`.",
        rules=rules,
        body=code("""
            paid = []
            for coin in $coins:
                while amount >= coin:
                    paid.append(coin)
                    amount -= coin
            """, coins=coins) + f"\n{check}return {result}",
        calls=each(85, 140, 49, 0, -5, 1, 3, 6, 7, 13, 60, 99, 255, 80),
    )  # fmt: skip


@family(difficulty=3)
def share_amount(rng: random.Random) -> Question:
    who = rng.choice(("first", "last"))
    form = rng.choice(("cents", "text", "weights"))
    least = rng.choice((0, 0, 5, 10))
    side = "start" if who == "first" else "end"
    rules = []
    if form == "weights":
        args, zero = (
            "cents: int, weights: list[int]",
            "If the weights add up to 0, return an empty list.",
        )
        task = (
            "Return the list of whole cents that each person gets when `cents` are shared in "
            "proportion to `weights`."
        )
        rules.append(
            "First round each share down. Then hand out the cents that are left, one "
            f"each, to people from the {side} of the list."
        )
        head = code("""
            total = sum(weights)
            if total == 0:
                return []
            shares = [cents * weight // total for weight in weights]
            """)  # fmt: skip
        calls = [
            [100, [1, 1, 1]],
            [1000, [3, 2, 2]],
            [77, [5, 1, 4, 1]],
            [50, []],
            [50, [0, 0]],
            [0, [1, 2]],
            [7, [1, 0, 1]],
            [1, [1, 1]],
            [999, [10, 20, 30, 40]],
            [10, [1]],
            [5, [2, 2, 2, 2, 2, 2]],
            [30, [1, 1, 2]],
        ]
    else:
        args, zero = "cents: int, people: int", "If `people` is 0 or less, return an empty list."
        what = "whole cents" if form == "cents" else "strings such as '0.05' or '12.30'"
        task = f"Return the list of {what} that each person gets when `cents` are shared equally."
        if form == "text":
            rules.append(
                "The strings give the amount in whole units with two decimals; one unit "
                "has 100 cents."
            )
        rules.append(
            "Cents that cannot be shared equally are handed out one each to people from "
            f"the {side} of the list."
        )
        head = "if people <= 0:\n    return []\nshares = [cents // people] * people"
        calls = [[100, 3], [1234, 5], [77, 4], [0, 2], [5, 0], [9, -1], [2, 3], [10, 1], [999, 7],
                 [60, 6], [101, 10], [40, 5]]  # fmt: skip
    if least:
        rules.append(f"If anybody would get fewer than {least} cents, return an empty list.")
    index = "i" if who == "first" else "-1 - i"
    low = f"if any(share < {least} for share in shares):\n    return []\n" if least else ""
    last = (
        'return [f"{share // 100}.{share % 100:02d}" for share in shares]'
        if form == "text"
        else ("return shares")
    )
    return Question(
        name="share_cents",
        arguments=args,
        returns="list[str]" if form == "text" else "list[int]",
        task=task,
        rules=[*rules, zero],
        body=f"{head}\nfor i in range(cents - sum(shares)):\n    shares[{index}] += 1\n"
        f"{low}{last}",
        calls=calls,
    )  # fmt: skip
