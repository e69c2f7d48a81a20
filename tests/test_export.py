"""The model card: what its numbers are, and what they are not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from simulated_run import evolve

from evomerge_compiler.compiler import compile_recipe
from evomerge_compiler.executors.simulated import Landscape
from evomerge_compiler.export import CARD, CONFIG, write_card
from evomerge_compiler.run_folder import RunFolder, StoredCandidate

RACING = ("search.plateau.patience=0", "evaluation.racing={alpha: 0.2, audit: 1}")


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = tmp_path_factory.mktemp("card") / "run"
    evolve(run, 3, overrides=RACING, landscape=Landscape(n_items=100, width=0.2))
    return RunFolder.open(run)


def candidates(run: RunFolder) -> Sequence[StoredCandidate]:
    return [c for number in run.sealed_generations() for c in run.candidates(number)]


def card(run: RunFolder, candidate: StoredCandidate, out: Path) -> str:
    assert candidate.genome is not None
    recipe = run.recipe.with_genome(candidate.genome)
    out.mkdir()
    write_card(out, recipe, compile_recipe(recipe), run=run, candidate=candidate)
    assert (out / CONFIG).is_file()
    # Lines are as long as they are; words are what counts.
    return " ".join((out / CARD).read_text().split())


def test_the_card_of_what_a_race_dropped_calls_its_scores_estimates(
    raced: RunFolder, tmp_path: Path
) -> None:
    final = raced.final()
    assert final is not None
    [audited] = final["racing"]["audited"]
    dropped = [c for c in candidates(raced) if c.scores is not None and not c.scores.complete]
    assert len(dropped) > 1
    for number, candidate in enumerate(dropped):
        text = card(raced, candidate, tmp_path / str(number))
        race, fitness = candidate.scores.race, candidate.fitness  # type: ignore[union-attr]
        assert race is not None and fitness is not None
        assert "Estimated scores" in text and "they flatter" not in text
        assert f"dropped this candidate after {race.seen} of 400 search items" in text
        assert f"Its score of {fitness.value:.4f} ± {fitness.stderr:.4f} (one standard" in text
        told = f"at the end of the run, it scored {audited['all_items']:.4f}" in text
        assert told == (str(candidate.id) == audited["id"])


def test_the_card_of_what_was_asked_everything_speaks_of_no_estimate(
    raced: RunFolder, tmp_path: Path
) -> None:
    final = raced.final()
    assert final is not None
    [winner] = [c for c in candidates(raced) if str(c.id) == final["winner"]]
    text = card(raced, winner, tmp_path / "out")
    assert "they flatter" in text and "Scores on held-out items" in text
    assert "stimate" not in text
