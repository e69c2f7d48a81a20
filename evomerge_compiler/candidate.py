"""Candidates, where they came from, and what became of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from evomerge_compiler.errors import UsageError
from evomerge_compiler.genome import Genome

Origin = Literal[
    "initial", "sampled", "mutation", "crossover", "elite", "seed", "edited", "proposed"
]
# What the eval_key of scores starts with that evomerge did not measure itself.
TOLD = "told:"
# What the eval_key of estimates starts with: not all items were asked.
RACED = "raced:"
_ID = re.compile(r"([0-9]{3,6})/c([0-9]{2,5})\Z")


@dataclass(frozen=True, order=True)
class CandidateId:
    """A candidate's place: generation and slot, written ``003/c05``."""

    generation: int
    slot: int

    def __str__(self) -> str:
        return f"{self.generation:03d}/{self.slot_name}"

    @property
    def slot_name(self) -> str:
        """The folder inside the generation: ``c05``."""
        return f"c{self.slot:02d}"

    @classmethod
    def parse(cls, text: str) -> CandidateId:
        """Reads ``003/c05``.

        Raises:
            UsageError: It is not of that form.
        """
        match = _ID.match(text)
        if not match:
            raise UsageError(f"expected a candidate such as 003/c05, got {text!r}")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True)
class Lineage:
    """Where a genome came from.

    Attributes:
        origin: The kind of its making.
        operator: ``strategy.operator`` that made it.
        parents: The candidates it was made from, first parent first.
        asked: Hash of the genome that the strategy asked for; differs from the genome that
            was scored when a person edited it.
        crossover: Template of the crossing of models that it is; empty for a genome of the
            experiment.
    """

    origin: Origin
    operator: str
    parents: tuple[CandidateId, ...] = ()
    asked: str = ""
    crossover: str = ""


@dataclass(frozen=True)
class Proposal:
    """What a strategy asks to have scored."""

    genome: Genome
    lineage: Lineage


@dataclass(frozen=True)
class Score:
    """One domain's score.

    Attributes:
        metric: lm-eval's metric name, with its filter unless that is ``none``.
        value: The metric, as lm-eval scales it.
        stderr: Standard error of ``value`` in the same units; None for corpus metrics.
        n: Items scored.
    """

    metric: str
    value: float
    stderr: float | None
    n: int


@dataclass(frozen=True)
class TaskItems:
    """Per-item results of one task, in the order of the items' hashes.

    Attributes:
        item_set: Hash of the scored items' hashes: equal sets compare item by item.
        values: ``(n_items,)`` per-item metric values, in 0..1 for accuracies.
        tokens: ``(n_items,)`` generated tokens of each answer; empty where none are generated.
        correct: ``(n_items,)`` right or wrong, where the task judges that beside a graded
            metric; empty where the values themselves say it.
        finish: One letter an item: ``s`` ended by a stop string, ``e`` by the end token, ``l``
            cut at the limit; empty where nothing is generated.
    """

    item_set: str
    values: tuple[float, ...]
    tokens: tuple[int, ...] = ()
    correct: tuple[bool, ...] = ()
    finish: str = ""

    @property
    def right(self) -> tuple[bool, ...]:
        """``(n_items,)`` whether each answer is right: a full score unless the task judges it."""
        return self.correct or tuple(value >= 1.0 for value in self.values)


@dataclass(frozen=True)
class RaceRecord:
    """How far a candidate was asked in a race.

    Attributes:
        seen: Items that it was asked, over all domains.
        of: Items that there are.
        estimates: Of what is compared, after each look at it.
    """

    seen: int
    of: int
    estimates: tuple[float, ...] = ()


@dataclass(frozen=True)
class Scores:
    """What an evaluator said of one model.

    Attributes:
        domains: Domain to score, in recipe order.
        eval_key: Identity of the evaluation: merge, tasks, split, arguments, versions.
        items: Domain to per-item results.
        weights: Hash of the merged tensors that were scored; empty for a model as it is.
        race: How far it was asked; None where it was asked everything at once.
    """

    domains: Mapping[str, Score]
    eval_key: str
    items: Mapping[str, TaskItems] = field(default_factory=dict, repr=False)
    weights: str = ""
    race: RaceRecord | None = None

    @property
    def complete(self) -> bool:
        """Whether all items were asked; else the domains hold estimates."""
        return self.race is None or self.race.seen == self.race.of

    @property
    def told(self) -> bool:
        """Whether they came from outside (``evomerge tell``)."""
        return self.eval_key.startswith(TOLD)


@dataclass(frozen=True)
class Fitness:
    """What a strategy sees of a scored candidate.

    Attributes:
        objectives: ``(n_objectives,)`` values, all to be maximised.
        stderr: Standard error of the first objective, None where unknown.
        violation: How far it is from keeping to the constraints; 0 when it does.
    """

    objectives: tuple[float, ...]
    stderr: float | None = None
    violation: float = 0.0

    @property
    def feasible(self) -> bool:
        """Whether it keeps to all constraints."""
        return self.violation <= 0

    @property
    def value(self) -> float:
        """The first objective."""
        return self.objectives[0]


@dataclass(frozen=True)
class Failure:
    """Why a candidate has no score.

    Attributes:
        step: ``compile``, ``merge`` or ``evaluate``.
        reason: One of :data:`evomerge_compiler.errors.FAILURE_REASONS`.
        message: What happened, without times, hosts or machine paths.
    """

    step: str
    reason: str
    message: str


@dataclass(frozen=True)
class Outcome:
    """The end of one candidate: scored or failed, never both."""

    id: CandidateId
    genome: Genome
    fitness: Fitness | None
    failure: Failure | None = None
    scores: Scores | None = None

    @property
    def scored(self) -> bool:
        """Whether the candidate has a fitness."""
        return self.fitness is not None

    @property
    def complete(self) -> bool:
        """Whether its fitness is of all items, and no estimate of it."""
        return self.scored and (self.scores is None or self.scores.complete)


def genome_hash(genome: Genome) -> str:
    """Content hash of a genome, as written under ``asked:``."""
    text = json.dumps(genome.plain(), sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
