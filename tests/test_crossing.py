"""Candidates that merge candidates: composed from text, resumed, edited, looked at, given away."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from simulated_run import digest, evolve
from test_ask_tell import landscape_scores

from evomerge_compiler import ask_tell, cli, errors, yamlio
from evomerge_compiler import recipe as recipes
from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.compiler import MergePlan, compile_recipe
from evomerge_compiler.compiler.crossovers import unlimited
from evomerge_compiler.compiler.merge_plan import WrittenMerge
from evomerge_compiler.crossing import LINEAR, SPLIT_SLERP, Crossing, space_of
from evomerge_compiler.errors import CompileError, EvomergeError, RecipeError, UsageError
from evomerge_compiler.run_folder import RunFolder, StoredCandidate
from evomerge_compiler.run_folder.fork import fork
from evomerge_compiler.standalone import write_standalone

MAX_STAGES = 6
CROSSED = (
    "search.plateau.patience=0",
    "search.parameters={recover: model, n_elite: 1, n_mutants: 2}",
    f"search.model_crossover={{share: 0.25, max_stages: {MAX_STAGES}}}",
)
GENERATIONS = 6
# The generation that is open after the short run.
OPEN = 2


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crossing") / "run"
    evolve(folder, GENERATIONS, overrides=CROSSED)
    return folder


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two generations whose strategy asks for no crossings itself."""
    folder = tmp_path_factory.mktemp("short") / "run"
    overrides = ("search.strategy=tournament", "search.model_crossover.share=0.25")
    evolve(folder, OPEN, overrides=(CROSSED[0], *overrides), final=False)
    return folder


@pytest.fixture
def copy(short: Path, tmp_path: Path) -> Path:
    """A copy of the run, beside it: what its recipe is relative to is as far away."""
    target = short.with_name(tmp_path.name)
    shutil.copytree(short, target, symlinks=True)
    return target


def crossings(run: Path) -> list[StoredCandidate]:
    folder = RunFolder.open(run)
    every = [c for number in folder.generations() for c in folder.candidates(number)]
    return [c for c in every if isinstance(c.genome, Crossing)]


def depths(found: list[StoredCandidate]) -> dict[CandidateId, int]:
    """How many crossings lie on the longest way from each to the run's own models."""
    known: dict[CandidateId, int] = {}
    for candidate in found:
        assert isinstance(candidate.genome, Crossing)
        known[candidate.id] = 1 + max(known.get(parent, 0) for parent in candidate.genome.models)
    return known


# -- a run ---------------------------------------------------------------------------------


def test_both_kinds_compose_recipes_many_generations_deep(run: Path) -> None:
    found = crossings(run)
    assert {c.genome.template for c in found} == {LINEAR, SPLIT_SLERP}  # type: ignore[union-attr]
    assert all(c.fitness is not None for c in found)
    assert max(depths(found).values()) >= 3


def test_no_chain_is_longer_than_allowed(run: Path) -> None:
    texts = [c.text or "" for c in crossings(run)]
    n_stages = [len(list(yaml.safe_load_all(text))) for text in texts]
    assert max(n_stages) <= MAX_STAGES
    assert any(re.search(r"models/src/\d{3}-c\d\d", text) for text in texts), "one is on disk"
    assert any("-c0" in text and count > 1 for text, count in zip(texts, n_stages, strict=True))


def test_a_recipe_names_its_parents_by_their_recipes(run: Path) -> None:
    candidate = crossings(run)[-1]
    assert isinstance(candidate.genome, Crossing)
    path = run / "generations" / str(candidate.id) / "recipe.yaml"
    data = yaml.safe_load(path.read_text())
    for spec, parent in zip(data["models"].values(), candidate.genome.models, strict=True):
        assert (path.parent / spec["path"]).samefile(
            run / "generations" / str(parent) / "recipe.yaml"
        )
    assert candidate.lineage.crossover == data["template"]


def test_what_is_compiled_from_text_alone_is_what_was_scored(run: Path) -> None:
    for candidate in crossings(run)[-4:]:
        path = run / "generations" / str(candidate.id) / "recipe.yaml"
        assert compile_recipe(recipes.load(path)).written() == candidate.text


def test_a_resumed_run_is_the_same_run(run: Path, tmp_path: Path) -> None:
    for gens in (2, 5, GENERATIONS):
        evolve(tmp_path / "again", gens, overrides=CROSSED)
    assert digest(tmp_path / "again") == digest(run)


def test_a_fork_goes_on_like_the_run_it_left(run: Path, tmp_path: Path) -> None:
    forked = fork(run, 3, tmp_path / "fork")
    evolve(forked.root, GENERATIONS, overrides=CROSSED)
    assert digest(forked.root) == digest(run)


