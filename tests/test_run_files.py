"""The texts of a run folder's files: round trips, and bytes from anywhere."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
import run_folder_toys as toys
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evomerge_compiler import recipe as recipes
from evomerge_compiler.candidate import CandidateId, Fitness, Lineage, Score, Scores, TaskItems
from evomerge_compiler.errors import EvomergeError, RunDamaged
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.run_folder import files as files
from evomerge_compiler.run_folder import tables as tables
from evomerge_compiler.run_folder.candidate_recipe import candidate_genome, candidate_text

# Without an e, so that "e-" in a file is an exponent.
LETTERS = string.ascii_letters.replace("e", "")
names = st.text(LETTERS + string.digits + "_-", min_size=1, max_size=12)
numbers = st.floats(-1e6, 1e6)
shares = st.floats(0, 1)
values = st.lists(shares, max_size=20) | st.lists(st.sampled_from([0.0, 1.0]), max_size=20)


@st.composite
def items_of_a_task(draw: st.DrawFn) -> TaskItems:
    scored = tuple(draw(values))
    n = len(scored)
    entries = {
        "tokens": st.lists(st.integers(0, 10_000), min_size=n, max_size=n).map(tuple),
        "correct": st.lists(st.booleans(), min_size=n, max_size=n).map(tuple),
        "finish": st.text("sel", min_size=n, max_size=n),
    }
    given_too = draw(st.sets(st.sampled_from(sorted(entries))))
    return TaskItems(draw(names), scored, **{name: draw(entries[name]) for name in given_too})


items = items_of_a_task()
scores = st.builds(
    Scores,
    st.dictionaries(
        names,
        st.builds(Score, names, numbers, numbers | st.none(), st.integers(0, 10**6)),
        max_size=4,
    ),
    names,
    st.dictionaries(names, items, max_size=4),
)
fitnesses = st.builds(
    Fitness, st.lists(numbers, min_size=1, max_size=3).map(tuple), numbers | st.none()
)
BELONGS = files.Belongs(files.sha256("genome"), files.sha256("merge"))


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> GenomeSpace:
    return recipes.load(toys.project(tmp_path_factory.mktemp("toy"))).space


@given(scores, fitnesses)
def test_scores_come_back_as_they_were_rounded(given_scores: Scores, fitness: Fitness) -> None:
    clean, rounded = files.rounded_scores(given_scores, fitness)
    text, table = files.scores_texts(clean, rounded, BELONGS)
    assert files.scores_from(text, table, "f") == (clean, rounded, BELONGS)
    assert files.rounded_scores(clean, rounded) == (clean, rounded), "rounding twice changes it"
    assert "e-" not in table and "-0.0\n" not in text


@given(st.lists(st.builds(CandidateId, st.integers(0, 999), st.integers(0, 99)), max_size=3))
def test_lineage_comes_back(parents: list[CandidateId]) -> None:
    lineage = Lineage("crossover", "toy.cross", tuple(parents), files.sha256("x"))
    assert files.lineage_from(files.lineage_text(lineage), "f") == lineage


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_cut_or_altered_file_is_never_read(data: st.DataObject) -> None:
    text = files.lineage_text(Lineage("sampled", "toy", (), files.sha256("x")))
    cut = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda c: c != text[cut]))
    for wrong in (text[:cut], text[:cut] + other + text[cut + 1 :], text + other):
        with pytest.raises(RunDamaged):
            files.lineage_from(wrong, "f")


@given(shares, shares, st.sampled_from(["plain", "fancy"]))
def test_a_written_genome_is_the_genome(
    space: GenomeSpace, first: float, second: float, kind: str
) -> None:
    weight = {"first": round(first, 4), "second": round(second, 4)}
    genome = Genome({"weight": weight, "kind": kind})
    text = candidate_text(genome)
    assert candidate_genome(text, "f", space) == genome
    assert candidate_genome(text + "# mine\n", "f", space) == genome


@given(st.text() | st.text("{}[]&*!-: \n\"'#,?|>%@`abc019.~", max_size=80))
def test_any_text_is_a_genome_or_an_error(space: GenomeSpace, text: str) -> None:
    for whole in (text, f"kind: merge\nfrom: ../../../recipe.yaml\ngenome:\n  {text}\n"):
        try:
            genome = candidate_genome(whole, "f", space)
        except EvomergeError as error:
            assert error.place is not None or getattr(error, "errors", None)
        else:
            assert set(genome.values) == {"weight", "kind"}


@given(st.text(max_size=200))
def test_any_text_is_a_seal_or_damage(text: str) -> None:
    try:
        hashes = tables.seal_from(text, "f")
    except RunDamaged:
        return
    assert hashes and tables.seal_text(hashes)


@pytest.mark.parametrize(
    "line",
    [
        "0" * 64 + "  ../../etc/passwd.yaml",
        "0" * 64 + "  /etc/passwd.yaml",
        "0" * 64 + " c00/recipe.yaml",
        "A" * 64 + "  c00/recipe.yaml",
        "0" * 64 + "  c００/recipe.yaml",
        "0" * 64 + "  c00/recipe.yaml\n" + "1" * 64 + "  c00/recipe.yaml",
    ],
)
def test_a_seal_names_only_what_belongs_there(line: str) -> None:
    with pytest.raises(RunDamaged):
        tables.seal_from(line + "\n", "f")


def test_wrong_item_tables_are_damage() -> None:
    header = "domain\titem_set\tvalues\tcorrect\ttokens\tfinish\n"
    for text in (
        "",
        "x\n",
        header + "code\tset\n",
        header + "code\tset\t01x\t-\t-\t-\n",
        header + "code\tset\t01\t-\t5\t-\n",
    ):
        with pytest.raises(RunDamaged):
            tables.items_from(text, "f")
    with pytest.raises(ValueError, match="without tabs"):
        tables.items_text({"a\tb": TaskItems("set", (1.0,))})


def test_the_population_has_a_column_for_each_domain_and_objective() -> None:
    rows = [
        tables.PopulationRow(1, "timeout", (), None, None, "mutation", (CandidateId(0, 1),), {}),
        tables.PopulationRow(0, "scored", (0.5, -3.0), 0.01, 1, "elite", (), {"code": 0.5}),
    ]
    assert tables.population_text(rows) == (
        "slot\tstate\tfitness\tfitness_2\tstderr\trank\torigin\tparents\tcode\n"
        "c00\tscored\t0.500000\t-3.000000\t0.010000\t1\telite\t-\t0.500000\n"
        "c01\ttimeout\t-\t-\t-\t-\tmutation\t000/c01\t-\n"
    )


@pytest.mark.parametrize("text", ["3", "003", "12"])
def test_generations_are_numbers(text: str) -> None:
    assert files.parse_generation(text) == int(text)


@pytest.mark.parametrize("text", ["", "-1", "３", "1.5", "x", "1\n", "12345678"])
def test_other_generations_are_refused(text: str) -> None:
    with pytest.raises(EvomergeError, match="expected a generation"):
        files.parse_generation(text)


def test_names_of_files_in_errors_are_those_given(space: GenomeSpace) -> None:
    path = str(Path("runs/x/generations/000/c00/recipe.yaml"))
    with pytest.raises(EvomergeError) as caught:
        candidate_genome("kind: merge\n", path, space)
    assert path in caught.value.render()
