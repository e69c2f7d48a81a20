"""Answers to mathematical questions, right and wrong, as models write them."""

from __future__ import annotations

import threading
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evomerge_compiler.scoring import symbolic
from evomerge_compiler.scoring.math import equal, exact, last_number, score

RIGHT = {  # gold, what a model writes
    "bare": ("42", "42"),
    "sentence": ("42", "The answer is 42."),
    "boxed": ("42", "So we get $\\boxed{42}$."),
    "boxed with nested braces": ("3/4", "\\boxed{\\frac{3}{4}}"),
    "boxed with unit": ("42", "The answer is \\boxed{42 \\text{ km}}."),
    "boxed equation": ("5", "\\[ \\boxed{x = 5} \\]"),
    "last of two boxes": ("42", "First \\boxed{40}. Wait, I forgot two. \\boxed{42}"),
    "box repeated and cut": ("42", "\\boxed{42}\n\\boxed{42}\n\\boxed{4"),
    "box before a number": ("42", "\\boxed{42}\n\nThis took 3 steps."),
    "bold marker": ("42", "**Answer:** 42 apples"),
    "marker, number in a later line": ("42", "**Final Answer:**\n\n42"),
    "marker and display": ("42", "The final answer is:\n\\[\n42\n\\]"),
    "gsm8k marker": ("42", "She sells 6 * 7 = 42 eggs.\n#### 42"),
    "heading as a marker": ("42", "### Final Answer\n\n42 eggs in 3 days"),
    "heading of a step": ("42", "#### Step 3: add\n36 + 6 = 42\n\nGood luck!"),
    "answer as a verb": ("42", "To answer this, the first step is 36.\nThen 36 + 6 = 42"),
    "answer to the question": ("42", "The answer to 6 × 7 is **42**, not 40."),
    "marker in bold": ("42", "The **answer** is 42, in 3 days."),
    "Chinese marker": ("42", "因为 6 × 7 = 42，所以答案是42。"),
    "answer repeated and cut": ("42", "The answer is 42. The answer is 42. The answer is"),
    "marker beats later numbers": ("42", "The answer is 42.\nI hope these 3 steps help!"),
    "sum worked out in the answer": ("42", "The answer is 40 + 2 = 42."),
    "reason in brackets behind": ("21", "The answer is 21 (since 3 * 7 = 21)."),
    "thoughts before": ("42", "<think>Is it 40? No: 41?</think>\n\n42"),
    "thoughts without opening tag": ("42", "maybe 40...\n</think>\nThe answer is 42."),
    "last equation": ("42", "6 x 6 = 36\n36 + 6 = 42"),
    "equation with unit and remark": ("42", "So 6*7 = 42 square meters (6 m by 7 m)."),
    "bold in the last line": ("42", "Therefore **42 dollars** are left after 3 days."),
    "last number": ("42", "In 3 days she lays 42 eggs"),
    "code fence": ("42", "```python\nprint(6 * 7)\n```\nOutput: 42"),
    "fenced answer": ("42", "```\n42\n```"),
    "display": ("42", "$$x = 42$$"),
    "unit with exponent": ("42", "The area is 42 cm^2."),
    "unit with superscript": ("42", "The area is 42 m²."),
    "degrees": ("72", "Each angle has $72^\\circ$."),
    "money": ("1234.5", "They pay $1,234.50"),
    "money in LaTeX": ("1234.5", "\\boxed{\\$1{,}234.50}"),
    "minus before money": ("-5", "The change is -$5"),
    "spaces in thousands": ("1234567", "1 234 567 people"),
    "dots in thousands": ("1234567", "1.234.567"),
    "European amount": ("1234.5", "1.234,50 €"),
    "decimal comma that is plain": ("0.75", "0,75"),
    "trailing zeros": ("42", "42.00"),
    "leading point": ("0.5", "x = .5"),
    "Unicode minus": ("-7", "x = −7"),
    "minus apart": ("-7", "x = - 7"),
    "negative in words": ("-7", "The answer is negative 7."),
    "minus at the end of a sentence": ("-3", "The temperature is -3 degrees."),
    "bullet": ("5", "- 5 apples"),
    "full-width digits": ("12", "１２"),
    "Arabic digits": ("3.5", "٣٫٥"),
    "scientific": ("1500000", "1.5e6"),
    "scientific in LaTeX": ("1500000", "$1.5 \\times 10^{6}$"),
    "power of ten": ("1000000", "10^6"),
    "fraction for a decimal": ("0.75", "3/4"),
    "decimal for a fraction": ("3/4", "0.75"),
    "fraction not reduced": ("3/4", "6/8"),
    "dfrac": ("3/4", "\\dfrac{3}{4}"),
    "frac without braces": ("3/4", "\\frac34"),
    "negative fraction": ("-3/4", "-\\frac{3}{4}"),
    "vulgar fraction": ("2.5", "2½"),
    "mixed number": ("5/2", "2 1/2"),
    "mixed number in LaTeX": ("5/2", "2\\frac{1}{2}"),
    "exact, then rounded": ("10/3", "x = 10/3 ≈ 3.33"),
    "percent left out": ("25%", "25"),
    "percent given": ("25%", "The growth is 25 percent."),
    "percent for a decimal": ("0.25", "25%"),
    "same number said twice": ("0.5", "The answer is 1/2 or 0.5."),
    "choice that is made": ("9", "x = 9 or x = -8, so the larger solution is 9."),
    "unit behind an equation": ("42", "The total is 6 * 7 = 42 eggs in 3 days."),
    "side note": ("17", "The answer is 17 dollars for 3 kg."),
    "solution of one unknown": ("6", "Final answer: x=6"),
}

