"""What a run came to: its best candidate, its end, and the models it is compared with."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from evomerge_compiler.candidate import Outcome, Scores
from evomerge_compiler.errors import RunDamaged, UsageError
from evomerge_compiler.run_folder import files as files
from evomerge_compiler.run_folder.candidates import folder_of
from evomerge_compiler.run_folder.store import RunStore
from evomerge_compiler.run_folder.tables import (
    FrontRow,
    damaged,
    decoded,
    front_from,
    front_text,
    rounded,
)

_BASELINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z")


class RunResults:
    """Reads and writes ``best.yaml``, ``front.tsv``, ``final.yaml`` and ``baselines/`` of a run.

    Args:
        store: The run folder's files.
    """

    def __init__(self, store: RunStore) -> None:
        self.root = store.root
        self._store = store

    def write_best(self, outcome: Outcome) -> None:
        """Writes ``best.yaml``: the best candidate so far."""
        assert outcome.fitness is not None
        _, fitness = files.rounded_scores(Scores({}, ""), outcome.fitness)
        assert fitness is not None
        several = len(fitness.objectives) > 1
        data = {
            "id": str(outcome.id),
            "fitness": list(fitness.objectives) if several else fitness.value,
            "stderr": fitness.stderr,
            "path": f"{folder_of(outcome.id)}/recipe.yaml",
        }
        self._store.commit("best.yaml", files.checked_text(data))

    def best(self) -> dict[str, Any] | None:
        """``best.yaml``: ``id``, ``fitness``, ``stderr``, ``path``; None before there is one."""
        return self._checked("best.yaml") if self._store.exists("best.yaml") else None

    def write_front(self, names: Sequence[str], front: Sequence[Outcome], knee: Outcome) -> None:
        """Writes ``front.tsv``: what no candidate so far beats in all objectives.

        Args:
            names: The objectives.
            front: Feasible outcomes, best in the first objective first.
            knee: One of them.
        """
        rows = [
            FrontRow(o.id, o is knee, dict(zip(names, o.fitness.objectives, strict=True)))
            for o in front
            if o.fitness is not None
        ]
        self._store.commit("front.tsv", front_text(rows))

    def front(self) -> list[FrontRow]:
        """``front.tsv``; empty before there is one, and where there is one objective."""
        if not self._store.exists("front.tsv"):
            return []
        return front_from(self._text("front.tsv"), str(self.root / "front.tsv"))

    def write_final(self, data: Mapping[str, object]) -> None:
        """Writes ``final.yaml``: what the run ended with; floats are rounded."""
        self._store.commit("final.yaml", files.checked_text(plain_rounded(data)))

    def final(self) -> dict[str, Any] | None:
        """``final.yaml``; None before the run ended."""
        return self._checked("final.yaml") if self._store.exists("final.yaml") else None

    def commit_baseline(self, name: str, split: str, scores: Scores) -> None:
        """Writes the scores of a model that is no candidate, or is scored on other items.

        Args:
            name: ``base``, a parent's alias, ``uniform``, ``control``, a candidate: ``003-c05``.
            split: ``search``, ``full_search`` or ``held_out``.
            scores: They count for the evaluation that their ``eval_key`` names.

        Raises:
            WorkFailed: A score is not finite; nothing was written.
        """
        here = _baseline(name, split)
        clean, _ = files.rounded_scores(scores, None)
        text, items = files.scores_texts(clean, None, files.Belongs())
        self._store.remove(f"{here}/scores.yaml")
        self._store.commit(f"{here}/items.tsv", items)
        self._store.commit(f"{here}/scores.yaml", text)

    def baseline(self, name: str, split: str, eval_key: str | None = None) -> Scores | None:
        """Scores committed with :meth:`commit_baseline`; None where there are none that count.

        Args:
            name, split: As there.
            eval_key: The evaluation that is wanted; None takes any.
        """
        here = _baseline(name, split)
        raw, items = (self._store.read(f"{here}/{f}") for f in ("scores.yaml", "items.tsv"))
        if raw is None:
            return None
        shown = str(self.root / here / "scores.yaml")
        try:
            text = None if items is None else decoded(items, shown)
            scores, _, _ = files.scores_from(decoded(raw, shown), text, shown)
        except RunDamaged:
            return None  # nothing builds on it: it is made again
        return scores if eval_key in (None, scores.eval_key) else None

    def keep_baselines(self, wanted: Collection[tuple[str, str]]) -> None:
        """Removes the scores that nothing is compared with any more.

        Args:
            wanted: Name and split of each that stays.
        """
        for folder in self.baseline_folders():
            _, name, split = folder.split("/")
            if (name, split) not in wanted:
                # What makes them count goes first.
                self._store.remove(f"{folder}/scores.yaml", f"{folder}/items.tsv")
                self._store.remove_empty(folder)
                self._store.remove_empty(f"baselines/{name}")

    def baseline_folders(self) -> list[str]:
        """The folders of all baselines, as ``baselines/NAME/SPLIT``."""
        found = sorted(self._store.path("baselines").glob("*/*"))
        return [f"baselines/{path.parent.name}/{path.name}" for path in found if path.is_dir()]

    def read(self, relative: str) -> bytes | None:
        """One file's bytes; None where there is none.

        Raises:
            UsageError: The name could leave the run folder.
            RunDamaged: It cannot be read, or a part of it is a symbolic link.
        """
        return self._store.read(relative)

    def _text(self, relative: str) -> str:
        shown = str(self.root / relative)
        raw = self._store.read(relative)
        if raw is None:
            raise damaged(shown, "is missing")
        return decoded(raw, shown)

    def _checked(self, relative: str) -> dict[str, Any]:
        return files.checked_data(self._text(relative), str(self.root / relative))


def _baseline(name: str, split: str) -> str:
    for word in (name, split):
        if not _BASELINE.match(word):
            raise UsageError(f"not a usable name: {word!r}")
    return f"baselines/{name}/{split}"


def plain_rounded(data: Any) -> Any:
    """Plain data with every float as files hold it."""
    if isinstance(data, Mapping):
        return {key: plain_rounded(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [plain_rounded(value) for value in data]
    return rounded(data) if isinstance(data, float) else data
