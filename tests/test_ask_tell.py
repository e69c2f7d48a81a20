"""A search that is scored from outside: order, mixing with evolve, refusals, proposals."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from simulated_run import QUICKSTART, digest, evolve

from evomerge_compiler import ask_tell, cli, errors
from evomerge_compiler import recipe as recipes
from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.errors import EvomergeError, RunLocked, UsageError
from evomerge_compiler.evaluation import told as told_scores
from evomerge_compiler.evaluation.spec import EvaluationPlan, plan_evaluation
from evomerge_compiler.events import CandidateDone, Event, Observer
from evomerge_compiler.executors.simulated import Landscape, evaluate, leaves
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.run_folder.check import check
from evomerge_compiler.run_folder.setup import RunSetup

NO_PLATEAU = ("search.plateau.patience=0",)
DOMAINS = ("code", "math", "multilingual", "structured_data")
C0 = CandidateId(0, 0)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    evolve(tmp_path / "run", 0, overrides=NO_PLATEAU)
    return tmp_path / "run"


def numbers(value: float = 0.5) -> dict[str, Any]:
    return {domain: {"value": value, "stderr": 0.01, "n": 100} for domain in DOMAINS}


def landscape_scores(candidate: ask_tell.OpenCandidate) -> dict[str, Any]:
    """What a simulated evolution would score, as someone else would write it down."""
    values = leaves([dict(stage.document) for stage in candidate.plan.stages])
    scores = evaluate(Landscape(), values, "search", "")
    return {
        domain: {
            "metric": score.metric,
            "value": score.value,
            "stderr": score.stderr,
            "n": score.n,
            "items": {
                "set": scores.items[domain].item_set,
                "values": list(scores.items[domain].values),
            },
        }
        for domain, score in scores.domains.items()
    }


class Scored(Observer):
    """The candidates that an evolution scored by itself."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def notice(self, event: Event) -> None:
        if isinstance(event, CandidateDone) and not event.reused:
            self.ids.append(str(event.outcome.id))


def test_a_run_that_is_told_is_the_run_that_is_evolved(run: Path, tmp_path: Path) -> None:
    """Same genomes, scores and tables; only the origin of the scores differs."""
    told = 0
    while (state := ask_tell.ask(run, generations=3)).ended is None:
        for candidate in reversed(state.open):
            answer = ask_tell.tell(run, candidate.id, landscape_scores(candidate))
            told += 1
            assert answer.changed and answer.fitness is not None
        assert answer.sealed and not answer.open
    assert (state.ended, state.open) == ("generations", ())
    evolve(tmp_path / "evolved", 3, overrides=NO_PLATEAU, final=False)
    ours, theirs = digest(run), digest(tmp_path / "evolved")
    assert ours.keys() == theirs.keys()
    names = {name for name in ours if ours[name] != theirs[name]}
    assert {Path(name).name for name in names} == {"scores.yaml", "SEALED"}
    assert len({name for name in names if "scores" in name}) == 24
    assert 0 < told <= 24
    assert [f for f in check(run) if f.level == "damage"] == []


def test_evolve_goes_on_with_what_was_told(run: Path) -> None:
    first = ask_tell.ask(run).open
    assert [c.id.slot for c in first] == list(range(8))
    for candidate in first[:3]:
        ask_tell.tell(run, candidate.id, numbers(0.99))
    before = (run / "generations/000/c01/scores.yaml").read_bytes()
    scored = Scored()
    ending = evolve(run, 2, overrides=NO_PLATEAU, observers=[scored])
    assert not {"000/c00", "000/c01", "000/c02"} & set(scored.ids)
    assert {"000/c03", "000/c07"} <= set(scored.ids)
    assert (run / "generations/000/c01/scores.yaml").read_bytes() == before
    assert ending.best is not None and ending.best.scores is not None and ending.best.scores.told
    # What was told of a merge holds wherever the merge comes up again.
    for candidate in RunFolder.open(run).candidates(1):
        same = [c for c in first[:3] if c.genome == candidate.genome]
        assert candidate.scores is not None and candidate.scores.told == bool(same)
    final = RunFolder.open(run).final()
    assert final is not None and final["winner"] in ("000/c00", "000/c01", "000/c02")
    # The end rests on what was measured, on both sides of the items, not on what was told.
    assert final["models"]["winner"]["search"]["mean"] < 0.9
    resumed = Scored()
    evolve(run, 2, overrides=NO_PLATEAU, observers=[resumed])
    assert resumed.ids == []