@pytest.mark.parametrize(
    "command", ["check {run}", "show {run}", "status {run}", "lineage {run} {id}",
                "diff {run}:{id}", "why {run} {id}", "compile {path}", "validate {path}"],
)  # fmt: skip
def test_commands_that_look_at_a_run_know_crossings(
    run: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    id = crossings(run)[-1].id
    path = run / "generations" / str(id) / "recipe.yaml"
    assert cli.run(command.format(run=run, id=id, path=path).split()) == 0, capsys.readouterr()
    text = capsys.readouterr().out
    if command.startswith(("diff", "why")):
        assert "template" in text and "first" in text
    if command.startswith("why"):
        assert "drawn anew" not in text


def test_a_plan_is_made_of_crossings_too(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask_tell.ask(copy, OPEN + 1)
    assert cli.run(["plan", str(copy), "--gens", str(OPEN + 1)]) == 0
    assert "new merge" in capsys.readouterr().out


# -- text alone ----------------------------------------------------------------------------


def content(plan: MergePlan) -> str:
    """What the result is made of, whatever stages and models are called on the way."""
    return plan.stages[-1].stage_key


def test_composed_down_to_the_models_it_is_the_same_for_everyone(
    run: Path, tmp_path: Path
) -> None:
    folder = RunFolder.open(run)
    for candidate in crossings(run)[-2:]:
        whole = compile_recipe(unlimited(folder.recipe), genome=candidate.genome)
        assert not any(isinstance(model, WrittenMerge) for model in whole.models.values())
        files = write_standalone(run, candidate.id, tmp_path / f"{candidate.id.slot}.yaml")
        assert content(compile_recipe(recipes.load(files[-1]))) == content(whole)
    assert max(len(path.name) for path in tmp_path.iterdir()) < 32


def test_a_written_parent_is_its_own_merge(run: Path) -> None:
    folder = RunFolder.open(run)
    written = {
        alias: model
        for candidate in crossings(run)[-4:]
        for alias, model in compile_recipe(folder.recipe, genome=candidate.genome).models.items()
        if isinstance(model, WrittenMerge)
    }
    assert written
    for alias, model in written.items():
        parent = folder.candidate(CandidateId.parse(alias.replace("-", "/")))
        assert model.plan.written() == parent.text
        assert model.identity == f"merge:{model.plan.merge_key}"


# -- people --------------------------------------------------------------------------------


def next_crossing(run: Path) -> Path:
    """The recipe of a crossing in the open generation."""
    state = ask_tell.ask(run, OPEN + 1)
    id = next(c.id for c in state.open if isinstance(c.genome, Crossing)
              and c.genome.template == SPLIT_SLERP)  # fmt: skip
    return run / "generations" / str(id) / "recipe.yaml"


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    found = re.search(old, text)
    assert found, text
    path.write_text(text.replace(found[0], new, 1))


def test_genes_and_parents_of_a_crossing_may_be_edited(copy: Path) -> None:
    path = next_crossing(copy)
    edited(path, r"first:\n    path: \S+", "first:\n    path: ../../000/c01/recipe.yaml")
    edited(path, r"split: \S+", "split: 0.5")
    while (state := ask_tell.ask(copy, OPEN + 1)).ended is None:
        for candidate in state.open:
            ask_tell.tell(copy, candidate.id, landscape_scores(candidate))
    id = CandidateId(OPEN, int(path.parent.name[1:]))
    stored = RunFolder.open(copy).candidate(id)
    assert isinstance(stored.genome, Crossing)
    assert str(stored.genome.models[0]) == "000/c01" and stored.genome.values["split"] == 0.5
    assert stored.lineage.origin == "edited" and stored.fitness is not None
    assert cli.run(["check", str(copy)]) == 0


@pytest.mark.parametrize(
    ("old", "new", "message", "line"),
    [
        (r"split: \S+", "split: 1.5", "expected a number from 0 to 1, got 1.5", 10),
        (r"split: \S+", "spilt: 0.5", "unknown gene 'spilt'", 10),
        (r"template: \S+", "template: linear", "expected template: split_slerp", 3),
        (r"template: \S+\n", "", "expected template: split_slerp, got None", 1),
        (r"second:", "third:", "expected the models first, second, got first, third", 5),
        (r"first:\n    path: \S+", "first:\n    path: zoo:coder", "the path of a candidate", 6),
        (r"first:\n    path: \S+", "first: {path: x, lora: y}", "the path of a candidate", 5),
        (r"genome:", "tokenizer: first\ngenome:", "unknown key 'tokenizer'", 9),
    ],
)
def test_mistakes_in_a_crossing_have_their_place(
    copy: Path, old: str, new: str, message: str, line: int
) -> None:
    path = next_crossing(copy)
    edited(path, old, new)
    with pytest.raises(EvomergeError) as caught:
        ask_tell.ask(copy, OPEN + 1)
    first = getattr(caught.value, "errors", [caught.value])[0]
    assert message in first.message
    assert first.place is not None and first.place.file == str(path)
    assert abs(first.place.line - line) <= 1


def test_a_parent_twice_is_refused(copy: Path) -> None:
    path = next_crossing(copy)
    same = "\n".join(f"  {a}:\n    path: ../../000/c01/recipe.yaml" for a in ("first", "second"))
    edited(path, r"models:\n(?:  .*\n)+", f"models:\n{same}\n")
    with pytest.raises(EvomergeError, match="000/c01 is named twice"):
        ask_tell.ask(copy, OPEN + 1)


@pytest.mark.parametrize(
    ("parent", "message"),
    [
        (f"{OPEN:03d}/c00", "not of an earlier generation"),
        ("000/c77", "no candidate 000/c77 to merge"),
    ],
)
def test_a_parent_is_a_candidate_of_an_earlier_generation(
    copy: Path, parent: str, message: str
) -> None:
    path = next_crossing(copy)
    edited(path, r"first:\n    path: \S+", f"first:\n    path: ../../{parent}/recipe.yaml")
    with pytest.raises(RecipeError, match=message):
        ask_tell.ask(copy, OPEN + 1)


def test_what_is_no_crossing_does_not_become_one(copy: Path) -> None:
    path = next_crossing(copy)
    stored = RunFolder.open(copy).candidates(OPEN)
    plain = next(c.id for c in stored if not isinstance(c.genome, Crossing))
    (copy / "generations" / str(plain) / "recipe.yaml").write_text(path.read_text())
    with pytest.raises(EvomergeError, match="unknown key 'template'"):
        ask_tell.ask(copy, OPEN + 1)


def test_a_crossing_is_neither_proposed_nor_displaced(copy: Path, tmp_path: Path) -> None:
    crossing = next_crossing(copy)
    with pytest.raises(RecipeError, match="no genome of the experiment"):
        ask_tell.propose(copy, crossing)
    slots = set()
    for number in range(8):
        mine = write_standalone(copy, CandidateId(0, 0), tmp_path / f"{number}.yaml")[0]
        edited(mine, r"density: \S+", f"density: 0.{number + 11}")
        try:
            slots.add(ask_tell.propose(copy, mine))
        except UsageError:
            break
    held = RunFolder.open(copy).candidates(OPEN)
    assert slots and all(not held[id.slot].lineage.crossover for id in slots)
    assert sum(isinstance(c.genome, Crossing) for c in held) + len(slots) == len(held)


# -- outside a run -------------------------------------------------------------------------


def test_a_crossing_outside_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "kind: merge\nfrom: e.yaml\ntemplate: linear\n"
        "models: {first: {path: ../../000/c00/recipe.yaml}}\n"
    )
    shutil.copy(recipes.find("quickstart"), tmp_path / "e.yaml")
    with pytest.raises(EvomergeError, match="only a candidate of a run") as caught:
        recipes.load(tmp_path / "mine.yaml")
    assert caught.value.exit_code == errors.EXIT_BAD_INPUT


def test_crossings_compare_and_hash_by_what_they_merge() -> None:
    parents = (CandidateId(0, 0), CandidateId(1, 1))
    one = Crossing(space_of(LINEAR, 2).initial().values, LINEAR, parents)
    assert one == one.moved(one) and hash(one) == hash(one.moved(one))
    assert one != Crossing(one.values, LINEAR, parents[::-1])


def test_landscapes_over_genes_have_nothing_to_say_of_crossings(tmp_path: Path) -> None:
    from evomerge_compiler.executors.landscapes import of_recipe

    overrides = ("search.strategy=tournament", "search.model_crossover.share=0.5")
    with pytest.raises(EvomergeError, match="a crossing of models has none of them"):
        of_recipe(recipes.load("simulate", overrides=overrides))


def test_parents_of_unequal_depth_do_not_cross(tmp_path: Path) -> None:
    """A path whose depth is free leads to models that no average is taken of."""
    overrides = ("genome.keep_depth=false", "search.parameters={recover: model}")
    run = tmp_path / "run"
    evolve(run, 0, overrides=overrides)
    path = run / "generations/000/c01/recipe.yaml"
    data = yamlio.read_file(path).data
    assert isinstance(data, dict)
    data["genome"]["path_step"] = ["skip", "once", "once", "once"]
    path.write_text(yamlio.dump(data))
    recipe = RunFolder.open(run).recipe
    crossing = Crossing(
        space_of(LINEAR, 2).initial().values, LINEAR, (CandidateId(0, 0), CandidateId(0, 1))
    )
    with pytest.raises((CompileError, errors.ErrorList), match="layers"):
        compile_recipe(recipe, genome=crossing)
