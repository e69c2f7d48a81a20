"""What differs between two candidates: genes by coordinate, merges by key, scores by domain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.crossing import ALIASES, Crossing, genome_space
from evomerge_compiler.errors import UsageError
from evomerge_compiler.run_folder import RunFolder, StoredCandidate


def differences(a: str, b: str | None) -> list[dict[str, Any]]:
    """Compares two candidates, or one with each of its parents.

    Args:
        a: ``RUN:ID``.
        b: ``RUN:ID``, or an ``ID`` of the same run, or None for the parents of ``a``.

    Returns:
        One comparison each: ``old``, ``new`` and ``changes`` of ``what``, ``name``, ``old``,
        ``new``.

    Raises:
        UsageError: One of the two does not exist.
    """
    run, candidate = _find(a, None)
    if b is not None:
        other_run, other = _find(b, run)
        return [_compare(run, candidate, other_run, other, a, b)]
    parents = candidate.lineage.parents
    if not parents:
        raise UsageError(f"{a} has no parents", hint="name a second candidate to compare with")
    return [
        _compare(run, run.candidate(parent), run, candidate, str(parent), str(candidate.id))
        for parent in parents
    ]


def _find(text: str, default: RunFolder | None) -> tuple[RunFolder, StoredCandidate]:
    path, colon, name = text.rpartition(":")
    if not colon and default is None:
        raise UsageError(f"expected RUN:ID, got {text!r}", hint="for example runs/a:003/c05")
    run = default if not colon and default is not None else RunFolder.open(_folder(path))
    if name == "best":
        best = run.best()
        if best is None:
            raise UsageError(f"{run.root} has no best candidate yet")
        name = str(best["id"])
    return run, run.candidate(CandidateId.parse(name))


def _folder(path: str) -> Path:
    direct = Path(path)
    return direct if direct.is_dir() else Path("runs") / path


def _compare(
    old_run: RunFolder,
    old: StoredCandidate,
    new_run: RunFolder,
    new: StoredCandidate,
    old_name: str,
    new_name: str,
) -> dict[str, Any]:
    changes = changes_between("gene", genes_of(old_run, old), genes_of(new_run, new))
    changes += changes_between("merge", merge_of(old), merge_of(new))
    changes += changes_between("score", _scores(old), _scores(new))
    return {"old": old_name, "new": new_name, "changes": changes}


def changes_between(
    what: str, old: Mapping[str, object], new: Mapping[str, object]
) -> list[dict[str, object]]:
    """A row for each name whose value is not the same; what is absent is ``-``."""
    rows = []
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name, "-"), new.get(name, "-")
        if before != after:
            rows.append({"what": what, "name": name, "old": before, "new": after})
    return rows


def genes_of(run: RunFolder, candidate: StoredCandidate) -> dict[str, object]:
    """Every active scalar of a genome by its label, and what a crossing merges."""
    if candidate.genome is None:
        return {}
    genome = candidate.genome
    space = genome_space(run.recipe.space, genome)
    flat = zip(space.coordinates, space.flatten(genome), strict=True)
    genes: dict[str, object] = {c.label: v for c, v in flat if v is not None}
    if isinstance(genome, Crossing):
        named = zip(ALIASES, map(str, genome.models), strict=False)
        return {"template": genome.template, **dict(named), **genes}
    return genes


def _scores(candidate: StoredCandidate) -> dict[str, object]:
    out: dict[str, object] = {}
    if candidate.fitness is not None:
        out["fitness"] = candidate.fitness.value
    for domain, score in (candidate.scores.domains if candidate.scores else {}).items():
        out[domain] = score.value
    if candidate.failure is not None:
        out["failure"] = candidate.failure.reason
    return out


def merge_of(candidate: StoredCandidate) -> dict[str, object]:
    """Every value of the compiled merge by its path, so that a change is one line."""
    import yaml

    if candidate.text is None:
        return {}
    out: dict[str, object] = {}

    def walk(part: object, path: str) -> None:
        if isinstance(part, Mapping):
            for key, value in part.items():
                walk(value, f"{path}.{key}" if path else str(key))
        elif isinstance(part, list):
            for index, value in enumerate(part):
                walk(value, f"{path}[{index}]")
        else:
            out[path] = part

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for number, document in enumerate(yaml.load_all(candidate.text, Loader=loader), start=1):
        walk(document, f"{document.get('name', f'stage{number}')}:")
    return out
