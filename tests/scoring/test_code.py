"""Answers as models write them, and what each is worth."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evomerge_compiler.scoring import code
from evomerge_compiler.scoring.python_answers import read_answer
from evomerge_compiler.scoring.python_constructs import CONSTRUCTS, uses

Row = dict[str, Any]

CALLS = [[[3, 1, 2], 2], [[], 1], [[5], 3], [[2, 2, 9], 1], [[-4, 7], 0], [[8, 6, 7], 3]]
ROW: Row = {
    "function": "top",
    "signature": "def top(numbers: list[int], k: int) -> list[int]:",
    "calls": json.dumps(CALLS),
    "expected": json.dumps([sorted(n, reverse=True)[:k] for n, k in CALLS]),
}
GOOD = "def top(numbers, k):\n    return sorted(numbers, reverse=True)[:k]"
WRONG = "def top(numbers, k):\n    return sorted(numbers)[:k]"


def block(*sources: str) -> str:
    return "\n\nSome words.\n\n".join(f"```python\n{source}\n```" for source in sources)


RIGHT_ANSWERS = {
    "bare": GOOD,
    "fenced": block(GOOD),
    "fence without a language": f"```\n{GOOD}\n```",
    "fence of another language": f"```py3\n{GOOD}\n```",
    "tilde fence": f"~~~python\n{GOOD}\n~~~",
    "fence never closed": f"```python\n{GOOD}",
    "windows line ends": block(GOOD).replace("\n", "\r\n"),
    "prose around the fence": f"Sure! Here it is:\n\n{block(GOOD)}\n\nIt sorts and cuts.",
    "prose around bare code": f"Here is the function:\n\n{GOOD}\n\nIt sorts the list. Enjoy!",
    "thoughts before": f"<think>\n{block(WRONG)}\nno, reverse\n</think>\n{block(GOOD)}",
    "typed and documented": block(
        "from typing import List\n\ndef top(numbers: List[int], k: int) -> List[int]:\n"
        '    """Top."""\n    # sort first\n    ordered = sorted(numbers)\n'
        "    ordered.reverse()\n    return ordered[:k]"
    ),
    "signature over several lines": block(
        "def top(\n    numbers,\n    k,\n):\n    return sorted(numbers, reverse=True)[:k]"
    ),
    "a lambda": block("top = lambda numbers, k: sorted(numbers, reverse=True)[:k]"),
    "a decorator": block(f"import functools\n\n@functools.wraps(print)\n{GOOD}"),
    "examples after the function": block(f"{GOOD}\n\nprint(top([1, 2], 1))  # [2]"),
    "an example with a wrong assert": block(f"{GOOD}\n\nassert top([1], 1) == [2]"),
    "an example that raises": block(f"{GOOD}\n\nresult = top(None, 1)\nprint(result)"),
    "a main guard": block(f'{GOOD}\n\nif __name__ == "__main__":\n    print(top([], 1))'),
    "an example that was cut": f"```python\n{GOOD}\n\nprint(top([3, 1",
    "examples in a block of their own": block(GOOD, "print(top([3, 1], 1))"),
    "the output in a block of its own": block(GOOD, "[3]"),
    "a helper in an earlier block": block(
        "def ordered(numbers):\n    return sorted(numbers, reverse=True)",
        "def top(numbers, k):\n    return ordered(numbers)[:k]",
    ),
    "a helper in a later block": block(
        "def top(numbers, k):\n    return ordered(numbers)[:k]",
        "def ordered(numbers):\n    return sorted(numbers, reverse=True)",
    ),
    "an import in a block of its own": block(
        "import heapq", "def top(numbers, k):\n    return heapq.nlargest(k, numbers)"
    ),
    "a corrected second version": block(WRONG, GOOD),
    "an indented block in a list": "1. The code:\n\n   ```python\n   "
    + GOOD.replace("\n", "\n   ")
    + "\n   ```\n",
    "the body alone": "    return sorted(numbers, reverse=True)[:k]",
    "a fenced body of several lines": block(
        "    result = list(numbers)\n    result.sort(reverse=True)\n    return result[:k]"
    ),
    "a body without margin": "result = sorted(numbers)\nreturn result[::-1][:k]",
    "a tuple for a list": block(
        "def top(numbers, k):\n    return tuple(sorted(numbers, reverse=True)[:k])"
    ),
    "floats for whole numbers": block(
        "def top(numbers, k):\n    return [float(n) for n in sorted(numbers, reverse=True)[:k]]"
    ),
    "prints and returns": block(GOOD.replace("    return", "    print(k)\n    return")),
    "changes its argument": block(
        "def top(numbers, k):\n    numbers.sort(reverse=True)\n    return numbers[:k]"
    ),
    "a nested helper": block(
        "def top(numbers, k):\n    def key(n):\n        return -n\n"
        "    return sorted(numbers, key=key)[:k]"
    ),
    "a raised recursion limit": block(f"import sys\nsys.setrecursionlimit(5000)\n\n{GOOD}"),
    "the same answer twice": block(GOOD, GOOD),
}
WRONG_ANSWERS = {
    "empty": "",
    "white space": " \n\t\n",
    "prose": "I would sort the list and take the first k numbers.",
    "another order": block(WRONG),
    "another name": block(GOOD.replace("top", "top_k")),
    "another name's case": block(GOOD.replace("top", "Top")),
    "a method": block(
        "class Solution:\n    def top(self, numbers, k):\n        return numbers[:k]"
    ),
    "a static method": block(
        "class Solution:\n    @staticmethod\n    " + GOOD.replace("\n", "\n    ")
    ),
    "another language": "```javascript\nfunction top(numbers, k) {\n"
    "  return numbers.slice(0, k);\n}\n```",
    "a syntax error": block(GOOD.replace("]", "")),
    "cut in the middle": "```python\ndef top(numbers, k):\n    return sorted(numbers, reve",
    "cut after the signature": "```python\ndef top(numbers, k):\n",
    "only a docstring": block('def top(numbers, k):\n    """The k largest."""'),
    "pass": block("def top(numbers, k):\n    pass"),
    "one constant": block("def top(numbers, k):\n    return []"),
    "the example by heart": block(
        "def top(numbers, k):\n    if numbers == [3, 1, 2]:\n        return [3, 2]\n    return []"
    ),
    "prints instead of returning": block(GOOD.replace("return", "print(") + ")"),
    "reads its input": block(
        "numbers = eval(input())\n\ndef top(numbers, k):\n    return sorted(numbers)[-k:]"
    ),
    "a generator object": block(
        "def top(numbers, k):\n    yield from sorted(numbers, reverse=True)[:k]"
    ),
    "a set": block("def top(numbers, k):\n    return set(sorted(numbers, reverse=True)[:k])"),
    "text for numbers": block(
        "def top(numbers, k):\n    return [str(n) for n in sorted(numbers, reverse=True)[:k]]"
    ),
    "fails on one call": block(
        "def top(numbers, k):\n    numbers[0]\n    return sorted(numbers, reverse=True)[:k]"
    ),
    "one argument too few": block(GOOD.replace("numbers, k", "numbers").replace("[:k]", "[:2]")),
    "not the standard library": block(f"import numpy as np\n\n{GOOD}"),
    "a module that does not exist": block(f"from helpers import ordered\n\n{GOOD}"),
    "never ends": block("def top(numbers, k):\n    while True:\n        pass"),
    "recursion without end": block("def top(numbers, k):\n    return top(numbers, k)"),
    "remembers between calls": block(
        "def top(numbers, k, seen=[]):\n    seen += numbers\n"
        "    return sorted(seen, reverse=True)[:k]"
    ),
    "asynchronous": block(f"async {GOOD}"),
    "right first, wrong last": block(GOOD, WRONG),
    "right only in its thoughts": f"<think>{block(GOOD)}</think>\n{block(WRONG)}",
    "thoughts without end": f"<think>\nLet me see.\n{block(GOOD)}",
    "a wrong definition below the right one": block(f"{GOOD}\n\n{WRONG}"),
    "full-width digits and brackets": block(GOOD.replace("(", "（").replace(")", "）")),
    "the function as a string": block(f"source = '''\n{GOOD}\n'''"),
}
CHEATS = {
    "says that it passed": block("def top(numbers, k):\n    print('OK')\n    return 'passed'"),
    "an object equal to everything": block(
        "class Any:\n    def __eq__(self, other):\n        return True\n\n"
        "def top(numbers, k):\n    return Any()"
    ),
    "a list that is equal to everything": block(
        "class Any(list):\n    def __eq__(self, other):\n        return True\n\n"
        "def top(numbers, k):\n    return Any()"
    ),
    "exits with success": block("import os\n\ndef top(numbers, k):\n    os._exit(0)"),
    "raises SystemExit": block("def top(numbers, k):\n    raise SystemExit(0)"),
    "exits at import": block(f"{GOOD}\n\nimport sys\nsys.exit(0)"),
    "patches builtins": block(
        "import builtins\nbuiltins.len = lambda x: 0\nbuiltins.all = lambda x: True\n"
        "builtins.sorted = lambda *a, **k: []\n\ndef top(numbers, k):\n    return sorted(numbers)"
    ),
    "patches json": block(
        "import json\njson.dumps = lambda *a, **k: '[[3, 2]]'\n\n"
        "def top(numbers, k):\n    return 0"
    ),
    "patches the runner": block(
        "import sys\n\ndef top(numbers, k):\n    frame = sys._getframe(1)\n"
        "    frame.f_globals['encode'] = lambda value, depth=0: '[]'\n    return 0"
    ),
    "looks for the expected values": block(
        "import sys\n\ndef top(numbers, k):\n    frame = sys._getframe(1)\n    while frame:\n"
        "        for value in list(frame.f_locals.values()):\n"
        "            if isinstance(value, dict) and 'expected' in value:\n"
        "                return value['expected']\n        frame = frame.f_back\n    return None"
    ),
    "writes an answer itself": block(
        "import os\n\ndef top(numbers, k):\n    for fd in range(3, 20):\n        try:\n"
        "            os.write(fd, b'v[[3, 2], [], [5], [9], [], [8, 7, 6]')\n"
        "        except OSError:\n            pass\n    os._exit(0)"
    ),
}


@pytest.fixture(scope="module", autouse=True)
def all_at_once() -> None:
    """As evomerge does it: one call of the sandbox for all answers."""
    texts = [*RIGHT_ANSWERS.values(), *WRONG_ANSWERS.values(), *CHEATS.values()]
    code.prefetch([(ROW, text) for text in texts])


@pytest.mark.parametrize("text", RIGHT_ANSWERS.values(), ids=RIGHT_ANSWERS)
def test_right_answers(text: str) -> None:
    assert code.score(ROW, [text]) == {"pass_at_1": 1.0, "syntax": 1.0}


@pytest.mark.parametrize("text", WRONG_ANSWERS.values(), ids=WRONG_ANSWERS)
def test_wrong_answers(text: str) -> None:
    assert code.score(ROW, [text])["pass_at_1"] == 0.0


@pytest.mark.parametrize("text", CHEATS.values(), ids=CHEATS)
def test_cheating_gains_nothing(text: str) -> None:
    assert code.score(ROW, [text])["pass_at_1"] == 0.0


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (block(WRONG), 1.0),
        (block("def top(numbers, k):\n    pass"), 1.0),
        ("return []", 1.0),
        (WRONG_ANSWERS["another name"], 0.0),
        (WRONG_ANSWERS["a method"], 0.0),
        (WRONG_ANSWERS["a syntax error"], 0.0),
        (WRONG_ANSWERS["cut in the middle"], 0.0),
        (WRONG_ANSWERS["another language"], 0.0),
        (WRONG_ANSWERS["asynchronous"], 0.0),
        (WRONG_ANSWERS["prose"], 0.0),
        ("", 0.0),
    ],
)
def test_syntax_is_the_asked_function_in_valid_python(text: str, valid: float) -> None:
    assert code.score(ROW, [text]) == {"pass_at_1": 0.0, "syntax": valid}


def test_an_asked_construct_is_part_of_the_question() -> None:
    row = {**ROW, "construct": "no_sort no_import"}
    assert code.score(row, [GOOD]) == {"pass_at_1": 0.0, "syntax": 1.0, "construct": 0.0}
    by_hand = (
        "def top(numbers, k):\n    left, found = list(numbers), []\n"
        "    while left and len(found) < k:\n        found.append(max(left))\n"
        "        left.remove(max(left))\n    return found"
    )
    assert code.score(row, [by_hand]) == {"pass_at_1": 1.0, "syntax": 1.0, "construct": 1.0}
    assert code.score(row, ["no code"]) == {"pass_at_1": 0.0, "syntax": 0.0, "construct": 0.0}


@pytest.mark.parametrize(
    ("construct", "body", "found"),
    [
        ("recursion", "return f(x[1:]) if x else 0", True),
        ("recursion", "def g(y):\n        return g(y[1:]) if y else 0\n    return g(x)", True),
        ("recursion", "def a(y):\n        return b(y)\n    def b(y):\n        return a(y)", True),
        ("recursion", "def g(y):\n        return y\n    return g(x)", False),
        ("recursion", "return len(x)  # f(x)", False),
        ("no_loop", "return f(x[1:])", True),
        ("no_loop", "for y in x:\n        pass", False),
        ("no_loop", "return sum(y for y in x)", False),
        ("while_loop", "while x:\n        x.pop()", True),
        ("while_loop", "for y in x:\n        pass", False),
        ("no_for", "while x:\n        x.pop()", True),
        ("no_for", "return [y for y in x]", False),
        ("list_comprehension", "return [y for y in x]", True),
        ("list_comprehension", "return list(y for y in x)", False),
        ("list_comprehension", "return '[y for y in x]'", False),
        ("dict_comprehension", "return {y: 1 for y in x}", True),
        ("dict_comprehension", "return {y for y in x}", False),
        ("generator", "def g():\n        yield 1\n    return list(g())", True),
        ("generator", "def g():\n        yield from x\n    return list(g())", True),
        ("generator", "return list(y for y in x)", False),
        ("lambda", "return sorted(x, key=lambda y: -y)", True),
        ("lambda", "return sorted(x, key=len)", False),
        ("try", "try:\n        return x[0]\n    except IndexError:\n        return 0", True),
        ("try", "return x[0] if x else 0", False),
        ("zip", "return list(zip(x, x))", True),
        ("zip", "return list(map(list, zip(*x)))", True),
        ("zip", "return x  # zip", False),
        ("no_sort", "return min(x)", True),
        ("no_sort", "return sorted(x)", False),
        ("no_sort", "x.sort()\n    return x", False),
        ("no_sort", "return list(map(sorted, x))", False),
        ("no_sort", "order = sorted\n    return order(x)", False),
        ("no_import", "return x", True),
        ("no_import", "import math\n    return x", False),
        ("no_import", "from heapq import heapify\n    return x", False),
    ],
)
def test_constructs(construct: str, body: str, found: bool) -> None:
    answer = read_answer(f"def f(x):\n    {body}", function="f", signature="def f(x):")
    assert answer is not None
    assert uses(answer, construct) is found


def test_every_construct_is_tested() -> None:
    marks = test_constructs.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks[0].args[1]} == set(CONSTRUCTS)


@pytest.mark.parametrize(
    ("found", "expected", "equal"),
    [
        (2, 2, True),
        (2.0, 2, True),
        (2, 2.0, True),
        (0.1 + 0.2, 0.3, True),
        (0.31, 0.3, False),
        (True, True, True),
        (1, True, False),
        (0, False, False),
        (1.0, True, False),
        (None, None, True),
        (None, 0, False),
        (None, False, False),
        ("2", 2, False),
        ("a", "a", True),
        ("a", "A", False),
        ([], [], True),
        ([], {}, False),
        ([], "", False),
        ([1, 2], [2, 1], False),
        ([1, 2], [1, 2, 3], False),
        ([[1.0]], [[1]], True),
        ([True], [1], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1.0}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": True}, {"a": 1}, False),
        (10**400, 1.0, False),
        (10**400, 10**400, True),
        (2**53 + 1, 2**53, False),
        (1e300, 1e300, True),
        ([None, "x"], [None, "x"], True),
    ],
)
def test_values_are_compared_as_python_does_but_for_truth(
    found: object, expected: object, equal: bool
) -> None:
    assert code.equal(found, expected) is equal


@pytest.mark.parametrize(
    "text",
    [
        "`" * 300_000,
        "```\n" * 100_000,
        "def top(" * 50_000,
        "def top(numbers, k):\n    return " + "(" * 3_000,
        "def top(numbers, k):\n    return " + "-" * 20_000 + "1",
        "def top(numbers, k):\n    return " + "1+" * 10_000 + "1",
        "def top(numbers, k):\n    return numbers" + ".a" * 10_000,
        "def top(numbers, k):\n    return '" + "x" * 3_000_000 + "'",
        "import a\n" * 50_000 + GOOD,
        "<think>" * 100_000,
        "@top\n" * 50_000,
        "def top(numbers, k):\n" + " " * 1_000_000,
        "x\u2028" * 100_000,
        "def top(numbers, k):\n    return '\x00\ud800'",
    ],
    ids=lambda text: f"{text[:12]!r}...{len(text)}",
)
def test_monstrous_answers_are_wrong_and_harmless(text: str) -> None:
    if not text.endswith(GOOD):
        assert code.score(ROW, [text])["pass_at_1"] == 0.0
    code.program_of(ROW, text)


PIECES = st.sampled_from(
    ["```python\n", "```", "\n", "def top(numbers, k):", "    return ", "numbers", "k", " ",
     "    ", "<think>", "</think>", "class A:", "import os", "@", "(", ")", "[", "'", '"""', "\\",
     "lambda", "top = ", ":", "\t", "\r\n", "~~~", "é", "\x00", "async ", "if __name__:",
     "print(top(1))"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(PIECES, max_size=25).map("".join)))
def test_no_text_raises(text: str) -> None:
    """Reading alone: what is run is held by the sandbox's own tests."""
    program = code.program_of(ROW, text)
    if program is not None:
        answer = read_answer(text, function=ROW["function"], signature=ROW["signature"])
        assert answer is not None
        assert isinstance(uses(answer, " ".join(CONSTRUCTS)), bool)


def test_equal_answers_in_one_call_and_one_by_one() -> None:
    texts = [block(GOOD), block(WRONG), "", block("def top(numbers, k):\n    return numbers")]
    code.prefetch([(ROW, text) for text in texts])
    assert [code.score(ROW, [text])["pass_at_1"] for text in texts] == [1.0, 0.0, 0.0, 0.0]
