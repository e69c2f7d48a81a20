"""Finds a Python function in what a chat model writes.

Nothing is run here. A model may fence its code or not, explain before and after, give helpers in
blocks of their own, be cut in the middle of its examples, or write only the body.
"""

from __future__ import annotations

import ast
import builtins
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from evomerge_compiler.scoring.answers import fenced, unfenced, visible

# No answer of a few hundred tokens is longer; Python's parser takes C stack in proportion.
MAX_SOURCE_CHARS = 1 << 15
_STARTS = re.compile(r"(?:async +)?def +\w|class +\w|@\w|import +\w|from +[\w.]+ +import\b")
_CONTINUES = re.compile(r"[)\]}]")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


@dataclass(frozen=True)
class Answer:
    """A function as it will be run.

    Attributes:
        source: Python text that defines the function.
        function: Its name.
        tree: The syntax tree of the source.
    """

    source: str
    function: str
    tree: ast.Module


def read_answer(text: str, *, function: str, signature: str) -> Answer | None:
    """Finds the function of that name.

    Args:
        text: A whole completion.
        function: The name that was asked for.
        signature: The line ``def NAME(...):``, for an answer that is a body alone.

    Returns:
        None where no valid Python defines it.
    """
    shown = visible(text.replace("\r\n", "\n"))
    blocks = [content for _, content in fenced(shown)]
    trees = [_parsed(block) for block in blocks]
    for index in reversed(range(len(blocks))):
        found = _defining(blocks[index], trees[index], function)
        if found is not None:
            others = [tree for tree in trees[:index] + trees[index + 1 :] if tree is not None]
            return _finished(_with_helpers(found, others, function), function)
    rest = unfenced(shown)
    found = _defining(rest, _parsed(rest), function)
    if found is None:
        found = next(filter(None, (_body(block, signature) for block in (*blocks, rest))), None)
    return None if found is None else _finished(found, function)


def _defining(text: str, tree: ast.Module | None, function: str) -> ast.Module | None:
    """The tree where it defines the function; of a text that is not Python, its definitions."""
    if tree is None:
        tree = _definitions_in(text)
    return tree if _defines(tree, function) else None


def _parsed(source: str) -> ast.Module | None:
    """The syntax tree, None where the text is not Python."""
    if len(source) > MAX_SOURCE_CHARS:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a model's invalid escapes are not our warnings
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _defines(tree: ast.Module, function: str) -> bool:
    return any(function in _bound(node) for node in tree.body)


def _bound(node: ast.stmt) -> set[str]:
    """Names that a top-level statement binds."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()


def _definitions_in(text: str) -> ast.Module:
    """The definitions and imports in a text that as a whole is not Python.

    Of each the lines that belong to it are parsed, so that prose around them, or an example that
    was cut, does no harm.
    """
    body: list[ast.stmt] = []
    for piece in _pieces(text):
        tree = _parsed(piece)
        if tree is not None:
            body += tree.body
    return ast.Module(body=body, type_ignores=[])


def _pieces(text: str) -> Iterator[str]:
    """Groups of lines that start like a definition, with the deeper lines below, dedented."""
    piece: list[str] = []
    margin = 0
    for line in text.split("\n"):
        words = line.lstrip(" \t")
        indent = len(line) - len(words)
        if piece and (not words or indent > margin or _CONTINUES.match(words)):
            piece.append(line[margin:])
            continue
        starts = _STARTS.match(words) is not None
        decorated = bool(piece) and piece[-1].startswith("@") and indent == margin
        if piece and not (decorated and starts):
            yield "\n".join(piece)
            piece = []
        if starts:
            margin = indent
            piece.append(words)
    if piece:
        yield "\n".join(piece)


def _body(block: str, signature: str) -> ast.Module | None:
    """A function whose body alone was given; it has to return something."""
    lines = block.expandtabs(4).strip("\n").split("\n")
    margins = [len(line) - len(line.lstrip()) for line in lines if line.strip()]
    if not margins:
        return None
    # The first line may have lost its margin where the whole text was stripped.
    margin = min(margins[1:], default=0) if margins[0] == 0 else min(margins)
    indented = [line if line[:margin].strip() else line[margin:] for line in lines]
    tree = _parsed("\n".join([signature, *(f"    {line}" for line in indented)]))
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        return None
    # What a nested function returns says nothing: it may be another function than the asked one.
    own = [node for node in tree.body[0].body if not isinstance(node, _DEFINITIONS)]
    returns = any(isinstance(part, ast.Return) for node in own for part in ast.walk(node))
    return tree if returns else None


def _with_helpers(tree: ast.Module, others: list[ast.Module], function: str) -> ast.Module:
    """Puts definitions of other blocks before, when names are used that nothing here binds."""
    nodes = list(ast.walk(tree))
    known = {name for node in tree.body for name in _bound(node)} | set(dir(builtins))
    for node in nodes:
        if isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            known.add(node.id)
    missing = {node.id for node in nodes if isinstance(node, ast.Name)} - known
    helpers = [node for other in others for node in other.body if function not in _bound(node)]
    if not any(_bound(node) & missing for node in helpers):
        return tree
    kept = [node for node in helpers if isinstance(node, _DEFINITIONS) or _bound(node) & missing]
    return ast.Module(body=[*kept, *tree.body], type_ignores=[])


def _finished(tree: ast.Module, function: str) -> Answer | None:
    """Leaves out what tries the function out, and writes the rest as source."""
    body = [node for node in tree.body if not _tries_out(node, function)]
    tree = ast.Module(body=body, type_ignores=[])
    try:
        source = ast.unparse(tree)
    except (RecursionError, ValueError):
        return None
    return Answer(source, function, tree)


def _tries_out(node: ast.stmt, function: str) -> bool:
    """Whether a top-level statement calls the function or prints."""
    if isinstance(node, _DEFINITIONS) or function in _bound(node):
        return False
    return any(
        isinstance(part, ast.Name) and part.id in (function, "print") for part in ast.walk(node)
    )
