"""What a family draws, and how it becomes an item: prompt, reference answer, calls and values.

A family is a function of a random source that draws a :class:`Question`. Its prompt depends on
the requirement alone, so a family's items differ in what they ask and not only in their calls.
"""

from __future__ import annotations

import copy
import json
import random
import re
import string
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evomerge_compiler.scoring.authoring import Item

Call = list[Any]
MIN_CALLS = 6
# The example in a prompt is one of the first calls, which a family writes by hand.
EXAMPLES = 3


@dataclass(frozen=True)
class Question:
    """A function to write.

    Attributes:
        name: Of the function.
        arguments: As they stand in the signature, with types.
        returns: Type that is returned.
        task: What the function does, a sentence that opens with a verb: "Return ...".
        body: Python of the reference solution, below the signature.
        calls: Arguments of each call. The first three are examples worth showing.
        rules: More sentences.
        construct: Names from ``scoring.python_constructs`` that the answer has to use.
        bugs: Pieces of the body that occur once, each with what breaks it.
    """

    name: str
    arguments: str
    returns: str
    task: str
    body: str
    calls: Sequence[Call]
    rules: Sequence[str] = ()
    construct: str = ""
    bugs: Sequence[tuple[str, str]] = ()

    @property
    def signature(self) -> str:
        """The line that opens the function."""
        return f"def {self.name}({self.arguments}) -> {self.returns}:"

    @property
    def source(self) -> str:
        """The reference solution."""
        return f"{self.signature}\n{textwrap.indent(self.body, '    ')}\n"


Draw = Callable[[random.Random], Question]


@dataclass(frozen=True)
class Family:
    """A way to draw questions; see :func:`family`."""

    draw: Draw
    difficulty: int
    task: str
    repair: bool

    @property
    def name(self) -> str:
        return self.draw.__name__


FAMILIES: list[Family] = []


def family(
    *, difficulty: int, task: str = "functions", repair: bool = False
) -> Callable[[Draw], Draw]:
    """Registers the decorated function.

    Args:
        difficulty: 1 to 5.
        task: The task that its items belong to.
        repair: Whether it also gives items that ask to mend a broken solution.
    """

    def register(draw: Draw) -> Draw:
        FAMILIES.append(Family(draw, difficulty, task, repair))
        return draw

    return register


def code(text: str, /, **values: object) -> str:
    """Python text without its margin, ``$name`` replaced."""
    return string.Template(textwrap.dedent(text).strip("\n")).substitute(
        {name: str(value) for name, value in values.items()}
    )


def writing(question: Question) -> Item | None:
    """The item that asks for the function; None where a trivial answer would be right."""
    expected = results(question.source, question)
    if _is_trivial(question, expected):
        return None
    rng = random.Random(question.source + question.task)
    shown = rng.randrange(EXAMPLES)
    layouts = [_plain, _docstring, _listed]
    if question.task.startswith("Return"):
        layouts.append(_wanted)
    layout = rng.choice(layouts)
    prompt = layout(question, _call(question, shown), repr(expected[shown]), rng)
    return _item(question, prompt, expected)


def mending(question: Question, rng: random.Random) -> Item | None:
    """The item that shows the function with a bug; None where an example cannot show it."""
    expected = results(question.source, question)
    right, wrong = rng.choice(list(question.bugs))
    if question.body.count(right) != 1:
        raise ValueError(f"{question.name}: {right!r} does not occur once")
    # Only the body is broken: what it is called with stays the same.
    broken = (
        f"{question.signature}\n{textwrap.indent(question.body.replace(right, wrong), '    ')}"
    )
    found = results(broken, question)
    shown = next((i for i in range(EXAMPLES) if found[i] != expected[i]), None)
    if shown is None or _is_trivial(question, expected):
        return None
    words = random.Random(broken + question.task)
    prompt = "\n\n".join([
        words.choice(_BROKEN),
        " ".join([question.task, *question.rules]),
        f"```python\n{broken}\n```",
        f"`{_call(question, shown)}` should return `{expected[shown]!r}`, "
        f"but it {_outcome(found[shown])}.",
        words.choice(_MEND),
    ])  # fmt: skip
    item = _item(question, prompt, expected)
    return Item(item.prompt, item.answer, {**item.fields, "broken": broken + "\n"})


def results(source: str, question: Question) -> list[Any]:
    """What each call returns; the name of an exception's class stands for the exception."""
    module: dict[str, Any] = {}
    exec(compile(source, question.name, "exec"), module)  # our own source
    found: list[Any] = []
    for arguments in question.calls:
        try:
            found.append(module[question.name](*copy.deepcopy(arguments)))
        except Exception as error:
            found.append(error)
    return found


def _is_trivial(question: Question, expected: list[Any]) -> bool:
    """Whether always the same value, or the first argument, is right.

    Raises:
        ValueError: The reference solution fails, or the calls are too few or alike.
    """
    wrong = [value for value in expected if isinstance(value, Exception)]
    plain = [json.dumps(value) for value in expected] if not wrong else []
    if wrong or json.loads(f"[{','.join(plain)}]") != expected:
        raise ValueError(f"{question.name}: the reference solution gives {expected}")
    calls = [json.dumps(call) for call in question.calls]
    if len(set(calls)) != len(calls) or len(calls) < MIN_CALLS:
        raise ValueError(
            f"{question.name}: {len(calls)} calls, {len(set(calls))} of them distinct"
        )
    first = [json.dumps(call[0]) for call in question.calls]
    return len(set(plain)) == 1 or plain == first


