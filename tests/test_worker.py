"""What a worker is asked for ends, whatever hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evomerge_compiler import worker
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.process_pool import WorkerPool, WorkerTimeout

EVALUATION = EvaluationPlan(tasks=(), tasks_hash="x", folder=".")
FOLDER = Path("model")
SCORED: tuple[Callable[..., object], tuple[object, ...]] = (
    worker.score_model,
    (EVALUATION, FOLDER, ("search",), "m"),
)
MERGED: tuple[Callable[..., object], tuple[object, ...]] = (
    worker.merge_and_score,
    (None, {}, EVALUATION, ("search",), FOLDER, MergeOptions()),
)


def hang(*_: object) -> Any:
    time.sleep(600)


def sessions_hang() -> None:
    """In a worker: a data set is never there."""
    worker.SESSION_LIMIT_S = 0.05
    worker._session = hang


def models_hang() -> None:
    """In a worker: a session is there, and no model gets into it."""
    worker._session = lambda _: SimpleNamespace(load=hang)


@pytest.mark.parametrize("asked", [SCORED, MERGED], ids=["folder", "merge"])
def test_making_a_session_has_a_limit_of_its_own(
    asked: tuple[Callable[..., object], tuple[object, ...]],
) -> None:
    with WorkerPool(1, initializer=sessions_hang) as pool:
        found = pool.submit(asked[0], *asked[1]).exception(60)
    assert isinstance(found, WorkerTimeout) and "0.05 s" in found.message
    assert found.step == "evaluate"


def test_the_limit_of_an_evaluation_begins_when_its_session_is_there() -> None:
    with WorkerPool(1, initializer=models_hang) as pool:
        call, args = SCORED
        found = pool.submit(call, *args, None, 0.25).exception(60)
    assert isinstance(found, WorkerTimeout) and "0.25 s" in found.message
