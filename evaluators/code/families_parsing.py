"""Families that read small formats."""

from __future__ import annotations

import random

from questions import Question, code, each, family


@family(difficulty=3, repair=True)
def key_value_pairs(rng: random.Random) -> Question:
    outer, inner = rng.choice(((";", "="), (",", ":"), ("&", "="), ("|", ":"), (" ", "=")))
    repeat = rng.choice(("last", "first", "list"))
    number = rng.random() < 0.4
    rules = [f"A part with no {inner!r} in it is left out."]
    rules.append(f"Only the first {inner!r} of a part separates the key from the value.")
    if outer != " ":
        rules.append("Remove spaces around keys and values.")
    rules.append({
        "last": "If a key occurs again, the last value counts.",
        "first": "If a key occurs again, the first value counts.",
        "list": "Each key has the list of all its values, in order.",
    }[repeat])  # fmt: skip
    if number:
        rules.append("A value that is made of the digits 0 to 9 only becomes an int.")
    strip = ".strip()" if outer != " " else ""
    convert = "value = int(value) if value.isdigit() else value\n    " if number else ""
    step = {
        "last": "result[key] = value",
        "first": "result.setdefault(key, value)",
        "list": "result.setdefault(key, []).append(value)",
    }[repeat]
    texts = ["a=1;b=two;a=3", "size=10;name=x=y;junk;size=12", "k = v ; n = 007;k=w", "", "x",
             "=5", "q=", "a=1;;b=2", "p=1;p=1;p=0", "one=1a;two=22;one=b",
             "m=n=o;m=n"]  # fmt: skip
    if outer == " ":
        texts = [text.replace(" ", "") for text in texts]
    texts = [text.replace(";", "\0").replace("=", inner).replace("\0", outer) for text in texts]
    return Question(
        name="parse_pairs",
        arguments="text: str",
        returns="dict",
        task=f"Return a dictionary for a text of parts such as 'a{inner}1{outer}b{inner}2': the "
        f"parts are separated by {outer!r}, and each is a key and a value "
        f"with {inner!r} between.",
        rules=rules,
        body=code("""
            result = {}
            for part in text.split($outer):
                if $inner not in part:
                    continue
                key, value = part.split($inner, 1)
                key, value = key$strip, value$strip
                $convert$step
            return result
            """, outer=repr(outer), inner=repr(inner), strip=strip, convert=convert, step=step),
        calls=each(*texts),
        bugs=[(f"split({inner!r}, 1)", f"rsplit({inner!r}, 1)"),
              (step, {"last": "result.setdefault(key, value)", "first": "result[key] = value",
                      "list": "result[key] = [value]"}[repeat]),
              ("    continue", "    break")],
    )  # fmt: skip


