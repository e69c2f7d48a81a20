"""A race: a candidate is asked a few items, then more, for as long as it may still be good.

After each rung a paired test on the items seen so far compares the candidate with a rival that was
asked all of them. One that is confidently worse is dropped, with an estimate of the score that it
would have had; one that comes through has been asked everything, and its scores are those of an
evaluation without a race. The rival is known before, so no candidate's race depends on another's.

The items of a domain come in one seeded order. With a calibration it takes more of those on which
models are likely to differ, and the test weighs the two kinds by what there is of them, so that it
stays a test of the whole domain.

Sources: O. Maron and A. Moore, *Hoeffding Races* (NIPS 1994), for dropping what is worse with
confidence; M. Birattari et al., *A Racing Algorithm for Configuring Metaheuristics* (GECCO 2002),
for paired tests on common items; J. Neyman, J. R. Stat. Soc. 97 (1934), for the share of each
kind; W. Cochran, *Sampling Techniques*, section 2.6 (what a part says of a finite whole) and
equation 7.10 (the error of an estimate); A. Agresti and Y. Min, Stat. Med. 24 (2005), for pairs
that are added.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from evomerge_compiler.candidate import RACED, RaceRecord, Score, Scores, TaskItems
from evomerge_compiler.evaluation.failures import non_finite
from evomerge_compiler.evaluation.irt import Calibration
from evomerge_compiler.evaluation.results import mean_stderr
from evomerge_compiler.evaluation.split import item_set_hash
from evomerge_compiler.evaluation.statistics import Method, paired_difference

if TYPE_CHECKING:
    import numpy as np

# Asks a model some items of each domain: indices into the domain's items, ascending, to results
# in that order.
Ask = Callable[[Mapping[str, Sequence[int]]], Mapping[str, TaskItems]]

MIN_ITEMS = 10  # of a domain, and of each kind where there are two
_LEAST_SHARE, _LARGEST_SHARE = 0.5, 0.8


@dataclass(frozen=True)
class Track:
    """The items of one domain as a race goes through them.

    Attributes:
        order: ``(n_items,)`` indices in the order in which they are asked.
        kinds: ``(n_items,)`` for each item its kind; 0 alone where they are not told apart.
        calibration: What earlier models' answers say of the items, or None.
    """

    order: tuple[int, ...]
    kinds: tuple[int, ...]
    calibration: Calibration | None = None


@dataclass(frozen=True)
class Race:
    """What decides how far a candidate is asked; the same for all of a generation.

    Attributes:
        rival: Scores of the model that a candidate must not be confidently worse than.
        tracks: Domain to its items.
        rungs: Items of each domain that are seen at each look, ascending.
        shares: Domain to its share in what is compared.
        alpha: Chance, at each look, to drop what is as good as the rival.
    """

    rival: Scores = field(repr=False)
    tracks: Mapping[str, Track] = field(repr=False)
    rungs: tuple[int, ...]
    shares: Mapping[str, float]
    alpha: float

    @property
    def n_items(self) -> int:
        """All items, over all domains."""
        return sum(len(track.order) for track in self.tracks.values())

    @property
    def looks(self) -> tuple[int, ...]:
        """The rungs after which something is left to ask."""
        most = max(len(track.order) for track in self.tracks.values())
        return tuple(rung for rung in self.rungs if rung < most)


def track(n_items: int, salt: str, calibration: Calibration | None = None) -> Track:
    """The order of a domain's items.

    Args:
        n_items: How many there are.
        salt: Another salt gives another order.
        calibration: Tells contested items from the others; None does not tell them apart.
    """
    import numpy as np

    seed = int.from_bytes(hashlib.sha256(f"race\n{salt}".encode()).digest()[:16], "big")
    shuffled = np.random.default_rng(np.random.SeedSequence(seed)).permutation(n_items).tolist()
    if calibration is None or n_items < 2 * MIN_ITEMS:
        return Track(tuple(shuffled), (0,) * n_items, calibration)
    contested = calibration.contested()
    # Ties, and there are many, are broken by the seeded order.
    by_contest = sorted(shuffled, key=lambda index: -contested[index])
    kinds = np.zeros(n_items, dtype=int)
    kinds[by_contest[: n_items // 2]] = 1
    share = _allocation(contested, kinds)
    queues = {kind: iter([i for i in shuffled if kinds[i] == kind]) for kind in (0, 1)}
    order = list(_interleaved(queues[1], queues[0], share))
    return Track(tuple(order), tuple(kinds.tolist()), calibration)


def _allocation(contested: np.ndarray, kinds: np.ndarray) -> float:
    """The share of contested items among those asked: Neyman's, kept away from the extremes."""
    spread = [float((kinds == k).sum() * math.sqrt(contested[kinds == k].mean())) for k in (0, 1)]
    return min(max(spread[1] / sum(spread), _LEAST_SHARE), _LARGEST_SHARE)


