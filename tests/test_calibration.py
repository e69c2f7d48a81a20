"""The verdict is right as often as it says: simulated runs whose true gain is known."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from planted import Planted, planted_run

LEVEL = 0.05


def claims(folder: Path, seeds: range, gain: float, **world: Any) -> int:
    """How many of the runs claim a gain."""
    found = 0
    for seed in seeds:
        result = planted_run(folder / "run", Planted(seed=seed, merges=gain, **world))
        assert result.final is not None
        verdict: Any = result.final["verdict"]
        found += verdict["claim"] == "gain"
        shutil.rmtree(folder / "run")
    return found


def most(n: int, chance: float) -> int:
    """What a binomial number exceeds with a chance of one in a thousand."""
    from scipy import stats

    return int(stats.binom.isf(0.001, n, chance))


@pytest.mark.parametrize("graded", [False, True], ids=["right or wrong", "graded"])
def test_a_few_runs_claim_what_is_true(tmp_path: Path, graded: bool) -> None:
    """All candidates are as good as the best parent, or better by 0.08; the search picks luck."""
    world = {"graded": graded}
    assert claims(tmp_path, range(6), 0.0, **world) <= most(6, LEVEL)
    assert claims(tmp_path, range(100, 104), 0.08, **world) >= 3


@pytest.mark.long
def test_gains_that_are_not_there_are_rarely_claimed(tmp_path: Path) -> None:
    assert claims(tmp_path, range(200), 0.0) <= most(200, LEVEL)


@pytest.mark.long
def test_gains_that_are_there_are_mostly_claimed(tmp_path: Path) -> None:
    assert claims(tmp_path, range(1000, 1200), 0.08) >= 160


@pytest.mark.long
def test_graded_items_are_judged_as_well(tmp_path: Path) -> None:
    assert claims(tmp_path, range(100), 0.0, graded=True) <= most(100, LEVEL)
    assert claims(tmp_path, range(1000, 1100), 0.08, graded=True) >= 80
