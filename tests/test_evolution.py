"""The loop: resume, order, kills, edits, seeds, failures, stop rules, conclusion."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest
from simulated_run import QUICKSTART, ROOT, digest, evolve

from evomerge_compiler import recipe as recipes
from evomerge_compiler import yamlio
from evomerge_compiler.candidate import CandidateId, Fitness, Lineage, Outcome, Proposal, Scores
from evomerge_compiler.errors import EXIT_RUN_DAMAGED, EvomergeError, RunDamaged
from evomerge_compiler.events import CandidateDone, Event, GenerationSealed, Observer
from evomerge_compiler.evolution import arrange
from evomerge_compiler.executors.simulated import Landscape
from evomerge_compiler.genome import Genome
from evomerge_compiler.history import History, on_plateau
from evomerge_compiler.recipe_schema import SearchSpec
from evomerge_compiler.run_folder import RunFolder, StoredCandidate
from evomerge_compiler.run_folder.fork import fork

Process = subprocess.Popen[bytes]
NO_PLATEAU = ("search.plateau.patience=0",)


class Recorder(Observer):
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def notice(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("unbroken") / "run"
    evolve(run, 4, overrides=NO_PLATEAU)
    return run


def test_a_run_has_what_it_promises(unbroken: Path) -> None:
    files = digest(unbroken)
    for name in ("recipe.yaml", "best.yaml", "final.yaml", "generations/003/SEALED"):
        assert name in files
    assert files["recipe.yaml"] == QUICKSTART.read_bytes()
    run = RunFolder.open(unbroken)
    assert run.sealed_generations() == [0, 1, 2, 3]
    final = run.final()
    assert final is not None
    assert {"base", "coder", "uniform", "winner"} <= set(final["models"])
    assert set(final["winner_against"]) == set(final["models"]) - {"winner"}
    text = b"".join(files.values()).decode()
    assert str(unbroken) not in text, "no absolute path in tracked files"


def test_a_resumed_run_is_the_same_run(unbroken: Path, tmp_path: Path) -> None:
    for gens in (1, 2, 4):
        evolve(tmp_path / "run", gens, overrides=NO_PLATEAU)
    assert digest(tmp_path / "run") == digest(unbroken)


def test_a_finished_run_scores_nothing_again(unbroken: Path) -> None:
    before, recorder = digest(unbroken), Recorder()
    evolve(unbroken, 4, overrides=NO_PLATEAU, observers=[recorder])
    assert digest(unbroken) == before
    assert not [e for e in recorder.events if isinstance(e, CandidateDone)]
    assert all(e.replayed for e in recorder.events if isinstance(e, GenerationSealed))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_and_the_order_of_results_change_nothing(
    unbroken: Path, tmp_path: Path, workers: int
) -> None:
    landscape = Landscape(delay_s=0.05)
    evolve(tmp_path / "run", 4, overrides=NO_PLATEAU, workers=workers, landscape=landscape)
    assert digest(tmp_path / "run") == digest(unbroken)


@contextlib.contextmanager
def _started(run: Path) -> Iterator[tuple[Process, FileIO]]:
    """Starts or resumes the run; gives a byte to read for every point of durable work.

    What happens to it after so many points happens there on a busy machine too.
    """
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "simulated_run.py", QUICKSTART, run, "4", "2",
         str(writer)],
        pass_fds=[writer], stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(writer)
    with FileIO(reader) as points, process:
        yield process, points


def _passes(points: FileIO, n: int) -> bool:
    """Waits for so many points; False where the run ends before."""
    while n and (found := points.read(n)):
        n -= len(found)
    return n == 0


def _killed(run: Path, after: int, later_s: float) -> bool:
    """Starts or resumes the run and kills it; False where it ended before that.

    Args:
        run: Its folder.
        after: Points of durable work that it passes first.
        later_s: How much longer it lives, at most.
    """
    with _started(run) as (process, points):
        if _passes(points, after):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=later_s)
            process.kill()
        _, stderr = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), stderr.decode()
    return process.returncode != 0


def test_kills_at_random_moments_leave_the_same_tree(unbroken: Path, tmp_path: Path) -> None:
    """SIGKILL again and again, each time after some more of the work, until the run is done."""
    dice, run, kills = random.Random(20), tmp_path / "run", 0
    # An unbroken run passes about 1600 points.
    while _killed(run, dice.randrange(1, 400), 0.05 * dice.random()):
        kills += 1
        assert kills < 60, "the run does not get on"
    assert kills >= 3, "the run was never killed on its way"
    assert digest(run) == digest(unbroken)


def test_ctrl_c_ends_the_run_in_good_order(unbroken: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with _started(run) as (process, points):
        assert _passes(points, 200)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate()
    assert b"KeyboardInterrupt" in stderr
    assert RunFolder.open(run).generations() and RunFolder.open(run).final() is None
    evolve(run, 4, overrides=NO_PLATEAU)
    assert digest(run) == digest(unbroken)


def test_the_difference_of_two_generations_reads_well(unbroken: Path, tmp_path: Path) -> None:
    """What changed is genes, merges, scores and lineage, one value a line, and nothing else."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    shutil.copytree(unbroken, tmp_path / "run")
    done = subprocess.run(
        ["git", "diff", "--no-index", "generations/002", "generations/003"],
        cwd=tmp_path / "run", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    changed = [line for line in lines if line[:1] in "+-" and line[1:2] != line[:1]]
    assert changed
    assert max(map(len, changed)) < 200
    before, after = (RunFolder.open(unbroken).candidates(n) for n in (2, 3))
    genes = [line for line in _of_file(done.stdout, "recipe.yaml") if line[:1] == "+"]
    new = sum(
        a != b
        for one, two in zip(before, after, strict=True)
        for a, b in zip(_flat(one), _flat(two), strict=True)
        if b is not None
    )
    # A gene that appears or changes is a line; a list that appears has a line for its name too.
    assert len(genes) <= new + 2 * len(after)


def _flat(candidate: StoredCandidate) -> tuple[object, ...]:
    assert candidate.genome is not None
    return recipes.load(QUICKSTART).space.flatten(candidate.genome)


def _of_file(diff: str, name: str) -> list[str]:
    """The changed lines of all files of one name."""
    out: list[str] = []
    for part in diff.split("\ndiff --git "):
        if f"/{name}\n" in part.split("@@")[0]:
            out += [x for x in part.splitlines() if x[:1] in "+-" and x[:3] not in ("+++", "---")]
    return out


# -- edits and seeds -----------------------------------------------------------------------


def edit(run: Path, candidate: str, gene: str, value: object) -> None:
    path = run / "generations" / candidate / "recipe.yaml"
    data = yamlio.read_file(path).data
    assert isinstance(data, dict)
    data["genome"][gene] = value
    path.write_text(yamlio.dump(data))


def test_gens_0_writes_generation_0_for_editing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    evolve(run, 0)
    assert RunFolder.open(run).open_generation() == 0
    assert not list(run.rglob("scores.yaml"))
    edit(run, "000/c03", "density", 0.3)
    evolve(run, 1)
    folder = RunFolder.open(run)
    edited = folder.candidate(CandidateId(0, 3))
    assert edited.lineage.origin == "edited"
    assert edited.genome is not None and edited.genome.values["density"] == 0.3
    assert "origin: edited" in (run / "generations/000/c03/lineage.yaml").read_text()
    assert folder.candidate(CandidateId(0, 2)).lineage.origin == "initial"
    assert "edited" in (run / "generations/000/population.tsv").read_text()


def test_the_strategy_learns_from_the_edited_genome(tmp_path: Path) -> None:
    plain, run = tmp_path / "plain", tmp_path / "edited"
    evolve(plain, 3, overrides=NO_PLATEAU)
    evolve(run, 0, overrides=NO_PLATEAU)
    for slot in range(8):
        edit(run, f"000/c{slot:02d}", "density", 0.11)
    evolve(run, 3, overrides=NO_PLATEAU)
    assert (run / "generations/001/c00/recipe.yaml").read_text() != (
        plain / "generations/001/c00/recipe.yaml"
    ).read_text()
    evolve(run, 4, overrides=NO_PLATEAU)  # the replay agrees with what was recorded


def test_a_mistaken_edit_is_named_with_its_line(tmp_path: Path) -> None:
    run = tmp_path / "run"
    evolve(run, 0)
    edit(run, "000/c01", "densty", 0.3)
    with pytest.raises(EvomergeError) as caught:
        evolve(run, 1)
    text = caught.value.render()
    assert "c01/recipe.yaml:" in text
    assert "did you mean 'density'?" in text


def test_an_edit_in_a_sealed_generation_stops_and_offers_fork(tmp_path: Path) -> None:
    run = tmp_path / "run"
    evolve(run, 2, overrides=NO_PLATEAU)
    edit(run, "000/c01", "density", 0.3)
    with pytest.raises(RunDamaged) as caught:
        evolve(run, 3, overrides=NO_PLATEAU)
    assert caught.value.exit_code == EXIT_RUN_DAMAGED
    assert "evomerge fork" in caught.value.render()
    branch = tmp_path / "branch"
    fork(run, 0, branch)
    evolve(branch, 2, recipe=branch / "recipe.yaml", overrides=NO_PLATEAU)
    forked = RunFolder.open(branch).candidate(CandidateId(0, 1))
    assert forked.lineage.origin == "edited"
    assert forked.genome is not None and forked.genome.values["density"] == 0.3


def test_seeds_join_generation_0(tmp_path: Path) -> None:
    seed = tmp_path / "seed.yaml"
    seed.write_text(
        yamlio.dump(
            {
                "kind": "merge",
                "from": os.path.relpath(QUICKSTART, tmp_path),
                "genome": {
                    "interpolation": "linear",
                    "ensemble": "ties",
                    "recombination": "frankenmerge",
                    "linear_weight": 0.25,
                    "density": 0.7,
                    "ensemble_weight": 0.4,
                    "ties_lambda": 1.0,
                    "source": [0, 0, 1, 2],
                },
            }
        )
    )
    recipe = tmp_path / "recipe.yaml"
    text = QUICKSTART.read_text().replace("seeds: []", "seeds: [seed.yaml]")
    assert "seed.yaml" in text
    recipe.write_text(text)
    run = tmp_path / "run"
    evolve(run, 2, recipe=recipe, overrides=NO_PLATEAU)
    folder = RunFolder.open(run)
    stored = folder.candidate(CandidateId(0, 8))
    assert stored.lineage.origin == "seed"
    assert stored.genome is not None and stored.genome.values["linear_weight"] == 0.25
    assert stored.scores is not None
    seed.unlink()  # the folder holds it now
    with pytest.raises(EvomergeError, match="no recipe file"):
        evolve(run, 3, recipe=recipe, overrides=NO_PLATEAU)


# -- failures and stop rules ---------------------------------------------------------------


def test_failures_are_failures_and_the_run_ends(tmp_path: Path) -> None:
    landscape = Landscape(failing={"crashed": 0.2, "non_finite": 0.2})
    ending = evolve(tmp_path / "run", 5, overrides=NO_PLATEAU, landscape=landscape)
    assert ending.failures
    assert ending.best is not None
    rows = (tmp_path / "run/generations/000/population.tsv").read_text()
    for outcome in RunFolder.open(tmp_path / "run").outcomes(4):
        assert (outcome.fitness is None) == (outcome.failure is not None)
    assert "0.000000" not in rows


def test_a_run_in_which_all_fails_has_no_winner(tmp_path: Path) -> None:
    ending = evolve(
        tmp_path / "run", 2, overrides=NO_PLATEAU, landscape=Landscape(failing={"timeout": 1.1})
    )
    assert ending.best is None
    assert ending.failures == {"timeout": 16}
    final = RunFolder.open(tmp_path / "run").final()
    assert final is not None and final["winner"] is None
    assert not (tmp_path / "run/best.yaml").exists()


def test_parents_that_have_no_average_are_said_to_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evomerge_compiler import conclusion
    from evomerge_compiler.errors import CompileError

    def refuse(_: object) -> None:
        raise CompileError("the models have 4 and 6 layers")

    monkeypatch.setattr(conclusion, "uniform_plan", refuse)
    evolve(tmp_path / "run", 1)
    final = RunFolder.open(tmp_path / "run").final()
    assert final is not None and "uniform" not in final["models"]
    assert final["not_scored"] == {"uniform": "invalid: the models have 4 and 6 layers"}


def test_equal_candidates_are_scored_once(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    text = QUICKSTART.read_text()
    # One gene of two values: most candidates repeat.
    start, end = text.index("genome:"), text.index("evaluation:")
    recipe.write_text(text[:start] + "genome:\n  interpolation: {choice: [linear, slerp]}\n"
                      "  ensemble: ties\n  recombination: dfs\n  linear_weight: 0.5\n"
                      "  slerp_t: 0.5\n  density: 0.9\n  path_step: once\n  donor_weight: 0.3\n"
                      + text[end:])  # fmt: skip
    recorder = Recorder()
    ending = evolve(tmp_path / "run", 2, recipe=recipe, overrides=NO_PLATEAU,
                    observers=[recorder])  # fmt: skip
    done = [e for e in recorder.events if isinstance(e, CandidateDone)]
    assert len(done) == 16
    assert sum(not e.reused for e in done) == 2
    assert ending.n_reused == 14


def test_a_search_of_several_objectives_goes_on_while_one_of_them_gains() -> None:
    search = SearchSpec.model_validate(
        {"objectives": ["mean", "tokens"], "plateau": {"patience": 1, "threshold": 0.01}}
    )
    history, seen = History(search), []
    for number, objectives in enumerate([(0.5, -9.0), (0.5, -5.0), (0.5, -5.0)]):
        scores = Scores({}, str(number))
        fitness = Fitness(objectives)
        history.add([Outcome(CandidateId(number, 0), Genome({}), fitness, scores=scores)])
        seen.append(history.on_plateau())
    assert seen == [False, False, True]
    assert history.ending("plateau").front == (history.best,)


def test_finalists_are_told_apart_by_what_was_scored() -> None:
    history = History(SearchSpec(finalists=3))
    for number, (value, key) in enumerate(
        [(0.50, "a"), (0.50, "a"), (0.49, "b"), (0.47, "c"), (0.505, "d")]
    ):
        fitness = Fitness((value,), 0.02, violation=0.1 if key == "d" else 0.0)
        outcome = Outcome(CandidateId(number, 0), Genome({}), fitness, scores=Scores({}, key))
        history.add([outcome])
    found = [str(outcome.id) for outcome in history.finalists()]
    # 003/c00 is more than a standard error below, 001/c00 the same merge, 004/c00 infeasible.
    assert found == ["000/c00", "002/c00"]
    assert history.n_infeasible == 1


def test_stop_rules() -> None:
    assert not on_plateau([0.5, 0.5, 0.5], patience=5, threshold=0.01)
    assert on_plateau([0.5] * 6, patience=5, threshold=0.01)
    assert not on_plateau([0.5, 0.5, 0.5, 0.5, 0.5, 0.51], patience=5, threshold=0.01)
    assert on_plateau([0.5, 0.5, 0.5, 0.5, 0.5, 0.504], patience=5, threshold=0.01)
    assert not on_plateau([0.5] * 60, patience=0, threshold=0.01)
    assert not on_plateau([None] * 6, patience=5, threshold=0.01)
    assert on_plateau([0.0] * 6, patience=5, threshold=0.01)


def test_budgets_end_a_run(tmp_path: Path) -> None:
    overrides = (*NO_PLATEAU, "search.budget.candidates=16")
    ending = evolve(tmp_path / "run", 50, overrides=overrides)
    assert (ending.reason, ending.n_candidates) == ("candidates", 16)
    ending = evolve(tmp_path / "plateau", 50, overrides=("search.plateau.patience=1",))
    assert ending.reason == "plateau"


def test_the_budget_of_hours_is_one_for_all_calls(tmp_path: Path) -> None:
    run, clock = tmp_path / "run", functools.partial(next, itertools.count(0, 60.0))
    brief, longer = (
        (*NO_PLATEAU, "evaluation.limit=4", f"search.budget.hours={hours}") for hours in (0.2, 0.4)
    )
    evolve(run, 1, overrides=brief, clock=clock)
    assert evolve(run, 50, overrides=brief, clock=clock).reason == "time"
    before = digest(run)
    final = RunFolder.open(run).final()
    assert final is not None and (final["reason"], final["hours"]) == ("time", 0.2)
    n_before = len(RunFolder.open(run).sealed_generations())

    def again(overrides: tuple[str, ...]) -> None:
        assert evolve(run, 50, overrides=overrides, clock=clock).reason == "time"

    again(brief)
    assert digest(run) == before, "what is over stays over"
    shutil.rmtree(run / ".evomerge")
    again(brief)
    assert digest(run) == before, "in a clone too"
    again(longer)
    assert len(RunFolder.open(run).sealed_generations()) > n_before


def test_slots_are_steady() -> None:
    genome = Genome({})

    def child(*slots: int) -> Proposal:
        parents = tuple(CandidateId(0, slot) for slot in slots)
        return Proposal(genome, Lineage("mutation", "x", parents, str(slots)))

    arranged = arrange([child(2), child(2), child(0), child(3, 0), child()])
    assert [p.lineage.asked for p in arranged] == ["(0,)", "(2,)", "(2,)", "(3, 0)", "()"]


def test_a_changed_past_is_noticed(tmp_path: Path) -> None:
    """What the strategy asks for again must be what is on record."""
    run = tmp_path / "run"
    evolve(run, 2, overrides=NO_PLATEAU)
    loaded = recipes.load(QUICKSTART)
    assert loaded.seed == 42
    with pytest.raises(EvomergeError):
        evolve(run, 3, overrides=(*NO_PLATEAU, "seed=43"))
