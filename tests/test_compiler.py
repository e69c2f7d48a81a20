"""What a compiled plan is: text, stages, keys, donors, notes; recipes inside recipes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from compile_kit import compile_file, write_recipe, write_template
from model_builders import build_model, write_header_model

from evomerge_compiler import recipe
from evomerge_compiler.compiler import (
    check_dead_genes,
    compile_recipe,
    gather,
    render_raw,
    rendering,
)
from evomerge_compiler.compiler.merge_plan import MergePlan
from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.genome import Genome

SCORED = "evaluation: {tasks: {x: {task: t, metric: m}}}\n"
REPOSITORY = Path(__file__).resolve().parents[1]


def abc(models: SimpleNamespace, aliases: str = "abc") -> dict[str, Path]:
    return {alias: getattr(models, alias) for alias in aliases}


def run_stages(plan: MergePlan, folder: Path, sources: dict[str, Path]) -> Path:
    """Merges a plan in this process, stage by stage; returns the folder of the result."""
    from mergekit.config import MergeConfiguration
    from mergekit.io.tasks import LoaderCache
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    done: dict[str, Path] = {f"models/src/{alias}": path for alias, path in sources.items()}

    def at(data: object) -> object:
        if isinstance(data, dict):
            return {key: at(value) for key, value in data.items()}
        if isinstance(data, list):
            return [at(value) for value in data]
        return str(done.get(data, data)) if isinstance(data, str) else data

    for stage in plan.stages:
        out = folder / stage.name
        LoaderCache().loaders.clear()
        options = MergeOptions(random_seed=plan.random_seed, write_model_card=False, quiet=True)
        run_merge(MergeConfiguration.model_validate(at(dict(stage.document))), str(out), options)
        done[stage.name] = out
    return folder / "final"


# --------------------------------------------------------------------------------------
# Text


def test_the_text_is_canonical_and_reads_back_in_mergekits_reader(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    body = "merge_method: linear\nmodels:\n"
    body += "".join(
        f"  - {{model: models/src/{a}, parameters: {{weight: {w}}}}}\n"
        for a, w in (("a", "1e-5"), ("b", "1"), ("c", "0o17"))
    )
    write_template(tmp_path, body)
    plan = compile_file(write_recipe(tmp_path, models=abc(header_models)))
    data = yaml.safe_load(plan.text)
    weights = [item["parameters"]["weight"] for item in data["models"]]
    assert weights == [0.00001, 1.0, 15.0]
    assert all(isinstance(weight, float) for weight in weights)
    assert "weight: 1.0\n" in plan.text
    assert data["dtype"] == "bfloat16"


def test_a_method_without_a_base_names_its_donor(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    for template in ("linear", "karcher"):
        path = write_recipe(tmp_path, models=abc(header_models), template=template)
        data = yaml.safe_load(compile_file(path).text)
        assert data["base_model"] == "models/src/a"
        assert data["base_model"] in [item["model"] for item in data["models"]]


def test_the_donor_named_in_the_recipe_is_the_one_mergekit_takes(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    path = write_recipe(
        tmp_path, models=abc(header_models), template="linear", rest="config_from: c\n"
    )
    plan = compile_file(path)
    assert yaml.safe_load(plan.text)["base_model"] == "models/src/c"
    assert plan.config_donor == "c"


def test_out_dtype_is_the_last_stages_only(header_models: SimpleNamespace, tmp_path: Path) -> None:
    path = write_recipe(
        tmp_path,
        models=abc(header_models),
        base=header_models.base,
        template="three_stage",
        rest="dtype: float32\nout_dtype: bfloat16\n",
    )
    documents = list(yaml.safe_load_all(compile_file(path).text))
    assert [d["dtype"] for d in documents] == ["float32"] * 3
    assert [d.get("out_dtype") for d in documents] == [None, None, "bfloat16"]


def test_the_same_text_in_every_process(header_models: SimpleNamespace, tmp_path: Path) -> None:
    path = write_recipe(
        tmp_path, models=abc(header_models), base=header_models.base, template="three_stage"
    )
    program = (
        "import sys; from evomerge_compiler import recipe; "
        "from evomerge_compiler.compiler import compile_recipe; "
        "p = compile_recipe(recipe.load(sys.argv[1])); print(p.merge_key, p.written())"
    )
    outputs = set()
    for seed in ("0", "1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", program, str(path)]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_compiling_imports_no_heavy_library_and_starts_no_process(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    path = write_recipe(
        tmp_path, models=abc(header_models), base=header_models.base, template="three_stage"
    )
    program = """
