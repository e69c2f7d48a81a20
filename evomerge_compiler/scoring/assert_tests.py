"""Judges Python programs by a benchmark's own assert tests: HumanEval and MBPP.

The tests are scripts of asserts, made to be run behind the program in one process. There, a
program passes that ends the process in good time, or returns an object that equals everything.
Here tests and program never meet (:mod:`.assert_harness`):

1. the tests run alone, with a stand-in for the function, which shows the calls that they make;
2. the program makes these calls in a process of its own, and its values come back as plain data;
3. the tests run again, with a stand-in that gives these values.

All three run in the sandbox: the tests are downloaded code too. With the reference solutions 164
of 164 HumanEval items and 499 of 500 MBPP items pass in this way. In the one left over (MBPP 367)
the tests build objects of the program's own class: these are judged in the program's process.
"""

from __future__ import annotations

import ast
import builtins
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evomerge_compiler.scoring.python_answers import read_answer

if TYPE_CHECKING:
    from evomerge_compiler.evaluation.sandbox import Program, Run

Row = dict[str, Any]

TIMEOUT_S = 10.0  # the slowest reference, MBPP 123, takes 2 to 4 s of processor time


@dataclass(frozen=True)
class AssertTests:
    """The tests of one item.

    Attributes:
        function: Name of the function under test.
        signature: The line that defines it, for answers that are a body alone.
        prompt: Python text that the program may rely on; it comes before it.
        before: Python text that the tests need.
        tests: Python text with asserts.
    """

    function: str
    signature: str
    prompt: str
    before: str
    tests: str


def score(row: Row, results: Sequence[str]) -> dict[str, float]:
    """Judges one answer, as lm-eval's ``process_results``.

    Args:
        row: The item, in the columns of the benchmark.
        results: One generated text.

    Returns:
        ``pass_at_1``: all tests hold. ``syntax``: the answer has the function in valid Python.

    Raises:
        SandboxUnavailable: Generated code cannot be held here.
    """
    tests = read_tests(row)
    source = _source(tests, results[0])
    passed = source is not None and judge([(tests, source)])[0]
    return {"pass_at_1": float(passed), "syntax": float(source is not None)}


def prefetch(pairs: Sequence[tuple[Row, str]]) -> None:
    """Judges a whole task at once; the sandbox remembers, :func:`score` looks up.

    Raises:
        SandboxUnavailable: Generated code cannot be held here.
    """
    read = [
        (tests, _source(tests, text)) for tests, text in ((read_tests(r), t) for r, t in pairs)
    ]
    judge([(tests, source) for tests, source in read if source is not None])


def humaneval_prompt(row: Row) -> str:
    """The chat turn that asks for a HumanEval function."""
    return (
        "Complete this Python function. Answer with the whole function in one Python code "
        f"block.\n\n```python\n{row['prompt'].strip()}\n```"
    )


def mbpp_prompt(row: Row) -> str:
    """The chat turn that asks for an MBPP program; the tests are what names the function."""
    tests = "\n".join(row["test_list"])
    return (
        f"{row['text'].strip()}\n\nYour code should pass these tests:\n\n```python\n{tests}\n```"
        "\n\nAnswer with the Python code in one code block, without the tests."
    )


def reference(row: Row) -> str:
    """The benchmark's own solution, as a good model would write it."""
    code = row["code"] if "code" in row else row["prompt"] + row["canonical_solution"]
    return f"```python\n{code.strip()}\n```"


def read_tests(row: Row) -> AssertTests:
    """The tests of a HumanEval item (it has an ``entry_point``) or of an MBPP item."""
    if "entry_point" in row:
        function = str(row["entry_point"])
        return AssertTests(
            function=function,
            signature=_signature(row["prompt"], function),
            prompt=row["prompt"],
            before=row["prompt"],
            tests=f"{row['test']}\n\ncheck({function})\n",
        )
    tests, before = "\n".join(row["test_list"]), str(row.get("test_setup_code") or "")
    function = _tested(tests, before)
    return AssertTests(function, f"def {function}(*arguments):", "", before, tests)


def _signature(prompt: str, function: str) -> str:
    for node in ast.walk(ast.parse(prompt)):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            node.body, node.decorator_list = [ast.Pass()], []
            return ast.unparse(node).split("\n")[0]
    return f"def {function}(*arguments):"


def _tested(tests: str, before: str) -> str:
    """The function that tests call: the first name called that nothing else binds.

    One MBPP item asks for a function called ``sum``: where all are bound, the first counts.
    """
    called = [
        node.func.id
        for node in ast.walk(ast.parse(tests))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    bound = {
        node.id
        for node in ast.walk(ast.parse(before))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    free = [name for name in called if name not in bound and not hasattr(builtins, name)]
    return next(iter([*free, *called]), "")


def _source(tests: AssertTests, text: str) -> str | None:
    """The program of an answer, None where there is none."""
    found = read_answer(text, function=tests.function, signature=tests.signature)
    return None if found is None else f"{tests.prompt}\n\n{found.source}\n"


def judge(pairs: Sequence[tuple[AssertTests, str]]) -> list[bool]:
    """Whether programs pass their tests; see the module for how.

    Args:
        pairs: ``(n,)`` tests and the program that they are for.

    Returns:
        ``(n,)`` verdicts.

    Raises:
        SandboxUnavailable: Generated code cannot be held here.
    """
    programs = [_program("record", t.before, t.tests, t.function) for t, _ in pairs]
    calls = [run.values[0] if run.status == "ok" else None for run in _run(programs)]
    programs = [
        _program("together", source, tests.before, tests.tests)
        if made is None
        else _program("answer", source, tests.function, made)
        for (tests, source), made in zip(pairs, calls, strict=True)
    ]
    given = [run.values[0] if run.status == "ok" else None for run in _run(programs)]
    verdicts = [made is None and value is True for made, value in zip(calls, given, strict=True)]
    # Values travel as text that only the sandbox reads: a program may have written anything.
    left = [i for i, made in enumerate(calls) if made is not None and isinstance(given[i], str)]
    programs = [_replay(pairs[i][0], calls[i], given[i]) for i in left]
    for i, run in zip(left, _run(programs), strict=True):
        verdicts[i] = run.values == (True,)
    return verdicts


def _replay(tests: AssertTests, calls: object, values: object) -> Program:
    return _program("replay", tests.before, tests.tests, tests.function, calls, values)


def _run(programs: list[Program]) -> list[Run]:
    from evomerge_compiler.evaluation import sandbox

    return sandbox.shared().run(programs, timeout_s=TIMEOUT_S)


def _program(function: str, *arguments: object) -> Program:
    from evomerge_compiler.evaluation.sandbox import Program

    return Program(_harness(), function, (arguments,))


@functools.cache
def _harness() -> str:
    return Path(__file__).with_name("assert_harness.py").read_text(encoding="utf-8")
