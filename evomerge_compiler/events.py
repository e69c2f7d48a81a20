"""What an evolution tells those who watch it: a progress bar, a tracker, a test.

Observers never change a run; the loop calls each in turn and what they return is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evomerge_compiler.candidate import CandidateId, Failure, Outcome, Scores
from evomerge_compiler.executors.base import Split
from evomerge_compiler.recipe import Recipe


@dataclass(frozen=True)
class Started:
    """The run begins or goes on.

    Attributes:
        recipe: The experiment.
        folder: The run folder, as given.
        generations: How many generations there will be at most.
        sealed: How many are done already.
    """

    recipe: Recipe
    folder: str
    generations: int
    sealed: int


@dataclass(frozen=True)
class BackendReplaced:
    """The backend that the recipe asks for cannot be had here, and another one scores.

    Attributes:
        reason: In words: which one, and why.
    """

    reason: str


@dataclass(frozen=True)
class GenerationStarted:
    """A generation is written and its candidates are about to be scored.

    Attributes:
        number: The generation.
        n_candidates: Its size.
        n_done: Candidates that have a result already.
        begins: The phase of the search that begins with it, if one does.
    """

    number: int
    n_candidates: int
    n_done: int
    begins: str | None = None


@dataclass(frozen=True)
class CandidateDone:
    """One candidate has a result.

    Attributes:
        outcome: The result.
        reused: Whether an equal candidate had been scored before.
        merge_s: Seconds spent merging it.
        evaluate_s: Seconds spent evaluating it.
    """

    outcome: Outcome
    reused: bool
    merge_s: float
    evaluate_s: float


@dataclass(frozen=True)
class GenerationSealed:
    """A generation is complete.

    Attributes:
        number: The generation.
        outcomes: Its results in slot order.
        best: The best candidate of the run so far, None while nothing was scored.
        replayed: Whether it was read from disk rather than run now.
    """

    number: int
    outcomes: Sequence[Outcome]
    best: Outcome | None
    replayed: bool


@dataclass(frozen=True)
class ControlStarted:
    """The search is over; as many random candidates are about to be scored.

    Attributes:
        candidates: How many.
    """

    candidates: int


@dataclass(frozen=True)
class Concluding:
    """The search is over; winner, parents, base and uniform merge are about to be scored.

    Attributes:
        models: How many models of its own the recipe has.
        front: How many candidates of a front besides the winner.
        shortlist: How many candidates are asked all search items before that.
    """

    models: int
    front: int = 0
    shortlist: int = 0


@dataclass(frozen=True)
class ModelScored:
    """A model was scored for the end of the run: a parent, the uniform merge, a candidate.

    Attributes:
        name: As below ``baselines/``: ``coder``, ``uniform``, ``003-c05``.
        scores: Split to scores; empty when it failed.
        failure: Why it failed, or None.
        seconds: What merging and evaluating it took.
    """

    name: str
    scores: Mapping[Split, Scores]
    failure: Failure | None
    seconds: float


@dataclass(frozen=True)
class Finished:
    """The run ends.

    Attributes:
        reason: Why: ``generations``, ``plateau``, ``candidates``, ``time``.
        best: The winner; where nothing was concluded, the best of the search.
        summary: What ``final.yaml`` holds.
    """

    reason: str
    best: CandidateId | None
    summary: Mapping[str, object]


Event = (
    Started
    | BackendReplaced
    | GenerationStarted
    | CandidateDone
    | GenerationSealed
    | ControlStarted
    | Concluding
    | ModelScored
    | Finished
)


class Observer:
    """Gets every event; does nothing with them by itself."""

    def notice(self, event: Event) -> None:
        """Called once for each event, in order."""


def generation_metrics(sealed: GenerationSealed) -> dict[str, float]:
    """The numbers of one generation, as trackers and reports name them.

    Returns:
        ``generation, population_size, best_fitness, avg_fitness, failed`` and, for each domain,
        ``<domain>_avg`` and ``<domain>_best``; means and maxima over the scored candidates of
        this generation, ``best_fitness`` over the run so far.
    """
    scored = [o for o in sealed.outcomes if o.fitness is not None]
    out: dict[str, float] = {
        "generation": sealed.number,
        "population_size": len(sealed.outcomes),
        "failed": len(sealed.outcomes) - len(scored),
    }
    if sealed.best is not None and sealed.best.fitness is not None:
        out["best_fitness"] = sealed.best.fitness.value
    values = [o.fitness.value for o in scored if o.fitness is not None]
    if values:
        out["avg_fitness"] = sum(values) / len(values)
    columns: dict[str, list[float]] = {}
    for outcome in scored:
        for domain, score in (outcome.scores.domains if outcome.scores else {}).items():
            columns.setdefault(domain, []).append(score.value)
    for domain, column in columns.items():
        out[f"{domain}_avg"] = sum(column) / len(column)
        out[f"{domain}_best"] = max(column)
    return out
