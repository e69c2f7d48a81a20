"""The division into search and held-out items."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge_compiler.evaluation.split import is_held_out, item_hash, item_set_hash, select

HASHES = [item_hash({"question": f"{n} + {n}?", "answer": 2 * n}) for n in range(2000)]


def test_an_item_is_known_by_its_content() -> None:
    assert item_hash({"a": 1, "b": [2]}) == item_hash({"b": [2], "a": 1})
    assert item_hash({"a": 1}) != item_hash({"a": "1"})
    assert item_hash({"a": "\ud800"}) != item_hash({"a": "?"})


@pytest.mark.parametrize("holdout", [0.0, 0.2, 0.5, 0.9])
def test_the_share_held_out_is_the_one_asked_for(holdout: float) -> None:
    held = sum(is_held_out(hashed, holdout, "s") for hashed in HASHES)
    spread = 4 * (len(HASHES) * holdout * (1 - holdout)) ** 0.5
    assert abs(held - holdout * len(HASHES)) <= spread


def test_another_salt_gives_an_independent_division() -> None:
    both = sum(is_held_out(h, 0.5, "s") and is_held_out(h, 0.5, "t") for h in HASHES)
    assert abs(both - len(HASHES) / 4) < 4 * (len(HASHES) * 3 / 16) ** 0.5


@given(st.lists(st.integers(0, 10**6), unique=True, min_size=1, max_size=60), st.data())
def test_splits_cover_all_items_and_ignore_their_order(numbers: list[int], data) -> None:
    hashes = [item_hash(number) for number in numbers]
    shuffled = data.draw(st.permutations(hashes))

    def chosen(of: list[str], split: str, limit: int | None = None) -> list[str]:
        found = select(of, split, holdout=0.4, salt="s", limit=limit)  # type: ignore[arg-type]
        return [of[index] for index in found]

    search, held, everything = (chosen(hashes, s) for s in ("search", "held_out", "all"))
    assert sorted(search + held) == everything == sorted(hashes)
    assert chosen(shuffled, "search") == search
    limit = data.draw(st.integers(1, 80))
    fewer = chosen(shuffled, "search", limit)
    assert len(fewer) == min(limit, len(search))
    assert set(fewer) <= set(chosen(hashes, "search", limit + 1)) <= set(search)
    assert chosen(hashes, "held_out", limit) == held
    assert chosen(hashes, "full_search", limit) == search


def test_a_limit_does_not_lean_towards_one_side_of_the_hashes() -> None:
    chosen = [HASHES[i] for i in select(HASHES, "all", holdout=0.5, salt="s", limit=400)]
    held = sum(is_held_out(hashed, 0.5, "s") for hashed in chosen)
    assert abs(held - 200) < 4 * 10


def test_equal_items_stay_together_and_sets_have_a_name() -> None:
    twice = [*HASHES[:50], *HASHES[:50]]
    chosen = select(twice, "search", holdout=0.5, salt="s", limit=None)
    assert {index % 50 for index in chosen if index < 50} == {
        index % 50 for index in chosen if index >= 50
    }
    assert item_set_hash(HASHES[:3]) == item_set_hash(HASHES[2::-1]) != item_set_hash(HASHES[:2])
