"""Says how long the parts of a piece of work take, each without the parts inside it."""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def wrapped(owner: Any, name: str, around: Callable[..., Any]) -> Iterator[None]:
    """Puts a function around another for a while.

    Args:
        owner: Class or module that has the function.
        name: Of the function.
        around: Is called with the function and then its arguments.
    """
    inherited = name not in vars(owner)
    original = getattr(owner, name)

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        return around(original, *args, **kwargs)

    setattr(owner, name, call)
    try:
        yield
    finally:
        if inherited:
            delattr(owner, name)
        else:
            setattr(owner, name, original)


class Stopwatch:
    """Adds up the time of named parts.

    Attributes:
        seconds: Part to the seconds spent in it and in no part that it called.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside: list[float] = []

    def around(self, part: str) -> Callable[..., Any]:
        """A wrapper that counts a function's time for a part."""

        def timed(original: Any, *args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            self._inside.append(0.0)
            try:
                return original(*args, **kwargs)
            finally:
                whole = time.perf_counter() - started
                self.seconds[part] += whole - self._inside.pop()
                if self._inside:
                    self._inside[-1] += whole

        return timed

    @contextmanager
    def watching(self, parts: Mapping[str, tuple[Any, str]]) -> Iterator[None]:
        """Times functions while the block runs; all must run in this thread.

        Args:
            parts: Part to the owner of its function and the function's name.
        """
        with ExitStack() as stack:
            for part, (owner, name) in parts.items():
                stack.enter_context(wrapped(owner, name, self.around(part)))
            yield
