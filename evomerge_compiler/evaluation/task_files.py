"""lm-eval's task objects: finding, loading, and the prompts they make. lm-eval 0.4.13.

The traps of that version that are closed here, each held by a test:

- few-shot examples come from a random state that every build advances, and a document's examples
  depend on which documents were asked before it: all prompts are built once, for the whole data
  set, from a fresh seed, and subsets are taken from them;
- ``TaskManager()`` parses 14,000 files: only the include paths are indexed, and the stock tasks
  when a name is not found there;
- every Jinja template is compiled again for every document: compiled templates are kept;
- ``num_fewshot: 0`` in a task file silently wins over the number asked for: that is an error.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evomerge_compiler.errors import (
    EvomergeError,
    MissingPrerequisite,
    RecipeError,
    did_you_mean,
    full_disk,
)
from evomerge_compiler.evaluation.generation import ANSWER_TOKENS, answer_tokens
from evomerge_compiler.evaluation.metered import quiet_lm_eval
from evomerge_compiler.evaluation.presets import load_presets
from evomerge_compiler.evaluation.spec import EvaluationPlan, TaskPlan, lm_eval_version
from evomerge_compiler.evaluation.split import Split, item_hash, select
from evomerge_compiler.evaluation.task_index import local_tasks

SUPPORTED_LM_EVAL = "0.4.13"
FEWSHOT_SEED = 1234  # lm-eval's own default

_log = logging.getLogger(__name__)


@dataclass
class LoadedTask:
    """One lm-eval task with its items and, once a model is known, its prompts.

    Attributes:
        name: lm-eval's name.
        task: lm-eval's object.
        documents: ``(n_items,)`` items.
        hashes: ``(n_items,)`` content hashes.
        requests: Item index to its requests, in order.
        splits: Indices of the items of each division that was asked for.
    """

    name: str
    task: Any
    documents: list[dict[str, Any]]
    hashes: list[str]
    requests: dict[int, list[Any]] = field(default_factory=dict)
    splits: dict[Any, list[int]] = field(default_factory=dict)

    @property
    def filters(self) -> list[str]:
        """Names of its filters."""
        return [str(ensemble.name) for ensemble in self.task._filters]


def check_version() -> None:
    """The objects used here are not lm-eval's public interface.

    Raises:
        MissingPrerequisite: lm-eval is absent or another release than these were written for.
    """
    version = lm_eval_version()
    if version.split(".dev")[0] != SUPPORTED_LM_EVAL:
        raise MissingPrerequisite(
            f"lm-eval {version} is installed, {SUPPORTED_LM_EVAL} is needed",
            hint=f"pip install 'lm-eval=={SUPPORTED_LM_EVAL}'",
        )


class TaskLoader:
    """Loads tasks by name, from the include paths first."""

    def __init__(self, plan: EvaluationPlan) -> None:
        check_version()
        self.plan = plan
        _use_caches_only(plan.offline)
        if plan.unsafe_code:
            os.environ["HF_ALLOW_CODE_EVAL"] = "1"  # read by stock code tasks when they load
        _keep_templates()
        from lm_eval.tasks import TaskManager

        self._local = local_tasks([Path(path) for path in plan.include_paths])
        # In lm-eval later paths win; in a plan earlier ones do.
        self._paths = list(reversed(plan.include_paths))
        with quiet_lm_eval():
            self._manager = TaskManager(include_path=self._paths, include_defaults=False)

    def load(self, wanted: TaskPlan) -> list[LoadedTask]:
        """The tasks behind one domain: one, or all of a group or tag.

        Raises:
            RecipeError: No such task, metric or filter, or the task cannot be set as asked.
            MissingPrerequisite: Its data cannot be had, or it runs code outside the sandbox.
        """
        manager = self._manager_of(wanted.task)
        try:
            with quiet_lm_eval():
                found = manager.load([wanted.task])["tasks"]
        except EvomergeError:
            raise
        except OSError as error:
            raise full_disk(error) or MissingPrerequisite(
                f"the data of task {wanted.task!r} cannot be read: {error}",
                hint="stock tasks are downloaded once: allow the network for the first run",
            ) from error
        except Exception as error:  # task files are the user's Python and YAML
            raise RecipeError(
                f"task {wanted.task!r} does not load: {type(error).__name__}: {error}"
            ) from error
        loaded = []
        for name, task in sorted(found.items()):
            self._configure(name, task, wanted)
            documents = [dict(document) for document in task.eval_docs]
            loaded.append(LoadedTask(name, task, documents, [item_hash(d) for d in documents]))
            check_metric(loaded[-1], wanted)
        return loaded

    def _manager_of(self, name: str) -> Any:
        local = self._local.get(name)
        # lm-eval would take a member that it does not know for a task without any settings.
        whole = local is None or not local.missing
        if name in self._manager.task_index and whole:
            return self._manager
        from lm_eval.tasks import TaskManager

        _log.info("task %s is not among the evaluators: reading lm-eval's own index", name)
        with quiet_lm_eval():
            self._manager = TaskManager(include_path=self._paths, include_defaults=True)
        if name not in self._manager.task_index:
            if load_presets().find(name) is not None:
                hint = f"{name} is a preset: leave `metric` out"
            else:
                hint = did_you_mean(name, self._manager.all_tasks)[:400]
            raise RecipeError(f"no task {name!r}", hint=hint)
        for task in local.missing if local else ():
            if task not in self._manager.task_index:
                hint = did_you_mean(task, self._manager.all_tasks)[:400]
                raise RecipeError(
                    f"group {name!r} has a task {task!r} that is not there", hint=hint
                )
        return self._manager

    def _configure(self, name: str, task: Any, wanted: TaskPlan) -> None:
        if getattr(task, "UNSAFE_CODE", False) and not self.plan.unsafe_code:
            raise MissingPrerequisite(
                f"task {name!r} runs generated code outside the sandbox",
                hint="use a task of the shipped evaluators, or accept the risk: --no-sandbox",
            )
        if getattr(task, "MULTIMODAL", False):
            raise RecipeError(f"task {name!r} needs images or sound; evomerge scores text models")
        gen_kwargs = {**self.plan.gen_kwargs, **wanted.gen_kwargs}
        if gen_kwargs and task.get_config("output_type") == "generate_until":
            task.set_config("generation_kwargs", gen_kwargs, update=True)
        own = task.get_config("num_fewshot")
        if wanted.num_fewshot is None:
            task.set_config("num_fewshot", own or 0)
        elif own == 0 and wanted.num_fewshot > 0:
            raise RecipeError(
                f"task {name!r} is zero-shot by its own file; it has no examples to give",
                hint="leave num_fewshot out, or write a task file without num_fewshot: 0",
            )
        else:
            task.set_config("num_fewshot", wanted.num_fewshot)


def chosen(loaded: LoadedTask, plan: EvaluationPlan, split: Split) -> list[int]:
    """Indices of the items of a split, in the order of their hashes.

    Raises:
        RecipeError: There are none.
    """
    key = (split, plan.holdout, plan.salt, plan.limit)
    if key not in loaded.splits:  # it hashes every item, and each candidate asks for it
        loaded.splits[key] = select(
            loaded.hashes, split, holdout=plan.holdout, salt=plan.salt, limit=plan.limit
        )
    indices = loaded.splits[key]
    if not indices:
        raise RecipeError(
            f"task {loaded.name!r} has no {split.replace('_', '-')} items "
            f"among its {len(loaded.hashes)}",
            hint="change holdout or limit",
        )
    return indices


def build_requests(loaded: LoadedTask, plan: EvaluationPlan, lm: Any) -> None:
    """Makes the prompts of all items.

    Args:
        loaded: The task; its ``requests`` are replaced.
        plan: Chat template and system turn.
        lm: lm-eval's model object: its tokenizer has the chat template.

    Raises:
        MissingPrerequisite: A chat template is asked for and the model has none.
        RecipeError: A prompt cannot be made, or an answer would fill the context.
    """
    task = loaded.task
    _check_lengths(loaded, lm.max_length)
    task.set_fewshot_seed(FEWSHOT_SEED)
    if plan.apply_chat_template and not getattr(lm.tokenizer, "chat_template", None):
        raise MissingPrerequisite(
            "apply_chat_template is set and the model has no chat template",
            hint="name a donor: chat_template: ALIAS, or set apply_chat_template: false",
        )
    try:
        with quiet_lm_eval(), _no_progress_bar():
            task.build_all_requests(
                system_instruction=plan.system_instruction,
                apply_chat_template=plan.apply_chat_template,
                # As simple_evaluate does; lm-eval's evaluate has another default.
                fewshot_as_multiturn=True,
                chat_template=lm.apply_chat_template if plan.apply_chat_template else None,
            )
    except Exception as error:  # templates and functions of task files, chat templates
        raise RecipeError(
            f"task {loaded.name!r}: a prompt cannot be made: {type(error).__name__}: {error}"
        ) from error
    requests: dict[int, list[Any]] = defaultdict(list)
    for request in task.instances:
        requests[request.doc_id].append(request)
    for group in requests.values():
        group.sort(key=lambda request: request.idx)
    loaded.requests = dict(requests)


def _check_lengths(loaded: LoadedTask, max_length: int) -> None:
    """lm-eval asserts this in the middle of a batch."""
    if loaded.task.get_config("output_type") != "generate_until":
        return
    given = answer_tokens(loaded.task.get_config("generation_kwargs") or {})
    longest = ANSWER_TOKENS if given is None else given
    if longest >= max_length:
        raise RecipeError(
            f"task {loaded.name!r} generates up to {longest} tokens, which leaves no room for a "
            f"prompt in {max_length}",
            hint="lower gen_kwargs: {max_gen_toks: ...}, or raise max_length",
        )


def check_metric(loaded: LoadedTask, wanted: TaskPlan) -> None:
    """Looks for the metric and the filter that a recipe names.

    Raises:
        RecipeError: The task does not have them.
    """
    task = loaded.task
    if wanted.filter not in loaded.filters:
        raise RecipeError(
            f"task {loaded.name!r} has no filter {wanted.filter!r}",
            hint=did_you_mean(wanted.filter, loaded.filters),
        )
    known = task.aggregation()
    # A metric function may return several numbers under names that only its answer shows.
    open_ended = (
        task.get_config("output_type") == "generate_until"
        and task.get_config("process_results") is None
    )
    if wanted.metric not in known and not open_ended:
        raise no_metric(loaded.name, wanted.metric, known)


def no_metric(task: str, metric: str, known: Sequence[str] | Mapping[str, Any]) -> RecipeError:
    """The error for a metric that a task does not have."""
    return RecipeError(f"task {task!r} has no metric {metric!r}", hint=did_you_mean(metric, known))


def _use_caches_only(offline: bool) -> None:
    """Keeps Hugging Face's libraries from asking the network.

    Without this, a data set that is not there costs half a minute of retries. The libraries
    read the environment when they are imported, so those that are here already are told too.
    """
    if not offline:
        return
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.setdefault(name, "1")
    for module, name in (
        ("huggingface_hub.constants", "HF_HUB_OFFLINE"),
        ("datasets.config", "HF_HUB_OFFLINE"),
    ):
        if module in sys.modules:
            setattr(sys.modules[module], name, True)


def _keep_templates() -> None:
    from lm_eval import utils

    if not hasattr(utils.env.from_string, "cache_info"):
        utils.env.from_string = functools.lru_cache(maxsize=4096)(utils.env.from_string)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """lm-eval shows a bar for every task whose prompts it builds, and has no switch for it."""
    from lm_eval.api import task as module

    original = module.tqdm
    module.tqdm = lambda iterable, **_: iterable
    try:
        yield
    finally:
        module.tqdm = original