WRONG = {
    "empty": ("42", ""),
    "no number": ("42", "I don't know."),
    "another number": ("42", "The answer is 43."),
    "only in the thoughts": ("42", "<think>The answer is 42"),
    "digits missing": ("42", "The answer is 4"),
    "other sign": ("42", "-42"),
    "factor of ten": ("42", "420"),
    "earlier box": ("40", "\\boxed{40} and then \\boxed{42}"),
    "either, first": ("5", "It is either 5 or 7."),
    "either, last": ("7", "It is either 5 or 7."),
    "two solutions": ("7", "x = 5 or x = 7"),
    "hedge in a box": ("5", "\\boxed{5 \\text{ or } 7}"),
    "list": ("42", "40, 42"),
    "list behind a marker": ("40", "Answer: 40 and 42"),
    "choice that is not made": ("-8", "x = 9 or x = -8"),
    "check in the last line": ("5", "x = 5. Check: 2 * 5 + 3 = 13"),
    "range": ("42", "It is 40-42."),
    "between": ("40", "The answer is between 40 and 42."),
    "sum not worked out": ("40", "The answer is 40 + 2"),
    "product not worked out": ("6", "6 \\times 7"),
    "power not worked out": ("10", "2^10"),
    "factor of pi": ("12", "12\\pi"),
    "factor of a root": ("3", "3\\sqrt{5}"),
    "under a root": ("5", "\\sqrt{5}"),
    "coefficient": ("5", "5x"),
    "in words": ("42", "forty-two"),
    "ambiguous comma": ("3.5", "3,5"),
    "ambiguous list": ("123", "1,2,3"),
    "exponent of a unit": ("2", "the area in cm^2"),
    "index": ("1", "x_1"),
    "ratio": ("2", "3:2"),
    "division by zero": ("0", "1/0"),
    "decimal for percent": ("25%", "0.25"),
    "percent for a number": ("25", "25%"),
    "rounded": ("10/3", "3.33"),
    "last number is another": ("42", "She has 42 eggs and 3 hens."),
    "digits apart": ("42", "4 2"),
}


@pytest.mark.parametrize(("gold", "text"), RIGHT.values(), ids=RIGHT.keys())
def test_right_numbers(gold: str, text: str) -> None:
    assert exact(text, gold)


