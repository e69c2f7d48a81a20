"""The structured-data items: made again, and proven by other code than that which made them."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from other_readers import READERS, cells, patched, reached, selected, table
from ruamel.yaml import YAML

from evomerge_compiler.scoring import documents, structured_data
from evomerge_compiler.scoring.answers import fenced
from evomerge_compiler.scoring.items import read
from evomerge_compiler.scoring.values import same

FOLDER = Path(__file__).parents[2] / "evaluators" / "structured_data"
KINDS = ("extract", "convert", "edit", "table", "syntax", "query")
ROWS: dict[str, list[dict[str, Any]]] = {
    kind: read(FOLDER / "data" / f"{kind}.jsonl") for kind in KINDS
}
FAMILIES = sorted({(kind, row["family"]) for kind in KINDS for row in ROWS[kind]})
SCORES: dict[str, Callable[..., dict[str, float]]] = {
    "extract": structured_data.score_extract,
    "convert": structured_data.score_document,
    "edit": structured_data.score_document,
}


def score(kind: str, row: dict[str, Any], text: str) -> dict[str, float]:
    return SCORES.get(kind, structured_data.score_answer)(row, [text])


def family(name: str) -> list[dict[str, Any]]:
    return [row for rows in ROWS.values() for row in rows if row["family"] == name]


def blocks(row: dict[str, Any]) -> list[str]:
    """The fenced blocks of the prompt."""
    return [body.rstrip("\n") for _, body in fenced(row["prompt"])]


def value(row: dict[str, Any]) -> Any:
    return documents.parse("json", row["value"])


def plain(data: Any) -> Any:
    return documents.parse("json", json.dumps(data))


# ------------------------------------------------------------------------------ all kinds
def test_generating_again_gives_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "generate.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    for kind in KINDS:
        written = (tmp_path / f"{kind}.jsonl").read_bytes()
        assert written == (FOLDER / "data" / f"{kind}.jsonl").read_bytes()


def test_there_are_many_and_all_are_distinct() -> None:
    items = [row for rows in ROWS.values() for row in rows]
    assert len(items) >= 480
    assert len({row["id"] for row in items}) == len({row["prompt"] for row in items}) == len(items)
    assert set(Counter((k, r["family"]) for k in KINDS for r in ROWS[k]).values()) == {12}
    assert sum(len(row["prompt"]) > 1200 for row in items) < len(items) / 20
    assert {row["difficulty"] for row in items} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("kind", KINDS)
def test_reference_answers_are_right(kind: str) -> None:
    for row in ROWS[kind]:
        fits = score(kind, row, row["answer"])
        assert set(fits.values()) == {1.0}, row["id"]
        assert score(kind, row, f"Here it is:\n\n```\n{row['answer']}\n```")["score"] == 1.0
        assert score(kind, row, f"<think>{{\n</think>\n\n{row['answer']}")["score"] == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_repeating_what_was_given_scores_nothing(kind: str) -> None:
    for row in ROWS[kind]:
        for block in blocks(row):
            assert score(kind, row, f"```\n{block}\n```")["score"] == 0.0, row["id"]


CONSTANTS = {"", "0", "1", "yes", "no", "true", "null", "[]", "{}"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_constant_scores_what_is_declared(kind: str) -> None:
    declared = re.search(r"chance: ([\d.]+)", (FOLDER / f"{kind}.yaml").read_text())
    rows, rate = ROWS[kind], SCORES.get(kind, structured_data.score_answer)
    if kind == "extract":
        rate = structured_data.score_document
    best = max(
        sum(rate(row, [text])["score"] for row in rows) / len(rows)
        for text in {row["answer"] for row in rows} | CONSTANTS
    )
    assert declared is not None
    assert float(declared[1]) == pytest.approx(best, abs=0.01)
    assert best <= 0.2


# -------------------------------------------------------------------------------- extract
def leaves(data: Any) -> Iterator[Any]:
    if isinstance(data, (dict, list)):
        for item in data.values() if isinstance(data, dict) else data:
            yield from leaves(item)
    else:
        yield data


def test_extract_answers_fit_the_schema_and_stand_in_the_text() -> None:
    rewritten = re.compile(r"\d{4}-\d\d-\d\d|\d\d:\d\d")
    inferred = {"tbsp", "piece", "onsite", "hybrid", "remote", "EUR", "GBP", "USD"}
    for row in ROWS["extract"]:
        schema = json.loads(row["schema"])
        assert plain(json.loads(blocks(row)[0])) == schema  # what is shown is what is checked
        jsonschema.Draft202012Validator.check_schema(schema)
        text = row["prompt"].split("Text:\n")[1].split("\n\nSchema:")[0]
        for leaf in leaves(json.loads(row["value"])):
            if isinstance(leaf, str) and leaf not in inferred and not rewritten.fullmatch(leaf):
                assert leaf in text, row["id"]
            elif type(leaf) is float:
                assert f"{leaf:.1f}" in text or f"{leaf:.2f}" in text, row["id"]


# -------------------------------------------------------------------------------- convert
def typed(cells: list[list[str]], like: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as objects, each cell read as the type that its column has in ``like``."""

    def cast(text: str, key: str) -> Any:
        kind = type(next((r[key] for r in like if r[key] is not None), ""))
        if text == "" and kind is str:
            return None
        return text == "true" if kind is bool else text if kind is str else float(text)

    header, *rows = cells
    return [{k: cast(t, k) for k, t in zip(header, row, strict=True)} for row in rows]