@family(difficulty=4)
def delimited_line(rng: random.Random) -> Question:
    mark, quote = rng.choice((",", ";", "|")), rng.choice(('"', "'"))
    double = rng.random() < 0.5
    strip = rng.random() < 0.4
    shape = rng.choice(("fields", "count", "last"))
    if shape == "count":  # which does not change with what is in the fields
        double = strip = False
    head = {
        "fields": "the list of the fields of `line`",
        "count": "the number of fields in `line`",
        "last": "the last field of `line`",
    }[shape]
    rules = [
        f"Fields are separated by {mark!r}. A field may stand in {quote} marks; inside them "
        f"{mark!r} does not separate, and the marks themselves are not part of the field."
    ]
    if double:
        rules.append(f"Inside a quoted field, {quote * 2} stands for one {quote}.")
    if strip:
        rules.append(
            "Remove spaces at both ends of fields that are not quoted; in a quoted "
            "field they stay. Quotation marks stand directly at the separators."
        )
    rules.append("An empty line is one empty field.")
    doubled = (
        "if quoted and char == QUOTE and line[i + 1:i + 2] == QUOTE:\n"
        "        field += QUOTE\n        i += 1\n    elif"
    )
    ends = "field if was_quoted else field.strip()" if strip else "field"
    body = code("""
        fields, field, quoted, was_quoted = [], "", False, False
        i = 0
        while i < len(line):
            char = line[i]
            $start char == $quote:
                quoted = not quoted
                was_quoted = True
            elif char == $mark and not quoted:
                fields.append($ends)
                field, was_quoted = "", False
            else:
                field += char
            i += 1
        fields.append($ends)
        return $result
        """, start=doubled.replace("QUOTE", repr(quote)) if double else "if",
        quote=repr(quote), mark=repr(mark), ends=ends,
        result={"fields": "fields", "count": "len(fields)", "last": "fields[-1]"}[shape],
    )  # fmt: skip
    if not strip:
        body = (
            body.replace(', was_quoted = [], "", False, False', ' = [], "", False')
            .replace("\n        was_quoted = True", "")
            .replace('field, was_quoted = "", False', 'field = ""')
        )
    lines = ['red,"1,5 m",blue', 'x, y ,"a, b"', 'one,,"two,",three', "", "plain", ",", "a,b,c",
             '"q"', '"",""', ' lead,"  in  ", end ', '"a,b,c,d"', "x,"]  # fmt: skip
    if double:
        lines += ['"say ""hi"", ok",z', '"""",b', 'm,"a "","" b"']
    lines = [line.replace(",", "\0").replace('"', quote).replace("\0", mark) for line in lines]
    return Question(
        name={"fields": "split_line", "count": "count_fields", "last": "last_field"}[shape],
        arguments="line: str",
        returns={"fields": "list[str]", "count": "int", "last": "str"}[shape],
        task=f"Return {head}.",
        rules=rules,
        body=body,
        calls=each(*lines),
    )  # fmt: skip


@family(difficulty=4)
def small_expressions(rng: random.Random) -> Question:
    kind = rng.choice(("left", "normal", "postfix", "prefix"))
    bad = rng.choice(("None", "0"))
    ops = rng.choice(("+ and -", "- and *", "+ and *"))
    signs = ops.replace(",", "").replace("and", "").split()
    table = ", ".join(f'"{sign}": lambda a, b: a {sign} b' for sign in signs)
    empty = f"For an empty text, return {bad}."
    returns = "int | None" if bad == "None" else "int"
    star = "*" in signs
    a, b = (signs[0], signs[-1])
    if kind in ("left", "normal"):
        rule = ("Work strictly from left to right, so all operators bind equally: "
                f"'2 {a} 3 {b} 4' is computed as (2 {a} 3) {b} 4." if kind == "left" else
                "Multiplication binds more strongly than the others." if star else
                "The operators bind equally, from left to right.")  # fmt: skip
        texts = [
            f"2 {a} 3 {b} 4",
            f"10 {b} 2 {a} 7 {b} 3",
            f"6 {a} 5",
            "",
            "8",
            f"0 {b} 9",
            f"1 {a} 2 {a} 3",
            f"5 {b} 5 {b} 5",
            f"12 {a} 3 {b} 2 {a} 1",
            f"100 {b} 1 {a} 1",
        ]
        if kind == "left" or not star:
            body = code("""
                if not text:
                    return $bad
                operators = {$table}
                parts = text.split()
                value = int(parts[0])
                for i in range(1, len(parts), 2):
                    value = operators[parts[i]](value, int(parts[i + 1]))
                return value
                """, bad=bad, table=table)  # fmt: skip
        else:
            body = code("""
                if not text:
                    return $bad
                parts = text.split()
                terms = [int(parts[0])]
                for sign, number in zip(parts[1::2], parts[2::2]):
                    if sign == "*":
                        terms[-1] *= int(number)
                    else:
                        terms.append(int(number) if sign == "+" else -int(number))
                return sum(terms)
                """, bad=bad)  # fmt: skip
        task = (f"Return the value of `text`, an expression of whole numbers and the operators "
                f"{ops}, with a space between all parts.")  # fmt: skip
    else:
        post = kind == "postfix"
        task = (f"Return the value of `text`, an expression in {'postfix' if post else 'prefix'} "
                f"notation: the operators {ops} stand {'after' if post else 'before'} their two "
                "operands, and spaces separate all parts.")  # fmt: skip
        rule = f"So '{'7 2 ' + b if post else b + ' 7 2'}' means 7 {b} 2."
        texts = [f"7 2 {b} 3 {a}", f"4 5 6 {a} {b}", f"9 1 {a} 2 2 {b} {a}", "", "5", f"1 2 {b}",
                 f"0 8 {b}", f"3 3 {a} 3 {a}", f"10 2 1 {b} {b}", f"12 5 {b} 5 {a}"]  # fmt: skip
        if not post:
            texts = [
                f"{a} {b} 7 2 3",
                f"{b} 4 {a} 5 6",
                f"{a} {a} 9 1 {b} 2 2",
                "",
                "5",
                f"{b} 1 2",
                f"{b} 0 8",
                f"{a} 3 {a} 3 3",
                f"{b} 10 {b} 2 1",
                f"{a} {b} 12 5 5",
            ]
        body = code("""
            if not text:
                return $bad
            operators = {$table}
            stack = []
            for part in $parts:
                if part in operators:
                    $pops
                    stack.append(operators[part](a, b))
                else:
                    stack.append(int(part))
            return stack[0]
            """, bad=bad, table=table, parts="text.split()" if post else "reversed(text.split())",
            pops="b, a = stack.pop(), stack.pop()" if post else
            "a, b = stack.pop(), stack.pop()")  # fmt: skip
    return Question(
        name={"left": "calculate", "normal": "evaluate"}.get(kind, f"evaluate_{kind}"),
        arguments="text: str",
        returns=returns,
        task=task,
        rules=[rule, empty],
        body=body,
        calls=each(*texts),
    )


