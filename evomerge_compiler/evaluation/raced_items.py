"""Asks the loaded model the items that a race comes to, each of them once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from evomerge_compiler.candidate import Scores, TaskItems
from evomerge_compiler.errors import MissingPrerequisite
from evomerge_compiler.evaluation import race as races
from evomerge_compiler.evaluation.results import ItemResult, TaskResult, domain_items
from evomerge_compiler.evaluation.spec import EvaluationPlan, TaskPlan, eval_key
from evomerge_compiler.evaluation.split import item_set_hash
from evomerge_compiler.evaluation.task_files import LoadedTask, chosen

# Tasks with indices of their items, to what the model answered.
Ask = Callable[[Sequence[tuple[LoadedTask, Sequence[int]]]], Sequence[TaskResult]]
_Key = tuple[str, int | None, str]


class RacedItems:
    """One model's way through a race.

    Domains that share a task share its answers too.

    Args:
        plan: What is asked.
        tasks: Its tasks, by :attr:`TaskPlan.asked`.
        ask: Asks the loaded model, and judges its answers.
    """

    def __init__(
        self, plan: EvaluationPlan, tasks: Mapping[_Key, Sequence[LoadedTask]], ask: Ask
    ) -> None:
        self.plan = plan
        self._tasks = tasks
        self._ask = ask
        self._places: dict[str, list[tuple[int, int]]] = {}
        self._answers: dict[tuple[_Key, int], dict[int, ItemResult]] = defaultdict(dict)
        self._results: dict[tuple[_Key, int], TaskResult] = {}

    def run(self, race: races.Race, identity: str) -> Scores:
        """Races the model.

        Raises:
            MissingPrerequisite: The items are not those that the rival was asked.
        """
        for task in self.plan.tasks:
            self._places[task.domain] = self._places_of(task, race.rival.items[task.domain])
        return races.run(race, self._answer, eval_key(identity, self.plan, "search"))

    def _places_of(self, task: TaskPlan, known: TaskItems) -> list[tuple[int, int]]:
        """A domain's items in the order of per-item results: number of the task, and index."""
        entries = [
            (loaded.hashes[index], at, index, loaded.name)
            for at, loaded in enumerate(self._tasks[task.asked])
            for index in chosen(loaded, self.plan, "search")
        ]
        entries.sort()
        if item_set_hash([f"{name} {hashed}" for hashed, _, _, name in entries]) != known.item_set:
            raise MissingPrerequisite(
                f"the items of {task.domain} are not those of the generations before",
                hint="the task's data have changed: take the change back, or begin a new run",
            )
        return [(at, index) for _, at, index, _ in entries]

    def _answer(self, wanted: Mapping[str, Sequence[int]]) -> dict[str, TaskItems]:
        """See :data:`.race.Ask`."""
        tasks = {task.domain: task for task in self.plan.tasks if task.domain in wanted}
        missing: dict[tuple[_Key, int], set[int]] = defaultdict(set)
        for domain, task in tasks.items():
            for place in wanted[domain]:
                at, index = self._places[domain][place]
                if index not in self._answers[task.asked, at]:
                    missing[task.asked, at].add(index)
        asked = [(self._tasks[key][at], sorted(found)) for (key, at), found in missing.items()]
        for where, result in zip(missing, self._ask(asked) if asked else (), strict=True):
            self._results[where] = result
            self._answers[where] |= {item.doc_id: item for item in result.items}
        return {domain: self._items(task, wanted[domain]) for domain, task in tasks.items()}

    def _items(self, task: TaskPlan, wanted: Sequence[int]) -> TaskItems:
        places = [self._places[task.domain][place] for place in wanted]
        found = []
        for at in range(len(self._tasks[task.asked])):
            answers = self._answers[task.asked, at]
            items = tuple(answers[index] for number, index in places if number == at)
            if items:
                found.append(replace(self._results[task.asked, at], items=items))
        return domain_items(found, task.column)
