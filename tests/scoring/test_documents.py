"""Documents: strict reading of four forms, and what is found in the text of a chat model."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evomerge_compiler.scoring import documents
from evomerge_compiler.scoring.documents import find, parse
from evomerge_compiler.scoring.values import same

READ = {
    "json object": ("json", '{"a": [1, null, true]}', {"a": [1, None, True]}),
    "json number without fraction": ("json", "[5.00, 5.5, 1e2]", [5, 5.5, 100]),
    "json text in form NFC": ("json", '["e\u0301"]', ["é"]),
    "yaml block": ("yaml", "a: 1\nb:\n  - x\n  - y: ~\n", {"a": 1, "b": ["x", {"y": None}]}),
    "yaml 1.2 knows no yes and no": ("yaml", "[no, on, yes, true]", ["no", "on", "yes", True]),
    "yaml 1.2 knows no dates": ("yaml", "[2024-05-01, 12:30]", ["2024-05-01", "12:30"]),
    "yaml quotes make text": ("yaml", "['007', \"1\", 007]", ["007", "1", 7]),
    "yaml numbers": ("yaml", "[0x1F, 0o17, .5, 1e3, 1_000]", [31, 15, 0.5, 1000, "1_000"]),
    "yaml flow": ("yaml", "{a: 1, b: [x]}", {"a": 1, "b": ["x"]}),
    "yaml alias": ("yaml", "a: &n [1]\nb: *n", {"a": [1], "b": [1]}),
    "yaml tag for text": ("yaml", "a: !!str 5", {"a": "5"}),
    "yaml key that is a number": ("yaml", "2024: x", {"2024": "x"}),
    "yaml text block": ("yaml", "a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
    "csv": ("csv", "a,b\n1,x", [["a", "b"], ["1", "x"]]),
    "csv quotes": ("csv", '1,"x, ""y"""', [["1", 'x, "y"']]),
    "csv empty lines are no rows": ("csv", "a,b\n\n1,\n", [["a", "b"], ["1", ""]]),
    "csv spaces belong to cells": ("csv", "a, b", [["a", " b"]]),
    "csv line in a cell": ("csv", '"a\nb",c', [["a\nb", "c"]]),
    "tsv": ("tsv", "a\tb\n1\tx, y", [["a", "b"], ["1", "x, y"]]),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_parse_reads(name: str) -> None:
    form, text, value = READ[name]
    assert same(parse(form, text), value)


