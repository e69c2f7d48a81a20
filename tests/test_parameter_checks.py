"""Parameters resolve here as mergekit's own planner resolves them; domains hold at their edges."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from compile_kit import compile_file, write_recipe, write_template

from evomerge_compiler.compiler import mergekit_grammar
from evomerge_compiler.compiler.merge_documents import Reader
from evomerge_compiler.compiler.model_headers import source_model
from evomerge_compiler.compiler.parameter_checks import resolved_parameters
from evomerge_compiler.compiler.value_domains import DOMAINS
from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.recipe_schema import ModelSpec

ALIASES = ("a", "b", "c")
FILTERS = ("self_attn", "mlp", "o_proj", "layers.1.", "layers.2", "embed_tokens", "norm", "*")


def random_setting(source: random.Random, depth: int = 0) -> Any:
    """A scalar, gradient or list of filtered settings."""
    kind = source.choice(("scalar", "gradient", "filters", "filters", "all filters"))
    number = round(source.uniform(0.1, 0.9), 3)
    if kind == "scalar" or (depth and "filters" in kind):
        return number
    if kind == "gradient":
        return [round(source.uniform(0.1, 0.9), 3) for _ in range(source.randint(1, 4))]
    items = [
        {"filter": name, "value": random_setting(source, 1)}
        for name in source.sample(FILTERS, source.randint(1, 3))
    ]
    return [*items, {"value": random_setting(source, 1)}] if kind == "all filters" else items


def random_document(source: random.Random) -> dict[str, Any]:
    """A TIES document with settings at every level, whole models or shifted slices."""

    def parameters(*names: str) -> dict[str, Any]:
        chosen = [name for name in names if source.random() < 0.6]
        return {"parameters": {n: random_setting(source) for n in chosen}} if chosen else {}

    top = {"parameters": {"weight": 0.5, **parameters("density", "lambda").get("parameters", {})}}
    document: dict[str, Any] = {
        "merge_method": "ties",
        "base_model": "models/src/base",
        **top,
    }
    if source.random() < 0.5:
        document["models"] = [
            {"model": f"models/src/{alias}", **parameters("weight", "density")}
            for alias in ALIASES
        ]
        return document
    slices = []
    for start, end in ((0, 1), (1, 4)):
        sources: list[dict[str, Any]] = [{"model": "models/src/base", "layer_range": [start, end]}]
        for alias in ALIASES:
            shift = source.randint(-start, 4 - end)
            sources.append(
                {
                    "model": f"models/src/{alias}",
                    "layer_range": [start + shift, end + shift],
                    **parameters("weight", "density"),
                }
            )
        slices.append({"sources": sources, **parameters("density", "lambda")})
    document["slices"] = slices
    return document


def planned(document: dict[str, Any]) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Tensor to (shared, per input) parameters, from mergekit's planner."""
    import copy

    from mergekit.architecture import get_architecture_info
    from mergekit.config import MergeConfiguration
    from mergekit.io.tasks import LoaderCache
    from mergekit.merge import _model_out_config
    from mergekit.options import MergeOptions
    from mergekit.plan import MergePlanner

    config = MergeConfiguration.model_validate(copy.deepcopy(document))
    options = MergeOptions()
    architecture = get_architecture_info(config, options)
    LoaderCache().loaders.clear()
    LoaderCache().setup(options)
    shape = _model_out_config(config, architecture)
    planner = MergePlanner(config, architecture, options, shape)
    planner._plan()
    out = {}
    for weight, task in planner._tensors:
        each = [
            dict(task.input_parameters[ref].items())
            for ref in task.model_order
            if ref != task.base_model
        ]
        out[weight.name] = (dict(task.parameters.items()), each)
    return out


