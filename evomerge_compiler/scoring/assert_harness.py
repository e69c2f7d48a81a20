"""The part of :mod:`.assert_tests` that runs in the sandbox; read as text, never imported.

Standard library only, any Python from 3.8 on. :func:`record` finds out which calls the tests of a
benchmark make, :func:`answer` makes these calls of a program, :func:`replay` runs the tests again
with the values that the program gave. So tests and program never share a process: nothing that a
program does to ``==``, to builtins or to its own exit can make a test pass.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import json
import random
from collections.abc import Callable
from typing import Any

MAX_ITEMS = 10_000  # of an iterator, which may have no end
_SEED = 0  # some tests draw their inputs


def encode(value: Any) -> Any:
    """A value as plain JSON; what is no JSON of its own becomes ``{kind: content}``.

    Raises:
        TypeError: The value is an object of another type.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        finite = value == value and abs(value) != float("inf")
        return float(value) if finite else {"float": repr(float(value))}
    if isinstance(value, complex):
        return {"complex": [encode(value.real), encode(value.imag)]}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": list(value)}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    for kind in (tuple, set, frozenset, range):
        if isinstance(value, kind):
            return {kind.__name__: [encode(item) for item in value]}
    if hasattr(value, "__next__"):
        return {"iterator": [encode(item) for item in itertools.islice(value, MAX_ITEMS)]}
    raise TypeError("a value of type " + type(value).__name__ + " cannot be compared from outside")


def decode(data: Any) -> Any:
    """The value that :func:`encode` was given, of a plain type."""
    if isinstance(data, list):
        return [decode(item) for item in data]
    if not isinstance(data, dict):
        return data
    [(kind, content)] = data.items()
    if kind == "float":
        return float(content)
    if kind == "dict":
        return {decode(key): decode(item) for key, item in content}
    items = [decode(item) for item in content]
    if kind == "complex":
        return complex(*items)
    if kind == "range":  # equal ranges have equal items
        step = items[1] - items[0] if len(items) > 1 else 1
        return range(items[0], items[-1] + (1 if step > 0 else -1), step) if items else range(0)
    makers: dict[str, Callable[[list[Any]], Any]] = {
        "bytes": bytes, "tuple": tuple, "set": set, "frozenset": frozenset, "iterator": iter,
    }  # fmt: skip
    return makers[kind](items)


class Unknown:
    """Stands for a value that a program has yet to give; whatever is done to it gives it again."""

    def _itself(self, *_: Any, **__: Any) -> Unknown:
        return self

    def __bool__(self) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __iter__(self) -> Any:
        return iter(())

    __call__ = __getattr__ = __getitem__ = __eq__ = __ne__ = _itself  # type: ignore[assignment]
    __lt__ = __le__ = __gt__ = __ge__ = __add__ = __radd__ = __sub__ = __rsub__ = _itself
    __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __floordiv__ = __mod__ = __pow__ = _itself
    __abs__ = __neg__ = __round__ = _itself


class _Tolerant(ast.NodeTransformer):
    """Asserts become expressions that may fail, so that those behind them are reached."""

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        caught = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [ast.Pass()])
        return ast.Try([ast.Expr(node.test)], [caught], [], [])


def record(before: str, tests: str, function: str) -> list[Any]:
    """The calls that the tests make of the function, encoded, in order.

    Args:
        before: Python text that the tests need.
        tests: Python text with asserts.
        function: Name of the function under test.
    """
    calls: list[Any] = []

    def candidate(*arguments: Any, **named: Any) -> Unknown:
        calls.append(encode((arguments, named)))
        return Unknown()

    tree = ast.fix_missing_locations(_Tolerant().visit(ast.parse(tests)))
    _run(before, compile(tree, "<tests>", "exec"), {function: candidate})
    return calls


def answer(source: str, function: str, calls: list[Any]) -> str:
    """What a program returns, or raises, in each call; JSON text."""
    space: dict[str, Any] = {"__name__": "program"}
    exec(compile(source, "<program>", "exec"), space)
    values: list[Any] = []
    for call in calls:
        arguments, named = decode(call)
        try:
            values.append({"value": encode(space[function](*arguments, **named))})
        except Exception as error:
            values.append({"raised": type(error).__name__})
    return json.dumps(values)


def replay(before: str, tests: str, function: str, calls: list[Any], values: str) -> bool:
    """Whether the tests hold when these calls give these values."""
    left = iter(zip(calls, json.loads(values)))  # noqa: B905 not before Python 3.10

    def candidate(*arguments: Any, **named: Any) -> Any:
        call, value = next(left)
        if call != encode((arguments, named)):
            raise LookupError("the tests make another call than they did")
        if "raised" in value:
            raise _exception(value["raised"])
        return decode(value["value"])

    try:
        _run(before, compile(tests, "<tests>", "exec"), {function: candidate})
    except Exception:
        return False
    return True


def together(source: str, before: str, tests: str) -> bool:
    """Whether the tests hold in the program's own process: for tests that use its objects."""
    space: dict[str, Any] = {"__name__": "program"}
    exec(compile(source + "\n\n" + before, "<program>", "exec"), space)
    exec(compile(tests, "<tests>", "exec"), space)
    return True


def _run(before: str, tests: Any, names: dict[str, Any]) -> None:
    space: dict[str, Any] = {"__name__": "tests"}
    exec(compile(before, "<before>", "exec"), space)
    space.update(names)
    random.seed(_SEED)
    exec(tests, space)


def _exception(name: str) -> Exception:
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        return kind("raised by the program")
    return RuntimeError(name)