def test_equal_merges_share_what_is_told(run: Path) -> None:
    genome = (run / "generations/000/c00/recipe.yaml").read_bytes()
    (run / "generations/000/c05/recipe.yaml").write_bytes(genome)
    assert [c.id.slot for c in ask_tell.ask(run).open] == [0, 1, 2, 3, 4, 6, 7]
    answer = ask_tell.tell(run, C0, numbers(0.4))
    assert CandidateId(0, 5) not in answer.open
    folder = RunFolder.open(run)
    assert folder.candidate(CandidateId(0, 5)).scores == folder.candidate(C0).scores


def test_an_outcome_stands(run: Path) -> None:
    ask_tell.tell(run, C0, numbers())
    before = digest(run)
    again = ask_tell.tell(run, C0, numbers())
    assert (again.changed, again.fitness is not None) == (False, True)
    assert not again.sealed and [id.slot for id in again.open] == [1, 2, 3, 4, 5, 6, 7]
    for other in (
        lambda: ask_tell.tell(run, C0, numbers(0.6)),
        lambda: ask_tell.tell_failure(run, C0, "timeout", "two hours"),
    ):
        with pytest.raises(UsageError, match="000/c00 has an outcome already") as caught:
            other()
        assert "c00/scores.yaml first" in str(caught.value.hint)
    assert digest(run) == before
    (run / "generations/000/c00/scores.yaml").unlink()
    assert ask_tell.tell(run, C0, numbers(0.6)).changed


def test_failures_are_told_too(run: Path) -> None:
    for candidate in ask_tell.ask(run).open:
        answer = ask_tell.tell_failure(run, candidate.id, "out_of_memory", "80 GB\nare not enough")
        assert answer.fitness is None
    assert answer.sealed
    assert not ask_tell.tell_failure(run, C0, "out_of_memory", "80 GB are not enough").changed
    with pytest.raises(UsageError, match="no reason 'oom'"):
        ask_tell.tell_failure(run, C0, "oom", "")
    with pytest.raises(UsageError, match=r"failed \(out_of_memory\)") as caught:
        ask_tell.tell(run, C0, numbers())
    assert "evomerge fork" in str(caught.value.hint), "sealed now"
    failure = RunFolder.open(run).candidate(C0).failure
    assert failure is not None and failure.message == "told: 80 GB are not enough"
    assert "out_of_memory" in (run / "generations/000/population.tsv").read_text()


def test_a_search_that_is_over_asks_for_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    evolve(run, 1, overrides=("search.generations=1",), final=False)
    before = digest(run)
    assert ask_tell.ask(run) == ask_tell.State((), "generations")
    assert digest(run) == before
    assert ask_tell.ask(run, generations=2).open[0].id.generation == 1


def test_a_held_run_and_another_template_are_refused(run: Path, tmp_path: Path) -> None:
    with RunFolder.open(run).hold(), pytest.raises(RunLocked):
        ask_tell.ask(run)
    recipe = recipes.load(QUICKSTART)
    setup = RunSetup(recipe, QUICKSTART.read_bytes(), {"template": "three_stage sha256:0"})
    other = RunFolder.open(tmp_path / "other", create_from=setup)
    with pytest.raises(UsageError, match=r"template: .*sha256:0.* -> .*three_stage"):
        ask_tell.ask(other.root)


def test_a_bound_relative_to_a_model_needs_its_score(tmp_path: Path) -> None:
    bound = 'search.constraints=[{"domain": "code", "at_least": "base - 0.1"}]'
    evolve(tmp_path / "run", 0, overrides=(bound,))
    with pytest.raises(UsageError, match="relative to base, coder"):
        ask_tell.ask(tmp_path / "run")


def test_a_kill_at_any_write_loses_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last tell of a generation and the ask after it, killed at every fifth file."""
    for slot in range(7):
        ask_tell.tell(run, CandidateId(0, slot), numbers())

    def steps(folder: Path, kill_at: int) -> int:
        """Tells and asks; the process ends at one of its writes."""
        written = 0

        def replace(source: str, target: str) -> None:
            nonlocal written
            written += 1
            if written == kill_at:
                raise KeyboardInterrupt
            rename(source, target)

        rename = os.replace
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace)
            ask_tell.tell(folder, CandidateId(0, 7), numbers())
            ask_tell.ask(folder)
        return written

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    shutil.copytree(run, whole)
    n_writes = steps(whole, kill_at=0)
    assert n_writes > 10
    for kill_at in range(1, n_writes + 1, 5):
        shutil.rmtree(killed, ignore_errors=True)
        shutil.copytree(run, killed)
        with pytest.raises(KeyboardInterrupt):
            steps(killed, kill_at)
        # Telling the same again is enough to seal what was told.
        ask_tell.tell(killed, CandidateId(0, 7), numbers())
        assert (killed / "generations/000/SEALED").is_file()
        steps(killed, kill_at=0)
        assert digest(killed) == digest(whole)


# -- proposals -----------------------------------------------------------------------------


def mine(run: Path, **genes: object) -> Path:
    """A candidate's recipe with other genes, as a person writes one."""
    text = (run / "generations/000/c00/recipe.yaml").read_text()
    text = text.replace("../../../recipe.yaml", str(QUICKSTART))
    for name, value in genes.items():
        lines = text.splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith(f"  {name}:"))
        lines[at] = f"  {name}: {value}"
        text = "\n".join(lines) + "\n"
    path = run.parent / "mine.yaml"
    path.write_text(text)
    return path


