"""What ``evaluation.racing`` asks of the rest of a recipe."""

from __future__ import annotations

from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.recipe_schema import EvaluationSpec, SearchSpec
from evomerge_compiler.yamlio import Document

_EXTERNAL = ("command:", "plugin:")
_MEAN = "mean"


def racing_problems(
    evaluation: EvaluationSpec | None, search: SearchSpec | None, document: Document
) -> list[EvomergeError]:
    """Why candidates cannot be raced; empty where they can be, or are not to be.

    Args:
        evaluation: How candidates are scored.
        search: How they are searched; None for a merge.
        document: The recipe as read, for places.
    """
    if evaluation is None or evaluation.racing is None:
        return []
    at = ("evaluation", "racing")
    if search is None:
        hint = "leave it out, or make this a kind: experiment"
        message = "a merge is scored by itself: there is nothing to race against"
        return [document.error(message, at, hint=hint, key=True)]
    found = []
    for domain, task in evaluation.tasks.items():
        if task.task.startswith(_EXTERNAL):
            message = f"{domain} is judged by a program, which cannot be asked item by item"
            here = ("evaluation", "tasks", domain, "task")
            found.append(document.error(message, here, hint="leave evaluation.racing out"))
    if len(search.objectives) > 1:
        message = "racing compares by one objective: with several, what is worse may be kept"
        hint = "leave evaluation.racing out, or name one objective"
        found.append(document.error(message, ("search", "objectives"), hint=hint))
    elif search.objectives[0] not in (_MEAN, *evaluation.tasks):
        message = (
            f"racing needs an objective that is a mean over items, got {search.objectives[0]}"
        )
        hint = f"{_MEAN}, or a domain: {', '.join(evaluation.tasks)}"
        found.append(document.error(message, ("search", "objectives", 0), hint=hint))
    return found
