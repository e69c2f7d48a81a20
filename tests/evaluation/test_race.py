"""Races: what is worse goes early, what is good is asked everything, nothing is asked twice."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_toys import TASKS

from evomerge_compiler.candidate import RACED, Score, Scores, TaskItems
from evomerge_compiler.errors import MissingPrerequisite, WorkFailed
from evomerge_compiler.evaluation import race as races
from evomerge_compiler.evaluation.irt import calibrate
from evomerge_compiler.evaluation.lm_eval import Session
from evomerge_compiler.evaluation.race import Race, Track
from evomerge_compiler.evaluation.results import mean_stderr
from evomerge_compiler.evaluation.spec import plan_evaluation
from evomerge_compiler.recipe_schema import EvaluationSpec

DOMAINS = ("code", "math")
N_ITEMS = 300


class World:
    """Models that answer the items of two domains by ability and chance."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.b = {domain: self.random.normal(-0.5, 2.0, N_ITEMS) for domain in DOMAINS}

    def items(self, ability: float) -> dict[str, TaskItems]:
        out = {}
        for domain, b in self.b.items():
            chances = 1 / (1 + np.exp(-(ability - b)))
            values = (self.random.random(N_ITEMS) < chances).astype(float)
            out[domain] = TaskItems(f"all {domain}", tuple(values.tolist()))
        return out

    def race(self, ability: float, *, irt: bool = True, alpha: float = 0.05) -> Race:
        before = [self.items(ability + shift) for shift in np.linspace(-1, 0, 8)]
        tracks = {}
        for domain in DOMAINS:
            known = calibrate([one[domain].values for one in before]) if irt else None
            tracks[domain] = races.track(N_ITEMS, domain, known)
        shares = dict.fromkeys(DOMAINS, 1 / len(DOMAINS))
        return Race(scores_of(before[-1]), tracks, (20, 50, 200), shares, alpha)


def scores_of(items: Mapping[str, TaskItems], key: str = "whole") -> Scores:
    domains = {
        domain: Score("acc", math.fsum(i.values) / len(i.values), mean_stderr(i.values), N_ITEMS)
        for domain, i in items.items()
    }
    return Scores(domains, key, items)


def mean(scores: Scores) -> float:
    return sum(score.value for score in scores.domains.values()) / len(scores.domains)


class Counted:
    """Answers, and counts what it was asked."""

    def __init__(self, items: Mapping[str, TaskItems]) -> None:
        self.items = items
        self.asked: list[tuple[str, int]] = []

    def __call__(self, wanted: Mapping[str, Sequence[int]]) -> Mapping[str, TaskItems]:
        self.asked += [(domain, index) for domain, found in wanted.items() for index in found]
        return races.answers_of(self.items, wanted)


# -- the order ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [5, 19, 20, 301])
def test_an_order_has_every_item_once_and_follows_from_its_salt(n: int) -> None:
    known = calibrate([[float(i % 3 == m) for i in range(n)] for m in range(4)])
    for calibration in (None, known):
        found = races.track(n, "a", calibration)
        assert sorted(found.order) == list(range(n))
        assert found == races.track(n, "a", calibration)
        assert found.order != races.track(n, "b", calibration).order


def test_contested_items_are_asked_more_and_others_not_forgotten() -> None:
    rows = [[float((i + m) % 2) if i < 100 else 1.0 for i in range(200)] for m in range(8)]
    found = races.track(200, "a", calibrate(rows))
    first = found.order[:40]
    contested = sum(index < 100 for index in first)
    assert 24 <= contested <= 33
    assert list(found.kinds) == [1] * 100 + [0] * 100


# -- races ----------------------------------------------------------------------------------


@pytest.mark.parametrize("irt", [True, False])
def test_what_is_much_worse_is_dropped_at_the_first_look(irt: bool) -> None:
    world = World(0)
    race = world.race(0.5, irt=irt)
    bad = Counted(world.items(-2.5))
    found = races.run(race, bad, "key")
    assert len(bad.asked) == len(set(bad.asked)) == 40
    assert not found.complete and found.race is not None
    assert (found.race.seen, found.race.of) == (40, 600)
    assert found.eval_key == RACED + "key"
    assert found.race.estimates == (pytest.approx(mean(found)),)
    assert {domain: len(items.values) for domain, items in found.items.items()} == {
        "code": 20,
        "math": 20,
    }
    assert all(items.item_set != f"all {domain}" for domain, items in found.items.items())


