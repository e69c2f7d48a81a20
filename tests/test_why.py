"""Genes beside scores: what is compared, what is said of it, what is shown of the items."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from simulated_run import QUICKSTART, evolve

from evomerge_compiler import ask_tell, cli, errors, yamlio
from evomerge_compiler import recipe as recipes
from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.evaluation.items import asked_items
from evomerge_compiler.evaluation.spec import plan_evaluation
from evomerge_compiler.evaluation.statistics import compare, paired_difference
from evomerge_compiler.executors.simulated import Landscape
from evomerge_compiler.report.why import Comparison, explain
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.run_folder.setup import RunSetup

NO_PLATEAU = ("search.plateau.patience=0",)
DOMAINS = ("code", "math", "multilingual", "structured_data")


def call(*arguments: str | Path) -> int:
    return cli.run([str(argument) for argument in arguments])


# -- a run as evolution leaves it ----------------------------------------------------------


@pytest.fixture(scope="module")
def evolved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("why") / "toy"
    evolve(run, 3, overrides=NO_PLATEAU)
    return run


def test_scores_and_items_are_those_of_the_files(evolved: Path) -> None:
    run = RunFolder.open(evolved)
    for child in run.candidates(2):
        found = explain(run, child.id)
        assert [c.other for c in found.comparisons] == [str(p) for p in child.lineage.parents]
        for parent_id, comparison in zip(child.lineage.parents, found.comparisons, strict=True):
            parent = run.candidate(parent_id)
            assert parent.scores is not None and child.scores is not None
            assert comparison.mean is not None
            whole = compare(child.scores, parent.scores)
            assert comparison.mean.low == pytest.approx(whole.low)
            assert comparison.mean.difference == pytest.approx(whole.difference, abs=1e-6)
            for change in comparison.domains:
                old, new = (s.items[change.domain] for s in (parent.scores, child.scores))
                paired = paired_difference({"d": new.values}, {"d": old.values})
                assert (change.low, change.high) == (paired.low, paired.high)
                net = (len(change.gained) - len(change.lost)) / len(new.values)
                assert change.difference == pytest.approx(net, abs=1e-6)
                assert all((f.old, f.new) == (0.0, 1.0) for f in change.gained)
                assert all((f.old, f.new) == (1.0, 0.0) for f in change.lost)


def test_genes_are_those_of_diff(evolved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for slot in range(8):
        assert call("diff", f"{evolved}:002/c{slot:02d}", "--json") == 0
        compared = json.loads(capsys.readouterr().out)
        assert call("why", f"{evolved}:002/c{slot:02d}", "--json", "--no-items") == 0
        found = json.loads(capsys.readouterr().out)["comparisons"]
        for diff, why in zip(compared, found, strict=True):
            genes = [
                (c["name"], c["old"], c["new"]) for c in diff["changes"] if c["what"] == "gene"
            ]
            assert [(g["name"], g["old"], g["new"]) for g in why["genes"]] == genes


def test_without_parents_the_models_are_compared(
    evolved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = explain(RunFolder.open(evolved), CandidateId(0, 3))
    best, uniform = found.comparisons
    assert best.other in ("base", "coder", "mathematician", "polyglot")
    assert (uniform.other, uniform.genes) == ("uniform", None)
    assert best.verdict.startswith(f"No gene leads from {best.other} to 000/c03.")
    evolve(tmp_path / "run", 1, final=False)
    assert call("why", tmp_path / "run", "000/c03") == 0
    assert "no parents, and no model is scored yet" in capsys.readouterr().out


def test_failures_have_no_scores_to_compare(tmp_path: Path) -> None:
    run = tmp_path / "run"
    landscape = Landscape(failing={"non_finite": 0.3})
    evolve(run, 3, overrides=NO_PLATEAU, landscape=landscape, final=False)
    folder = RunFolder.open(run)
    failed = next(c for n in (1, 2) for c in folder.candidates(n) if c.failure is not None)
    found = explain(folder, failed.id)
    assert found.state == "failed (non_finite): the landscape says so"
    for comparison in found.comparisons:
        assert comparison.genes and not comparison.domains
        assert comparison.verdict.startswith("There are no scores to compare: ")


# -- a run of which everything is told -----------------------------------------------------


class Told:
    """A run with real tasks and scores that a test writes; generation 1 has known parents."""

    def __init__(self, root: Path) -> None:
        self.recipe = recipes.load(QUICKSTART, overrides=("evaluation.limit=8",))
        resolved = {"tasks": "sha256:0"}
        setup = RunSetup(self.recipe, QUICKSTART.read_bytes(), resolved, ("evaluation.limit=8",))
        self.path = RunFolder.open(root, create_from=setup).root
        assert self.recipe.evaluation is not None
        plan = plan_evaluation(self.recipe.evaluation, folder=self.recipe.folder)
        self.items, _ = asked_items(plan, DOMAINS)
        for candidate in ask_tell.ask(self.path).open:
            self.tell(candidate.id, {})
        self.child = next(
            c for c in RunFolder.open(self.path).candidates(self.next())
            if c.lineage.origin == "mutation" and not c.done
        )  # fmt: skip
        self.parent = self.child.lineage.parents[0]

    def next(self) -> int:
        ask_tell.ask(self.path)
        number = RunFolder.open(self.path).open_generation()
        assert number is not None
        return number

    def tell(self, id: CandidateId, right: Mapping[str, Sequence[int]], **sets: str) -> None:
        """Half of each domain's 8 items are right unless ``right`` says which are."""
        data = {}
        for domain in DOMAINS:
            values = [int(at in right.get(domain, range(4))) for at in range(8)]
            item_set = sets.get(domain, self.items[domain].item_set)
            items = {"set": item_set, "values": values}
            data[domain] = {"value": sum(values) / 8, "stderr": 0.1, "n": 8, "items": items}
        ask_tell.tell(self.path, id, data)

    def change(self, id: CandidateId, **genes: object) -> None:
        """Gives a candidate its parent's genome, with some genes changed."""
        folder = RunFolder.open(self.path)
        genome = folder.candidate(self.parent).genome
        assert genome is not None
        data = {"kind": "merge", "from": "../../../recipe.yaml",
                "genome": {**genome.plain(), **genes}}  # fmt: skip
        (self.path / "generations" / str(id) / "recipe.yaml").write_text(yamlio.dump(data))

    def why(self, *, texts: bool = False) -> Comparison:
        return explain(RunFolder.open(self.path), self.child.id, texts=texts).comparisons[0]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path / "run")


