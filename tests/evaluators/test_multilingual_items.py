"""The multilingual items: made again byte for byte, right, and not to be won by a constant."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from evomerge_compiler.scoring import languages, multilingual

FOLDER = Path(__file__).parents[2] / "evaluators" / "multilingual"
FAMILIES = {
    "translation": (24, 5),
    "language_id": (5, 25),
    "question_answering": (8, 15),
    "conventions": (14, 10),
}
CONSTANTS = ["", "0", "1", "yes", "no", "true", "null", "[]", "{}"]
Row = dict[str, Any]


def rows(task: str) -> list[Row]:
    text = (FOLDER / "data" / f"{task}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def family(name: str) -> list[Row]:
    return [row for row in rows("conventions") if row["family"] == name]


def score(task: str, row: Row, text: str) -> float:
    return float(getattr(multilingual, f"score_{task}")(row, [text])["score"])


def blocks(name: str) -> dict[str, dict[str, str]]:
    """A corpus file, read in the plainest way."""
    text = (FOLDER / "corpus" / f"{name}.txt").read_text(encoding="utf-8")
    found = {}
    for part in re.split(r"\n{2,}", re.sub(r"(?m)^#.*\n", "", text).strip()):
        head, *lines = part.splitlines()
        found[head] = dict(line.split(": ", 1) for line in lines)
    return found


def first(text: str) -> str:
    """The first of the ways that stand in brackets."""
    return re.sub(r"\[([^\[\]|]*)[^\[\]]*\]", r"\1", text)


def test_generating_again_gives_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "generate.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    for task in FAMILIES:
        name = f"{task}.jsonl"
        assert (tmp_path / name).read_bytes() == (FOLDER / "data" / name).read_bytes()


@pytest.mark.parametrize("task", FAMILIES)
def test_items_are_distinct_and_families_even(task: str) -> None:
    items = rows(task)
    families, size = FAMILIES[task]
    assert Counter(Counter(row["family"] for row in items).values()) == {size: families}
    assert len({row["id"] for row in items}) == len({row["prompt"] for row in items}) == len(items)
    assert max(len(row["prompt"]) for row in items) < 1_200
    assert not any(re.search(r"[{}]|\[.*\|", row["prompt"] + row["answer"]) for row in items)


@pytest.mark.parametrize("task", FAMILIES)
def test_reference_answers_are_right(task: str) -> None:
    for row in rows(task):
        assert score(task, row, row["answer"]) == 1.0, row["id"]
        for way in json.loads(row.get("accepted", row.get("references", "[]"))):
            assert score(task, row, way) == 1.0, (row["id"], way)


@pytest.mark.parametrize("task", FAMILIES)
def test_no_constant_wins(task: str) -> None:
    items = rows(task)
    answers = {row["answer"]: None for row in items}
    # chrF takes a tenth of a millisecond, and each answer meets each item.
    tried = list(answers)[:: 3 if task == "translation" else 1] + CONSTANTS
    best = max(sum(score(task, row, text) for row in items) / len(items) for text in tried)
    config = re.sub(r"!function ", "", (FOLDER / f"{task}.yaml").read_text(encoding="utf-8"))
    assert best == pytest.approx(yaml.safe_load(config)["metadata"]["chance"], abs=0.01)


def test_every_text_of_the_corpus_is_in_all_its_languages() -> None:
    for name, codes in (("sentences", set(languages.NAMES)), ("phrases", set(languages.NAMES))):
        for head, texts in blocks(name).items():
            assert set(texts) == codes, head
            slots = {tuple(sorted(re.findall(r"{\w+}", first(text)))) for text in texts.values()}
            assert len(slots) == 1, head
    for name in ("phrases", "facts"):
        for head, texts in blocks(name).items():
            assert len({text.count(" / ") for text in texts.values()}) == 1, head
    for head, texts in blocks("stories").items():
        stories = {key: text for key, text in texts.items() if " " not in key}
        assert len(stories) == 7 and len(texts) == 7 * 5, head
        assert len({tuple(sorted(re.findall(r"{\w+}", t))) for t in stories.values()}) == 1, head


def test_references_are_in_their_language_and_the_source_is_no_translation() -> None:
    for row in rows("translation"):
        target, source = row["target_language"], row["source_language"]
        references = json.loads(row["references"])
        assert all(languages.is_in(reference, target) for reference in references), row["id"]
        assert languages.is_in(row["source"], source)
        assert row["source"] in row["prompt"]
        assert score("translation", row, row["source"]) == 0.0
        # Else a reference would be taken for a label or an announcement.
        assert not any(re.search(r"[:：]\s| / |\(", reference) for reference in references)


def test_every_direction_has_a_family_and_every_sentence_five_items() -> None:
    items = rows("translation")
    directions = Counter((row["source_language"], row["target_language"]) for row in items)
    assert set(directions.values()) == {5}
    english = {code for pair in directions if "en" in pair for code in pair}
    assert english == set(languages.NAMES)


def test_correct_tells_a_translation_from_one_with_a_wrong_word() -> None:
    """A reference passes by the others alone; what says something else does not."""
    passed = total = 0
    for row in rows("translation"):
        known = json.loads(row["references"])
        left_out = known[len(known) // 2]
        if len(known) > 2:
            others = json.dumps([way for way in known if way != left_out])
            passed += bool(correct(row | {"references": others}, left_out))
            total += 1
        assert not any(correct(row, other) for other in json.loads(row["contrasts"])[::5])
    assert total > 90
    assert passed / total > 0.9


def correct(row: Row, text: str) -> float:
    return multilingual.score_translation(row, [text])["correct"]


@pytest.mark.parametrize("kind", ["plain", "short", "names", "bare"])
def test_each_language_is_asked_once_in_each_kind(kind: str) -> None:
    asked = [row["answer"] for row in rows("language_id") if row["family"] == f"{kind}_sample"]
    assert len(asked) == len(set(asked)) == 25
    if kind == "bare":
        samples = blocks("samples")
        assert all(samples[language]["bare"].isascii() for language in asked)


def test_answers_stand_in_their_stories() -> None:
    facts = {
        head: {code: text.split(" / ") for code, text in texts.items()}
        for head, texts in blocks("facts").items()
    }
    digits = str.maketrans("٠١٢٣٤٥٦٧٨٩", "0123456789")
    for row in rows("question_answering"):
        story = row["prompt"].split("\n\n")[0].translate(digits).casefold()
        if row["answer"].isdigit():
            numbers = [int(number) for number in re.findall(r"\d+", story)]
            sums = {a + b for a in numbers for b in numbers}
            assert int(row["answer"]) in (sums if row["family"] == "race" else numbers), row["id"]
            continue
        wanted, told = row["answer_language"], row["passage_language"]
        places = [
            first(lines[told][number]).casefold()
            for lines in facts.values()
            for number, text in enumerate(lines[wanted])
            if first(text) == row["answer"]
        ]
        assert any(place in story for place in places), row["id"]


def test_languages_of_questions_are_balanced() -> None:
    items = rows("question_answering")
    for field in ("passage_language", "question_language"):
        counts = Counter(row[field] for row in items)
        assert len(counts) == 7
        assert max(counts.values()) - min(counts.values()) <= 2
    assert all(row["passage_language"] != row["question_language"] for row in items)


MONTHS = {
    "French": "janvier février mars avril mai juin juillet août septembre octobre novembre "
    "décembre",
    "German": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "Spanish": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre "
    "diciembre",
    "Italian": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre "
    "novembre dicembre",
    "Portuguese": "janeiro fevereiro março abril maio junho julho agosto setembro outubro "
    "novembro dezembro",
    "Arabic": "يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر",
    "English": "January February March April May June July August September October November "
    "December",
}  # fmt: skip


def read_date(text: str) -> str:
    """A written date of any of the languages, by a table of months."""
    figures = [int(number) for number in re.findall(r"\d+", text)]
    if "年" in text:
        return datetime.date(*figures).isoformat()
    day, year = figures
    [month] = {
        number
        for names in MONTHS.values()
        for number, name in enumerate(names.split(), 1)
        if name in re.findall(r"[^\W\d_]+", text)
    }
    return datetime.date(year, month, day).isoformat()


def test_dates_in_words_are_the_dates() -> None:
    for row in family("date_in_words"):
        [written] = re.findall("“(.*)”", row["prompt"])
        assert read_date(written) == row["answer"]
    for row in family("written_date"):
        [asked] = re.findall(r"\d{4}-\d\d-\d\d", row["prompt"])
        assert read_date(row["answer"]) == asked


def test_dates_in_figures_follow_their_country() -> None:
    for row in family("numeric_date"):
        left, right, year = re.findall(r"\d+", row["prompt"])
        month, day = (left, right) if "American" in row["prompt"] else (right, left)
        assert row["answer"] == f"{year}-{month}-{day}"
        assert month != day and int(left) <= 12 and int(right) <= 12


def test_separators_change_and_digits_do_not() -> None:
    signs = {
        "Germany": (".", ","), "France": (" ", ","), "Spain": (".", ","), "Italy": (".", ","),
        "Brazil": (".", ","), "Switzerland": ("’", "."), "India": (",", "."),
        "the United States": (",", "."),
    }  # fmt: skip
    for row in family("local_number") + family("plain_value") + family("local_price"):
        prompt = row["prompt"].replace("\u202f", " ").replace("\u00a0", " ")
        [place] = [name for name in signs if f" {name}" in prompt]
        group, decimal = signs[place]
        local, plain = row["answer"].replace("\u202f", " ").replace("\u00a0", " "), prompt
        if row["family"] == "plain_value":
            local, plain = prompt.split("weight of ")[1].split(" tonnes")[0], row["answer"]
        whole, part = re.sub(r"[^\d.,’ ]", "", local).strip().split(decimal)
        assert re.findall(r"\d+\.\d+", plain)[0] == f"{whole.replace(group, '')}.{part}"
        assert re.fullmatch(r"\d{1,3}(\D\d{2,3})*\D\d{3}", whole)


def test_times_are_the_same_time() -> None:
    def minutes(text: str) -> int:
        hour, minute = map(int, re.findall(r"\d+", text)[:2])
        late = re.search(r"p\.m\.|PM|下午|午後", text)
        twelve = late or re.search(r"a\.m\.|AM|上午|午前", text)
        return (hour % 12 + 12 * bool(late) if twelve else hour) * 60 + minute

    for row in family("twelve_hour_clock") + family("twenty_four_hours"):
        asked = re.sub("24-hour|12-hour|with AM or PM", "", row["prompt"])
        assert minutes(asked) == minutes(row["answer"]), row["prompt"]


SPOKEN = {
    "halb sieben": 630, "halb acht": 730, "halb neun": 830, "halb zehn": 930, "halb elf": 1030,
    "six heures et demie": 630, "sept heures et demie": 730, "huit heures et demie": 830,
    "las ocho menos cuarto": 745, "las nueve menos cuarto": 845, "las siete y media": 730,
    "Viertel nach sechs": 615, "Viertel vor neun": 845, "le otto e mezza": 830,
    "八点半": 830, "八時半": 830, "差一刻九点": 845, "الثامنة والنصف": 830,
}  # fmt: skip


def test_spoken_times_that_a_table_knows() -> None:
    known = 0
    for row in family("spoken_time"):
        hour, minute = map(int, row["answer"].split(":"))
        for words, time in SPOKEN.items():
            if re.search(rf"\b{words}", row["prompt"]):
                assert (hour % 12) * 100 + minute == time % 1200
                known += 1
        late = re.search("abends|du soir|de la noche|di sera|晚上|午後|مساء", row["prompt"])
        assert bool(late) == (hour >= 12)
    assert known >= 3


def east_asian(text: str) -> int:
    """The value of a Chinese or Japanese numeral, digits mixed in or not."""
    for unit, size in (("亿", 10**8), ("億", 10**8), ("万", 10**4)):
        if unit in text:
            left, right = text.split(unit)
            if re.fullmatch(r"[\d.]+", left):
                return round(float(left) * size) + (east_asian(right) if right else 0)
            return east_asian(left) * size + (east_asian(right) if right else 0)
    if text.isdigit() and text.isascii():
        return int(text)
    value = digit = 0
    for char in text:
        if char in "十百千":
            value += (digit or 1) * 10 ** (1 + "十百千".index(char))
            digit = 0
        else:
            digit = int(char) if char.isdecimal() else "零一二三四五六七八九".index(char)
    return value + digit


def test_east_asian_numerals_have_their_value() -> None:
    for row in family("myriads"):
        [written] = re.findall("“(.*)”", row["prompt"])
        assert east_asian(written) == int(row["answer"])
    for row in family("numeral_to_digits"):
        written = row["prompt"].split(": ")[1].split("? ")[0]
        if re.fullmatch(r"[\u4e00-\u9fff]+", written):
            assert east_asian(written) == int(row["answer"])


FRENCH = "un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize"


def read_french(text: str) -> int:
    """The value of a French numeral below 1,000."""
    words = {word: number for number, word in enumerate(FRENCH.split(), 1)}
    words |= {
        "vingt": 20,
        "trente": 30,
        "quarante": 40,
        "cinquante": 50,
        "soixante": 60,
        "huitante": 80,
    }
    value = 0
    for word in re.split("[ -]", re.sub("quatre-vingts?", "huitante", text)):
        if word.startswith("cent"):
            value = (value or 1) * 100
        elif word != "et":
            value += words[word]
    return value


def test_french_numerals_have_their_value() -> None:
    asked = [row for row in family("numeral_to_digits") if "French" in row["prompt"]]
    for row in asked:
        written = row["prompt"].split(": ")[1].split("? ")[0]
        assert read_french(written) == int(row["answer"])
    for row in family("french_numeral"):
        [asked] = re.findall(r"\d+", row["prompt"])
        assert read_french(row["answer"]) == int(asked)


def test_arabic_digits_are_the_same_number() -> None:
    for row in family("arabic_digits"):
        [asked] = re.findall(r"\d{4,}", row["prompt"])
        assert int(asked) == int(row["answer"])
        assert asked.isascii() != row["answer"].isascii()
