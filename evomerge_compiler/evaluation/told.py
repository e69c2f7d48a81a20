"""Scores that someone else measured: a few numbers for each domain, or lm-eval's results file.

The short form has an entry for each domain of the recipe; ``value`` is all that it must hold::

    {"code": {"value": 0.61, "stderr": 0.02, "n": 400},
     "math": {"value": 0.40, "items": {"set": "mine", "values": [0, 1, ...], "tokens": [17, ...]}}}

``items`` are results item by item: with them candidates compare in pairs, and objective
``tokens`` has something to count. The long form is what ``lm_eval`` writes and what ``evomerge
evaluate --json`` prints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evomerge_compiler.candidate import Score, Scores, TaskItems
from evomerge_compiler.errors import UsageError, did_you_mean
from evomerge_compiler.evaluation.spec import OWN_PREFIX, EvaluationPlan, TaskPlan
from evomerge_compiler.recipe_schema import EvaluationSpec, TaskSpec

METRIC = "told"
# Metrics that lie between 0 and 1 whatever the task, as do all of the shipped tasks.
SHARES = ("acc", "acc_norm", "exact_match", "pass_at_1", "pass@1")
_FAILED = "a model without a score has failed: evomerge tell RUN ID --failed REASON MESSAGE"
_ALL_ITEMS = (
    "lm-eval scored all items, the held-out ones too: at the end of this run the held-out items "
    "are no longer unseen; `evomerge evaluate --split search --json` leaves them out"
)


@dataclass(frozen=True)
class Told:
    """What was read.

    Attributes:
        scores: The scores, one a domain.
        warnings: What a person should know about them.
    """

    scores: Scores
    warnings: tuple[str, ...] = ()


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


E = TypeVar("E", bound=_Entry)


class _Items(_Entry):
    set: str = Field(min_length=1, max_length=200, pattern=r"^[^\t\r\n]+$")
    values: list[float] = Field(min_length=1)
    tokens: list[int] = Field(default_factory=list)


class _Domain(_Entry):
    value: float
    stderr: float | None = Field(None, ge=0)
    n: int | None = Field(None, ge=0)
    metric: str | None = None
    items: _Items | None = None


def read_scores(
    data: object,
    spec: EvaluationSpec,
    plan: Callable[[], EvaluationPlan],
    *,
    key: str,
    measured_key: Callable[[EvaluationPlan], str],
) -> Told:
    """Reads scores of either form.

    Args:
        data: The file's JSON.
        spec: The recipe's evaluation, whose domains are wanted.
        plan: Makes its plan, which lm-eval's file is read with.
        key: The ``eval_key`` that the scores get.
        measured_key: The ``eval_key`` that evomerge's own scores of this candidate would have.

    Raises:
        UsageError: A domain is missing, unknown or has no finite number, a share is not between
            0 and 1, or the scores are those of something else.
    """
    if not isinstance(data, Mapping):
        raise UsageError(
            f"expected an object with the scores of {', '.join(spec.tasks)}, "
            f"got a {type(data).__name__}"
        )
    if isinstance(data.get("results"), Mapping) and "results" not in spec.tasks:
        made = plan()
        if isinstance(data.get("evomerge"), Mapping):
            return Told(_from_evomerge(data["evomerge"], spec, key, measured_key(made)))
        domains = {task.domain: _score(task, data) for task in made.tasks}
        return Told(Scores(domains, key), (_ALL_ITEMS,))
    return Told(_from_domains(data, spec, key))


# -- the short form ------------------------------------------------------------------------


def _from_domains(data: Mapping[str, object], spec: EvaluationSpec, key: str) -> Scores:
    for name in data:
        if name not in spec.tasks:
            raise UsageError(f"no domain {name!r}", hint=did_you_mean(name, spec.tasks))
    missing = [domain for domain in spec.tasks if domain not in data]
    if missing:
        raise UsageError(f"no score for {', '.join(missing)}", hint=_FAILED)
    read = {domain: _validated(_Domain, domain, data[domain]) for domain in spec.tasks}
    for domain, entry in read.items():
        _check_share(domain, entry, spec.tasks[domain])
    scores = {
        domain: Score(
            metric=entry.metric or spec.tasks[domain].metric or METRIC,
            value=entry.value,
            stderr=entry.stderr,
            n=entry.n or (len(entry.items.values) if entry.items else 0),
        )
        for domain, entry in read.items()
    }
    items = {d: _results(d, entry.items) for d, entry in read.items() if entry.items is not None}
    return Scores(scores, key, items)


def read_items(name: str, data: object) -> TaskItems:
    """Results of single items: ``{"set": ..., "values": [...], "tokens": [...]}``.

    Args:
        name: Whose they are, for messages.
        data: As JSON has them; tokens may be left out.

    Raises:
        UsageError: They are something else.
    """
    return _results(name, _validated(_Items, f"{name}.items", data))


def _results(name: str, items: _Items) -> TaskItems:
    if items.tokens and len(items.tokens) != len(items.values):
        raise UsageError(
            f"{name}.items: expected as many tokens as values, got {len(items.tokens)} and "
            f"{len(items.values)}"
        )
    return TaskItems(items.set, tuple(items.values), tuple(items.tokens))


def _validated(kind: type[E], name: str, data: object) -> E:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (name, *first["loc"]))
        hint = _FAILED if first["type"] == "finite_number" else None
        raise UsageError(
            f"{where}: {first['msg']}, got {first['input']!r:.60}", hint=hint
        ) from None


def _check_share(domain: str, entry: _Domain, task: TaskSpec | TaskPlan) -> None:
    """A score in other units than the run's own would beat, or lose to, all of those.

    Raises:
        UsageError: It, or an item's, is not between 0 and 1, and its metric is.
    """
    metric = entry.metric or task.metric
    own = task.task.startswith(OWN_PREFIX) and metric == task.metric
    if not own and metric not in SHARES:
        return
    values = (entry.value, *(entry.items.values if entry.items else ()))
    wrong = [value for value in values if not 0 <= value <= 1]
    if wrong:
        hint = "write a share, 0.61 for 61 %, or say what it is: metric: NAME"
        what = f"{domain}: {metric or 'its metric'} is a share, from 0 to 1, got {wrong[0]:g}"
        raise UsageError(what, hint=hint)


# -- lm-eval's results ---------------------------------------------------------------------


def _from_evomerge(
    own: Mapping[str, Any], spec: EvaluationSpec, key: str, expected: str
) -> Scores:
    """Results that evomerge wrote say what they are results of.

    Raises:
        UsageError: It is another split, model or evaluation.
    """
    if own.get("split") != "search":
        raise UsageError(
            f"these are scores on the {own.get('split')!r} items; fitness sees search items only",
            hint="evomerge evaluate RUN:ID --split search --json",
        )
    if own.get("eval_key") != expected:
        raise UsageError(
            "these are scores of another model than this candidate, or of another evaluation "
            "than this run's",
            hint="evomerge evaluate RUN:ID --split search --json scores the right one",
        )
    kept = ("value", "stderr", "n", "metric")
    rows = own.get("domains") or {}
    return _from_domains(
        {domain: {name: row.get(name) for name in kept} for domain, row in rows.items()}, spec, key
    )


def _score(task: TaskPlan, data: Mapping[str, Any]) -> Score:
    """One domain's score: of its task, else of the tasks of its group."""
    results = data["results"]
    names = [task.task]
    if task.column not in (results.get(task.task) or {}):
        names = _members(task.task, data.get("group_subtasks") or {}) or names
    parts = [_part(task, name, data) for name in names]
    if len(parts) == 1:
        value, stderr, n = parts[0]
        return Score(_metric(task), value, stderr, n)
    sizes = [n for _, _, n in parts]
    if not all(sizes):
        raise UsageError(f"{task.domain}: the results do not say how many items {names} have")
    value = math.fsum(v * n for v, _, n in parts) / sum(sizes)
    return Score(_metric(task), value, _pooled([s for _, s, _ in parts], sizes), sum(sizes))