def _interleaved(some: Iterator[int], others: Iterator[int], share: float) -> Iterator[int]:
    """Takes from two queues so that at any time about ``share`` came from the first."""
    taken = total = 0
    while True:
        first = taken < share * (total + 1)
        found = next(some if first else others, None)
        if found is None:
            yield from some
            yield from others
            return
        taken, total = taken + first, total + 1
        yield found


def answers_of(
    items: Mapping[str, TaskItems], wanted: Mapping[str, Sequence[int]]
) -> dict[str, TaskItems]:
    """Asks a model whose answers to everything are known; see :data:`Ask`."""
    out = {}
    for domain, indices in wanted.items():
        all_of = items[domain]
        out[domain] = TaskItems(
            subset_hash(all_of.item_set, indices),
            tuple(all_of.values[index] for index in indices),
            tuple(all_of.tokens[index] for index in indices) if all_of.tokens else (),
            tuple(all_of.correct[index] for index in indices) if all_of.correct else (),
            "".join(all_of.finish[index] for index in indices) if all_of.finish else "",
        )
    return out


# -- running it ----------------------------------------------------------------------------


def run(race: Race, ask: Ask, eval_key: str) -> Scores:
    """Asks a candidate as far as it is worth.

    Args:
        race: How far that is.
        ask: Asks the candidate; no item is asked twice.
        eval_key: Of the scores on all items.

    Returns:
        The scores on all items, or estimates of them, which say so.

    Raises:
        WorkFailed: A value is not finite.
    """
    seen = {domain: _Seen(race.rival.items[domain]) for domain in race.tracks}
    estimates: list[float] = []
    for rung in race.looks:
        _go_on(race, ask, seen, rung)
        scores = _estimated(race, seen)
        estimates.append(math.fsum(s * scores[d].value for d, s in race.shares.items()))
        if _worse(race, seen):
            return _scores(race, seen, scores, estimates, RACED + eval_key)
    _go_on(race, ask, seen, None)
    whole = {domain: _whole(race.rival.domains[domain], seen[domain]) for domain in seen}
    return _scores(race, seen, whole, estimates, eval_key)


class _Seen:
    """What a candidate answered in one domain so far.

    Args:
        like: The rival's results on the whole domain.
    """

    def __init__(self, like: TaskItems) -> None:
        self.like = like
        self.rows: dict[int, tuple[float, bool, int | None, str]] = {}

    def add(self, indices: Sequence[int], found: TaskItems) -> None:
        """Takes in results, in the order of ``indices``."""
        tokens = found.tokens or (None,) * len(indices)
        finish = found.finish or ("",) * len(indices)
        rows = zip(indices, found.values, found.right, tokens, finish, strict=True)
        for index, value, right, n_tokens, end in rows:
            if not math.isfinite(value):
                raise non_finite("the value of an item is not finite")
            self.rows[index] = (value, right, n_tokens, end)

    def values(self) -> dict[int, float]:
        """Index to value, ascending."""
        return {index: self.rows[index][0] for index in sorted(self.rows)}

    def items(self) -> TaskItems:
        """As per-item results stand in files."""
        columns = [self.rows[index] for index in sorted(self.rows)]
        values, right, tokens, finish = zip(*columns, strict=True)
        whole = len(self.rows) == len(self.like.values)
        plain = tuple(value >= 1.0 for value in values)
        return TaskItems(
            self.like.item_set if whole else subset_hash(self.like.item_set, self.rows),
            values,
            () if None in tokens else tokens,
            () if right == plain else right,
            "".join(finish),
        )


def subset_hash(item_set: str, indices: Mapping[int, object] | Sequence[int]) -> str:
    """Hash of some items of a set, as their results carry it."""
    return item_set_hash([item_set, *(f"{index:09d}" for index in indices)])