def _item(question: Question, prompt: str, expected: list[Any]) -> Item:
    fields = {
        "function": question.name,
        "signature": question.signature,
        "calls": list(question.calls),
        "expected": expected,
    }
    if question.construct:
        fields["construct"] = question.construct
    return Item(prompt, f"```python\n{question.source}```", fields)


def _call(question: Question, index: int) -> str:
    return f"{question.name}({', '.join(map(repr, question.calls[index]))})"


def _outcome(found: object) -> str:
    if isinstance(found, Exception):
        name = type(found).__name__
        return f"raises {'an' if name[0] in 'AEIOU' else 'a'} {name}"
    return f"returns `{found!r}`"


_ONLY = (
    "Answer with the function only.",
    "Reply with the function only, no explanation.",
    "Give only the Python code of the function.",
    "Write the complete function and nothing else.",
    "Answer with the code of the function only, without examples.",
)
_BROKEN = (
    "The Python function below has a bug. This is what it should do:",
    "This function does not do what it should. The description:",
    "Find and fix the mistake in the Python function below. What the function is meant to do:",
    "A colleague wrote the function below, and it gives wrong results. The requirement was:",
)
_MEND = (
    "Answer with the whole corrected function only.",
    "Write the corrected function, complete and without explanation.",
    "Fix it. Reply with the complete function only, under the same name.",
)


def _plain(question: Question, call: str, value: str, rng: random.Random) -> str:
    what = " ".join([question.task, *question.rules])
    head = rng.choice(("Write a Python function", "Write the Python function", "Implement"))
    signature = question.signature.removesuffix(":").removeprefix("def ")
    example = rng.choice(("For example, `{}` returns `{}`.", "Example: `{}` returns `{}`."))
    return "\n\n".join([
        f"{head} `{signature}`.", what, example.format(call, value), rng.choice(_ONLY),
    ])  # fmt: skip


def _docstring(question: Question, call: str, value: str, rng: random.Random) -> str:
    what = _filled(" ".join([question.task, *question.rules]))
    text = textwrap.indent(f'"""{what}\n\n>>> {call}\n{value}\n"""', "    ", lambda _: True)
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    head = rng.choice(("Complete this Python function.", "Complete the following function:"))
    only = "Answer with the whole function, without examples."
    return f"{head}\n\n```python\n{question.signature}\n{text}\n```\n\n{only}"


def _filled(text: str) -> str:
    """Lines of at most 88 characters; what stands between quotes is not broken."""
    held = re.sub("'[^']{1,24}'", lambda match: match[0].replace(" ", "\0"), text)
    lines = textwrap.fill(held, 88, break_on_hyphens=False, break_long_words=False)
    return lines.replace("\0", " ")


def _listed(question: Question, call: str, value: str, rng: random.Random) -> str:
    rules = "".join(f"\n- {rule}" for rule in question.rules)
    head = rng.choice(("Please implement this function in Python:", "Write this in Python:"))
    return (
        f"{head}\n\n`{question.signature}`\n\n{question.task}{rules}\n\n"
        f"`{call}` gives `{value}`.\n\n{rng.choice(_ONLY)}"
    )


def _wanted(question: Question, call: str, value: str, rng: random.Random) -> str:
    what = " ".join([question.task[0].lower() + question.task[1:], *question.rules])
    head = rng.choice(("I need a Python function called", "Help me with a Python function called"))
    return (
        f"{head} `{question.name}`. It takes {_described(question)}. It should {what}\n\n"
        f"So `{call}` should return `{value}`. {rng.choice(_ONLY)}"
    )


def _described(question: Question) -> str:
    parts = [f"`{part}`" for part in _split(question.arguments)]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _split(arguments: str) -> list[str]:
    """Arguments of a signature; commas within brackets stay."""
    parts, depth = [""], 0
    for char in arguments:
        depth += {"[": 1, "]": -1}.get(char, 0)
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


# --- input for calls ---


def each(*values: Any) -> list[Call]:
    """Calls of a function with one argument, equal ones once."""
    return [[value] for value in {repr(value): value for value in values}.values()]


def numbers(rng: random.Random, count: int, low: int = -20, high: int = 20) -> list[int]:
    """Whole numbers, some of them more than once."""
    found = [rng.randint(low, high) for _ in range(count)]
    if count > 3:
        found[-1] = found[rng.randrange(count - 1)]
    return found


WORDS = (
    "apple river stone cloud maple tiger violin garden lamp orbit pencil quartz raven silver "
    "tunnel umbrella velvet winter yellow zebra level noon kayak anna tree banana committee of "
    "in a the at on to lemon berlin sky iron"
).split()


def words(rng: random.Random, count: int) -> list[str]:
    """Lower-case words, some of them perhaps more than once."""
    return [rng.choice(WORDS) for _ in range(count)]


def sentence(rng: random.Random, count: int) -> str:
    """Words with a space between them; some have a capital."""
    return " ".join(word.title() if rng.random() < 0.3 else word for word in words(rng, count))
