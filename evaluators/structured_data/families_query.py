"""What paths, references and patches give."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from lexicon import CITIES, dealt
from tasks import ITEMS_PER_FAMILY, family
from themes import Record, course, nested, other_value, records, shop, travel
from writers import as_compact_json, as_json, fence

from evomerge_compiler.scoring.authoring import Item

Path = tuple[Any, ...]


def _item(prompt: str, form: str, value: Any, choices: list[str] | None = None,
          source: Any = None) -> Item:  # fmt: skip
    fields = {
        "form": form,
        "value": json.dumps(value, ensure_ascii=False),
        "choices": json.dumps(sorted(set(choices or [])), ensure_ascii=False),
        "source": "" if source is None else json.dumps(source, ensure_ascii=False),
    }
    answer = as_json(value) if form == "json" else str(value)
    return Item(prompt, answer, fields)


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, (dict, list)):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            yield from _leaves(item, (*path, key))
    else:
        yield path, value


def _scalar(prompt: str, value: Any, document: Any) -> Item:
    """An item about one scalar; the other strings of the document are the wrong choices."""
    if isinstance(value, str):
        strings = [leaf for _, leaf in _leaves(document) if isinstance(leaf, str)]
        return _item(prompt, "text", value, strings)
    return _item(prompt, "number", value)


def _dotted(path: Path) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def _is_telling(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


@family("query", difficulty=1, items=ITEMS_PER_FAMILY)
def json_lookup(rng: random.Random) -> Item:
    """A path with keys and positions, which count from 0."""
    document = nested(rng)
    deep = [(path, leaf) for path, leaf in _leaves(document)
            if len(path) > 1 and _is_telling(leaf)]  # fmt: skip
    path, value = rng.choice(deep)
    shown = fence("json", rng.choice((as_json, as_compact_json))(document))
    kind = "value" if isinstance(value, str) else "number"
    prompt = rng.choice((
        f"{shown}\n\nWhat is the value of `{_dotted(path)}` in this JSON? Array positions start "
        f"at 0. Answer with the {kind} only.",
        f"Look up `{_dotted(path)}` in the JSON below; the first element of an array is number "
        f"0. Reply with the {kind} only.\n\n{shown}",
    ))  # fmt: skip
    return _scalar(prompt, value, document)


@family("query", difficulty=3, items=ITEMS_PER_FAMILY)
def jsonpath(rng: random.Random) -> Item | None:
    """Wildcards, slices and filters, as RFC 9535 defines them."""
    found = records(rng, 5)
    first = found[0]
    shown_key = rng.choice([key for key in first if not isinstance(first[key], bool)])
    number = [k for k, v in first.items()
              if isinstance(v, (int, float)) and not isinstance(v, bool)][-1]  # fmt: skip
    flag = list(first)[-1]
    kind = rng.randrange(4)
    if kind == 0:
        start = rng.randint(0, 2)
        stop = rng.randint(start + 2, 5)
        chosen, selector = found[start:stop], f"[{start}:{stop}]"
    elif kind == 1:
        chosen, selector = found[-2:], "[-2:]"
    elif kind == 2:
        limit = int(sorted(record[number] for record in found)[2])
        chosen = [record for record in found if record[number] > limit]
        selector = f"[?@.{number} > {limit}]"
    else:
        wanted = rng.random() < 0.5
        chosen = [record for record in found if record[flag] is wanted]
        selector = f"[?@.{flag} == {json.dumps(wanted)}]"
    if not 2 <= len(chosen) <= 4:
        return None
    path = f"$.entries{selector}.{shown_key}"
    prompt = rng.choice((
        "Evaluate a JSONPath expression (RFC 9535) on this document.\n\n"
        f"{fence('json', as_compact_json({'entries': found}))}\n\nExpression: `{path}`\n\n"
        "Reply with the JSON array of the selected values, in document order, and nothing else.",
        f"{fence('json', as_compact_json({'entries': found}))}\n\nWhich values does the JSONPath "
        f"`{path}` select? Write them as one JSON array in document order and add nothing.",
    ))  # fmt: skip
    return _item(prompt, "json", [record[shown_key] for record in chosen])


@family("query", difficulty=3, items=ITEMS_PER_FAMILY)
def json_pointer(rng: random.Random) -> Item | None:
    """Where a value stands, as RFC 6901 writes it."""
    document = rng.choice((travel, shop, course))(rng)
    leaves = list(_leaves(document))
    path, value = rng.choice([(p, v) for p, v in leaves if len(p) > 1 and _is_telling(v)])
    if sum(leaf == value for _, leaf in leaves) > 1:
        return None
    pointers = ["/" + "/".join(map(str, p)) for p, _ in leaves]
    prompt = (
        f"{fence('json', as_compact_json(document))}\n\nWhich JSON Pointer (RFC 6901) leads to "
        f"the value {json.dumps(value, ensure_ascii=False)}? Pointers look like `/key/0/other`, "
        "and positions in arrays start at 0. Answer with the pointer only."
    )
    return _item(prompt, "text", "/" + "/".join(map(str, path)), pointers)


_STAGES = ("staging", "production", "preview", "nightly", "canary", "demo")


@family("query", difficulty=4, items=ITEMS_PER_FAMILY)
def yaml_merge(rng: random.Random) -> Item:
    """Anchors and merge keys: own keys win over merged ones."""
    first, second = rng.sample(_STAGES, 2)
    settings = {
        "host": f"{rng.choice(CITIES).lower()}.example",
        "port": rng.randint(2000, 9000),
        "retries": rng.randint(2, 6),
        "timeout": rng.choice((10, 15, 20, 30, 45)),
    }
    changes: Record = {
        "host": f"{rng.choice(CITIES).lower()}.test",
        "port": settings["port"] + rng.randint(1, 90),
        "retries": settings["retries"] + rng.randint(1, 4),
        "timeout": settings["timeout"] * 2,
    }
    own = sorted(rng.sample(list(settings), 2))
    chained = rng.random() < 0.5
    extra = {"port": changes["port"] + 100} if chained else {"retries": 9}
    lines = ["defaults: &defaults", *(f"  {k}: {v}" for k, v in settings.items())]
    lines += [f"{first}: &{first}", "  <<: *defaults", *(f"  {k}: {changes[k]}" for k in own)]
    lines += [f"{second}:", f"  <<: *{first if chained else 'defaults'}"]
    lines += [f"  {k}: {v}" for k, v in extra.items()]
    one = {**settings, **{key: changes[key] for key in own}}
    merged: Record = {"defaults": settings, first: one}
    merged[second] = {**(one if chained else settings), **extra}
    stage, key = rng.choice((first, second)), rng.choice(list(settings))
    block = fence("yaml", "\n".join(lines))
    prompt = rng.choice((
        f"{block}\n\nWhen this YAML is loaded with merge keys (`<<`) applied, what is the value "
        f"of `{stage}.{key}`? Answer with the value only.",
        f"This configuration uses YAML anchors and merge keys.\n\n{block}\n\nAfter merging, what "
        f"is `{key}` in `{stage}`? Reply with the value only.",
    ))  # fmt: skip
    return _scalar(prompt, merged[stage][key], [merged])


# Plain or quoted scalars and collections, by the type that the core schema of YAML 1.2 gives.
_TYPED = {
    "string": ("no", "on", '"42"', "'true'", "12:30", "2024-05-01", "1.2.3", "'null'", "yes"),
    "number": ("42", "1.10", "-7", "1e3", "0x1F", ".5"),
    "boolean": ("true", "false", "True", "FALSE"),
    "null": ("null", "~", "Null", ""),
    "array": ("[1, 2]", "[]", "[no]", "[true, false]"),
    "object": ("{a: 1}", "{}", "{on: off}"),
}
_TYPED_KEYS = ("alpha", "beta", "gamma", "delta", "omega", "sigma", "kappa", "theta")


@family("query", difficulty=3, items=ITEMS_PER_FAMILY)
def yaml_type(rng: random.Random) -> Item:
    """Which type a scalar has depends on quotes and on the version of YAML."""
    keys = rng.sample(_TYPED_KEYS, 6)
    types = rng.sample(list(_TYPED), 6)
    kind = dealt(rng, "types", list(_TYPED))
    asked = keys[types.index(kind)]
    lines = [
        f"{key}: {rng.choice(_TYPED[type_])}".rstrip()
        for key, type_ in zip(keys, types, strict=True)
    ]
    names = list(_TYPED)
    prompt = (
        f"{fence('yaml', chr(10).join(lines))}\n\nA YAML 1.2 parser (core schema) loads this "
        f"file. Which JSON type does the value of `{asked}` have: {', '.join(names[:-1])} or "
        f"{names[-1]}? Answer with the type only."
    )
    return _item(prompt, "text", kind, names)


@family("query", difficulty=4, items=ITEMS_PER_FAMILY)
def count_values(rng: random.Random) -> Item:
    """How many values of one type a nested document has, at any depth."""
    document = nested(rng)
    kind, types = rng.choice((
        ("strings", (str,)), ("numbers", (int, float)), ("objects", (dict,)),
    ))  # fmt: skip
    if kind == "objects":
        amount = _objects(document)
    else:
        amount = sum(isinstance(leaf, types) and not isinstance(leaf, bool)
                     for _, leaf in _leaves(document))  # fmt: skip
    what = {
        "strings": "How many of the values in this JSON are strings, at any depth? Keys do not "
        "count.",
        "numbers": "How many of the values in this JSON are numbers, at any depth? Digits inside "
        "strings do not count.",
        "objects": "How many objects does this JSON contain, counting the outermost one and those "
        "inside arrays?",
    }[kind]
    prompt = f"{fence('json', as_compact_json(document))}\n\n{what} Answer with the number only."
    return _item(prompt, "number", amount)


def _objects(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_objects, value.values()))
    return sum(map(_objects, value)) if isinstance(value, list) else 0


@family("query", difficulty=5, items=ITEMS_PER_FAMILY)
def merge_patch(rng: random.Random) -> Item:
    """JSON Merge Patch: null removes, objects merge, arrays are replaced."""
    source = nested(rng)
    value, patch = copy.deepcopy(source), dict[str, Any]()
    inner = [key for key, item in value.items() if isinstance(item, dict)]
    scalars = [key for key, item in value.items() if not isinstance(item, (dict, list))]
    removed, changed = rng.sample(scalars, 2)
    patch[removed] = None
    del value[removed]
    patch[changed] = value[changed] = other_value(rng, changed, value[changed])
    if inner:
        key = rng.choice(inner)
        gone, added = rng.choice(list(value[key])), rng.choice(("zone", "level", "checked_by"))
        patch[key] = {gone: None, added: rng.randint(2, 9)}
        del value[key][gone]
        value[key][added] = patch[key][added]
    else:
        key = next(k for k, item in value.items() if isinstance(item, list))
        patch[key] = value[key] = value[key][:1]
    items = list(patch.items())
    rng.shuffle(items)
    prompt = (
        "Apply a JSON Merge Patch (RFC 7396) to a document.\n\n"
        f"Document:\n{fence('json', as_compact_json(source))}\n\n"
        f"Patch:\n{fence('json', as_compact_json(dict(items)))}\n\n"
        "Reply with the resulting JSON document only."
    )
    return _item(prompt, "json", value, source=source)
