"""The shipped tasks on the shipped models: sessions against lm-eval itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from evomerge_compiler import assets
from evomerge_compiler.evaluation.lm_eval import Session
from evomerge_compiler.evaluation.spec import plan_evaluation
from evomerge_compiler.recipe_schema import EvaluationSpec

METRICS = {
    "code": "pass_at_1",
    "math": "exact_match",
    "multilingual": "exact_match",
    "structured_data": "exact",
}


@pytest.mark.long
def test_tiny_tasks_score_as_lm_eval_scores_them(tmp_path: Path) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    tasks = {d: {"task": f"evomerge_tiny_{d}", "metric": m} for d, m in METRICS.items()}
    spec = EvaluationSpec.model_validate({"tasks": tasks, "batch_size": 64, "limit": 60})
    session = Session(plan_evaluation(spec, folder=tmp_path, device="cpu"))
    for name in ("coder", "polyglot"):  # bfloat16 files, swapped into a float32 model
        found = session.evaluate(assets.zoo_model(f"zoo:{name}"), "search")
    assert session.resident.swaps == 1
    chosen = {
        task.name: sorted(item.doc_id for item in task.items) for (task,) in found.tasks.values()
    }
    paths = [str(path) for path in assets.folders("evaluators")]
    theirs = lm_eval.simple_evaluate(
        "hf", model_args=f"pretrained={assets.zoo_model('zoo:polyglot')},dtype=float32",
        tasks=list(chosen), samples=chosen, batch_size=64, device="cpu", bootstrap_iters=0,
        task_manager=TaskManager(include_path=paths, include_defaults=False),
    )  # fmt: skip
    for (task,) in found.tasks.values():
        answers = {s["doc_id"]: s["filtered_resps"] for s in theirs["samples"][task.name]}
        assert {i.doc_id: list(i.filtered["none"]) for i in task.items} == answers
        for column, value in task.metrics.items():
            assert value == pytest.approx(theirs["results"][task.name][column], abs=1e-12)
        assert task.n_total >= 400
    values = [score.value for score in found.scores.domains.values()]
    assert all(0 < value < 1 for value in values)
