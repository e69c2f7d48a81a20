"""What an evaluation found: items, tasks, domains; and their form as lm-eval writes it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evomerge_compiler.candidate import Score, Scores, TaskItems
from evomerge_compiler.evaluation.spec import EvaluationPlan, lm_eval_version
from evomerge_compiler.evaluation.split import Split, item_set_hash


@dataclass(frozen=True)
class ItemResult:
    """One item's results.

    Attributes:
        doc_id: Its place in the task's data.
        item_hash: Content hash.
        document: The item.
        target: The reference answer, as the task gives it.
        arguments: One tuple a request: prompt and what goes with it.
        responses: One list a request: texts, or ``(logprob, is_greedy)``.
        filtered: Filter name to one value a request.
        values: ``metric,filter`` to the item's own value.
        tokens: Generated tokens over all requests, None where nothing is generated.
        finish: How its first answer ended: ``stop``, ``eos`` or ``length``.
    """

    doc_id: int
    item_hash: str
    document: Mapping[str, Any]
    target: Any
    arguments: tuple[Any, ...]
    responses: tuple[Any, ...]
    filtered: Mapping[str, tuple[Any, ...]]
    values: Mapping[str, float]
    tokens: int | None = None
    finish: str | None = None


@dataclass(frozen=True)
class TaskResult:
    """One lm-eval task's results.

    Attributes:
        name: lm-eval's name.
        version: The task file's version.
        num_fewshot: Examples in each prompt.
        n_total: Items that the task has; the scored ones may be fewer.
        metrics: ``metric,filter`` to the aggregated value.
        stderr: The same to its standard error, None for corpus metrics.
        higher_is_better: Metric to its direction.
        items: Scored items, in the order of their hashes.
        config: The task's own configuration.
    """

    name: str
    version: Any
    num_fewshot: int
    n_total: int
    metrics: Mapping[str, float]
    stderr: Mapping[str, float | None]
    higher_is_better: Mapping[str, bool]
    items: tuple[ItemResult, ...] = field(default=(), repr=False)
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Evaluation:
    """All that an evaluation found.

    Attributes:
        plan: How it was done.
        split: Which items.
        scores: What counts: a score for each domain, and per-item values.
        tasks: Domain to the tasks behind it (several for a group or a tag).
        n_parameters: Of the model, 0 where unknown.
    """

    plan: EvaluationPlan
    split: Split
    scores: Scores
    tasks: Mapping[str, tuple[TaskResult, ...]]
    n_parameters: int = 0


@dataclass(frozen=True)
class DomainRow:
    """One line of the domain table."""

    domain: str
    task: str
    metric: str
    value: float
    stderr: float | None
    n: int
    mean_tokens: float | None = None
    truncated_share: float | None = None


def mean_stderr(values: Sequence[float]) -> float | None:
    """Standard error of a mean, with the sample's own variance (``n - 1``), as lm-eval has it.

    Args:
        values: ``(n_items,)``.

    Returns:
        None for fewer than two items.
    """
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)


def domain_score(tasks: Sequence[TaskResult], metric: str, filter_name: str) -> Score:
    """A domain's score: its task's metric, or the mean over the items of several tasks.

    Of several tasks (a group or a tag) the value is the mean weighted by their numbers of items,
    and its standard error is that of their pooled variance, as lm-eval aggregates a group.
    """
    from lm_eval.api.metrics import pooled_sample_stderr

    column = f"{metric},{filter_name}"
    n = sum(len(task.items) for task in tasks)
    shares = [len(task.items) / n for task in tasks]
    value = math.fsum(s * task.metrics[column] for s, task in zip(shares, tasks, strict=True))
    errors = [task.stderr[column] for task in tasks]
    stderr = errors[0]
    if len(tasks) > 1:
        known = [error for error in errors if error is not None]
        sizes = [len(task.items) for task in tasks]
        whole = len(known) == len(tasks)
        stderr = float(pooled_sample_stderr(known, sizes)) if whole else None
    name = metric if filter_name == "none" else column
    return Score(metric=name, value=value, stderr=stderr, n=n)


def domain_items(tasks: Sequence[TaskResult], column: str) -> TaskItems:
    """Per-item results of a domain, in the order of the items' hashes."""
    items = sorted(
        ((item.item_hash, at, item) for at, task in enumerate(tasks) for item in task.items),
        key=lambda entry: (entry[0], entry[1], entry[2].doc_id),
    )
    # An item of two tasks is two items; the set's hash must say so.
    hashes = [f"{tasks[at].name} {hashed}" for hashed, at, _ in items]
    tokens = [item.tokens for _, _, item in items]
    finish = [item.finish for _, _, item in items]
    # Beside a graded metric a task may judge answers right or wrong, with the same filter.
    judged = [item.values.get(f"correct,{column.partition(',')[2]}") for _, _, item in items]
    correct = tuple(c >= 1.0 for c in judged if c is not None) if None not in judged else ()
    values = tuple(item.values[column] for _, _, item in items)
    return TaskItems(
        item_set=item_set_hash(hashes),
        values=values,
        tokens=tuple(t for t in tokens if t is not None) if None not in tokens else (),
        correct=correct if correct != tuple(value >= 1.0 for value in values) else (),
        finish="".join(f[0] for f in finish if f is not None) if None not in finish else "",
    )


