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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from evomerge_compiler import assets
from evomerge_compiler.errors import MissingPrerequisite, RecipeError
from evomerge_compiler.evaluation.split import Split
from evomerge_compiler.recipe_schema import EvaluationSpec

COMMAND_PREFIX = "command:"
PLUGIN_PREFIX = "plugin:"
DEFAULT_SALT = "evomerge"

# `datasets` reads these with code of its own; any other path is a data set on the hub.
_LOCAL_BUILDERS = frozenset(("json", "csv", "parquet", "text", "arrow", "pandas", "webdataset"))
_HASHED_SUFFIXES = frozenset((
    ".yaml", ".yml", ".py", ".json", ".jsonl", ".csv", ".tsv", ".txt", ".parquet", ".arrow",
    ".gz", ".j2",
))  # fmt: skip
_SCRIPT_SUFFIXES = _HASHED_SUFFIXES | {".sh", ".pl", ".rb", ".js", ".R"}
# They say where and how fast, and nothing about what is asked.
_NOT_IN_KEY = frozenset(("include_paths", "device", "offline", "timeout_s", "unsafe_code"))


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
    """

    domain: str
    task: str
    metric: str
    filter: str = "none"
    weight: float = 1.0
    num_fewshot: int | None = None

    @property
    def external(self) -> bool:
        """Whether a program other than lm-eval scores it."""
        return self.task.startswith((COMMAND_PREFIX, PLUGIN_PREFIX))

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
        dtype: Type of the weights. ``auto`` is the model's own, but float32 on a CPU.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
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
    dtype: str = "auto"
    device: str = "auto"
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
        device: Where models run.
        offline: Never ask the hub. None decides: a task that is not among the project's and the
            shipped evaluators, or whose data lie on the hub, needs it.
        trust_remote_code: Models may bring their own Python.
        unsafe_code: Generated code runs without the sandbox.
        salt: Salt of the division into search and held-out items.

    Returns:
        The plan, with the hash of all task files.

    Raises:
        RecipeError: An include path is no folder, or a command names no program.
        MissingPrerequisite: lm-eval is not installed.
    """
    paths = include_paths(spec.include_path, folder)
    tasks = tuple(
        TaskPlan(
            domain=domain,
            task=task.task,
            metric=task.metric,
            filter=task.filter,
            weight=task.weight,
            num_fewshot=task.num_fewshot,
        )
        for domain, task in spec.tasks.items()
    )
    local = local_tasks(paths)
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
        dtype=spec.dtype,
        device=device,
        offline=offline,
        trust_remote_code=trust_remote_code,
        unsafe_code=unsafe_code,
        timeout_s=spec.timeout_s,
    )


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
    asked["tasks"] = [[t.task, t.metric, t.filter, t.num_fewshot] for t in plan.tasks]
    if split == "held_out":
        asked.pop("limit")  # the held-out split is never cut short
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


# --------------------------------------------------------------------------------------
# Task files


@dataclass(frozen=True)
class LocalTask:
    """A task, tag or group found in an include path.

    Attributes:
        name: What recipes call it.
        folders: Folders of its files.
        offline: Its data need no network.
    """

    name: str
    folders: tuple[Path, ...]
    offline: bool


def include_paths(extra: Sequence[str], folder: Path) -> list[Path]:
    """Folders with task files: the recipe's own, then the project's and the shipped evaluators.

    Raises:
        RecipeError: One of the recipe's is no folder.
    """
    paths = []
    for name in extra:
        path = (folder / name).resolve()
        if not path.is_dir():
            raise RecipeError(
                f"include_path: no folder {name!r}", hint="paths are relative to the recipe"
            )
        paths.append(path)
    return [*paths, *(path for path in assets.folders("evaluators") if path not in paths)]


def local_tasks(paths: Sequence[Path]) -> dict[str, LocalTask]:
    """Tasks, tags and groups in ``paths`` by name; earlier paths win.

    This reads YAML only. lm-eval reads the same files again with its own rules before scoring.
    """
    found: dict[str, LocalTask] = {}
    for path in paths:
        here: dict[str, LocalTask] = {}
        members: dict[str, list[str]] = {}
        for file in sorted(path.glob("**/*.yaml")):
            config = _task_config(file)
            task, group = config.get("task"), config.get("group")
            if isinstance(group, str) and isinstance(task, list):
                members[group] = [m if isinstance(m, str) else str(m.get("task")) for m in task]
            elif isinstance(task, str):
                here.setdefault(task, LocalTask(task, (file.parent,), _is_offline(config)))
                tags = config.get("tag") or []
                for tag in [tags] if isinstance(tags, str) else tags:
                    members.setdefault(tag, []).append(task)
        for name, tasks in members.items():
            known = [here[task] for task in tasks if task in here]
            here[name] = LocalTask(
                name,
                tuple(sorted({folder for task in known for folder in task.folders})),
                len(known) == len(tasks) and all(task.offline for task in known),
            )
        for name, entry in here.items():
            found.setdefault(name, entry)
    return found


def hash_tasks(tasks: Sequence[TaskPlan], local: Mapping[str, LocalTask], folder: Path) -> str:
    """Hash of all that decides what the tasks ask and how they judge.

    A local task counts by every file of its folder (YAML, Python, data), a stock task by its
    name (lm-eval's version is in :func:`eval_key`), a command by its words and by the files
    that they name.

    Raises:
        RecipeError: A command is empty.
    """
    lines = []
    for task in tasks:
        if task.task in local:
            digests = [
                f"{path.relative_to(root).as_posix()} {_file_sha256(path)}"
                for root in local[task.task].folders
                for path in _files(root)
            ]
        elif task.task.startswith(COMMAND_PREFIX):
            named = [folder / word for word in command_words(task.task)]
            digests = [
                _file_sha256(path)
                for path in named
                if path.suffix in _SCRIPT_SUFFIXES and path.is_file()
            ]
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


class _Tolerant(yaml.SafeLoader):
    """Reads lm-eval's YAML without running anything: ``!function`` becomes its text."""


def _any_tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> object:
    return f"!{suffix} {node.value}" if isinstance(node, yaml.ScalarNode) else None


_Tolerant.add_multi_constructor("!", _any_tag)


def _task_config(file: Path, depth: int = 0) -> dict[str, Any]:
    """A task file with its ``include:`` chain folded in; empty when it is not one."""
    try:
        config = yaml.load(file.read_text(encoding="utf-8"), Loader=_Tolerant)
    except (yaml.YAMLError, UnicodeDecodeError, OSError):
        # lm-eval skips such files too; a recipe that names their task hears of it from there.
        return {}
    if not isinstance(config, dict):
        return {}
    includes = config.pop("include", None) or []
    merged: dict[str, Any] = {}
    for name in [includes] if isinstance(includes, str) else includes:
        if depth < 8:
            merged |= _task_config(file.parent / str(name), depth + 1)
    return merged | config


def _is_offline(config: Mapping[str, Any]) -> bool:
    if config.get("custom_dataset"):
        return True
    path = config.get("dataset_path")
    if not isinstance(path, str):
        return path is None
    return path in _LOCAL_BUILDERS or Path(path).is_dir()


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if not hidden and path.suffix in _HASHED_SUFFIXES and path.is_file():
            yield path


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
