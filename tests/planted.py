"""Worlds in which it is known how good every model really is."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from simulated_run import QUICKSTART

from evomerge_compiler import recipe as recipes
from evomerge_compiler.candidate import TaskItems
from evomerge_compiler.durability import volatile
from evomerge_compiler.executors.base import Job, Split
from evomerge_compiler.executors.simulated import Landscape, SimulatedExecutor
from evomerge_compiler.launch import Result, search
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.run_folder.setup import RunSetup

# One parent is the best by far, so that to beat it is all that counts.
LEVELS = {"coder": 0.0, "mathematician": -0.1, "polyglot": -0.1, "base": -0.2}
EASIEST, HARDEST = 0.75, 0.25


@dataclass(frozen=True)
class Planted(Landscape):
    """Each answer is right with the chance of its item plus the model's own level.

    Answers of two models to an item are independent beyond that: real merges agree more, so this
    is the least that pairing can give.

    Attributes:
        merges: Level of every candidate; the best parent has 0.
        uniform: Level of the uniform merge.
        domain_levels: Added in a domain, for merges only.
        answers: Model to the letters that its answers end with; others end by the end token.
        graded: Items have values between 0 and 1.
    """

    n_items: int = 200
    merges: float = 0.0
    uniform: float = -0.05
    domain_levels: Mapping[str, float] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    graded: bool = False

    def score(self, domain: str, split: Split, values: Mapping[str, object]) -> TaskItems:
        """Per-item results of ``values["model"]``."""
        model = str(values["model"])
        candidates = self.merges + self.domain_levels.get(domain, 0.0)
        level = self.uniform if model == "uniform" else LEVELS.get(model, candidates)
        items = random.Random(f"{self.seed} {domain} {split}")
        own = random.Random(f"{self.seed} {domain} {split} {model}")
        chances = [items.uniform(HARDEST, EASIEST) + level for _ in range(self.n_items)]
        right = [float(own.random() < chance) for chance in chances]
        if self.graded:
            right = [min(1.0, max(0.0, c + own.gauss(0, 0.3))) for c in chances]
        item_set = hashlib.sha256(f"{domain} {split}".encode()).hexdigest()
        if not self.answers:
            return TaskItems(item_set, tuple(right))
        ends = self.answers.get(model, "e")
        finish = (ends * self.n_items)[: self.n_items]
        tokens = tuple(1 if end == "s" else 20 for end in finish)
        return TaskItems(item_set, tuple(right), tokens, finish=finish)


def model_of(job: Job) -> dict[str, object]:
    """What the world sees of a job: a model's name, or the genome."""
    if job.genome is None:
        return {"model": job.label}
    return {"model": json.dumps(job.genome.plain(), sort_keys=True)}


def planted_run(
    run: Path,
    world: Planted,
    *overrides: str,
    generations: int = 2,
    recipe: Path = QUICKSTART,
) -> Result:
    """Searches, concludes and returns what the run came to."""
    given = ("search.plateau.patience=0", "search.strategy=tournament", *overrides)
    loaded = recipes.load(recipe, overrides=given)
    setup = RunSetup(loaded, recipe.read_bytes(), {"simulated": True}, given)
    folder = RunFolder.open(run, create_from=setup)
    with folder.hold(), volatile(), SimulatedExecutor(world, values=model_of) as executor:
        return search(loaded, folder, executor, (), generations)
