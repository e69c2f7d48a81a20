"""What an executor is asked to do and what it answers.

An executor gets jobs, runs them in any order on whatever it has, and yields each result with its
job's index as it completes. It never raises for a candidate's own failure: a merge that fails, a
worker that is killed or an evaluation that hangs is a :class:`JobResult` with a failure. It
raises :class:`~evomerge_compiler.errors.EvomergeError` only for what stops every job, such as a
full disk or a missing sandbox.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from evomerge_compiler.candidate import Failure, Scores
from evomerge_compiler.compiler import MergePlan
from evomerge_compiler.compiler.model_headers import SourceModel
from evomerge_compiler.evaluation.race import Race
from evomerge_compiler.genome import Genome

Split = Literal["search", "full_search", "held_out"]
E = TypeVar("E", bound="Executor")


@dataclass(frozen=True)
class Job:
    """One model to score: merged from a plan first, or a source model as it is.

    Attributes:
        label: Names the job in logs and messages: ``003/c05`` or ``coder``.
        plan: What to merge, or None.
        model: The source to score as it is, or None. Exactly one of the two is given.
        splits: Which items to score; each split gives one :class:`Scores`.
        genome: What the plan was compiled from, for executors that merge nothing.
        race: How far to ask it on the search split; None asks everything.
    """

    label: str
    plan: MergePlan | None = None
    model: SourceModel | None = None
    splits: tuple[Split, ...] = ("search",)
    genome: Genome | None = None
    race: Race | None = None


@dataclass(frozen=True)
class JobResult:
    """What became of a job: a score for each split, or a failure.

    Attributes:
        scores: Split to scores; empty when the job failed.
        failure: Why it failed, or None.
        merge_s: Seconds spent merging.
        evaluate_s: Seconds spent evaluating.
    """

    scores: Mapping[Split, Scores] = field(default_factory=dict)
    failure: Failure | None = None
    merge_s: float = 0.0
    evaluate_s: float = 0.0


class Executor(Protocol):
    """Runs jobs; a context manager that leaves no process behind. Executors inherit from it."""

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, JobResult]]:
        """Yields ``(index of the job, result)`` in the order of completion."""

    def eval_key(self, job: Job, split: Split) -> str:
        """Identity of the evaluation that a job would get: merge, tasks, split, versions."""

    def close(self) -> None:
        """Ends all workers."""

    def __enter__(self: E) -> E:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
