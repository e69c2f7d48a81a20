"""The shipped recipes: each loads, as its own comment says it is used, and merges for real."""

from __future__ import annotations

import random
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from evomerge_compiler import assets, recipe, rendering, templates, yamlio
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.strategies.factory import build

REPOSITORY = Path(__file__).resolve().parent.parent
FILES = sorted((REPOSITORY / "recipes").glob("*.yaml"))
NAMES = [path.stem for path in FILES]
ON_THE_HUB = ("qwen-1.5b",)
MERGES = [name for name in NAMES if name not in ON_THE_HUB]
N_LAYERS = 4

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
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose zoo holds tiny random models under the names of the real ones."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("project")
    for index, name in enumerate(("base", "coder", "mathematician", "polyglot")):
        torch.manual_seed(index)
        config = Qwen2Config(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=N_LAYERS,
            num_attention_heads=4,
            num_key_value_heads=2,
            initializer_range=0.2,
            tie_word_embeddings=True,
        )
        Qwen2ForCausalLM(config).save_pretrained(root / "zoo" / name)
    return root


@pytest.fixture(autouse=True)
def in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOMERGE_PROJECT", str(project))


def load(name: str, **options: Any) -> Recipe:
    return recipe.load(REPOSITORY / "recipes" / f"{name}.yaml", **options)


