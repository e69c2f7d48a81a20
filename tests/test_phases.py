"""``search.phases``: strict to read, and a run like any other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from simulated_run import ROOT, digest, evolve

from evomerge_compiler import recipe as recipes
from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.cli import evomerge
from evomerge_compiler.errors import ErrorList, EvomergeError
from evomerge_compiler.events import GenerationStarted, Observer
from evomerge_compiler.history import History
from evomerge_compiler.recipe_phases import begun_by, phase_of, starts
from evomerge_compiler.recipe_schema import PhaseSpec, Plateau, SearchSpec
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.strategies.factory import build

RECIPE = ROOT / "recipes" / "ps_then_dfs.yaml"
PATH = "genes: [path_step, source, path_scale, donor_weight], generations: 2"
SHORT = (
    "search.population=4",
    f"search.phases=[{{name: ps, genes: [weight], generations: 2, strategy: cma_es}}, "
    f"{{name: dfs, {PATH}}}]",
)


def phases(*numbers: int) -> list[PhaseSpec]:
    return [PhaseSpec(name=f"p{n}", genes=["x"], generations=n) for n in numbers]


def test_generations_belong_to_phases_and_the_last_goes_on() -> None:
    some = phases(3, 1, 2)
    assert starts(some) == [0, 3, 4]
    assert [phase_of(some, n) for n in range(8)] == [0, 0, 0, 1, 2, 2, 2, 2]
    assert [begun_by(some, n) for n in range(6)] == ["p3", None, None, "p1", "p2", None]
    assert starts([]) == [] and phase_of([], 3) is None and begun_by([], 0) is None


def test_the_phases_say_how_many_generations_there_are() -> None:
    search = recipes.load(RECIPE).search
    assert search is not None and search.generations == 20


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ("phases=[{name: a, genes: [wieght], generations: 1}]", "unknown gene 'wieght'", "weight"),
        (
            "phases=[{name: a, genes: [method, weight], generations: 1}]",
            "gene 'method' is held at 'task_arithmetic' by the recipe",
            "free it",
        ),
        (
            "phases=[{name: a, genes: [weight], generations: 1}, "
            "{name: b, genes: [weight, path_step, source, path_scale, donor_weight], "
            "generations: 1}]",
            "gene 'weight' is moved by phase 'a' already",
            "one phase only",
        ),
        ("phases=[{name: a, genes: [], generations: 1}]", "at least 1", "length inside"),
        ("phases=[{name: a, genes: [weight], generations: 0}]", "greater than or", "inside"),
        (
            f"phases=[{{name: a, genes: [weight], generations: 1}}, {{name: a, {PATH}}}]",
            "two phases are called 'a'",
            "rename",
        ),
        (
            "phases=[{name: a, genes: [weight], generations: 1}]",
            "no phase moves gene 'path_step'",
            "genes of a phase",
        ),
        (
            f"phases=[{{name: a, genes: [density], generations: 1}}, {{name: b, {PATH}}}]",
            "gene 'density' is never active in phase 'a'",
            "it counts only when method is ties or dare_ties",
        ),
        ("generations=7", "the phases say how many generations there are", "--gens"),
        ("strategy=tournament", "nothing reads this strategy", "leave it out"),
        ("parameters={sigma: 0.1}", "nothing reads this parameters", "leave it out"),
        (
            f"phases=[{{name: a, genes: [weight], generations: 1, strategy: cmaes}}, "
            f"{{name: b, {PATH}}}]",
            "unknown strategy 'cmaes'",
            "cma_es",
        ),
        (
            f"phases=[{{name: a, genes: [weight], generations: 1, parameters: {{sgima: 1}}}}, "
            f"{{name: b, {PATH}}}]",
            "unknown parameter 'sgima' of strategy 'elite_recovery'",
            "sigma",
        ),
        (
            f"phases=[{{name: a, genes: [weight], generations: 1, strategy: nsga2}}, "
            f"{{name: b, {PATH}}}]",
            "strategy 'nsga2' takes 2 objectives or more",
            "objectives",
        ),
        (
            "phases=[{name: a, genes: [weight], generations: 1}, "
            f"{{name: b, {PATH}, strategy: cma_es, parameters: {{covariance: diagonal}}}}]",
            "covariance: diagonal is for genomes of real numbers alone",
            "leave covariance out",
        ),
    ],
)
def test_mistakes_are_named(written: str, message: str, hint: str) -> None:
    with pytest.raises(EvomergeError) as caught:
        build(recipes.load(RECIPE, overrides=[f"search.{written}"]))
    errors = caught.value.errors if isinstance(caught.value, ErrorList) else [caught.value]
    found = [error for error in errors if message in error.message]
    assert found, [error.message for error in errors]
    assert hint in (found[0].hint or "")
    assert found[0].place is not None and found[0].place.file == f"-S search.{written}"


def test_a_gene_that_is_switched_off_for_good_needs_no_phase() -> None:
    """The template frees ``density``, which task arithmetic does not have."""
    space = recipes.load(RECIPE).space
    assert "density" in space.by_name and "density" not in space.initial().values


def test_parameters_of_a_phase_change_those_of_the_search() -> None:
    written = [
        "search.strategy=tournament",
        "search.parameters={size: 2, elitism: 2}",
        "search.phases=[{name: a, genes: [weight], generations: 1, parameters: {size: 4}}, "
        f"{{name: b, {PATH}}}]",
    ]
    search = build(recipes.load(RECIPE, overrides=written))
    parameters = search.inner.p  # type: ignore[attr-defined]
    assert (parameters.size, parameters.elitism) == (4, 2)


def test_only_the_last_phase_ends_on_a_plateau() -> None:
    spec = SearchSpec(plateau=Plateau(patience=2), phases=phases(4, 9))
    history = History(spec)
    stops = []
    for value in (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.6, 0.6, 0.6):
        history.best_so_far.append((value,))
        stops.append(history.on_plateau())
    assert stops == [False] * 5 + [True, False, False, True]


# -- runs ----------------------------------------------------------------------------------


class Heard(Observer):
    def __init__(self) -> None:
        self.begun: list[tuple[int, str | None]] = []

    def notice(self, event: object) -> None:
        if isinstance(event, GenerationStarted):
            self.begun.append((event.number, event.begins))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phases") / "run"
    heard = Heard()
    evolve(folder, 4, recipe=RECIPE, overrides=SHORT, observers=[heard])
    assert heard.begun == [(0, "ps"), (1, None), (2, "dfs"), (3, None)]
    return folder


@pytest.mark.parametrize("stops", [(1, 2, 3), (0, 2), (3,)])
def test_a_resumed_run_is_the_same_run(
    unbroken: Path, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    for gens in (*stops, 4):
        evolve(tmp_path / "run", gens, recipe=RECIPE, overrides=SHORT, final=gens == 4)
    assert digest(tmp_path / "run") == digest(unbroken)


def test_the_second_phase_keeps_the_merge_of_the_first(unbroken: Path) -> None:
    run = RunFolder.open(unbroken)
    best = max(
        (o for g in (0, 1) for o in run.outcomes(g)),
        key=lambda o: o.fitness.value if o.fitness else 0,
    )
    first = [run.candidate(o.id) for o in run.outcomes(0)]
    plain = run.recipe.space.initial().values
    assert all(
        c.genome is not None and c.genome.values["path_step"] == plain["path_step"] for c in first
    )
    for generation in (2, 3):
        for outcome in run.outcomes(generation):
            assert outcome.genome.values["weight"] == best.genome.values["weight"]
    assert run.search_state(2)["starts_from"] == str(best.id)


@pytest.mark.long
def test_real_models_are_merged_first_and_then_sent_on_a_path(tmp_path: Path) -> None:
    """mergekit and lm-eval with the models of the zoo, few items."""
    done = subprocess.run(
        [
            sys.executable, "-m", "evomerge_compiler", "evolve", str(RECIPE),
            "--run-dir", str(tmp_path / "run"), "--limit", "12",
            "-S", "search.population=3",
            "-S", "search.phases=[{name: ps, genes: [weight], generations: 1, strategy: sobol}, "
            "{name: dfs, genes: [path_step, source, path_scale, donor_weight], generations: 1}]",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "generation 001: phase dfs begins" in done.stderr
    run = RunFolder.open(tmp_path / "run")
    merged, sent = run.outcomes(0), run.outcomes(1)
    start = CandidateId.parse(str(run.search_state(1)["starts_from"]))
    held = next(o.genome for o in merged if o.id == start).values["weight"]
    assert all(outcome.genome.values["weight"] == held for outcome in sent)
    assert all(outcome.scored for outcome in (*merged, *sent))
    assert len({o.scores.weights for o in (*merged, *sent) if o.scores}) >= 4


def test_a_longer_run_goes_on_with_the_last_phase(unbroken: Path, tmp_path: Path) -> None:
    evolve(tmp_path / "run", 5, recipe=RECIPE, overrides=SHORT, final=False)
    run = RunFolder.open(tmp_path / "run")
    assert run.search_state(4)["phase"] == "dfs"


def shown(*arguments: str) -> object:
    done = CliRunner().invoke(evomerge, [*arguments, "--json"], standalone_mode=False)
    return json.loads(done.stdout)


def test_status_show_and_lineage_name_the_phase(unbroken: Path) -> None:
    status, rows = shown("status", str(unbroken)), shown("show", str(unbroken))
    assert isinstance(status, dict) and isinstance(rows, list)
    assert status["phase"] == "dfs, 2 of 2, since 002"
    assert [row["phase"] for row in rows] == ["ps"] * 8 + ["dfs"] * 8
    tree = CliRunner().invoke(evomerge, ["lineage", str(unbroken), "002/c00"]).stdout
    assert "phase dfs" in tree and "phase ps" in tree