@pytest.mark.parametrize("seed", range(25))
def test_parameters_resolve_as_mergekit_resolves_them(
    seed: int,
    tiny_models: Callable[[str], dict[str, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tiny_models("qwen2")["base"].parent
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    os.symlink(folder, "models/src")
    data = random_document(random.Random(seed))
    grammar = mergekit_grammar.installed()
    known = {}
    for alias in ("base", *ALIASES):
        model = source_model(alias, ModelSpec(path=str(folder / alias)), tmp_path)
        known[f"models/src/{alias}"] = model.facts
    reader = Reader(grammar, known, ["ties"])
    (document,) = reader.read([data])
    assert not reader.problems
    ours = dict(resolved_parameters(document, grammar.architectures["Qwen2ForCausalLM"]))
    theirs = planned(data)
    assert set(theirs) <= set(ours)
    assert len(theirs) == 50
    for name, (shared, each) in theirs.items():
        assert ours[name].shared == pytest.approx(shared), name
        assert len(ours[name].each) == len(each)
        for mine, other in zip(ours[name].each, each, strict=True):
            assert mine == pytest.approx(other), name


# --------------------------------------------------------------------------------------
# Domains

PAIRS = ("slerp", "nuslerp", "nearswap", "arcee_fusion")
# A value just inside and just outside at each end of a domain, where it has one; and what else
# the document needs for the value to be the only thing that is odd.
EDGES: list[tuple[str, str, list[object], list[object], dict[str, object]]] = [
    ("slerp", "t", [0, 1], [-0.0001, 1.0001], {}),
    ("nearswap", "t", [0, 0.0001], [-0.0001], {}),
    ("multislerp", "eps", [0.000000000001], [0, -0.00000001], {}),
    ("multislerp", "normalize_weights", [True, False], [1, "true"], {}),
    ("multislerp", "weight", [0.0001, -0.4999], [-0.5, -0.5001, "0.5", True], {}),
    ("multislerp", "weight", [-0.4999], [-0.5001], {"normalize_weights": False}),
    ("karcher", "max_iter", [1, 100], [0, -1, 1.5], {}),
    ("karcher", "tol", [0.0000001, 0.9999], [0, 1, -0.1], {}),
    ("passthrough", "scale", [0, -1, 2], ["1", True, None], {}),
    ("model_stock", "filter_wise", [True, False], [0, "yes"], {}),
    ("ram", "epsilon", [0, 0.1], [-0.0001], {}),
    ("ramplus_tl", "epsilon", [0.0000001], [0, -0.0001], {}),
    ("ramplus_tl", "r", [0, 3], [-0.0001], {}),
    ("ramplus_tl", "alpha", [0, 3], [-0.0001], {}),
    ("sce", "select_topk", [0.0001, 1], [0, -0.1, 1.0001], {}),
    ("sce", "int8_mask", [True, False], [1], {}),
    ("linear", "weight", [-0.4999, 0, 0.0001], [-0.5, -0.5001, "0.5"], {}),
    ("linear", "weight", [-3, -0.5], ["0.5"], {"normalize": False}),
    ("linear", "normalize", [True, False], [0, "no"], {}),
    ("nuslerp", "weight", [0, 3], [-0.0001, -0.5, -0.5001, True], {}),
    ("nuslerp", "nuslerp_flatten", [True, False], ["false"], {}),
    ("nuslerp", "nuslerp_row_wise", [True, False], [1], {"nuslerp_flatten": False}),
    ("nuslerp", "nuslerp_row_wise", [False], [True], {"nuslerp_flatten": True}),
    ("task_arithmetic", "weight", [-0.5, 0, 2], ["1"], {}),
    ("task_arithmetic", "weight", [-0.4999], [-0.5, -0.5001], {"normalize": True}),
    *[
        (name, "weight", [-0.4999], [-0.5, -0.5001], {"normalize": True})
        for name in ("dare_linear", "breadcrumbs", "della_linear")
    ],
    *[
        (name, "weight", [0, 3], [-0.0001, -0.5], {"normalize": True})
        for name in ("ties", "dare_ties", "breadcrumbs_ties", "della")
    ],
    ("ties", "weight", [-0.5, 2], ["1"], {"normalize": False}),
    *[
        (name, "density", [0.0001, 1], [0, -0.0001, 1.0001], {})
        for name in ("ties",)
    ],
    *[
        (name, "density", [0.0001, 0.99], [0, -0.0001, 0.9901, 1.0001], {})
        for name in ("breadcrumbs", "breadcrumbs_ties")
    ],
    *[
        (name, "gamma", [0, 0.5], [-0.0001, 0.5001], {})
        for name in ("breadcrumbs", "breadcrumbs_ties")
    ],
    *[
        (name, "density", [0.0001, 0.9999], [0, 1, -0.0001, 1.0001], {})
        for name in ("dare_linear", "dare_ties")
    ],
    *[
        (name, "density", [0.1501, 0.8499], [0.15, 0.85, 1, 0], {})
        for name in ("della", "della_linear")
    ],
    *[
        (name, "epsilon", [0, 0.4999], [0.5, -0.0001], {})
        for name in ("della", "della_linear")
    ],
    *[
        (name, "lambda", [-1, 0, 3], ["1", False], {})
        for name in ("ties", "task_arithmetic", "dare_linear", "dare_ties", "breadcrumbs",
                     "breadcrumbs_ties", "della", "della_linear")
    ],
    *[
        (name, flag, [True, False], [1, "true"], {})
        for name in ("ties", "dare_ties", "breadcrumbs_ties", "della")
        for flag in ("normalize", "rescale", "int8_mask")
    ],
    *[
        (name, flag, [True, False], [0, "false"], {})
        for name in ("dare_linear", "breadcrumbs", "della_linear")
        for flag in ("normalize", "rescale")
    ],
]  # fmt: skip


def document_text(
    method: str, parameter: str, value: object, more: dict[str, object]
) -> tuple[str, int]:
    """A body with one parameter of the first input (or of all) at a value; its models."""
    import json

    spec = mergekit_grammar.installed().methods[method]
    count = 1 if method == "passthrough" else 2
    refs = [f"models/src/{alias}" for alias in ALIASES[:count]]
    needs_base = spec.base == "required" and method not in PAIRS
    body: dict[str, object] = {"merge_method": method}
    if spec.base == "required":
        body["base_model"] = "models/src/base" if needs_base else refs[0]
    shared: dict[str, object] = dict(more)
    models = []
    for index, ref in enumerate(refs):
        own: dict[str, object] = {}
        if "weight" in spec.parameters:
            own["weight"] = 0.5
        if "density" in spec.parameters and method != "task_arithmetic":
            own["density"] = 0.5
        if spec.parameters[parameter].scope != "shared" and index == 0:
            own[parameter] = value
        models.append({"model": ref, **({"parameters": own} if own else {})})
    if spec.parameters[parameter].scope == "shared":
        shared[parameter] = value
    if method in ("slerp", "nearswap"):
        shared.setdefault("t", 0.5)
    body["models"] = models
    if shared:
        body["parameters"] = shared
    lines = [f"{key}: {json.dumps(part)}" for key, part in body.items()]
    return "\n".join(lines) + "\n", count


def compiles(
    folder: Path, models: SimpleNamespace, method: str, parameter: str, value: object, more: Any
) -> str | None:
    """None when it compiles, else the error."""
    body, count = document_text(method, parameter, value, more)
    write_template(folder, body, methods=method)
    named = {alias: getattr(models, alias) for alias in ALIASES[:count]}
    path = write_recipe(folder, models=named, base=models.base)
    try:
        compile_file(path)
    except EvomergeError as error:
        return error.render()
    return None


@pytest.mark.parametrize(
    ("method", "parameter", "inside", "outside", "more"),
    EDGES,
    ids=[f"{e[0]}-{e[1]}-{i}" for i, e in enumerate(EDGES)],
)
def test_domain(
    method: str,
    parameter: str,
    inside: list[object],
    outside: list[object],
    more: dict[str, object],
    header_models: SimpleNamespace,
    tmp_path: Path,
) -> None:
    for value in inside:
        assert compiles(tmp_path, header_models, method, parameter, value, more) is None, value
    for value in outside:
        error = compiles(tmp_path, header_models, method, parameter, value, more)
        assert error is not None, value
        assert parameter in error
        assert "help:" in error


def test_every_parameter_of_every_method_has_its_edges_tested() -> None:
    tested = {(method, parameter) for method, parameter, *_ in EDGES}
    wanted = {
        (name, parameter)
        for name, method in mergekit_grammar.installed().methods.items()
        for parameter in method.parameters
        if parameter not in mergekit_grammar.UNREAD_PARAMETERS.get(name, {})
    }
    # Weights without normalisation take any number, which `task_arithmetic` stands for.
    free = {(n, "weight") for n, _ in wanted} | {("task_arithmetic", "normalize")}
    assert wanted - tested <= free
    assert set(DOMAINS) <= tested