def layers(loaded: Recipe) -> dict[str, int]:
    return {
        alias: spec.facts.num_hidden_layers if spec.facts else N_LAYERS
        for alias, spec in loaded.all_models.items()
    }


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
        assert words[1] in ({"merge", "compile"} if kind == "merge" else {"evolve", "compile"})
        assert words[2] == f"recipes/{path.name}"
        options = dict(zip(words[3::2], words[4::2], strict=True))
        assert set(options) <= {"-S", "--models", "--gens", "-o"}
        # As typed, from the repository's folder.
        loaded = recipe.load(
            REPOSITORY / words[2],
            overrides=[options["-S"]] if "-S" in options else [],
            models=options["--models"].split(",") if "--models" in options else [],
        )
        rendering.render(loaded, loaded.genome, layers(loaded))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_found_by_name_and_named_after_its_file(
    name: str, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    monkeypatch.chdir(project)
    loaded = recipe.load(name)
    assert loaded.name == re.sub("[._]", "-", name)
    assert loaded.document.file == str(REPOSITORY / "recipes" / f"{name}.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_the_first_generation_renders_and_differs(name: str) -> None:
    loaded = load(name)
    if loaded.kind == "merge":
        genomes = [loaded.genome]
    else:
        genomes = [proposal.genome for proposal in build(loaded).ask(0)]
        assert len(genomes) == loaded.search.population  # type: ignore[union-attr]
    texts = {rendering.render(loaded, genome, layers(loaded)).text for genome in genomes}
    assert len(texts) == len(genomes)


@pytest.mark.parametrize("name", NAMES)
def test_every_genome_renders(name: str) -> None:
    from mergekit.config import MergeConfiguration

    loaded = load(name)
    source = random.Random(name)
    for _ in range(25):
        genome = rendering.sample(loaded.space, source)
        for document in rendering.render(loaded, genome, layers(loaded)).documents:
            plain = {key: value for key, value in document.items() if key != "name"}
            assert set(plain) <= set(MergeConfiguration.model_fields)
            assert plain["merge_method"] in loaded.template.methods
            MergeConfiguration.model_validate(plain)


@pytest.mark.parametrize("name", NAMES)
def test_every_free_gene_has_an_effect(name: str) -> None:
    """Some value of each coordinate changes what is merged, at the first genome that has it."""
    loaded = load(name)
    genomes = [loaded.genome]
    if loaded.kind == "experiment":
        genomes = [proposal.genome for proposal in build(loaded).ask(0)]
    for coordinate in loaded.space.coordinates:
        genome = next((g for g in genomes if coordinate.gene.name in g.values), None)
        if genome is None:
            # Its condition names a gene that the recipe holds at another value.
            assert any(name in loaded.space.fixed for name in coordinate.gene.when)
            continue
        before = rendering.render(loaded, genome, layers(loaded)).documents
        changed = rendering.variants(loaded.space, genome, coordinate)
        assert any(
            rendering.render(loaded, other, layers(loaded)).documents != before
            for other in changed
        ), coordinate.label


@pytest.mark.parametrize("name", MERGES)
def test_the_first_genome_merges(name: str, project: Path, tmp_path: Path) -> None:
    import torch
    from mergekit.scripts import multimerge
    from safetensors.torch import load_file

    loaded = load(name)
    rendered = rendering.render(loaded, loaded.genome, layers(loaded))
    text = yamlio.dump_all(rendered.documents)
    for alias, spec in loaded.all_models.items():
        folder = project / "zoo" / spec.path.removeprefix(assets.ZOO_PREFIX)
        text = text.replace(f"{rendering.SOURCES}{alias}\n", f"{folder}\n")
    config = tmp_path / "mergekit.yaml"
    config.write_text(text, encoding="utf-8")
    arguments = [str(config), "-I", str(tmp_path / "stages"), "--out-path", str(tmp_path / "out")]
    arguments += ["--random-seed", "7", "--no-write-model-card", "--quiet"]
    multimerge.main.main(arguments, standalone_mode=False)
    merged = load_file(tmp_path / "out" / "model.safetensors")
    source = load_file(project / "zoo" / "coder" / "model.safetensors")
    assert set(merged) == set(source)
    assert all(torch.isfinite(tensor).all() for tensor in merged.values())


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
    assert list(written) == list(free)
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


@pytest.mark.parametrize("name", MERGES)
def test_zoo_recipes_score_with_tasks_that_are_there(name: str) -> None:
    there = {}
    for path in sorted((REPOSITORY / "evaluators").glob("*/*.yaml")):
        loader: Any = type("Loose", (yaml.SafeLoader,), {})
        loader.add_multi_constructor("!", lambda *_: None)
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
        if isinstance(data.get("task"), str):
            there[data["task"]] = [m["metric"] for m in data.get("metric_list", [])]
    evaluation = load(name).evaluation
    assert evaluation is not None
    for domain, task in evaluation.tasks.items():
        assert task.metric in there.get(task.task, []), domain
    assert sum(task.weight for task in evaluation.tasks.values()) == pytest.approx(1.0)


def test_stock_tasks_are_there() -> None:
    import lm_eval

    folder = Path(lm_eval.__file__).parent / "tasks"
    evaluation = load("qwen-1.5b").evaluation
    assert evaluation is not None
    for task in evaluation.tasks.values():
        found = sorted(folder.glob(f"**/{task.task}.yaml"), key=lambda p: len(p.parts))
        assert found, task.task
        family = "".join(
            p.read_text(encoding="utf-8")
            for p in [*found[0].parent.iterdir()]
            if p.is_file() and p.suffix in (".yaml", ".py", "")
        )
        assert task.filter in ("none",) or task.filter in family
        # pass_at_k writes "pass@1"; all others are named in the file.
        assert task.metric.replace("pass@1", "pass_at_k") in family


def test_the_large_recipe_compiles_where_no_model_is() -> None:
    loaded = load("qwen-1.5b")
    facts = {alias: spec.facts for alias, spec in loaded.models.items()}
    assert all(facts.values())
    ties = {alias: f.tie_word_embeddings for alias, f in facts.items() if f is not None}
    assert ties == {"reasoner": False, "researcher": False, "instructor": True}
    # What differs has its donor, and the donor has a head of its own.
    for donor in (loaded.config_from, loaded.tokenizer, loaded.chat_template):
        assert donor == "reasoner"
    rendered = rendering.render(loaded, loaded.genome, layers(loaded))
    ranges = [s["sources"][0]["layer_range"] for s in rendered.documents[-1]["slices"]]
    assert ranges == [[i, i + 4] for i in range(0, 28, 4)]
    assert rendered.documents[1]["base_model"] == "models/src/reasoner"