def test_a_proposal_takes_a_slot_without_an_outcome(run: Path) -> None:
    ask_tell.tell(run, CandidateId(0, 7), numbers())
    recipe = mine(run, density=0.35)
    assert ask_tell.propose(run, recipe) == CandidateId(0, 6)
    before = digest(run)
    assert ask_tell.propose(run, recipe) == CandidateId(0, 6), "once is enough"
    assert digest(run) == before
    assert ask_tell.propose(run, mine(run, density=0.4)) == CandidateId(0, 5)
    evolve(run, 2, overrides=NO_PLATEAU)
    stored = RunFolder.open(run).candidate(CandidateId(0, 6))
    assert stored.genome is not None and stored.genome.values["density"] == 0.35
    assert (stored.lineage.origin, stored.lineage.parents) == ("proposed", ())
    assert stored.scores is not None and not stored.scores.told
    rows = (run / "generations/000/population.tsv").read_text().splitlines()
    assert "proposed" in rows[7] and "proposed" not in rows[8]
    evolve(run, 3, overrides=NO_PLATEAU)  # the replay agrees with what was recorded
    assert [f for f in check(run) if f.level == "damage"] == []


def test_a_kill_inside_a_proposal_leaves_an_edit(run: Path, monkeypatch: Any) -> None:
    def killed(*_: object) -> str:
        raise KeyboardInterrupt

    recipe = mine(run, density=0.35)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("evomerge_compiler.run_folder.files.lineage_text", killed)
        ask_tell.propose(run, recipe)
    stored = RunFolder.open(run).candidate(CandidateId(0, 7))
    assert stored.lineage.origin == "edited"
    assert ask_tell.propose(run, recipe) == CandidateId(0, 7)
    evolve(run, 2, overrides=NO_PLATEAU)


def test_proposals_that_are_refused(run: Path) -> None:
    before = digest(run)
    with pytest.raises(EvomergeError, match="density") as caught:
        ask_tell.propose(run, mine(run, density=7))
    assert "mine.yaml:" in caught.value.render()
    other = mine(run)
    other.write_text(
        "kind: merge\nname: other\ntemplate: linear\n"
        "models: {a: {path: 'zoo:coder'}, b: {path: 'zoo:polyglot'}}\ngenome: {}\n"
    )
    with pytest.raises(EvomergeError, match="the seed renders template 'linear'"):
        ask_tell.propose(run, other)
    assert digest(run) == before
    for slot in range(8):
        ask_tell.tell(run, CandidateId(0, slot), numbers())
    with pytest.raises(UsageError, match="no generation is open"):
        ask_tell.propose(run, mine(run, density=0.3))
    ask_tell.ask(run)
    ids = [c.id for c in RunFolder.open(run).candidates(1) if not c.done]
    for number, _ in enumerate(ids):
        ask_tell.propose(run, mine(run, density=round(0.3 + number / 100, 2)))
    with pytest.raises(UsageError, match="no slot of generation 001 is free"):
        ask_tell.propose(run, mine(run, density=0.77))


def test_a_proposal_of_other_models_is_refused(run: Path) -> None:
    assert cli.run(["cp", f"{run}:000/c01", str(run.parent / "c.yaml")]) == 0
    text = (run.parent / "c.yaml").read_text()
    assert ask_tell.propose(run, run.parent / "c.yaml") == CandidateId(0, 1)
    (run.parent / "c.yaml").write_text(text.replace("zoo:polyglot", "zoo:slow"))
    with pytest.raises(
        EvomergeError, match="the seed merges zoo:coder, zoo:mathematician, zoo:slo"
    ):
        ask_tell.propose(run, run.parent / "c.yaml")
    (run.parent / "c.yaml").write_text(text + "  keep_depth: false\n")
    with pytest.raises(EvomergeError, match="the experiment holds keep_depth at True"):
        ask_tell.propose(run, run.parent / "c.yaml")


