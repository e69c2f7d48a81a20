"""The tables of a run folder: per-item results, the population, the seal.

Written files hold no time, host, absolute path or float noise: values are rounded to
:data:`DECIMALS` decimals. All tables are plain text with tabs, except the seal, which is what
``sha256sum -c SEALED`` reads.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evomerge_compiler.candidate import CandidateId, RaceRecord, TaskItems
from evomerge_compiler.errors import Place, RunDamaged, UsageError

DECIMALS = 6
_SEAL_LINE = re.compile(r"([0-9a-f]{64})  ((?:c[0-9]{2,5}/)?[a-z]+\.(?:yaml|tsv))\Z")
_WORD = re.compile(r"[^\t\n\r]+\Z")
_ITEMS_HEADER = "domain\titem_set\tvalues\tcorrect\ttokens\tfinish"


def sha256(data: str | bytes) -> str:
    """Content hash as written in files: ``sha256:`` and 64 hex digits."""
    raw = data.encode("utf-8") if isinstance(data, str) else data
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def rounded(value: float) -> float:
    """A number as it is written; minus zero becomes zero."""
    return round(float(value), DECIMALS) + 0.0


def damaged(file: str, message: str) -> RunDamaged:
    """An error about a file that evomerge wrote and that no longer reads as it must."""
    hint = "restore it from git, or run `evomerge check` to see all that is wrong"
    return RunDamaged(message, hint=hint, place=Place(file))


def decoded(raw: bytes, file: str) -> str:
    """Bytes as UTF-8 text.

    Raises:
        RunDamaged: They are not.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise damaged(file, f"is not UTF-8 text (byte {error.start})") from None


# -- items ---------------------------------------------------------------------------------


def items_text(items: Mapping[str, TaskItems]) -> str:
    """``items.tsv``: a line a domain; right/wrong values as digits, others as decimals.

    ``correct`` and ``finish`` are a character an item, ``-`` where a task does not say.
    """
    lines = [_ITEMS_HEADER]
    for domain, task in items.items():
        for word in (domain, task.item_set):
            if not _WORD.match(word):
                raise ValueError(f"expected a name without tabs or line breaks, got {word!r}")
        if not task.values:
            values = "-"
        elif all(value in (0.0, 1.0) for value in task.values):
            values = "".join(str(int(value)) for value in task.values)
        else:
            values = ",".join(f"{value:.{DECIMALS}f}" for value in task.values)
        tokens = ",".join(str(count) for count in task.tokens) or "-"
        correct = "".join(str(int(right)) for right in task.correct) or "-"
        finish = task.finish or "-"
        lines.append("\t".join((domain, task.item_set, values, correct, tokens, finish)))
    return "".join(f"{line}\n" for line in lines)


def items_from(text: str, file: str) -> dict[str, TaskItems]:
    """Reads ``items.tsv``.

    Raises:
        RunDamaged: It is not as evomerge wrote it.
    """
    header, *lines = text.removesuffix("\n").split("\n")
    if header != _ITEMS_HEADER:
        raise damaged(file, "items.tsv does not start with its header")
    out = {}
    try:
        for line in lines:
            domain, item_set, values, correct, tokens, finish = line.split("\t")
            numbers: Sequence[str] = values.split(",") if "." in values else values
            task = TaskItems(
                item_set,
                () if values == "-" else tuple(map(float, numbers)),
                () if tokens == "-" else tuple(map(int, tokens.split(","))),
                () if correct == "-" else tuple(bool(int(digit)) for digit in correct),
                "" if finish == "-" else finish,
            )
            for column in (task.tokens, task.correct, task.finish):
                if column and len(column) != len(task.values):
                    raise ValueError(f"{len(column)} entries for {len(task.values)} items")
            out[domain] = task
    except ValueError as error:
        raise damaged(file, f"items.tsv cannot be read: {error}") from None
    return out


# -- population ----------------------------------------------------------------------------


@dataclass(frozen=True)
class PopulationRow:
    """One candidate's line in ``population.tsv``.

    Attributes:
        slot: Its slot.
        state: ``scored``, ``dropped`` by a race, or the reason of its failure.
        fitness: Its objectives; empty for a failed one.
        stderr: Standard error of the first objective.
        rank: 1 is best; None for a failed one.
        origin: How it was made.
        parents: What it was made from.
        domains: Domain to value.
        violation: How far it is from keeping to the constraints; None for a failed one.
        constrained: Whether the search has constraints: only then there is a column for that.
        race: How far it was asked; there are columns for that where some were in a race.
    """

    slot: int
    state: str
    fitness: tuple[float, ...]
    stderr: float | None
    rank: int | None
    origin: str
    parents: tuple[CandidateId, ...]
    domains: Mapping[str, float]
    violation: float | None = None
    constrained: bool = False
    race: RaceRecord | None = None


