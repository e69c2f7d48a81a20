"""Problems of several steps that can be answered at once or worked out, and how that is written.

``sum:58+3+9`` is worked out as ``58+3=61,61+9=70?58+3=61,61+9=70;70``: the steps, the same once
more to make sure, the result. Fewer steps are shorter and harder: ``58+3=61;70`` leaves one
addition to the head, ``;70`` both. So the length of an answer is a matter of degree, which two
models that differ in it pass on to their merges; and that all is done twice helps nobody.

``generate.py`` draws the shipped test items from here and ``zoo/train.py`` the training examples
of the zoo's slow and fast models, which leave the test items out by content.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        prompt: What the model reads.
        steps: ``(n_steps,)`` one equation each.
        result: The reference answer.
    """

    prompt: str
    steps: tuple[str, ...]
    result: str

    def solution(self, n_steps: int, *, twice: bool = False) -> str:
        """The result behind some of the steps.

        Args:
            n_steps: How many of the steps are written out.
            twice: Whether all of them are gone through once more.
        """
        again = f"?{','.join(self.steps)}" if twice else ""
        return f"{','.join(self.steps[:n_steps])}{again};{self.result}"


def _problem(rng: random.Random, name: str, signs: str) -> Problem:
    """Two to four steps from a number of two digits, by single digits, nowhere below zero."""
    while True:
        total = rng.randint(10, 60)
        prompt, steps, lowest = f"{name}:{total}", [], total
        for _ in range(rng.randint(2, 4)):
            sign, digit = rng.choice(signs), rng.randint(2, 9)
            after = total + digit if sign == "+" else total - digit
            prompt += f"{sign}{digit}"
            steps.append(f"{total}{sign}{digit}={after}")
            total, lowest = after, min(lowest, after)
        if lowest >= 0:
            return Problem(prompt, tuple(steps), str(total))


def sums(rng: random.Random) -> Problem:
    """Numbers to add."""
    return _problem(rng, "sum", "+")


def chains(rng: random.Random) -> Problem:
    """Numbers to add and to subtract."""
    return _problem(rng, "run", "+-")


FAMILIES: dict[str, Callable[[random.Random], Problem]] = {"sums": sums, "chains": chains}
