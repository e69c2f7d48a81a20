"""Which items stand behind per-item results: their texts, found again without any model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.evaluation.split import Split, item_set_hash, select

if TYPE_CHECKING:
    from evomerge_compiler.evaluation.task_files import LoadedTask


@dataclass(frozen=True)
class AskedItem:
    """One item, as people read it.

    Attributes:
        task: lm-eval's name of its task.
        item_hash: Content hash.
        prompt: What is asked, without examples and chat turns.
        target: The reference answer.
    """

    task: str
    item_hash: str
    prompt: str
    target: str


@dataclass(frozen=True)
class AskedItems:
    """The items of one domain.

    Attributes:
        item_set: Their hash, as per-item results carry it.
        items: In the order of per-item results.
    """

    item_set: str
    items: tuple[AskedItem, ...]


def asked_items(
    plan: EvaluationPlan, domains: Collection[str], split: Split = "search"
) -> tuple[dict[str, AskedItems], dict[str, str]]:
    """The items of some domains, as the tasks' data have them now.

    Args:
        plan: How they are asked.
        domains: Which domains.
        split: Which side of the items.

    Returns:
        Domain to its items, and domain to the reason why they cannot be found.
    """
    from evomerge_compiler.evaluation.task_files import TaskLoader

    found: dict[str, AskedItems] = {}
    missing: dict[str, str] = {}
    loader = None
    for task in plan.tasks:
        if task.domain not in domains:
            continue
        if task.external:
            missing[task.domain] = "a program of its own asked them"
            continue
        try:
            loader = loader or TaskLoader(plan)
            found[task.domain] = _items(loader.load(task), plan, split)
        except EvomergeError as error:
            missing[task.domain] = error.message
    return found, missing


def _items(tasks: Sequence[LoadedTask], plan: EvaluationPlan, split: Split) -> AskedItems:
    """One domain's items, sorted as ``results.domain_items`` sorts them."""
    entries = []
    for at, loaded in enumerate(tasks):
        chosen = select(
            loaded.hashes, split, holdout=plan.holdout, salt=plan.salt, limit=plan.limit
        )
        entries += [(loaded.hashes[index], at, index, loaded) for index in chosen]
    entries.sort(key=lambda entry: entry[:3])
    item_set = item_set_hash([f"{loaded.name} {hashed}" for hashed, _, _, loaded in entries])
    items = (
        AskedItem(loaded.name, hashed, *_texts(loaded.task, loaded.documents[index]))
        for hashed, _, index, loaded in entries
    )
    return AskedItems(item_set, tuple(items))


def _texts(task: Any, document: dict[str, Any]) -> tuple[str, str]:
    """Prompt and reference answer; a task's own Python may not be able to say."""
    try:
        prompt, target = task.doc_to_text(document), task.doc_to_target(document)
        if task.OUTPUT_TYPE == "multiple_choice" and isinstance(target, int):
            target = task.doc_to_choice(document)[target]
    except Exception:  # task files are the user's Python and templates
        return str(document), ""
    return str(prompt), str(target)
