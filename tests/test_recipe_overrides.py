"""What is set on the command line means what it says there, and its mistakes are shown there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from evomerge_compiler import cli, recipe, yamlio
from evomerge_compiler.cli.compile_command import compiled, recipes_of
from evomerge_compiler.compiler import gather
from evomerge_compiler.errors import ErrorList, EvomergeError
from evomerge_compiler.recipe_overrides import from_here, replace_models

ROOT = Path(__file__).resolve().parents[1]
SIMULATE = ROOT / "recipes" / "simulate.yaml"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder that is not the recipe's, with three models in it."""
    for name, model in zip("abc", ("coder", "mathematician", "polyglot"), strict=True):
        (tmp_path / name).symlink_to(ROOT / "zoo" / model)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("search.strategy=cma-es", 17, "unknown strategy"),
        ("search.populaton=3", 8, "unknown key 'populaton'"),
        ("serch.population=3", 1, "unknown key 'serch'"),
        ("genome.lambda={float: [0, 1], init: 7}", 37, "7"),
        ("genome.lambda={float: [0,", 26, "not valid YAML"),
        ("search.strategy.name=3", 17, "search.strategy has no keys"),
        ("layer_groups=99", 14, "expected 1 to 4 layer groups"),
    ],
)
def test_a_mistake_is_shown_at_the_flag(text: str, column: int, message: str) -> None:
    with pytest.raises(EvomergeError) as caught:
        loaded = recipe.load(SIMULATE, overrides=[text])
        compiled(loaded, recipes_of(loaded, None))
    place = caught.value.place
    assert place is not None and message in caught.value.message
    assert (place.file, place.line, place.column) == (f"-S {text}", 1, column)
    assert place.snippet == text


def test_the_later_of_two_settings_is_shown_and_the_rest_of_the_recipe_keeps_its_places() -> None:
    loaded = recipe.load(SIMULATE, overrides=["genome.lambda={float: [0, 2]}", "seed=3"])
    document = loaded.document
    assert document.place(("genome", "lambda", "init")).file.startswith("-S genome.lambda")
    assert document.place(("genome", "weight", "init")).file == str(SIMULATE)
    again = yamlio.read_file(SIMULATE)
    assert document.place(("search", "strategy")) == again.place(("search", "strategy"))


def test_models_are_relative_to_the_current_folder(here: Path) -> None:
    loaded = recipe.load(SIMULATE, models=["./a", "b", str(here / "c")])
    zoo = gather(recipe.load(SIMULATE)).sources
    given = gather(loaded).sources
    names = ("coder", "mathematician", "polyglot")
    assert [given[n].identity for n in names] == [zoo[n].identity for n in names]
    assert [spec.domain for spec in loaded.models.values()] == ["code", "math", "multilingual"]


@pytest.mark.parametrize("name", ["org/model", "zoo:coder", str(SIMULATE), "~"])
def test_what_is_no_relative_path_stays(name: str, here: Path) -> None:
    assert from_here(name, here / "recipes") == name


def test_a_folder_of_the_recipe_never_looks_like_a_hub_id(here: Path) -> None:
    (here / "org" / "model").mkdir(parents=True)
    assert from_here("org/model", here) == "./org/model"
    assert from_here("org/model", here / "recipes") == "../org/model"


def test_only_domain_and_weight_stay_of_a_model_that_is_replaced() -> None:
    text = (
        "models: {a: {path: x, domain: code, weight: 0.5, revision: r, facts: {}}, b: {path: y}}"
    )
    document = replace_models(yamlio.parse(text), ["p", "q"])
    assert document.data == {
        "models": {"a": {"path": "p", "domain": "code", "weight": 0.5}, "b": {"path": "q"}}
    }


def test_a_model_that_is_not_there_is_shown_at_the_flag(here: Path) -> None:
    with pytest.raises(ErrorList) as caught:
        recipe.load(SIMULATE, models=["./a", "./nowhere", "no.gguf"])
    errors = caught.value.errors
    assert [str(error.place) for error in errors] == [
        f"--models ./a,./nowhere,no.gguf:1:{column}" for column in (5, 15)
    ]
    assert "no model at './nowhere'" in errors[0].message and str(here) in str(errors[0].hint)
    with pytest.raises(EvomergeError, match="names 2 models, the recipe has 3") as counted:
        recipe.load(SIMULATE, models=["./a", "./b"])
    assert "coder, mathematician, polyglot" in str(counted.value.hint)


def test_a_run_keeps_its_models_wherever_it_is_resumed_from(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ["simulate", str(SIMULATE), "--models", "./a,./b,./c", "-S", "search.population=4"]
    assert cli.run([*start, "--run-dir", "run", "--gens", "1"]) == 0
    assert cli.run([*start, "--run-dir", "run", "--gens", "2"]) == 0
    lock = yaml.safe_load((here / "run" / "recipe.lock.yaml").read_text())
    folder = here / "run" / lock["folder"]
    assert [(folder / path).resolve() for path in lock["models"]] == [
        (here / name).resolve() for name in "abc"
    ]
    monkeypatch.chdir(ROOT)
    assert cli.run(["simulate", str(here / "run"), "--gens", "3"]) == 0
    assert (here / "run/generations/002/SEALED").is_file()
