"""Search items among the held-out ones are found, whatever else their data say."""

from __future__ import annotations

import shutil
from pathlib import Path

from evaluation_toys import TASKS

from evomerge_compiler import guards
from evomerge_compiler.evaluation.overlap import overlap, overlap_elsewhere
from evomerge_compiler.evaluation.spec import EvaluationPlan, plan_evaluation
from evomerge_compiler.recipe_schema import EvaluationSpec

DOUBLED = """

_once = load_upper


def load_upper(**_):
    import datasets

    found = dict(_once())
    rows = [dict(row) for row in found["test"]]
    found["test"] = datasets.Dataset.from_list(
        [{**row, "twin": twin} for twin in (0, 1) for row in rows]
    )
    return found
"""


def plan_of(folder: Path, limit: int | None = None) -> EvaluationPlan:
    task = {"task": "evomerge_toy_upper", "metric": "exact_match", "filter": "first"}
    spec = {"tasks": {"own": task}, "include_path": [str(folder)], "limit": limit}
    return plan_evaluation(EvaluationSpec.model_validate(spec), folder=folder)


def doubled_items(tmp_path: Path) -> Path:
    """The toy task with each item there twice, the second time under another name."""
    folder = tmp_path / "tasks"
    shutil.copytree(TASKS, folder)
    with (folder / "toys.py").open("a") as file:
        file.write(DOUBLED)
    return folder


def test_items_as_they_ship_do_not_overlap() -> None:
    found = overlap(plan_of(TASKS))
    assert found.held_out["own"] > 0 and found.shared == {"own": 0} and not found.unknown


def test_copies_under_another_identifier_are_found(tmp_path: Path) -> None:
    plan = plan_of(doubled_items(tmp_path))
    found = overlap_elsewhere(plan)
    assert found == overlap(plan)
    # About half of the twins fall on the other side.
    assert 0 < found.shared["own"] < found.held_out["own"]
    rows = guards.overlap(plan, None)
    assert guards.overlap(plan, rows) == rows
    shared, n = found.shared["own"], found.held_out["own"]
    (warning,) = guards.warnings({}, {"applied": False, "same": True}, rows)
    assert warning == f"{shared} of {n} held-out items of own are search items too"
