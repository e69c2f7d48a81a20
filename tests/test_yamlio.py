"""Strict reading, canonical writing, atomic replacement."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evomerge_compiler import yamlio
from evomerge_compiler.errors import EvomergeError, RecipeError


def test_yaml_1_2_is_read_not_1_1() -> None:
    data = yamlio.parse("a: 1e-3\nb: no\nc: 012\nd: 1:30\ne: 0x10\n").data
    assert data == {"a": 0.001, "b": "no", "c": 12, "d": "1:30", "e": 16}


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: 1\na: 2\n", 2, 1, "duplicate key"),
        ("a: &x 1\n", 1, 4, "anchors"),
        ("a: 1\nb: *a\n", 2, 4, ""),
        ("a: !!python/object/apply:os.system [id]\n", 1, 4, "tags"),
        ("a: !mine 1\n", 1, 4, "tags"),
        ("a: .nan\n", 1, 4, "finite"),
        ("a:\n  b: .inf\n", 2, 6, "finite"),
        ("a: [1, 2\n", 2, 1, "not valid YAML"),
        ("a: 1\n---\nb: 2\n", 2, 1, "another document"),
        ("a:\n\t- 1\n", 2, 1, "not valid YAML"),
        ("? [a, b]\n: 1\n", 1, 3, "word as key"),
    ],
)
def test_trickery_is_refused_at_its_place(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        yamlio.parse(text, file="x.yaml")
    place = caught.value.place
    assert place is not None
    assert (place.file, place.line, place.column) == ("x.yaml", line, column)
    assert words in caught.value.message


def test_alias_bombs_and_huge_files_are_refused(tmp_path: Path) -> None:
    bomb = "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n"
    with pytest.raises(RecipeError, match="anchors"):
        yamlio.parse(bomb)
    path = tmp_path / "big.yaml"
    path.write_bytes(b"a: " + b"x" * yamlio.MAX_FILE_BYTES)
    with pytest.raises(RecipeError, match="at most"):
        yamlio.read_file(path)
    with pytest.raises(RecipeError, match="deep"):
        yamlio.parse("[" * 200 + "]" * 200)


def test_places_are_those_of_keys_and_values() -> None:
    document = yamlio.parse("genome:\n  w: {low: 0, hihg: 1}\n", file="bad.yaml")
    value = document.place(("genome", "w", "hihg"))
    key = document.place(("genome", "w", "hihg"), key=True)
    assert (value.line, value.column, key.column) == (2, 21, 15)
    assert str(document.error("m", ("genome", "w", "hihg"), key=True)).startswith(
        "bad.yaml:2:15: error: m\n"
    )


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["no", "on", "1:30", "1e-5", "012", "~", "null", "a: b", "# c", "- d", "y"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcnoy_01:", min_size=1, max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(plain)
def test_both_yaml_versions_read_back_what_is_written(data: object) -> None:
    text = yamlio.dump(data)
    assert yaml.safe_load(text) == data
    assert yamlio.parse(text).data == data
    assert text.endswith("\n")


@pytest.mark.parametrize("char", ["\x00", "\x7f", "\x85", "\x9f", "\u2028", "\ufeff", "\ufffe"])
def test_characters_that_yaml_cannot_print_are_escaped(char: str) -> None:
    data = {"a": f"x{char}y", f"k{char}": 1}
    assert yaml.safe_load(yamlio.dump(data)) == data


@given(st.text(max_size=60))
def test_any_text_gives_data_or_a_recipe_error(text: str) -> None:
    with contextlib.suppress(EvomergeError):
        yamlio.parse(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_have_no_exponent_and_lose_nothing(value: float) -> None:
    text = yamlio.float_text(value)
    assert "e" not in text.lower()
    assert float(text) == value


def test_what_is_not_finite_is_never_written() -> None:
    for value in (math.nan, math.inf, -math.inf, object()):
        with pytest.raises(ValueError, match="expected"):
            yamlio.dump({"a": value})


def test_an_atomic_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "x.yaml"
    yamlio.write_atomic(path, "old\n")

    def refuse(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(yamlio.os, "replace", refuse)
    with pytest.raises(OSError, match="no"):
        yamlio.write_atomic(path, "new\n")
    assert path.read_text() == "old\n"
    assert [p.name for p in tmp_path.iterdir()] == ["x.yaml"]
