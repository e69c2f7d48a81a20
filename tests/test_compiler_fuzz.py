"""Documents changed at random: the compiler refuses them or mergekit can plan them.

Nothing else may happen: no exception that is not an EvomergeError, and no text that passes here
and fails in mergekit's own reader or planner.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from compile_kit import compile_file, write_recipe, write_template

from evomerge_compiler.compiler import mergekit_grammar
from evomerge_compiler.errors import EvomergeError

ALIASES = ("a", "b", "c")
JUNK: list[Any] = [
    None, True, False, 0, 1, -1, 2.5, 1e-9, 1e30, "", "x", "yes", "*", "models/src/a",
    "models/src/q", "linear", [], {}, [0.1, 0.9], [0, 4], [1, 0], {"filter": "mlp", "value": 0.5},
    [{"filter": "mlp", "value": 0.25}, {"value": 0.5}], "bfloat16", [[]], {"value": {"value": 1}},
]  # fmt: skip


def start(source: random.Random) -> dict[str, Any]:
    """A good document of a random method, whole models or slices."""
    grammar = mergekit_grammar.installed()
    method = source.choice(sorted(grammar.methods.values(), key=lambda m: m.name))
    count = method.max_inputs or 3
    refs = [f"models/src/{alias}" for alias in ALIASES[:count]]
    if method.max_non_base:
        refs = refs[: method.max_non_base]
    document: dict[str, Any] = {"merge_method": method.name}
    if method.base == "required":
        document["base_model"] = refs[0]
    own = {"weight": 0.5} if "weight" in method.parameters else {}
    if "density" in method.parameters and method.name != "task_arithmetic":
        own["density"] = 0.5
    inputs: list[dict[str, Any]] = []
    for ref in refs:
        mine = {} if ref == document.get("base_model") else copy.deepcopy(own)
        inputs.append({"model": ref, **({"parameters": mine} if mine else {})})
    if source.random() < 0.5:
        document["models"] = inputs
    else:
        document["slices"] = [
            {
                "sources": [
                    {**copy.deepcopy(item), "layer_range": [low, low + 2]} for item in inputs
                ]
            }
            for low in (0, 2)
        ]
    shared = {p.name: 0.5 for p in method.parameters.values() if p.required and not own}
    if shared:
        document["parameters"] = shared
    return document


def spots(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything in a document."""
    out = [path] if path else []
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        if isinstance(value, (dict, list)):
            out += spots(value, (*path, key))
        else:
            out.append((*path, key))
    return out


def mutate(data: Any, source: random.Random) -> None:
    """One random change, in place."""
    path = source.choice(spots(data))
    part = data
    for step in path[:-1]:
        part = part[step]
    kind = source.choice(("junk", "drop", "rename", "copy", "number", "add"))
    if kind == "drop":
        del part[path[-1]]
    elif kind == "rename" and isinstance(part, dict):
        names = [
            "weight",
            "density",
            "t",
            "scale",
            "lambda",
            "epsilon",
            "parameters",
            "models",
            "zz",
        ]
        part[source.choice(names)] = part.pop(path[-1])
    elif kind == "copy" and isinstance(part, list):
        part.append(copy.deepcopy(part[path[-1]]))
    elif kind == "number":
        part[path[-1]] = round(source.uniform(-1, 2), 3)
    elif kind == "add" and isinstance(part, dict):
        part[source.choice(["normalize", "filter", "parameters", "dtype", "gamma"])] = (
            copy.deepcopy(source.choice(JUNK))
        )
    else:
        part[path[-1]] = copy.deepcopy(source.choice(JUNK))


def plan_with_mergekit(text: str) -> None:
    from mergekit.architecture import get_architecture_info
    from mergekit.config import MergeConfiguration
    from mergekit.io.tasks import LoaderCache
    from mergekit.merge import _model_out_config
    from mergekit.options import MergeOptions
    from mergekit.plan import MergePlanner

    config = MergeConfiguration.model_validate(yaml.safe_load(text))
    options = MergeOptions()
    LoaderCache().setup(options)
    architecture = get_architecture_info(config, options)
    shape = _model_out_config(config, architecture)
    MergePlanner(config, architecture, options, shape)._plan()


@pytest.mark.parametrize("seed", range(8))
def test_what_compiles_can_be_planned(
    seed: int,
    tiny_models: Callable[[str], dict[str, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = {alias: tiny_models("qwen2")[alias] for alias in ALIASES}
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    os.symlink(models["a"].parent, "models/src")
    path = write_recipe(tmp_path, models=models)
    methods = ", ".join(mergekit_grammar.installed().methods)
    source = random.Random(seed)
    good = bad = 0
    for _ in range(60):
        document = start(source)
        for _ in range(source.choice((0, 1, 1, 1, 2))):
            if document:
                mutate(document, source)
        body = "".join(f"{key}: {json.dumps(value)}\n" for key, value in document.items())
        write_template(tmp_path, body, methods=methods)
        try:
            plan = compile_file(path)
        except EvomergeError as error:
            assert error.exit_code == 2
            assert error.place is not None and error.place.line > 0, (body, error.render())
            assert "help:" in error.render(), (body, error.render())
            bad += 1
            continue
        good += 1
        try:
            plan_with_mergekit(plan.text)
        except Exception as error:
            pytest.fail(f"mergekit refuses what compiled: {error}\n{plan.text}")
    assert good and bad
