"""``evomerge simulate``: a whole search in seconds, in a run folder like any other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from simulated_run import ROOT, digest

from evomerge_compiler.cli import evomerge, run
from evomerge_compiler.run_folder import RunFolder

SIMULATE = ROOT / "recipes" / "simulate.yaml"
ZDT1 = (
    "-S", "search.strategy=nsga2", "-S", "search.objectives=[code, math]",
    "-S", "simulation.landscape=zdt1",
)  # fmt: skip


def simulate(run_dir: Path, *arguments: str, recipe: Path | str = SIMULATE) -> Result:
    given = ["simulate", str(recipe), "--run-dir", str(run_dir), *arguments]
    done = CliRunner().invoke(evomerge, given, catch_exceptions=False, standalone_mode=False)
    assert done.exit_code == 0 and not done.return_value
    return done


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("simulate") / "run"
    return folder, simulate(folder).stdout


def test_it_converges_and_prints_the_search(finished: tuple[Path, str]) -> None:
    folder, text = finished
    lines = text.splitlines()
    rows = [line.split() for line in lines if line.lstrip()[:1].isdigit()]
    assert [int(row[0]) for row in rows] == list(range(20))
    assert float(rows[0][1]) < 90 and float(rows[-1][1]) >= 99
    assert "█" in text and f"run: {folder}" in text
    winner = next(line for line in lines if line.startswith("winner"))
    assert "on held-out items" in winner
    assert sum(line.startswith(("  weight.", "  lambda:")) for line in lines) == 4


def test_it_is_a_run_like_any_other(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    assert run(["check", str(folder)]) == 0
    opened = RunFolder.open(folder)
    assert len(opened.sealed_generations()) == 20
    final = opened.final()
    assert final is not None and {"base", "coder", "uniform", "winner"} <= set(final["models"])


def test_it_resumes_to_the_same_bytes(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = finished
    simulate(tmp_path / "run", "--gens", "0")
    simulate(tmp_path / "run", "--gens", "7")
    simulate(tmp_path / "run", recipe=tmp_path / "run")
    assert digest(tmp_path / "run") == digest(folder)


def test_it_never_takes_the_folder_of_a_real_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["-q", "simulate", str(SIMULATE), "--gens", "1"]) == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["simulate-simulated"]


def test_json_has_the_table_and_the_end(tmp_path: Path) -> None:
    data = json.loads(simulate(tmp_path / "run", "--gens", "3", "--json").stdout)
    assert [row["generation"] for row in data["generations"]] == [0, 1, 2]
    assert data["final"]["winner"] is not None


def test_several_objectives_end_with_a_front(tmp_path: Path) -> None:
    text = simulate(tmp_path / "run", "--gens", "4", *ZDT1).stdout
    head = next(i for i, line in enumerate(text.splitlines()) if line.startswith("candidate "))
    table = [line.split() for line in text.splitlines()[head + 1 : -1]]
    code, math = ([float(row[i]) for row in table] for i in (1, 2))
    assert len(table) > 2
    assert code == sorted(code, reverse=True) and math == sorted(math)


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("quickstart", "winner"),
        ("long-to-short", "in all objectives"),
        ("long-to-short-1.5b", "in all objectives"),
    ],
)
def test_any_recipe_can_be_simulated(tmp_path: Path, recipe: str, says: str) -> None:
    text = simulate(tmp_path / "run", "--gens", "2", recipe=recipe).stdout
    assert says in text
    if recipe != "quickstart":
        rows = [line.split() for line in text.splitlines() if line[:1] == "0" and "/c" in line]
        assert rows and all(float(row[2]) < 0 for row in rows), "tokens are counted as costs"


def test_a_landscape_that_does_not_fit_is_told_before_it_is_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SIMULATE.read_text().replace("lambda: {float: [0.1, 2], init: 1.0}", "lambda: 1.0")
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert run(["validate", str(SIMULATE)]) == 0
    assert run(["validate", str(path)]) == 2
    line = 1 + text.splitlines().index("  landscape: four_genes")
    message = capsys.readouterr().err
    assert "is over 4 values, the genome has 3" in message and f"mine.yaml:{line}:14" in message


def test_failures_are_part_of_it(tmp_path: Path) -> None:
    arguments = ("--gens", "3", "-S", "simulation.failing={timeout: 0.4}", "--json")
    rows = json.loads(simulate(tmp_path / "run", *arguments).stdout)["generations"]
    assert sum(row["failed"] for row in rows) > 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-S", "simulation.landscape=zdt1", "-S", "search.strategy=nsga2"], 2),
        (["-S", "search.parameters.sigmaa=1"], 2),
        (["-S", "simulation.failing={timeout: 1}", "--gens", "2"], 1),
    ],
)
def test_mistakes_have_exit_codes(tmp_path: Path, arguments: list[str], code: int) -> None:
    folder = tmp_path / "run"
    assert run(["simulate", str(SIMULATE), "--run-dir", str(folder), *arguments]) == code
    assert folder.exists() == (code == 1), "a mistake leaves no folder behind"


@pytest.mark.parametrize("further", [[], ["--accept-lock"]])
def test_a_real_run_never_goes_on_in_a_simulated_folder(
    finished: tuple[Path, str], further: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = finished
    before = digest(folder)
    assert run(["evolve", str(folder), "--gens", "21", *further]) == 2
    message = capsys.readouterr().err
    assert "is a simulated run" in message and "--accept-lock" not in message
    assert f"evomerge simulate {folder}" in message
    assert digest(folder) == before


def test_it_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from evomerge_compiler.cli import run; code = run(sys.argv[1:]);"
        "heavy = {'torch', 'transformers', 'lm_eval', 'mergekit', 'datasets'} & set(sys.modules);"
        "sys.exit(code or str(heavy) if heavy else code)"
    )
    given = ["simulate", str(SIMULATE), "--run-dir", str(tmp_path / "run"), "--gens", "2"]
    done = subprocess.run(
        [sys.executable, "-c", code, *given], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
