"""Scores models with lm-eval's tasks, many models in a row.

lm-eval's command spends 14 s around 2 s of model time. A :class:`Session` loads tasks, makes
prompts and tokenises them once; a candidate then costs its weights' bytes, the model's own time
and the judging of its answers. Values equal those of ``lm_eval.simple_evaluate`` on a freshly
loaded model.

    session = Session(plan_evaluation(recipe.evaluation, folder=recipe.folder))
    scores = session.score(Path("models/c05"), "search", identity=plan.merge_key)
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evomerge_compiler.candidate import Score, Scores, TaskItems
from evomerge_compiler.errors import EvomergeError, RecipeError, WorkFailed
from evomerge_compiler.evaluation import (
    backends,
    command,
    failures,
    metered,
    perplexity,
    task_files,
)
from evomerge_compiler.evaluation.model_weights import Weights
from evomerge_compiler.evaluation.perplexity import TextScore
from evomerge_compiler.evaluation.race import Race
from evomerge_compiler.evaluation.raced_items import RacedItems
from evomerge_compiler.evaluation.results import (
    Evaluation,
    ItemResult,
    TaskResult,
    domain_items,
    domain_score,
    mean_stderr,
)
from evomerge_compiler.evaluation.spec import EvaluationPlan, TaskPlan, eval_key
from evomerge_compiler.evaluation.split import Split
from evomerge_compiler.evaluation.task_files import LoadedTask
from evomerge_compiler.processes import verdict

_Asked = tuple[str, int | None, str]

# lm-eval's own seeds, so that sampled answers and random scorers repeat.
_PYTHON_SEED, _NUMPY_SEED, _TORCH_SEED = 0, 1234, 1234


class Session:
    """Scores models on the tasks of one plan.

    Attributes:
        plan: What is asked.
        resident: The model that is loaded.
    """

    def __init__(self, plan: EvaluationPlan) -> None:
        """Loads the tasks; models come later.

        Raises:
            RecipeError: A task, metric or filter does not exist.
            MissingPrerequisite: lm-eval, data or the sandbox is missing.
        """
        self.plan = plan
        _start_sandbox(plan)
        self.resident = backends.make(plan)
        self._tasks: dict[_Asked, list[LoadedTask]] = {}
        self._requests_for: str | None = None
        self._folder: Path | None = None
        asked = [task for task in plan.tasks if not task.external]
        if asked:
            loader = task_files.TaskLoader(plan)
            for task in asked:
                key = task.asked
                if key not in self._tasks:
                    self._tasks[key] = loader.load(task)
                else:
                    for loaded in self._tasks[key]:
                        task_files.check_metric(loaded, task)

    def score(
        self, model: Path | Weights, split: Split = "search", *, identity: str = ""
    ) -> Scores:
        """Scores one model.

        Args:
            model: A transformers folder, or the weights of a merge that is on no disk.
            split: Which items.
            identity: Merge key or content identity of the model, for the score's own key.

        Returns:
            A score for each domain and per-item values; higher is better in all.

        Raises:
            WorkFailed: The model cannot be loaded or computes non-finite values, memory ran
                out, or judging an answer failed.
            RecipeError: A metric does not exist, or is better when lower.
        """
        self.load(model)
        return self.score_loaded(split, identity=identity)

    def score_loaded(
        self, split: Split = "search", *, identity: str = "", race: Race | None = None
    ) -> Scores:
        """Like :meth:`score`, of the model that :meth:`load` was given last.

        Args:
            split, identity: As there.
            race: How far to ask it on the search split; None asks everything.

        Raises:
            MissingPrerequisite: The items are not those that the race's rival was asked.
        """
        if race is not None:
            return RacedItems(self.plan, self._tasks, self._run).run(race, identity)
        evaluation = self._evaluate(split, identity)
        for task in self.plan.tasks:
            for result in evaluation.tasks[task.domain]:
                if not result.higher_is_better.get(task.metric, True):
                    raise RecipeError(
                        f"{task.domain}: {task.metric} of {result.name} is better when lower, "
                        "fitness is maximised",
                        hint="choose a metric that is better when higher",
                    )
        return evaluation.scores

    def evaluate(
        self, model: Path | Weights, split: Split = "all", *, identity: str = ""
    ) -> Evaluation:
        """Like :meth:`score`, with all metrics, answers and configurations kept."""
        self.load(model)
        return self._evaluate(split, identity)

    def _evaluate(self, split: Split, identity: str) -> Evaluation:
        done: dict[_Asked, tuple[TaskResult, ...]] = {}
        if self._tasks:
            asked = [
                (loaded, task_files.chosen(loaded, self.plan, split))
                for group in self._tasks.values()
                for loaded in group
            ]
            judged = iter(self._run(asked))
            done = {key: tuple(next(judged) for _ in group) for key, group in self._tasks.items()}
        scores: dict[str, Score] = {}
        items: dict[str, TaskItems] = {}
        tasks: dict[str, tuple[TaskResult, ...]] = {}
        for task in self.plan.tasks:
            if task.external:
                if self._folder is None:
                    raise TypeError(f"{task.domain}: a command needs the model in a folder")
                scores[task.domain], own = command.score(task, self._folder, split, self.plan)
                if own is not None:
                    items[task.domain] = own
                tasks[task.domain] = ()
                continue
            results = done[task.asked]
            scores[task.domain] = _domain(task, results)
            items[task.domain] = domain_items(results, task.column)
            tasks[task.domain] = results
        for domain, score in scores.items():
            if not math.isfinite(score.value):
                raise failures.non_finite(f"the score of {domain} is not finite")
        key = eval_key(identity, self.plan, split) if identity else ""
        return Evaluation(
            plan=self.plan,
            split=split,
            scores=Scores(domains=scores, eval_key=key, items=items),
            tasks=tasks,
            n_parameters=self.resident.n_parameters if self._tasks else 0,
        )

    def text_score(self, model: Path, text: str | Sequence[perplexity.Passage]) -> TextScore:
        """Bits per byte of a text under one model.

        Args:
            model: A transformers folder.
            text: A text, or passages behind contexts.

        Raises:
            WorkFailed: As :meth:`score`.
            UsageError: The text is empty.
        """
        self.resident.load(model)
        lm = self.resident.lm
        return perplexity.bits_per_byte(lm.model, lm.tokenizer, text)

    def load(self, model: Path | Weights) -> None:
        """Makes a model the resident one and prepares the prompts for it.

        Raises:
            WorkFailed: As :meth:`score`.
        """
        self.place(model)
        self.make_prompts()

    def place(self, model: Path | Weights) -> None:
        """Makes a model the resident one.

        Raises:
            WorkFailed: As :meth:`score`.
        """
        self._folder = model if isinstance(model, Path) else None
        if self._tasks:  # else only programs judge it, and they read its folder
            self.resident.load(model)

    def make_prompts(self) -> None:
        """Prepares the prompts for the resident model, where those at hand are not for it."""
        if not self._tasks:
            return
        # Only a chat template makes prompts depend on the model.
        key = self.resident.tokenizer_key if self.plan.apply_chat_template else "text"
        if key != self._requests_for:
            self._requests_for = None
            for group in self._tasks.values():
                for loaded in group:
                    task_files.build_requests(loaded, self.plan, self.resident.lm)
            self._requests_for = key

    # ----------------------------------------------------------------------------------

    def _run(self, asked: Sequence[tuple[LoadedTask, Sequence[int]]]) -> list[TaskResult]:
        """Asks and judges items: of each task those of some indices, in that order."""
        _seed()
        with failures.failures_of_work(f"batch size {self.plan.batch_size}"):
            usage = self._ask(asked)
        return [_judge(loaded, indices, usage) for loaded, indices in asked]

    def _ask(self, chosen: Sequence[tuple[LoadedTask, Sequence[int]]]) -> dict[int, Any]:
        """Sends all requests to the model; answers are left in the requests.

        Requests keep the order of the data, whatever the order of hashes: lm-eval batches by
        length and breaks ties by order, so this gives the batches of ``simple_evaluate``.

        Returns:
            ``id`` of a request to the :class:`~.metered.Usage` of each of its answers.
        """
        lm = self.resident.lm
        by_type: dict[str, list[Any]] = defaultdict(list)
        for loaded, indices in chosen:
            for index in sorted(indices):
                for request in loaded.requests[index]:
                    request.resps.clear()
                    request.filtered_resps.clear()
                    by_type[request.request_type] += [request] * (request.repeats or 1)
        usage: dict[int, Any] = defaultdict(list)
        for kind, requests in by_type.items():
            answers = getattr(lm, kind)(requests, disable_tqdm=True)
            for request, answer in zip(requests, answers, strict=True):
                _check_answer(request, answer)
                request.resps.append(answer)
            if kind == "generate_until":
                recorded = lm.recorder.usage
                for request in requests:
                    key = metered.usage_key(*request.args[:2])
                    usage[id(request)].append(recorded[key].popleft())
        return usage


def _domain(task: TaskPlan, results: Sequence[TaskResult]) -> Score:
    for result in results:
        if task.column not in result.metrics:
            known = {column.partition(",")[0] for column in result.metrics}
            raise task_files.no_metric(result.name, task.metric, sorted(known))
    return domain_score(results, task.metric, task.filter)


def _judge(loaded: LoadedTask, indices: Sequence[int], usage: Mapping[int, Any]) -> TaskResult:
    """Filters answers, judges each item, and aggregates."""
    task = loaded.task
    task._instances = [request for index in indices for request in loaded.requests[index]]
    task.apply_filters()
    columns: dict[str, dict[int, Any]] = defaultdict(dict)
    for filter_name in loaded.filters:
        answers = {
            index: [request.filtered_resps[filter_name] for request in loaded.requests[index]]
            for index in indices
        }
        _prefetch(loaded, answers)
        for index in indices:
            for metric, value in _process(loaded, index, answers[index]).items():
                columns[f"{metric},{filter_name}"][index] = value
    aggregations = task.aggregation()
    metrics: dict[str, float] = {}
    stderr: dict[str, float | None] = {}
    values: dict[str, dict[int, float]] = {}
    for column, found in columns.items():
        aggregate = aggregations.get(column.partition(",")[0])
        metrics[column], stderr[column], values[column] = _aggregate(found, aggregate)
    items = [_item(loaded, index, values, usage) for index in indices]
    return TaskResult(
        name=loaded.name,
        version=task.VERSION,
        num_fewshot=task.get_config("num_fewshot"),
        n_total=len(loaded.documents),
        metrics=metrics,
        stderr=stderr,
        higher_is_better=dict(task.higher_is_better()),
        items=tuple(items),
        config=_config(task),
    )


def _process(loaded: LoadedTask, index: int, answers: list[Any]) -> Mapping[str, Any]:
    try:
        judged: Mapping[str, Any] = loaded.task.process_results(
            dict(loaded.documents[index]), answers
        )
        return judged
    except EvomergeError:
        raise
    except Exception as error:  # a task's own Python met an answer it was not written for
        raise WorkFailed(
            f"{loaded.name}: judging item {loaded.hashes[index][:12]} raised "
            f"{type(error).__name__}: {error}",
            reason=verdict(error),
            step="evaluate",
        ) from error


def _prefetch(loaded: LoadedTask, answers: Mapping[int, list[Any]]) -> None:
    """Lets a scorer work on all answers at once, for example in one call of the sandbox.

    A scoring function may carry ``prefetch(pairs)`` as an attribute, or have one beside it in
    its module; pairs are ``(item, answer)``. It keeps what it finds and the scoring function
    looks it up.
    """
    judge = loaded.task.get_config("process_results")
    if not callable(judge):
        return
    ahead = getattr(judge, "prefetch", None) or getattr(judge, "__globals__", {}).get("prefetch")
    if callable(ahead):
        ahead([(dict(loaded.documents[index]), given[0]) for index, given in answers.items()])


def _aggregate(
    found: Mapping[int, Any], aggregate: Any
) -> tuple[float, float | None, dict[int, float]]:
    """One metric over the items.

    A corpus metric (chrF, F1, perplexity) has no value of its own for an item, and its standard
    error would need a bootstrap; an item's value is then the metric of the corpus that holds
    only this item.
    """
    from lm_eval.api.metrics import mean

    aggregate = aggregate or mean
    values = list(found.values())
    numeric = all(isinstance(value, (int, float)) or _is_numpy_number(value) for value in values)
    if numeric:
        single = {index: float(value) for index, value in found.items()}
    else:
        single = {index: float(aggregate([value])) for index, value in found.items()}
    value = float(aggregate(values))
    plain_mean = numeric and aggregate is mean
    return value, mean_stderr([float(v) for v in values]) if plain_mean else None, single


def _is_numpy_number(value: object) -> bool:
    import numpy as np

    return isinstance(value, (np.number, np.bool_))


def _item(
    loaded: LoadedTask,
    index: int,
    values: Mapping[str, Mapping[int, float]],
    usage: Mapping[int, Any],
) -> ItemResult:
    requests = loaded.requests[index]
    used = [entry for request in requests for entry in usage.get(id(request), ())]
    return ItemResult(
        doc_id=index,
        item_hash=loaded.hashes[index],
        document=loaded.documents[index],
        target=loaded.task.doc_to_target(loaded.documents[index]),
        arguments=tuple(request.args for request in requests),
        responses=tuple(list(request.resps) for request in requests),
        filtered={
            name: tuple(request.filtered_resps[name] for request in requests)
            for name in loaded.filters
        },
        values={column: found[index] for column, found in values.items() if index in found},
        tokens=sum(entry.tokens for entry in used) if used else None,
        finish=used[0].finish if used else None,
    )


def _config(task: Any) -> dict[str, Any]:
    """The task's configuration without its data and functions' addresses."""
    plain = {}
    for key, value in task.dump_config().items():
        if isinstance(value, (str, int, float, bool, list, dict)) or value is None:
            plain[key] = value
    return plain


def _check_answer(request: Any, answer: Any) -> None:
    """lm-eval would take the first choice of a model whose log-probabilities are all NaN."""
    logprob = answer[0] if isinstance(answer, tuple) else answer
    if isinstance(logprob, float) and not math.isfinite(logprob):
        raise failures.non_finite(f"{request.task_name}: a log-probability is not finite")


def _seed() -> None:
    import numpy as np
    import torch

    random.seed(_PYTHON_SEED)
    np.random.seed(_NUMPY_SEED)
    torch.manual_seed(_TORCH_SEED)


def _start_sandbox(plan: EvaluationPlan) -> None:
    """Starts the sandbox before torch is imported, when a task says that it runs code."""
    from evomerge_compiler.evaluation import sandbox
    from evomerge_compiler.evaluation.task_index import local_tasks

    sandbox.configure(unsafe=plan.unsafe_code)
    local = local_tasks([Path(path) for path in plan.include_paths])
    if any(task.task in local and local[task.task].runs_code for task in plan.tasks):
        _ = sandbox.shared().layers  # starts the server, and refuses where it cannot hold
