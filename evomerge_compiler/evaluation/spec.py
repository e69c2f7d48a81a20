"""What is to be scored and how, as plain data that crosses process boundaries.

:func:`plan_evaluation` turns a recipe's ``evaluation:`` into an :class:`EvaluationPlan`, finds
the task files, and hashes them, without importing lm-eval. :func:`eval_key` names a score: equal
keys mean that the same model was asked the same items in the same way.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from evomerge_compiler.errors import EvomergeError, MissingPrerequisite, RecipeError, did_you_mean
from evomerge_compiler.evaluation import generation, plugin, task_index
from evomerge_compiler.evaluation.presets import Presets, load_presets
from evomerge_compiler.evaluation.split import Split
from evomerge_compiler.evaluation.task_index import (
    NO_FILTER,
    LocalTask,
    domains_of,
    include_paths,
    local_tasks,
)
from evomerge_compiler.recipe_schema import Backend, EvaluationSpec, TaskSpec
from evomerge_compiler.yamlio import Document

COMMAND_PREFIX = "command:"
MODEL_WORD = "{model}"  # stands for the model folder in a command
DEFAULT_SALT = "evomerge"
OWN_PREFIX = "evomerge_"  # tasks of this name are shipped ones, never lm-eval's

_SCRIPT_SUFFIXES = task_index.HASHED_SUFFIXES | {".sh", ".pl", ".rb", ".js", ".R"}
# They say where and how fast, and nothing about what is asked.
_NOT_IN_KEY = frozenset(
    ("include_paths", "device", "gpu_workers", "offline", "timeout_s", "unsafe_code")
)


@dataclass(frozen=True)
class TaskPlan:
    """One domain: a task and the metric of it that counts.

    Attributes:
        domain: The recipe's name for it.
        task: lm-eval task, tag or group; or ``command:...``, ``plugin:NAME``.
        metric: Metric name without its filter.
        filter: lm-eval filter name.
        weight: Share in the fitness, as written.
        num_fewshot: Examples in the prompt, None for the task's own number.
        gen_kwargs: Generation arguments of this task alone; they win over the plan's.
    """

    domain: str
    task: str
    metric: str
    filter: str = NO_FILTER
    weight: float = 1.0
    num_fewshot: int | None = None
    gen_kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asked(self) -> tuple[str, int | None, str]:
        """What decides the answers: domains that agree in it share them."""
        return self.task, self.num_fewshot, json.dumps(self.gen_kwargs, sort_keys=True)

    @property
    def external(self) -> bool:
        """Whether a program other than lm-eval scores it."""
        return self.task.startswith((COMMAND_PREFIX, plugin.PREFIX))

    @property
    def column(self) -> str:
        """The metric as lm-eval's results name it: ``metric,filter``."""
        return f"{self.metric},{self.filter}"


