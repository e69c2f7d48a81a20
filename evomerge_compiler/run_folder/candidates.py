"""One candidate's files: reading them as a person may have left them, and committing outcomes.

An outcome counts only for the genome and the compiled merge that it names: after an edit, or for
a file that is cut or altered, it is as if it were not there, and the work is done again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from evomerge_compiler.candidate import (
    CandidateId,
    Failure,
    Fitness,
    Lineage,
    Outcome,
    Proposal,
    Scores,
    genome_hash,
)
from evomerge_compiler.crossing import Crossing
from evomerge_compiler.errors import EvomergeError, Place, RecipeError, RunDamaged
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.run_folder import files as files
from evomerge_compiler.run_folder.candidate_recipe import candidate_genome, candidate_text
from evomerge_compiler.run_folder.files import Belongs
from evomerge_compiler.run_folder.store import RunStore
from evomerge_compiler.run_folder.tables import damaged, decoded, sha256
from evomerge_compiler.yamlio import MAX_FILE_BYTES

CANDIDATE_FILES = (
    "recipe.yaml",
    "lineage.yaml",
    "mergekit.yaml",
    "scores.yaml",
    "items.tsv",
    "failure.yaml",
)
# In the order in which they may go: what names the outcome first.
OUTCOME_FILES = ("scores.yaml", "failure.yaml", "items.tsv")


@dataclass(frozen=True)
class StoredCandidate:
    """A candidate as its folder has it.

    Attributes:
        id: Its place.
        genome: What its ``recipe.yaml`` says now; None when that is mistaken (``problem``).
        lineage: Where it came from; the origin is ``edited`` when the genome is not the one asked
            for.
        text: Its ``mergekit.yaml``, if that is there.
        fitness: Set when it is scored.
        scores: Set when it is scored.
        failure: Set when it failed.
        problem: Why its ``recipe.yaml`` cannot be used.
    """

    id: CandidateId
    genome: Genome | None
    lineage: Lineage
    text: str | None = None
    fitness: Fitness | None = None
    scores: Scores | None = None
    failure: Failure | None = None
    problem: EvomergeError | None = None

    @property
    def edited(self) -> bool:
        """Whether a person put the genome in the place of the one that the strategy asked for."""
        return self.lineage.origin in ("edited", "proposed")

    @property
    def done(self) -> bool:
        """Whether it has an outcome that counts."""
        return self.scores is not None or self.failure is not None

    @property
    def outcome(self) -> Outcome:
        """Its outcome.

        Raises:
            ValueError: It has none yet.
        """
        if not self.done or self.genome is None:
            raise ValueError(f"{self.id} has no outcome yet")
        return Outcome(self.id, self.genome, self.fitness, self.failure, self.scores)


class CandidateFiles:
    """Reads and commits candidates below ``generations/``.

    Args:
        store: The run folder's files.
        space: Gives the genome space of the run's recipe.
    """

    def __init__(self, store: RunStore, space: Callable[[], GenomeSpace]) -> None:
        self._store = store
        self._space = space
        # What each candidate's genome and merge were when this process last read or wrote them:
        # an outcome belongs to those, whatever a person has made of the files since.
        self._seen: dict[CandidateId, Belongs] = {}

    # -- reading ----------------------------------------------------------------------------

    def read(self, id: CandidateId, *, sealed: bool) -> StoredCandidate:
        """The candidate as its files are now.

        Args:
            id: Which one.
            sealed: Whether a damaged outcome raises; else it is left out.

        Raises:
            RunDamaged: The lineage is damaged, or a sealed outcome is.
        """
        here = folder_of(id)
        lineage = files.lineage_from(*self._text(f"{here}/lineage.yaml"))
        merge = self._store.read(f"{here}/mergekit.yaml")
        try:
            genome = candidate_genome(
                *self._edited_text(here), self._space(), crossover=lineage.crossover
            )
        except EvomergeError as error:
            self._seen.pop(id, None)
            return StoredCandidate(id, None, lineage, problem=error)
        hashed = genome_hash(genome)
        if hashed != lineage.asked and lineage.origin != "proposed":
            lineage = replace(lineage, origin="edited")
        current = Belongs(hashed, None if merge is None else sha256(merge))
        self._seen[id] = current
        stored = StoredCandidate(id, genome, lineage)
        try:
            if merge is not None:
                text = decoded(merge, self._shown(f"{here}/mergekit.yaml"))
                stored = replace(stored, text=text)
            return self._with_outcome(stored, current)
        except RunDamaged:
            if sealed:
                raise
            # In the open generation what is damaged is made again.
            return stored

    def _with_outcome(self, stored: StoredCandidate, current: Belongs) -> StoredCandidate:
        here = folder_of(stored.id)
        if self._store.exists(f"{here}/scores.yaml"):
            text, shown = self._text(f"{here}/scores.yaml")
            items = self._text(f"{here}/items.tsv")[0]
            scores, fitness, belongs = files.scores_from(text, items, shown)
            if belongs == current and fitness is not None:
                return replace(stored, scores=scores, fitness=fitness)
        if self._store.exists(f"{here}/failure.yaml"):
            failure, belongs = files.failure_from(*self._text(f"{here}/failure.yaml"))
            if belongs == current:
                return replace(stored, failure=failure)
        return stored

    def _shown(self, relative: str) -> str:
        return str(self._store.root / relative)

    def _text(self, relative: str) -> tuple[str, str]:
        """A file that evomerge wrote, and its name for messages."""
        shown = self._shown(relative)
        raw = self._store.read(relative)
        if raw is None:
            raise damaged(shown, "is missing")
        return decoded(raw, shown), shown

    def _edited_text(self, here: str) -> tuple[str, str]:
        """``recipe.yaml``, which a person may have edited or be editing."""
        shown = self._shown(f"{here}/recipe.yaml")
        raw = self._store.read(f"{here}/recipe.yaml")
        if raw is None:
            raise RecipeError("the candidate's recipe.yaml is missing", place=Place(shown))
        if len(raw) > MAX_FILE_BYTES:
            message = f"is {len(raw)} bytes, expected at most {MAX_FILE_BYTES}"
            raise RecipeError(message, place=Place(shown))
        try:
            return raw.decode("utf-8"), shown
        except UnicodeDecodeError as error:
            line = raw[: error.start].count(b"\n") + 1
            column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
            raise RecipeError("is not UTF-8 text", place=Place(shown, line, column)) from None

    # -- writing ----------------------------------------------------------------------------

    def texts(self, id: CandidateId, proposal: Proposal) -> dict[str, str]:
        """The files a new candidate starts with, by their path in the generation."""
        asked = genome_hash(proposal.genome)
        self._seen[id] = Belongs(asked)
        return {
            f"{id.slot_name}/recipe.yaml": candidate_text(proposal.genome),
            f"{id.slot_name}/lineage.yaml": files.lineage_text(
                replace(proposal.lineage, asked=asked, crossover=_crossover(proposal.genome))
            ),
        }

    def replace_genome(self, id: CandidateId, genome: Genome, lineage: Lineage) -> None:
        """Puts another genome into a slot that has no outcome."""
        here = folder_of(id)
        # The genome first: without its lineage it is an edit, which loses nothing.
        self._store.commit(f"{here}/recipe.yaml", candidate_text(genome))
        self._store.commit(f"{here}/lineage.yaml", files.lineage_text(lineage))
        self.read(id, sealed=False)

    def commit_lineage(self, stored: StoredCandidate) -> None:
        """Writes down that a candidate was edited."""
        text = files.lineage_text(stored.lineage)
        self._store.commit(f"{folder_of(stored.id)}/lineage.yaml", text)

    def commit_compiled(self, id: CandidateId, text: str) -> None:
        """Writes ``mergekit.yaml``; an outcome of another merge or genome goes first."""
        belongs = replace(self._seen_of(id), mergekit=sha256(text))
        if not self._has_outcome_of(id, belongs):
            self.clear_outcome(id)
        self._store.commit(f"{folder_of(id)}/mergekit.yaml", text)
        self._seen[id] = belongs

    def _has_outcome_of(self, id: CandidateId, belongs: Belongs) -> bool:
        nobody = StoredCandidate(id, None, Lineage("sampled", ""))
        try:
            return self._with_outcome(nobody, belongs).done
        except RunDamaged:
            return False

    def commit_scores(self, id: CandidateId, scores: Scores, fitness: Fitness) -> None:
        """Writes ``items.tsv`` and ``scores.yaml``, rounded.

        Raises:
            WorkFailed: A number is not finite; nothing was written.
        """
        belongs = self._seen_of(id)
        if belongs.mergekit is None:
            raise ValueError(f"{id} has scores but no compiled merge")
        clean, rounded = files.rounded_scores(scores, fitness)
        text, items = files.scores_texts(clean, rounded, belongs)
        here = folder_of(id)
        self._store.remove(f"{here}/scores.yaml", f"{here}/failure.yaml")
        self._store.commit(f"{here}/items.tsv", items)
        self._store.commit(f"{here}/scores.yaml", text)

    def commit_failure(self, id: CandidateId, failure: Failure) -> None:
        """Writes ``failure.yaml``; what did not compile keeps no ``mergekit.yaml``."""
        belongs = self._seen_of(id)
        here = folder_of(id)
        if failure.step == "compile":
            belongs = replace(belongs, mergekit=None)
            self.clear_outcome(id)
            self._store.remove(f"{here}/mergekit.yaml")
        text = files.failure_text(failure, belongs)
        self._store.remove(f"{here}/scores.yaml", f"{here}/items.tsv")
        self._store.commit(f"{here}/failure.yaml", text)
        self._seen[id] = belongs

    def clear_outcome(self, id: CandidateId) -> None:
        """Removes the files of an outcome."""
        self._store.remove(*(f"{folder_of(id)}/{name}" for name in OUTCOME_FILES))

    def _seen_of(self, id: CandidateId) -> Belongs:
        if id not in self._seen:
            raise ValueError(f"{id} was not read before it was written")
        return self._seen[id]


def _crossover(genome: Genome) -> str:
    return genome.template if isinstance(genome, Crossing) else ""


def folder_of(id: CandidateId) -> str:
    """A candidate's folder, relative to the run."""
    return f"generations/{id}"