def domain_rows(evaluation: Evaluation) -> list[DomainRow]:
    """The domain table, in recipe order."""
    rows = []
    for task in evaluation.plan.tasks:
        score = evaluation.scores.domains[task.domain]
        items = evaluation.scores.items.get(task.domain)
        finishes = [
            item.finish
            for result in evaluation.tasks.get(task.domain, ())
            for item in result.items
            if item.finish is not None
        ]
        rows.append(
            DomainRow(
                domain=task.domain,
                task=task.task,
                metric=score.metric,
                value=score.value,
                stderr=score.stderr,
                n=score.n,
                mean_tokens=(
                    math.fsum(items.tokens) / len(items.tokens) if items and items.tokens else None
                ),
                truncated_share=finishes.count("length") / len(finishes) if finishes else None,
            )
        )
    return rows


def to_lm_eval(evaluation: Evaluation, *, model: str) -> dict[str, Any]:
    """The evaluation in the shape of lm-eval's own ``results_*.json``.

    Args:
        evaluation: What was found.
        model: How the user named the model.

    Returns:
        ``results``, ``configs``, ``versions``, ``n-shot``, ``higher_is_better``, ``n-samples``
        and ``config`` as lm-eval names them, and ``evomerge`` with what it has no place for.
        No times, hosts or environment.
    """
    plan = evaluation.plan
    tasks = {task.name: task for group in evaluation.tasks.values() for task in group}
    return {
        "results": {name: _result(task) for name, task in tasks.items()},
        "configs": {name: _plain(dict(task.config)) for name, task in tasks.items()},
        "versions": {name: task.version for name, task in tasks.items()},
        "n-shot": {name: task.num_fewshot for name, task in tasks.items()},
        "higher_is_better": {name: dict(task.higher_is_better) for name, task in tasks.items()},
        "n-samples": {
            name: {"original": task.n_total, "effective": len(task.items)}
            for name, task in tasks.items()
        },
        "config": {
            "model": "hf",
            "model_args": {"pretrained": model, "dtype": plan.dtype},
            "model_num_parameters": evaluation.n_parameters,
            "batch_size": plan.batch_size,
            "device": plan.device,
            "limit": plan.limit if evaluation.split in ("search", "all") else None,
            "bootstrap_iters": 0,
            "gen_kwargs": dict(plan.gen_kwargs) or None,
        },
        "lm_eval_version": lm_eval_version(),
        "evomerge": {
            "split": evaluation.split,
            "holdout": plan.holdout,
            "eval_key": evaluation.scores.eval_key,
            "tasks_hash": plan.tasks_hash,
            "domains": {
                row.domain: {
                    "task": row.task,
                    "metric": row.metric,
                    "value": row.value,
                    "stderr": row.stderr,
                    "n": row.n,
                    "weight": plan.weights[row.domain],
                    "mean_tokens": row.mean_tokens,
                    "truncated_share": row.truncated_share,
                }
                for row in domain_rows(evaluation)
            },
        },
    }


def _plain(part: Any) -> Any:
    """A task's configuration as JSON can hold it; a function becomes ``module.name``."""
    if isinstance(part, Mapping):
        return {str(key): _plain(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_plain(value) for value in part]
    if callable(part):
        return f"{part.__module__}.{getattr(part, '__qualname__', type(part).__name__)}"
    return part if isinstance(part, (str, int, float, bool)) or part is None else str(part)


def _result(task: TaskResult) -> dict[str, Any]:
    out: dict[str, Any] = {"name": task.name, "alias": task.name, "sample_len": len(task.items)}
    for column, value in task.metrics.items():
        metric, _, filter_name = column.partition(",")
        stderr = task.stderr[column]
        out[column] = value
        out[f"{metric}_stderr,{filter_name}"] = "N/A" if stderr is None else stderr
    return out


def samples(evaluation: Evaluation) -> Iterator[tuple[str, dict[str, Any]]]:
    """Task names and per-item records for ``--log_samples``, one an item and filter."""
    for group in evaluation.tasks.values():
        for task in group:
            for item in task.items:
                for filter_name, filtered in item.filtered.items():
                    values = {
                        column.partition(",")[0]: value
                        for column, value in item.values.items()
                        if column.partition(",")[2] == filter_name
                    }
                    yield (
                        task.name,
                        {
                            "doc_id": item.doc_id,
                            "doc": dict(item.document),
                            "target": item.target,
                            "arguments": list(item.arguments),
                            "resps": list(item.responses),
                            "filtered_resps": list(filtered),
                            "filter": filter_name,
                            "metrics": sorted(values),
                            "doc_hash": item.item_hash,
                            "tokens": item.tokens,
                            "finish": item.finish,
                            **values,
                        },
                    )
