"""Executor that merges nothing: scores come from a landscape, in microseconds, without torch.

For tests of all that surrounds the slow work (resume after kills, order, failures), and for
trying a search. The landscape is deterministic: equal merges get equal scores, whatever the
process, the order or the number of workers.

Each number of a merge has an optimum of its own in every domain, drawn from its place in the
merge; each word (a method, a model) is worth something drawn from place and word. An item of a
domain is answered when the domain's ability exceeds the item's difficulty, so that scores have
items, standard errors, and paired differences as real ones have.

Where answers have lengths, each item has one of its own, and a merge writes a seventh to seven
times as much, by a verbosity that depends on it as an ability does. It has optima of its own, so
few tokens and right answers pull a search to different places.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from evomerge_compiler.candidate import Score, Scores, TaskItems
from evomerge_compiler.errors import WorkFailed
from evomerge_compiler.evaluation import race as races
from evomerge_compiler.executors.base import Executor, Job, JobResult, Split
from evomerge_compiler.executors.local import identity
from evomerge_compiler.executors.pool import Step, Work, drive, failure_of
from evomerge_compiler.process_pool import WorkerPool

METRIC = "simulated"
# Tokens that the shortest and the longest item take at medium verbosity.
SHORTEST, LONGEST = 8, 200
_HANG_S = 3600.0


@dataclass(frozen=True)
class Landscape:
    """Scores as a function of what is merged.

    Attributes:
        domains: Names of the domains.
        seed: Another seed is another landscape.
        n_items: Items of each domain and split.
        width: Distance from an optimum, in units of a number, at which ability has fallen to
            exp(-1/2).
        failing: Failure reason to the share of merges that end with it.
        delay_s: Each merge takes up to this long, by its content; results then arrive in
            another order than that of the jobs.
        crashing: Labels of jobs whose worker is killed (with workers only).
        crashing_once: A folder: the first try of every job is killed (with workers only).
        hanging: Labels of jobs that never end (with workers and a time limit only).
        limit: Search items of each domain that a search asks at most; None asks all.
        lengths: Whether answers have tokens.
    """

    domains: tuple[str, ...] = ("code", "math", "multilingual", "structured_data")
    seed: int = 0
    n_items: int = 50
    width: float = 0.5
    failing: Mapping[str, float] = field(default_factory=dict)
    delay_s: float = 0.0
    crashing: tuple[str, ...] = ()
    crashing_once: str = ""
    hanging: tuple[str, ...] = ()
    limit: int | None = None
    lengths: bool = False

    @property
    def needs_workers(self) -> bool:
        """Whether some of its jobs would take this very process down."""
        return bool(self.crashing or self.crashing_once or self.hanging)

    def draw(self, *parts: object) -> float:
        """A number in [0, 1) that depends on the seed and ``parts`` only."""
        text = json.dumps([self.seed, *parts], default=str)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / (1 << 56)

    def ability(self, domain: str, values: Mapping[str, object]) -> float:
        """How good a merge is in a domain, in (0, 1].

        Args:
            domain: The domain.
            values: Place to value of everything in the merge.
        """
        if not values:
            return 0.5
        total = 0.0
        for place, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                distance = (value - self.draw(domain, place)) / self.width
                total += math.exp(-0.5 * distance * distance)
            else:
                total += self.draw(domain, place, value)
        return total / len(values)

    def score(self, domain: str, split: Split, values: Mapping[str, object]) -> TaskItems:
        """Per-item results; an item is as hard for every merge."""
        ability = self.ability(domain, values)
        right = [
            float(self.draw("item", domain, split, index) < ability)
            for index in range(self.n_items)
        ]
        item_set = hashlib.sha256(f"{domain} {split} {self.n_items}".encode()).hexdigest()
        return TaskItems(item_set, tuple(right))

    def tokens(self, domain: str, split: Split, values: Mapping[str, object]) -> tuple[int, ...]:
        """``(n_items,)`` tokens of the answers."""
        factor = math.exp(4 * self.ability("tokens", values) - 2)
        own = (self.draw("tokens", domain, split, index) for index in range(self.n_items))
        return tuple(round(factor * SHORTEST * (LONGEST / SHORTEST) ** place) for place in own)


def evaluate(
    landscape: Landscape,
    values: Mapping[str, object],
    split: Split,
    key: str,
    race: races.Race | None = None,
) -> Scores:
    """The scores of one merge on one split; in a race, on the items that it comes to."""
    side: Split = "held_out" if split == "held_out" else "search"
    items = {name: landscape.score(name, side, values) for name in landscape.domains}
    if landscape.lengths:
        items = {
            name: replace(found, tokens=landscape.tokens(name, side, values))
            for name, found in items.items()
        }
    if split == "search" and landscape.limit is not None:
        items = {name: _first(found, landscape.limit) for name, found in items.items()}
    if race is not None and split == "search":
        return races.run(race, functools.partial(races.answers_of, items), key)
    domains = {}
    for name, result in items.items():
        n = len(result.values)
        mean = math.fsum(result.values) / n
        variance = math.fsum((value - mean) ** 2 for value in result.values) / max(n - 1, 1)
        stderr = math.sqrt(variance / n) if n > 1 else None
        domains[name] = Score(METRIC, mean, stderr, n)
    return Scores(domains, key, items)


def _first(items: TaskItems, limit: int) -> TaskItems:
    """The items below a limit."""
    if limit >= len(items.values):
        return items
    values, tokens, correct = items.values[:limit], items.tokens[:limit], items.correct[:limit]
    item_set = hashlib.sha256(f"{items.item_set} {limit}".encode()).hexdigest()
    return TaskItems(item_set, values, tokens, correct, items.finish[:limit])


def leaves(data: object, place: str = "") -> dict[str, object]:
    """Every scalar of nested mappings and lists, by its place."""
    found: dict[str, object] = {}
    pairs: Iterator[tuple[object, object]]
    if isinstance(data, Mapping):
        pairs = iter(data.items())
    elif isinstance(data, (list, tuple)):
        pairs = iter(enumerate(data))
    else:
        return {place: data}
    for key, part in pairs:
        found |= leaves(part, f"{place}.{key}" if place else str(key))
    return found


def job_values(job: Job) -> dict[str, object]:
    """What the landscape sees of a job: all values of its merge, or the model's identity."""
    if job.plan is None:
        return {"model": identity(job)}
    return leaves([dict(stage.document) for stage in job.plan.stages])


