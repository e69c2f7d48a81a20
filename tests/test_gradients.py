"""Genes over depth: how they are written, read, held and compiled."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from compile_kit import compile_file, write_recipe
from simulated_run import evolve

from evomerge_compiler import recipe as recipes
from evomerge_compiler.compiler import check_dead_genes, compile_recipe, mergekit_grammar
from evomerge_compiler.compiler.merge_documents import Reader
from evomerge_compiler.compiler.parameter_checks import resolved_parameters
from evomerge_compiler.errors import ErrorList, EvomergeError
from evomerge_compiler.gene import Gene
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.single import standalone_text

SCORED = "evaluation: {tasks: {code: {task: t, metric: m}}}\n"
SHAPE = "per: model_x_depth, anchors: 3, filters: [mlp]"


def space() -> GenomeSpace:
    genes = (
        Gene("t", "float", per="depth", anchors=3, init=(0.0, 0.25, 1.0)),
        Gene("w", "float", -1.0, 1.0, per="model_x_depth", anchors=2, filters=("mlp",)),
    )
    return GenomeSpace(genes, {}, {}, models=("a", "b"), n_groups=4)


def test_anchors_are_the_innermost_values() -> None:
    labels = [coordinate.label for coordinate in space().coordinates]
    assert labels[:5] == ["t.0", "t.1", "t.2", "w.a.mlp.0", "w.a.mlp.1"]
    assert labels[-1] == "w.b.other.1" and len(labels) == 3 + 2 * 2 * 2
    start = space().initial()
    assert start.values["t"] == [0.0, 0.25, 1.0]
    assert start.values["w"] == {m: {f: [0.0, 0.0] for f in ("mlp", "other")} for m in "ab"}
    assert space().from_flat(space().flatten(start)) == start


@pytest.mark.parametrize("value", [[0.1, 0.2], [0.1] * 4, []])
def test_a_genome_has_a_value_for_every_anchor(value: list[float]) -> None:
    values = {"t": value, "w": {"a": 0.5, "b": {"mlp": [0, 1], "other": 0.1}}}
    _, problems = space().parse(values)
    assert [problem.message for problem in problems] == [
        f"t: expected 3 anchors, got {len(value)}"
    ]
    genome, problems = space().parse({**values, "t": 0.5})
    assert problems == []
    assert genome.values["t"] == [0.5, 0.5, 0.5], "a single value is that of every layer"
    assert genome.values["w"] == {
        "a": {"mlp": [0.5, 0.5], "other": [0.5, 0.5]},
        "b": {"mlp": [0.0, 1.0], "other": [0.1, 0.1]},
    }


def written(
    folder: Path, models: SimpleNamespace, genome: str, template: str = "ties", rest: str = ""
) -> Path:
    named = {alias: getattr(models, alias) for alias in "abc"}
    text = f"genome: {{{genome}}}\n" + SCORED + rest
    return write_recipe(
        folder, kind="experiment", models=named, base=models.base, template=template, rest=text
    )


@pytest.mark.parametrize(
    ("template", "genome", "message", "hint"),
    [
        ("ties", "weight: {float: [0, 1], per: depth}", "needs anchors", "anchors: 3"),
        ("ties", "weight: {float: [0, 1], per: depth, anchors: 1}", "expected 2 to 64", None),
        ("ties", "weight: {float: [0, 1], anchors: 3}", "anchors are of a gene per", "per: depth"),
        (
            "ties",
            "normalize: {choice: [true, false], per: depth, anchors: 2}",
            "a gene per depth is a float, got choice",
            "straight lines",
        ),
        (
            "ties",
            "weight: {float: [0, 1], per: depth, anchors: 3, init: [0, 1]}",
            "expected 3 anchors, got 2",
            None,
        ),
        (
            "ties",
            "weight: {float: [0, 1], per: model_x_depth, anchors: 2, init: {d: 0.5}}",
            "gene 'weight' has no value for 'd'",
            "a",
        ),
        (
            "ties",
            "weight: {float: [0, 1], per: model, filters: [mlp], init: {a: {mpl: 0.5}}}",
            "gene 'weight' has no value for 'mpl'",
            "mlp",
        ),
        (
            "ties",
            "weight: {float: [0.1, 1], per: depth, anchors: 2}, "
            "density: {float: [0.1, 1], per: layer_group}",
            "a gene per depth and one per layer group meet",
            "both per: depth",
        ),
        (
            "dfs",
            "path_scale: {float: [0.5, 2], per: depth, anchors: 4}",
            "a gene per depth stands where",
            "layer_group",
        ),
        (
            "dfs",
            "donor_weight: {float: [0, 1], per: depth, anchors: 2}",
            "a gene per depth stands where",
            "layer_group",
        ),
        (
            "three_stage",
            "density: {float: [0.1, 0.9], per: depth, anchors: 2}",
            "a gene per depth stands where",
            "layer_group",
        ),
    ],
)
def test_mistakes_are_named(
    template: str,
    genome: str,
    message: str,
    hint: str | None,
    header_models: SimpleNamespace,
    tmp_path: Path,
) -> None:
    with pytest.raises(EvomergeError) as caught:
        compile_file(written(tmp_path, header_models, genome, template))
    errors = caught.value.errors if isinstance(caught.value, ErrorList) else [caught.value]
    assert message in errors[0].message
    assert hint is None or hint in (errors[0].hint or "")
    assert errors[0].place is not None and errors[0].place.line > 0


def test_every_anchor_counts_in_the_compiled_merge(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    genome = f"weight: {{float: [0, 1], {SHAPE}}}"
    check_dead_genes(recipes.load(written(tmp_path, header_models, genome)))


def test_each_layer_gets_its_place_on_the_line(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    """4 layers and 3 anchors: what mergekit plans for each tensor."""
    weights = "{a: {mlp: [0, 0.3, 0.9], other: [1, 1, 0.4]}, b: 0.5, c: 0.5}"
    genome = f"weight: {{float: [0, 1], {SHAPE}, init: {weights}}}"
    loaded = recipes.load(written(tmp_path, header_models, genome, "task_arithmetic"))
    plan = compile_recipe(loaded)
    grammar = mergekit_grammar.installed()
    source = plan.models["a"].facts
    facts = {f"models/src/{alias}": model.facts for alias, model in plan.models.items()}
    documents = Reader(grammar, facts, loaded.template.methods).read([plan.stages[-1].document])
    architecture = grammar.architectures[source.architecture]
    found = {
        name: round(float(inputs.each[0]["weight"]), 6)  # type: ignore[arg-type]
        for name, inputs in resolved_parameters(documents[0], architecture)
    }
    layers = [f"model.layers.{index}" for index in range(4)]
    assert [found[f"{layer}.mlp.up_proj.weight"] for layer in layers] == [0, 0.2, 0.5, 0.9]
    assert [found[f"{layer}.self_attn.q_proj.weight"] for layer in layers] == [1, 1, 0.8, 0.4]
    assert found["model.embed_tokens.weight"] == 1
    assert found["model.norm.weight"] == 0.4


@pytest.mark.parametrize(
    "shape",
    [SHAPE, "per: model_x_layer_group, filters: [self_attn]", "per: layer_group", "per: model"],
)
def test_a_candidate_of_another_shape_than_the_templates_stands_alone(
    shape: str, header_models: SimpleNamespace, tmp_path: Path
) -> None:
    genome = f"weight: {{float: [-0.5, 1.5], {shape}}}"
    rest = "search: {population: 2, generations: 1, strategy: sobol}\n"
    path = written(tmp_path, header_models, genome, "task_arithmetic", rest)
    evolve(tmp_path / "run", 1, recipe=path, final=False)
    run = RunFolder.open(tmp_path / "run")
    stored = run.candidates(0)[1]
    copy = tmp_path / "copy.yaml"
    copy.write_text(standalone_text(run.root, stored.id, tmp_path))
    assert compile_file(copy).written() == stored.text


def test_a_recipe_may_hold_a_gene_of_any_shape(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    genome = "weight: {float: [0, 1], per: depth, anchors: 2, value: [0.25, 3]}"
    loaded = recipes.load(written(tmp_path, header_models, genome))
    assert "weight" not in loaded.space.by_name
    values = loaded.space.values(Genome({"density": dict.fromkeys("abc", 0.5)}))
    assert values["weight"] == [0.25, 3.0], "a value that is held may lie outside the range"
    wrong = "weight: {float: [0, 1], per: depth, anchors: 2, value: [0.25]}"
    with pytest.raises(EvomergeError, match="expected 2 anchors, got 1"):
        recipes.load(written(tmp_path, header_models, wrong))


def test_first_values_fan_out_over_what_they_leave_out() -> None:
    genes = (
        Gene("w", "float", per="model_x_layer_group", init=[0.1, 0.2]),
        Gene("f", "float", per="layer_group", filters=("mlp",), init={"mlp": 0.3, "other": 0.4}),
        Gene("p", "float", per="model", init={"a": 0.6}),
    )
    values = GenomeSpace(genes, {}, {}, models=("a", "b"), n_groups=3).initial().values
    assert values["w"] == {m: [0.1, 0.2, 0.1] for m in "ab"}
    assert values["f"] == [{"mlp": 0.3, "other": 0.4}] * 3
    assert values["p"] == {"a": 0.6, "b": 0.5}, "what is left out is in the middle"
