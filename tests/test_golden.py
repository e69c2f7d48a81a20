"""Golden compiles of all 20 methods, and the same texts merged by mergekit itself.

``EVOMERGE_GOLDEN=write pytest tests/test_golden.py`` writes the files anew; read their diff.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from compile_kit import compile_file, write_recipe

from evomerge_compiler import recipe
from evomerge_compiler.compiler import compile_recipe, mergekit_grammar, rendering
from evomerge_compiler.errors import EvomergeError

GOLDEN = Path(__file__).parent / "golden"
METHODS = sorted(mergekit_grammar.installed().methods)
PAIRS = ("slerp", "nuslerp", "nearswap", "arcee_fusion")
FILTERED = "per: model_x_layer_group, filters: [self_attn, mlp]"
BY_GROUP = "per: layer_group, filters: [mlp]"
# One gene of each method with a value for every layer group and kind of tensor.
LAYERED = {
    **{
        name: f"weight: {{float: [0.1, 1], {FILTERED}, init: [0.25, 0.5]}}"
        for name in METHODS
        if name in ("linear", "multislerp", "nuslerp", "ties", "task_arithmetic")
        or name.startswith(("dare", "della", "breadcrumbs"))
    },
    "slerp": f"t: {{float: [0, 1], {BY_GROUP}, init: [0.25, 0.5, 0.75]}}",
    "nearswap": f"t: {{float: [0, 0.1], {BY_GROUP}, init: [0.01, 0.02]}}",
    "passthrough": "scale: {float: [0.5, 2], per: layer_group, filters: [o_proj], init: [1, 2]}",
    "karcher": f"tol: {{float: [0.00001, 0.01], {BY_GROUP}, init: [0.001, 0.01]}}",
    "model_stock": f"filter_wise: {{choice: [true, false], {BY_GROUP}, init: [true, false]}}",
    "ram": f"epsilon: {{float: [0, 0.01], {BY_GROUP}, init: [0.001, 0.002]}}",
    "ramplus_tl": f"alpha: {{float: [0.1, 1], {BY_GROUP}, init: [0.2, 0.4]}}",
    "sce": f"select_topk: {{float: [0.1, 1], {BY_GROUP}, init: [0.25, 0.5]}}",
}
# One gene of some methods as straight lines over depth, and weights below 0.
DEPTH = "per: model_x_depth, anchors: 3"
SIGNED = "{a: [-0.25, 0.5], b: [0.75, {self_attn: 1.5, mlp: -0.5, other: 1}]}"
SHAPED = {
    **{
        f"{name}.depth": f"weight: {{float: [0.1, 1], {DEPTH}, init: [0.25, 0.5, 1.0]}}"
        for name in ("linear", "ties", "dare_ties", "della", "task_arithmetic")
    },
    "slerp.depth": "t: {float: [0, 1], per: depth, anchors: 4, filters: [mlp], init: 0.75}",
    "sce.depth": "select_topk: {float: [0.1, 1], per: depth, anchors: 2, init: [0.25, 0.5]}",
    "linear.negative": f"weight: {{float: [-0.5, 1.5], {FILTERED}, init: {SIGNED}}}\n"
    "  normalize: false",
    "ties.negative": f"weight: {{float: [-0.5, 1.5], {DEPTH}, init: [-0.25, 0.5, 1]}}\n"
    "  normalize: false",
    **{
        f"{name}.negative": f"weight: {{float: [-0.5, 1.5], {FILTERED}, init: {SIGNED}}}"
        for name in ("task_arithmetic", "dare_ties", "dare_linear")
    },
}
SCORED = "evaluation: {tasks: {x: {task: t, metric: m}}}\n"


def recipe_of(method: str, folder: Path, models: dict[str, Path], genome: str = "") -> Path:
    aliases = "ab" if method in PAIRS else "a" if method == "passthrough" else "abc"
    rest = "layer_groups: 2\ndtype: float32\n" + SCORED
    if genome:
        rest += f"genome:\n  {genome}\n"
    return write_recipe(
        folder,
        kind="experiment",
        models={alias: models[alias] for alias in aliases},
        base=models["base"],
        template=method,
        rest=rest,
    )


def cases() -> list[tuple[str, str, str]]:
    plain = [(method, method, "") for method in METHODS]
    layered = [(f"{m}.layered", m, genome) for m, genome in sorted(LAYERED.items())]
    return plain + layered + [(name, name.split(".")[0], g) for name, g in sorted(SHAPED.items())]


CASES = cases()


@pytest.mark.parametrize(("name", "method", "genome"), CASES, ids=[c[0] for c in CASES])
def test_golden(
    name: str, method: str, genome: str, header_models: SimpleNamespace, tmp_path: Path
) -> None:
    plan = compile_file(recipe_of(method, tmp_path, vars(header_models), genome))
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("EVOMERGE_GOLDEN") == "write":
        path.write_text(plan.written())
    assert plan.written() == path.read_text()


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == {name for name, _, _ in CASES}


@pytest.mark.parametrize("method", METHODS)
def test_default_ranges_lie_inside_what_mergekit_takes(
    method: str, header_models: SimpleNamespace, tmp_path: Path
) -> None:
    import random

    loaded = recipe.load(recipe_of(method, tmp_path, vars(header_models)))
    source = random.Random(1)
    for _ in range(12):
        compile_recipe(loaded, genome=rendering.sample(loaded.space, source))
    ends = [
        [c.gene.choices[i] if c.gene.kind == "choice" else (c.gene.low, c.gene.high)[i]
         for c in loaded.space.coordinates]
        for i in (0, -1)
    ]  # fmt: skip
    for flat in ends:
        try:
            compile_recipe(loaded, genome=loaded.space.from_flat(flat))
        except EvomergeError as error:
            # Only weights may meet at a point that no single range can exclude.
            assert "sum to 0" in error.message


ZOO = Path(__file__).resolve().parents[1] / "zoo"
IN_THE_ZOO = {"base": "base", "a": "coder", "b": "mathematician", "c": "polyglot"}


@pytest.mark.parametrize("kind", ["zoo", "qwen2", pytest.param("llama", marks=pytest.mark.long)])
def test_mergekit_merges_every_method(
    kind: str,
    tiny_models: Callable[[str], dict[str, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All 20 methods in all shapes: finite, complete, and another model than their inputs."""
    import torch
    import yaml
    from mergekit.config import MergeConfiguration
    from mergekit.io.tasks import LoaderCache
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions
    from safetensors.torch import load_file

    torch.set_num_threads(1)
    zoo = {alias: ZOO / name for alias, name in IN_THE_ZOO.items()}
    models = zoo if kind == "zoo" else tiny_models(kind)
    monkeypatch.chdir(tmp_path)
    Path("models/src").mkdir(parents=True)
    for alias, folder in models.items():
        Path("models/src", alias).symlink_to(folder)
    first = load_file(models["a"] / "model.safetensors")
    for name, method, genome in CASES:
        plan = compile_file(recipe_of(method, tmp_path, models, genome))
        LoaderCache().loaders.clear()
        run_merge(
            MergeConfiguration.model_validate(yaml.safe_load(plan.text)),
            f"out/{name}",
            MergeOptions(random_seed=plan.random_seed, write_model_card=False, quiet=True),
        )
        merged: dict[str, torch.Tensor] = {}
        for file in Path("out", name).glob("*.safetensors"):
            merged |= load_file(file)
        assert set(first) <= set(merged), name
        assert all(torch.isfinite(tensor).all() for tensor in merged.values()), name
        same = all(torch.equal(merged[key], first[key]) for key in first)
        assert same == (name == "passthrough"), name
