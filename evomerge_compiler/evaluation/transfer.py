"""What a merge loses and gains of what its parents can do, item by item, and how long it talks.

Negative transfer is what a merge breaks: of the items that some parent answers rightly, the share
that the merge answers wrongly (the negative transfer rate of Evo-L2S, arXiv 2604.06465). It has a
floor: the better of two parents alone breaks all that only the other one can do. So the rate is
never shown without the parents' own, nor without the new solves, the items that no parent has
right.

The length change is the mean, over data sets, of tokens / tokens of the slow model - 1 (Wu et al.,
Unlocking Efficient Long-to-Short LLM Reasoning with Model Merging, arXiv 2503.20641). A mean over
all answers at once would be that of the most talkative data set.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from evomerge_compiler.candidate import Scores, TaskItems

Side = Literal["search", "full_search", "held_out"]
# Those on which every model is scored.
SIDES: tuple[Side, ...] = ("search", "held_out")
# Shares of the answers that are no longer than the length shown.
QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9, "max": 1.0}


@dataclass(frozen=True)
class Transfer:
    """What became of the items that the parents answer rightly.

    Attributes:
        n: Items that the model and all parents answered.
        solvable: Those of them that some parent has right.
        lost: ``(n_lost,)`` positions of items that some parent has right and the model wrong.
        new: ``(n_new,)`` positions of items that the model alone has right.
    """

    n: int
    solvable: int
    lost: tuple[int, ...]
    new: tuple[int, ...]

    @property
    def rate(self) -> float | None:
        """The negative transfer rate; None where no parent has anything right."""
        return len(self.lost) / self.solvable if self.solvable else None


@dataclass(frozen=True)
class Lengths:
    """How long a model's answers are, in tokens.

    Attributes:
        mean: Over all answers.
        quantiles: Name of :data:`QUANTILES` to tokens.
        change: Macro-mean over domains of tokens / tokens of the slow model - 1; None where
            there is no slow model, or it says nothing.
    """

    mean: float
    quantiles: Mapping[str, int]
    change: float | None


def transfers(scores: Scores, parents: Mapping[str, Scores]) -> dict[str, Transfer]:
    """Domain to what became of the parents' right answers.

    A domain is left out where one of the models has no results of the same items.

    Args:
        scores: The model's.
        parents: The parents', by alias, on the same split.
    """
    out = {}
    for domain, items in scores.items.items():
        others = [parent.items.get(domain) for parent in parents.values()]
        known = [other for other in others if other is not None and _same_items(items, other)]
        if others and len(known) == len(others):
            out[domain] = _transfer(items, known)
    return out


def _same_items(one: TaskItems, other: TaskItems) -> bool:
    return one.item_set == other.item_set and len(one.values) == len(other.values)


def _transfer(items: TaskItems, parents: Sequence[TaskItems]) -> Transfer:
    by_some = [any(column) for column in zip(*(parent.right for parent in parents), strict=True)]
    pairs = list(enumerate(zip(items.right, by_some, strict=True)))
    return Transfer(
        n=len(items.values),
        solvable=sum(by_some),
        lost=tuple(at for at, (mine, some) in pairs if some and not mine),
        new=tuple(at for at, (mine, some) in pairs if mine and not some),
    )


def rate_of(found: Mapping[str, Transfer]) -> float | None:
    """The rate over several domains, each item counting once; None where it is of nothing."""
    solvable = sum(one.solvable for one in found.values())
    return sum(len(one.lost) for one in found.values()) / solvable if solvable else None


# -- lengths -------------------------------------------------------------------------------


def lengths(scores: Scores, slow: Scores | None = None) -> Lengths | None:
    """How long the answers are; None where nothing is generated.

    Args:
        scores: The model's.
        slow: The model whose lengths are the measure.
    """
    counts = sorted(n for items in scores.items.values() for n in items.tokens)
    if not counts:
        return None
    quantiles = {name: _quantile(counts, share) for name, share in QUANTILES.items()}
    return Lengths(fmean(counts), quantiles, None if slow is None else _change(scores, slow))


def _quantile(ordered: Sequence[int], share: float) -> int:
    """The smallest length that ``share`` of the answers do not exceed (the inverted cdf)."""
    # Whole numbers: 0.1 * 10 answers must be the first one, whatever 0.1 is in binary.
    percent = round(100 * share)
    return ordered[max(-(-percent * len(ordered) // 100), 1) - 1]


def _change(scores: Scores, slow: Scores) -> float | None:
    ratios = []
    for domain, items in scores.items.items():
        reference = slow.items.get(domain)
        if items.tokens and reference is not None and sum(reference.tokens):
            ratios.append(fmean(items.tokens) / fmean(reference.tokens) - 1)
    return fmean(ratios) if ratios else None


def slowest(models: Mapping[str, Scores]) -> str | None:
    """The model with the longest answers, the first of equal ones; None where none generates."""
    found = {name: lengths(scores) for name, scores in models.items()}
    means = {name: one.mean for name, one in found.items() if one is not None}
    return max(means, key=lambda name: means[name], default=None)


# -- as files and people have it -----------------------------------------------------------


def transfer_row(
    scores: Scores, parents: Mapping[str, Scores], slow: Scores | None
) -> dict[str, object]:
    """One model's line of a table, as plain data.

    Args:
        scores: The model's.
        parents: The parents', on the same split.
        slow: The model whose lengths are the measure; None where nothing is generated.

    Returns:
        ``items``, ``solvable``, ``lost``, ``rate`` and ``new`` where items can be compared;
        ``tokens`` and ``length_change`` where text is generated; maybe nothing.
    """
    row: dict[str, object] = {}
    found = transfers(scores, parents)
    if found:
        row = {
            "items": sum(one.n for one in found.values()),
            "solvable": sum(one.solvable for one in found.values()),
            "lost": sum(len(one.lost) for one in found.values()),
            "rate": rate_of(found),
            "new": sum(len(one.new) for one in found.values()),
        }
    said = lengths(scores, slow)
    if said is not None:
        row |= {"tokens": {"mean": said.mean, **said.quantiles}, "length_change": said.change}
    return row


def transfer_table(
    models: Mapping[str, Mapping[Side, Scores]], parents: Collection[str]
) -> dict[str, object]:
    """All models of a run's end side by side, as ``final.yaml`` has them.

    Args:
        models: Name to the scores of both splits; parents that are not among them are left out.
        parents: Their aliases.

    Returns:
        ``slow``, the parent whose lengths are the measure, and for each split name to row; empty
        where there is nothing to say.
    """
    found = {name: models[name] for name in parents if name in models}
    slow = slowest({name: splits["held_out"] for name, splits in found.items()})
    table: dict[str, object] = {}
    for split in SIDES:
        those = {name: splits[split] for name, splits in found.items()}
        reference = those[slow] if slow is not None else None
        rows = {n: transfer_row(splits[split], those, reference) for n, splits in models.items()}
        rows = {name: row for name, row in rows.items() if row}
        if rows:
            table[split] = rows
    return {"slow": slow, **table} if table else {}
