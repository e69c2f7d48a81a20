"""What runs on a node of a Ray cluster: one worker slot, which is an actor.

The actor holds no model and imports no torch. It hands each job to an executor ``warm`` of one
worker process, on its own node: crashes, kills, time limits, lack of memory, retries and the way
through the disk are met by the same code as on one machine, and read the same in failure.yaml.
The worker's environment is :func:`~evomerge_compiler.processes.worker_environment`, whatever the
node's own is.

A path means the same on every node (a shared file system), except for what each node has of its
own: the zoo, the shipped evaluators, and the hub's cache, into which missing models are fetched.
Contents are compared by hash before anything is scored.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from evomerge_compiler import assets
from evomerge_compiler.compiler.model_headers import SourceModel, locate, source_model
from evomerge_compiler.errors import EvomergeError, MissingPrerequisite
from evomerge_compiler.evaluation.spec import EvaluationPlan, hash_tasks
from evomerge_compiler.evaluation.task_index import local_tasks
from evomerge_compiler.executors.base import Job, JobResult
from evomerge_compiler.executors.local import LocalSettings
from evomerge_compiler.executors.warm import WarmExecutor
from evomerge_compiler.merging.options import gpu_available
from evomerge_compiler.merging.sources import materialise

# Another version of these may score another way.
VERSIONS = ("evomerge-compiler", "mergekit", "lm_eval", "transformers", "torch")
_FOLDER = "evomerge-ray-"
_LOCK = ".lock"


@dataclass(frozen=True)
class NodeSetup:
    """What every slot of a run is told.

    Attributes:
        run: Names the run on its nodes: slots of one run share a folder for converted models.
        evaluation: How models are scored; its device is no longer ``auto``.
        settings: How the work is done; its work folder is that of the machine that asks.
        project: The project folder, whose zoo and evaluators come first where it exists.
        versions: Versions on the machine that asks.
    """

    run: str
    evaluation: EvaluationPlan
    settings: LocalSettings
    project: Path | None
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What came of a call: never an exception, which Ray would wrap in one of its own.

    Attributes:
        result: Of the job, or None.
        error: What stops every job, or None.
        notes: Warnings that were logged on the way.
    """

    result: JobResult | None = None
    error: EvomergeError | None = None
    notes: tuple[str, ...] = ()


class NodeSlot:
    """One worker slot on a node; the class of the actors.

    Args:
        setup: The run.
    """

    def __init__(self, setup: NodeSetup) -> None:
        self._setup = setup
        self._notes = _Notes(logging.WARNING)
        logging.getLogger("evomerge_compiler").addHandler(self._notes)
        self._folder: NodeFolder | None = None
        self._executor: NodeExecutor | None = None

    def prepare(self) -> Answer:
        """Checks the node and gets ready to work."""
        setup = self._setup
        try:
            if setup.project is not None and setup.project.is_dir():
                os.environ["EVOMERGE_PROJECT"] = str(setup.project)
            _check_versions(setup.versions)
            if setup.evaluation.device == "cuda" or setup.settings.merge.cuda:
                _check_gpu()
            evaluation = evaluation_here(setup.evaluation)
            self._folder = NodeFolder(setup.run)
            self._executor = NodeExecutor(evaluation, setup.settings, self._folder.path)
        except EvomergeError as error:
            return Answer(error=error)
        return Answer()

    def run(self, job: Job) -> Answer:
        """Merges and scores; a job's own failure is a result."""
        assert self._executor is not None
        try:
            ((_, result),) = self._executor.run([job])
        except EvomergeError as error:
            return Answer(error=error, notes=self._notes.take())
        except CancelledError:  # stopped: nobody waits for the answer
            return Answer()
        return Answer(result, notes=self._notes.take())

    def stop(self) -> None:
        """Ends the worker process, in the middle of a job too, and removes what it left."""
        if self._executor is not None:
            self._executor.close()
        if self._folder is not None:
            self._folder.release()


