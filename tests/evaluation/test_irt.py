"""The calibration of items: it finds what answers were drawn from, and few answers go far."""

from __future__ import annotations

import numpy as np
import pytest

from evomerge_compiler.evaluation.irt import calibrate

N_ITEMS = 300


class World:
    """Items and models of the logistic model itself."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.a = np.exp(self.random.normal(0.0, 0.5, N_ITEMS))
        self.b = self.random.normal(-0.5, 1.5, N_ITEMS)

    def answers(self, ability: float) -> np.ndarray:
        chances = 1 / (1 + np.exp(-(self.a * ability - self.b)))
        return (self.random.random(N_ITEMS) < chances).astype(float)


def test_difficulties_and_abilities_are_found() -> None:
    world = World(0)
    abilities = np.linspace(-2, 2, 40)
    found = calibrate([world.answers(t) for t in abilities])
    assert np.corrcoef(found.difficulties, world.b)[0, 1] > 0.9
    assert np.corrcoef(found.slopes, world.a)[0, 1] > 0.5
    assert np.corrcoef(found.abilities, abilities)[0, 1] > 0.98


def test_estimates_of_few_answers_are_nearer_than_their_mean() -> None:
    plain, estimated = [], []
    for seed in range(10):
        world = World(seed)
        calibration = calibrate([world.answers(t) for t in world.random.normal(0, 1, 8)])
        for ability in world.random.normal(0, 1, 10):
            truth = world.answers(ability)
            seen = world.random.permutation(N_ITEMS)[:20]
            expected = calibration.expected(calibration.ability(seen.tolist(), truth[seen]))
            expected[seen] = truth[seen]
            plain.append(abs(truth[seen].mean() - truth.mean()))
            estimated.append(abs(expected.mean() - truth.mean()))
    assert np.mean(estimated) < 0.85 * np.mean(plain)


def test_contested_items_are_those_that_some_have_right() -> None:
    easy_hard_open = [[1.0, 0.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [1.0, 0.0, 0.0]] * 3
    contested = calibrate(easy_hard_open).contested()
    assert contested[2] > 2 * max(contested[0], contested[1])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_answers_that_are_all_alike_give_numbers(value: float) -> None:
    calibration = calibrate([[value] * 20] * 5)
    ability = calibration.ability([0, 1, 2], [value] * 3)
    assert np.isfinite(calibration.expected(ability)).all()
    assert abs(calibration.expected(ability).mean() - value) < 0.1


def test_graded_answers_keep_their_scale() -> None:
    random = np.random.default_rng(3)
    level = random.uniform(20, 80, N_ITEMS)
    rows = [np.clip(level + shift + random.normal(0, 3, N_ITEMS), 0, 100) for shift in range(8)]
    calibration = calibrate(rows)
    truth = np.clip(level + 3.5 + random.normal(0, 3, N_ITEMS), 0, 100)
    expected = calibration.expected(calibration.ability(range(20), truth[:20]))
    assert abs(expected.mean() - truth.mean()) < 2
    assert np.abs(expected - truth).mean() < 10


def test_the_fit_does_not_change_from_call_to_call() -> None:
    world = World(1)
    rows = [world.answers(t) for t in (-1.0, 0.0, 1.0)]
    assert calibrate(rows) == calibrate(rows)