@pytest.mark.parametrize(("gold", "text"), WRONG.values(), ids=WRONG.keys())
def test_wrong_numbers(gold: str, text: str) -> None:
    assert not exact(text, gold)


@pytest.mark.parametrize(
    ("form", "gold", "text", "right"),
    [
        ("decimal", "0.375", "3/8 = 0.375", True),
        ("decimal", "0.375", "3/8", False),
        ("decimal", "0.375", "37.5%", True),
        ("fraction", "3/8", "\\boxed{\\frac{3}{8}}", True),
        ("fraction", "3/8", "6/16", False),
        ("fraction", "3/8", "0.375", False),
        ("fraction", "11/4", "2 3/4", False),
        ("fraction", "-3/8", "-3/8", True),
        ("mixed", "2 3/4", "$2\\frac{3}{4}$", True),
        ("mixed", "2 3/4", "2 6/8", False),
        ("mixed", "2 3/4", "1 7/4", False),
        ("mixed", "2 3/4", "11/4", False),
        ("mixed", "2 3/4", "11/4 = 2 3/4", True),
        ("mixed", "2 3/4", "2 and 3/4", True),
    ],
)
def test_the_form_that_the_question_asks_for(form: str, gold: str, text: str, right: bool) -> None:
    assert exact(text, gold, form=form) is right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("3.33", True), ("3.333", True), ("10/3", True), ("10/3 ≈ 3.33", True),
        ("3.3", False), ("3.34", False), ("3", False), ("3,33", False),
    ],
)  # fmt: skip
def test_rounding(text: str, right: bool) -> None:
    assert exact(text, "3.33", places=2) is right


def test_a_reference_that_is_no_number_is_an_error() -> None:
    for gold in ("", "x", "3 or 4"):
        with pytest.raises(ValueError, match="one number"):
            exact("3", gold)


def test_last_number() -> None:
    assert last_number("6 * 7 = 42") == 42
    assert last_number("about 12.5%") == Fraction(1, 8)
    assert last_number("5 or 7") is None
    assert last_number("") is None


