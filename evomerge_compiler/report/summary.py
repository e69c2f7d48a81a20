"""A run in a few lines, and its candidates as rows."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evomerge_compiler.run_folder import RunFolder, StoredCandidate


def run_status(path: Path) -> dict[str, object]:
    """Where a run is, as plain data in the order people read it."""
    run = RunFolder.open(path)
    sealed = run.sealed_generations()
    number = run.open_generation()
    best = run.best()
    final = run.final()
    rows = [row for g in sealed for row in population_rows(run, g)]
    failures = Counter(row["state"] for row in rows if row["state"] != "scored")
    open_text = None
    if number is not None:
        stored = run.candidates(number, strict=False)
        done = sum(candidate.done for candidate in stored)
        open_text = f"{number:03d}, {done} of {len(stored)} candidates done"
    return {
        "run": str(path),
        "recipe": run.recipe.name,
        "sealed_generations": len(sealed),
        "open_generation": open_text,
        "candidates": len(rows),
        "failed": ", ".join(f"{n} {reason}" for reason, n in sorted(failures.items())) or 0,
        "best": best["id"] if best else None,
        "best_fitness": best["fitness"] if best else None,
        "ended": final["reason"] if final else None,
    }


def population_rows(run: RunFolder, generation: int) -> list[dict[str, str]]:
    """The lines of a sealed generation's ``population.tsv``, which is quick to read."""
    path = run.root / "generations" / f"{generation:03d}" / "population.tsv"
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def candidate_rows(path: Path, generation: int | None = None) -> list[dict[str, object]]:
    """One row a candidate: id, state, fitness, domains, lineage and genes by coordinate.

    Args:
        path: The run folder.
        generation: Only this one.
    """
    run = RunFolder.open(path)
    numbers = run.generations() if generation is None else [generation]
    return [_row(run, candidate) for candidate in _candidates(run, numbers)]


def _candidates(run: RunFolder, numbers: list[int]) -> Iterator[StoredCandidate]:
    for number in numbers:
        yield from run.candidates(number, strict=False)


def _row(run: RunFolder, candidate: StoredCandidate) -> dict[str, object]:
    row: dict[str, object] = {
        "id": str(candidate.id),
        "state": state_of(candidate),
        "fitness": candidate.fitness.value if candidate.fitness else None,
        "stderr": candidate.fitness.stderr if candidate.fitness else None,
    }
    for domain, score in (candidate.scores.domains if candidate.scores else {}).items():
        row[domain] = score.value
    row["origin"] = candidate.lineage.origin
    row["parents"] = ",".join(map(str, candidate.lineage.parents)) or None
    if candidate.genome is not None:
        flat = run.recipe.space.flatten(candidate.genome)
        for coordinate, value in zip(run.recipe.space.coordinates, flat, strict=True):
            row[coordinate.label] = value
    return row


def state_of(candidate: StoredCandidate) -> str:
    """``scored``, ``told``, the reason of a failure, ``mistaken`` for a bad edit, ``waiting``."""
    if candidate.problem is not None:
        return "mistaken"
    if candidate.failure is not None:
        return candidate.failure.reason
    if candidate.scores is not None and candidate.scores.told:
        return "told"
    return "scored" if candidate.done else "waiting"


# --------------------------------------------------------------------------------------


def final_text(recipe_name: str, final: Mapping[str, Any], run: Path) -> str:
    """What a run prints at its end: the table on held-out and search items, and plain words."""
    failed = final["failed"]
    words = [f"{recipe_name}: ended by {final['reason']}, {final['candidates']} candidates"]
    if failed:
        reasons = ", ".join(f"{count} {reason}" for reason, count in failed.items())
        words.append(f"{sum(failed.values())} failed ({reasons})")
    blocks = [", ".join(words)]
    for split, title in (("held_out", "held-out items"), ("search", "search items")):
        blocks.append(_split_table(final, split, title))
    for name, why in final.get("not_scored", {}).items():
        blocks.append(f"{name} could not be scored: {why}")
    blocks.append(_verdict(final, run))
    return "\n\n".join(blocks)


def _split_table(final: Mapping[str, Any], split: str, title: str) -> str:
    models = final["models"]
    if not models:
        return f"no model could be scored on {title}"
    first = next(iter(models.values()))[split]["domains"]
    domains = list(first)
    n = sum(domain["n"] for domain in first.values())
    header = [f"{title} (n={n})", *domains, "mean"]
    lines = [header]
    for name, splits in models.items():
        row = splits[split]
        cells = [_value(row["domains"][domain]) for domain in domains]
        lines.append([_title(name, final), *cells, _value({**row, "value": row["mean"]})])
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _title(name: str, final: Mapping[str, Any]) -> str:
    if name == "winner":
        return f"winner {final['winner']}"
    return f"{name} (best parent)" if name == final["best_parent"] else name


def _value(score: Mapping[str, Any]) -> str:
    stderr = score.get("stderr")
    return f"{score['value']:.3f}" + (f" ± {stderr:.3f}" if stderr is not None else "")


def _verdict(final: Mapping[str, Any], run: Path) -> str:
    against = final.get("winner_against", {})
    if final["best_parent"] not in against:
        return "There is no winner to compare."
    parent = against[final["best_parent"]]
    lines = [
        _comparison("the best parent", parent),
        _optimism(parent["optimism"]),
    ]
    if "uniform" in against:
        lines.append(_comparison("the uniform merge", against["uniform"]))
    folder = run / "generations" / final["winner"]
    return "\n".join([*lines, f"Winner: {folder}", f"Export it: evomerge export {run} OUT"])


def _optimism(difference: float) -> str:
    if difference > 0:
        return f"On search items that lead looked {difference:.3f} larger: selection optimism."
    return f"On search items that lead looked {-difference:.3f} smaller: no selection optimism."


def _comparison(other: str, against: Mapping[str, Any]) -> str:
    """One sentence that says plainly whether the winner is better on held-out items."""
    held = against["held_out"]
    if against["better"]:
        lead = f"The winner beats {other} by {held['difference']:.3f} on held-out items"
    elif held["high"] < 0:
        lead = f"The winner is worse than {other} by {-held['difference']:.3f} on held-out items"
    else:
        lead = (
            f"No gain over {other} is shown: the winner differs by {held['difference']:+.3f} "
            "on held-out items"
        )
    interval = f"95 % interval {held['low']:+.3f} to {held['high']:+.3f}, paired, {_p(held)}"
    return f"{lead} ({interval})."


def _p(lead: Mapping[str, Any]) -> str:
    return "p < 0.001" if lead["p_value"] < 0.001 else f"p = {lead['p_value']:.3f}"
