"""Weights & Biases tracking: one run an evolution, resumed under one id, never in the way.

The id is made from the run folder's own lock, so that a resumed evolution continues the same
run. Without a login the run is written offline (``wandb sync`` uploads it later). Whatever goes
wrong in wandb is logged as a warning: tracking is never a reason for an evolution to fail.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

from evomerge_compiler import yamlio
from evomerge_compiler.events import (
    Event,
    Finished,
    GenerationSealed,
    Observer,
    Started,
    generation_metrics,
)

log = logging.getLogger(__name__)
STATE_FILE = ".evomerge/wandb.json"


class WandbTracker(Observer):
    """Logs an evolution to one wandb run.

    Args:
        run_folder: The run; its ``.evomerge`` holds what was logged, its lock gives the id.
        project: wandb project.
        group: wandb group; the recipe's name by default.
    """

    def __init__(self, run_folder: Path, project: str = "evomerge", group: str | None = None):
        self.folder = run_folder
        self.project = project
        self.group = group
        self.run: Any = None
        self.logged = self._read_state()

    def notice(self, event: Event) -> None:
        """Starts, logs, or ends the wandb run."""
        if isinstance(event, Started):
            self._guard(lambda: self._start(event))
        elif isinstance(event, GenerationSealed) and self.run is not None:
            self._guard(lambda: self._log(event))
        elif isinstance(event, Finished) and self.run is not None:
            self._guard(lambda: self._finish(event))

    def close(self) -> None:
        """Ends the wandb run if the evolution was interrupted."""
        if self.run is not None:
            self._guard(self.run.finish)
            self.run = None

    @property
    def run_id(self) -> str:
        """The same for every process that works on this run folder."""
        lock = (self.folder / "recipe.lock.yaml").read_bytes()
        # The folder's own name keeps two runs of one recipe and seed apart.
        name = self.folder.resolve().name.encode()
        return hashlib.sha256(name + b"\0" + lock).hexdigest()[:16]

    # ---------------------------------------------------------------------------------------

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            log.warning("wandb: %s: %s; the evolution goes on", type(error).__name__, error)

    def _start(self, event: Started) -> None:
        import wandb

        self.run = wandb.init(
            project=self.project,
            id=self.run_id,
            name=self.folder.resolve().name,
            group=self.group or event.recipe.name,
            job_type="evolve",
            resume="allow",
            mode=_mode(),
            dir=str(self._state_path().parent),
            config=_config(event),
            settings=wandb.Settings(silent=True, console="off"),
        )
        self.run.define_metric("generation")
        self.run.define_metric("*", step_metric="generation")

    def _log(self, event: GenerationSealed) -> None:
        # A replayed generation was logged by the process that ran it, unless it died in between.
        if event.number <= self.logged:
            return
        # The step is named: a resumed offline run would count from 0 again.
        self.run.log(generation_metrics(event), step=event.number)
        self.logged = event.number
        state = json.dumps({"logged_generation": event.number}) + "\n"
        yamlio.write_atomic(self._state_path(), state)

    def _finish(self, event: Finished) -> None:
        import wandb

        if event.best is not None:
            artifact = wandb.Artifact(f"best-{self.run.id}", type="recipe")
            folder = self.folder / "generations" / str(event.best)
            for name in ("recipe.yaml", "lineage.yaml", "mergekit.yaml", "scores.yaml"):
                if (folder / name).is_file():
                    artifact.add_file(str(folder / name), name=name)
            self.run.log_artifact(artifact)
        self.run.finish()
        self.run = None

    def _state_path(self) -> Path:
        path = self.folder / STATE_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _read_state(self) -> int:
        try:
            return int(json.loads(self._state_path().read_text())["logged_generation"])
        except (OSError, ValueError, KeyError):
            # Losing the note costs one generation logged twice under the same step, no more.
            return -1


Mode = Literal["online", "offline", "disabled", "shared"]


def _mode() -> Mode:
    """``WANDB_MODE`` if set, else online with a login and offline without."""
    named = os.environ.get("WANDB_MODE")
    if named:
        return cast(Mode, named)
    import netrc

    import wandb

    try:
        logged_in = bool(os.environ.get("WANDB_API_KEY") or wandb.api.api_key)
    except (OSError, netrc.NetrcParseError, AttributeError):
        logged_in = False
    return "online" if logged_in else "offline"


def _config(event: Started) -> dict[str, Any]:
    recipe = event.recipe
    return {
        "name": recipe.name,
        "template": recipe.template.name,
        "seed": recipe.seed,
        "models": {alias: spec.path for alias, spec in recipe.all_models.items()},
        "genes": [gene.name for gene in recipe.space.genes],
        "search": recipe.search.model_dump() if recipe.search else {},
        "evaluation": recipe.evaluation.model_dump() if recipe.evaluation else {},
        "generations": event.generations,
    }