EQUAL = {  # gold, what a model writes
    "same": ("12\\pi", "12\\pi"),
    "marked formula": ("12\\pi", "The area is $A = 12\\pi$ cm²."),
    "typed pi": ("12\\pi", "12 pi square centimeters"),
    "Unicode pi": ("12\\pi", "**Answer:** 12π cm^2"),
    "prose around": ("12\\pi", "The area of the circle is 12π cm²."),
    "unit in the box": ("12\\pi", "\\boxed{12\\pi \\text{ cm}^2}"),
    "not simplified": ("12\\pi", "24\\pi/2"),
    "chain": ("9\\pi", "$A = \\pi r^2 = \\pi \\cdot 3^2 = 9\\pi$"),
    "rounded behind": ("9\\pi", "9π ≈ 28.27"),
    "fraction of pi": ("\\frac{25\\pi}{3}", "\\boxed{\\frac{25}{3}\\pi}"),
    "root sign": ("2 + \\sqrt{3}", "x = 2 + √3"),
    "typed root": ("2 + \\sqrt{3}", "x = sqrt(3) + 2"),
    "root not simplified": ("3\\sqrt{5}", "The distance is \\sqrt{45}."),
    "denominator": ("\\frac{\\sqrt{2}}{2}", "$\\frac{1}{\\sqrt{2}}$"),
    "line": ("y = 2x + 3", "The line is y = 3 + 2x"),
    "line without y": ("y = 2x + 3", "\\boxed{2x + 3}"),
    "nth term": ("3n + 2", "a_n = 3n + 2"),
    "nth term, steps": ("3n + 2", "The nth term is $a_n = 5 + 3(n-1) = 3n + 2$."),
    "nth term, not simplified": ("3n + 2", "Answer: 5 + 3(n - 1)"),
    "nth term, remark": ("3n + 2", "3n + 2, where n is the position"),
    "code marks": ("3n + 2", "The answer is `3*n + 2`."),
    "stars for power": ("n^2 + 4", "n**2 + 4"),
    "superscript": ("n^2 + 4", "n² + 4"),
    "times sign": ("5 \\cdot 2^{n-1}", "5 × 2^(n − 1)"),
    "subject": ("\\frac{2A}{b}", "h = 2A/b"),
    "unit letter as variable": ("\\frac{y - c}{m}", "$x = \\frac{-c + y}{m}$"),
    "inequality": ("x > 3", "The solution is x > 3."),
    "inequality typed": ("x \\ge 3", "x >= 3"),
    "inequality as an interval": ("x > 3", "$(3, \\infty)$"),
    "set with or": ("\\{1, 2\\}", "x = 1 or x = 2"),
    "set without braces": ("\\{-1, 3\\}", "3, -1"),
    "pair": ("(1, 2)", "\\boxed{(1,2)}"),
    "text": ("\\text{east}", "east"),
    "matrix": (
        "\\begin{pmatrix} -2 \\\\ 1 \\end{pmatrix}",
        "\\boxed{\\begin{pmatrix}-2\\\\1\\end{pmatrix}}",
    ),
    "both signs asked": ("\\pm 2", "x = 2 or x = -2"),
    "other base": ("4210_{5}", "\\boxed{4210_5}"),
    "complex": ("6 - 5i", "\\boxed{-5i + 6}"),
    "union": ("(0,9) \\cup (9,36)", "$(0, 9) \\cup (9, 36)$"),
    "grouped number": ("11,\\! 111", "11111"),
    "number": ("42", "So the answer is 42."),
    "number as a power": ("1024", "$2^{10}$"),
    "decimal": ("\\frac{1}{2}", "0.5"),
    "degrees": ("90^\\circ", "90"),
}

UNEQUAL = {
    "empty": ("12\\pi", ""),
    "prose": ("12\\pi", "I am not sure how to solve this."),
    "rounded": ("12\\pi", "37.7"),
    "without pi": ("12\\pi", "12"),
    "with pi": ("12", "12\\pi"),
    "other factor": ("12\\pi", "\\boxed{6\\pi}"),
    "both signs": ("2 + \\sqrt{3}", "$2 \\pm \\sqrt{3}$"),
    "two answers": ("2 + \\sqrt{3}", "2+√3 or 2-√3"),
    "other sign": ("2 + \\sqrt{3}", "2 - \\sqrt{3}"),
    "other line": ("y = 2x + 3", "y = 3x + 2"),
    "other variable": ("3n + 2", "3m + 2"),
    "other direction": ("x > 3", "x < 3"),
    "strictness": ("x > 3", "x \\ge 3"),
    "half of a set": ("\\{1, 2\\}", "x = 1"),
    "one sign of two": ("\\pm 2", "2"),
    "other base": ("4210_{5}", "4210"),
    "conjugate": ("6 - 5i", "6 + 5i"),
    "pair turned round": ("(1, 2)", "(2, 1)"),
    "repeated": ("3n + 2", "3n + 2" * 40),
    "brackets without end": ("12\\pi", "(" * 250 + "1"),
    "braces without end": ("12\\pi", "\\frac{" * 40),
    "long prose": ("12\\pi", "and so we find that the area is that of the circle " * 50),
    "only in thoughts": ("12\\pi", "<think>12\\pi"),
    "earlier box": ("12\\pi", "\\boxed{12\\pi} no, \\boxed{6\\pi}"),
    "other text": ("\\text{east}", "west"),
    "hedged number": ("42", "42 or 43"),
    "other power": ("n^2 + 4", "n^3 + 4"),
    "function": ("x", "\\sin(x)"),
    "percent sign": ("12\\pi", "12\\pi\\%"),
    "words only": ("12\\pi", "twelve pi"),
    "broken": ("12\\pi", "12\\"),
    "null byte": ("12\\pi", "12\0pi"),
    "emoji": ("12\\pi", "🙂🙂"),
}