import subprocess, sys, socket
def refuse(*a, **k): raise AssertionError("process or network")
subprocess.Popen = socket.socket = refuse
from evomerge_compiler import recipe
from evomerge_compiler.compiler import compile_recipe
compile_recipe(recipe.load(sys.argv[1])).written()
heavy = ("torch", "mergekit", "transformers", "lm_eval", "huggingface_hub", "numpy", "scipy")
print([m for m in heavy if m in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_raw_is_what_the_template_prints(header_models: SimpleNamespace, tmp_path: Path) -> None:
    write_template(tmp_path, "# {{ n_layers }} layers\nmerge_method: nonsense\n")
    raw = render_raw(recipe.load(write_recipe(tmp_path, models=abc(header_models))))
    assert raw == "# 4 layers\nmerge_method: nonsense\n"


# --------------------------------------------------------------------------------------
# The header comment


def plan_of(
    models: SimpleNamespace, folder: Path, template: str, rest: str = "", aliases: str = "abc"
) -> MergePlan:
    return compile_file(
        write_recipe(
            folder, models=abc(models, aliases), base=models.base, template=template, rest=rest
        )
    )


def test_the_header_holds_the_exact_command(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    one = plan_of(header_models, tmp_path, "dare_ties")
    several = plan_of(header_models, tmp_path, "three_stage")
    assert f"mergekit-yaml mergekit.yaml OUT --random-seed {one.random_seed} " in one.written()
    line = several.written().splitlines()[0]
    assert "mergekit-multi mergekit.yaml -I models/stages --out-path OUT --no-lazy" in line
    assert "--no-write-model-card" in line
    assert list(yaml.safe_load_all(one.written())) == list(yaml.safe_load_all(one.text))


def test_references_replace_the_links_of_the_run_folder(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    plan = plan_of(header_models, tmp_path, "slerp", aliases="ab")
    text = plan.written({"a": "owner/x@abc", "b": "/somewhere/b"}, how="run in out/c00")
    data = yaml.safe_load(text)
    assert [item["model"] for item in data["models"]] == ["owner/x@abc", "/somewhere/b"]
    assert data["base_model"] == "owner/x@abc"
    assert "run in out/c00:" in text


@pytest.mark.parametrize("name", ["a+b", "a@b"])
def test_signs_that_mergekit_splits_paths_at(
    name: str, header_models: SimpleNamespace, tmp_path: Path
) -> None:
    from mergekit.config import MergeConfiguration

    odd = tmp_path / name
    shutil.copytree(header_models.a, odd)
    path = write_recipe(
        tmp_path,
        models={"a": f"{{path: '{odd}'}}", "b": header_models.b},
        base=header_models.base,
        template="slerp",
    )
    plan = compile_file(path)
    references = {alias: model.reference for alias, model in plan.models.items()}
    config = MergeConfiguration.model_validate(yaml.safe_load(plan.written(references)))
    assert config.models is not None
    assert config.models[0].model.model.path == str(odd)
    assert config.models[0].model.lora is None
    # In the run folder the links have plain names.
    assert name not in plan.text


def test_signs_in_paths_of_several_stages_need_a_link(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    plan = plan_of(header_models, tmp_path, "three_stage")
    text = plan.written({"a": "/odd/a+b"})
    assert "# make models/src/a a link to /odd/a+b" in text
    assert "model: models/src/a\n" in text


def test_notes_say_what_plain_mergekit_does_otherwise(tmp_path: Path) -> None:
    write_header_model(tmp_path / "a")
    write_header_model(tmp_path / "u", tie_word_embeddings=False, rope_theta=1e6)
    text = compile_file(
        write_recipe(
            tmp_path,
            models={"a": tmp_path / "a", "u": tmp_path / "u"},
            template="slerp",
            rest="config_from: u\n",
        )
    ).written()
    assert "# mergekit writes the config.json of a; `evomerge merge` writes that of u\n" in text


def deeper(folder: Path, models: SimpleNamespace) -> MergePlan:
    body = "merge_method: passthrough\nslices:\n"
    for start, end in ((0, 3), (1, 4)):
        body += f"  - sources: [{{model: models/src/a, layer_range: [{start}, {end}]}}]\n"
    write_template(folder, body, methods="passthrough")
    return compile_file(write_recipe(folder, models={"a": models.a}))


def test_a_changed_depth_is_told(header_models: SimpleNamespace, tmp_path: Path) -> None:
    plan = deeper(tmp_path, header_models)
    assert (plan.n_layers, plan.depth_changed) == (6, True)
    assert "`evomerge merge` finishes it" in plan.written()
    kept = plan_of(header_models, tmp_path, "linear")
    assert (kept.n_layers, kept.depth_changed, kept.notes) == (4, False, ())


def test_llama_depth_needs_no_note(tmp_path: Path) -> None:
    llama = write_header_model(
        tmp_path / "l", architectures=["LlamaForCausalLM"], model_type="llama"
    )
    plan = deeper(tmp_path, SimpleNamespace(a=llama))
    assert plan.depth_changed and not plan.notes


# --------------------------------------------------------------------------------------
# Keys


def test_the_merge_key_covers_text_models_donors_and_seed(tmp_path: Path) -> None:
    for alias in "ab":
        write_header_model(tmp_path / alias)
    models: dict[str, object] = {"a": tmp_path / "a", "b": tmp_path / "b"}

    def key(rest: str = "") -> str:
        return compile_file(
            write_recipe(tmp_path, models=models, template="linear", rest=rest)
        ).merge_key

    keys = [
        key(),
        key("seed: 1\n"),
        key("genome: {weight: {a: 0.5, b: 0.25}}\n"),
        key("tokenizer: b\n"),
        key("dtype: float32\n"),
    ]
    assert key() == keys[0]
    weights = tmp_path / "b" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x00\x80?")
    keys.append(key())
    assert len(set(keys)) == len(keys)


def test_names_of_models_do_not_change_what_a_stage_is(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    one = compile_file(
        write_recipe(
            tmp_path,
            models={"a": header_models.a, "b": header_models.b},
            template="linear",
        )
    )
    other = compile_file(
        write_recipe(
            tmp_path,
            models={"x": header_models.a, "y": header_models.b},
            template="linear",
        )
    )
    assert one.merge_key != other.merge_key
    assert one.stages[0].stage_key == other.stages[0].stage_key


def test_unchanged_stages_keep_their_keys(header_models: SimpleNamespace, tmp_path: Path) -> None:
    def stages(rest: str) -> dict[str, str]:
        plan = plan_of(header_models, tmp_path, "three_stage", rest)
        return {stage.name: stage.stage_key for stage in plan.stages}

    first = stages("genome: {ensemble: ties, density: 0.5}\n")
    denser = stages("genome: {ensemble: ties, density: 0.6}\n")
    assert first["s1"] == denser["s1"]
    assert first["s2"] != denser["s2"] and first["final"] != denser["final"]
    # The seed is part of a stage that draws random numbers, and of no other.
    drawn = [stages(f"genome: {{ensemble: dare_ties}}\nseed: {seed}\n") for seed in (1, 2)]
    assert drawn[0]["s1"] == drawn[1]["s1"]
    assert drawn[0]["s2"] != drawn[1]["s2"]
    plain = [stages(f"genome: {{ensemble: ties}}\nseed: {seed}\n") for seed in (1, 2)]
    assert plain[0] == plain[1]


def test_the_seed_is_always_set_and_fits_mergekit(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    plan = plan_of(header_models, tmp_path, "linear")
    assert plan.random_seed == int(plan.merge_key[:8], 16) & 0x7FFFFFFF
    assert 0 <= plan.random_seed < 2**31


# --------------------------------------------------------------------------------------
# Donors


def test_named_donors_settle_every_difference(tmp_path: Path) -> None:
    write_header_model(tmp_path / "a", chat_template="{{ a }}")
    write_header_model(
        tmp_path / "b",
        tie_word_embeddings=False,
        rope_theta=1e6,
        rms_norm_eps=1e-5,
        chat_template="{{ b }}",
    )
    plan = compile_file(
        write_recipe(
            tmp_path,
            models={"a": tmp_path / "a", "b": tmp_path / "b"},
            template="linear",
            rest="config_from: b\nchat_template: a\n",
        )
    )
    assert (plan.config_donor, plan.tokenizer_donor, plan.chat_template_donor) == ("b", "a", "a")


def test_no_chat_template_no_donor(header_models: SimpleNamespace, tmp_path: Path) -> None:
    assert plan_of(header_models, tmp_path, "linear").chat_template_donor is None


def test_a_base_that_is_not_merged_gives_nothing(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    plan = plan_of(header_models, tmp_path, "linear")
    assert set(plan.models) == {"a", "b", "c"}
    assert plan.config_donor == "a"


def test_other_rows_are_aligned_to_the_tokenizer_by_mergekit(
    unequal_models: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    models = {"tied": unequal_models["tied"], "vocab": unequal_models["vocab"]}
    path = write_recipe(
        tmp_path, models=models, template="linear", rest="tokenizer: tied\ndtype: float32\n"
    )
    plan = compile_file(path)
    assert yaml.safe_load(plan.text)["tokenizer_source"] == "models/src/tied"
    assert any("by token" in note for note in plan.notes)
    merged = load_file(run_stages(plan, tmp_path / "out", models) / "model.safetensors")
    one, other = (load_file(models[a] / "model.safetensors") for a in models)
    name = "model.embed_tokens.weight"
    mean = (one[name][:256] + other[name][:256]) / 2
    assert (merged[name][:256] - mean).abs().max() < 1e-6


def test_untied_donor_of_a_tied_and_an_untied_model_has_the_merged_head(
    unequal_models: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    models = {"tied": unequal_models["tied"], "untied": unequal_models["untied"]}
    path = write_recipe(
        tmp_path,
        models=models,
        template="linear",
        rest="config_from: untied\ndtype: float32\n",
    )
    plan = compile_file(path)
    out = run_stages(plan, tmp_path / "out", models)
    merged = load_file(out / "model.safetensors")
    tied, untied = (load_file(models[a] / "model.safetensors") for a in models)
    head = (tied["model.embed_tokens.weight"] + untied["lm_head.weight"]) / 2
    assert (merged["lm_head.weight"] - head).abs().max() < 1e-6
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False


# --------------------------------------------------------------------------------------
# Recipes inside recipes


def test_recipes_compose_to_earlier_stages_and_merge(
    tiny_models: Callable[[str], dict[str, Path]], tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    models = tiny_models("qwen2")
    write_recipe(
        tmp_path,
        models={"x": models["a"], "y": models["b"]},
        template="linear",
        rest="dtype: float32\ngenome: {weight: {x: 0.25, y: 0.75}}\n",
        name="child.yaml",
    )
    path = write_recipe(
        tmp_path,
        models={"child": "{path: child.yaml}", "c": models["c"]},
        template="linear",
        rest="dtype: float32\n",
    )
    plan = compile_file(path)
    assert [stage.name for stage in plan.stages] == ["child.final", "final"]
    assert plan.stages[1].inputs == ("child.final", "models/src/c")
    assert set(plan.models) == {"child.x", "child.y", "c"}
    documents = list(yaml.safe_load_all(plan.text))
    assert documents[0]["name"] == "child.final"
    assert documents[1]["models"][0]["model"] == "child.final"
    sources = {"child.x": models["a"], "child.y": models["b"], "c": models["c"]}
    out = run_stages(plan, tmp_path / "out", sources)
    merged = load_file(out / "model.safetensors")
    loaded = {alias: load_file(models[alias] / "model.safetensors") for alias in "abc"}
    for name, tensor in merged.items():
        if name in loaded["a"]:
            inner = 0.25 * loaded["a"][name] + 0.75 * loaded["b"][name]
            assert (tensor - (inner + loaded["c"][name]) / 2).abs().max() < 1e-6, name


def test_mergekit_multi_understands_composed_stages(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    from mergekit.scripts.multimerge import load_config

    write_recipe(
        tmp_path,
        models=abc(header_models),
        base=header_models.base,
        template="three_stage",
        name="child.yaml",
    )
    path = write_recipe(
        tmp_path,
        models={"child": "{path: child.yaml}", "a": header_models.a},
        template="slerp",
    )
    plan = compile_file(path)
    names = ["child.s1", "child.s2", "child.final", "final"]
    assert [stage.name for stage in plan.stages] == names
    _, needs = load_config(plan.text, "stages")
    assert needs == {
        "child.s1": set(),
        "child.s2": {"child.s1"},
        "child.final": {"child.s2"},
        None: {"child.final"},
    }
    # The parts of a recipe are the same stages inside another one.
    alone = compile_file(tmp_path / "child.yaml")
    assert [s.stage_key for s in alone.stages] == [s.stage_key for s in plan.stages[:3]]


def test_a_recipe_draws_the_same_masks_alone_and_inside_another(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    write_recipe(tmp_path, models=abc(header_models), template="dare_linear", name="child.yaml")
    path = write_recipe(
        tmp_path, models={"child": "{path: child.yaml}", "a": header_models.a}, template="slerp"
    )
    alone, plan = compile_file(tmp_path / "child.yaml"), compile_file(path)
    assert plan.seed_of(plan.stages[0]) == alone.random_seed != plan.random_seed
    assert plan.stages[0].stage_key == alone.stages[0].stage_key
    assert f"child.final {alone.random_seed}" in plan.written()


def test_an_ancestor_of_both_parents_is_merged_once(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    write_recipe(tmp_path, models=abc(header_models), template="linear", name="g0.yaml")
    write_recipe(tmp_path, models=abc(header_models), template="karcher", name="other.yaml")
    for number in range(1, 12):
        older = f"g{number - 2}.yaml" if number > 1 else "other.yaml"
        parents = {"x": f"{{path: g{number - 1}.yaml}}", "y": f"{{path: {older}}}"}
        write_recipe(tmp_path, models=parents, template="slerp", name=f"g{number}.yaml")
    plan = compile_file(tmp_path / "g11.yaml")
    assert len(plan.stages) == 13, "each of the files once, though 233 ways lead to them"
    assert len({stage.stage_key for stage in plan.stages}) == 13


def test_two_models_that_are_the_same_merge_stay_two(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    for name in ("one.yaml", "two.yaml"):
        write_recipe(tmp_path, models=abc(header_models), template="linear", name=name)
    both = {"x": "{path: one.yaml}", "y": "{path: two.yaml}"}
    write_recipe(tmp_path, models=both, template="slerp", name="child.yaml")
    path = write_recipe(
        tmp_path,
        models={"child": "{path: child.yaml}", "z": "{path: two.yaml}"},
        template="slerp",
    )
    plan = compile_file(path)
    assert [stage.inputs for stage in plan.stages[2:]] == [
        ("child.x.final", "child.y.final"),
        ("child.final", "child.x.final"),
    ]


def test_models_of_an_inner_recipe_are_found_from_outside_it(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    inner = tmp_path / "inner"
    shutil.copytree(header_models.a, inner / "m")
    write_recipe(
        inner,
        models={"x": "{path: m}", "y": header_models.b},
        template="linear",
        name="child.yaml",
    )
    path = write_recipe(
        tmp_path,
        models={"child": "{path: inner/child.yaml}", "c": header_models.c},
        template="linear",
    )
    plan = compile_file(path)
    assert plan.models["child.x"].spec.path == str((inner / "m").resolve())


def test_a_hub_model_of_which_nothing_is_known_is_a_missing_prerequisite(
    header_models: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    models = {"a": header_models.a, "x": "{path: owner/name}"}
    error = error_of(write_recipe(tmp_path, models=models, template="linear"))
    assert error.exit_code == 3
    assert error.hint is not None and "hf download owner/name" in error.hint
    assert error.place is not None and error.place.line == 4


def test_a_candidate_is_a_model_like_any_other(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    write_recipe(
        tmp_path,
        models=abc(header_models),
        kind="experiment",
        template="linear",
        rest=SCORED,
        name="e.yaml",
    )
    (tmp_path / "c05.yaml").write_text(
        "kind: merge\nfrom: e.yaml\ngenome:\n  weight:\n    a: 0.1\n    b: 0.2\n    c: 0.3\n"
    )
    path = write_recipe(
        tmp_path, models={"x": "{path: c05.yaml}", "y": "{path: e.yaml}"}, template="slerp"
    )
    documents = list(yaml.safe_load_all(compile_file(path).text))
    weights = [[m["parameters"]["weight"] for m in d["models"]] for d in documents[:2]]
    assert weights == [[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]]


def test_a_composed_model_that_is_not_read_is_not_made(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    write_recipe(tmp_path, models=abc(header_models), template="linear", name="child.yaml")
    path = write_recipe(
        tmp_path,
        models=abc(header_models, "ab"),
        base="{path: child.yaml}",
        template="linear",
    )
    assert [stage.name for stage in compile_file(path).stages] == ["final"]


# --------------------------------------------------------------------------------------
# Errors and genes


def error_of(path: Path, genome: Genome | None = None) -> EvomergeError:
    with pytest.raises(EvomergeError) as caught:
        compile_recipe(recipe.load(path), genome=genome)
    return caught.value


def test_an_error_of_a_value_points_at_the_gene_of_the_candidate(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    write_recipe(
        tmp_path,
        models=abc(header_models),
        kind="experiment",
        template="linear",
        rest=SCORED,
        name="e.yaml",
    )
    candidate = tmp_path / "c.yaml"
    candidate.write_text(
        "kind: merge\nfrom: e.yaml\ngenome:\n  weight:\n    a: 0\n    b: 0\n    c: 0\n"
    )
    error = error_of(candidate)
    assert str(error.place) == f"{candidate}:5:8"
    assert "(genes weight.a, weight.b, weight.c)" in error.message


def test_an_error_of_a_sampled_genome_names_the_gene(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    path = write_recipe(
        tmp_path, models=abc(header_models), kind="experiment", template="linear", rest=SCORED
    )
    error = error_of(path, Genome({"weight": {"a": 0.0, "b": 0.0, "c": 0.0}}))
    assert "weight.a" in error.message
    # The recipe leaves the gene to the template, so the template's line is all there is.
    assert error.place is not None and error.place.file.endswith("linear.yaml.j2")


def test_all_problems_come_at_once(header_models: SimpleNamespace, tmp_path: Path) -> None:
    body = """\
    merge_method: linear
    dtype: float23
    models:
      - {model: models/src/a, parameters: {wieght: 0.5}}
      - {model: models/src/q, parameters: {weight: 0.5}}
    paramaters: {}
    """
    write_template(tmp_path, body)
    error = error_of(write_recipe(tmp_path, models=abc(header_models)))
    text = error.render()
    assert "float23" in text and "models/src/q" in text and "paramaters" in text
    assert text.endswith("3 errors")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("merge_method: linear\n\n# note\nmodels:\n  - model: models/src/q\n", 5),
        ("{% set x = 1 %}\nmerge_method: linear\n{% if x %}\nbase_model: models/src/q\n"
         "{% endif %}\nmodels:\n  - model: models/src/a\n", 4),
        ("merge_method: linear\nmodels:\n{% for m in models %}\n  - model: {{ m.ref }}\n"
         "    parameters: {weight: 0.5, wieght: 1}\n{% endfor %}\n", 5),
        ("merge_method: linear\n{{ layout.inputs(models, groups, each={'weight': 0.5,\n"
         "   'density': 1}) }}\n", 2),
    ],
)  # fmt: skip
def test_errors_point_at_the_template_line(
    body: str, line: int, header_models: SimpleNamespace, tmp_path: Path
) -> None:
    template = write_template(tmp_path, body)
    start = template.read_text().split("---\n")[0].count("\n") + 1
    error = error_of(write_recipe(tmp_path, models=abc(header_models)))
    assert error.place is not None
    assert (error.place.file, error.place.line) == (str(template), start + line)


def test_shipped_templates_have_no_dead_genes(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    from evomerge_compiler import assets

    for name in assets.names("templates"):
        pairs = ("slerp", "nuslerp", "nearswap", "arcee_fusion")
        aliases = "ab" if name in pairs else "a" if name == "passthrough" else "abc"
        path = write_recipe(
            tmp_path,
            models=abc(header_models, aliases),
            base=header_models.base,
            kind="experiment",
            template=name,
            rest=SCORED,
        )
        check_dead_genes(recipe.load(path))


def test_the_base_among_the_models_has_no_weight_of_its_own(
    header_models: SimpleNamespace, tmp_path: Path
) -> None:
    path = write_recipe(
        tmp_path, models=abc(header_models), kind="experiment", template="ties", rest=SCORED
    )
    loaded = recipe.load(path)
    assert set(loaded.genome.values["weight"]) == {"b", "c"}  # type: ignore[call-overload]
    check_dead_genes(loaded)
    data = yaml.safe_load(compile_recipe(loaded).text)
    assert data["base_model"] == "models/src/a"
    assert data["models"][0] == {"model": "models/src/a"}


def test_a_world_compiles_many_genomes(header_models: SimpleNamespace, tmp_path: Path) -> None:
    import random

    path = write_recipe(
        tmp_path,
        models=abc(header_models),
        base=header_models.base,
        kind="experiment",
        template="three_stage",
        rest=SCORED,
    )
    loaded = recipe.load(path)
    world = gather(loaded)
    source = random.Random(3)
    genomes = [rendering.sample(loaded.space, source) for _ in range(12)]
    plans = [compile_recipe(loaded, genome=genome, world=world) for genome in genomes]
    assert len({plan.merge_key for plan in plans}) == len(set(map(repr, genomes)))
    assert [compile_recipe(loaded, genome=g).text for g in genomes] == [p.text for p in plans]


def test_the_recipe_of_real_models_previews_without_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    plan = compile_file(REPOSITORY / "recipes" / "qwen-1.5b.yaml")
    assert plan.n_layers == 28
    references = {alias: model.reference for alias, model in plan.models.items()}
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+(@\w+)?", ref) for ref in references.values())
    assert "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B" in plan.written(references)


def test_tiny_models_of_each_kind_compile(
    tiny_models: Callable[[str], dict[str, Path]], tmp_path: Path
) -> None:
    for kind in ("qwen2", "qwen3", "llama"):
        plan = plan_of(SimpleNamespace(**tiny_models(kind)), tmp_path, "ties")
        facts = plan.models["a"].facts
        assert (facts.num_hidden_layers, facts.tie_word_embeddings) == (4, True)
        assert facts.rope == "theta 10000"


def test_a_mergeable_model_beside_an_odd_one_is_refused(
    tiny_models: Callable[[str], dict[str, Path]], tmp_path: Path
) -> None:
    odd = build_model(tmp_path / "odd", "llama", 9)
    models = {"a": tiny_models("qwen2")["a"], "odd": odd}
    error = error_of(write_recipe(tmp_path, models=models, template="linear"))
    assert "differ in architecture" in error.message
