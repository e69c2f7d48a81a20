"""The shipped recipes: each loads, as its own comment says it is used, and merges for real."""

from __future__ import annotations

import random
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evomerge_compiler import recipe, templates
from evomerge_compiler.compiler import compile_recipe, gather, rendering
from evomerge_compiler.compiler.gene_effects import dead_genes
from evomerge_compiler.errors import ErrorList
from evomerge_compiler.evaluation.presets import warn_of_benchmarks
from evomerge_compiler.evaluation.spec import plan_evaluation
from evomerge_compiler.evaluation.task_index import local_tasks
from evomerge_compiler.genome import Genome
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.strategies.factory import build

REPOSITORY = Path(__file__).resolve().parent.parent
FILES = sorted((REPOSITORY / "recipes").glob("*.yaml"))
NAMES = [path.stem for path in FILES]
ON_THE_HUB = ("qwen-1.5b", "long-to-short-1.5b")
MERGES = [name for name in NAMES if name not in ON_THE_HUB]
N_LAYERS = 4
ZOO = ("base", "coder", "mathematician", "polyglot")
PAIR = ("slow", "fast")

FAMILIES = {
    "linear": {"linear"},
    "spherical": {"slerp", "nuslerp", "multislerp", "karcher"},
    "task vectors": {"task_arithmetic", "ties"},
    "dropped at random": {"dare_ties", "dare_linear"},
    "dropped by size at random": {"della", "della_linear"},
    "without outliers": {"breadcrumbs", "breadcrumbs_ties"},
    "weighed by the models themselves": {"model_stock"},
    "by variance": {"sce"},
    "by overlap": {"ram", "ramplus_tl"},
    "one model": {"passthrough"},
    "layers of several models": {"frankenmerge"},
    "data flow": {"dfs"},
    "parameter space": {"ps"},
    "both spaces": {"ps_dfs"},
    "three stages": {"three_stage"},
}


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[[str], dict[str, Path]]
) -> Path:
    """A project whose zoo holds tiny random models under the names of the real ones."""
    root = tmp_path_factory.mktemp("project")
    (root / "zoo").mkdir()
    for name, alias in zip((*ZOO, *PAIR), ("base", "a", "b", "c", "a", "b"), strict=True):
        (root / "zoo" / name).symlink_to(tiny_models("qwen2")[alias])
    return root


@pytest.fixture(autouse=True)
def in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOMERGE_PROJECT", str(project))


def load(name: str, **options: Any) -> Recipe:
    return recipe.load(REPOSITORY / "recipes" / f"{name}.yaml", **options)


def usage(path: Path) -> list[list[str]]:
    """The commands in the comment that opens a recipe, as words."""
    head = path.read_text(encoding="utf-8").split("\nversion:")[0]
    assert all(line.startswith("#") for line in head.splitlines()), "a comment opens the file"
    found = re.findall(r"(?:^# +|or +)((?:evomerge|make) .+?)(?= +or |$)", head, re.MULTILINE)
    return [shlex.split(command) for command in found]


# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_the_comment_says_how_to_use_it(path: Path) -> None:
    commands = usage(path)
    assert [words for words in commands if words[0] == "evomerge"]
    for words in commands:
        if words == ["make", "evolve"]:
            assert path.stem == "quickstart", "make evolve runs the quickstart"
            continue
        assert words[0] == "evomerge"
        kind = load(path.stem).kind
        searches = {"evolve", "compile", "simulate"}
        assert words[1] in ({"merge", "compile"} if kind == "merge" else searches)
        assert words[2] == f"recipes/{path.name}"
        options = dict(zip(words[3::2], words[4::2], strict=True))
        assert set(options) <= {"-S", "--models", "--gens", "--run-dir", "-o"}
        # As typed, from the repository's folder.
        loaded = recipe.load(
            REPOSITORY / words[2],
            overrides=[options["-S"]] if "-S" in options else [],
            models=options["--models"].split(",") if "--models" in options else [],
        )
        compile_recipe(loaded)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_found_by_name_and_named_after_its_file(
    name: str, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    monkeypatch.chdir(project)
    loaded = recipe.load(name)
    assert loaded.name == re.sub("[._]", "-", name)
    assert loaded.document.file == str(REPOSITORY / "recipes" / f"{name}.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_the_first_generation_compiles_and_differs(name: str) -> None:
    loaded = load(name)
    if loaded.kind == "merge":
        genomes = [loaded.genome]
    else:
        genomes = [proposal.genome for proposal in build(loaded).ask(0)]
        assert len(genomes) == loaded.search.population  # type: ignore[union-attr]
    keys = {compile_recipe(loaded, genome=genome).merge_key for genome in genomes}
    assert len(keys) == len(genomes)


@pytest.mark.parametrize("name", NAMES)
def test_every_genome_compiles(name: str) -> None:
    loaded = load(name)
    source = random.Random(name)
    for _ in range(10):
        plan = compile_recipe(loaded, genome=rendering.sample(loaded.space, source))
        assert plan.n_layers == (28 if name in ON_THE_HUB else N_LAYERS)
        assert not plan.depth_changed


@pytest.mark.parametrize("name", NAMES)
def test_every_gene_has_an_effect(name: str) -> None:
    loaded = load(name)
    assert dead_genes(loaded, gather(loaded).layers) == []


def mergekit_multi(text: str, folder: Path) -> Path:
    """Runs a compiled text, unchanged, through mergekit's own command, in this process."""
    from mergekit.scripts import multimerge

    config = folder / "mergekit.yaml"
    config.write_text(text, encoding="utf-8")
    arguments = [str(config), "-I", str(folder / "stages"), "--out-path", str(folder / "out")]
    arguments += ["--random-seed", "7", "--no-write-model-card", "--quiet"]
    multimerge.main.main(arguments, standalone_mode=False)
    return folder / "out"


def written(loaded: Recipe, genome: Genome | None = None) -> str:
    plan = compile_recipe(loaded, genome=genome)
    return plan.written({alias: str(model.folder) for alias, model in plan.models.items()})


def assert_sound(out: Path, source: Path) -> None:
    """The merge has its source's tensors, all finite, loads, and computes finite logits."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    merged = load_file(out / "model.safetensors")
    assert set(merged) == set(load_file(source / "model.safetensors"))
    assert all(torch.isfinite(tensor).all() for tensor in merged.values())
    model = AutoModelForCausalLM.from_pretrained(out)
    with torch.no_grad():
        tokens = AutoTokenizer.from_pretrained(out)("1 + 1 =", return_tensors="pt")
        assert torch.isfinite(model(tokens["input_ids"]).logits).all()


@pytest.mark.parametrize("name", MERGES)
def test_the_first_genome_merges(name: str, project: Path, tmp_path: Path) -> None:
    assert_sound(mergekit_multi(written(load(name)), tmp_path), project / "zoo" / "coder")


@pytest.mark.parametrize("kind", ["zoo", "qwen2", "llama"])
def test_the_eight_combinations_run_unchanged(
    kind: str, tiny_models: Callable[[str], dict[str, Path]], tmp_path: Path
) -> None:
    # The real zoo by its folders: the name zoo:NAME means tiny random models in these tests.
    zoo = {name: REPOSITORY / "zoo" / name for name in ZOO}
    models = zoo if kind == "zoo" else tiny_models(kind)
    base, *parents = (str(path) for path in models.values())
    loaded = load("quickstart", models=parents, overrides=[f"base.path={base}"])
    merged = set()
    for index, proposal in enumerate(build(loaded).ask(0)):
        folder = tmp_path / str(index)
        folder.mkdir()
        out = mergekit_multi(written(loaded, proposal.genome), folder)
        assert_sound(out, Path(parents[0]))
        merged.add((out / "model.safetensors").read_bytes())
    assert len(merged) == 8


@pytest.mark.long
@pytest.mark.parametrize("slot", [0, 7])
def test_the_printed_command_runs(slot: int, tmp_path: Path, project: Path) -> None:
    """The command in the first line of a compiled text, as a person would paste it."""
    from evomerge_compiler import processes

    loaded = load("quickstart")
    genome = build(loaded).ask(0)[slot].genome
    text = written(loaded, genome)
    (tmp_path / "mergekit.yaml").write_text(text, encoding="utf-8")
    command = shlex.split(text.splitlines()[0].split(":  ")[1])
    assert command[0] == "mergekit-multi"
    command[0] = str(Path(sys.executable).parent / command[0])
    done = processes.run_command(command, cwd=tmp_path, timeout_s=300)
    assert done.returncode == 0, done.stderr_tail
    assert_sound(tmp_path / "OUT", project / "zoo" / "coder")


def test_the_large_recipe_in_miniature(tmp_path: Path, unequal_models: dict[str, Path]) -> None:
    """Two models with heads and one without, of another rotary base: all eight combinations."""
    import torch
    from model_builders import build_model
    from safetensors.torch import load_file

    untied = unequal_models["untied"]
    second = build_model(tmp_path / "second", "qwen2", 9, base=untied, tie_word_embeddings=False)
    tied = build_model(tmp_path / "tied", "qwen2", 10, rope_theta=1e6)
    loaded = load(
        "qwen-1.5b",
        models=[str(untied), str(second), str(tied)],
        overrides=["layer_groups=4"],
    )
    head = "lm_head.weight"
    assert head not in load_file(tied / "model.safetensors")
    for index, proposal in enumerate(build(loaded).ask(0)):
        folder = tmp_path / str(index)
        folder.mkdir()
        out = mergekit_multi(written(loaded, proposal.genome), folder)
        assert_sound(out, untied)
        merged, source = (
            load_file(out / "model.safetensors"),
            load_file(untied / "model.safetensors"),
        )
        assert not torch.equal(merged[head].float(), source[head].float())
        assert not torch.equal(merged[head], merged["model.embed_tokens.weight"])


# --------------------------------------------------------------------------------------


def test_every_family_of_templates_has_a_recipe() -> None:
    used = {load(name).template.name for name in NAMES}
    missing = [family for family, names in FAMILIES.items() if not names & used]
    assert not missing


def test_composed_templates_are_all_shown() -> None:
    used = {load(name).template.name for name in NAMES}
    assert {"three_stage", "frankenmerge", "dfs", "ps", "ps_dfs"} <= used


def test_quickstart_writes_out_what_its_template_declares() -> None:
    """So that a recipe which leaves its genome out gets the genes the quickstart shows."""
    template = templates.load("three_stage")
    written = {gene.name: gene for gene in load("quickstart").space.genes}
    free = {gene.name: gene for gene in template.genes if gene.name not in template.fixed}
    # It searches three more, which the template holds still.
    extra = {"ensemble_weight", "ties_lambda", "amplification"}
    assert extra <= set(template.fixed)
    assert [name for name in written if name not in extra] == list(free)
    for name, gene in free.items():
        shown = written[name]
        for part in ("kind", "low", "high", "choices", "per", "filters", "log", "when"):
            assert getattr(shown, part) == getattr(gene, part), (name, part)
        assert shown.init == gene.init, name


def test_quickstart_starts_with_the_eight_combinations() -> None:
    loaded = load("quickstart")
    combinations = {
        tuple(p.genome.values[k] for k in ("interpolation", "ensemble", "recombination"))
        for p in build(loaded).ask(0)
    }
    assert len(combinations) == 8


def test_zoo_models_are_there() -> None:
    named = {
        spec.path.removeprefix("zoo:") for n in MERGES for spec in load(n).all_models.values()
    }
    assert named == {*ZOO, *PAIR}
    for name in named:
        assert (REPOSITORY / "zoo" / name / "config.json").is_file(), name


@pytest.mark.parametrize(("words", "n_layers"), [("otto", 6), ("osoo", 3), ("ttss", 4)])
def test_a_path_that_may_change_the_depth_says_so(words: str, n_layers: int) -> None:
    steps = [{"s": "skip", "o": "once", "t": "twice"}[letter] for letter in words]
    overrides = [f"genome.path_step={steps}", "genome.keep_depth=false"]
    plan = compile_recipe(load("dfs", overrides=overrides))
    assert plan.n_layers == n_layers
    assert plan.depth_changed == (n_layers != N_LAYERS)
    assert bool(plan.notes) == plan.depth_changed


@pytest.mark.parametrize("name", NAMES)
def test_recipes_score_with_tasks_that_are_there(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = load(name)
    assert loaded.evaluation is not None
    plan = plan_evaluation(loaded.evaluation, folder=loaded.folder, document=loaded.document)
    local = local_tasks([Path(path) for path in plan.include_paths])
    assert plan.offline
    for task in plan.tasks:
        assert task.task in local and task.metric, task.domain
    assert sum(plan.weights.values()) == pytest.approx(1.0)
    warn_of_benchmarks(loaded.evaluation, loaded.document)
    assert not caplog.records, "no shipped recipe searches on a public benchmark"


def test_the_large_recipe_compiles_where_no_model_is() -> None:
    loaded = load("qwen-1.5b")
    facts = {alias: spec.facts for alias, spec in loaded.models.items()}
    assert all(facts.values())
    ties = {alias: f.tie_word_embeddings for alias, f in facts.items() if f is not None}
    assert ties == {"reasoner": False, "researcher": False, "instructor": True}
    # What differs has its donor, and the donor has a head of its own.
    for donor in (loaded.config_from, loaded.tokenizer, loaded.chat_template):
        assert donor == "reasoner"
    plan = compile_recipe(loaded)
    assert plan.n_layers == 28
    final: Any = plan.stages[-1].document
    ranges = [part["sources"][0]["layer_range"] for part in final["slices"]]
    assert ranges == [[i, i + 4] for i in range(0, 28, 4)]
    assert plan.stages[1].document["base_model"] == "models/src/reasoner"
    assert {model.folder for model in plan.models.values()} == {None}


def test_the_slow_model_is_the_base_of_the_real_pair_and_gives_all_that_is_not_merged() -> None:
    loaded = load("long-to-short-1.5b")
    assert loaded.base == "slow" and loaded.search is not None
    assert loaded.search.objectives == ["mean", "tokens"]
    plan = compile_recipe(loaded)
    donors = (plan.config_donor, plan.tokenizer_donor, plan.chat_template_donor)
    assert donors == ("slow", "slow", "slow")
    document: Any = plan.stages[-1].document
    assert document["merge_method"] == "ties" and not document["parameters"]["normalize"]
    assert {model.folder for model in plan.models.values()} == {None}


def test_a_number_beyond_the_last_model_is_named_at_its_place() -> None:
    with pytest.raises(ErrorList, match=r"expected one of \[0, 1, 2\], got 3"):
        load("frankenmerge", overrides=["genome.source=[0, 1, 2, 3]"])
    # In ps_dfs the merge comes first, then the three models.
    assert load("ps_dfs", overrides=["genome.source=[0, 1, 2, 3]"]).space.fixed["source"]


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ("{choice: [0, 1], sources: many}", "expected a number of earlier stages"),
        ("{choice: [0, 1], sources: true}", "expected a number of earlier stages"),
        ("{float: [0, 1], sources: 0}", "expected a number of earlier stages, and choices"),
    ],
)
def test_a_template_numbers_sources_of_choices_only(
    declaration: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml.j2"
    path.write_text(
        f"summary: x\nmethods: [linear]\ngenes:\n  source: {declaration}\n---\nx: 1\n",
        encoding="utf-8",
    )
    with pytest.raises(ErrorList, match=message) as caught:
        templates.load(str(path))
    assert caught.value.place is not None
    assert (caught.value.place.file, caught.value.place.line) == (str(path), 4)
