"""A small experiment and made-up scores, with which run folders are filled in tests."""

from __future__ import annotations

import hashlib
from pathlib import Path

from evomerge_compiler import recipe as recipes
from evomerge_compiler.candidate import (
    CandidateId,
    Failure,
    Fitness,
    Lineage,
    Outcome,
    Proposal,
    Score,
    Scores,
    TaskItems,
    genome_hash,
)
from evomerge_compiler.genome import Genome
from evomerge_compiler.run_folder import RunFolder, RunSetup, StoredCandidate
from evomerge_compiler.run_folder.tables import PopulationRow

RECIPE = """\
# A comment that stays.
version: 1
name: toy
models:
  first: {path: models/first}
  second: {path: models/second}
template: ./toy.yaml.j2
layer_groups: 2
evaluation:
  tasks:
    code: {task: toy_code, metric: acc}
    math: {task: toy_math, metric: acc}
search: {population: 4, generations: 3}
seed: 7
"""
TEMPLATE = """\
summary: A toy.
methods: [linear]
genes:
  weight: {float: [0, 1], per: model, help: share}
  kind: {choice: [plain, fancy], help: kind}
---
merge_method: linear
models: []
"""
N_SLOTS = 4
DOMAINS = ("code", "math")


def project(folder: Path, recipe: str = RECIPE) -> Path:
    """Writes the recipe and its template; returns the recipe's path."""
    (folder / "recipes").mkdir(parents=True, exist_ok=True)
    (folder / "recipes" / "toy.yaml.j2").write_text(TEMPLATE)
    path = folder / "recipes" / "toy.yaml"
    path.write_text(recipe)
    return path


def setup(path: Path, **given: object) -> RunSetup:
    """What a command that runs the recipe at ``path`` would know."""
    overrides = given.get("overrides", ())
    loaded = recipes.load(path, overrides=overrides)  # type: ignore[arg-type]
    arguments = {"resolved": {"versions": {"mergekit": "0.1.5"}, "device": "cpu"}, **given}
    return RunSetup(loaded, path.read_bytes(), **arguments)  # type: ignore[arg-type]


def genome(number: int, slot: int) -> Genome:
    """A genome that differs from all others."""
    share = round((number * 10 + slot + 1) / 100, 4)
    kind = "fancy" if slot % 2 else "plain"
    return Genome({"weight": {"first": share, "second": round(1 - share, 4)}, "kind": kind})


def proposals(number: int) -> list[Proposal]:
    """A generation as a strategy would ask for it."""
    out = []
    for slot in range(N_SLOTS):
        made = genome(number, slot)
        parents = (CandidateId(number - 1, slot),) if number else ()
        origin = "mutation" if number else "initial"
        lineage = Lineage(origin, f"toy.{origin}", parents, genome_hash(made))  # type: ignore[arg-type]
        out.append(Proposal(made, lineage))
    return out


def compiled(wanted: Genome) -> str:
    """Stands for the compiled merge of a genome."""
    return f"merge_method: linear\nparameters:\n  name: {genome_hash(wanted)[7:23]}\n"


def judged(wanted: Genome) -> tuple[Scores, Fitness] | Failure:
    """Scores that depend on the genome alone; one genome in seven fails."""
    digest = hashlib.sha256(genome_hash(wanted).encode()).digest()
    if digest[0] % 7 == 0:
        return Failure("evaluate", "timeout", "took longer than 5 s")
    return scored(digest)


def scored(digest: bytes) -> tuple[Scores, Fitness]:
    """Scores made from 32 bytes."""
    domains, items = {}, {}
    for index, domain in enumerate(DOMAINS):
        values = tuple(float(digest[index * 8 + i] % 2) for i in range(8))
        if index:
            values = tuple(digest[i] / 255 for i in range(8))
        mean = sum(values) / 8
        domains[domain] = Score("acc", mean, mean / 3, 8)
        more = {"tokens": tuple(digest[:8]), "correct": (True,) * 8, "finish": "seeelsse"}
        items[domain] = TaskItems(f"set-{domain}", values, **(more if index else {}))
    mean = sum(score.value for score in domains.values()) / 2
    return Scores(domains, f"sha256:{digest.hex()}", items), Fitness((mean,), 0.1)


def rows(stored: list[StoredCandidate]) -> list[PopulationRow]:
    """The population of a finished generation."""
    order = sorted((c for c in stored if c.fitness), key=lambda c: -c.fitness.value)  # type: ignore[union-attr]
    ranks = {c.id: rank for rank, c in enumerate(order, start=1)}
    return [
        PopulationRow(
            slot=c.id.slot,
            state=c.failure.reason if c.failure else "scored",
            fitness=c.fitness.objectives if c.fitness else (),
            stderr=c.fitness.stderr if c.fitness else None,
            rank=ranks.get(c.id),
            origin=c.lineage.origin,
            parents=c.lineage.parents,
            domains={d: s.value for d, s in c.scores.domains.items()} if c.scores else {},
        )
        for c in stored
    ]


def score_open(run: RunFolder, number: int) -> None:
    """Gives every candidate of the open generation that has none an outcome."""
    for stored in run.candidates(number):
        if stored.done:
            continue
        assert stored.genome is not None
        run.commit_compiled(stored.id, compiled(stored.genome))
        result = judged(stored.genome)
        if isinstance(result, Failure):
            run.commit_outcome(stored.id, result)
        else:
            run.commit_outcome(stored.id, *result)


def best(outcomes: list[Outcome]) -> Outcome:
    """The outcome with the highest fitness, the first of several."""
    return max((o for o in outcomes if o.fitness), key=lambda o: o.fitness.value)  # type: ignore[union-attr]


def evolve(run: RunFolder, generations: int) -> None:
    """Runs or resumes a search over made-up scores, as a loop would; the run must be held."""
    for number in range(generations):
        if number not in run.sealed_generations():
            if run.open_generation() is None:
                run.begin_generation(number, proposals(number), {"generation": number})
            score_open(run, number)
            run.seal(number, rows(run.candidates(number)))
        run.write_best(best(run.outcomes(number)))
    base, _ = scored(bytes(range(32)))
    if run.baseline("base", "held_out", base.eval_key) is None:
        run.commit_baseline("base", "held_out", base)
    run.write_final({"generations": generations, "base": 0.1234567})


def tree(root: Path) -> dict[str, bytes]:
    """All tracked files: path to bytes."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".evomerge" not in path.parts
    }


def finished(folder: Path, generations: int = 2) -> RunFolder:
    """A run with all its generations sealed, in ``folder/runs/x``."""
    run = RunFolder.open(folder / "runs" / "x", create_from=setup(project(folder)))
    with run.hold():
        evolve(run, generations)
    return run


def with_open(folder: Path, *, scored: bool = True) -> RunFolder:
    """A run with generation 0 sealed and generation 1 open."""
    run = finished(folder, 1)
    with run.hold():
        run.begin_generation(1, proposals(1), {"generation": 1})
        if scored:
            score_open(run, 1)
    return run
