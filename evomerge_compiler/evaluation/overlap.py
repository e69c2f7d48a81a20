"""Whether items that no one may have searched on are search items all the same.

Items are divided by the hash of all that their data holds, so an item that is there twice falls on
one side. One that differs in an identifier alone does not: what is compared here is what a model
gets to see and is asked to say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from evomerge_compiler.evaluation.items import AskedItem, asked_items
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.process_pool import WorkerPool
from evomerge_compiler.processes import worker_environment


@dataclass(frozen=True)
class Overlap:
    """Held-out items that were searched on.

    Attributes:
        held_out: Domain to its number of held-out items.
        shared: Domain to how many of them are, word for word, search items of any domain.
        unknown: Domain to the reason why its items could not be looked at.
    """

    held_out: Mapping[str, int]
    shared: Mapping[str, int]
    unknown: Mapping[str, str]


def overlap(plan: EvaluationPlan) -> Overlap:
    """Looks for search items among the held-out ones; loads lm-eval."""
    domains = [task.domain for task in plan.tasks]
    searched, unknown = asked_items(plan, domains, "search")
    held, _ = asked_items(plan, domains, "held_out")
    seen = {_words(item) for found in searched.values() for item in found.items}
    shared = {
        domain: sum(_words(item) in seen for item in found.items) for domain, found in held.items()
    }
    return Overlap({domain: len(found.items) for domain, found in held.items()}, shared, unknown)


def overlap_elsewhere(plan: EvaluationPlan) -> Overlap:
    """:func:`overlap` in a process of its own, so that this one stays without lm-eval."""
    with WorkerPool(1, environment=worker_environment(offline=plan.offline)) as pool:
        return pool.submit(overlap, plan).result()


def _words(item: AskedItem) -> str:
    """Hash of question and answer; spaces and capitals make no other item."""
    text = " ".join(f"{item.prompt}\n{item.target}".casefold().split())
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
