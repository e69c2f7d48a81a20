"""Programs and a benchmark's assert tests: right and wrong ones, and those that try to cheat."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge_compiler.scoring import assert_harness, assert_tests
from evomerge_compiler.scoring.assert_tests import (
    humaneval_prompt,
    mbpp_prompt,
    prefetch,
    read_tests,
    reference,
    score,
)

# In the columns of openai/openai_humaneval.
COUNT: dict[str, Any] = {
    "task_id": "Own/1",
    "prompt": (
        "from typing import List\n\n\ndef shift(n: int) -> int:\n    return n + 1\n\n\n"
        "def count_up(values: List[int], start: int = 0) -> tuple:\n"
        '    """Adds the position, from start on, to each value.\n    >>> count_up([1, 1])\n'
        '    (1, 2)\n    """\n'
    ),
    "canonical_solution": (
        "    return tuple(value + i for i, value in enumerate(values, start))\n"
    ),
    "test": (
        "METADATA = {'author': 'own'}\n\nimport random\n\ndef check(candidate):\n"
        "    assert candidate([1, 1]) == (1, 2), 'two'\n"
        "    assert candidate([], start=3) == ()\n"
        "    for _ in range(5):\n"
        "        n = random.randint(0, 99)\n"
        "        values = [n]\n"
        "        assert abs(candidate(values, n)[0] - 2 * n) < 1e-6\n"
        "        assert candidate([0, 0], n)[1] == shift(n)\n"
    ),
    "entry_point": "count_up",
}
# In the columns of google-research-datasets/mbpp.
MERGE: dict[str, Any] = {
    "task_id": 1,
    "text": "Write a function to merge two sets.",
    "code": "def merge(a, b):\r\n  return a | b",
    "test_list": [
        "assert merge({1}, {2}) == {1, 2}",
        "assert sorted(merge({3}, set())) == [3]",
        "assert merge(frozenset([1]), {(1, 2)}) == {1, (1, 2)}",
    ],
    "test_setup_code": "",
    "challenge_test_list": [],
}
OWN_CLASS: dict[str, Any] = {
    "task_id": 2,
    "text": "Write a function to tell the height of a tree.",
    "code": (
        "class Node:\n  def __init__(self, left=None):\n    self.left = left\n"
        "def height(node):\n  return 0 if node is None else 1 + height(node.left)"
    ),
    "test_list": ["assert height(root) == 2"],
    "test_setup_code": "root = Node()\r\nroot.left = Node()",
    "challenge_test_list": [],
}


def passes(row: dict[str, Any], code: str) -> bool:
    return score(row, [f"Here it is:\n```python\n{code}\n```\n"])["pass_at_1"] == 1.0


@pytest.mark.parametrize("row", [COUNT, MERGE, OWN_CLASS], ids=["humaneval", "mbpp", "own class"])
def test_the_reference_passes(row: dict[str, Any]) -> None:
    assert score(row, [reference(row)]) == {"pass_at_1": 1.0, "syntax": 1.0}


SAME_OBJECT = """
class Same(tuple):
    __eq__ = __lt__ = lambda self, other: True
    __hash__ = lambda self: 0
    __sub__ = __abs__ = __getitem__ = lambda self, *other: self
def count_up(values, start=0):
    return Same()
"""


@pytest.mark.parametrize(
    ("code", "right"),
    [
        pytest.param("def count_up(v, start=0):\n    return tuple(x + i for i, x in "
                     "enumerate(v, start))", True, id="another way of writing it"),
        pytest.param("def count_up(v, start=0):\n    return tuple(shift(x) + i - 1 for i, x in "
                     "enumerate(v, start))", True, id="with the prompt's own helper"),
        pytest.param("def count_up(v: List[int], start=0):\n    v[:] = [x + i for i, x in "
                     "enumerate(v, start)]\n    return tuple(v)", True, id="changes its argument"),
        pytest.param("import sys\nsys.setrecursionlimit(2000)\ndef count_up(v, start=0):\n    "
                     "return (v[0] + start,) + count_up(v[1:], start + 1) if v else ()", True,
                     id="recursive"),
        pytest.param("def count_up(v, start=0):\n    return [x + i for i, x in "
                     "enumerate(v, start)]", False, id="a list is no tuple"),
        pytest.param("def count_up(v, start=0):\n    return tuple(x + i for i, x in "
                     "enumerate(v))", False, id="wrong"),
        pytest.param("def count_up(v):\n    return tuple(v)", False, id="wrong arguments"),
        pytest.param("def count(v, start=0):\n    return ()", False, id="another name"),
        pytest.param("def count_up(v, start=0):\n    return object()", False, id="an object"),
        pytest.param("def count_up(v, start=0):\n    raise AssertionError", False, id="raises"),
        pytest.param(SAME_OBJECT, False, id="cheats: equals everything"),
        pytest.param("import os\ndef count_up(v, start=0):\n    os._exit(0)", False,
                     id="cheats: ends the process"),
        pytest.param("def count_up(v, start=0):\n    raise SystemExit(0)", False,
                     id="cheats: exits"),
        pytest.param("import builtins\nbuiltins.AssertionError = ZeroDivisionError\n"
                     "def check(f): pass\ndef count_up(v, start=0):\n    return None", False,
                     id="cheats: patches builtins"),
        pytest.param("import sys\ndef count_up(v, start=0):\n    frame = sys._getframe(1)\n"
                     "    frame.f_locals['values'].append(True)\n    return True", False,
                     id="cheats: writes into the harness"),
    ],
)  # fmt: skip
def test_programs(code: str, right: bool) -> None:
    assert passes(COUNT, code) is right


