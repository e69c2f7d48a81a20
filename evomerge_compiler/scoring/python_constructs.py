"""Says whether a function is written in the way that a prompt asks for.

The syntax tree is read, nothing is run.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from evomerge_compiler.scoring.python_answers import Answer

_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SORTING = {"sort", "sorted"}


def uses(answer: Answer, constructs: str) -> bool:
    """Whether an answer has every asked construct.

    Args:
        answer: The function with its helpers, which count as parts of it.
        constructs: Names among :data:`CONSTRUCTS`, with spaces between them.

    Raises:
        KeyError: A construct is unknown.
    """
    return all(CONSTRUCTS[name](answer.tree) for name in constructs.split())


def _has(*kinds: type[ast.AST]) -> Callable[[ast.Module], bool]:
    return lambda tree: any(isinstance(node, kinds) for node in ast.walk(tree))


def _lacks(*kinds: type[ast.AST]) -> Callable[[ast.Module], bool]:
    return lambda tree: not any(isinstance(node, kinds) for node in ast.walk(tree))


def _called(tree: ast.AST) -> set[str]:
    """Names of what is called, of methods the last part."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {func.id for func in calls if isinstance(func, ast.Name)}
    return names | {func.attr for func in calls if isinstance(func, ast.Attribute)}


def _mentions(*names: str) -> Callable[[ast.Module], bool]:
    """Called, or handed on by name, as in ``map(sorted, rows)``."""

    def found(tree: ast.Module) -> bool:
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        return bool((used | _called(tree)) & set(names))

    return found


def _recursive(tree: ast.Module) -> bool:
    """Whether a function comes back to itself, at once or by way of others."""
    calls: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            calls.setdefault(node.name, set()).update(
                _called(ast.Module(body=node.body, type_ignores=[]))
            )
    for name in calls:
        reached, left = set[str](), [name]
        while left:
            for callee in calls.get(left.pop(), set()) - reached:
                reached.add(callee)
                left.append(callee)
        if name in reached:
            return True
    return False


CONSTRUCTS: dict[str, Callable[[ast.Module], bool]] = {
    "recursion": _recursive,
    "no_loop": _lacks(*_LOOPS, *_COMPREHENSIONS),
    "while_loop": _has(ast.While),
    "no_for": _lacks(ast.For, *_COMPREHENSIONS),
    "list_comprehension": _has(ast.ListComp),
    "dict_comprehension": _has(ast.DictComp),
    "generator": _has(ast.Yield, ast.YieldFrom),
    "lambda": _has(ast.Lambda),
    "try": _has(ast.Try),
    "zip": _mentions("zip"),
    "no_sort": lambda tree: not _mentions(*_SORTING)(tree),
    "no_import": _lacks(ast.Import, ast.ImportFrom),
}