class NodeExecutor(WarmExecutor):
    """Executor ``warm`` with one worker and with models as they are found on this node.

    Args:
        evaluation: How models are scored.
        settings: As on the machine that asks.
        folder: For models that are converted; a slot's own work goes below it.
    """

    def __init__(self, evaluation: EvaluationPlan, settings: LocalSettings, folder: Path) -> None:
        work = folder / f"slot-{os.getpid()}"
        super().__init__(evaluation, replace(settings, work=work, n_workers=1))
        self._converted = folder

    def _folder(self, model: SourceModel) -> Path:
        if model.identity not in self._folders:
            try:
                self._folders[model.identity] = self._found(model)
            except (EvomergeError, ValueError) as error:
                said = error.message if isinstance(error, EvomergeError) else str(error)
                raise MissingPrerequisite(
                    f"{node_name()} cannot use model {model.alias!r} ({model.spec.path}): {said}",
                    hint="a folder must have the same path and contents on every node; a hub "
                    "model with revision: is fetched where it is missing",
                ) from error
        return self._folders[model.identity]

    def _found(self, model: SourceModel) -> Path:
        base = self.settings.recipe_folder
        if locate(model.spec, base) is None and os.path.isabs(model.reference):
            raise MissingPrerequisite("there is no such folder or file")
        code = self.settings.merge.trust_remote_code
        folder = materialise(model, base, self._converted, trust_remote_code=code)
        if source_model(model.alias, model.spec, base).identity != model.identity:
            raise MissingPrerequisite("its contents are not those on the machine that asks")
        return folder


class NodeFolder:
    """The temporary folder of a run on this node, shared by its slots.

    Whoever is killed removes nothing. So each slot holds a lock that the kernel releases with it,
    and folders that nobody holds are removed by whoever comes or goes next.

    Args:
        run: Names the run.
    """

    def __init__(self, run: str) -> None:
        self.path = Path(tempfile.gettempdir()) / f"{_FOLDER}{run}"
        _sweep()
        while True:
            self.path.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # swept before we held it
                self._lock: IO[bytes] = (self.path / _LOCK).open("ab")
                fcntl.flock(self._lock, fcntl.LOCK_SH)
                if os.path.samestat(os.fstat(self._lock.fileno()), (self.path / _LOCK).stat()):
                    return

    def release(self) -> None:
        """Gives the folder up; the last slot removes it."""
        self._lock.close()
        _sweep()


def _sweep() -> None:
    """Removes the folders of runs that are over."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        # Held by a slot, just removed by another one, or another user's.
        with contextlib.suppress(OSError), (folder / _LOCK).open("rb+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


class _Notes(logging.Handler):
    """Keeps what is logged until it is taken."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append(record.getMessage())

    def take(self) -> tuple[str, ...]:
        kept, self._kept = tuple(self._kept), []
        return kept


def node_name() -> str:
    """How messages call this node."""
    import ray

    return f"node {socket.gethostname()} ({ray.util.get_node_ip_address()})"


def installed_versions() -> dict[str, str]:
    """Versions of :data:`VERSIONS` here; what is not installed is missing."""
    found = {}
    for name in VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            # Builds for a CPU and for a GPU differ in the local part, and the device is checked.
            found[name] = importlib.metadata.version(name).partition("+")[0]
    return found


def _check_versions(wanted: Mapping[str, str]) -> None:
    here = installed_versions()
    other = [
        f"{name} {here.get(name, 'is missing')}, not {version}"
        for name, version in wanted.items()
        if here.get(name) != version
    ]
    if other:
        raise MissingPrerequisite(
            f"{node_name()} has other versions: {'; '.join(other)}",
            hint="install the same versions on every node: scores depend on them",
        )


def _check_gpu() -> None:
    if not gpu_available():
        raise MissingPrerequisite(
            f"torch finds no GPU on {node_name()}",
            hint="ask for num_gpus in the recipe's ray: section, or use --device cpu",
        )


def evaluation_here(evaluation: EvaluationPlan) -> EvaluationPlan:
    """The same evaluation with the task files of this node.

    Raises:
        MissingPrerequisite: The task files here are others.
    """
    own = [str(path) for path in assets.folders("evaluators")]
    paths = [name for name in evaluation.include_paths if Path(name).is_dir()]
    paths += [name for name in own if name not in paths]
    local = local_tasks([Path(name) for name in paths])
    if hash_tasks(evaluation.tasks, local, Path(evaluation.folder)) != evaluation.tasks_hash:
        folders = (*evaluation.include_paths, evaluation.folder)
        missing = [name for name in folders if not Path(name).is_dir()]
        lacks = f"; it lacks {', '.join(missing)}" if missing else ""
        raise MissingPrerequisite(
            f"the evaluation's task files on {node_name()} are not those of this run{lacks}",
            hint="task files must have the same path and contents on every node",
        )
    return replace(evaluation, include_paths=tuple(paths))
