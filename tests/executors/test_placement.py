"""Workers and GPUs: who computes where, and what is said of it."""

from __future__ import annotations

import logging

import pytest

from evomerge_compiler.errors import UsageError
from evomerge_compiler.evaluation.spec import EvaluationPlan, TaskPlan, eval_key
from evomerge_compiler.executors import placement
from evomerge_compiler.executors.placement import Placement, place, placed, tell
from evomerge_compiler.merging.options import MergeOptions

TWO = ("GPU-aa", "GPU-bb")
EVALUATION = EvaluationPlan(tasks=(TaskPlan("a", "t", "m"),), tasks_hash="x", device="auto")


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "gpu_available", lambda: True)


@pytest.mark.parametrize(
    ("device", "cuda", "expected"),
    [
        ("auto", None, Placement("cuda", "cuda", TWO)),
        ("cuda", False, Placement("cuda", "cpu", TWO)),
        ("cuda:1", None, Placement("cuda", "cuda", ("GPU-bb",))),
        ("cpu", True, Placement("cpu", "cuda", TWO)),
        ("cpu", False, Placement("cpu", "cpu", ())),
    ],
)
def test_models_are_scored_and_merged_where_it_was_asked(
    device: str, cuda: bool | None, expected: Placement
) -> None:
    assert place(device, MergeOptions(cuda=cuda), TWO) == expected


def test_without_a_gpu_all_is_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "gpu_available", lambda: False)
    found = place("auto", MergeOptions())
    assert found == Placement() and found.environment(0) == {} and found.sharing(4) == 1


@pytest.mark.parametrize(
    ("device", "message"),
    [("cuda:2", "GPUs here: cuda:0, cuda:1"), ("gpu", "none of auto"), ("cuda:x", "none of")],
)
def test_a_device_that_is_not_there_is_refused(device: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        place(device, MergeOptions(), TWO)


def test_every_worker_sees_one_gpu_and_they_take_turns() -> None:
    found = Placement("cuda", "cuda", TWO)
    seen = [found.environment(worker)["CUDA_VISIBLE_DEVICES"] for worker in range(3)]
    assert seen == ["GPU-aa", "GPU-bb", "GPU-aa"]
    evaluation, merge = placed(EVALUATION, MergeOptions(), found, 3)
    assert (evaluation.device, evaluation.gpu_workers, merge.cuda) == ("cuda", 2, True)
    # Where a model is scored is no part of what is asked of it.
    assert eval_key("m", evaluation) == eval_key("m", EVALUATION)


@pytest.mark.parametrize(
    ("n_workers", "n_gpus", "said"),
    [
        (1, 1, ""),
        (2, 2, ""),
        (2, 0, ""),
        (2, 1, "2 workers share one GPU: each has 1/2 of its memory; -j 1 gives"),
        (3, 2, "3 workers share 2 GPUs: each has 1/2"),
        (1, 4, "one worker uses one of 4 GPUs; -j 4 uses all"),
    ],
)
def test_what_people_may_not_expect_is_said(
    caplog: pytest.LogCaptureFixture, n_workers: int, n_gpus: int, said: str
) -> None:
    with caplog.at_level(logging.WARNING):
        tell(Placement("cuda", "cuda", tuple(map(str, range(n_gpus)))), n_workers)
    assert said in caplog.text and bool(caplog.text) == bool(said)