def _go_on(race: Race, ask: Ask, seen: Mapping[str, _Seen], rung: int | None) -> None:
    """Asks what a rung adds to those before; None asks all that is left."""
    wanted = {
        domain: sorted(index for index in track.order[:rung] if index not in seen[domain].rows)
        for domain, track in race.tracks.items()
    }
    wanted = {domain: indices for domain, indices in wanted.items() if indices}
    if not wanted:
        return
    for domain, found in ask(wanted).items():
        seen[domain].add(wanted[domain], found)


def _worse(race: Race, seen: Mapping[str, _Seen]) -> bool:
    """Whether the candidate is worse than the rival on all items, with confidence.

    What was asked is certain, so of the error of a sample only the part remains that comes from
    what was not (the finite population correction); the limit shrinks by its root.
    """
    from scipy import stats

    mine: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    sizes: dict[str, int] = {}
    weights: dict[str, float] = {}
    for domain, share in race.shares.items():
        kinds, rival = race.tracks[domain].kinds, race.rival.items[domain].values
        for index, value in seen[domain].values().items():
            stratum = f"{domain}/{kinds[index]}"
            mine.setdefault(stratum, []).append(value)
            theirs.setdefault(stratum, []).append(rival[index])
            sizes[stratum] = kinds.count(kinds[index])
            weights[stratum] = share * sizes[stratum] / len(kinds)
    answers = {value for side in (mine, theirs) for values in side.values() for value in values}
    method: Method = "mcnemar" if answers <= {0.0, 1.0} else "clt"
    found = paired_difference(mine, theirs, weights=weights, method=method)
    if found.difference >= 0:
        return False
    whole = left = 0.0
    for stratum, values in mine.items():
        n = len(values)
        squares = math.fsum((a - b) ** 2 for a, b in zip(values, theirs[stratum], strict=True))
        # A pair either way is added: that none differed of those asked does not mean none does.
        error = weights[stratum] ** 2 * (squares + 1) / (n + 2) / n
        whole += error
        left += error * (1 - n / sizes[stratum])
    limit = float(stats.norm.isf(race.alpha)) * math.sqrt(left / whole)
    return float(stats.norm.isf(found.p_value / 2)) >= limit


# -- what it comes to ----------------------------------------------------------------------


def _estimated(race: Race, seen: Mapping[str, _Seen]) -> dict[str, Score]:
    """What each domain would score if all its items were asked."""
    return {
        domain: estimate(race.rival.domains[domain].metric, track, seen[domain].values())
        for domain, track in race.tracks.items()
    }


def estimate(metric: str, track: Track, values: Mapping[int, float]) -> Score:
    """The mean over all items, those not asked at what they are expected to be (p-IRT).

    Its standard error has two parts: that of the score on all items, as every score has, and
    that of the estimate against it.

    Args:
        metric: Name of the score.
        track: The domain's items.
        values: Index to value, of those asked.
    """
    import numpy as np

    at = list(values)
    y = np.array(list(values.values()))
    n, n_items = len(at), len(track.order)
    expected = np.full(n_items, y.mean())
    if track.calibration is not None:
        ability = track.calibration.ability(at, y.tolist())
        expected = track.calibration.expected(ability)
    left = y - expected[at]
    expected[at] = y
    # An item either way is added, as in the test: ten right of ten do not mean that all are.
    off = (float((left**2).sum()) + 1) / (n + 2) / n * (1 - n / n_items)
    whole = (float(((y - y.mean()) ** 2).sum()) + 1) / (n + 2) / n_items
    return Score(metric, float(expected.mean()), math.sqrt(off + whole), n)


def _whole(like: Score, seen: _Seen) -> Score:
    values = list(seen.values().values())
    return replace(
        like,
        value=math.fsum(values) / len(values),
        stderr=mean_stderr(values),
        n=len(values),
    )


def _scores(
    race: Race,
    seen: Mapping[str, _Seen],
    domains: Mapping[str, Score],
    estimates: Sequence[float],
    eval_key: str,
) -> Scores:
    asked = sum(len(part.rows) for part in seen.values())
    return Scores(
        domains=dict(domains),
        eval_key=eval_key,
        items={domain: part.items() for domain, part in seen.items()},
        race=RaceRecord(asked, race.n_items, tuple(estimates)),
    )