def test_a_gene_that_changed_alone_goes_with_what_moved(told: Told) -> None:
    told.change(told.child.id, density=0.45)
    told.tell(told.child.id, {"math": range(8), "code": (1, 2, 3, 4)})
    found = told.why()
    assert [(g.name, g.old, g.new) for g in found.genes or ()] == [("density", 0.9, 0.45)]
    by_name = {domain.domain: domain for domain in found.domains}
    assert by_name["math"].moved and [f.position for f in by_name["math"].gained] == [4, 5, 6, 7]
    code = by_name["code"]
    assert ([f.position for f in code.gained], [f.position for f in code.lost]) == ([4], [0])
    assert not code.moved, "as many won as lost"
    assert "density 0.9 -> 0.45 is the only gene that changed. By more than" in found.verdict
    assert "chance explains: math +0.500; among 4 domains" in found.verdict
    assert "shows a move in 19 % of pairs" in found.verdict
    assert f"The scores of {told.parent} and {told.child.id} were told" in found.verdict


def test_genes_that_changed_together_get_no_credit_but_each_ones_own_record(told: Told) -> None:
    stored = RunFolder.open(told.path).candidates(1)
    others = [
        c
        for c in stored
        if not c.done and told.parent in c.lineage.parents and c.id != told.child.id
    ]
    told.change(told.child.id, density=0.45, ensemble_weight=0.5)
    told.change(others[0].id, density=0.45)
    told.change(others[1].id, density=0.2)
    told.tell(told.child.id, {"math": range(8)})
    told.tell(others[0].id, {"math": range(7)})
    told.tell(others[1].id, {"math": range(6)})
    found = told.why()
    assert "2 genes changed together (density, ensemble_weight): " in found.verdict
    assert "none can be credited alone" in found.verdict
    (sibling,) = found.siblings
    assert (sibling.id, str(sibling.gene)) == (str(others[0].id), "density 0.9 -> 0.45")
    assert [d.difference for d in sibling.domains] == [0, 0.375, 0, 0]


