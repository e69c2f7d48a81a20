"""Progress on stderr: a bar a generation on a terminal, else a line a candidate."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from evomerge_compiler.candidate import Scores
from evomerge_compiler.events import (
    BackendReplaced,
    CandidateDone,
    Concluding,
    ControlStarted,
    Event,
    Finished,
    GenerationSealed,
    GenerationStarted,
    ModelScored,
    Observer,
    Started,
    generation_metrics,
)

DISPLAYS = ("auto", "bar", "plain", "json", "none")


class PlainProgress(Observer):
    """One line for each candidate and generation."""

    def notice(self, event: Event) -> None:
        """Prints what happened."""
        text = describe(event)
        if text:
            click.echo(text, err=True)


class JsonProgress(Observer):
    """One JSON object for each event."""

    def notice(self, event: Event) -> None:
        """Prints what happened."""
        click.echo(json.dumps(as_data(event), ensure_ascii=False), err=True)


class BarProgress(Observer):
    """A bar for each generation with the time that is left, by rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[best]}"),
            console=Console(stderr=True),
        )
        self.task: Any = None
        self.best = ""

    def __enter__(self) -> BarProgress:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def notice(self, event: Event) -> None:
        """Moves the bar; failures are said in words above it."""
        if isinstance(event, GenerationStarted):
            if event.begins:
                self.progress.console.print(describe(event), highlight=False, markup=False)
            self.task = self.progress.add_task(
                f"generation {event.number:03d}",
                total=event.n_candidates,
                completed=event.n_done,
                best=self.best,
            )
        elif isinstance(event, CandidateDone):
            if event.outcome.failure is not None:
                self.progress.console.print(describe(event), highlight=False, markup=False)
            self.progress.advance(self.task)
        elif isinstance(event, GenerationSealed) and event.best and event.best.fitness:
            self.best = f"best {event.best.id} {event.best.fitness.value:.4f}"
            if self.task is not None:
                self.progress.update(self.task, best=self.best)
        elif isinstance(
            event, (Started, BackendReplaced, ControlStarted, Concluding, ModelScored)
        ):
            self.progress.console.print(describe(event), highlight=False, markup=False)


def make(display: str) -> Observer | None:
    """The observer of a ``--display`` choice; ``auto`` is a bar on a terminal, else plain."""
    if display == "auto":
        display = "bar" if sys.stderr.isatty() else "plain"
    kinds: dict[str, type[Observer]] = {
        "bar": BarProgress,
        "plain": PlainProgress,
        "json": JsonProgress,
    }
    return kinds[display]() if display in kinds else None


def describe(event: Event) -> str:
    """An event in one line; empty for those that say nothing new."""
    if isinstance(event, Started):
        again = f", {event.sealed} of them done" if event.sealed else ""
        return f"{event.recipe.name}: {event.generations} generations{again}, in {event.folder}"
    if isinstance(event, BackendReplaced):
        return event.reason
    if isinstance(event, ControlStarted):
        return f"control arm: {event.candidates} random candidates"
    if isinstance(event, Concluding):
        more = f" {event.front} more of the front," if event.front else ""
        first = ""
        if event.shortlist:
            best = f"the best {event.shortlist}" if event.shortlist > 1 else "the best"
            first = f"asking {best} all search items, then "
        models = f"uniform merge and {event.models} models"
        return f"{first}scoring winner,{more} {models} on held-out items"
    if isinstance(event, ModelScored):
        return _model(event)
    if isinstance(event, GenerationStarted):
        begins = f"phase {event.begins} begins" if event.begins else ""
        done = f"{event.n_done} of {event.n_candidates} were done" if event.n_done else ""
        news = ", ".join(part for part in (begins, done) if part)
        return f"generation {event.number:03d}: {news}" if news else ""
    if isinstance(event, CandidateDone):
        return _candidate(event)
    if isinstance(event, GenerationSealed) and not event.replayed:
        numbers = generation_metrics(event)
        best = f"best {event.best.id} {numbers['best_fitness']:.4f}" if event.best else "no best"
        average = numbers.get("avg_fitness")
        mean = f", average {average:.4f}" if average is not None else ""
        return f"generation {event.number:03d} sealed: {best}{mean}"
    return ""


def _candidate(event: CandidateDone) -> str:
    outcome = event.outcome
    if outcome.failure is not None:
        failure = outcome.failure
        return f"{outcome.id}  failed in {failure.step}: {failure.reason}: {failure.message}"
    assert outcome.fitness is not None
    stderr = outcome.fitness.stderr
    text = f"{outcome.id}  {outcome.fitness.value:.4f}"
    text += f" ± {stderr:.4f}" if stderr is not None else ""
    text += _domains(outcome.scores) if outcome.scores else ""
    race = outcome.scores.race if outcome.scores else None
    if race is not None and not outcome.complete:
        text += f"  (estimates: dropped after {race.seen} of {race.of} items)"
    if event.reused:
        return text + "  (equals one scored before)"
    return text + f"  ({event.merge_s:.1f} s merge, {event.evaluate_s:.1f} s evaluation)"


def _domains(scores: Scores) -> str:
    return "".join(f"  {domain} {score.value:.3f}" for domain, score in scores.domains.items())


def _model(event: ModelScored) -> str:
    if event.failure is not None:
        failure = event.failure
        return f"{event.name}  failed in {failure.step}: {failure.reason}: {failure.message}"
    items = {"search": "search items", "full_search": "all search items", "held_out": "held out"}
    lines = [f"{event.name}  {items[s]}:{_domains(found)}" for s, found in event.scores.items()]
    return "\n".join(lines) + f"  ({event.seconds:.1f} s)"


def as_data(event: Event) -> dict[str, object]:
    """An event as plain data."""
    kind = type(event).__name__
    if isinstance(event, Started):
        return {"event": kind, "run": event.folder, "generations": event.generations}
    if isinstance(event, GenerationStarted):
        return {"event": kind, **vars(event)}
    if isinstance(event, CandidateDone):
        outcome = event.outcome
        return {
            "event": kind,
            "id": str(outcome.id),
            "fitness": outcome.fitness.value if outcome.fitness else None,
            "failure": vars(outcome.failure) if outcome.failure else None,
            "reused": event.reused,
            "merge_s": event.merge_s,
            "evaluate_s": event.evaluate_s,
        }
    if isinstance(event, GenerationSealed):
        return {"event": kind, "replayed": event.replayed, **generation_metrics(event)}
    if isinstance(event, ControlStarted):
        return {"event": kind, "candidates": event.candidates}
    if isinstance(event, Concluding):
        return {"event": kind, **vars(event)}
    if isinstance(event, ModelScored):
        failure = vars(event.failure) if event.failure else None
        splits = list(event.scores)
        return {"event": kind, **vars(event), "scores": splits, "failure": failure}
    assert isinstance(event, Finished)
    best = str(event.best) if event.best else None
    return {"event": kind, "reason": event.reason, "best": best}
