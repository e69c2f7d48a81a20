"""A run in a few lines, and its candidates as rows."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evomerge_compiler.errors import UsageError
from evomerge_compiler.fitness import Constraint, bounds, needs_models
from evomerge_compiler.recipe_phases import phase_of, starts
from evomerge_compiler.report.difference import genes_of
from evomerge_compiler.run_folder import RunFolder, StoredCandidate

DROPPED = "dropped"


def run_status(path: Path) -> dict[str, object]:
    """Where a run is, as plain data in the order people read it."""
    run = RunFolder.open(path)
    sealed = run.sealed_generations()
    number = run.open_generation()
    best = run.best()
    final = run.final()
    rows = [row for g in sealed for row in population_rows(run, g)]
    failures = Counter(row["state"] for row in rows if not is_scored(row))
    infeasible = sum(float(row.get("violation") or 0) > 0 for row in rows if is_scored(row))
    open_text = None
    if number is not None:
        stored = run.shown(number)
        done = sum(candidate.done for candidate in stored)
        open_text = f"{number:03d}, {done} of {len(stored)} candidates done"
    status: dict[str, object] = {
        "run": str(path),
        "recipe": run.recipe.name,
        "sealed_generations": len(sealed),
        "open_generation": open_text,
        **_phase_status(run, max(run.generations(), default=0)),
        "candidates": len(rows),
        "failed": ", ".join(f"{n} {reason}" for reason, n in sorted(failures.items())) or 0,
        "best": best["id"] if best else None,
        "best_fitness": best["fitness"] if best else None,
        "ended": final["reason"] if final else None,
    }
    search = run.recipe.search
    if search is not None and search.constraints:
        status["constraints"] = ", ".join(map(str, run_constraints(run))) or "not yet known"
        status["infeasible"] = infeasible
    status |= _race_status(rows)
    front = run.front()
    if front:
        knee = next(row.id for row in front if row.knee)
        status["front"] = f"{len(front)} candidates, knee {knee}"
    if final:
        status["verdict"] = final["verdict"]["claim"]
    return status


def _phase_status(run: RunFolder, generation: int) -> dict[str, object]:
    """The phase of the latest generation, where the search has phases."""
    assert run.recipe.search is not None
    phases = run.recipe.search.phases
    index = phase_of(phases, generation)
    if index is None:
        return {}
    first = starts(phases)[index]
    return {"phase": f"{phases[index].name}, {index + 1} of {len(phases)}, since {first:03d}"}


def _race_status(rows: Sequence[Mapping[str, str]]) -> dict[str, object]:
    """What racing saved in the generations that raced, and how far its estimates were off."""
    raced = [row for row in rows if row.get("items", "-") != "-"]
    if not raced:
        return {}
    seen, of = (sum(int(row["items"].split("/")[at]) for row in raced) for at in (0, 1))
    dropped = sum(row["state"] == DROPPED for row in raced)
    status: dict[str, object] = {
        "raced": f"{dropped} of {len(raced)} candidates dropped, {seen / of:.0%} of items asked"
    }
    errors = [
        float(row["estimate"]) - float(row["fitness"])
        for row in raced
        if row["state"] != DROPPED and row["estimate"] != "-"
    ]
    if errors:
        mean = sum(map(abs, errors)) / len(errors)
        status["first_estimates"] = (
            f"off by {mean:.3f} on average, of {len(errors)} candidates asked everything"
        )
    return status


def run_constraints(run: RunFolder) -> tuple[Constraint, ...]:
    """The run's constraints as numbers; empty while the models they are relative to wait."""
    search, recipe = run.recipe.search, run.recipe
    assert search is not None
    scores = {alias: run.baseline(alias, "search") for alias in recipe.all_models}
    known = {alias: found for alias, found in scores.items() if found is not None}
    if needs_models(search.constraints) and len(known) < len(scores):
        return ()
    parents = {alias: known[alias] for alias in recipe.models if alias in known}
    return bounds(search.constraints, parents, known.get(recipe.base))


def is_scored(row: Mapping[str, str]) -> bool:
    """Whether a line of ``population.tsv`` is of a candidate with a fitness, estimated or not."""
    return row["state"] in ("scored", DROPPED)


