"""What an error offers in place of a wrong word."""

from __future__ import annotations

import pytest

from evomerge_compiler.errors import did_you_mean

MANY = [f"task_{number}" for number in range(5000)]


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("densty", ["density", "weight"], "did you mean 'density'?"),
        ("zz", ["weight", "density"], "expected one of: density, weight"),
        ("zz", [], "nothing is allowed here"),
        ("tsk_4999", MANY, "did you mean 'task_4999'?"),
        ("zz", MANY, "it is none of the 5000 that are known"),
    ],
)
def test_the_nearest_word_or_a_list_that_can_be_read(
    word: str, known: list[str], hint: str
) -> None:
    assert did_you_mean(word, known) == hint
