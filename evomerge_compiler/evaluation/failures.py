"""Which mishaps of an evaluation are the candidate's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from evomerge_compiler.errors import EvomergeError, WorkFailed
from evomerge_compiler.processes import verdict


def non_finite(message: str) -> WorkFailed:
    """The failure of a model that computes NaN or infinity."""
    return WorkFailed(message, reason="non_finite", step="evaluate")


@contextmanager
def failures_of_work(doing: str) -> Iterator[None]:
    """Running out of memory is the candidate's failure, not a bug.

    Raises:
        WorkFailed: Memory ran out.
    """
    try:
        yield
    except EvomergeError:
        raise
    except (MemoryError, RuntimeError) as error:
        if verdict(error) != "out_of_memory":
            raise
        message = f"out of memory while evaluating ({doing})"
        hint = "a smaller batch_size needs less"
        raise WorkFailed(message, reason="out_of_memory", step="evaluate", hint=hint) from error
