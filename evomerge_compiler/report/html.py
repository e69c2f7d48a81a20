"""A run as one HTML file without network: what it came to, its generations, its candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.report.lineage import ancestors, as_tree
from evomerge_compiler.report.plots import Phase, front_of, phase_in, phases_of, progress
from evomerge_compiler.report.summary import (
    DROPPED,
    candidate_rows,
    is_scored,
    population_rows,
    run_status,
)
from evomerge_compiler.report.verdict import final_text
from evomerge_compiler.run_folder import RunFolder

PAGE = Path(__file__).with_name("page.html.j2")


def page(path: Path) -> str:
    """The HTML of a run.

    Args:
        path: The run folder.
    """
    from jinja2 import Environment, StrictUndefined

    run = RunFolder.open(path)
    rows = candidate_rows(path)
    final = run.final()
    phases = phases_of(run)
    generations = _generations(run, phases)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(PAGE.read_text(encoding="utf-8")).render(
        title=run.name,
        status=run_status(path),
        final=final_text(run.recipe.name, final, path) if final else None,
        generations=generations,
        races=run.recipe.evaluation is not None and run.recipe.evaluation.racing is not None,
        objective=run.recipe.search.objectives[0] if run.recipe.search else None,
        progress=progress([g["best"] for g in generations], [g["mean"] for g in generations],
                          phases),
        phases=phases,
        front=front_of(run, phases),
        columns=list(dict.fromkeys(name for row in rows for name in row)),
        rows=rows,
        tree=_tree(path, run.best()),
        recipe=(path / "recipe.yaml").read_text(encoding="utf-8"),
        cell=_cell,
    )  # fmt: skip


def _generations(run: RunFolder, phases: Sequence[Phase]) -> list[dict[str, Any]]:
    """One row a sealed generation: best, mean and failures, from its table.

    The best is of what was asked everything: an estimate is never the best of anything.
    """
    out = []
    for number in run.sealed_generations():
        rows = population_rows(run, number)
        scored = [row for row in rows if is_scored(row)]
        kept = [row for row in scored if float(row.get("violation", 0)) <= 0]
        whole = [float(row["fitness"]) for row in kept if row["state"] != DROPPED]
        values = [float(row["fitness"]) for row in kept]
        out.append(
            {
                "number": number,
                "phase": phase_in(run, phases, number),
                "best": max(whole, default=None),
                "mean": sum(values) / len(values) if values else None,
                "failed": len(rows) - len(scored),
                "infeasible": len(scored) - len(kept),
                "dropped": sum(row["state"] == DROPPED for row in rows),
            }
        )
    return out


def _tree(path: Path, best: Mapping[str, Any] | None) -> str | None:
    if best is None:
        return None
    start = CandidateId.parse(str(best["id"]))
    return as_tree(ancestors(path, start), str(start))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