@family(difficulty=3)
def fill_template(rng: random.Random) -> Question:
    left, right = rng.choice((("{", "}"), ("<", ">"), ("[[", "]]"), ("%", "%")))
    missing = rng.choice(("keep", "name", "default"))
    space = rng.random() < 0.5
    rules = [{
        "keep": "A placeholder whose name is not in `values` stays as it is.",
        "name": "A placeholder whose name is not in `values` is replaced by its name in upper "
        "case.",
        "default": f"A placeholder may give a default after a bar, as in {left}name|you{right}: "
        "it is used if the name is not in `values`. Without a default, an empty string is used.",
    }[missing]]  # fmt: skip
    rules.append(
        f"Spaces next to the marks are allowed: {left} name {right} is the same as "
        f"{left}name{right}."
        if space
        else f"There are no spaces in it: {left} name {right} is not a placeholder."
    )
    bar = r"(?:\|([a-z ]*))?" if missing == "default" else ""
    gap = " *" if space else ""
    pattern = f"{re_escape(left)}{gap}([a-z]+){gap}{bar}{re_escape(right)}"
    value = {
        "keep": "match[0]", "name": "match[1].upper()", "default": 'match[2] or ""',
    }[missing]  # fmt: skip

    def t(text: str) -> str:
        return text.replace("<", "\0").replace(">", "\1").replace("\0", left).replace("\1", right)

    known = {"name": "Ada", "city": "Rome", "x": "7"}
    texts = ["Hi <name>, is <city> nice? <who>", "<x> of <y> in <city>", "<name>:<who><name>"]
    more = ["", "plain", "<name>", "<nobody>", "a <x>b<x>c", "< name > and <city >", "< who>"]
    if missing == "default":
        texts[0] = "Hi <name|you>, meet <who|them>"
        more += ["<who|a b>", "<city|none>", "<zip|>"]
    return Question(
        name="fill_in",
        arguments="text: str, values: dict[str, str]",
        returns="str",
        task=f"Return `text` with each placeholder such as {left}name{right} replaced by "
        'values["name"].',
        rules=["Names are made of the letters a to z.", *rules],
        body=f"import re\n\ndef value_of(match):\n    return values.get(match[1], {value})\n\n"
        f"return re.sub(r\"{pattern}\", value_of, text)",
        calls=[*([t(text), known] for text in texts + more), [t("<name>"), {}],
               [t("<a>-<b>-<a>"), {"a": "1", "b": "2"}]],
    )  # fmt: skip


def re_escape(mark: str) -> str:
    """Like ``re.escape``, but only of what has to be escaped."""
    return mark.replace("[", r"\[").replace("{", r"\{").replace("}", r"\}")
