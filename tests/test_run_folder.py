"""Run folders: what is written, hand edits, resuming, hostile names."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import run_folder_toys as toys

from evomerge_compiler import recipe as recipes
from evomerge_compiler.candidate import CandidateId, Failure, Fitness, Score, Scores
from evomerge_compiler.errors import (
    ErrorList,
    EvomergeError,
    RunDamaged,
    UsageError,
    WorkFailed,
)
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.run_folder.check import check, gc
from evomerge_compiler.run_folder.fork import fork
from evomerge_compiler.run_folder.setup import MAY_CHANGE

FIRST = CandidateId(1, 0)


def edit(run: RunFolder, id: CandidateId, old: str, new: str) -> Path:
    path = run.root / "generations" / str(id) / "recipe.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def finish(run: RunFolder, generations: int = 2) -> RunFolder:
    again = RunFolder.open(run.root)
    with again.hold():
        toys.evolve(again, generations)
    return again


def levels(run: RunFolder) -> set[str]:
    return {finding.level for finding in check(run.root)}


# -- what is written -----------------------------------------------------------------------


def test_a_finished_run_reads_back_as_it_was_written(tmp_path: Path) -> None:
    run = RunFolder.open(toys.finished(tmp_path).root)
    assert run.sealed_generations() == [0, 1] and run.open_generation() is None
    for number in (0, 1):
        outcomes = run.outcomes(number)
        assert [o.id for o in outcomes] == [CandidateId(number, s) for s in range(toys.N_SLOTS)]
        for outcome in outcomes:
            assert outcome.genome == toys.genome(number, outcome.id.slot)
            expected = toys.judged(outcome.genome)
            if isinstance(expected, Failure):
                assert outcome.failure == expected and outcome.fitness is None
                continue
            scores, fitness = expected
            assert outcome.scores is not None and outcome.fitness is not None
            assert outcome.fitness.value == pytest.approx(fitness.value, abs=5e-7)
            assert list(outcome.scores.domains) == list(toys.DOMAINS)
            assert outcome.scores.items["math"].tokens == scores.items["math"].tokens
            assert outcome.scores.items["code"] == scores.items["code"]
    assert run.search_state(1) == {"generation": 1}
    assert run.final() == {"generations": 2, "base": 0.123457}
    assert check(run.root) == []


def test_tracked_files_are_plain_and_say_nothing_of_the_machine(tmp_path: Path) -> None:
    run = toys.finished(tmp_path)
    for name, raw in toys.tree(run.root).items():
        text = raw.decode("utf-8")
        assert "\r" not in text and text.endswith("\n"), name
        assert str(tmp_path) not in text and "/tmp" not in text, name
    assert (run.root / "recipe.yaml").read_text() == toys.RECIPE


def test_the_seal_is_what_sha256sum_reads(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 1)
    command = ["sha256sum", "--check", "--strict", "--quiet", "SEALED"]
    here = run.root / "generations" / "000"
    assert subprocess.run(command, cwd=here, check=False).returncode == 0
    edit(run, CandidateId(0, 0), "first: 0.01", "first: 0.02")
    assert subprocess.run(command, cwd=here, check=False, capture_output=True).returncode == 1


def test_git_tracks_what_counts_and_nothing_else(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 1)
    candidate = run.root / "generations" / "000" / "c00"
    for name in ("logs/merge.log", ".recipe.yaml.swp", "recipe.yaml~", "attempt.json"):
        (candidate / name).parent.mkdir(exist_ok=True)
        (candidate / name).write_text("x")
    (run.root / "models" / "src").mkdir(parents=True)
    (run.root / "models" / "src" / "weights").write_text("x")
    subprocess.run(["git", "init", "-q", str(run.root)], check=True)
    listed = subprocess.run(
        ["git", "-C", str(run.root), "ls-files", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    ignored = ("logs/", ".swp", "~", "attempt.json", "models/", ".git/")
    tracked = [n for n in toys.tree(run.root) if not any(part in n for part in ignored)]
    assert sorted(listed) == sorted(tracked)


def test_scores_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    run = toys.with_open(tmp_path, scored=False)
    stored = run.candidates(1)[0]
    assert stored.genome is not None
    run.commit_compiled(stored.id, toys.compiled(stored.genome))
    for value in (float("nan"), float("inf")):
        scores = Scores({"code": Score("acc", value, None, 8)}, "key")
        with pytest.raises(WorkFailed, match=r"the score of code is (nan|inf)"):
            run.commit_outcome(stored.id, scores, Fitness((0.5,)))
        with pytest.raises(WorkFailed, match="the fitness"):
            run.commit_outcome(stored.id, Scores({}, "key"), Fitness((value,)))
    assert not run.candidate(stored.id).done


def test_several_objectives_come_back(tmp_path: Path) -> None:
    run = toys.with_open(tmp_path, scored=False)
    stored = run.candidates(1)[0]
    assert stored.genome is not None
    run.commit_compiled(stored.id, toys.compiled(stored.genome))
    scores, _ = toys.scored(bytes(range(32)))
    run.commit_outcome(stored.id, scores, Fitness((0.25, -120.0), None))
    assert run.candidate(stored.id).fitness == Fitness((0.25, -120.0), None)


def test_a_generation_with_work_left_is_not_sealed(tmp_path: Path) -> None:
    run = toys.with_open(tmp_path)
    run.clear_outcome(FIRST)
    with pytest.raises(UsageError, match="001/c00 has no outcome"):
        run.seal(1, [])
    with pytest.raises(UsageError, match="000/c00 is sealed") as caught:
        run.clear_outcome(CandidateId(0, 0))
    assert f"evomerge fork {run.root}@000 DEST" in (caught.value.hint or "")


def test_a_retried_failure_leaves_no_trace(tmp_path: Path) -> None:
    run = toys.with_open(tmp_path)
    stored = next(c for c in run.candidates(1) if c.scores)
    wanted = toys.tree(run.root)
    run.commit_outcome(stored.id, Failure("merge", "timeout", "  took\n too long  "))
    failed = run.candidate(stored.id)
    assert failed.failure == Failure("merge", "timeout", "took too long")
    assert not (run.root / "generations" / str(stored.id) / "scores.yaml").exists()
    assert not (run.root / "generations" / str(stored.id) / "items.tsv").exists()
    run.clear_outcome(stored.id)
    toys.score_open(run, 1)
    assert toys.tree(run.root) == wanted


def test_a_failed_compile_leaves_no_merge(tmp_path: Path) -> None:
    run = toys.with_open(tmp_path)
    run.commit_outcome(FIRST, Failure("compile", "invalid", "no such layer"))
    stored = run.candidate(FIRST)
    assert stored.text is None and stored.failure is not None


def test_baselines_count_for_their_evaluation_only(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 1)
    scores, _ = toys.scored(bytes(range(32)))
    assert run.baseline("base", "held_out", scores.eval_key) is not None
    assert run.baseline("base", "held_out", "another") is None
    assert run.baseline("base", "search") is None


# -- hand edits ----------------------------------------------------------------------------


def test_an_edit_before_use_counts(tmp_path: Path) -> None:
    run = toys.with_open(tmp_path, scored=False)
    edit(run, FIRST, "first: 0.11", "first: 0.77  # mine")
    stored = RunFolder.open(run.root).candidate(FIRST)
    assert stored.edited and stored.lineage.parents == (CandidateId(0, 0),)
    done = finish(run)
    outcome = done.outcomes(1)[0]
    assert outcome.genome.values["weight"] == {"first": 0.77, "second": 0.89}
    lineage = done.candidate(FIRST).lineage
    assert lineage.origin == "edited" and lineage.operator == "toy.mutation"
    assert lineage.asked == toys.proposals(1)[0].lineage.asked
    assert "origin: edited" in (run.root / "generations/001/c00/lineage.yaml").read_text()
    assert "edited" in (run.root / "generations/001/population.tsv").read_text()
    assert "# mine" in (run.root / "generations/001/c00/recipe.yaml").read_text()
    assert check(run.root) == []


def test_an_edit_after_scoring_is_scored_again(tmp_path: Path) -> None:
    run = toys.with_open(tmp_path)
    before = run.candidate(FIRST)
    assert before.done
    edit(run, FIRST, "kind: plain", "kind: fancy")
    after = RunFolder.open(run.root).candidate(FIRST)
    assert after.edited and not after.done
    done = finish(run).candidate(FIRST)
    assert done.done and done.text != before.text
    assert done.genome is not None and done.genome.values["kind"] == "fancy"


def test_an_edit_that_is_taken_back_costs_nothing(tmp_path: Path) -> None:
    wanted = toys.tree(toys.finished(tmp_path / "whole").root)
    run = toys.with_open(tmp_path / "open")
    edit(run, FIRST, "first: 0.11", "first: 0.12")
    assert not run.candidate(FIRST).done
    edit(run, FIRST, "first: 0.12", "first: 0.11")
    assert run.candidate(FIRST).done
    finish(run)
    assert toys.tree(run.root) == wanted


def test_an_outcome_belongs_to_the_genome_that_was_read(tmp_path: Path) -> None:
    """A person saves an edit while the candidate is being scored."""
    run = toys.with_open(tmp_path, scored=False)
    stored = run.candidates(1)[0]
    assert stored.genome is not None
    run.commit_compiled(stored.id, toys.compiled(stored.genome))
    edit(run, stored.id, "first: 0.11", "first: 0.5")
    run.commit_outcome(stored.id, *toys.scored(bytes(range(32))))
    assert not run.candidate(stored.id).done
    outcome = finish(run).outcomes(1)[0]
    assert outcome.genome.values["weight"] == {"first": 0.5, "second": 0.89}


def test_an_edited_merge_is_written_again(tmp_path: Path) -> None:
    wanted = toys.tree(toys.finished(tmp_path / "whole").root)
    run = toys.with_open(tmp_path / "open")
    path = run.root / "generations" / str(FIRST) / "mergekit.yaml"
    path.write_text("merge_method: slerp\n")
    assert not run.candidate(FIRST).done, "its score is of another merge"
    finish(run)
    assert toys.tree(run.root) == wanted


MISTAKES: dict[str, tuple[Callable[[str], str], str]] = {
    "half a word": (lambda t: t[:-3], "line break"),
    "half a number": (lambda t: t[: t.index("kind: plain") - 2], "gene 'kind' has no value"),
    "a word, not saved whole": (lambda t: t[:-6] + "fancy", "line break"),
    "nothing": (lambda t: "", "expected a mapping"),
    "not YAML": (lambda t: t + "  - [", "not valid YAML"),
    "unknown gene": (lambda t: t.replace("kind: plain", "kinds: plain"), "did you mean 'kind'"),
    "out of range": (lambda t: t.replace("0.11", "1.1"), "from 0 to 1"),
    "another kind": (lambda t: t.replace("kind: merge", "kind: experiment"), "expected kind"),
    "another experiment": (lambda t: t.replace("../../../", "../"), "expected from"),
    "a tag": (lambda t: t.replace("0.11", "!!python/name:os.system 0.11"), "tags are not"),
    "an anchor": (lambda t: t.replace("0.11", "&a 0.11"), "anchors"),
    "a key twice": (lambda t: t + "  kind: fancy\n", "duplicate key"),
    "an extra key": (lambda t: t + "extra: 1\n", "unknown key 'extra'"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistaken_edit_names_its_place_and_holds_up_nobody_else(
    tmp_path: Path, name: str
) -> None:
    change, message = MISTAKES[name]
    run = toys.with_open(tmp_path, scored=False)
    path = run.root / "generations" / str(FIRST) / "recipe.yaml"
    path.write_text(change(path.read_text()))
    with pytest.raises(ErrorList) as caught:
        run.candidates(1)
    assert message in caught.value.render()
    error = caught.value.errors[0]
    assert error.place is not None and error.place.file == str(path) and error.place.line >= 1
    assert caught.value.exit_code == 2
    first, *others = run.candidates(1, strict=False)
    assert first.problem is not None and first.genome is None
    assert all(other.genome is not None for other in others)
    assert "damage" in levels(run)


def test_bytes_that_are_no_text_are_a_mistake_with_a_place(tmp_path: Path) -> None:
    run = toys.with_open(tmp_path, scored=False)
    path = run.root / "generations" / str(FIRST) / "recipe.yaml"
    path.write_bytes(path.read_bytes().replace(b"plain", b"pl\xffin"))
    with pytest.raises(ErrorList, match=r"recipe.yaml:7:11: error: is not UTF-8"):
        run.candidates(1)
    path.unlink()
    with pytest.raises(ErrorList, match=r"recipe\.yaml is missing"):
        run.candidates(1)


def test_files_of_editors_are_nobodys_business(tmp_path: Path) -> None:
    run = toys.with_open(tmp_path)
    here = run.root / "generations" / str(FIRST)
    names = ("recipe.yaml~", ".recipe.yaml.swp", ".#recipe.yaml", "#recipe.yaml#", "4913")
    for name in names:
        (here / name).write_text("half an edit")
    done = finish(run)
    assert len(done.outcomes(1)) == toys.N_SLOTS
    assert all((here / name).exists() for name in names)
    assert levels(done) <= {"note"}


def test_an_edit_in_a_sealed_generation_stops_and_offers_a_fork(tmp_path: Path) -> None:
    run = toys.finished(tmp_path)
    path = edit(run, CandidateId(0, 1), "kind: fancy", "kind: plain")
    for read in (lambda: run.outcomes(0), lambda: run.candidate(CandidateId(0, 0))):
        with pytest.raises(RunDamaged) as caught:
            read()
        assert caught.value.exit_code == 5
        assert caught.value.place is not None and caught.value.place.file == str(path)
        assert f"evomerge fork {run.root}@000 DEST" in (caught.value.hint or "")
    [finding] = check(run.root)
    assert finding.path == "generations/000/c01/recipe.yaml" and finding.level == "damage"


# -- fork ----------------------------------------------------------------------------------


def test_a_fork_takes_the_edit_along_and_rescores_nothing_else(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 3)
    id = CandidateId(1, 2)
    edit(run, id, "kind: plain", "kind: fancy")
    branch = fork(run.root, 1, tmp_path / "elsewhere" / "branch")
    assert branch.sealed_generations() == [0] and branch.open_generation() == 1
    assert branch.lock.forked_from == "x@001"
    stored = RunFolder.open(branch.root).candidates(1)
    assert [c.done for c in stored] == [c.id != id for c in stored]
    assert stored[2].edited
    before = toys.tree(run.root / "generations" / "000")
    assert toys.tree(branch.root / "generations" / "000") == before
    done = finish(branch, 3)
    assert done.sealed_generations() == [0, 1, 2]
    assert check(done.root) == []
    assert recipes.load(branch.root / "recipe.yaml").folder == (tmp_path / "recipes").resolve()


def test_a_fork_of_the_open_generation_keeps_its_work(tmp_path: Path) -> None:
    run = toys.with_open(tmp_path)
    branch = fork(run.root, 1, tmp_path / "branch")
    finish(run)
    finish(branch)
    ours, theirs = (toys.tree(r.root / "generations") for r in (run, branch))
    assert ours == theirs


def test_a_fork_copies_nothing_damaged(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 2)
    edit(run, CandidateId(0, 0), "kind: plain", "kind: fancy")
    with pytest.raises(RunDamaged):
        fork(run.root, 1, tmp_path / "branch")
    (run.root / "generations/000/c01/lineage.yaml").write_text("origin: initial\n")
    with pytest.raises(RunDamaged, match="was changed after sealing"):
        fork(run.root, 0, tmp_path / "branch")
    assert not (tmp_path / "branch").exists()


def test_a_fork_has_somewhere_to_go(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 1)
    with pytest.raises(UsageError, match="no generation 007"):
        fork(run.root, 7, tmp_path / "branch")
    with pytest.raises(UsageError, match="exists already"):
        fork(run.root, 0, run.root)


# -- resuming ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("generations: 3", "generations: 30"),
        ("generations: 3", "generations: 3, plateau: {patience: 2}"),
        ("generations: 3", "generations: 3, budget: {hours: 2}"),
        ("generations: 3", "generations: 3, max_failed_share: 0.1"),
        ("  tasks:", "  timeout_s: 5\n  tasks:"),
        ("# A comment that stays.", "# Another."),
        ("version: 1\nname: toy", "name: toy\nversion: 1"),
        ("metric: acc}", "metric: acc, weight: 1}"),
    ],
)
def test_a_run_goes_on_with_another_stop_rule(tmp_path: Path, old: str, new: str) -> None:
    run = toys.finished(tmp_path, 1)
    path = toys.project(tmp_path, toys.RECIPE.replace(old, new))
    again = RunFolder.open(run.root, create_from=toys.setup(path))
    assert (run.root / "recipe.yaml").read_bytes() == path.read_bytes()
    assert again.sealed_generations() == [0]
    assert check(run.root) == []
    assert RunFolder.open(run.root).recipe.search == again.recipe.search


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("population: 4", "population: 6", "search.population: 4 -> 6"),
        ("seed: 7", "seed: 8", "seed: 7 -> 8"),
        ("models/first", "models/third", "models.first.path: models/first -> models/third"),
        ("task: toy_math", "task: toy_maths", "evaluation.tasks.math.task: toy_math -> toy_maths"),
        ("  tasks:", "  limit: 9\n  tasks:", "evaluation.limit: null -> 9"),
        ("layer_groups: 2", "layer_groups: 3", "layer_groups: 2 -> 3"),
        ("seed: 7", "genome: {kind: fancy}\nseed: 7", "genome.kind: (absent) -> fancy"),
        (
            "  first: {path: models/first}\n  second: {path: models/second}",
            "  second: {path: models/second}\n  first: {path: models/first}",
            "models: order ['first', 'second'] -> ['second', 'first']",
        ),
    ],
)
def test_a_run_does_not_go_on_as_another_experiment(
    tmp_path: Path, old: str, new: str, line: str
) -> None:
    run = toys.finished(tmp_path, 1)
    before = toys.tree(run.root)
    path = toys.project(tmp_path, toys.RECIPE.replace(old, new))
    with pytest.raises(UsageError) as caught:
        RunFolder.open(run.root, create_from=toys.setup(path))
    assert caught.value.exit_code == 2
    assert line in caught.value.message
    assert all(name in (caught.value.hint or "") for name in MAY_CHANGE)
    assert toys.tree(run.root) == before
    # The same edit made inside the run folder is no better.
    (run.root / "recipe.yaml").write_text(toys.RECIPE.replace(old, new))
    with pytest.raises(UsageError, match="is not the one that"):
        _ = RunFolder.open(run.root).recipe


def test_a_recipe_edited_in_the_run_folder_is_taken_from_there(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 1)
    own = run.root / "recipe.yaml"
    own.write_text(toys.RECIPE.replace("generations: 3", "generations: 5"))
    with pytest.raises(UsageError, match="was edited and is not the recipe given") as caught:
        RunFolder.open(run.root, create_from=toys.setup(toys.project(tmp_path)))
    assert f"evomerge evolve {own}" in (caught.value.hint or "")
    again = RunFolder.open(run.root, create_from=toys.setup(own))
    assert again.recipe.search is not None and again.recipe.search.generations == 5
    assert check(run.root) == []


def test_overrides_stay_with_the_run(tmp_path: Path) -> None:
    path = toys.project(tmp_path)
    root = tmp_path / "runs" / "x"
    given = toys.setup(path, overrides=("search.population=6",))
    RunFolder.open(root, create_from=given)
    loaded = RunFolder.open(root).recipe
    assert loaded.search is not None and loaded.search.population == 6
    with pytest.raises(UsageError, match=r"search\.population: 6 -> 4"):
        RunFolder.open(root, create_from=toys.setup(path))
    RunFolder.open(root, create_from=given)
    # Given from inside the folder, the overrides of the start still hold.
    more = toys.setup(root / "recipe.yaml", overrides=("search.generations=9",))
    again = RunFolder.open(root, create_from=more)
    assert again.lock.overrides == ("search.population=6", "search.generations=9")
    search = RunFolder.open(root).recipe.search
    assert search is not None and (search.population, search.generations) == (6, 9)


def test_other_versions_stop_the_run_until_they_are_accepted(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 1)
    path = toys.project(tmp_path)
    resolved = {"versions": {"mergekit": "0.1.6"}, "device": "cpu"}
    with pytest.raises(UsageError) as caught:
        RunFolder.open(run.root, create_from=toys.setup(path, resolved=resolved))
    assert 'versions.mergekit: "0.1.5" -> "0.1.6"' in caught.value.message
    assert "--accept-lock" in (caught.value.hint or "")
    accepted = toys.setup(path, resolved=resolved, accept_lock=True)
    again = RunFolder.open(run.root, create_from=accepted)
    [change] = again.lock.accepted
    assert change["from_generation"] == 1
    assert RunFolder.open(run.root, create_from=toys.setup(path, resolved=resolved)).lock.accepted
    simulated = toys.setup(path, resolved={"simulation": {}, **resolved}, accept_lock=True)
    with pytest.raises(UsageError, match="is a real run") as refused:
        RunFolder.open(run.root, create_from=simulated)
    assert "evomerge evolve" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("format: 2", "newer format 2"),
        ("format: 0", "older format 0"),
        ("version: 1", "expected the line 'format: 1' first"),
        ("", "expected the line 'format: 1' first"),
    ],
)
def test_other_formats_are_refused(tmp_path: Path, first: str, message: str) -> None:
    run = toys.finished(tmp_path, 1)
    path = run.root / "recipe.lock.yaml"
    path.write_text(path.read_text().replace("format: 1", first, 1))
    with pytest.raises(RunDamaged, match=message) as caught:
        RunFolder.open(run.root)
    assert caught.value.exit_code == 5
    assert [f.path for f in check(run.root)] == ["recipe.lock.yaml"]


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "precious"
    root.mkdir()
    (root / "thesis.tex").write_text("x")
    given = toys.setup(toys.project(tmp_path))
    with pytest.raises(UsageError, match=r"not empty: it holds thesis\.tex"):
        RunFolder.open(root, create_from=given)
    with pytest.raises(UsageError, match="is not a run folder"):
        RunFolder.open(root)
    assert [p.name for p in root.iterdir()] == ["thesis.tex"]
    with pytest.raises(UsageError, match="is a file"):
        RunFolder.open(root / "thesis.tex", create_from=given)


def test_missing_generations_and_seals_are_damage(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 3)
    seal = run.root / "generations" / "001" / "SEALED"
    kept = seal.read_bytes()
    seal.unlink()
    with pytest.raises(RunDamaged, match="generation 001 has no seal"):
        run.generations()
    seal.write_bytes(kept)
    (run.root / "generations" / "001").rename(tmp_path / "away")
    with pytest.raises(RunDamaged, match="generation 001 is missing"):
        run.sealed_generations()
    assert levels(run) == {"damage"}


# -- check and gc --------------------------------------------------------------------------


def test_check_tells_notes_from_damage(tmp_path: Path) -> None:
    run = toys.with_open(tmp_path)
    assert check(run.root) == []
    edit(run, FIRST, "first: 0.11", "first: 0.12")
    (run.root / "generations" / "000" / "c00" / "mine.txt").write_text("x")
    (run.root / "generations" / "001" / ".search.yaml.abcd1234").write_text("x")
    (run.root / "generations" / ".002.tmp").mkdir()
    (run.root / "notes.md").write_text("x")
    found = {finding.path: finding for finding in check(run.root)}
    assert {path for path, f in found.items() if f.level == "note"} == {
        "generations/001/c00/recipe.yaml",
        "generations/000/c00/mine.txt",
        "generations/001/.search.yaml.abcd1234",
        "generations/.002.tmp",
        "notes.md",
    }
    outcome = "scores.yaml" if toys.N_SLOTS and _scored(run) else "failure.yaml"
    assert [p for p, f in found.items() if f.level == "damage"] == [
        f"generations/001/c00/{outcome}"
    ]
    finish(run)
    assert not (run.root / "generations" / ".002.tmp").exists()
    assert not (run.root / "generations" / "001" / ".search.yaml.abcd1234").exists()
    assert (run.root / "notes.md").exists()


def _scored(run: RunFolder) -> bool:
    return (run.root / "generations" / str(FIRST) / "scores.yaml").exists()


def test_gc_frees_what_can_be_rebuilt_and_nothing_else(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 1)
    before = toys.tree(run.root)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "weights").write_bytes(b"x" * 5000)
    (run.root / "models" / "stages").mkdir(parents=True)
    (run.root / "models" / "stages" / "w").write_bytes(b"x" * 1000)
    os_link = run.root / "models" / "src"
    os_link.symlink_to(outside)
    (run.root / ".evomerge" / "cache").mkdir()
    (run.root / ".evomerge" / "cache" / "c").write_bytes(b"x" * 10)
    (run.root / ".evomerge" / "wandb.json").write_text("{}")
    kept = sum(p.stat().st_size for p in (run.root / ".evomerge" / "sealed").iterdir())
    assert kept > 0
    assert gc(run.root, dry_run=True) == 1010 + kept
    assert (run.root / "models" / "stages" / "w").exists()
    assert gc(run.root) == 1010 + kept
    assert not (run.root / "models").exists()
    assert (outside / "weights").exists()
    assert {p.name for p in (run.root / ".evomerge").iterdir()} == {"lock", "wandb.json"}
    assert toys.tree(run.root) == before
    assert gc(run.root) == 0


# -- names and links -----------------------------------------------------------------------

HOSTILE = [
    "../..",
    "..",
    "/etc",
    "c00/../..",
    "ｃ００",
    "c００",
    "c00\n",
    "c" * 300,
    ".git",
    "a b",
    "",
    "a\x00b",
]


@pytest.mark.parametrize("code", ["85", "80"])
def test_unprintable_text_of_a_recipe_survives_in_the_lock(tmp_path: Path, code: str) -> None:
    path = toys.project(tmp_path, toys.RECIPE.replace("toy_code", f'"a\\x{code}b"'))
    RunFolder.open(tmp_path / "runs" / "x", create_from=toys.setup(path))
    held = str(RunFolder.open(tmp_path / "runs" / "x").lock.recipe)
    assert f"a\\x{code}b" in held


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_lead_nowhere(tmp_path: Path, name: str) -> None:
    run = toys.finished(tmp_path, 1)
    scores, _ = toys.scored(bytes(range(32)))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(UsageError):
        run.baseline(name, "search")
    with pytest.raises(UsageError):
        run.commit_baseline("base", name, scores)
    if name not in ("", "/etc", "c00/../.."):
        with pytest.raises(UsageError):
            run.read(f"generations/{name}/recipe.yaml")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("name", ["con", "nul.x", "ru n", ".hidden", "x" * 300, "a\nb"])
def test_runs_get_names_that_every_system_has(tmp_path: Path, name: str) -> None:
    given = toys.setup(toys.project(tmp_path))
    with pytest.raises(UsageError, match="not a usable name"):
        RunFolder.open(tmp_path / "runs" / name, create_from=given)
    run = toys.finished(tmp_path, 1)
    with pytest.raises(UsageError, match="not a usable name"):
        fork(run.root, 0, tmp_path / name)


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    run = toys.with_open(tmp_path)
    secret = tmp_path / "secret.yaml"
    secret.write_text((run.root / "generations" / str(FIRST) / "recipe.yaml").read_text())
    path = run.root / "generations" / str(FIRST) / "recipe.yaml"
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(EvomergeError, match="symbolic link"):
        run.candidates(1)
    [finding] = check(run.root)
    assert finding.path == "generations/001/c00/recipe.yaml" and finding.level == "damage"
    path.unlink()
    best = run.root / "best.yaml"
    best.unlink()
    best.symlink_to("/etc/passwd")
    outcome = toys.best(run.outcomes(0))
    with pytest.raises(RunDamaged, match="symbolic link"):
        run.write_best(outcome)
    with pytest.raises(RunDamaged, match="symbolic link"):
        run.best()


def test_a_linked_generation_is_refused(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 1)
    away = tmp_path / "away"
    (run.root / "generations").rename(away)
    (run.root / "generations").symlink_to(away)
    with pytest.raises(RunDamaged, match="symbolic link"):
        run.sealed_generations()


def test_a_lock_file_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    run = toys.finished(tmp_path, 1)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lock = run.root / ".evomerge" / "lock"
    lock.unlink()
    lock.symlink_to(victim)
    with pytest.raises(EvomergeError), run.hold():
        pass
    assert victim.read_text() == "precious"