def test_converted_documents_hold_what_other_readers_read() -> None:
    for row in [*family("csv_to_json"), *family("quoted_csv_to_json")]:
        assert same(plain(typed(table(blocks(row)[0]), value(row))), value(row)), row["id"]
    for row in family("json_to_csv"):
        found = json.loads(blocks(row)[0])
        texts = [["" if v is None else json.dumps(v) if isinstance(v, (bool, float)) else str(v)
                  for v in record.values()] for record in found]  # fmt: skip
        assert table(row["answer"]) == [list(found[0]), *texts] == value(row)
    for row in family("json_to_yaml"):
        assert same(plain(json.loads(blocks(row)[0])), value(row))
        assert same(plain(YAML(typ="safe", pure=True).load(row["answer"])), value(row))
    for row in family("yaml_to_json"):
        assert same(plain(YAML(typ="safe", pure=True).load(blocks(row)[0])), value(row))
    for row in family("tsv_to_csv"):
        assert table(blocks(row)[0], "\t") == table(row["answer"]) == value(row)
    for row in family("csv_to_nested_json"):
        header, *rows = table(blocks(row)[0])
        groups: dict[str, Any] = {}
        for group, name, number in rows:
            groups.setdefault(group, []).append({header[1]: name, header[2]: float(number)})
        assert same(plain(groups), value(row))
        assert list(groups) == list(value(row))


# ----------------------------------------------------------------------------------- edit
def source(row: dict[str, Any]) -> Any:
    form, [block] = row["form"], blocks(row)
    return table(block) if form == "csv" else documents.parse(form, block)


def order(row: dict[str, Any], pattern: str) -> list[str]:
    match = re.search(pattern, row["prompt"], re.IGNORECASE)
    assert match, row["prompt"]
    return [group or "" for group in match.groups()]