# -- what can be told ----------------------------------------------------------------------


def read(data: object, *overrides: str) -> told_scores.Told:
    recipe = recipes.load(QUICKSTART, overrides=overrides)
    assert recipe.evaluation is not None
    spec = recipe.evaluation

    def plan() -> EvaluationPlan:
        return plan_evaluation(spec, folder=recipe.folder)

    return told_scores.read_scores(
        data, spec, plan, key="told:m", measured_key=lambda _: "measured"
    )


def test_the_short_form() -> None:
    data = numbers() | {"math": {"value": 0.75, "items": {"set": "x", "values": [1, 0, 1, 1]}}}
    scores = read(data).scores
    assert list(scores.domains) == list(DOMAINS) and scores.told
    assert scores.domains["code"].metric == "pass_at_1", "the recipe's own"
    assert (scores.domains["math"].n, scores.domains["math"].stderr) == (4, None)
    assert scores.items["math"].values == (1.0, 0.0, 1.0, 1.0)


def test_scores_in_other_units_have_a_metric_of_their_own() -> None:
    scores = read(numbers() | {"math": {"value": 61.5, "metric": "points"}}).scores
    assert (scores.domains["math"].metric, scores.domains["math"].value) == ("points", 61.5)


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        ([1], "expected an object with the scores of code", ""),
        (numbers() | {"mth": {"value": 1}}, "no domain 'mth'", "did you mean 'math'"),
        ({"code": {"value": 1}}, "no score for math, multilingual, structured_data", "--failed"),
        (numbers() | {"math": {"value": float("nan")}}, "math.value: .* finite", "--failed"),
        (numbers() | {"math": {"value": "high"}}, "math.value: .*'high'", ""),
        (numbers() | {"math": {"value": True}}, "math.value: .*True", ""),
        (numbers() | {"math": {"value": 1, "std": 2}}, "math.std: Extra inputs", ""),
        (numbers() | {"math": {"value": 1, "stderr": -1}}, "math.stderr", ""),
        (numbers() | {"math": 0.5}, "math: .*0.5", ""),
        (numbers(1.61), "code: pass_at_1 is a share, from 0 to 1, got 1.61", "metric: NAME"),
        (numbers() | {"math": {"value": -0.1}}, "math: exact_match is a share.*got -0.1", ""),
        (
            numbers() | {"math": {"value": 1, "items": {"set": "x", "values": [1, 100]}}},
            "math: exact_match is a share.*got 100",
            "",
        ),
        (
            numbers()
            | {"math": {"value": 1, "items": {"set": "x", "values": [1], "tokens": [1, 2]}}},
            "as many tokens as values",
            "",
        ),
    ],
)
def test_scores_that_cannot_be_used(data: object, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read(data)
    assert hint in str(caught.value.hint)


def lm_eval_results() -> dict[str, Any]:
    tiny = "evomerge_tiny_"
    metrics = {"code": "pass_at_1", "math": "exact_match", "multilingual": "exact_match",
               "structured_data": "exact"}  # fmt: skip
    return {
        "results": {
            tiny + domain: {"alias": "x", f"{m},none": 0.25, f"{m}_stderr,none": 0.01}
            for domain, m in metrics.items()
        },
        "n-samples": {tiny + domain: {"original": 800, "effective": 800} for domain in metrics},
        "higher_is_better": {tiny + domain: {m: True} for domain, m in metrics.items()},
        "group_subtasks": {tiny + domain: [] for domain in metrics},
    }


def test_results_of_lm_eval_are_read_with_a_warning() -> None:
    told = read(lm_eval_results())
    score = told.scores.domains["structured_data"]
    assert (score.metric, score.value, score.stderr, score.n) == ("exact", 0.25, 0.01, 800)
    assert "held-out" in told.warnings[0]
    for change, message in (
        ({"evomerge_tiny_math": None}, "math: no results of task 'evomerge_tiny_math'"),
        ({"evomerge_tiny_math": {"acc,none": 1}}, "no 'exact_match,none' among the results"),
        ({"evomerge_tiny_math": {"exact_match,none": "N/A"}}, "math.value"),
    ):
        data = lm_eval_results()
        data["results"] |= change
        with pytest.raises(UsageError, match=message):
            read(data)
    data = lm_eval_results()
    data["higher_is_better"]["evomerge_tiny_math"] = {"exact_match": False}
    with pytest.raises(UsageError, match="better when lower"):
        read(data)


def test_a_group_is_the_mean_of_its_items() -> None:
    data = lm_eval_results()
    del data["results"]["evomerge_tiny_math"]
    for name, value, n in (("sums", 1.0, 10), ("powers", 0.0, 30)):
        data["results"][name] = {"exact_match,none": value, "exact_match_stderr,none": 0.1}
        data["n-samples"][name] = {"effective": n}
    data["group_subtasks"]["evomerge_tiny_math"] = ["sums", "powers"]
    score = read(data).scores.domains["math"]
    assert (score.value, score.n) == (0.25, 40)
    # ((9 * 10 + 29 * 30) * 0.01 / 38 / 40) ** 0.5, as lm-eval pools
    assert score.stderr == pytest.approx(((90 + 870) * 0.01 / 38 / 40) ** 0.5)


def test_what_evomerge_evaluate_wrote_must_be_of_this_candidate() -> None:
    rows = {d: {"task": "t", "metric": "m", "value": 0.5, "stderr": None, "n": 7} for d in DOMAINS}
    own = {"split": "search", "eval_key": "measured", "domains": rows}
    told = read({"results": {}, "evomerge": own})
    assert (told.scores.domains["code"].n, told.warnings) == (7, ())
    with pytest.raises(UsageError, match="on the 'all' items"):
        read({"results": {}, "evomerge": own | {"split": "all"}})
    with pytest.raises(UsageError, match="of another model than this candidate"):
        read({"results": {}, "evomerge": own | {"eval_key": "other"}})


def test_objective_tokens_needs_lengths(tmp_path: Path) -> None:
    run = tmp_path / "run"
    objectives = ('search.objectives=["mean","tokens"]', "search.strategy=nsga2")
    evolve(run, 0, overrides=objectives)
    with pytest.raises(UsageError, match="'tokens' needs the lengths"):
        ask_tell.tell(run, C0, numbers())
    items = {"set": "x", "values": [1.0, 0.0], "tokens": [10, 20]}
    answer = ask_tell.tell(run, C0, numbers() | {"math": {"value": 0.5, "items": items}})
    assert answer.fitness is not None and answer.fitness.objectives == (0.5, -15.0)


# -- the commands --------------------------------------------------------------------------


def call(*arguments: str | Path) -> int:
    return cli.run([str(argument) for argument in arguments])


def test_ask_prints_lines_and_writes_recipes_that_stand_alone(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("ask", run, "-n", 2, "-o", tmp_path / "out") == 0
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [line["id"] for line in lines] == ["000/c00", "000/c01"]
    assert printed.err == "2 of 8 open candidates\n"
    assert call("compile", lines[1]["recipe"], "--json") == 0
    plan = next(iter(json.loads(capsys.readouterr().out).values()))
    assert plan["merge_key"] == lines[1]["merge_key"]
    assert f"--random-seed {plan['random_seed']} " in Path(lines[1]["mergekit"]).read_text()
    assert len(list((tmp_path / "out").rglob("recipe.yaml"))) == 2


def test_tell_reads_files_and_stdin(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    file = tmp_path / "scores.json"
    file.write_text(json.dumps(numbers()))
    assert call("tell", run, "000/c00", file, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["fitness"], answer["changed"], len(answer["open"])) == ([0.5], True, 7)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    assert call("tell", run, "000/c01", "-") == 0
    assert "000/c01: fitness 0.5000 ± 0.0050; 6 open in generation 000" in capsys.readouterr().out
    assert call("tell", run, "000/c02", "--failed", "timeout", "two hours") == 0
    assert call("tell", run, "--propose", mine(run, density=0.31)) == 0
    assert "000/c07" in capsys.readouterr().out
    assert call("tell", run, "000/c02", file) == errors.EXIT_BAD_INPUT
    assert "has an outcome already: failed (timeout)" in capsys.readouterr().err


def test_tell_says_what_is_wrong(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "scores.json"
    file.write_text('{"code":\n  oops}')
    for arguments, message in (
        (["000/c00", file], "scores.json:2:3: error: is not JSON"),
        (["000/c00", tmp_path / "no.json"], "cannot read"),
        (["000/c00"], "expected RUN ID FILE"),
        (["000/c00", file, "--failed", "timeout", "x"], "expected RUN ID FILE"),
        (["000/c00", "--propose", file], "--propose takes the run and a recipe"),
        (["000/c09", file], "is not JSON"),
        (["000/c09", "--failed", "timeout", "x"], "has no candidate 000/c09"),
        (["000/c00", "--failed", "bored", "x"], "bored"),
    ):
        assert call("tell", run, *arguments) == errors.EXIT_BAD_INPUT
        assert message in capsys.readouterr().err