@pytest.mark.parametrize(("gold", "text"), EQUAL.values(), ids=EQUAL.keys())
def test_equal_expressions(gold: str, text: str) -> None:
    assert equal(text, gold)


@pytest.mark.parametrize(("gold", "text"), UNEQUAL.values(), ids=UNEQUAL.keys())
def test_unequal_expressions(gold: str, text: str) -> None:
    assert not equal(text, gold)


@pytest.mark.parametrize("text", ["9^{9^{9^{9}}}", "9^{9^{9^{9}}}+\\pi", "(x+1)^{100000}"])
def test_a_tower_of_powers_is_wrong_and_harms_nothing(text: str) -> None:
    assert not equal(text, "12\\pi")
    assert symbolic.same("x (x + 1)", "x^2 + x")


def test_a_thread_may_compare() -> None:
    verdicts: list[bool] = []
    thread = threading.Thread(target=lambda: verdicts.append(equal("2\\pi + \\pi", "3\\pi")))
    thread.start()
    thread.join()
    assert verdicts == [True]


def test_a_judge_that_cannot_work_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation must not look like wrong answers."""
    from evomerge_compiler.errors import MissingPrerequisite

    monkeypatch.setattr(symbolic, "_pool", [])
    monkeypatch.setattr(symbolic.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPrerequisite, match="math-verify"):
        symbolic.same("x + 7 x", "8 x + 0")


def test_scores_of_an_item() -> None:
    row = {"answer": "42", "form": "any", "places": -1}
    assert score(row, ["It is 42."]) == {"exact_match": 1.0, "answered": 1.0}
    assert score(row, ["It is 41."]) == {"exact_match": 0.0, "answered": 1.0}
    assert score(row, ["41 or 42"]) == {"exact_match": 0.0, "answered": 0.0}
    assert score(row, [""]) == {"exact_match": 0.0, "answered": 0.0}
    row = {"answer": "3.33", "form": "any", "places": 2}
    assert score(row, ["3.333"]) == {"exact_match": 1.0, "answered": 1.0}
    row = {"answer": "3/8", "form": "fraction", "places": -1}
    assert score(row, ["6/16"]) == {"exact_match": 0.0, "answered": 1.0}
    row = {"answer": "3\\pi", "form": "symbolic", "places": -1}
    assert score(row, ["The area is 3π."]) == {"exact_match": 1.0, "answered": 1.0}
    assert score(row, ["No idea"]) == {"exact_match": 0.0, "answered": 0.0}


# Pieces of which answers are made: random text alone seldom comes near a formula.
PIECES = [
    *("\\boxed{", "}", "{", "\\frac{", "answer is", "Answer:", "####", "=", "≈", "**", "$", "\n"),
    *("1", "23", "4,567", ".", ",", "/", "-", "−", "+", "%", " or ", " and ", "<think>"),
    *("</think>", "½", "²", "\\pi", "√", "x", "^", "10^", "e9", "1/0", "\\", "cm", "٣", "```"),
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))


@given(TEXTS)
@example("1" * 100_000)
@example("1," * 50_000)
@example("1 / " * 50_000)
@example("\\boxed{" * 50_000)
@example("answer is " * 50_000)
@example("**" * 50_000)
@example("-" * 100_000 + "1")
@example("1e999")
@settings(max_examples=300, deadline=None)
def test_no_text_raises_when_numbers_are_read(text: str) -> None:
    number = last_number(text)
    assert number is None or isinstance(number, Fraction)
    assert score({"answer": "7/13", "form": "fraction", "places": -1}, [text])["answered"] in (
        0,
        1,
    )


@given(TEXTS)
@settings(max_examples=60, deadline=None)
def test_no_text_raises_when_expressions_are_compared(text: str) -> None:
    assert isinstance(equal(text, "12\\pi"), bool)