def test_edits_do_what_their_words_say() -> None:
    for row in ROWS["edit"]:
        assert same(source(row), documents.parse("json", row["source"]))
        assert not same(source(row), value(row))
    for row in family("json_set"):
        key, inner, new = order(row, r"(?:set|value of) `(\w+)`(?: in `(\w+)`)? to (.+?)\. ")
        done = source(row)
        (done[inner] if inner else done)[key] = plain(json.loads(new))
        assert same(done, value(row)), row["id"]
    for row in family("json_rename"):
        words = r"key `(\w+)` (?:in every entry of `(\w+)`|in `(\w+)`|at the top level) to `(\w+)`"
        key, array, inner, new = order(row, words)
        done = source(row)
        for target in done[array] if array else [done[inner] if inner else done]:
            target[new] = target.pop(key)
        assert same(done, value(row)), row["id"]
    for row in family("yaml_append"):
        [array] = order(row, r"list `(\w+)`")
        *kept, new = value(row)[array]
        assert same({**value(row), array: kept}, source(row))
        assert all(str(leaf) in row["prompt"] for leaf in leaves([new]))
    for row in family("yaml_set_and_remove"):
        [removed] = order(row, r"remove `(\w+)`")
        key, inner, new = order(row, r"set `(\w+)`(?: in `(\w+)`)? to (.+?)[,.] ")
        done = source(row)
        del done[removed]
        (done[inner] if inner else done)[key] = json.loads(new)
        assert same(plain(done), value(row)), row["id"]
    for row in family("csv_delete"):
        key, flag, limit, low, high = order(
            row, r"which `(\w+)` is (?:(true|false)|below (\d+)|(\d+) or( more))\."
        )
        header, *rows = source(row)
        at = header.index(key)
        kept = [r for r in rows if not (r[at] == flag if flag else float(r[at]) < float(limit)
                                        if limit else float(r[at]) >= float(low))]  # fmt: skip
        assert bool(high) == bool(low)
        assert [header, *kept] == value(row), row["id"]


def test_harder_edits_do_what_their_words_say() -> None:
    for row in family("json_raise_where"):
        key, amount, flag, wanted = order(
            row, r"increase `(\w+)` by ([\d.]+) in every entry whose `(\w+)` is (true|false)"
        )
        done = source(row)
        for record in done:
            if record[flag] is (wanted == "true"):
                record[key] = round(record[key] + float(amount), 2)
        assert same(plain(done), value(row)), row["id"]
    for row in family("json_move"):
        done = source(row)
        if "lists" in done:
            moved, start, end, goal = order(
                row, r'move "(.+?)" from `(\w+)` to the (end|beginning) of `(\w+)`'
            )
            done["lists"][start].remove(moved)
            done["lists"][goal].insert(99 if end == "end" else 0, moved)
        else:
            key, goal = order(row, r"move the key `(\w+)`.+into the (?:new )?object `(\w+)`")
            done.setdefault(goal, {})[key] = done.pop(key)
        assert same(done, value(row)), row["id"]
    for row in family("csv_column"):
        header, *rows = source(row)
        totals = ["total"] + [f"{int(r[2]) * round(float(r[3]) * 100) / 100:.2f}" for r in rows]
        first = "at the beginning" in row["prompt"]
        done = [
            [t, *r] if first else [*r, t] for t, r in zip(totals, [header, *rows], strict=True)
        ]
        assert done == value(row), row["id"]


# ---------------------------------------------------------------------------------- table
@pytest.mark.parametrize("row", ROWS["table"], ids=lambda row: f"{row['family']}-{row['id']}")
def test_sql_gives_the_answer_of_a_table_question(row: dict[str, Any]) -> None:
    with sqlite3.connect(":memory:") as base:
        for name, (language, text) in zip("tu", fenced(row["prompt"]), strict=False):
            header, *rows = cells(language, text)
            columns = ", ".join(f'"{key}"' for key in header)
            base.execute(f"CREATE TABLE {name} ({columns})")
            base.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(header))})", rows)
        [[found]] = base.execute(row["sql"]).fetchall()
    if row["form"] == "number":
        assert float(found) == pytest.approx(value(row), abs=1e-9)
    else:
        assert found == value(row)
        assert value(row) in json.loads(row["choices"])


# --------------------------------------------------------------------------------- syntax
def test_formats_are_read_by_their_own_reader_and_no_stricter_one() -> None:
    for row in family("recognise"):
        [text] = blocks(row)
        readers = {name for name, reader in READERS.items() if _reads(reader, text)}
        if value(row) == "YAML":
            assert not readers and yaml.safe_load(text)
        elif value(row) == "JSON":
            assert readers == {"JSON"}
        else:
            assert readers == {value(row)}, row["id"]
        assert sorted(json.loads(row["choices"])) == sorted([*READERS, "YAML"])