def _metric(task: TaskPlan) -> str:
    return task.metric if task.filter == "none" else task.column


def _members(name: str, groups: Mapping[str, Any]) -> list[str]:
    inner = [part for member in groups.get(name, ()) for part in _members(member, groups)]
    return inner or ([name] if name not in groups or not groups[name] else [])


def _pooled(errors: Sequence[float | None], sizes: Sequence[int]) -> float | None:
    from lm_eval.api.metrics import pooled_sample_stderr

    known = [error for error in errors if error is not None]
    return float(pooled_sample_stderr(known, sizes)) if len(known) == len(errors) else None


def _part(task: TaskPlan, name: str, data: Mapping[str, Any]) -> tuple[float, float | None, int]:
    """Value, standard error and number of items of one lm-eval task.

    Raises:
        UsageError: They are not there, not finite, or better when lower.
    """
    results = data["results"]
    if not isinstance(results.get(name), Mapping):
        raise UsageError(
            f"{task.domain}: no results of task {name!r}", hint=did_you_mean(name, results)
        )
    found = results[name]
    if task.column not in found:
        columns = [c for c in found if "," in c and "_stderr," not in c]
        raise UsageError(
            f"{task.domain}: no {task.column!r} among the results of {name!r}",
            hint=did_you_mean(task.column, columns),
        )
    direction = (data.get("higher_is_better") or {}).get(name) or {}
    if direction.get(task.metric) is False:
        raise UsageError(
            f"{task.domain}: {task.metric} of {name} is better when lower, fitness is maximised"
        )
    stderr = found.get(f"{task.metric}_stderr,{task.filter}")
    counts = (data.get("n-samples") or {}).get(name) or {}
    entry = {
        "value": found[task.column],
        "stderr": None if stderr == "N/A" else stderr,
        "n": counts.get("effective", found.get("sample_len")),
    }
    read = _validated(_Domain, task.domain, entry)
    _check_share(task.domain, read, task)
    return read.value, read.stderr, read.n or 0