def population_text(rows: Sequence[PopulationRow]) -> str:
    """``population.tsv``, in the order of the slots."""
    n_objectives = max((len(row.fitness) for row in rows), default=0) or 1
    names = list(dict.fromkeys(domain for row in rows for domain in row.domains))
    fitness = ["fitness", *(f"fitness_{i}" for i in range(2, n_objectives + 1))]
    violation = ["violation"] if any(row.constrained for row in rows) else []
    race = ["items", "estimate"] if any(row.race for row in rows) else []
    columns = ["slot", "state", *fitness, "stderr", *violation, *race, "rank", "origin", "parents"]
    lines = [[*columns, *names]]
    for row in sorted(rows, key=lambda row: row.slot):
        values = [*row.fitness, *[None] * (n_objectives - len(row.fitness))]
        lines.append(
            [
                CandidateId(0, row.slot).slot_name,
                row.state,
                *(_cell(value) for value in values),
                _cell(row.stderr),
                *(_cell(row.violation) for _ in violation),
                *(_race_cells(row.race) if race else ()),
                "-" if row.rank is None else str(row.rank),
                row.origin,
                ",".join(str(parent) for parent in row.parents) or "-",
                *(_cell(row.domains.get(name)) for name in names),
            ]
        )
    return "".join("\t".join(line) + "\n" for line in lines)


def _race_cells(race: RaceRecord | None) -> tuple[str, str]:
    """Items asked of those there are, and the estimate of the first look."""
    if race is None:
        return "-", "-"
    return f"{race.seen}/{race.of}", _cell(race.estimates[0] if race.estimates else None)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.{DECIMALS}f}"


# -- front ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class FrontRow:
    """A line of ``front.tsv``.

    Attributes:
        id: A candidate that no other one beats in all objectives.
        knee: Whether it is the front's knee.
        objectives: Objective to value, larger is better.
    """

    id: CandidateId
    knee: bool
    objectives: Mapping[str, float]


def front_text(rows: Sequence[FrontRow]) -> str:
    """``front.tsv``, in the order given; there is at least one row."""
    lines = [["candidate", "knee", *rows[0].objectives]]
    for row in rows:
        values = [_cell(value) for value in row.objectives.values()]
        lines.append([str(row.id), "knee" if row.knee else "-", *values])
    return "".join("\t".join(line) + "\n" for line in lines)


def front_from(text: str, file: str) -> list[FrontRow]:
    """Reads ``front.tsv``.

    Raises:
        RunDamaged: It is not as evomerge wrote it.
    """
    header, *lines = text.removesuffix("\n").split("\n")
    names = header.split("\t")[2:]
    rows = []
    try:
        for line in lines:
            id, knee, *values = line.split("\t")
            objectives = dict(zip(names, map(float, values), strict=True))
            rows.append(FrontRow(CandidateId.parse(id), knee == "knee", objectives))
    except (ValueError, UsageError) as error:
        raise damaged(file, f"cannot be read: {error}") from None
    if not rows or front_text(rows) != text:
        raise damaged(file, "is cut or was altered")
    return rows


# -- seal ----------------------------------------------------------------------------------


def seal_text(hashes: Mapping[str, str]) -> str:
    """``SEALED``, which ``sha256sum -c SEALED`` reads too."""
    return "".join(f"{hashes[name].split(':')[1]}  {name}\n" for name in sorted(hashes))


def seal_from(text: str, file: str) -> dict[str, str]:
    """File name to hash.

    Raises:
        RunDamaged: It is not as evomerge wrote it.
    """
    out: dict[str, str] = {}
    lines = text.split("\n")
    if lines.pop() != "" or not lines:
        raise damaged(file, "the seal is cut: it does not end in a line break")
    for number, line in enumerate(lines, start=1):
        match = _SEAL_LINE.match(line)
        if match is None or match[2] in out:
            raise damaged(file, f"line {number} of the seal is not a hash and a file name")
        out[match[2]] = f"sha256:{match[1]}"
    return out