def test_what_a_program_writes_in_place_of_its_values_is_only_read_in_the_sandbox() -> None:
    forged = (
        "import os\ndef count_up(v, start=0):\n    text = {text}\n"
        "    for fd in range(3, 64):\n        try: os.write(fd, b'v' + text)\n"
        "        except OSError: pass\n    os._exit(0)"
    )
    for text in ("b'[true]'", "b'[[true]]'", "b'[\"' + b'[' * 9000 + b'\"]'",
                 "b'[\"[{\\\\\"value\\\\\": true}]\"]'"):  # fmt: skip
        assert not passes(COUNT, forged.format(text=text))


def test_a_program_without_end_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assert_tests, "TIMEOUT_S", 1.0)
    assert not passes(COUNT, "def count_up(v, start=0):\n    while True: pass")


def test_a_body_alone_and_no_code_at_all() -> None:
    assert score(COUNT, [COUNT["canonical_solution"]])["pass_at_1"] == 1.0
    assert score(COUNT, ["I do not know."]) == {"pass_at_1": 0.0, "syntax": 0.0}
    assert score(COUNT, [""]) == {"pass_at_1": 0.0, "syntax": 0.0}


def test_values_keep_their_python_types() -> None:
    assert passes(MERGE, "def merge(a, b):\n    return set(list(a) + list(b))")
    assert not passes(MERGE, "def merge(a, b):\n    return list(a) + list(b)")
    row = {**MERGE, "test_list": ["assert list(merge('ab', {1: (2,)})) == ['a', 'b', (2,)]"]}
    assert passes(row, "def merge(a, b):\n    yield from a\n    yield b[1]")
    row = {**MERGE, "test_list": ["assert merge(1, 2) == float('inf')"]}
    assert passes(row, "def merge(a, b):\n    return float('inf')")


def test_tests_that_want_an_exception_run_beside_the_program() -> None:
    test = (
        "try:\n    merge(1, 0)\n    raise SystemError\n"
        "except ZeroDivisionError:\n    assert merge(4, 2) == 2"
    )
    row = {**MERGE, "test_list": [test]}
    assert passes(row, "def merge(a, b):\n    return a / b")
    assert not passes(row, "def merge(a, b):\n    return a / (b or 1)")


def test_tests_that_need_the_programs_own_objects_run_beside_it() -> None:
    assert passes(OWN_CLASS, OWN_CLASS["code"])
    assert not passes(OWN_CLASS, OWN_CLASS["code"].replace("1 +", "2 +"))
    assert not passes(OWN_CLASS, "def height(node):\n    return 2")


def test_a_function_may_have_the_name_of_a_builtin() -> None:
    row = {**MERGE, "code": "def sum(a, b):\n  return a * b", "test_list": [
        "assert sum(10, 15) == 150", "assert sum(1, 2) == 2",
    ]}  # fmt: skip
    assert read_tests(row).function == "sum"
    assert score(row, [reference(row)])["pass_at_1"] == 1.0


def test_prompts_say_what_is_asked() -> None:
    assert COUNT["prompt"].strip() in humaneval_prompt(COUNT)
    assert all(test in mbpp_prompt(MERGE) for test in MERGE["test_list"])
    # Nothing but the tests says what the function is called.
    assert MERGE["text"] in mbpp_prompt(MERGE)


def test_prefetch_runs_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from evomerge_compiler.evaluation import sandbox

    pairs = [(COUNT, reference(COUNT)), (MERGE, reference(MERGE)), (MERGE, "no code")]
    prefetch(pairs)
    started: list[int] = []
    original = sandbox.Sandbox._run_all
    monkeypatch.setattr(
        sandbox.Sandbox, "_run_all",
        lambda self, jobs, *rest: (started.append(len(jobs)), original(self, jobs, *rest))[1],
    )  # fmt: skip
    assert [score(row, [text])["pass_at_1"] for row, text in pairs] == [1.0, 1.0, 0.0]
    assert sum(started) == 0


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary() | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=10,
) | st.sets(st.integers() | st.tuples(st.text())) | st.frozensets(st.text())  # fmt: skip


@given(PLAIN)
def test_values_come_back_as_they_were(value: object) -> None:
    import json

    back = assert_harness.decode(json.loads(json.dumps(assert_harness.encode(value))))
    assert back == value and type(back) is type(value)


@pytest.mark.parametrize("value", [range(0), range(3), range(7, 1, -2), range(5, 6)])
def test_ranges_come_back(value: range) -> None:
    assert assert_harness.decode(assert_harness.encode(value)) == value
