"""The task files in include paths, read without lm-eval: enough to plan, to hash and to list.

lm-eval reads the same files again, with its own rules, before it scores. What is found here is
what a plan must know earlier: which tasks a group has in the end, where their files are, whether
they need the network, whether they run code, and which metric counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from evomerge_compiler import assets
from evomerge_compiler.errors import RecipeError
from evomerge_compiler.evaluation.generation import answer_tokens

NO_FILTER = "none"
SHARED_SCORERS = "evomerge_compiler.scoring"

# `datasets` reads these with code of its own; any other path is a data set on the hub.
_LOCAL_BUILDERS = frozenset(("json", "csv", "parquet", "text", "arrow", "pandas", "webdataset"))
HASHED_SUFFIXES = frozenset((
    ".yaml", ".yml", ".py", ".json", ".jsonl", ".csv", ".tsv", ".txt", ".parquet", ".arrow",
    ".gz", ".j2",
))  # fmt: skip
# lm-eval's own, for a task file without metric_list.
_DEFAULT_METRICS = {
    "loglikelihood": ("acc", "perplexity"),
    "loglikelihood_rolling": ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    "multiple_choice": ("acc", "acc_norm"),
    "generate_until": ("exact_match",),
}
_MAX_INCLUDES = 8


@dataclass(frozen=True)
class LocalTask:
    """A task, tag or group found in an include path.

    Attributes:
        name: What recipes call it.
        kind: ``task``, ``tag`` or ``group``.
        tasks: Names of the tasks that it comes to, itself for a task.
        members: Names in a group or tag, which may be groups.
        missing: Members that are not in the include paths; lm-eval may ship them.
        folders: Folders of the tasks' files.
        files: Task files of the groups themselves.
        offline: Its data need no network.
        runs_code: It runs what models write.
        metric: The metric that counts when a recipe names none; None when the files do not say.
        filter: The filter that goes with it.
        metrics: All that it is known to have; None when only an answer shows them.
        max_gen_toks: Tokens of its longest answer; None when the files do not say.
    """

    name: str
    kind: str = "task"
    tasks: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    files: tuple[Path, ...] = ()
    offline: bool = True
    runs_code: bool = False
    metric: str | None = None
    filter: str = NO_FILTER
    metrics: tuple[str, ...] | None = None
    max_gen_toks: int | None = None


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
    """Tasks, tags and groups in ``paths`` by name; earlier paths win."""
    files = _Files()
    for path in paths:
        files.read(path)
    return {name: files.entry(name) for name in files.names()}


def domains_of(name: str, local: Mapping[str, LocalTask]) -> list[str]:
    """What a name comes to when each part is to have one score: itself, or a group's members.

    A group whose tasks have no metric in common (``evomerge_domains``) is its members' domains.
    """
    known = local.get(name)
    if known is None or known.metric is not None or not known.members:
        return [name]
    return [part for member in known.members for part in domains_of(member, local)]


def digests(task: LocalTask) -> list[str]:
    """What decides what a task asks and how it judges: a line for each file.

    These are all files of its folders (YAML, Python, data), those of its groups, and the shared
    scorers where a file of it names them.
    """
    lines, shared = [], False
    for root in task.folders:
        for path in files_of(root):
            lines.append(f"{path.relative_to(root).as_posix()} {file_sha256(path)}")
            shared = shared or _names_shared_scorers(path)
    lines += [f"{path.name} {file_sha256(path)}" for path in task.files]
    if shared:
        scoring = Path(__file__).resolve().parent.parent / "scoring"
        files = sorted(scoring.glob("*.py"))
        lines += [f"{SHARED_SCORERS}/{path.name} {file_sha256(path)}" for path in files]
    return lines


def files_of(root: Path) -> Iterator[Path]:
    """The files of a task folder that count, in order."""
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if not hidden and path.suffix in HASHED_SUFFIXES and path.is_file():
            yield path


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _names_shared_scorers(path: Path) -> bool:
    if path.suffix not in (".py", ".yaml", ".yml"):
        return False
    return SHARED_SCORERS in path.read_text(encoding="utf-8", errors="replace")


# --------------------------------------------------------------------------------------


@dataclass
class _Files:
    """The task files of several include paths, before groups are resolved."""

    tasks: dict[str, LocalTask] = field(default_factory=dict)
    tags: dict[str, list[str]] = field(default_factory=dict)
    groups: dict[str, tuple[Path, dict[str, Any]]] = field(default_factory=dict)
    _resolved: dict[str, LocalTask] = field(default_factory=dict)

    def names(self) -> list[str]:
        return list({**self.tasks, **self.tags, **self.groups})

    def read(self, root: Path) -> None:
        """Adds the files below one include path; names that are taken stay as they are."""
        taken = set(self.names())
        for file in sorted(root.glob("**/*.yaml")):
            config = _task_config(file)
            task, group = config.get("task"), config.get("group")
            if isinstance(group, str) and isinstance(task, list):
                if group not in taken:
                    self.groups.setdefault(group, (file, config))
            elif isinstance(task, str) and task not in taken and task not in self.tasks:
                self.tasks[task] = _leaf(task, file, config)
                tags = config.get("tag") or []
                for tag in [tags] if isinstance(tags, str) else tags:
                    if tag not in taken:
                        self.tags.setdefault(tag, []).append(task)

    def entry(self, name: str, above: tuple[str, ...] = ()) -> LocalTask:
        """A name with all its members known; groups hide tags, tags hide tasks, as in lm-eval."""
        if name in above:
            return LocalTask(name, missing=(name,), offline=False)  # a group inside itself
        if name not in self._resolved:
            if name in self.groups:
                file, config = self.groups[name]
                members = self._members(config["task"], (*above, name))
                entry = _together(name, "group", members, file, config)
            elif name in self.tags:
                members = [self.entry(task, (*above, name)) for task in self.tags[name]]
                entry = _together(name, "tag", members)
            else:
                entry = self.tasks.get(name) or LocalTask(name, missing=(name,), offline=False)
            if above:  # inside a cycle an entry is incomplete: it is made again from the outside
                return entry
            self._resolved[name] = entry
        return self._resolved[name]

    def _members(self, items: Sequence[object], above: tuple[str, ...]) -> list[LocalTask]:
        members = []
        for item in items:
            given: Mapping[str, Any] = item if isinstance(item, Mapping) else {"task": item}
            named = given.get("group") or given.get("task")
            if isinstance(given.get("task"), list) and named not in self.groups:
                members += self._members(given["task"], above)  # a group written out in place
            else:
                members.append(self.entry(str(named), above))
        return members


def _leaf(name: str, file: Path, config: Mapping[str, Any]) -> LocalTask:
    kind = str(config.get("output_type", "generate_until"))
    listed = config.get("metric_list")
    entries = [e for e in listed if isinstance(e, Mapping)] if isinstance(listed, list) else []
    metrics = tuple(_metric_name(e.get("metric")) for e in entries)
    metrics = metrics or _DEFAULT_METRICS.get(kind, ())
    # A metric function may give several numbers, under names that only its answer shows.
    open_ended = kind == "generate_until" and not config.get("process_results")
    metadata = config.get("metadata")
    return LocalTask(
        name,
        tasks=(name,),
        folders=(file.parent,),
        offline=_is_offline(config),
        runs_code=isinstance(metadata, Mapping) and metadata.get("runs_code") is True,
        metric=metrics[0] if metrics else None,
        filter=_first_filter(config.get("filter_list")),
        metrics=None if open_ended else metrics,
        max_gen_toks=_max_gen_toks(config.get("generation_kwargs")),
    )


def _together(
    name: str,
    kind: str,
    members: Sequence[LocalTask],
    file: Path | None = None,
    config: Mapping[str, Any] | None = None,
) -> LocalTask:
    """A group or tag of these members."""
    folders = tuple(sorted({folder for member in members for folder in member.folders}))
    own = {file for member in members for file in member.files} | ({file} if file else set())
    metric, filter_ = _common_metric(members)
    declared = (config or {}).get("aggregate_metric_list")
    if isinstance(declared, Mapping):
        declared = [declared]
    if declared and isinstance(declared[0], Mapping) and declared[0].get("metric"):
        metric = _metric_name(declared[0]["metric"])
        filter_ = _first_name(declared[0].get("filter_list"))
    return LocalTask(
        name,
        kind=kind,
        tasks=tuple(dict.fromkeys(task for member in members for task in member.tasks)),
        members=tuple(member.name for member in members),
        missing=tuple(dict.fromkeys(task for member in members for task in member.missing)),
        folders=folders,
        files=tuple(sorted(path for path in own if not _is_below(path, folders))),
        offline=all(member.offline for member in members),
        runs_code=any(member.runs_code for member in members),
        metric=metric,
        filter=filter_,
        metrics=_common_metrics(members),
        max_gen_toks=max((m.max_gen_toks for m in members if m.max_gen_toks), default=None),
    )


def _common_metric(members: Sequence[LocalTask]) -> tuple[str | None, str]:
    """The metric and filter of the members, when they agree."""
    found = {(member.metric, member.filter) for member in members}
    return found.pop() if len(found) == 1 else (None, NO_FILTER)


def _common_metrics(members: Sequence[LocalTask]) -> tuple[str, ...] | None:
    known = [member.metrics for member in members]
    if not known or any(metrics is None for metrics in known):
        return None
    first, *others = [metrics or () for metrics in known]
    return tuple(name for name in first if all(name in metrics for metrics in others))


def _max_gen_toks(generation_kwargs: object) -> int | None:
    if not isinstance(generation_kwargs, dict):
        return None
    return answer_tokens({k: v for k, v in generation_kwargs.items() if isinstance(v, int)})


def _metric_name(metric: object) -> str:
    """``!function utils.f`` is known by the function's own name."""
    text = str(metric)
    return text.rpartition(".")[2] if text.startswith("!") else text


def _first_filter(filters: object) -> str:
    if isinstance(filters, list) and filters and isinstance(filters[0], Mapping):
        return str(filters[0].get("name", NO_FILTER))
    return NO_FILTER


def _first_name(names: object) -> str:
    first = names[0] if isinstance(names, list) and names else names
    return first if isinstance(first, str) else NO_FILTER


def _is_below(path: Path, folders: Sequence[Path]) -> bool:
    return any(folder in path.parents for folder in folders)


def _is_offline(config: Mapping[str, Any]) -> bool:
    if config.get("custom_dataset"):
        return True
    path = config.get("dataset_path")
    if not isinstance(path, str):
        return path is None
    if "://" in str(config.get("dataset_kwargs")):
        return False
    return path in _LOCAL_BUILDERS or Path(path).is_dir()


class _Tolerant(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
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
        if depth < _MAX_INCLUDES:
            merged |= _task_config(file.parent / str(name), depth + 1)
    return merged | config
