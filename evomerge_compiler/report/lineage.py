"""Family trees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.recipe_phases import phase_of
from evomerge_compiler.run_folder import RunFolder

Family = dict[str, dict[str, Any]]


def ancestors(path: Path, start: CandidateId) -> Family:
    """A candidate and all its ancestors by id, each with lineage and fitness."""
    run = RunFolder.open(path)
    phases = run.recipe.search.phases if run.recipe.search is not None else []
    family: Family = {}
    waiting = [start]
    while waiting:
        current = waiting.pop()
        if str(current) in family:
            continue
        candidate = run.candidate(current)
        index = phase_of(phases, current.generation)
        family[str(current)] = {
            "origin": candidate.lineage.origin,
            "operator": candidate.lineage.operator,
            "phase": None if index is None else phases[index].name,
            "parents": [str(parent) for parent in candidate.lineage.parents],
            "fitness": candidate.fitness.value if candidate.fitness else None,
        }
        waiting += candidate.lineage.parents
    return dict(sorted(family.items(), reverse=True))


def as_tree(family: Family, start: str) -> str:
    """An indented tree; a candidate that was shown already is only named again."""
    lines: list[str] = []
    shown: set[str] = set()

    def add(name: str, indent: str, branch: str) -> None:
        entry = family[name]
        fitness = "-" if entry["fitness"] is None else f"{entry['fitness']:.4f}"
        again = name in shown and entry["parents"]
        lines.append(
            f"{indent}{branch}{name}  {fitness}  {entry['origin']} ({entry['operator']})"
            + (f", phase {entry['phase']}" if entry["phase"] else "")
            + ("  see above" if again else "")
        )
        if again:
            return
        shown.add(name)
        inner = indent + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        for index, parent in enumerate(entry["parents"]):
            add(parent, inner, "└─ " if index == len(entry["parents"]) - 1 else "├─ ")

    add(start, "", "")
    return "\n".join(lines)


def as_mermaid(family: Family) -> str:
    """A Mermaid flow chart, parents above children."""
    lines = ["flowchart TD"]
    for name, entry in family.items():
        fitness = "failed" if entry["fitness"] is None else f"{entry['fitness']:.4f}"
        lines.append(f'  {_node(name)}["{name}<br/>{fitness}"]')
        lines += [
            f"  {_node(parent)} -->|{entry['origin']}| {_node(name)}"
            for parent in entry["parents"]
        ]
    return "\n".join(lines)


def _node(name: str) -> str:
    return "n" + name.replace("/", "_")