@pytest.mark.parametrize("irt", [True, False])
def test_what_is_better_is_asked_everything_once_and_scores_as_without_a_race(irt: bool) -> None:
    world = World(1)
    race = world.race(0.0, irt=irt)
    items = world.items(0.7)
    items["math"] = replace(
        items["math"],
        tokens=tuple(range(N_ITEMS)),
        finish="se" * (N_ITEMS // 2),
        correct=tuple(index % 2 == 0 for index in range(N_ITEMS)),
    )
    good = Counted(items)
    found = races.run(race, good, "key")
    assert len(good.asked) == len(set(good.asked)) == 600
    assert found.complete and found.race is not None and len(found.race.estimates) == 3
    assert replace(found, race=None) == scores_of(items, "key")


@pytest.mark.parametrize("irt", [True, False])
def test_what_all_items_show_as_good_is_seldom_dropped(irt: bool) -> None:
    """The promise of ``alpha``: at each of three looks, of what ends as good as the rival."""
    good = dropped = 0
    for seed in range(80):
        world = World(seed)
        race = world.race(0.3, irt=irt)
        for _ in range(3):
            items = world.items(0.3)
            if mean(scores_of(items)) >= mean(race.rival):
                good += 1
                dropped += not races.run(race, Counted(items), "key").complete
    assert good > 80
    # Three looks of 0.05 each make 0.15 at most; with a chance of 0.1, 0.2 is rare.
    assert dropped / good < 0.15


def test_estimates_are_as_near_as_they_say() -> None:
    off, said, plain = [], [], []
    for seed in range(60):
        world = World(seed)
        race = world.race(0.5)
        items = world.items(-1.0 + seed / 60)
        found = races.run(race, Counted(items), "key")
        if found.complete:
            continue
        for domain, score in found.domains.items():
            truth = mean(scores_of({domain: items[domain]}))
            off.append(score.value - truth)
            said.append(score.stderr)
            seen = found.items[domain].values
            plain.append(sum(seen) / len(seen) - truth)
    assert len(off) > 60
    assert np.mean(np.abs(off) <= 2 * np.array(said)) > 0.9
    assert np.mean(np.square(off)) < np.mean(np.square(plain))
    assert abs(np.mean(off)) < 0.02


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_ten_alike_of_ten_leave_room_for_doubt(value: float) -> None:
    found = races.estimate("acc", races.track(40, "a"), dict.fromkeys(range(10), value))
    assert found.value == value
    assert 0.05 < found.stderr < 0.15


def test_a_small_domain_is_asked_whole_and_its_races_go_on() -> None:
    world = World(2)
    race = world.race(0.5)
    short = TaskItems("few", (1.0, 0.0) * 6)
    rival = replace(race.rival, items={**race.rival.items, "few": short})
    rival = replace(rival, domains={**rival.domains, "few": Score("acc", 0.5, 0.1, 12)})
    tracks = {**race.tracks, "few": Track(tuple(range(12)), (0,) * 12)}
    race = replace(race, rival=rival, tracks=tracks, shares={**race.shares, "few": 0.5})
    assert race.looks == (20, 50, 200)
    found = races.run(race, Counted({**world.items(-2.5), "few": short}), "key")
    assert not found.complete
    assert found.domains["few"].value == 0.5 and found.domains["few"].n == 12


def test_a_value_that_is_not_finite_has_no_score() -> None:
    world = World(3)
    items = {d: replace(i, values=(math.nan,) * N_ITEMS) for d, i in world.items(0).items()}
    with pytest.raises(WorkFailed, match="not finite"):
        races.run(world.race(0.0), functools.partial(races.answers_of, items), "key")


# -- with a model ---------------------------------------------------------------------------

TOYS = {
    "upper": {"task": "evomerge_toy_upper", "metric": "exact_match", "filter": "first"},
    "again": {"task": "evomerge_toy_upper", "metric": "exact_match", "filter": "first"},
    "mc": {"task": "evomerge_toy_choice", "metric": "acc"},
}


@pytest.fixture(scope="module")
def session() -> Session:
    spec = EvaluationSpec.model_validate(
        {"tasks": TOYS, "batch_size": 16, "include_path": [str(TASKS)], "holdout": 0}
    )
    return Session(plan_evaluation(spec, folder=TASKS, device="cpu"))


def race_of(rival: Scores, rung: int) -> Race:
    tracks = {d: races.track(len(i.values), d) for d, i in rival.items.items()}
    return Race(rival, tracks, (rung,), dict.fromkeys(rival.domains, 1 / 3), 0.05)


def test_a_model_is_raced_item_by_item(session: Session, toy_models: Mapping[str, Path]) -> None:
    whole = session.score(toy_models["a"], "search", identity="a")
    n_items = sum(score.n for score in whole.domains.values())
    race = race_of(session.score(toy_models["b"], "search", identity="b"), 10)
    session.load(toy_models["a"])
    survivor = session.score_loaded(identity="a", race=race)
    assert survivor.race is not None and survivor.race.of == n_items
    for domain, score in whole.domains.items():
        assert survivor.domains[domain].value == pytest.approx(score.value)
        assert survivor.domains[domain].stderr == pytest.approx(score.stderr)
    assert survivor.items == whole.items
    assert survivor.eval_key == whole.eval_key


def test_an_untrained_model_answers_one_rung(
    session: Session, toy_models: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = session.score(toy_models["a"], "search", identity="a")
    whole = session.score(toy_models["deep"], "search", identity="deep")
    asked: list[int] = []
    run = session._run
    monkeypatch.setattr(
        session, "_run", lambda given: asked.append(sum(len(i) for _, i in given)) or run(given)
    )
    session.load(toy_models["deep"])
    found = session.score_loaded(identity="deep", race=race_of(rival, 10))
    assert not found.complete
    # Two domains of one task go their own ways through its items, and share the answers.
    n_upper, n_choice = len(whole.items["upper"].values), len(whole.items["mc"].values)
    assert 20 <= sum(asked) <= 30 < n_upper + n_choice
    for domain, items in found.items.items():
        assert len(items.values) == 10 and set(items.values) <= set(whole.items[domain].values)


def test_items_that_changed_since_are_refused(
    session: Session, toy_models: Mapping[str, Path]
) -> None:
    rival = session.score(toy_models["a"], "search", identity="a")
    race = race_of(rival, 10)
    other = {**rival.items, "mc": replace(rival.items["mc"], item_set="other")}
    race = replace(race, rival=replace(rival, items=other))
    with pytest.raises(MissingPrerequisite, match="items of mc are not those"):
        session.score_loaded(identity="a", race=race)
