"""The run folder: the only writer of a run's tracked files, and what reads them back.

The folders are the truth. A candidate has no stored state: its state is which committed files it
has, and an outcome counts only for the genome and the compiled merge that it names. Order inside
a candidate: ``recipe.yaml`` and ``lineage.yaml``, ``mergekit.yaml``, ``items.tsv``, and
``scores.yaml`` or ``failure.yaml`` as its commit point. Order inside a generation: all candidates,
``population.tsv``, and ``SEALED`` as the commit point. A kill at any moment costs the work that
was not committed; what remains is a state from which the same command goes on.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evomerge_compiler import recipe as recipes
from evomerge_compiler.candidate import (
    CandidateId,
    Failure,
    Fitness,
    Lineage,
    Outcome,
    Proposal,
    Scores,
)
from evomerge_compiler.errors import ErrorList, Place, RunDamaged, UsageError
from evomerge_compiler.genome import Genome
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.run_folder import files as files
from evomerge_compiler.run_folder import lock as run_lock
from evomerge_compiler.run_folder import tables as tables
from evomerge_compiler.run_folder.candidates import (
    CANDIDATE_FILES,
    CandidateFiles,
    StoredCandidate,
    folder_of,
)
from evomerge_compiler.run_folder.kept import KeptGenerations
from evomerge_compiler.run_folder.results import RunResults, plain_rounded
from evomerge_compiler.run_folder.setup import (
    LOCK_FILE,
    RunLock,
    RunSetup,
    read_lock,
    recipe_changes,
    refuse_recipe,
    start,
)
from evomerge_compiler.run_folder.store import RunStore
from evomerge_compiler.run_folder.tables import PopulationRow, damaged, sha256

__all__ = ["PopulationRow", "RunFolder", "RunLock", "RunSetup", "StoredCandidate"]

GENERATIONS = "generations"
GENERATION_NAME = re.compile(r"[0-9]{3,6}\Z")
SLOT_NAME = re.compile(r"c[0-9]{2,5}\Z")


class RunFolder(RunResults):
    """One run's folder. Open it with :meth:`open`; write only inside :meth:`hold`.

    Attributes:
        root: The folder, as the user gave it.
        lock: What the run was started with.
    """

    def __init__(self, root: Path, lock: RunLock, recipe: Recipe | None = None) -> None:
        super().__init__(RunStore(root))
        self.lock = lock
        self._given_recipe = recipe
        self._files = CandidateFiles(self._store, lambda: self.recipe.space)
        self._kept = KeptGenerations(root, lambda: self.recipe.space)

    # -- opening ----------------------------------------------------------------------------

    @classmethod
    def open(cls, path: str | Path, *, create_from: RunSetup | None = None) -> RunFolder:
        """Opens a run folder; with ``create_from``, makes it or checks that it is the same run.

        Args:
            path: The folder.
            create_from: What the command that starts or resumes the run knows. Changes that a
                resumed run may make are written to the folder.

        Raises:
            UsageError: There is no run there, or it is another run.
            RunLocked: It has to be written, and another process holds it.
            RunDamaged: Its lock file cannot be read.
        """
        root = Path(path)
        if create_from is None:
            return cls(root, read_lock(root))
        return cls(root, start(root, create_from), create_from.recipe)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.root.resolve().name

    @functools.cached_property
    def recipe(self) -> Recipe:
        """The experiment, with the overrides it was started with.

        Raises:
            UsageError: ``recipe.yaml`` was changed in a way that makes it another experiment.
        """
        if self._given_recipe is not None:
            return self._given_recipe.in_run(self.root)
        # Loading finds the lock beside the file, and with it the folder and the overrides.
        loaded = recipes.load(self._store.path("recipe.yaml"))
        data = loaded.document.data
        assert isinstance(data, dict)
        refuse_recipe(recipe_changes(self.lock.recipe, data)[1], self.root)
        return loaded

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Holds the folder for writing and clears away what a killed process left.

        Raises:
            RunLocked: Another process holds it; the message names it.
        """
        with run_lock.hold(self.root / LOCK_FILE):
            self._store.sweep(*self._written_folders())
            yield

    def unfinished(self) -> list[Path]:
        """What killed processes left; it is removed when the folder is held the next time."""
        return list(self._store.leftovers(*self._written_folders()))

    def _written_folders(self) -> list[str]:
        """Folders in which a process may have been killed while it wrote."""
        number = self.open_generation()
        work = []
        if number is not None:
            work = [_generation(number), *map(folder_of, self.ids(number))]
        return [".", GENERATIONS, *self.baseline_folders(), *work]

    # -- generations ------------------------------------------------------------------------

    def generations(self) -> list[int]:
        """Numbers of all generations, sealed or open, ascending.

        Raises:
            RunDamaged: One is missing, or one without a seal is not the last.
        """
        folder = self._store.path(GENERATIONS)
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        numbers = sorted(int(name) for name in names if GENERATION_NAME.match(name))
        for expected, number in enumerate(numbers):
            if number != expected or f"{number:03d}" not in names:
                raise damaged(str(folder), f"generation {expected:03d} is missing")
        for number in numbers[:-1]:
            if not self._is_sealed(number):
                message = f"generation {number:03d} has no seal, and later ones build on it"
                raise damaged(str(folder / f"{number:03d}"), message)
        return numbers

    def sealed_generations(self) -> list[int]:
        """Numbers of the finished generations, ascending."""
        numbers = self.generations()
        return numbers if not numbers or self._is_sealed(numbers[-1]) else numbers[:-1]

    def open_generation(self) -> int | None:
        """The number of the generation in work, if there is one."""
        numbers = self.generations()
        return None if not numbers or self._is_sealed(numbers[-1]) else numbers[-1]

    def _is_sealed(self, number: int) -> bool:
        return self._store.exists(f"{_generation(number)}/SEALED")

    def ids(self, number: int) -> list[CandidateId]:
        """A generation's candidates, in the order of slots.

        Raises:
            UsageError: There is no such generation.
        """
        if number not in self.generations():
            raise UsageError(f"{self.root} has no generation {number:03d}")
        folder = self._store.path(_generation(number))
        names = [path.name for path in folder.iterdir() if SLOT_NAME.match(path.name)]
        found = sorted(CandidateId(number, int(name[1:])) for name in names)
        for id in found:
            if id.slot_name not in names:
                raise damaged(str(folder), f"has a folder like {id.slot_name} by another name")
        return found

    def begin_generation(
        self, number: int, proposals: Sequence[Proposal], search_state: Mapping[str, object]
    ) -> None:
        """Writes a new generation in one step: all candidates or none.

        Args:
            number: The next generation's number.
            proposals: One a slot, in the order of slots.
            search_state: What the generation was sampled from, plain data, for people.

        Raises:
            MissingPrerequisite: The disk is full; nothing was written.
        """
        if self.sealed_generations() != list(range(number)) or self._exists(number):
            raise ValueError(f"generation {number} does not follow {self.generations()}")
        if not proposals:
            raise ValueError("a generation needs at least one candidate")
        texts = {"search.yaml": files.checked_text(plain_rounded(search_state))}
        for slot, proposal in enumerate(proposals):
            texts |= self._files.texts(CandidateId(number, slot), proposal)
        self._store.commit_folder(_generation(number), texts)

    def _exists(self, number: int) -> bool:
        return self._store.exists(_generation(number))

    def search_state(self, number: int) -> dict[str, Any]:
        """What a generation was sampled from.

        Raises:
            RunDamaged: ``search.yaml`` is cut or altered.
        """
        return self._checked(f"{_generation(number)}/search.yaml")

    # -- candidates -------------------------------------------------------------------------

    def candidates(self, generation: int, *, strict: bool = True) -> list[StoredCandidate]:
        """The candidates of one generation as their files are now, in the order of slots.

        In the open generation people may have edited the genomes: outcomes that do not belong to
        what the files say now are left out, and so is anything damaged; both are to be made
        again. In a sealed one everything is checked against the seal.

        Args:
            generation: Its number.
            strict: Whether a mistaken edit raises; else its candidate has ``problem`` set.

        Raises:
            UsageError: There is no such generation.
            RunDamaged: A sealed file was changed, or a lineage is damaged.
            ErrorList: Edits are mistaken; each error has its line and column.
        """
        ids = self.ids(generation)
        sealed = self._is_sealed(generation)
        if sealed:
            self.verify(generation)
        found = [self._files.read(id, sealed=sealed) for id in ids]
        problems = [c.problem for c in found if c.problem is not None]
        if problems and (strict or sealed):
            raise ErrorList(problems)
        return found

    def candidate(self, id: CandidateId) -> StoredCandidate:
        """One candidate, as :meth:`candidates` gives it.

        Raises:
            UsageError: There is none of that name.
        """
        if id not in self.ids(id.generation):
            raise UsageError(f"{self.root} has no candidate {id}")
        sealed = self._is_sealed(id.generation)
        if sealed:
            self.verify(id.generation)
        return self._files.read(id, sealed=sealed)

    def propose(self, id: CandidateId, genome: Genome, operator: str) -> None:
        """Puts a person's genome into a slot of the open generation that has no outcome yet.

        The lineage keeps what the strategy asked for there, so that the past can be replayed.

        Args:
            id: The slot.
            genome: What takes its place.
            operator: Who puts it there.
        """
        self._must_be_open(id)
        stored = self._files.read(id, sealed=False)
        if stored.done:
            raise ValueError(f"{id} has an outcome")
        lineage = Lineage("proposed", operator, (), stored.lineage.asked)
        self._files.replace_genome(id, genome, lineage)

    def commit_compiled(self, id: CandidateId, text: str) -> None:
        """Writes a candidate's ``mergekit.yaml``; an outcome of another merge or genome goes.

        Args:
            id: A candidate of the open generation, read by this process before.
            text: What the genome that was read compiles to.
        """
        self._must_be_open(id)
        self._files.commit_compiled(id, text)

    def commit_outcome(
        self, id: CandidateId, result: Scores | Failure, fitness: Fitness | None = None
    ) -> None:
        """Writes what became of a candidate, for the genome and merge last read or written.

        Numbers are rounded, so strategies are to be told :meth:`outcomes`, not what came here.

        Args:
            id: A candidate of the open generation.
            result: Its scores or its failure.
            fitness: Given with scores, and only then.

        Raises:
            WorkFailed: A score is not finite; nothing was written.
        """
        self._must_be_open(id)
        if isinstance(result, Failure):
            if fitness is not None:
                raise ValueError("a failure has no fitness")
            self._files.commit_failure(id, result)
            return
        if fitness is None:
            raise ValueError("scores need a fitness")
        self._files.commit_scores(id, result, fitness)

    def clear_outcome(self, id: CandidateId) -> None:
        """Takes away the outcome of a candidate of the open generation: it is made again.

        Raises:
            UsageError: The generation is sealed.
        """
        if id.generation != self.open_generation():
            branch = f"evomerge fork {self.root}@{id.generation:03d} DEST"
            raise UsageError(f"{id} is sealed", hint=f"branch off before it: {branch}")
        self._files.clear_outcome(id)

    def _must_be_open(self, id: CandidateId) -> None:
        if id.generation != self.open_generation():
            raise ValueError(f"{id} is not in the open generation")

    # -- sealing ----------------------------------------------------------------------------

    def seal(self, number: int, rows: Sequence[PopulationRow]) -> None:
        """Finishes the open generation: nothing in it changes any more.

        Args:
            number: The open generation.
            rows: One a candidate, for ``population.tsv``.

        Raises:
            UsageError: A candidate has no outcome, for example because it was just edited.
        """
        if number != self.open_generation():
            raise ValueError(f"generation {number} is not the open one")
        here = _generation(number)
        candidates = self.candidates(number)
        for stored in candidates:
            if not stored.done:
                message = f"{stored.id} has no outcome for the genome it has now"
                hint = "it was edited while it was in work: give the same command again"
                raise UsageError(message, hint=hint)
            if stored.edited:
                self._files.commit_lineage(stored)
        self.search_state(number)
        self._store.commit(f"{here}/population.tsv", tables.population_text(rows))
        self._store.commit(f"{here}/SEALED", tables.seal_text(self._hashes(number)))

    def _hashes(self, number: int) -> dict[str, str]:
        """Hashes of the generation's tracked files that are there, by path in its folder."""
        here = _generation(number)
        names = ["population.tsv", "search.yaml"]
        slots = [id.slot_name for id in self.ids(number)]
        names += [f"{slot}/{name}" for slot in slots for name in CANDIDATE_FILES]
        found = ((name, self._store.read(f"{here}/{name}")) for name in names)
        return {name: sha256(raw) for name, raw in found if raw is not None}

    def verify(self, number: int) -> None:
        """Checks a sealed generation against its seal.

        Raises:
            RunDamaged: A file is missing, changed, or came after the seal; it is named.
        """
        differences = self.seal_differences(number)
        if differences:
            name, what = differences[0]
            branch = f"evomerge fork {self.root}@{number:03d} DEST"
            raise RunDamaged(
                f"{name} {what} after generation {number:03d} was sealed",
                hint=f"take it back, or branch off with what it says now: {branch}",
                place=Place(str(self.root / _generation(number) / name)),
            )

    def seal_differences(self, number: int) -> list[tuple[str, str]]:
        """File and ``was changed``, ``was removed`` or ``was added``, for each that differs.

        Raises:
            RunDamaged: The seal itself cannot be read.
        """
        wanted = self._seal(number)
        there = self._hashes(number)
        out = []
        for name in sorted({*wanted, *there}):
            if name not in there:
                out.append((name, "was removed"))
            elif name not in wanted:
                out.append((name, "was added"))
            elif wanted[name] != there[name]:
                out.append((name, "was changed"))
        return out

    def seal_names(self, number: int) -> list[str]:
        """The files that a seal covers, by their path in the generation's folder.

        Raises:
            RunDamaged: The seal cannot be read.
        """
        return list(self._seal(number))

    def _seal(self, number: int) -> dict[str, str]:
        path = f"{_generation(number)}/SEALED"
        return tables.seal_from(self._text(path), str(self.root / path))

    def outcomes(self, generation: int) -> list[Outcome]:
        """What became of a sealed generation's candidates, in the order of slots.

        Raises:
            RunDamaged: A file was changed after sealing.
        """
        return [stored.outcome for stored in self.past(generation)]

    def past(self, generation: int) -> list[StoredCandidate]:
        """The candidates of a sealed generation, in the order of slots, without their merges.

        Raises:
            RunDamaged: A file was changed after sealing.
        """
        if not self._is_sealed(generation):
            raise ValueError(f"generation {generation} is not sealed")
        return self._kept.read(
            self._store.path(_generation(generation)),
            lambda: self.verify(generation),
            lambda: self.candidates(generation),
        )

    def shown(self, generation: int) -> list[StoredCandidate]:
        """The candidates to look at: :meth:`past`, or the open ones with their mistakes.

        Raises:
            UsageError: There is no such generation.
            RunDamaged: A file was changed after sealing.
        """
        sealed = generation in self.generations() and self._is_sealed(generation)
        return self.past(generation) if sealed else self.candidates(generation, strict=False)


def _generation(number: int) -> str:
    return f"{GENERATIONS}/{number:03d}"
