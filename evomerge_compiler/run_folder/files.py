"""The text of a run folder's YAML files, and back.

Values stand one a line, rounded. Files that evomerge writes for itself end in a line
``check: sha256:...`` over all text above it, so that a cut or altered file is never taken for a
whole one. The candidates' ``recipe.yaml`` has no such line: people edit it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evomerge_compiler import yamlio
from evomerge_compiler.candidate import (
    CandidateId,
    Failure,
    Fitness,
    Lineage,
    Origin,
    RaceRecord,
    Score,
    Scores,
)
from evomerge_compiler.errors import (
    FAILURE_REASONS,
    UsageError,
    WorkFailed,
)
from evomerge_compiler.run_folder.tables import (
    damaged,
    items_from,
    items_text,
    rounded,
    sha256,
)

MAX_MESSAGE_CHARS = 500
_CHECK = re.compile(r"check: (sha256:[0-9a-f]{64})\n\Z")
_SHA256 = r"^sha256:[0-9a-f]{64}$"
_ID = r"^[0-9]{3,6}/c[0-9]{2,5}$"

File = TypeVar("File", bound="_File")


# -- YAML with a check line ----------------------------------------------------------------


def checked_text(data: Mapping[str, object]) -> str:
    """Canonical YAML of ``data`` with its check line."""
    text = yamlio.dump(data)
    return f"{text}check: {sha256(text)}\n"


def checked_data(text: str, file: str) -> dict[str, Any]:
    """The data of :func:`checked_text`.

    Raises:
        RunDamaged: The text is cut or altered.
    """
    match = _CHECK.search(text)
    body = text[: match.start()] if match else ""
    if match is None or sha256(body) != match[1]:
        raise damaged(file, "is cut or was altered: its check line does not fit")
    data = load_plain(body)
    if not isinstance(data, dict):
        raise damaged(file, "expected a mapping")
    return data


def load_plain(text: str) -> object:
    """Reads canonical text fast; callers have proven that it is canonical or their own."""
    import yaml

    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _LineageFile(_File):
    origin: Origin
    operator: str
    parents: list[str]
    asked: str = Field(pattern=_SHA256)
    crossover: str = ""


class _ScoreFile(_File):
    metric: str
    value: float
    stderr: float | None
    n: int = Field(ge=0)


class _RaceFile(_File):
    seen: int = Field(ge=0)
    of: int = Field(ge=0)
    estimates: list[float]


class _ScoresFile(_File):
    fitness: float | list[float] | None
    stderr: float | None
    violation: float = Field(0.0, ge=0)
    domains: dict[str, _ScoreFile]
    race: _RaceFile | None = None
    eval_key: str
    weights: str
    genome: str | None = Field(pattern=_SHA256)
    mergekit: str | None = Field(pattern=_SHA256)
    items: str = Field(pattern=_SHA256)


class _FailureFile(_File):
    step: str
    reason: str
    message: str
    genome: str = Field(pattern=_SHA256)
    mergekit: str | None = Field(pattern=_SHA256)


def _validated(schema: type[File], text: str, file: str) -> File:
    try:
        return schema.model_validate(checked_data(text, file))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise damaged(file, f"{where}: {first['msg']}") from None


# -- lineage -------------------------------------------------------------------------------


def lineage_text(lineage: Lineage) -> str:
    """``lineage.yaml``."""
    data: dict[str, object] = {
        "origin": lineage.origin,
        "operator": lineage.operator,
        "parents": [str(parent) for parent in lineage.parents],
        "asked": lineage.asked,
    }
    return checked_text(data | ({"crossover": lineage.crossover} if lineage.crossover else {}))


def lineage_from(text: str, file: str) -> Lineage:
    """Reads ``lineage.yaml``.

    Raises:
        RunDamaged: It is not as evomerge wrote it.
    """
    data = _validated(_LineageFile, text, file)
    if not all(re.match(_ID, parent) for parent in data.parents):
        raise damaged(file, f"parents: expected candidates such as 003/c05, got {data.parents}")
    parents = tuple(CandidateId.parse(parent) for parent in data.parents)
    return Lineage(data.origin, data.operator, parents, data.asked, data.crossover)


# -- scores and failures -------------------------------------------------------------------


@dataclass(frozen=True)
class Belongs:
    """What an outcome is the outcome of; it counts for nothing else.

    Attributes:
        genome: Hash of the genome; None for a model that has none.
        mergekit: Hash of ``mergekit.yaml``; None where there is none.
    """

    genome: str | None = None
    mergekit: str | None = None


def rounded_scores(scores: Scores, fitness: Fitness | None) -> tuple[Scores, Fitness | None]:
    """Scores and fitness with the numbers that the files hold.

    Raises:
        WorkFailed: A number is not finite: such a model has no score.
    """
    for domain, score in scores.domains.items():
        _must_be_finite(f"the score of {domain}", score.value, score.stderr)
    for domain, items in scores.items.items():
        _must_be_finite(f"an item of {domain}", *items.values)
    domains = {
        domain: Score(s.metric, rounded(s.value), _rounded_or_none(s.stderr), s.n)
        for domain, s in scores.domains.items()
    }
    per_item = {
        domain: replace(i, values=tuple(rounded(v) for v in i.values))
        for domain, i in scores.items.items()
    }
    race = scores.race
    if race is not None:
        _must_be_finite("an estimate", *race.estimates)
        race = replace(race, estimates=tuple(map(rounded, race.estimates)))
    clean = Scores(domains, scores.eval_key, per_item, scores.weights, race)
    if fitness is None:
        return clean, None
    _must_be_finite("the fitness", *fitness.objectives, fitness.stderr, fitness.violation)
    objectives = tuple(rounded(value) for value in fitness.objectives)
    stderr = _rounded_or_none(fitness.stderr)
    return clean, Fitness(objectives, stderr, rounded(fitness.violation))


def _rounded_or_none(value: float | None) -> float | None:
    return None if value is None else rounded(value)


def _must_be_finite(what: str, *values: float | None) -> None:
    for value in values:
        if value is not None and not math.isfinite(value):
            raise WorkFailed(f"{what} is {value}", reason="non_finite", step="evaluate")


def scores_texts(scores: Scores, fitness: Fitness | None, belongs: Belongs) -> tuple[str, str]:
    """``scores.yaml`` and ``items.tsv`` of rounded scores."""
    items = items_text(scores.items)
    value: object = None
    if fitness is not None:
        several = len(fitness.objectives) > 1
        value = list(fitness.objectives) if several else fitness.value
    data = {
        "fitness": value,
        "stderr": fitness.stderr if fitness else None,
        # A line that most runs never have.
        **({"violation": fitness.violation} if fitness and not fitness.feasible else {}),
        "domains": {
            domain: {"metric": s.metric, "value": s.value, "stderr": s.stderr, "n": s.n}
            for domain, s in scores.domains.items()
        },
        **({"race": _race(scores.race)} if scores.race else {}),
        "eval_key": scores.eval_key,
        "weights": scores.weights,
        "genome": belongs.genome,
        "mergekit": belongs.mergekit,
        "items": sha256(items),
    }
    return checked_text(data), items


def _race(race: RaceRecord) -> dict[str, object]:
    return {"seen": race.seen, "of": race.of, "estimates": list(race.estimates)}


def scores_from(text: str, items: str | None, file: str) -> tuple[Scores, Fitness | None, Belongs]:
    """Reads ``scores.yaml`` with the text of its ``items.tsv``.

    Raises:
        RunDamaged: One of the two is not as evomerge wrote it, or they do not go together.
    """
    data = _validated(_ScoresFile, text, file)
    if items is None or sha256(items) != data.items:
        raise damaged(file, "items.tsv is missing, cut or altered: its hash does not fit")
    domains = {
        domain: Score(s.metric, s.value, s.stderr, s.n) for domain, s in data.domains.items()
    }
    fitness = None
    if data.fitness is not None:
        values = data.fitness if isinstance(data.fitness, list) else [data.fitness]
        fitness = Fitness(tuple(values), data.stderr, data.violation)
    race = None
    if data.race is not None:
        race = RaceRecord(data.race.seen, data.race.of, tuple(data.race.estimates))
    scores = Scores(domains, data.eval_key, items_from(items, file), data.weights, race)
    return scores, fitness, Belongs(data.genome, data.mergekit)


def failure_text(failure: Failure, belongs: Belongs) -> str:
    """``failure.yaml``.

    Raises:
        ValueError: The reason is not one of the known ones.
    """
    if failure.reason not in FAILURE_REASONS:
        raise ValueError(f"expected one of {FAILURE_REASONS}, got {failure.reason!r}")
    return checked_text(
        {
            "step": failure.step,
            "reason": failure.reason,
            "message": " ".join(failure.message.split())[:MAX_MESSAGE_CHARS],
            "genome": belongs.genome,
            "mergekit": belongs.mergekit,
        }
    )


def failure_from(text: str, file: str) -> tuple[Failure, Belongs]:
    """Reads ``failure.yaml``.

    Raises:
        RunDamaged: It is not as evomerge wrote it.
    """
    data = _validated(_FailureFile, text, file)
    return Failure(data.step, data.reason, data.message), Belongs(data.genome, data.mergekit)


def parse_generation(name: str) -> int:
    """The number of a generation as people write it: ``3`` or ``003``.

    Raises:
        UsageError: It is not a number.
    """
    if not re.match(r"[0-9]{1,6}\Z", name):
        raise UsageError(f"expected a generation such as 003, got {name!r}")
    return int(name)