REFUSED = {
    "json trailing comma": ("json", '{"a": 1,}'),
    "json comment": ("json", '{"a": 1} // one'),
    "json single quotes": ("json", "{'a': 1}"),
    "json NaN": ("json", "[NaN]"),
    "json infinity": ("json", "[-Infinity]"),
    "json key twice": ("json", '{"a": 1, "a": 1}'),
    "json python words": ("json", "[True, None]"),
    "json two values": ("json", "{} {}"),
    "json leading zero": ("json", "[007]"),
    "json raw line in text": ("json", '["a\nb"]'),
    "json cut": ("json", '{"a": [1, 2'),
    "json empty": ("json", ""),
    "json deep": ("json", "[" * 60 + "]" * 60),
    "json very deep": ("json", "[" * 90_000),
    "json huge number": ("json", "[" + "9" * 5000 + "]"),
    "yaml key twice": ("yaml", "a: 1\na: 2"),
    "yaml tab": ("yaml", "a:\n\tb: 1"),
    "yaml two documents": ("yaml", "a: 1\n---\nb: 1"),
    "yaml unknown alias": ("yaml", "a: *b"),
    "yaml alias of itself": ("yaml", "a: &b [*b]"),
    "yaml python object": ("yaml", "!!python/object/apply:os.getcwd []"),
    "yaml number by tag": ("yaml", "a: !!int x"),
    "yaml list as key": ("yaml", "? [a]\n: b"),
    "yaml colon in a value": ("yaml", "a: b: c"),
    "yaml deep": ("yaml", "[" * 60 + "]" * 60),
    "yaml empty": ("yaml", ""),
    "yaml surrogate": ("yaml", "a: \ud800"),
    "csv rows differ": ("csv", "a,b\n1"),
    "csv open quote": ("csv", 'a,"b'),
    "csv text after a quote": ("csv", '"a"b,c'),
    "too large": ("json", "[" + "1," * 60_000 + "1]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_parse_refuses(name: str) -> None:
    form, text = REFUSED[name]
    with pytest.raises(ValueError):
        parse(form, text)


def test_aliases_of_aliases_do_not_grow() -> None:
    laughs = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    with pytest.raises(ValueError):
        parse("yaml", "\n".join(laughs))


PROMPT = 'Change `a`.\n\n```json\n{"a": 1, "b": 2}\n```\n'
DONE = '{"a": 9, "b": 2}'
TABLE = "id,name\n1,Ann\n2,Bo"
BLOCK = "id: 1\nname: Ann\n"
FOUND: dict[str, tuple[str, str, Any]] = {
    "bare": ("json", DONE, {"a": 9, "b": 2}),
    "fence": ("json", f"```json\n{DONE}\n```", {"a": 9, "b": 2}),
    "fence without a language": ("json", f"Sure!\n```\n{DONE}\n```\nDone.", {"a": 9, "b": 2}),
    "fence in the wrong language": ("json", f"```python\n{DONE}\n```", {"a": 9, "b": 2}),
    "fence of tildes": ("json", f"~~~\n{DONE}\n~~~", {"a": 9, "b": 2}),
    "fence that never ends": ("json", f"```json\n{DONE}", {"a": 9, "b": 2}),
    "fence on one line": ("json", f"```json {DONE} ```\nDone.", {"a": 9, "b": 2}),
    "prose around": ("json", f'Here is the "new" object: {DONE} Enjoy!', {"a": 9, "b": 2}),
    "thought before": ("json", '<think>{"a": 0, "b": 2}</think>\n' + DONE, {"a": 9, "b": 2}),
    "the input, then the answer": (
        "json", 'It was:\n```json\n{"a": 1, "b": 2}\n```\nNow:\n```json\n' + DONE + "\n```",
        {"a": 9, "b": 2}),
    "the input reformatted, then the answer": (
        "json", '{"b":2,"a":1} becomes ' + DONE, {"a": 9, "b": 2}),
    "the same answer twice": ("json", f"{DONE}\n\n{DONE}", {"a": 9, "b": 2}),
    "a second copy that is cut": (
        "json", f'```json\n{DONE}\n```\n```json\n{{"a": 9', {"a": 9, "b": 2}),
    "a fragment, then the whole": (
        "json", '```json\n{"a": 9}\n```\nSo:\n```json\n' + DONE + "\n```", {"a": 9, "b": 2}),
    "a footnote in brackets": ("json", f"{DONE}\nSee [1].", {"a": 9, "b": 2}),
    "unchanged input": ("json", '{"a": 1, "b": 2}', {"a": 1, "b": 2}),
    "brackets in text": ("json", 'So: {"a": "]}\\"{"}', {"a": ']}"{'}),
    "an array": ("json", "The result is [1, 2].", [1, 2]),
    "yaml fence": ("yaml", f"```yaml\n{BLOCK}```", {"id": 1, "name": "Ann"}),
    "yaml fence called yml": ("yaml", f"```yml\n{BLOCK}```", {"id": 1, "name": "Ann"}),
    "yaml bare": ("yaml", BLOCK, {"id": 1, "name": "Ann"}),
    "yaml between sentences": (
        "yaml", f"Here is the YAML file:\n\n{BLOCK}\nI hope this helps you!",
        {"id": 1, "name": "Ann"}),
    "yaml after a label": ("yaml", f"Answer:\n{BLOCK}", {"id": 1, "name": "Ann"}),
    "yaml before a note": (
        "yaml", f"{BLOCK}\nNote: the order of keys is kept.", {"id": 1, "name": "Ann"}),
    "yaml fences, of which one is json": (
        "yaml", f'```json\n{{"x": 1}}\n```\n```yaml\n{BLOCK}```', {"id": 1, "name": "Ann"}),
    "csv fence": ("csv", f"```csv\n{TABLE}\n```", [["id", "name"], ["1", "Ann"], ["2", "Bo"]]),
    "csv between sentences": (
        "csv", f"Sure, here is the CSV:\n\n{TABLE}\n\nLet me know, if you need more.",
        [["id", "name"], ["1", "Ann"], ["2", "Bo"]]),
    "csv with windows lines": (
        "csv", TABLE.replace("\n", "\r\n"), [["id", "name"], ["1", "Ann"], ["2", "Bo"]]),
    "tsv fence": ("tsv", "```tsv\na\tb\n1\t2\n```", [["a", "b"], ["1", "2"]]),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_find_finds(name: str) -> None:
    form, text, value = FOUND[name]
    assert same(find(form, text, PROMPT), value)


NOT_FOUND = {
    "nothing": ("json", ""),
    "prose": ("json", "I cannot do that."),
    "a number": ("json", "9"),
    "trailing comma": ("json", '```json\n{"a": 9, "b": 2,}\n```'),
    "comment": ("json", '{"a": 9, // new\n "b": 2}'),
    "single quotes": ("json", "{'a': 9, 'b': 2}"),
    "cut": ("json", '```json\n{"a": 9, "b": '),
    "a sound piece of a broken object": ("json", '{"a: 9,\n "b": [1, 2]}'),
    "two alternatives": ("json", DONE + ' or {"a": 8, "b": 2}'),
    "two alternatives in fences": (
        "json", f'```json\n{DONE}\n```\nor\n```json\n{{"a": 8, "b": 2}}\n```'),
    "only a thought": ("json", f"<think>{DONE}"),
    "python that prints it": ("json", '```python\nprint({"a": 9})\n```'),
    "yaml for json": ("json", "```yaml\na: 9\nb: 2\n```"),
    "json for yaml": ("yaml", f"```yaml\n{DONE}\n```"),
    "json for yaml, bare": ("yaml", DONE),
    "a sentence for yaml": ("yaml", "It is not possible: sorry."),
    "a sentence for csv": ("csv", "I am sorry, I cannot"),
    "a header for csv": ("csv", "id,name"),
    "ragged csv": ("csv", "```csv\nid,name\n1\n```"),
    "csv for tsv": ("tsv", TABLE),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_FOUND)
def test_find_refuses(name: str) -> None:
    form, text = NOT_FOUND[name]
    with pytest.raises(ValueError):
        find(form, text, PROMPT)


MARKS = st.sampled_from(
    [
        "```",
        "json",
        "\n",
        "{",
        "}",
        "[",
        "]",
        '"',
        "\\",
        ":",
        ",",
        "- ",
        "a",
        "&x",
        "*x",
        "1",
        "\t",
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(documents.FORMS),
    st.one_of(st.text(st.characters(), max_size=80), st.lists(MARKS, max_size=60).map("".join)),
)
@example("yaml", "[" * 99_000)
@example("json", '["' + '\\"' * 300_000)
@example("json", "{" * 2_000_000)
@example("csv", '"' * 1_000_001)
@example("yaml", "```\n" * 100_000)
@example("yaml", "- " * 49_000)
def test_no_text_gives_anything_but_a_value_or_value_error(form: str, text: str) -> None:
    try:
        value = find(form, text, PROMPT)
    except ValueError:
        return
    assert isinstance(value, (dict, list))


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text("ab:-#'\" \n0é", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.lists(JSON_VALUES, min_size=1, max_size=4))
def test_what_libraries_write_is_read_back(value: Any) -> None:
    assert same(parse("json", json.dumps(value)), value)
    assert same(parse("yaml", yaml.safe_dump(value, allow_unicode=True)), value)
