from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from executor_kits import plan
from hypothesis import given, settings
from hypothesis import strategies as st

from evomerge_compiler.executors.base import Job
from evomerge_compiler.executors.simulated import Landscape, SimulatedExecutor, leaves

VALUES = st.dictionaries(st.text("abc", min_size=1), st.floats(0, 1) | st.text("xy"), max_size=4)


def mean(executor: SimulatedExecutor, job: Job) -> float:
    ((_, result),) = executor.run([job])
    domains = result.scores["search"].domains.values()
    return sum(score.value for score in domains) / len(domains)


@given(VALUES)
@settings(max_examples=50, deadline=None)
def test_abilities_are_shares(values: dict[str, Any]) -> None:
    landscape = Landscape()
    for domain in landscape.domains:
        assert 0 <= landscape.ability(domain, values) <= 1


def test_scores_have_items_and_errors() -> None:
    ((_, result),) = SimulatedExecutor().run([Job("a", plan=plan("a", weight=0.5))])
    scores = result.scores["search"]
    assert list(scores.domains) == list(Landscape().domains)
    for domain, score in scores.domains.items():
        values = scores.items[domain].values
        assert set(values) <= {0.0, 1.0} and len(values) == score.n
        assert score.value == pytest.approx(sum(values) / len(values))
        assert score.stderr is not None and score.stderr >= 0


def test_answers_have_lengths_where_they_are_asked_for() -> None:
    """Items differ in length, and a merge writes more or less of all of them."""
    plain, long = Landscape(), Landscape(lengths=True)
    jobs = [Job("a", plan=plan("a", weight=weight)) for weight in (0.1, 0.6)]
    (_, one), (_, other) = SimulatedExecutor(long).run(jobs)
    for domain in long.domains:
        counts, others = (r.scores["search"].items[domain].tokens for r in (one, other))
        assert min(counts) >= 1 and len(set(counts)) > 20
        assert all(a < b for a, b in zip(counts, others, strict=True)) or all(
            a > b for a, b in zip(counts, others, strict=True)
        )
    ((_, without),) = SimulatedExecutor(plain).run(jobs[:1])
    assert not without.scores["search"].items["code"].tokens
    values = one.scores["search"].items["code"].values
    assert values == without.scores["search"].items["code"].values
    keys = {SimulatedExecutor(each).eval_key(jobs[0], "search") for each in (plain, long)}
    assert len(keys) == 2


def test_nearer_to_the_optimum_is_better() -> None:
    landscape = Landscape(domains=("math",), n_items=400)
    best = landscape.draw("math", "0.weight")
    executor = SimulatedExecutor(landscape)
    distances = (0.0, 0.4, 0.8, 1.6)
    found = [mean(executor, Job("x", plan=plan("n", weight=best + d))) for d in distances]
    assert found == sorted(found, reverse=True) and found[0] > found[-1]


def test_equal_merges_are_equal_and_seeds_are_landscapes() -> None:
    job = Job("a", plan=plan("a", weight=0.3))
    same = Job("another label", plan=plan("a", weight=0.3))
    one, other = SimulatedExecutor(), SimulatedExecutor(Landscape(seed=1))
    assert mean(one, job) == mean(one, same) != mean(other, job)
    assert one.eval_key(job, "search") == one.eval_key(same, "search")
    assert one.eval_key(job, "search") != other.eval_key(job, "search")


def test_what_only_takes_time_is_not_in_the_key() -> None:
    job = Job("a", plan=plan("a"))
    slow = SimulatedExecutor(Landscape(delay_s=1.0, crashing=("x",)), n_workers=1)
    assert slow.eval_key(job, "search") == SimulatedExecutor().eval_key(job, "search")


def test_failures_are_drawn_by_content() -> None:
    landscape = Landscape(failing={"non_finite": 0.3, "timeout": 0.2})
    jobs = [Job(str(i), plan=plan("n", weight=i / 200)) for i in range(200)]
    found = dict(SimulatedExecutor(landscape).run(jobs))
    reasons = [r.failure.reason if r.failure else "" for _, r in sorted(found.items())]
    assert 40 <= reasons.count("non_finite") <= 80 and 20 <= reasons.count("timeout") <= 60
    again = dict(SimulatedExecutor(landscape).run(jobs[::-1]))
    assert [again[199 - i].failure for i in range(200)] == [found[i].failure for i in range(200)]


def test_this_process_is_never_killed() -> None:
    with pytest.raises(ValueError, match="need"):
        SimulatedExecutor(Landscape(crashing=("a",)))


def test_leaves_name_their_places() -> None:
    assert leaves({"a": [1, {"b": 2}], "c": "x"}) == {"a.0": 1, "a.1.b": 2, "c": "x"}


def test_it_needs_nothing_heavy() -> None:
    code = (
        "import sys; import evomerge_compiler.executors.simulated;"
        "heavy = {'torch', 'transformers', 'mergekit', 'lm_eval', 'numpy'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
