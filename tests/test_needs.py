"""What a search is said to need: by executor and device, and whether it fits a machine."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from simulated_run import evolve

from evomerge_compiler import cli, launch, needs
from evomerge_compiler import recipe as recipes
from evomerge_compiler.ask_tell import ask
from evomerge_compiler.candidate import CandidateId, Outcome
from evomerge_compiler.compiler import MergePlan, compile_recipe
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.events import CandidateDone
from evomerge_compiler.needs import How, Machine, Need
from evomerge_compiler.plan_time import assumed
from evomerge_compiler.planning import TimingLog
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.strategies.factory import build
from evomerge_compiler.time_budget import SPENT_FILE

ROOT = Path(__file__).resolve().parents[1]
GB = 1_000_000_000
LAPTOP = Machine({"disk": 20 * GB, "RAM": 16 * GB, "GPU memory": 8 * GB})


def search(name: str, **overrides: object) -> tuple[list[MergePlan], EvaluationPlan]:
    """The first generation of a shipped recipe, and its evaluation."""
    settings = [f"{key}={value}" for key, value in overrides.items()]
    recipe = recipes.load(ROOT / "recipes" / f"{name}.yaml", overrides=settings)
    plans = [compile_recipe(recipe, genome=p.genome) for p in build(recipe).ask(0)]
    return plans, launch.evaluation_of(recipe, launch.Options())


def by_what(found: Sequence[Need]) -> dict[tuple[str, str], int]:
    return {(need.resource, need.what): need.n_bytes for need in found}


@pytest.fixture(scope="module")
def pipeline() -> tuple[list[MergePlan], EvaluationPlan]:
    """Three models of 1.5B parameters, of which only the facts are here."""
    return search("qwen-1.5b")


def test_three_models_of_1_5b_fit_a_laptop_when_the_cpu_merges(
    pipeline: tuple[list[MergePlan], EvaluationPlan],
) -> None:
    plans, evaluation = pipeline
    how = How("warm", 1, "cuda", "cpu")
    found = needs.needs(plans, evaluation, how, LAPTOP, 400)
    assert all(LAPTOP.fits(found, resource) for resource in needs.RESOURCES)
    assert needs.remedies(found, LAPTOP, how) == []
    # Two models with a head of their own and one without, at two bytes a parameter.
    what = ("disk", "source models to fetch or convert (3)")
    assert by_what(found)[what] == pytest.approx(2 * (2 * 1.777e9 + 1.543e9), rel=0.01)


def test_merges_on_a_small_gpu_do_not_fit_and_the_remedy_is_named(
    pipeline: tuple[list[MergePlan], EvaluationPlan],
) -> None:
    how = How("warm", 1, "cuda", "cuda")
    found = needs.needs(*pipeline, how, LAPTOP, 400)
    assert not LAPTOP.fits(found, "GPU memory")
    assert needs.remedies(found, LAPTOP, how) == ["GPU memory: --no-cuda merges on the CPU"]


def test_where_the_cpu_merges_ahead_models_are_on_disk_and_merges_cost_no_time(
    pipeline: tuple[list[MergePlan], EvaluationPlan],
) -> None:
    how = How("warm", 1, "cuda", "cpu")
    found = by_what(needs.needs(*pipeline, how, LAPTOP, 400))
    what = ("disk", "models, scored and next in turn")
    assert found[what] == pytest.approx(2 * 3.55 * GB, rel=0.01)
    assert found["RAM", "Python and its libraries"] == 2 * needs.LIBRARIES_BYTES
    ahead = assumed(*pipeline, how)
    in_turn = assumed(*pipeline, replace(how, merge_device="cuda"))
    assert ahead.seconds < in_turn.seconds


@pytest.mark.parametrize("how", [How("warm", 3, "cuda", "cuda"), How("warm", 3, "cuda", "cpu")])
def test_vllm_reads_its_models_from_the_disk(
    pipeline: tuple[list[MergePlan], EvaluationPlan], how: How
) -> None:
    plans, evaluation = pipeline
    found = needs.needs(plans, replace(evaluation, backend="vllm"), how, LAPTOP, 1)
    models = [need.n_bytes for need in found if need.resource == "disk" and "model" in need.what]
    each = needs.result_bytes(plans[0])
    assert models[-1] == 3 * each * (1 if how.merge_device == "cuda" else 2)


def test_workers_are_spread_over_gpus(
    pipeline: tuple[list[MergePlan], EvaluationPlan],
) -> None:
    def gpu(workers: int, n_gpus: int) -> int:
        how = How("warm", workers, "cuda", "cpu", n_gpus)
        return needs.total(needs.needs(*pipeline, how, LAPTOP, 1), "GPU memory")

    assert gpu(2, 2) == gpu(1, 1)
    assert gpu(3, 2) == 2 * gpu(1, 1)
    how = How("warm", 3, "cuda", "cpu", 2)
    found = needs.needs(*pipeline, how, LAPTOP, 1)
    assert "GPU memory: -j 2 gives each worker a GPU of its own" in needs.remedies(
        found, LAPTOP, how
    )


def test_a_longer_answer_needs_more_gpu(
    pipeline: tuple[list[MergePlan], EvaluationPlan],
) -> None:
    plans, evaluation = pipeline
    how = How("warm", 1, "cuda", "cpu")

    def gpu(tokens: int) -> int:
        asked = replace(evaluation, gen_kwargs={"max_gen_toks": tokens})
        return needs.total(needs.needs(plans, asked, how, LAPTOP, 1), "GPU memory")

    # 28 layers, keys and values, 2 heads of 128, two bytes: 28 KiB a token, 32 rows.
    assert gpu(3072) - gpu(2048) == 1024 * 32 * 28 * 1024


def test_only_the_command_writes_models(
    pipeline: tuple[list[MergePlan], EvaluationPlan],
) -> None:
    def disk(executor: str) -> dict[tuple[str, str], int]:
        found = needs.needs(*pipeline, How(executor), LAPTOP, 400)
        return {key: n for key, n in by_what(found).items() if key[0] == "disk"}

    warm, command = disk("warm"), disk("cli")
    assert len(warm) == 2
    extra = {key: n for key, n in command.items() if key not in warm}
    assert extra[("disk", "the model of each worker")] == pytest.approx(3.55 * GB, rel=0.01)
    assert extra[("disk", "stages kept for other candidates")] == 20 * GB  # their limit
    tight = Machine({**LAPTOP.free, "disk": 12 * GB})
    found = needs.needs(*pipeline, How("cli"), tight, 400)
    assert "--executor warm" in needs.remedies(found, tight, How("cli"))[0]


def test_workers_multiply_memory_and_models_that_are_here_take_no_disk() -> None:
    plans, evaluation = search("quickstart")
    one = needs.needs(plans, evaluation, How("warm", 1), LAPTOP, 100)
    two = needs.needs(plans, evaluation, How("warm", 2), LAPTOP, 100)
    assert needs.total(two, "RAM") == 2 * needs.total(one, "RAM")
    assert needs.total(one, "GPU memory") == 0
    disk = [need for need in one if need.resource == "disk"]
    assert disk == [Need("disk", "text files of the candidates", 100 * needs.CANDIDATE_BYTES)]
    # A CPU scores in float32.
    model = by_what(one)[("RAM", "the model that is scored")]
    assert model == 4 * needs.n_parameters(next(iter(plans[0].models.values())))


def test_the_assumption_is_near_what_was_measured() -> None:
    """docs/benchmarks.md: 0.4 to 0.7 s a candidate of 128 items on one core."""
    plans, evaluation = search("quickstart")
    time = assumed(plans, evaluation, How(n_cores=2))
    assert needs.n_items(evaluation) == 128
    assert 0.4 < time.seconds < 0.7
    assert time.basis.endswith("9 ms a token step on the CPU with 2 free cores")


def test_the_small_machine_keeps_to_four_hours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What docs/gpu.md says of a GPU of 8 GB."""
    settings = re.findall(r"-S ([\w.]+=\w+)", (ROOT / "docs" / "gpu.md").read_text())
    assert len(settings) == 5
    machine = "--no-cuda --gpu-gb 8 --ram-gb 16 --disk-gb 20 --gens 50 --json".split()
    set_ = [word for each in settings for word in ("-S", each)]
    recipe = str(ROOT / "recipes" / "qwen-1.5b.yaml")
    assert cli.run(["plan", recipe, "--run-dir", str(tmp_path / "run"), *machine, *set_]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert all(room["fits"] for room in plan["room"])
    assert plan["candidates_left"] == 200
    whole = plan["seconds"] + plan["shortlist_seconds"] + plan["final_seconds"]
    assert 3 * 3600 < whole < 4 * 3600


def test_workers_share_cores() -> None:
    plans, evaluation = search("quickstart")

    def rate(workers: int, n_cores: int | None) -> float:
        how = How(workers=workers, n_cores=n_cores)
        return workers / assumed(plans, evaluation, how).seconds

    one = rate(1, 2)
    assert rate(2, 2) == pytest.approx(2 * one)
    assert rate(4, 2) == pytest.approx(2 * one), "more workers than cores are no faster"
    assert rate(4, None) == pytest.approx(4 * one), "those of a cluster have cores of their own"


def test_parameters_are_counted_or_estimated_alike() -> None:
    plans, _ = search("quickstart")
    counted = next(iter(plans[0].models.values()))
    estimated = needs.n_parameters(replace(counted, tensors=None))
    # Biases and norms are not in the estimate.
    assert estimated == pytest.approx(needs.n_parameters(counted), rel=0.01)


@pytest.mark.parametrize(("recipe", "tokens"), [("quickstart", 24), ("qwen-1.5b", 2048)])
def test_answers_are_as_long_as_recipe_or_task_allow(recipe: str, tokens: int) -> None:
    assert needs.answer_tokens(search(recipe)[1]) == tokens


def test_items_are_those_of_the_search_split() -> None:
    _, evaluation = search("quickstart")
    assert needs.n_items(replace(evaluation, limit=None, holdout=0.5)) == 4 * 400
    assert needs.n_items(replace(evaluation, limit=25)) == 100
    _, shipped = search("qwen-1.5b")
    folder = ROOT / "evaluators" / "code" / "data"
    n_code = sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl"))
    code = replace(shipped, tasks=shipped.tasks[:1], holdout=0.0)
    assert needs.n_items(code) == n_code


def test_the_plan_of_another_machine_says_what_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ["--gpu-gb", "8", "--ram-gb", "16", "--disk-gb", "20", "--run-dir", str(tmp_path)]
    path = str(ROOT / "recipes" / "qwen-1.5b.yaml")
    assert cli.run(["plan", path, *there]) == 0
    out = capsys.readouterr().out
    assert "of 8.0 GB free: DOES NOT FIT\n  help: GPU memory: --no-cuda" in out
    assert cli.run(["plan", path, *there, "--no-cuda", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [room["fits"] for room in plan["room"]] == [True, True, True]
    assert plan["remedies"] == []
    assert "on the GPU" in plan["basis"]
    assert (plan["workers"], plan["gpus"]) == (1, 1)
    assert cli.run(["plan", path, *there, "--no-cuda", "--gpus", "2"]) == 0
    out = capsys.readouterr().out
    assert "of 8.0 GB free on each GPU: fits" in out
    assert "expected time with 2 workers on 2 GPUs" in out
    assert "the CPU merges the next candidates while the GPU scores" in out


def test_a_dry_run_plans_with_the_flags_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(ROOT / "recipes" / "quickstart.yaml")
    run = ["evolve", path, "-n", "--json", "--run-dir", str(tmp_path / "run"), "--gens", "3"]
    assert cli.run([*run, "--limit", "10", "--executor", "cli", "-j", "2"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["workers"] == 2
    assert plan["basis"].startswith("assumed: 40 items")
    assert any("of each worker" in need["what"] for need in plan["needs"])
    assert not (tmp_path / "run").exists()


def test_measured_candidates_replace_the_assumption(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ROOT / "recipes" / "quickstart.yaml"
    outcome = Outcome(CandidateId(0, 0), recipes.load(path).space.initial(), None)
    log = TimingLog(tmp_path)
    for seconds in (2.0, 4.0):
        log.notice(CandidateDone(outcome, reused=False, merge_s=1.0, evaluate_s=seconds))
    run = ["--run-dir", str(tmp_path), "--gens", "2", "-j", "2", "--json"]
    assert cli.run(["plan", str(path), *run]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["seconds_per_candidate"] == 4.0
    assert plan["candidates_per_hour"] == 1800.0
    assert plan["seconds"] == plan["candidates_left"] * 4.0 / 2
    assert plan["basis"] == "measured: mean of 2 candidates of this run"


@pytest.mark.parametrize(
    ("budget", "left", "candidates"),
    [(1, 1, 8), (8, 1, 8), (9, 2, 16), (16, 2, 16), (999, 50, 400)],
)
def test_no_generation_begins_beyond_the_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], budget: int, left: int, candidates: int
) -> None:
    path, run = str(ROOT / "recipes" / "quickstart.yaml"), str(tmp_path / "run")
    setting = f"search.budget.candidates={budget}"
    assert cli.run(["plan", path, "--run-dir", run, "-S", setting, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["generations_left"], plan["candidates_left"]) == (left, candidates)


def test_a_budget_counts_what_the_run_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, run = ROOT / "recipes" / "quickstart.yaml", tmp_path / "run"
    settings = ("search.plateau.patience=0", "search.budget.candidates=17")

    def ahead() -> tuple[int, int]:
        assert cli.run(["plan", str(run), "--json"]) == 0
        plan = json.loads(capsys.readouterr().out)
        return plan["generations_left"], plan["candidates_left"]

    evolve(run, 2, recipe=path, overrides=settings, final=False)
    assert ahead() == (1, 8)
    ask(run, 3)
    assert ahead() == (1, 8), "a generation that has begun is finished"
    evolve(run, 50, recipe=path, overrides=settings, final=False)
    assert RunFolder.open(run).sealed_generations() == [0, 1, 2]
    assert ahead() == (0, 0)


def test_a_budget_of_time_is_told_and_what_is_spent_of_it_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, run = ROOT / "recipes" / "quickstart.yaml", tmp_path / "run"
    setting = "search.budget.hours=0.01"
    arguments = ["plan", str(path), "--run-dir", str(run), "-S", setting]
    assert cli.run(arguments) == 0
    text = capsys.readouterr().out
    assert re.search(r"search\.budget\.hours ends it after 1 min, about \d+ candidates", text)
    assert cli.run([*arguments, "--gens", "1"]) == 0
    assert "budget" not in capsys.readouterr().out, "it ends before"
    evolve(run, 1, recipe=path, overrides=(setting,), final=False)
    for spent, left in ((30.0, 49), (36.0, 0)):
        (run / SPENT_FILE).write_text(f'{{"seconds": {spent}}}\n')
        assert cli.run(["plan", str(run), "--json"]) == 0
        plan = json.loads(capsys.readouterr().out)
        assert plan["seconds_allowed"] == pytest.approx(36.0 - spent)
        assert plan["generations_left"] == left
