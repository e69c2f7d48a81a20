"""Errors that a person can act on, and the exit codes they end the command with.

Every error says what was expected, what came, where, and what to do about it. Anything that is
not an :class:`EvomergeError` is a bug in evomerge and exits with :data:`EXIT_BUG`.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

EXIT_OK = 0
EXIT_NOTHING_SELECTED = 1
EXIT_BAD_INPUT = 2
EXIT_MISSING_PREREQUISITE = 3
EXIT_RUN_LOCKED = 4
EXIT_RUN_DAMAGED = 5
EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
# A list of more words than this is not read: lm-eval alone has thousands of tasks.
_MOST_NAMED = 100


@dataclass(frozen=True)
class Place:
    """A position in a file that a person wrote.

    Attributes:
        file: Path as the user gave it.
        line: 1-based line, 0 when the whole file is meant.
        column: 1-based column, 0 when the whole line is meant.
        snippet: The text of that line, without its newline.
    """

    file: str
    line: int = 0
    column: int = 0
    snippet: str = ""

    def __str__(self) -> str:
        parts = [self.file]
        if self.line:
            parts.append(str(self.line))
            if self.column:
                parts.append(str(self.column))
        return ":".join(parts)


class EvomergeError(Exception):
    """Root of all errors that are the input's or the machine's, not evomerge's.

    Args:
        message: What was expected and what came, one sentence.
        hint: What to do about it.
        place: Where in the user's files.
    """

    exit_code: int = EXIT_BAD_INPUT

    def __init__(
        self, message: str, *, hint: str | None = None, place: Place | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.place = place

    def __str__(self) -> str:
        return self.render()

    def render(self) -> str:
        """The error as printed: ``file:line:col: error: ...``, the line, a caret, the hint."""
        head = f"{self.place}: error: {self.message}" if self.place else f"error: {self.message}"
        lines = [head]
        if self.place and self.place.snippet and self.place.line:
            number = f"{self.place.line:5d} | "
            lines.append(number + self.place.snippet)
            if self.place.column:
                lines.append(" " * (len(number) - 2) + "| " + " " * (self.place.column - 1) + "^")
        if self.hint:
            lines.append(f"  help: {self.hint}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process boundaries; keyword-only arguments need their own recipe.
        return (_rebuild, (type(self), self.message, self.hint, self.place))


def _rebuild(
    kind: type[EvomergeError], message: str, hint: str | None, place: Place | None
) -> EvomergeError:
    return kind(message, hint=hint, place=place)


class RecipeError(EvomergeError):
    """A recipe, genome, or candidate file says something that cannot be."""


class TemplateError(EvomergeError):
    """A template cannot be read or rendered."""


class CompileError(EvomergeError):
    """A genome renders to a merge that mergekit would refuse or silently misread."""


class UsageError(EvomergeError):
    """The command line asks for something that does not exist or does not go together."""


class MissingPrerequisite(EvomergeError):
    """A dependency, GPU, disk space, network, model or sandbox is missing."""

    exit_code = EXIT_MISSING_PREREQUISITE


FULL_DISK_HINT = "free some space (evomerge gc RUN), or put the run folder on a larger disk"


def full_disk(error: BaseException) -> MissingPrerequisite | None:
    """The error that stops everything, where a disk is full or a quota used up; else None."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        # With its path: it may be another disk than that of the run folder.
        return MissingPrerequisite(f"nothing more can be written: {error}", hint=FULL_DISK_HINT)
    return None


class RunLocked(EvomergeError):
    """Another process holds the run folder."""

    exit_code = EXIT_RUN_LOCKED


class RunDamaged(EvomergeError):
    """A run folder's files contradict their seal or each other."""

    exit_code = EXIT_RUN_DAMAGED


class WorkFailed(EvomergeError):
    """One candidate's merge or evaluation failed; the run goes on.

    Args:
        message: What happened, without times or machine paths.
        reason: One of :data:`FAILURE_REASONS`.
        step: ``compile``, ``merge`` or ``evaluate``.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        step: str,
        hint: str | None = None,
        place: Place | None = None,
    ) -> None:
        super().__init__(message, hint=hint, place=place)
        self.reason = reason
        self.step = step

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_work_failed, (self.message, self.reason, self.step, self.hint))


def _rebuild_work_failed(message: str, reason: str, step: str, hint: str | None) -> WorkFailed:
    return WorkFailed(message, reason=reason, step=step, hint=hint)


FAILURE_REASONS = (
    "invalid",
    "crashed",
    "out_of_memory",
    "timeout",
    "non_finite",
    "unsafe",
)


class ErrorList(EvomergeError):
    """Several errors found in one pass, so that a recipe is mended in one go."""

    def __init__(self, errors: Sequence[EvomergeError]) -> None:
        if not errors:
            raise ValueError("ErrorList needs at least one error")
        super().__init__(errors[0].message, hint=errors[0].hint, place=errors[0].place)
        self.errors = tuple(errors)
        self.exit_code = max(error.exit_code for error in errors)

    def render(self) -> str:
        """All errors, one after another, and their count when there are several."""
        text = "\n".join(error.render() for error in self.errors)
        return text if len(self.errors) == 1 else f"{text}\n{len(self.errors)} errors"

    def __reduce__(self) -> tuple[object, ...]:
        return (ErrorList, (self.errors,))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint naming the nearest known word, else all of them.

    Args:
        word: What the user wrote.
        known: The words that would have been right.

    Returns:
        ``did you mean 'density'?`` or ``expected one of: a, b, c``; of very many, how many.
    """
    words = sorted(set(known))
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    if len(words) > _MOST_NAMED:
        return f"it is none of the {len(words)} that are known"
    return "expected one of: " + ", ".join(words) if words else "nothing is allowed here"