def _reads(reader: Callable[[str], object], text: str) -> bool:
    try:
        reader(text)
    except Exception:
        return False
    return True


def test_errors_are_where_parsers_find_them() -> None:
    for row in family("pick_valid"):
        valid = [n for n, text in enumerate(blocks(row), 1) if _reads(json.loads, text)]
        assert valid == [value(row)]
    for row in [*family("json_error_line"), *family("csv_error_line")]:
        numbered = [line.split(" | ", 1) for line in blocks(row)[0].split("\n")]
        assert [int(number) for number, _ in numbered] == list(range(1, len(numbered) + 1))
        text = "\n".join(line for _, line in numbered)
        if row["family"] == "json_error_line":
            with pytest.raises(json.JSONDecodeError) as error:
                json.loads(text)
            assert error.value.lineno == value(row), row["id"]
        else:
            widths = [len(cells_) for cells_ in table(text)]
            wrong = [n for n, width in enumerate(widths, 1) if width != widths[0]]
            assert wrong == [value(row)], row["id"]


def test_what_is_to_be_repaired_is_broken() -> None:
    for row in family("json_repair"):
        assert not _reads(json.loads, blocks(row)[0])
    for row in family("yaml_repair"):
        assert not _reads(yaml.safe_load, blocks(row)[0])
        assert not _reads(YAML(typ="safe", pure=True).load, blocks(row)[0])
    for row in family("csv_repair"):
        assert sorted(map(len, table(blocks(row)[0]))) == [4, 4, 4, 4, 5]
    for row in [*family("json_repair"), *family("csv_repair")]:
        # Letters and digits are those of the answer: only marks, and the case of words, differ.
        assert _letters(blocks(row)[0]) == _letters(row["answer"]), row["id"]


def _letters(text: str) -> str:
    return re.sub(r"\W", "", text).lower().replace("none", "null")


# ---------------------------------------------------------------------------------- query
def test_queries_give_what_other_code_gives() -> None:
    for row in family("json_lookup"):
        [path] = order(row, r"`(\w+[.\[]\S+)`")
        found = reached(json.loads(blocks(row)[0]), re.findall(r"\w+", path))
        assert same(plain([found]), [value(row)]), row["id"]
    for row in family("json_pointer"):
        [shown] = order(row, r"leads to the value (.+?)\? Pointers")
        found = reached(json.loads(blocks(row)[0]), value(row).split("/")[1:])
        assert same(found, json.loads(shown)), row["id"]
    for row in family("jsonpath"):
        [path] = order(row, r"`(\$.+)`")
        assert same(plain(selected(json.loads(blocks(row)[0]), path)), value(row)), row["id"]
    for row in family("yaml_merge"):
        merged = yaml.safe_load(blocks(row)[0])
        place = re.search(r"`(\w+)\.(\w+)`|`(\w+)` in `(\w+)`", row["prompt"])
        assert place is not None
        stage, key = (place[1], place[2]) if place[1] else (place[4], place[3])
        assert merged[stage][key] == value(row), row["id"]
    for row in family("merge_patch"):
        document, patch = map(json.loads, blocks(row))
        assert same(plain(patched(document, patch)), value(row)), row["id"]
        assert same(plain(document), json.loads(row["source"]))


def test_types_and_counts_are_what_other_code_finds() -> None:
    names = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}
    for row in family("yaml_type"):
        [key] = order(row, r"value of `(\w+)`")
        # ruamel also knows the dates of YAML 1.1, which the core schema of 1.2 does not.
        found = YAML(typ="safe", pure=True).load(blocks(row)[0])[key]
        kind = (
            "object" if isinstance(found, dict) else "array" if isinstance(found, list) else None
        )
        assert (kind or names.get(type(found), "string")) == value(row), row["id"]
    for row in family("count_values"):
        data = json.loads(blocks(row)[0])
        kinds = Counter(names[type(leaf)] for leaf in leaves(data))
        kinds["object"] = blocks(row)[0].count("{")
        [kind] = order(row, r"(?:are|many) (string|number|object)s")
        assert kinds[kind] == value(row), row["id"]
