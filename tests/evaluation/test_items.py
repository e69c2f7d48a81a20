"""Items are found again in the order of their results."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from evaluation_toys import TASKS

from evomerge_compiler.evaluation.items import asked_items
from evomerge_compiler.evaluation.results import ItemResult, TaskResult, domain_items
from evomerge_compiler.evaluation.spec import EvaluationPlan, plan_evaluation
from evomerge_compiler.evaluation.split import Split, is_held_out, select
from evomerge_compiler.evaluation.task_files import TaskLoader
from evomerge_compiler.recipe_schema import EvaluationSpec

UPPER = {"task": "evomerge_toy_upper", "metric": "exact_match", "filter": "first"}
CHOICES = {"task": "evomerge_toy_choices", "metric": "acc"}
CHOICE = {"task": "evomerge_toy_choice", "metric": "acc"}


def make_plan(task: dict[str, Any], **more: Any) -> EvaluationPlan:
    spec = {"tasks": {"own": task}, "include_path": [str(TASKS)], **more}
    return plan_evaluation(EvaluationSpec.model_validate(spec), folder=TASKS)


def results(plan: EvaluationPlan, split: Split) -> list[TaskResult]:
    """What an evaluation leaves behind, with the item's own place as its value."""
    column = plan.tasks[0].column
    out = []
    for at, loaded in enumerate(TaskLoader(plan).load(plan.tasks[0])):
        chosen = select(
            loaded.hashes, split, holdout=plan.holdout, salt=plan.salt, limit=plan.limit
        )
        items = [
            ItemResult(i, loaded.hashes[i], loaded.documents[i], "", (), (), {},
                       {column: 1000.0 * at + i})
            for i in sorted(chosen)
        ]  # fmt: skip
        out.append(TaskResult(loaded.name, 1, 0, len(loaded.documents), {}, {}, {}, tuple(items)))
    return out


@pytest.mark.parametrize("task", [UPPER, CHOICES], ids=["task", "tag"])
@pytest.mark.parametrize("split", ["search", "held_out", "all"])
def test_items_stand_in_the_order_of_their_results(task: dict[str, Any], split: Split) -> None:
    plan = make_plan(task, limit=12)
    found = results(plan, split)
    wanted = domain_items(found, plan.tasks[0].column)
    asked, missing = asked_items(plan, {"own"}, split)
    assert missing == {} and asked["own"].item_set == wanted.item_set
    names = {
        value: (item.item_hash, result.name)
        for result in found
        for item in result.items
        for value in item.values.values()
    }
    assert [names[v] for v in wanted.values] == [(i.item_hash, i.task) for i in asked["own"].items]
    if split != "all":
        sides = {is_held_out(i.item_hash, 0.5, plan.salt) for i in asked["own"].items}
        assert sides == {split == "held_out"}


def test_items_read_as_they_are_asked() -> None:
    asked, _ = asked_items(make_plan(UPPER), ["own"])
    item = asked["own"].items[0]
    assert item.task == "evomerge_toy_upper"
    assert item.prompt.rstrip(">") and item.prompt.rstrip(">").upper() == item.target.strip()
    asked, _ = asked_items(make_plan(CHOICE), ["own"])
    assert not asked["own"].items[0].target.isdigit(), "the choice, not its number"


def test_items_that_cannot_be_found_have_a_reason() -> None:
    plan = make_plan({"task": "command: judge {model}", "metric": "m"})
    assert asked_items(plan, ["own"]) == ({}, {"own": "a program of its own asked them"})
    plan = make_plan(UPPER)
    gone = dataclasses.replace(plan.tasks[0], task="evomerge_toy_gone")
    found, missing = asked_items(dataclasses.replace(plan, tasks=(gone,)), ["own"])
    assert found == {} and "evomerge_toy_gone" in missing["own"]
    assert asked_items(plan, ["other"]) == ({}, {})