def work_on(
    landscape: Landscape,
    label: str,
    values: Mapping[str, object],
    keys: Mapping[Split, str],
    race: races.Race | None = None,
) -> dict[Split, Scores]:
    """Does a job, in this process or in a worker.

    Raises:
        WorkFailed: The landscape says that this merge fails.
    """
    if landscape.delay_s:
        time.sleep(landscape.delay_s * landscape.draw("delay", values))
    if label in landscape.hanging:
        time.sleep(_HANG_S)
    if label in landscape.crashing or _first_try(landscape, label):
        os.kill(os.getpid(), signal.SIGKILL)
    chance = landscape.draw("failure", values)
    for reason, share in landscape.failing.items():
        if chance < share:
            raise WorkFailed("the landscape says so", reason=reason, step="merge")
        chance -= share
    return {split: evaluate(landscape, values, split, key, race) for split, key in keys.items()}


def _first_try(landscape: Landscape, label: str) -> bool:
    if not landscape.crashing_once:
        return False
    name = hashlib.sha256(label.encode()).hexdigest()[:16]
    try:
        os.close(os.open(f"{landscape.crashing_once}/{name}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


class SimulatedExecutor(Executor):
    """Scores jobs on a landscape.

    Args:
        landscape: The landscape.
        n_workers: Worker processes; 0 does the work in this process.
        timeout_s: For one job, with workers.
        retries: Further tries after a crash, with workers.
        values: What the landscape sees of a job; all values of its merge by default.
    """

    def __init__(
        self,
        landscape: Landscape | None = None,
        *,
        n_workers: int = 0,
        timeout_s: float | None = None,
        retries: int = 1,
        values: Callable[[Job], dict[str, object]] | None = None,
    ) -> None:
        self.landscape = landscape or Landscape()
        self.values = values or job_values
        if n_workers == 0 and self.landscape.needs_workers:
            raise ValueError("a landscape that crashes or hangs needs workers")
        self.n_workers = n_workers
        self.timeout_s = timeout_s
        self.retries = retries
        self._pool: WorkerPool | None = None

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, JobResult]]:
        """See :class:`~evomerge_compiler.executors.base.Executor`."""
        if self.n_workers == 0:
            yield from ((index, self._here(job)) for index, job in enumerate(jobs))
            return
        if self._pool is None:
            self._pool = WorkerPool(self.n_workers)
        yield from drive(
            jobs,
            self._work,
            self._pool,
            n_at_once=self.n_workers,
            retries=self.retries,
            abandon=self.close,
        )

    def eval_key(self, job: Job, split: Split) -> str:
        """See :class:`~evomerge_compiler.executors.base.Executor`."""
        described: dict[str, Any] = asdict(self.landscape)
        for runtime_only in ("delay_s", "crashing", "crashing_once", "hanging"):
            del described[runtime_only]
        limit = described.pop("limit")
        if not described["lengths"]:
            del described["lengths"]  # keys are older than lengths
        if split == "full_search":
            split = "search"  # what it asks is what the search asks where there is no limit
        elif split == "search" and limit is not None and limit < self.landscape.n_items:
            described["limit"] = limit
        text = json.dumps([identity(job), split, described], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def close(self) -> None:
        """Ends all workers."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _args(
        self, job: Job
    ) -> tuple[Landscape, str, dict[str, object], dict[Split, str], races.Race | None]:
        keys = {split: self.eval_key(job, split) for split in job.splits}
        return self.landscape, job.label, self.values(job), keys, job.race

    def _here(self, job: Job) -> JobResult:
        try:
            return JobResult(work_on(*self._args(job)))
        except WorkFailed as error:
            return JobResult(failure=failure_of(error, None))

    def _work(self, index: int, job: Job) -> Work:
        scores = yield Step("evaluate", work_on, self._args(job), self.timeout_s)
        return JobResult(scores)
