"""Answers in many languages as models write them, and what each is worth."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evomerge_compiler.scoring import languages, multilingual

Row = dict[str, Any]


def translation(code: str, *references: str, contrasts: tuple[str, ...] = ("x",)) -> Row:
    return {
        "target_language": code,
        "references": json.dumps(references),
        "contrasts": json.dumps(contrasts),
    }


FR = translation(
    "fr",
    "J'ai laissé mon passeport dans le taxi ce matin.",
    "J'ai oublié mon passeport dans le taxi ce matin.",
)
DE = translation("de", "Wie viel kostet das weiße Hemd im Schaufenster?")
EN = translation("en", "The train to Rome leaves at ten o'clock.")
JA = translation("ja", "母は毎朝コーヒーを飲みます。")
ZH = translation("zh", "请问，从这里怎么去火车站？")
AR = translation("ar", "شكرًا جزيلًا على الدعوة. آمل أن أراك مرة أخرى قريبًا.")

FRENCH = "J'ai laissé mon passeport dans le taxi ce matin."
ENGLISH = "I left my passport in the taxi this morning."
FULL_MARKS = {
    "bare": (FR, FRENCH),
    "another reference": (FR, "J'ai oublié mon passeport dans le taxi ce matin."),
    "typographic apostrophe": (FR, FRENCH.replace("'", "’")),
    "quotation marks": (FR, f'"{FRENCH}"'),
    "guillemets": (FR, f"« {FRENCH} »"),
    "a label": (FR, f"Translation: {FRENCH}"),
    "a bold label": (FR, f"**French translation:** {FRENCH}"),
    "a label of its own line": (FR, f"Here is the translation:\n\n{FRENCH}"),
    "a label in French": (FR, f"Voici la traduction :\n\n{FRENCH}"),
    "an announcement without a colon": (FR, f"Sure, here is the translation!\n\n{FRENCH}"),
    "within an English sentence": (FR, f'In French, one would say "{FRENCH}".'),
    "a note afterwards": (FR, f"{FRENCH}\n\nNote: 'laisser' is the usual verb here."),
    "a French note afterwards": (FR, f"{FRENCH}\n\nRemarque : on dit aussi oublier."),
    "an English explanation": (FR, f"{FRENCH}\n\nThis is the natural way to say it in France."),
    "the source first": (FR, f"{ENGLISH}\n{FRENCH}"),
    "source and translation labelled": (FR, f"English: {ENGLISH}\nFrench: {FRENCH}"),
    "an arrow": (FR, f"{ENGLISH} → {FRENCH}"),
    "a fence": (FR, f"```text\n{FRENCH}\n```"),
    "thoughts": (FR, f"<think>taxi is masculine</think>\n{FRENCH}"),
    "said twice": (FR, f"{FRENCH}\n\n{FRENCH}"),
    "a list mark": (FR, f"- {FRENCH}"),
    "ss for ß is nearly right": (DE, "Wie viel kostet das weiße Hemd im Schaufenster?"),
    "interjection in English": (EN, "Sure!\n\nThe train to Rome leaves at ten o'clock."),
    "romanisation in brackets": (
        JA,
        "母は毎朝コーヒーを飲みます。(Haha wa maiasa kōhī o nomimasu.)",
    ),
    "romanisation on a line": (
        JA,
        "母は毎朝コーヒーを飲みます。\nHaha wa maiasa kōhī o nomimasu.",
    ),
    "corner brackets": (JA, "「母は毎朝コーヒーを飲みます。」"),
    "half-width punctuation": (ZH, "请问,从这里怎么去火车站?"),
    "pinyin": (
        ZH,
        "请问，从这里怎么去火车站？\n\nPinyin: Qǐngwèn, cóng zhèlǐ zěnme qù huǒchēzhàn?",
    ),
    "full tashkeel": (AR, "شُكْرًا جَزِيلًا عَلَى الدَّعْوَةِ. آمَلُ أَنْ أَرَاكَ مَرَّةً أُخْرَى قَرِيبًا."),
    "no tashkeel": (AR, "شكرا جزيلا على الدعوة. آمل أن أراك مرة أخرى قريبا."),
}
NO_MARKS = {
    "nothing": (FR, ""),
    "the source": (FR, ENGLISH),
    "a thought that never ends": (FR, f"<think>{FRENCH}"),
    "another language": (FR, "Ho lasciato il mio passaporto nel taxi stamattina."),
    "a near language": (
        translation("pt", "Meu pai trabalha em Londres há cinco anos."),
        "Mi padre lleva cinco años trabajando en Londres.",
    ),
    "two renderings on two lines": (FR, f"1. {FRENCH}\n2. {FRENCH.replace('laissé', 'oublié')}"),
    "two renderings apart": (
        FR,
        f"{FRENCH}\n\nOr:\n\nCe matin, j'ai laissé mon passeport dans le taxi.",
    ),
    "two renderings and a slash": (FR, f"{FRENCH} / J'ai perdu mon passeport dans le taxi."),
    "a loop on one line": (FR, f"{FRENCH} " * 40),
    "a refusal": (FR, "I cannot translate this sentence."),
    "numbers only": (FR, "12345"),
    "Chinese for Japanese": (JA, "母亲每天早上都喝咖啡。"),
    "Japanese for Chinese": (ZH, "すみません、ここから駅までどう行けばいいですか。"),
    "romanised only": (JA, "Haha wa maiasa kōhī o nomimasu."),
    "pinyin only": (ZH, "Qǐngwèn, cóng zhèlǐ zěnme qù huǒchēzhàn?"),
    "Arabic in Latin letters": (AR, "Shukran jazilan ala al-da'wa."),
}


@pytest.mark.parametrize(("row", "text"), FULL_MARKS.values(), ids=FULL_MARKS)
def test_the_translation_is_found(row: Row, text: str) -> None:
    full = {"score": 1.0, "correct": 1.0, "right_language": 1.0}
    assert multilingual.score_translation(row, [text]) == full


@pytest.mark.parametrize(("row", "text"), NO_MARKS.values(), ids=NO_MARKS)
def test_what_is_no_translation_scores_nothing(row: Row, text: str) -> None:
    verdict = multilingual.score_translation(row, [text])
    assert verdict["score"] == verdict["correct"] == 0


@pytest.mark.parametrize(
    ("row", "text", "correct"),
    [
        (FR, "J'ai laissé mon passeport dans un taxi aujourd'hui.", 1),
        (FR, "Mon passeport est dans la voiture.", 0),
        (DE, "Wieviel kostet das weisse Hemd im Schaufenster", 1),
        (DE, "Das Hemd ist sehr teuer.", 0),
        (JA, "私の母は毎朝コーヒーを飲みます。", 1),
        (JA, "父はお茶が好きです。", 0),
        (ZH, "请问从这里怎么去车站？", 1),
        (ZH, "我不知道火车几点开。", 0),
    ],
    ids=[
        "small change", "other sense", "spelling", "other sense, German",
        "one word more", "other sense, Japanese", "no comma", "other sense, Chinese",
    ],
)  # fmt: skip
def test_a_translation_is_worth_its_chrf(row: Row, text: str, correct: int) -> None:
    verdict = multilingual.score_translation(row, [text])
    assert 0 < verdict["score"] < 1
    assert (verdict["correct"], verdict["right_language"]) == (correct, 1)


def test_one_wrong_word_is_not_correct() -> None:
    row = translation(
        "en",
        "The children are playing with the dog in the park.",
        contrasts=("The children are playing with the cat in the park.",),
    )
    verdict = multilingual.score_translation(
        row, ["The kids are playing with the cat in the park."]
    )
    assert verdict["score"] > 0.6 and verdict["correct"] == 0
    verdict = multilingual.score_translation(
        row, ["The kids are playing with the dog in the park."]
    )
    assert verdict["score"] > 0.6 and verdict["correct"] == 1


def question(accepted: list[str], others: list[str]) -> Row:
    return {"accepted": json.dumps(accepted), "others": json.dumps(others)}


MONDAY = question(["lundi"], ["mardi", "mercredi", "jeudi"])
ATHENS = question(["Athènes"], ["Vienne", "Genève"])
AGE = question(["75"], [])
JANUARY = question(["一月", "1月"], ["三月", "五月", "十月"])
TRAIN = question(["電車で", "電車", "列車"], ["バスで", "バス", "歩いて"])
TUESDAY = question(["الثلاثاء"], ["الاثنين", "الأربعاء"])
TOWN = question(["München"], ["Wien", "Genf"])

ANSWERED = {
    "one word": (MONDAY, "lundi"),
    "capital and full stop": (MONDAY, "Lundi."),
    "a sentence": (MONDAY, "Le magasin est fermé le lundi."),
    "a label": (MONDAY, "Réponse : lundi"),
    "an English label": (MONDAY, "The answer is: **lundi**"),
    "reasons before the label": (MONDAY, "Open on mardi and jeudi, so...\n\nAnswer: lundi"),
    "thoughts": (MONDAY, "<think>mardi? no</think>lundi"),
    "a fence": (MONDAY, "```\nlundi\n```"),
    "said again": (MONDAY, "lundi\nlundi\nlundi"),
    "bold": (MONDAY, "**lundi**"),
    "accents left out": (ATHENS, "Athenes"),
    "umlaut left out": (TOWN, "Munchen"),
    "composed otherwise": (TOWN, "Mu\u0308nchen"),
    "a number": (AGE, "75"),
    "a number with its unit": (AGE, "75 ans"),
    "full-width digits": (AGE, "７５"),
    "Arabic digits": (AGE, "٧٥"),
    "a number in Chinese": (AGE, "她今年75岁。"),
    "a Chinese month": (JANUARY, "一月"),
    "a month in digits": (JANUARY, "在1月举行。"),
    "Japanese with a particle": (TRAIN, "電車で行きました。"),
    "an Arabic weekday": (TUESDAY, "يوم الثلاثاء"),
    "Arabic with tashkeel": (TUESDAY, "الثُّلَاثَاء"),
}
NOT_ANSWERED = {
    "nothing": (MONDAY, ""),
    "another value": (MONDAY, "mardi"),
    "two values": (MONDAY, "lundi ou mardi"),
    "a list": (MONDAY, "lundi, mardi, mercredi, jeudi"),
    "wrong language": (MONDAY, "Monday"),
    "denied": (MONDAY, "Pas le lundi."),
    "within another word": (question(["rot"], ["blau"]), "Brot"),
    "not known": (MONDAY, "Je ne sais pas."),
    "a longer number": (AGE, "175"),
    "a decimal": (AGE, "75.5"),
    "two numbers": (AGE, "75 or 76"),
    "a sum": (AGE, "She is 70 and 5 years"),
    "number words": (AGE, "soixante-quinze"),
    "another month that ends so": (JANUARY, "十一月"),
    "another month in digits": (JANUARY, "11月"),
    "Japanese denied": (TRAIN, "電車ではなく飛行機です"),
    "the whole text": (MONDAY, "Le magasin est fermé le lundi. " * 30),
    "a thought that never ends": (MONDAY, "<think>lundi"),
    "an Arabic neighbour": (TUESDAY, "يوم الأربعاء"),
    "the label decides": (MONDAY, "lundi is possible\nAnswer: mardi"),
}


@pytest.mark.parametrize(
    ("row", "text", "score"),
    [(*case, 1.0) for case in ANSWERED.values()]
    + [(*case, 0.0) for case in NOT_ANSWERED.values()],
    ids=[*ANSWERED, *(f"no: {name}" for name in NOT_ANSWERED)],
)
def test_questions(row: Row, text: str, score: float) -> None:
    assert multilingual.score_question_answering(row, [text])["score"] == score


def convention(form: str, prompt: str, *accepted: str) -> Row:
    return {"form": form, "prompt": prompt, "accepted": json.dumps(accepted)}


GERMAN = convention("figures", "Write the number 1234567.8", "1.234.567,8", "1 234 567,8")
FRENCH_PRICE = convention("figures", "A price is 1495.36", "1 495,36 €", "1 495,36€")
DATE = convention("figures", "dated 03.04.2021", "2021-04-03")
LONG_DATE = convention("figures", "Write the date 2021-08-03", "3 août 2021")
CLOCK = convention("figures", "leaves at 14:41", "2:41 PM", "2:41PM", "2:41 p.m.")
WORDS = convention("words", "Spell the number 97", "quatre-vingt-dix-sept")
SCRIPT = convention("script", "Write the number 2047", "٢٠٤٧")

RIGHT_FORMS = {
    "bare": (GERMAN, "1.234.567,8"),
    "narrow spaces": (GERMAN, "1\u202f234\u202f567,8"),
    "full stop": (GERMAN, "1.234.567,8."),
    "in code": (GERMAN, "`1.234.567,8`"),
    "with the number repeated": (GERMAN, "1234567.8 is written 1.234.567,8 in Germany."),
    "a price with NBSP": (FRENCH_PRICE, "1\u202f495,36\u00a0€"),
    "a price in a sentence": (FRENCH_PRICE, "Le prix est 1 495,36 €."),
    "a date": (DATE, "2021-04-03"),
    "a date with its reason": (DATE, "03.04.2021 is the 3rd of April, so 2021-04-03."),
    "a French date": (LONG_DATE, "le 3 Août 2021"),
    "a time": (CLOCK, "2:41 PM"),
    "small letters": (CLOCK, "2:41 pm"),
    "dots": (CLOCK, "It is 2:41 p.m."),
    "words": (WORDS, "Quatre-vingt-dix-sept."),
    "words without hyphens": (WORDS, "quatre vingt dix sept"),
    "words in quotes": (WORDS, 'In French, 97 is written "quatre-vingt-dix-sept".'),
    "words behind is": (WORDS, "97 in French is quatre-vingt-dix-sept."),
    "words and a remark": (WORDS, "quatre-vingt-dix-sept\n\nIn Belgium people count otherwise."),
    "Arabic digits": (SCRIPT, "٢٠٤٧"),
    "Arabic digits in a sentence": (SCRIPT, "2047 is ٢٠٤٧."),
}
WRONG_FORMS = {
    "nothing": (GERMAN, ""),
    "English separators": (GERMAN, "1,234,567.8"),
    "no separators": (GERMAN, "1234567,8"),
    "two forms": (GERMAN, "1.234.567,8 or 1,234,567.8"),
    "part of a longer number": (GERMAN, "11.234.567,8"),
    "more decimals": (GERMAN, "1.234.567,85"),
    "a price the American way": (FRENCH_PRICE, "€1,495.36"),
    "day and month exchanged": (DATE, "2021-03-04"),
    "both dates": (DATE, "2021-04-03 or 2021-03-04"),
    "no accent in the month": (LONG_DATE, "3 aout 2021"),
    "another day": (LONG_DATE, "13 août 2021"),
    "the other half": (CLOCK, "2:41 AM"),
    "no half": (CLOCK, "2:41"),
    "digits for words": (WORDS, "97"),
    "a longer numeral": (WORDS, "mille quatre-vingt-dix-sept"),
    "misspelled": (WORDS, "quatre-vingts-dix-sept"),
    "Belgian": (WORDS, "nonante-sept"),
    "two numerals": (WORDS, "quatre-vingt-dix-sept ou quatre-vingt-sept"),
    "two numerals on two lines": (WORDS, "quatre-vingt-dix-sept\nquatre-vingt-sept"),
    "plain digits for Arabic ones": (SCRIPT, "2047"),
    "Persian digits": (SCRIPT, "۲۰۴۷"),
    "Arabic digits reversed": (SCRIPT, "٧٤٠٢"),
}


@pytest.mark.parametrize(
    ("row", "text", "score"),
    [(*case, 1.0) for case in RIGHT_FORMS.values()]
    + [(*case, 0.0) for case in WRONG_FORMS.values()],
    ids=[*RIGHT_FORMS, *(f"no: {name}" for name in WRONG_FORMS)],
)
def test_conventions(row: Row, text: str, score: float) -> None:
    assert multilingual.score_conventions(row, [text])["score"] == score


SAMPLES = {
    "one word": (["Dutch"], "Dutch", 1),
    "a sentence": (["Dutch"], "The sentence is written in Dutch.", 1),
    "bold and small": (["Dutch"], "**dutch**", 1),
    "Flemish": (["Dutch"], "Flemish", 1),
    "Mandarin": (["Chinese"], "Mandarin Chinese", 1),
    "script in brackets": (["Chinese"], "Chinese (Simplified)", 1),
    "Farsi": (["Persian"], "Farsi (Persian)", 1),
    "Brazilian": (["Portuguese"], "Brazilian Portuguese", 1),
    "a translation afterwards": (["Dutch"], 'Dutch. In English it means "see you".', 1),
    "a relative mentioned later": (["Dutch"], "It is Dutch.\nThe words resemble German.", 1),
    "romanised": (["Hindi"], "Hindi, written in Latin letters", 1),
    "the sample quoted": (["Dutch"], 'The phrase "English tea" is Dutch.', 1),
    "a label": (["Dutch"], "Looks like German at first.\nAnswer: Dutch", 1),
    "thoughts": (["Dutch"], "<think>German? Danish?</think>Dutch", 1),
    "a pair": (["French", "Polish"], "French, Polish", 1),
    "a pair in a sentence": (["French", "Polish"], "The first is French and then Polish.", 1),
    "a pair on lines": (["French", "Polish"], "1. French\n2. Polish", 1),
    "nothing": (["Dutch"], "", 0),
    "another": (["Dutch"], "German", 0),
    "a choice": (["Dutch"], "Dutch or German", 0),
    "a list": (["Dutch"], "Dutch, German, Danish", 0),
    "second thoughts": (["Dutch"], "Dutch. It could also be German.", 0),
    "corrected": (["Dutch"], "Dutch. Actually, it is German.", 0),
    "denied": (["Dutch"], "It is not Dutch.", 0),
    "own name": (["Dutch"], "Nederlands", 0),
    "family": (["Dutch"], "a Germanic language", 0),
    "within a word": (["Lao"], "Laotian", 0),
    "Cantonese": (["Chinese"], "Cantonese", 0),
    "pair in the wrong order": (["French", "Polish"], "Polish, French", 0),
    "half a pair": (["French", "Polish"], "French", 0),
    "a pair and more": (["French", "Polish"], "French, Polish, Czech", 0),
}


@pytest.mark.parametrize(("names", "text", "score"), SAMPLES.values(), ids=SAMPLES)
def test_language_names(names: list[str], text: str, score: float) -> None:
    row = {"languages": json.dumps(names)}
    assert multilingual.score_language_id(row, [text])["score"] == score


@pytest.mark.parametrize(
    ("text", "answer", "same"),
    [
        ("manzana\n", "manzana", True),
        ("corazo\u0301n", "corazón", True),
        ("<think>x</think> sal", "sal", True),
        ("Manzana", "manzana", False),
        ("corazon", "corazón", False),
        ("", "manzana", False),
    ],
)
def test_exact(text: str, answer: str, same: bool) -> None:
    assert multilingual.exact(text, answer) is same


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("pt", "O trem está atrasado outra vez."),
        ("es", "El tren llega tarde otra vez."),
        ("it", "Il treno è di nuovo in ritardo."),
        ("zh", "火车又晚点了。"),
        ("ja", "電車がまた遅れています。"),
        ("ar", "تأخر القطار مرة أخرى."),
    ],
)
def test_a_language_is_only_itself(code: str, text: str) -> None:
    assert [name for name in languages.NAMES if languages.is_in(text, name)] == [code]


ROWS: list[tuple[str, Row]] = [
    ("score_translation", FR),
    ("score_translation", JA),
    ("score_question_answering", MONDAY),
    ("score_question_answering", AGE),
    ("score_conventions", GERMAN),
    ("score_conventions", WORDS),
    ("score_conventions", SCRIPT),
    ("score_language_id", {"languages": '["Dutch"]'}),
]
NOISE = st.text() | st.text(alphabet='"“”()[]`*<think>/:\n 12.,٣三.répone:Dutch', max_size=200)


@given(text=NOISE)
@settings(max_examples=60, deadline=None)
def test_no_text_raises(text: str) -> None:
    for name, row in ROWS:
        verdict = getattr(multilingual, name)(row, [text])
        assert all(0.0 <= value <= 1.0 for value in verdict.values())


@pytest.mark.parametrize(
    "piece",
    ["a", "(", '"', "lundi ", "1.", "**", "```\n", "三", "answer: ", "<think>", "x\n\n", "\ud800"],
)
@pytest.mark.parametrize(("name", "row"), ROWS, ids=[f"{n}-{i}" for i, (n, _) in enumerate(ROWS)])
def test_a_runaway_answer_is_judged(name: str, row: Row, piece: str) -> None:
    assert getattr(multilingual, name)(row, [piece * 100_000])["score"] < 1