@dataclass(frozen=True)
class EvaluationPlan:
    """How models are scored; the same for all candidates of a run.

    Attributes:
        tasks: The domains, in recipe order.
        tasks_hash: Hash of the task files, their Python and their data.
        include_paths: Absolute folders with task files, the recipe's first.
        folder: Working folder of external commands.
        batch_size: Prompts a batch, fixed: results depend on it below float32.
        limit: Search items a task at most.
        holdout: Share of the items that fitness never sees.
        salt: Salt of that division.
        apply_chat_template: Prompts become chat turns.
        system_instruction: System turn of every prompt.
        gen_kwargs: Generation arguments that replace the tasks' own.
        max_length: Context length in tokens, None for the model's own.
        backend: What computes: ``hf`` is transformers, ``vllm`` is vLLM, through lm-eval.
        dtype: Type of the weights. ``auto`` is the model's own, but float32 on a CPU.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
        gpu_workers: Workers that have the GPU in common.
        offline: No model or task needs the network.
        trust_remote_code: Models may bring their own Python.
        unsafe_code: Generated code runs without the sandbox.
        timeout_s: For one external command.
    """

    tasks: tuple[TaskPlan, ...]
    tasks_hash: str
    include_paths: tuple[str, ...] = ()
    folder: str = "."
    batch_size: int = 16
    limit: int | None = None
    holdout: float = 0.5
    salt: str = DEFAULT_SALT
    apply_chat_template: bool = False
    system_instruction: str | None = None
    gen_kwargs: Mapping[str, Any] = field(default_factory=dict)
    max_length: int | None = None
    backend: Backend = "hf"
    dtype: str = "auto"
    device: str = "auto"
    gpu_workers: int = 1
    offline: bool = True
    trust_remote_code: bool = False
    unsafe_code: bool = False
    timeout_s: float = 3600.0

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains, in recipe order."""
        return tuple(task.domain for task in self.tasks)

    @property
    def weights(self) -> dict[str, float]:
        """Domain to its share in the fitness; they sum to 1."""
        total = sum(task.weight for task in self.tasks)
        return {task.domain: task.weight / total for task in self.tasks}

    @property
    def key(self) -> str:
        """Hash of everything here; a worker keeps one session for each."""
        return _sha256(json.dumps(asdict(self), sort_keys=True, default=str))


def plan_evaluation(
    spec: EvaluationSpec,
    *,
    folder: Path,
    document: Document | None = None,
    device: str = "auto",
    offline: bool | None = None,
    trust_remote_code: bool = False,
    unsafe_code: bool = False,
    salt: str = DEFAULT_SALT,
) -> EvaluationPlan:
    """Reads a recipe's ``evaluation:``.

    Args:
        spec: The recipe's section.
        folder: The recipe's folder; its ``include_path`` and commands are relative to it.
        document: The recipe as read, for the places of mistakes.
        device: Where models run.
        offline: Never ask the hub. None decides: a task that is not among the project's and the
            shipped evaluators, or whose data lie on the hub, needs it.
        trust_remote_code: Models may bring their own Python.
        unsafe_code: Generated code runs without the sandbox.
        salt: Salt of the division into search and held-out items.

    Returns:
        The plan, with the hash of all task files.

    Raises:
        RecipeError: An include path is no folder, a command names no program, a plug-in is not
            installed, a task's metric is not named and cannot be known, or a generation argument
            does not exist.
    """
    generation.check(spec, document)
    try:
        paths = include_paths(spec.include_path, folder)
    except RecipeError as error:
        error.place = document.place(("evaluation", "include_path")) if document else None
        raise
    local = local_tasks(paths)
    reader = _TaskReader(spec, local, load_presets(), document)
    tasks = tuple(reader.read(domain, task) for domain, task in spec.tasks.items())
    if offline is None:
        offline = all(
            task.external or (task.task in local and local[task.task].offline) for task in tasks
        )
    return EvaluationPlan(
        tasks=tasks,
        tasks_hash=hash_tasks(tasks, local, folder),
        include_paths=tuple(str(path) for path in paths),
        folder=str(folder.resolve()),
        batch_size=spec.batch_size,
        limit=spec.limit,
        holdout=spec.holdout,
        salt=salt,
        apply_chat_template=spec.apply_chat_template,
        system_instruction=spec.system_instruction,
        gen_kwargs=dict(spec.gen_kwargs),
        max_length=spec.max_length,
        backend=spec.backend,
        dtype=spec.dtype,
        device=device,
        offline=offline,
        trust_remote_code=trust_remote_code,
        unsafe_code=unsafe_code,
        timeout_s=spec.timeout_s,
    )


def spec_of_tasks(
    names: Sequence[str], folder: Path, *, num_fewshot: int | None = None, **settings: Any
) -> EvaluationSpec:
    """The evaluation that consists of some tasks, each a domain of its own name.

    Args:
        names: Presets, tasks, tags or groups; a group of groups comes to its members.
        folder: What include paths are relative to.
        num_fewshot: For all of them.
        settings: Other settings of ``evaluation:``; None leaves the default.

    Raises:
        RecipeError: An include path is no folder.
        ValidationError: A setting is not what it should be (pydantic).
    """
    given = {key: value for key, value in settings.items() if value is not None}
    local = local_tasks(include_paths(given.get("include_path", ()), folder))
    parts = dict.fromkeys(part for name in names for part in domains_of(name, local))
    tasks = {part: {"task": part, "num_fewshot": num_fewshot} for part in parts}
    return EvaluationSpec.model_validate({"tasks": tasks, **given})


@dataclass(frozen=True)
class _TaskReader:
    """Fills in what a recipe leaves out of a task: from its preset, else from its file."""

    spec: EvaluationSpec
    local: Mapping[str, LocalTask]
    presets: Presets
    document: Document | None

    def read(self, domain: str, task: TaskSpec) -> TaskPlan:
        """One entry of ``evaluation.tasks``.

        Raises:
            RecipeError: It names no metric and none is known, or one that the task lacks, a
                plug-in that is not installed, or a command that cannot be run.
        """
        # A preset is taken as a whole, where no metric is written: what a recipe writes out in
        # full means the same with and without the preset.
        preset = self.presets.find(task.task) if task.metric is None else None
        name = preset.task if preset else task.task
        known = self.local.get(name)
        if known is None and name.startswith(OWN_PREFIX):
            raise self.error(domain, f"no task {name!r}", did_you_mean(name, self.local))
        metric = task.metric or (preset.metric if preset else known.metric if known else None)
        if metric is None:
            raise self.unknown_metric(domain, name)
        if name.startswith(plugin.PREFIX):
            self.check_plugin(domain, name)
        if name.startswith(COMMAND_PREFIX):
            self.check_command(domain, name)
        if known and known.metrics is not None and metric not in known.metrics:
            raise self.error(
                domain,
                f"task {name!r} has no metric {metric!r}",
                did_you_mean(metric, known.metrics),
                "metric",
            )
        fallback = preset.filter if preset else known.filter if known else NO_FILTER
        fewshot = preset.num_fewshot if preset and task.num_fewshot is None else task.num_fewshot
        return TaskPlan(
            domain=domain,
            task=name,
            metric=metric,
            filter=fallback if task.filter is None else task.filter,
            weight=task.weight,
            num_fewshot=fewshot,
            # The recipe's own words win: those of the task, then those for all tasks.
            gen_kwargs={
                **{
                    key: value
                    for key, value in (preset.gen_kwargs if preset else {}).items()
                    if key not in self.spec.gen_kwargs
                },
                **task.gen_kwargs,
            },
        )

    def check_plugin(self, domain: str, name: str) -> None:
        """A plug-in must be there before anything is merged for it.

        Raises:
            RecipeError: It is not installed.
        """
        try:
            plugin.find(name)
        except RecipeError as error:
            raise self.error(domain, error.message, error.hint or "") from None

    def check_command(self, domain: str, name: str) -> None:
        """A command must be told which model it judges.

        Raises:
            RecipeError: It does not say where the model folder goes, or has no words.
        """
        try:
            words = command_words(name)
        except RecipeError as error:
            raise self.error(domain, error.message, "command: PROGRAM {model}") from None
        if not any(MODEL_WORD in word for word in words):
            message = "the command does not say where the model folder goes"
            raise self.error(domain, message, f"write {MODEL_WORD} in it")

    def unknown_metric(self, domain: str, name: str) -> EvomergeError:
        """The error for a task of which no file here says how it is judged."""
        if name.startswith((COMMAND_PREFIX, plugin.PREFIX)):
            return self.error(
                domain, "a custom evaluator has no metric of its own", "name it: metric: NAME"
            )
        if name in self.local:
            hint = "name one: metric: NAME; or make each of its tasks a domain"
            parts = [self.local[task] for task in self.local[name].tasks]
            found = ", ".join(sorted({part.metric or "unknown" for part in parts}))
            return self.error(domain, f"the tasks of {name!r} have no metric in common: {found}",
                              hint)  # fmt: skip
        near = did_you_mean(name, [*self.presets.by_name, *self.local])
        hint = "name it, as lm-eval's results do: metric: NAME, filter: NAME"
        return self.error(
            domain,
            f"the metric of task {name!r} is not known before lm-eval loads it",
            f"{near} Else {hint}" if near.startswith("did you mean") else hint,
        )

    def error(self, domain: str, message: str, hint: str, key: str = "task") -> EvomergeError:
        """A mistake in one entry, at its place."""
        if self.document is None:
            return RecipeError(f"evaluation.tasks.{domain}: {message}", hint=hint)
        return self.document.error(message, ("evaluation", "tasks", domain, key), hint=hint)


def eval_key(model_identity: str, plan: EvaluationPlan, split: Split = "search") -> str:
    """Name of a score.

    Args:
        model_identity: Merge key of a merge, content identity of a model.
        plan: How it is scored.
        split: Which items.

    Returns:
        64 hex digits; a change in any item, prompt, argument or version gives others.
    """
    asked = {
        item.name: getattr(plan, item.name)
        for item in fields(plan)
        if item.name not in _NOT_IN_KEY | {"tasks", "folder"}
    }
    # Weights of domains and their names do not change a score.
    asked["tasks"] = [
        [t.task, t.metric, t.filter, t.num_fewshot, *([t.gen_kwargs] if t.gen_kwargs else [])]
        for t in plan.tasks
    ]
    if plan.backend == "hf":
        asked.pop("backend")  # keys are older than other backends
    if split == "held_out":
        asked.pop("limit")  # the held-out split is never cut short
    if split == "full_search":
        # What it asks is what the search asks where there is no limit.
        split, asked["limit"] = "search", None
    asked["lm_eval"] = lm_eval_version()
    text = json.dumps([model_identity, split, asked], sort_keys=True, default=str)
    return _sha256(text)


def lm_eval_version() -> str:
    """Version of the installed lm-eval.

    Raises:
        MissingPrerequisite: It is not installed.
    """
    try:
        return importlib.metadata.version("lm_eval")
    except importlib.metadata.PackageNotFoundError:
        raise MissingPrerequisite(
            "lm-eval is not installed", hint="pip install 'evomerge-compiler'"
        ) from None


def hash_tasks(tasks: Sequence[TaskPlan], local: Mapping[str, LocalTask], folder: Path) -> str:
    """Hash of all that decides what the tasks ask and how they judge.

    A local task counts by its files (:func:`.task_index.digests`), a stock task by its name
    (lm-eval's version is in :func:`eval_key`), a command by its words and by the files that they
    name, a plug-in by its function, distribution and version.

    Raises:
        RecipeError: A command is empty, or a plug-in is not installed.
    """
    lines = []
    for task in tasks:
        if task.task in local:
            digests = task_index.digests(local[task.task])
        elif task.task.startswith(COMMAND_PREFIX):
            named = [folder / word for word in command_words(task.task)]
            digests = [
                task_index.file_sha256(path)
                for path in named
                if path.suffix in _SCRIPT_SUFFIXES and path.is_file()
            ]
        elif task.task.startswith(plugin.PREFIX):
            digests = [plugin.identity(task.task)]
        else:
            digests = []
        lines.append("\n".join([task.task, *digests]))
    return _sha256("\n\n".join(lines))


def command_words(task: str) -> list[str]:
    """The words of ``command: ...``, split as a shell does.

    Raises:
        RecipeError: There are none, or a quote is not closed.
    """
    text = task[len(COMMAND_PREFIX) :]
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise RecipeError(f"the command {text.strip()!r} cannot be read: {error}") from None
    if not words:
        raise RecipeError("command: names no program")
    return words


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