def population_rows(run: RunFolder, generation: int) -> list[dict[str, str]]:
    """The lines of a sealed generation's ``population.tsv``, which is quick to read."""
    path = run.root / "generations" / f"{generation:03d}" / "population.tsv"
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def candidate_rows(
    path: Path, generation: int | None = None, *, front: bool = False
) -> list[dict[str, object]]:
    """One row a candidate: id, state, fitness, domains, lineage and genes by coordinate.

    Args:
        path: The run folder.
        generation: Only this one.
        front: Only what no candidate beats in all objectives, best in the first one first.

    Raises:
        UsageError: The front is asked for and there is none.
    """
    run = RunFolder.open(path)
    if front:
        return _front_rows(run, generation)
    numbers = run.generations() if generation is None else [generation]
    full = _shortlisted(run)
    return [_row(run, candidate, full) for candidate in _candidates(run, numbers)]


def _front_rows(run: RunFolder, generation: int | None) -> list[dict[str, object]]:
    points = [p for p in run.front() if generation in (None, p.id.generation)]
    if not points:
        search = run.recipe.search
        several = search is not None and len(search.objectives) > 1
        hint = "nothing feasible is scored yet" if several else "a search of one has a best"
        raise UsageError("there is no front", hint=f"{hint}: evomerge status {run.root}")
    rows, full = [], _shortlisted(run)
    for point in points:
        row = _row(run, run.candidate(point.id), full)
        rows.append({"id": row.pop("id"), "knee": "knee" if point.knee else None, **row})
    return rows


def _candidates(run: RunFolder, numbers: list[int]) -> Iterator[StoredCandidate]:
    for number in numbers:
        yield from run.shown(number)


def _shortlisted(run: RunFolder) -> dict[str, float]:
    """What candidates score on all search items, of those that were asked them at the end."""
    rows = (run.final() or {}).get("shortlist", {}).get("candidates", ())
    return {row["id"]: row["full_search"] for row in rows}


def _row(
    run: RunFolder, candidate: StoredCandidate, full: Mapping[str, float]
) -> dict[str, object]:
    row: dict[str, object] = {
        "id": str(candidate.id),
        "state": state_of(candidate),
        "fitness": candidate.fitness.value if candidate.fitness else None,
        "stderr": candidate.fitness.stderr if candidate.fitness else None,
    }
    if full:
        row["full_search"] = full.get(str(candidate.id))
    search = run.recipe.search
    assert search is not None and run.recipe.evaluation is not None
    if run.recipe.evaluation.racing is not None:
        race = candidate.scores.race if candidate.scores else None
        row["items"] = f"{race.seen}/{race.of}" if race else None
    if search.constraints:
        row["violation"] = candidate.fitness.violation if candidate.fitness else None
    for index, objective in enumerate(search.objectives[1:], start=1):
        # Domains have columns of their own.
        if objective not in run.recipe.evaluation.tasks:
            row[objective] = candidate.fitness.objectives[index] if candidate.fitness else None
    for domain, score in (candidate.scores.domains if candidate.scores else {}).items():
        row[domain] = score.value
    phase = phase_of(search.phases, candidate.id.generation)
    if phase is not None:
        row["phase"] = search.phases[phase].name
    row["origin"] = candidate.lineage.origin
    row["parents"] = ",".join(map(str, candidate.lineage.parents)) or None
    if candidate.genome is not None:
        # The same columns in every row: a crossing has none of the experiment's genes.
        row |= dict.fromkeys(coordinate.label for coordinate in run.recipe.space.coordinates)
        row |= genes_of(run, candidate)
    return row


def state_of(candidate: StoredCandidate) -> str:
    """``scored``, ``dropped`` by a race, ``told``, the reason of a failure, ``mistaken`` for a
    bad edit, ``waiting``.
    """
    if candidate.problem is not None:
        return "mistaken"
    if candidate.failure is not None:
        return candidate.failure.reason
    if candidate.scores is not None and candidate.scores.told:
        return "told"
    if candidate.scores is not None and not candidate.scores.complete:
        return DROPPED
    return "scored" if candidate.done else "waiting"
