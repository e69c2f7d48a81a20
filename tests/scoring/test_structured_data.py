"""Structured data: what answers score, right and wrong ones, as chat models write them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evomerge_compiler.scoring.structured_data import (
    leaf_f1,
    score_answer,
    score_document,
    score_extract,
    short_answer,
)

SOURCE = {"name": "Ann", "age": 41, "tags": ["x", "y"]}
CHANGED = {"name": "Ann", "age": 42, "tags": ["x", "y"]}
EDIT: dict[str, Any] = {
    "prompt": f"Set `age` to 42.\n\n```json\n{json.dumps(SOURCE)}\n```",
    "form": "json",
    "value": json.dumps(CHANGED),
    "source": json.dumps(SOURCE),
}
PLAIN = {**EDIT, "source": None}
RIGHT = json.dumps(CHANGED)

DOCUMENTS: dict[str, tuple[str, dict[str, float]]] = {
    "right": (RIGHT, {"score": 1, "correct": 1, "valid": 1, "key_f1": 1, "value_f1": 1,
                      "structure": 1}),
    "right in a fence": (f"```json\n{RIGHT}\n```", {"score": 1, "correct": 1}),
    "right with prose": (f"Sure! {RIGHT} Done.", {"score": 1, "correct": 1}),
    "right, keys in another order": ('{"tags":["x","y"],"age":42,"name":"Ann"}', {"correct": 1}),
    "right, number as 42.0": (RIGHT.replace("42", "42.0"), {"score": 1, "correct": 1}),
    "right behind a thought": (f"<think>Is it 43?</think>{RIGHT}", {"score": 1}),
    "right, cut in a second copy": (f"{RIGHT}\n\n{RIGHT[:20]}", {"score": 1}),
    "wrong type of one value": (RIGHT.replace("42", '"42"'),
                                {"score": 0.75, "correct": 0, "key_f1": 1, "structure": 1}),
    "one key missing": ('{"name": "Ann", "age": 42}', {"score": 4 / 6, "structure": 0}),
    "one key too many": (RIGHT[:-1] + ', "zip": 1}', {"score": 8 / 9, "key_f1": 8 / 9}),
    "first element lost": ('{"name": "Ann", "age": 42, "tags": ["y"]}', {"score": 6 / 7}),
    "elements swapped": ('{"name": "Ann", "age": 42, "tags": ["y", "x"]}',
                         {"correct": 0, "value_f1": 1, "structure": 1}),
    "nested elsewhere": ('{"person": ' + RIGHT + "}", {"score": 0, "valid": 1, "value_f1": 1}),
    "array for an object": ("[1, 2]", {"score": 0, "valid": 1, "key_f1": 0}),
    "empty object": ("{}", {"score": 0, "valid": 1}),
    "empty array": ("[]", {"score": 0, "valid": 1}),
    "text for an array": ('{"name": "Ann", "age": 42, "tags": "x"}', {"score": 4 / 7}),
    "empty array for an array": ('{"name": "Ann", "age": 42, "tags": []}', {"score": 4 / 7}),
    "null for an object inside": ('{"name": null, "age": null, "tags": null}',
                                  {"score": 0, "key_f1": 4 / 7}),
    "true for a number": (RIGHT.replace("42", "true"), {"score": 0.75}),
    "trailing comma": (RIGHT[:-1] + ",}", {"score": 0, "valid": 0}),
    "comment": (RIGHT[:-1] + "// new\n}", {"score": 0, "valid": 0}),
    "single quotes": (RIGHT.replace('"', "'"), {"score": 0, "valid": 0}),
    "cut": (RIGHT[:-5], {"score": 0, "valid": 0}),
    "key twice": (RIGHT[:-1] + ', "age": 42}', {"score": 0, "valid": 0}),
    "yaml for json": ("name: Ann\nage: 42\ntags: [x, y]", {"score": 0, "valid": 0}),
    "two alternatives": (f"{RIGHT} or {RIGHT.replace('42', '43')}", {"score": 0, "valid": 0}),
    "prose": ("The age is now 42.", {"score": 0, "valid": 0}),
    "nothing": ("", {"score": 0, "correct": 0, "valid": 0, "key_f1": 0, "value_f1": 0,
                     "structure": 0}),
    "null": ("null", {"score": 0, "valid": 0}),
    "NaN": ('{"name": NaN}', {"score": 0, "valid": 0}),
    "a schema instead": ('{"type": "object"}', {"score": 0, "valid": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document(name: str) -> None:
    text, expected = DOCUMENTS[name]
    scores = score_document(PLAIN, [text])
    assert {key: scores[key] for key in expected} == pytest.approx(expected)


EDITS = {
    "right": (RIGHT, 1.0),
    "unchanged": (json.dumps(SOURCE), 0.0),
    "unchanged, with prose": (f"Here you are: {json.dumps(SOURCE)}", 0.0),
    "nothing": ("", 0.0),
    "empty": ("{}", 0.0),
    "other value": (RIGHT.replace("42", "43"), 0.0),
    "changed, but something else is lost": ('{"name": "Ann", "age": 42, "tags": ["x"]}', 3 / 7),
    "changed, but something else is changed": (RIGHT.replace("Ann", "Bob"), 0.0),
    "worse than unchanged": ('{"age": 42}', 0.0),
}


@pytest.mark.parametrize("name", EDITS)
def test_edit_counts_from_the_unchanged_document(name: str) -> None:
    text, score = EDITS[name]
    scores = score_document(EDIT, [text])
    assert scores["score"] == pytest.approx(score)
    assert scores["correct"] == float(score == 1.0)


def test_csv_rows_are_matched_before_they_are_compared() -> None:
    rows = [["id", "name"], ["1", "Ann"], ["2", "Bo"], ["3", "Cy"]]
    row = {"prompt": "", "form": "csv", "value": json.dumps(rows)}
    assert score_document(row, ["id,name\n2,Bo\n3,Cy"])["score"] == pytest.approx(12 / 14)
    assert score_document(row, ["id,name\n1,Ann\n2,Bob\n3,Cy"])["score"] == pytest.approx(7 / 8)
    assert score_document(row, ["id,name\n1,Ann\n2,Bo\n3,Cy"])["correct"] == 1.0


@pytest.mark.parametrize(
    ("one", "other", "score"),
    [
        ({"a": 1}, {"a": 1}, 1.0),
        ({"a": 1}, {"b": 1}, 0.0),
        ({"a": {}}, {"a": {}}, 1.0),
        ({"a": {}}, {"a": []}, 0.0),
        ([1, 2, 3], [2, 3], 0.8),
        ([1, 2, 3, 4], [1, 9, 3, 4], 0.75),
        (list(range(500)), list(range(500)), 1.0),
        ([{"a": 1, "b": 2}], [{"a": 1, "b": 3}], 0.5),
        ([1], 1, 0.0),
        ([0] * 300, [0], 2 / 301),
    ],
)
def test_leaf_f1(one: Any, other: Any, score: float) -> None:
    assert leaf_f1(one, other) == pytest.approx(score)
    assert leaf_f1(other, one) == pytest.approx(score)


# ------------------------------------------------------------------------------ extract
FACTS = {"id": "007", "count": 3, "price": 2.5, "day": "2026-05-01", "kind": "b", "note": None}
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "count": {"type": "integer"},
        "price": {"type": "number"},
        "day": {"type": "string", "format": "date"},
        "kind": {"enum": ["a", "b"]},
        "note": {"type": ["string", "null"]},
    },
    "required": list(FACTS),
    "additionalProperties": False,
}
EXTRACT = {
    "prompt": f"Fill in.\n```json\n{json.dumps(SCHEMA)}\n```",
    "form": "json",
    "value": json.dumps(FACTS),
    "schema": json.dumps(SCHEMA),
}


def facts(**changes: Any) -> str:
    return json.dumps({**FACTS, **changes})


def without(*keys: str) -> str:
    return json.dumps({key: value for key, value in FACTS.items() if key not in keys})


# Text, score, schema_valid.
EXTRACTS: dict[str, tuple[str, float, int]] = {
    "right": (facts(), 1, 1),
    "right in a fence": (f"```json\n{facts()}\n```", 1, 1),
    "right with prose": (f"Here is the JSON: {facts()}. Anything else?", 1, 1),
    "right behind a thought": (f"<think>hm {{</think>{facts()}", 1, 1),
    "right after the schema": (f"{json.dumps(SCHEMA)}\n\n{facts()}", 1, 1),
    "right, whole number as 3.0": (facts().replace(": 3,", ": 3.0,"), 1, 1),
    "right, 2.50": (facts().replace("2.5", "2.50"), 1, 1),
    "right, twice": (f"{facts()}\n{facts()}", 1, 1),
    "wrong value": (facts(count=4), 5 / 6, 1),
    "wrong enum": (facts(kind="a"), 5 / 6, 1),
    "outside the enum": (facts(kind="c"), 5 / 6, 0),
    "number as text": (facts(count="3"), 5 / 6, 0),
    "text as number": (facts(id=7), 5 / 6, 0),
    "fraction for an integer": (facts(count=3.5), 5 / 6, 0),
    "date as written": (facts(day="1 May 2026"), 5 / 6, 0),
    "date that does not exist": (facts(day="2026-02-30"), 5 / 6, 0),
    "other date": (facts(day="2026-01-05"), 5 / 6, 1),
    "null as text": (facts(note="null"), 5 / 6, 1),
    "null as empty text": (facts(note=""), 5 / 6, 1),
    "null for a number": (facts(price=None), 5 / 6, 0),
    "case of text": (facts(kind="B"), 5 / 6, 0),
    "property missing": (without("note"), 10 / 11, 0),
    "two missing": (without("note", "day"), 8 / 10, 0),
    "property too many": (facts(extra=1), 12 / 13, 0),
    "two wrong": (facts(count=4, kind="a"), 4 / 6, 1),
    "in an array": (f"[{facts()}]", 0, 0),
    "under a key": (f'{{"data": {facts()}}}', 0, 0),
    "the schema": (json.dumps(SCHEMA), 0, 0),
    "empty": ("{}", 0, 0),
    "trailing comma": (facts()[:-1] + ",}", 0, 0),
    "python": (str(FACTS), 0, 0),
    "cut": (facts()[:-9], 0, 0),
    "nothing": ("", 0, 0),
    "hedged": (f"{facts()} or {facts(count=4)}", 0, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", EXTRACTS)
def test_extract(name: str) -> None:
    text, score, fits = EXTRACTS[name]
    scores = score_extract(EXTRACT, [text])
    assert scores["score"] == pytest.approx(score)
    assert scores["schema_valid"] == fits
    assert scores["correct"] == float(score == 1)


# ------------------------------------------------------------------------- short answers
NUMBERS: dict[str, tuple[str, float | None]] = {
    "bare": ("42", 42),
    "bold": ("**42**", 42),
    "period": ("42.", 42),
    "sentence": ("There are 42 rows.", 42),
    "marked": ("Answer: 42", 42),
    "marked, with numbers before": ("10 + 32 are 2 terms.\n\n**Answer:** 42", 42),
    "the answer is": ("From 7 rows I took 3. The answer is 42.", 42),
    "working that ends in =": ("10 + 20 + 12 = 42", 42),
    "working, then a last line": ("Rows 1 and 3 fit.\nSo the sum is 42.", 42),
    "boxed": (r"\boxed{42}", 42),
    "fenced": ("```\n42\n```", 42),
    "as JSON": ('{"answer": 42}', 42),
    "with a unit": ("42 km", 42),
    "with a unit that is glued": ("42km", 42),
    "currency": ("€42.00", 42),
    "separator": ("1,250", 1250),
    "decimal": ("12.50", 12.5),
    "negative": ("-5", -5),
    "unicode minus": ("−5", -5),
    "full-width digits": ("４２", 42),
    "arabic digits": ("٤٢", 42),
    "thought": ("<think>maybe 41</think>42", 42),
    "said twice": ("42\n42", 42),
    "line 42": ("The error is on line 42", 42),
    "polite ending": ("There are 42 rows.\nI hope this helps!", 42),
    "hedge": ("42 or 43", None),
    "hedge by lines": ("42\n43", None),
    "two marked": ("Answer: 42\nAnswer: 43", None),
    "range": ("42-43", None),
    "fraction": ("42/43", None),
    "decimal comma": ("42,5", None),
    "version": ("4.2.1", None),
    "date": ("2024-05-01", None),
    "identifier": ("T42", None),
    "pointer": ("/items/42/price", None),
    "word": ("forty-two", None),
    "nothing": ("", None),
    "unfinished thought": ("<think>42", None),
    "all numbers": (" ".join(map(str, range(100))), None),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_number(name: str) -> None:
    text, value = NUMBERS[name]
    stated = short_answer(text)
    assert (None if stated is None else float(stated)) == value
    if value is not None:
        row = {"prompt": "", "form": "number", "value": json.dumps(value), "choices": "[]"}
        assert score_answer(row, [text]) == {"score": 1.0, "correct": 1.0}
        row["value"] = "17"
        assert score_answer(row, [text]) == {"score": 0.0, "correct": 0.0}


CHOICES = ["JSON", "JSON Lines", "YAML", "Ana Gallo", "2024-05-01", "/a/1", "/a/10", "unit_price"]
WORDS: dict[str, tuple[str, str | None]] = {
    "bare": ("YAML", "YAML"),
    "lower case": ("yaml", "YAML"),
    "quoted": ('"YAML"', "YAML"),
    "code": ("`YAML`.", "YAML"),
    "sentence": ("The text is written in YAML.", "YAML"),
    "marked": ("It is not JSON.\nAnswer: YAML", "YAML"),
    "the answer is": ("Not JSON; the answer is **YAML**", "YAML"),
    "last line": ("It looks like JSON at first.\nBut it is YAML.", "YAML"),
    "longer choice": ("JSON Lines", "JSON Lines"),
    "shorter choice": ("JSON", "JSON"),
    "two words": ("The name is Ana Gallo.", "Ana Gallo"),
    "date": ("2024-05-01", "2024-05-01"),
    "pointer": ("`/a/1`", "/a/1"),
    "longer pointer": ("/a/10", "/a/10"),
    "underscore": ("unit_price", "unit_price"),
    "spaces": ("Ana  Gallo", "Ana Gallo"),
    "repeated": ("YAML\nYAML", "YAML"),
    "thought": ("<think>JSON</think>YAML", "YAML"),
    "fenced": ("```text\nYAML\n```", "YAML"),
    "polite ending": ("YAML\nLet me know!", "YAML"),
    "hedge": ("JSON or YAML", None),
    "hedge by lines": ("JSON\nYAML", None),
    "two marked": ("Answer: JSON. Or else the answer: YAML\nAnswer: JSON", None),
    "list of all": (", ".join(CHOICES), None),
    "part of a word": ("YAMLish", None),
    "half a name": ("Ana", None),
    "something else": ("TOML", None),
    "nothing": ("", None),
    "marks only": ("**\n```\n", None),
    "longer path": ("/a/1/b/2", None),
    "longer name": ("Ana Gallo-Reyes", None),
    "slash": ("JSON/YAML", None),
}


@pytest.mark.parametrize("name", WORDS)
def test_choice(name: str) -> None:
    text, value = WORDS[name]
    assert short_answer(text, CHOICES) == (None if value is None else value.casefold())


TABLE = "id,name\n1,Ann\n2,Bo"
ASKED = {
    "prompt": f"```csv\n{TABLE}\n```\n\nWhose `id` is 2?",
    "form": "text",
    "value": '"Bo"',
    "choices": '["Ann", "Bo"]',
}


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Bo", 1.0),
        ("It is Bo.", 1.0),
        (f"{TABLE}\n\nBo", 1.0),
        ("2,Bo", 0.0),
        (TABLE, 0.0),
        (f"```csv\n{TABLE}\n```", 0.0),
        ("Ann", 0.0),
        ("Ann, Bo", 0.0),
    ],
)
def test_a_repeated_table_is_no_answer(text: str, score: float) -> None:
    assert score_answer(ASKED, [text])["score"] == score


def test_an_answer_may_be_a_document() -> None:
    row = {"prompt": "", "form": "json", "value": "[1, 2]"}
    assert score_answer(row, ["[1, 2]"]) == {"score": 1.0, "correct": 1.0}
    assert score_answer(row, ["[1, 3]"]) == {"score": 0.5, "correct": 0.0}


PIECES = st.sampled_from(
    ["answer:", "answer is", "1", "42", ",", ".", "=", "\n", " ", "**", "```", "{", "}", '"', "[",
     "]", ":", "a", "Bo", "Ann", "-", "/", "<think>", "</think>"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.text(st.characters(), max_size=80), st.lists(PIECES, max_size=60).map("".join))
)
@example("9" * 1_000_000)
@example("1," * 500_000)
@example("answer " * 150_000)
@example("1a" * 500_000)
@example("=" * 1_000_000 + "1")
@example("[" * 40 + "1," * 20_000 + "1" + "]" * 40)
@example("[" + ",".join(f"[{n}]" for n in range(12_000)) + "]")
def test_no_text_raises_and_all_scores_are_shares(text: str) -> None:
    rows = [(score_document, EDIT), (score_document, {**EDIT, "form": "yaml"}),
            (score_extract, EXTRACT), (score_answer, ASKED),
            (score_answer, {**ASKED, "form": "number", "value": "42"})]  # fmt: skip
    for score, row in rows:
        scores = score(row, [text])
        assert all(0.0 <= value <= 1.0 for value in scores.values())
