"""A run as one HTML file without network: what it came to, its generations, its candidates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.report.lineage import ancestors, as_tree
from evomerge_compiler.report.summary import (
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
    best = run.best()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(PAGE.read_text(encoding="utf-8")).render(
        title=run.name,
        status=run_status(path),
        final=final_text(run.recipe.name, final, path) if final else None,
        generations=_generations(run),
        front=_plot(run),
        columns=list(dict.fromkeys(name for row in rows for name in row)),
        rows=rows,
        tree=_tree(path, best),
        recipe=(path / "recipe.yaml").read_text(encoding="utf-8"),
        cell=_cell,
    )


def _generations(run: RunFolder) -> list[dict[str, Any]]:
    """One row a sealed generation: best, mean and failures, from its table."""
    out = []
    for number in run.sealed_generations():
        rows = population_rows(run, number)
        scored = [row for row in rows if is_scored(row)]
        kept = [row for row in scored if float(row.get("violation", 0)) <= 0]
        values = [float(row["fitness"]) for row in kept]
        out.append(
            {
                "generation": f"{number:03d}",
                "best": max(values) if values else None,
                "mean": sum(values) / len(values) if values else None,
                "failed": len(rows) - len(scored),
                "infeasible": len(scored) - len(kept),
                "bar": 100 * max(values) if values else 0,
            }
        )
    return out


def _plot(run: RunFolder) -> dict[str, Any] | None:
    """The front as a table, and of two objectives as points of a 100 by 100 drawing."""
    front = run.front()
    if not front:
        return None
    names = list(front[0].objectives)
    rows = [{"id": str(row.id), "knee": row.knee, **row.objectives} for row in front]
    if len(names) == 2:
        for axis, name in zip(("x", "y"), names, strict=True):
            values = [row.objectives[name] for row in front]
            low, width = min(values), max(values) - min(values) or 1.0
            for drawn, value in zip(rows, values, strict=True):
                share = 100 * (value - low) / width
                drawn[axis] = share if axis == "x" else 100 - share
    return {"names": names, "rows": rows}


def _tree(path: Path, best: Mapping[str, Any] | None) -> str | None:
    if best is None:
        return None
    start = CandidateId.parse(str(best["id"]))
    return as_tree(ancestors(path, start), str(start))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
