"""Scores from programs of the user's own: external commands and installed plug-ins.

A command is written in place of a task name::

    tasks:
      safety: {task: "command: python judge.py {model} --split {split}", metric: harmless}

It runs in the recipe's folder, gets the model folder (``{model}``) and the split (``{split}``:
``search``, ``held_out`` or ``all``), and prints one JSON object as its last line::

    {"harmless": 0.93, "harmless_stderr": 0.01, "n": 400,
     "items": {"set": "harmless v1 search", "values": [1, 0, ...], "tokens": [...]}}

``items`` may be left out, and its ``tokens`` (of each answer) too. Two models that give the same
``set`` are compared item by item; without items a run claims nothing of its winner.

A plug-in, ``plugin:NAME``, returns the same mapping (:mod:`.plugin`). Which items belong to a
split is the program's own affair; it must not show fitness the held-out ones.
"""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evomerge_compiler.candidate import Score, TaskItems
from evomerge_compiler.errors import RecipeError, UsageError, WorkFailed, did_you_mean
from evomerge_compiler.evaluation import plugin
from evomerge_compiler.evaluation.spec import MODEL_WORD, EvaluationPlan, TaskPlan, command_words
from evomerge_compiler.evaluation.split import Split
from evomerge_compiler.evaluation.told import read_items
from evomerge_compiler.processes import run_command, worker_environment

# A line of results of single items is long.
_LINE_BYTES = 16 << 20


def score(
    task: TaskPlan, model: Path, split: Split, plan: EvaluationPlan
) -> tuple[Score, TaskItems | None]:
    """Runs the program behind one domain.

    Args:
        task: The domain; its task starts with ``command:`` or ``plugin:``.
        model: Folder of the model.
        split: Which items.
        plan: Working folder, time limit, and whether the network may be used.

    Returns:
        The named metric, and the results of single items where the program gives them.

    Raises:
        RecipeError: No such program or metric.
        WorkFailed: It failed, ran too long, or printed no scores.
        MissingPrerequisite: The program is not installed, or cannot be loaded.
    """
    if split == "full_search":
        split = "search"  # a program knows no limit: it was asked everything all along
    if task.task.startswith(plugin.PREFIX):
        found = plugin.call(task.task, model, split)
    else:
        found = _command(task, model, split, plan)
    measured = _read(task, found)
    if "items" not in found:
        return measured, None
    try:
        items = read_items(task.domain, found["items"])
    except UsageError as error:
        raise _no_scores(task, error.message) from None
    return replace(measured, n=measured.n or len(items.values)), items


def _command(task: TaskPlan, model: Path, split: Split, plan: EvaluationPlan) -> Any:
    words = command_words(task.task)
    filled = {MODEL_WORD: str(model.resolve()), "{split}": split}
    argv = []
    for word in words:
        for name, value in filled.items():
            word = word.replace(name, value)
        argv.append(word)
    result = run_command(
        argv,
        cwd=Path(plan.folder),
        env=worker_environment(offline=plan.offline),
        timeout_s=plan.timeout_s,
        tail_bytes=_LINE_BYTES,
    )
    if result.reason is not None:
        tail = result.stderr_tail.strip().splitlines()[-1:] or ["no message"]
        raise WorkFailed(
            f"{task.domain}: the command ended with {result.returncode}: {tail[0]}".replace(
                str(model.resolve()), "MODEL"
            ),
            reason=result.reason,
            step="evaluate",
        )
    lines = [line for line in result.stdout_tail.splitlines() if line.strip()]
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError):
        raise _no_scores(task, "its last line is not JSON") from None


def _read(task: TaskPlan, found: Any) -> Score:
    if not isinstance(found, Mapping):
        raise _no_scores(task, "it is not an object of metrics")
    if task.metric not in found:
        others = ("n", "items")
        known = [str(m) for m in found if not str(m).endswith("_stderr") and m not in others]
        raise RecipeError(
            f"{task.domain}: the evaluator gives no metric {task.metric!r}",
            hint=did_you_mean(task.metric, known),
        )
    value, stderr = found[task.metric], found.get(f"{task.metric}_stderr")
    n = found.get("n", 0)
    for number in (value, n, *([] if stderr is None else [stderr])):
        # numpy's numbers are real numbers too.
        if isinstance(number, bool) or not isinstance(number, numbers.Real):
            raise _no_scores(task, f"{number!r} is not a number")
    if not (math.isfinite(n) and n >= 0 and (stderr is None or not stderr < 0)):
        raise _no_scores(task, f"n is {n} and {task.metric}_stderr {stderr}")
    if not math.isfinite(value) or not (stderr is None or math.isfinite(stderr)):
        raise WorkFailed(
            f"{task.domain}: {task.metric} is not finite", reason="non_finite", step="evaluate"
        )
    return Score(
        metric=task.metric,
        value=float(value),
        stderr=None if stderr is None else float(stderr),
        n=int(n),
    )


def _no_scores(task: TaskPlan, why: str) -> WorkFailed:
    return WorkFailed(
        f"{task.domain}: the evaluator gave no scores: {why}",
        reason="invalid",
        step="evaluate",
        hint='one object is expected, as a command\'s last line: {"accuracy": 0.5, "n": 100}',
    )