def test_a_choice_takes_its_dependent_genes_with_it(told: Told) -> None:
    folder = RunFolder.open(told.path)
    genome = folder.candidate(told.parent).genome
    assert genome is not None and genome.values["interpolation"] == "linear"
    plain = {k: v for k, v in genome.plain().items() if k != "linear_weight"}
    data = {"kind": "merge", "from": "../../../recipe.yaml",
            "genome": {**plain, "interpolation": "slerp", "slerp_t": 0.25}}  # fmt: skip
    path = told.path / "generations" / str(told.child.id) / "recipe.yaml"
    path.write_text(yamlio.dump(data))
    told.tell(told.child.id, {})
    found = told.why()
    assert {g.name for g in found.genes or ()} == {"interpolation", "linear_weight", "slerp_t"}
    assert "interpolation linear -> slerp is the only gene that changed (2 others" in found.verdict
    assert "No domain moved by more than chance explains." in found.verdict


def test_other_items_are_said_and_not_compared(told: Told) -> None:
    told.change(told.child.id, density=0.45)
    told.tell(told.child.id, {"math": range(8)}, math="of-mine")
    found = told.why(texts=True)
    math = found.domains[1]
    assert (math.note, math.low, math.gained) == ("scored on other items", None, ())
    assert found.mean is not None and found.mean.low is None
    assert "math" not in found.verdict


def test_an_unchanged_candidate_is_called_that(told: Told) -> None:
    told.change(told.child.id)
    ask_tell.ask(told.path)  # equal merges share what is told
    assert told.why().verdict.startswith("No gene changed, and no score.")


def test_items_that_flipped_are_shown(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    told.change(told.child.id, density=0.45)
    told.tell(told.child.id, {"math": range(8), "code": range(1, 4)})
    items = told.items["math"].items
    assert call("why", told.path, told.child.id, "--items", 2, "--json") == 0
    math = json.loads(capsys.readouterr().out)["comparisons"][0]["domains"][1]
    assert [flip["item"]["prompt"] for flip in math["gained"]] == [i.prompt for i in items[4:6]]
    assert (math["n_gained"], math["n_lost"], math["moved"]) == (4, 0, True)
    assert call("why", told.path, told.child.id, "--items", 2) == 0
    text = capsys.readouterr().out
    assert "math, wrong -> right, 2 of 4:" in text
    assert f"  {items[4].item_hash[:8]}  {items[4].prompt} => {items[4].target}" in text
    assert "code, right -> wrong:" in text
    assert max(map(len, text.splitlines())) <= 99


def test_without_items_lm_eval_is_not_imported(
    evolved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> Any:
        raise AssertionError("items are looked up")

    monkeypatch.setattr("evomerge_compiler.report.asked.asked_items", refuse)
    assert call("why", evolved, "002/c01", "--no-items") == 0
    assert "wrong -> right" not in capsys.readouterr().out
    assert call("why", evolved, "best") == 0
    assert "items cannot be shown: simulated items have no text" in capsys.readouterr().out
    assert call("why", f"{evolved}:best", "--no-items") == 0
    assert call("why", evolved, "009/c00") == errors.EXIT_BAD_INPUT
