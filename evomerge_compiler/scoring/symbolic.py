"""Compares mathematical expressions by algebra, with `math-verify`_, in bounded time.

A model may write a tower of powers, whose evaluation no signal handler interrupts. So the library
works in a process of its own, which the kernel ends after some seconds of processor time (a limit
that does not depend on what else runs) or when it takes too much memory; the next comparison
starts another one.

.. _math-verify: https://github.com/huggingface/Math-Verify
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import re
import resource
import signal
import threading

from evomerge_compiler.errors import MissingPrerequisite, WorkFailed
from evomerge_compiler.process_pool import WorkerPool
from evomerge_compiler.scoring.answers import plain_digits

CPU_LIMIT_S = 2.0
# For a comparison that waits without working, which none is known to do.
_WALL_LIMIT_S = 120.0
_MEMORY_LIMIT_BYTES = 4 << 30
_LONGEST = 300
_MOST_NESTED = 8
_MOST_WORDS = 3  # "where n is the position": more are no formula

_WRITTEN_SO = (
    (re.compile(r"\\[dtc]frac"), r"\\frac"),
    (re.compile(r"(?<!\\)\\(?:left|right|displaystyle|[,!;: ()\[\]])(?![a-z])|[$`~]"), " "),
    (re.compile(r"_\{(\w+)\}"), r"_\1"),
    (re.compile(r"\*\*(?=[\d({-])"), "^"),
    (re.compile(r"\*\*"), ""),
    (re.compile("π|(?<![a-zA-Z\\\\])pi(?![a-zA-Z])"), r" \\pi "),
    (re.compile(r"√\s?\(([^()]+)\)|(?<![a-zA-Z\\])sqrt\s?\(([^()]+)\)"), r" \\sqrt{\1\2}"),
    (re.compile(r"√\s?(\d+|[a-z])"), r" \\sqrt{\1}"),
    (re.compile("[×·⋅]"), r" \\cdot "),
    (re.compile("∞"), r"\\infty "),
    (re.compile("≤|<="), r" \\le "),
    (re.compile("≥|>="), r" \\ge "),
    (re.compile("²"), "^2"),
    (re.compile("³"), "^3"),
    (re.compile(r"(?:\\approx|≈).*"), ""),
)  # fmt: skip

_UNIT_WORDS = (
    r"(?:(?:square|cubic|sq\.?|cu\.?)\s)?(?:units?|[cmkd]?m|centimet(?:er|re)s?|met(?:er|re)s?"
    r"|inch(?:es)?|feet|ft|degrees)(?:\s(?:squared|cubed))?"
)
_UNIT = re.compile(
    rf"(?:\s*\\(?:text|mathrm)\s?\{{\s*{_UNIT_WORDS}[.\s]*\}}|(?<![\w\\]){_UNIT_WORDS}"
    rf"|(?<=\d)[cmkd]?m\b)(?:\^\{{?[23]\}}?)?\s*\Z"
)
_OR = re.compile(r"\\(?:text|mathrm)\s?\{\s*or\s*\}|\bor\b")
_BASE = re.compile(r"\d_\d")
_PLUS_MINUS = re.compile(r"±|\\pm(?![a-z])")
_CHOICE = re.compile(f"{_OR.pattern}|{_PLUS_MINUS.pattern}")
_NAMED = re.compile(r"(?<![\w\\])[a-zA-Z](?:_\{?\d\}?)?\s?=(?!=)")
_SEVERAL = re.compile(r"\bor\b|\\pm|±|,|\\cup|\\text")


def same(text: str, gold: str) -> bool:
    """Whether two expressions are equal.

    Args:
        text: What a model gives as its answer, in LaTeX or as it is typed on a keyboard.
        gold: The reference answer in LaTeX.

    Returns:
        Whether they are; False where one cannot be read, is too long, or where the comparison
        reaches its limits.
    """
    text, gold = _tidy(text), _tidy(gold)
    if not text or not gold or max(len(text), len(gold)) > _LONGEST:
        return False
    if not _letters(gold) & set("cdkmft"):  # else these may be its variables
        text = _UNIT.sub("", text)
    if "".join(text.split()) == "".join(gold.split()):
        return True
    if _BASE.search(gold):
        return False  # 4210 in base 5, of which the library would leave out the base
    if not _SEVERAL.search(gold):
        if _CHOICE.search(text):
            return False
    elif _PLUS_MINUS.search(gold) and not _SEVERAL.search(text):
        return False  # one of two
    elif "=" not in gold:  # "x = 1 or x = 2" for {1, 2}
        text = _NAMED.sub("", _OR.sub(",", text))
    if _nesting(text) > _MOST_NESTED or len(_words(text) - _words(gold)) > _MOST_WORDS:
        return False
    return _verdict(text, gold)


def _tidy(text: str) -> str:
    text = plain_digits(text[: 4 * _LONGEST])
    for pattern, replacement in _WRITTEN_SO:
        text = pattern.sub(replacement, text)
    return text.strip().rstrip(".,;!").strip()


def _letters(latex: str) -> set[str]:
    return set(re.sub(r"\\(?:text|mathrm)\s?\{[^}]*\}|\\[a-zA-Z]+", "", latex))


def _words(text: str) -> set[str]:
    return set(re.findall(r"(?<![\\a-zA-Z])[a-zA-Z]{3,}", text))


def _nesting(text: str) -> int:
    """How deep brackets nest; the library's time grows fast with it."""
    deepest = depth = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    return deepest


@functools.lru_cache(maxsize=4096)
def _verdict(text: str, gold: str) -> bool:
    judge = _judge()  # outside: one that does not start is no verdict
    try:
        return judge.submit(_compare, text, gold, timeout_s=_WALL_LIMIT_S).result()
    except WorkFailed:  # out of time or memory
        return False


_starting = threading.Lock()
_pool: list[WorkerPool] = []


def _judge() -> WorkerPool:
    with _starting:
        if not _pool:
            _pool.append(_started())
        return _pool[0]


def _started() -> WorkerPool:
    """A judge that is known to work: without this, a broken one would find all answers wrong."""
    if importlib.util.find_spec("math_verify") is None:
        raise MissingPrerequisite(
            "math-verify is not installed", hint="pip install 'math-verify[antlr4_11_0]'"
        )
    pool = WorkerPool(1, initializer=_prepare)
    if not pool.submit(_compare, "x+1", "1+x", timeout_s=_WALL_LIMIT_S).result():
        raise MissingPrerequisite(
            "math-verify does not find x+1 equal to 1+x",
            hint="its parser needs antlr4-python3-runtime 4.9.3, 4.11 or 4.13.2",
        )
    return pool


def _prepare() -> None:
    """Runs once in the judging process: loads all that a comparison needs, without a clock."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT_BYTES, _MEMORY_LIMIT_BYTES))
    logging.disable(logging.WARNING)  # that its own time limit is off, which is why we are here
    _verified("(x+1)^2", "x^2+2x+1")


def _compare(text: str, gold: str) -> bool:
    """One comparison, inside the judging process; the kernel ends it when its time is over."""
    signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT_S)
    try:
        return _verified(text, gold)
    except Exception:  # whatever a parser does with what models write
        return False
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _verified(text: str, gold: str) -> bool:
    import math_verify  # type: ignore[import-untyped]

    parsed = [math_verify.parse(f"${each}$", parsing_timeout=None) for each in (gold, text)]
    return bool(math_verify.verify(*parsed, timeout_seconds=None))
