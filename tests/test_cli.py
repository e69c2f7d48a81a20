"""The command line: help, exit codes, output on the right stream, commands on a simulated run."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.core import ParameterSource
from simulated_run import QUICKSTART, ROOT, evolve

from evomerge_compiler import cli, errors
from evomerge_compiler.cli.common import merge_options, merge_options_of
from evomerge_compiler.merging.options import mergekit_argv
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.strategies import all_strategies

README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "toy"
    evolve(folder, 2, overrides=("search.plateau.patience=0",))
    return folder


def call(*arguments: str | Path) -> int:
    return cli.run([str(argument) for argument in arguments])


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_an_example_and_is_in_the_readme(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(name, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: evomerge {name}")
    assert "Example" in text
    assert f"`{name}" in README or f"evomerge {name}" in README


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_has_a_variable_named_after_its_long_flag(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = click.Context(cli.evomerge, info_name="evomerge", auto_envvar_prefix=cli.PREFIX)
    command = cli.evomerge.get_command(whole, name)
    assert command is not None
    context = click.Context(command, info_name=name, parent=whole)
    for option in (p for p in command.params if isinstance(p, click.Option)):
        long_flag = re.findall(r"--(\w[\w-]*)", " ".join(option.opts))
        variable = f"EVOMERGE_{name}_{long_flag[0]}".upper().replace("-", "_")
        with monkeypatch.context() as patch:
            patch.setenv(variable, "1")
            _, source = option.consume_value(context, {})
        assert source is ParameterSource.ENVIRONMENT, variable
        assert option.help, f"{option.opts} has no help"


def test_a_variable_does_what_its_option_does(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVOMERGE_COMPILE_SET", "genome.density=0.25 search.population=4")
    monkeypatch.setenv("EVOMERGE_COMPILE_SELECT", "c03")
    assert call("compile", QUICKSTART) == 0
    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    assert documents[1]["models"][0]["parameters"]["density"] == 0.25
    monkeypatch.setenv("EVOMERGE_STATUS_JSON", "1")
    assert call("status", run) == 0
    assert json.loads(capsys.readouterr().out)["sealed_generations"] == 2
    monkeypatch.setenv("EVOMERGE_SHOW_CSV", "0")
    assert call("show", run) == 0
    assert capsys.readouterr().out.startswith("id  ")
    # What a packager may set is no flag.
    monkeypatch.setenv("EVOMERGE_VERSION", "2.0")
    assert call("status", run) == 0


def test_the_nearest_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("complie", QUICKSTART) == errors.EXIT_BAD_INPUT
    assert "did you mean 'compile'?" in capsys.readouterr().err


def test_compile_prints_generation_0_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("compile", QUICKSTART, "--json") == 0
    plans = json.loads(capsys.readouterr().out)
    assert len({plan["merge_key"] for plan in plans.values()}) == 8
    methods = {
        (p["stages"][0]["merge_method"], p["stages"][1]["merge_method"]) for p in plans.values()
    }
    assert methods == {(a, b) for a in ("linear", "slerp") for b in ("ties", "dare_ties")}


def test_every_candidate_that_is_printed_stands_and_one_alone_is_a_file_that_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call("compile", QUICKSTART, "-S", "genome.density=0.25") == 0
    text = capsys.readouterr().out
    documents = list(yaml.safe_load_all(text))
    assert len(documents) == 8 * 3
    calls = [line for line in text.splitlines() if line.startswith("# c0")]
    for slot, line in enumerate(calls):
        assert line.startswith(f"# c{slot:02d} (evomerge compile {QUICKSTART} -S genome.density")
    _, *arguments = shlex.split(calls[5].partition("(")[2].partition(" prints")[0])
    assert call(*arguments) == 0
    alone = capsys.readouterr().out
    assert alone.startswith("# compiled by evomerge; save as mergekit.yaml and run:  mergekit-")
    assert list(yaml.safe_load_all(alone)) == documents[15:18]
    assert [document.get("name") for document in documents[15:18]] == ["s1", "s2", None]


def test_compile_writes_a_folder_a_candidate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("compile", QUICKSTART, "-o", tmp_path / "out", "--json") == 0
    written = {plan["path"] for plan in json.loads(capsys.readouterr().out).values()}
    assert call("compile", QUICKSTART, "-o", tmp_path / "out") == 0
    files = sorted((tmp_path / "out").rglob("mergekit.yaml"))
    assert [str(f) for f in files] == capsys.readouterr().out.split() == sorted(written)
    assert len(files) == 8
    for file in files:
        text = file.read_text()
        assert text.startswith("# compiled by evomerge; run in ")
        assert "mergekit-multi mergekit.yaml" in text.splitlines()[0]
        assert "--random-seed" in text.splitlines()[0]
        assert len(list(yaml.safe_load_all(text))) == 3


def test_compile_select_set_and_raw(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("compile", QUICKSTART, "--select", "c03", "-S", "genome.density=0.25") == 0
    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    assert documents[1]["models"][0]["parameters"]["density"] == 0.25
    assert call("compile", QUICKSTART, "--select", "c99") == errors.EXIT_BAD_INPUT
    assert "no candidate 'c99'" in capsys.readouterr().err
    assert call("compile", QUICKSTART, "--raw") == 0
    assert len(list(yaml.safe_load_all(capsys.readouterr().out))) == 8 * 3


def test_generation_0_alone_is_json_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--gens", "0", "--run-dir", tmp_path / "run", "--display", "none", "--json")
    assert call("evolve", QUICKSTART, *arguments) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["final"] is None and len(said["candidates"]) == 8
    for candidate in said["candidates"]:
        assert (Path(said["run"]) / "generations" / candidate / "recipe.yaml").is_file()


def test_options_that_would_be_ignored_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        ["show", run, "--csv", "--json"],
        ["show", run, "--csv", "--md"],
        ["lineage", run, "--mermaid", "--json"],
        ["cp", f"{run}:", tmp_path],
        ["show", run, "--sort-order", "asc"],
        ["merge", f"{run}:best", "-o", tmp_path / "o", "-S", "genome.density=0.5"],
        ["evolve", QUICKSTART, "--wandb-project", "mine"],
        ["compile", QUICKSTART, "--raw", "--json"],
        ["compile", QUICKSTART, "--raw", "-o", tmp_path / "o"],
        ["evaluate", "zoo:coder", "--log_samples"],
    ):
        assert call(*arguments) == errors.EXIT_BAD_INPUT
        assert "help:" in capsys.readouterr().err


def test_compile_needs_no_network_and_no_models_for_the_real_recipe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call("compile", ROOT / "recipes" / "qwen-1.5b.yaml", "--json") == 0
    plans = json.loads(capsys.readouterr().out)
    assert len(plans) == 8
    assert all(plan["layers"] == 28 for plan in plans.values())
    reference = next(iter(plans.values()))["models"]
    assert any(ref.startswith("deepseek-ai/") for ref in reference.values())


def test_a_candidate_compiles_to_its_own_file(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run / "generations/001/c00"
    assert call("compile", folder / "recipe.yaml", "--json") == 0
    plan = next(iter(json.loads(capsys.readouterr().out).values()))
    seed = f"--random-seed {plan['random_seed']} "
    assert seed in (folder / "mergekit.yaml").read_text().splitlines()[0]


def test_validate_says_all_that_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    text = QUICKSTART.read_text().replace("holdout:", "holdut:")
    bad.write_text(text.replace("strategy: elite_recovery", "strategi: elite_recovery"))
    assert call("validate", QUICKSTART, bad) == errors.EXIT_BAD_INPUT
    captured = capsys.readouterr()
    assert f"{QUICKSTART}: ok" in captured.out
    assert "did you mean 'holdout'?" in captured.err
    assert "did you mean 'strategy'?" in captured.err
    assert call("validate", bad, "--json") == errors.EXIT_BAD_INPUT
    found = json.loads(capsys.readouterr().out)[str(bad)]
    assert len(found) == 2
    assert all(item["line"] > 0 and item["column"] > 0 and item["help"] for item in found)


def test_a_front_and_constraints_are_shown(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "several"
    evolve(folder, 2, overrides=(
        "search.strategy=nsga2", "search.objectives=[code, math, geometric]",
        "search.constraints=[{domain: code, at_least: base + 0.1}]",
    ))  # fmt: skip
    assert call("status", folder, "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert status["constraints"] == "code >= 0.38 (base + 0.1)"
    assert call("show", folder, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    broken = [row for row in rows if row["violation"]]
    assert len(broken) == status["infeasible"] and {"geometric", "violation"} <= set(rows[0])
    assert call("show", folder, "--front", "--json") == 0
    front = json.loads(capsys.readouterr().out)
    assert status["front"] == f"{len(front)} candidates, knee {status['best']}"
    assert [row["id"] for row in front if row["knee"]] == [status["best"]]
    assert not {row["id"] for row in front} & {row["id"] for row in broken}
    assert call("report", folder) == 0
    page = (folder / "report.html").read_text()
    assert '<table id="front">' in page and f"<td>{status['best']}</td>" in page
    assert call("show", run, "--front") == errors.EXIT_BAD_INPUT
    assert "a search of one has a best" in capsys.readouterr().err


def test_status_and_show(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("status", run, "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["sealed_generations"], status["candidates"]) == (2, 16)
    assert status["ended"] == "generations"
    assert call("show", run, "--json", "--sort-by", "fitness") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 16
    assert [r["fitness"] for r in rows] == sorted((r["fitness"] for r in rows), reverse=True)
    assert rows[0]["fitness"] == status["best_fitness"]
    assert call("show", run, "--csv", "--gen", "1", "--keep", "fitness") == 0
    table = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert table[0] == ["id", "fitness"]
    assert len(table) == 9
    assert call("show", run, "--md", "--only-changed") == 0
    assert "| --- |" in capsys.readouterr().out
    assert call("show", run, "--sort-by", "fitnes") == errors.EXIT_BAD_INPUT
    assert "did you mean 'fitness'?" in capsys.readouterr().err


def test_diff_against_parents_names_the_genes_that_changed(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder.open(run)
    mutant = next(
        c
        for c in folder.candidates(1)
        if c.lineage.origin == "mutation"
        and c.fitness != folder.candidate(c.lineage.parents[0]).fitness
    )
    assert call("diff", f"{run}:{mutant.id}", "--json") == 0
    compared = json.loads(capsys.readouterr().out)
    assert compared[0]["old"] == str(mutant.lineage.parents[0])
    kinds = {change["what"] for change in compared[0]["changes"]}
    assert {"gene", "merge", "score"} <= kinds
    assert call("diff", f"{run}:000/c00", "000/c00") == 0
    assert "no difference" in capsys.readouterr().out
    assert call("diff", f"{run}:000/c00") == errors.EXIT_BAD_INPUT


def test_lineage_reaches_generation_0(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("lineage", run, "001/c00", "--json") == 0
    family = json.loads(capsys.readouterr().out)
    assert any(name.startswith("000/") for name in family)
    assert call("lineage", run) == 0
    assert call("lineage", run, "001/c00", "--mermaid") == 0
    assert "flowchart TD" in capsys.readouterr().out


def test_report_is_one_file_without_network(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("report", run, "-o", tmp_path / "r.html", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["path"] == str(tmp_path / "r.html") and said["best"] and said["verdict"]
    text = (tmp_path / "r.html").read_text()
    assert "001/c00" in text
    assert "http" not in text.replace("http-equiv", "")


def test_a_copied_candidate_needs_nothing_of_its_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "found.yaml"
    assert call("cp", f"{run}:001/c00", target) == 0
    capsys.readouterr()
    assert call("compile", target, "--json") == 0
    own = next(iter(json.loads(capsys.readouterr().out).values()))
    assert call("compile", run / "generations/001/c00/recipe.yaml", "--json") == 0
    original = next(iter(json.loads(capsys.readouterr().out).values()))
    assert own["merge_key"] == original["merge_key"]


def test_cp_refuses_what_it_should(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("cp", "quickstart", tmp_path / "mine.yaml") == 0
    (tmp_path / "mine.yaml").write_text("mine")
    assert call("cp", "quickstart", tmp_path / "mine.yaml", "-n") == 0
    assert (tmp_path / "mine.yaml").read_text() == "mine"
    assert call("cp", "quickstrat", tmp_path) == errors.EXIT_BAD_INPUT
    assert "did you mean 'quickstart'?" in capsys.readouterr().err
    assert call("cp", "quickstart", tmp_path / "no" / "x.yaml") == errors.EXIT_BAD_INPUT
    assert call("cp", "quickstart", tmp_path / "no" / "x.yaml", "--make-parents") == 0


def test_plan_counts_and_says_why(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("plan", QUICKSTART, "--run-dir", tmp_path / "new", "--gens", "3", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["candidates_left"] == 24
    assert sum(step["what"] == "evaluate" for step in plan["steps"]) == 8
    shared = [step for step in plan["steps"] if not step["runs"]]
    assert shared and all("shared with" in step["reason"] for step in shared)
    assert {room["resource"] for room in plan["room"] if room["fits"]} >= {"disk", "RAM"}
    assert plan["seconds"] > 0 and plan["basis"].startswith("assumed: ")
    assert not (tmp_path / "new").exists()
    assert call("plan", run, "--gens", "3") == 0
    assert "to come: 1 generations" in capsys.readouterr().out


def test_check_gc_and_fork(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("check", run) == 0
    assert call("fork", f"{run}@001", tmp_path / "branch") == 0
    assert RunFolder.open(tmp_path / "branch").open_generation() == 1
    assert call("fork", str(run), tmp_path / "x") == errors.EXIT_BAD_INPUT
    (tmp_path / "branch/generations/000/c00/scores.yaml").write_text("fitness: 1.0\n")
    capsys.readouterr()
    assert call("check", tmp_path / "branch") == errors.EXIT_RUN_DAMAGED
    assert "c00/scores.yaml: damage" in capsys.readouterr().out
    (tmp_path / "branch/models/stages").mkdir(parents=True)
    (tmp_path / "branch/models/stages/x").write_bytes(b"0" * 2_000_000)
    assert call("gc", tmp_path / "branch", "-n") == 0
    assert (tmp_path / "branch/models/stages/x").exists()
    assert call("gc", tmp_path / "branch") == 0
    assert not (tmp_path / "branch/models/stages/x").exists()


def test_a_held_run_exits_4_and_names_the_holder(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunFolder.open(run).hold():
        assert call("gc", run) == errors.EXIT_RUN_LOCKED
    assert str(os.getpid()) in capsys.readouterr().err


def test_what_does_not_exist_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["status", "nowhere"], ["compile", "no.yaml"], ["evolve", "no.yaml"]):
        assert call(*arguments) == errors.EXIT_BAD_INPUT
        assert "no" in capsys.readouterr().err


def test_ls_lists_what_ships(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("ls", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {"quickstart", "qwen-1.5b"} <= set(found["recipes"])
    assert len(found["methods"]) == 20
    composed = {"three_stage", "frankenmerge", "dfs", "ps", "ps_dfs", "split_slerp"}
    assert set(found["methods"]) | composed == set(found["templates"])
    assert set(found["strategies"]) >= {"elite_recovery", "random"}
    assert "evomerge_tiny_code" in found["evaluators"]
    assert {"zoo:base", "zoo:coder", "zoo:slow", "zoo:fast"} <= set(found["models"])


def test_ls_shows_the_parameters_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    for name, kind in all_strategies().items():
        assert call("ls", "strategies", name, "--json") == 0
        found = {p["name"]: p for p in json.loads(capsys.readouterr().out)["parameters"]}
        assert {
            key: part["default"] for key, part in found.items()
        } == kind.parameters().model_dump()
        assert all(part["takes"] and part["what"] for part in found.values())
    assert call("ls", "strategies", "cma_es") == 0
    assert "float, > 0, <= 1" in capsys.readouterr().out
    for kind, name, words in (
        ("templates", "ties", "float, 0.05 to 0.95; per model"),
        ("methods", "ties", "for each model but the base"),
        ("models", "zoo:coder", "zoo:coder"),
    ):
        assert call("ls", kind, name) == 0
        assert words in capsys.readouterr().out
    assert call("ls", "strategies", "cma-es") == errors.EXIT_BAD_INPUT
    assert "did you mean 'cma_es'?" in capsys.readouterr().err


def test_schema_accepts_every_shipped_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("schema") == 0
    schema = json.loads(capsys.readouterr().out)
    assert "ExperimentFile" in schema["$defs"]
    assert call("schema", "candidate") == 0
    assert "from" in json.loads(capsys.readouterr().out)["properties"]


def test_the_wheel_holds_all_that_ships(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    wheel = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path)))
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, str(site)], check=True)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "evomerge_compiler", "ls", "--json"],
        cwd=elsewhere, env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert "quickstart" in found["recipes"]
    assert "three_stage" in found["templates"]
    assert "evomerge_tiny_math" in found["evaluators"]
    assert str(site) in found["models"]["zoo:base"]


def test_a_full_disk_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.yaml")

    monkeypatch.setattr("evomerge_compiler.cli.evomerge.main", full)
    assert cli.run(["schema"]) == 3
    told = capsys.readouterr().err
    assert "No space left on device: 'out.yaml'" in told and "evomerge gc RUN" in told


def test_debug_shows_where_an_error_came_from_and_keeps_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value, code_line in (("0", False), ("1", True)):
        monkeypatch.setenv("EVOMERGE_DEBUG", value)
        assert call("status", tmp_path) == errors.EXIT_BAD_INPUT
        told = capsys.readouterr().err
        assert ("Traceback" in told) is code_line and "error: no run folder" in told
    monkeypatch.delenv("EVOMERGE_DEBUG")
    # The word means nothing where it is another command's argument.
    assert call("status", "--", "--debug") == errors.EXIT_BAD_INPUT
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setattr("evomerge_compiler.cli.status_command.run_path", lambda _: 1 // 0)
    assert call("--debug", "status", tmp_path) == errors.EXIT_BUG
    told = capsys.readouterr().err
    assert "Traceback" in told and "bug: ZeroDivisionError" in told and "help:" not in told
    assert call("status", tmp_path) == errors.EXIT_BUG
    assert "evomerge --debug" in capsys.readouterr().err


def test_every_flag_of_a_merge_reaches_mergekits_command() -> None:
    command = merge_options(click.Command("merge", callback=lambda **_: None))
    flags = {option.opts[0] for option in command.params}
    context = command.make_context("merge", sorted(flags))
    argv = mergekit_argv("c", "o", 1, merge_options_of(context.params))
    assert flags == {"--cuda", "--low-cpu-memory", "--allow-crimes", "--trust-remote-code"}
    assert flags < set(argv)


@pytest.mark.parametrize("name", ["plan", "evolve"])
def test_a_device_that_is_none_is_refused_before_anything_is_read(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for device in ("gpu", "cuda:", "cuda:x", "cpu:0", "cuda:\u00b2"):
        run = tmp_path / "run"
        arguments = (name, QUICKSTART, "--run-dir", run, "--device", device)
        assert call(*arguments) == errors.EXIT_BAD_INPUT
        assert f"device {device!r} is none of auto, cpu, cuda and" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
