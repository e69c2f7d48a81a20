"""What the merges of a run keep and break of what its parents can do, and how long they talk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evomerge_compiler import fitness as fit
from evomerge_compiler.baselines import name_of
from evomerge_compiler.candidate import CandidateId, Scores
from evomerge_compiler.errors import UsageError
from evomerge_compiler.evaluation.items import AskedItem, AskedItems
from evomerge_compiler.evaluation.transfer import (
    Side,
    Transfer,
    slowest,
    transfer_row,
    transfers,
)
from evomerge_compiler.recipe import UNIFORM
from evomerge_compiler.report.asked import look_up
from evomerge_compiler.run_folder import RunFolder


@dataclass(frozen=True)
class TransferTable:
    """Models side by side.

    Attributes:
        split: The items.
        slow: The parent whose lengths are the measure; None where nothing is generated.
        rows: ``name``, ``mean`` and what :func:`transfer_row` says, parents first.
    """

    split: Side
    slow: str | None
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class TransferItem:
    """An item that a merge breaks, or solves alone.

    Attributes:
        position: Its place in the per-item results.
        right: The parents that have it right.
        item: What was asked; None where that cannot be found.
    """

    position: int
    right: tuple[str, ...]
    item: AskedItem | None


@dataclass(frozen=True)
class DomainItems:
    """The items of one domain that a merge breaks, and those that it solves alone.

    Attributes:
        domain: The domain.
        n, solvable: As :class:`~evomerge_compiler.evaluation.transfer.Transfer` has them.
        lost, new: The items.
        note: Why the items have no texts.
    """

    domain: str
    n: int
    solvable: int
    lost: tuple[TransferItem, ...]
    new: tuple[TransferItem, ...]
    note: str = ""


def transfer_of(
    run: RunFolder, split: Side = "search", candidates: Sequence[CandidateId] | None = None
) -> TransferTable:
    """Parents, uniform merge and candidates side by side.

    Args:
        run: The run.
        split: Which items. Held-out ones are asked of the best of a run only.
        candidates: Which candidates; the front, or the best one, by default.

    Raises:
        UsageError: The parents, or a candidate that is named, have no scores on these items.
    """
    parents = parents_of(run, split)
    slow = slowest(parents)
    reference = None if slow is None else parents[slow]
    evaluation = run.recipe.evaluation
    assert evaluation is not None
    shares = fit.weights(evaluation)
    rows = [
        {"name": name, "mean": fit.fitness(scores, shares).value}
        | transfer_row(scores, parents, reference)
        for name, scores in _models(run, split, parents, candidates)
    ]
    return TransferTable(split, slow, tuple(rows))


def parents_of(run: RunFolder, split: Side) -> dict[str, Scores]:
    """The parents' scores, by alias.

    Raises:
        UsageError: One of them has none.
    """
    found = {alias: run.baseline(alias, split) for alias in run.recipe.models}
    missing = [alias for alias, scores in found.items() if scores is None]
    if missing:
        raise UsageError(
            f"no scores on {split.replace('_', '-')} items of {', '.join(missing)}",
            hint=f"parents are scored when the run ends: evomerge evolve {run.root}",
        )
    return {alias: scores for alias, scores in found.items() if scores is not None}


def _models(
    run: RunFolder,
    split: Side,
    parents: Mapping[str, Scores],
    candidates: Sequence[CandidateId] | None,
) -> Iterator[tuple[str, Scores]]:
    yield from parents.items()
    uniform = run.baseline(UNIFORM, split)
    if uniform is not None:
        yield UNIFORM, uniform
    for id in _notable(run) if candidates is None else candidates:
        scores = candidate_scores(run, id, split)
        if scores is not None:
            yield str(id), scores
        elif candidates is not None:
            raise UsageError(
                f"no scores on {split.replace('_', '-')} items of {id}",
                hint="held-out items are asked of finalists, and of some of a front",
            )


def _notable(run: RunFolder) -> list[CandidateId]:
    """The front, or where there is none the best."""
    front = [row.id for row in run.front()]
    best = run.best()
    return front or ([CandidateId.parse(str(best["id"]))] if best else [])


def candidate_scores(run: RunFolder, id: CandidateId, split: Side) -> Scores | None:
    """What a candidate scored; None where it did not."""
    if split == "search":
        return run.candidate(id).scores
    return run.baseline(name_of(id), split)


# -- items ---------------------------------------------------------------------------------


def items_of(
    run: RunFolder, id: CandidateId, split: Side = "search", *, texts: bool = True
) -> list[DomainItems]:
    """What a candidate breaks and what it solves alone, domain by domain.

    Args:
        run: The run.
        id: The candidate.
        split: Which items.
        texts: Whether to look up what the items are, which imports lm-eval.

    Raises:
        UsageError: It, or a parent, has no scores on these items.
    """
    parents = parents_of(run, split)
    [(_, scores)] = [row for row in _models(run, split, {}, [id]) if row[0] == str(id)]
    found = transfers(scores, parents)
    asked, missing = look_up(run, list(found), split) if texts else ({}, {})
    out = []
    for domain, one in found.items():
        known, note = asked.get(domain), missing.get(domain, "")
        if known is not None and known.item_set != scores.items[domain].item_set:
            known, note = None, "the task's items are no longer those that were scored"
        out.append(_domain(domain, one, parents, known, note))
    return out


def _domain(
    domain: str,
    one: Transfer,
    parents: Mapping[str, Scores],
    asked: AskedItems | None,
    note: str,
) -> DomainItems:
    def named(position: int) -> TransferItem:
        right = tuple(name for name, s in parents.items() if s.items[domain].right[position])
        return TransferItem(position, right, asked.items[position] if asked else None)

    lost, new = (tuple(map(named, positions)) for positions in (one.lost, one.new))
    return DomainItems(domain, one.n, one.solvable, lost, new, note)
