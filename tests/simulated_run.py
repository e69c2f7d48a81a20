"""Evolves a recipe on a simulated landscape: ``python simulated_run.py RECIPE RUN GENS WORKERS``.

Everything but the merges and scores is real: loop, strategy, compiler, run folder, conclusion.
With a file descriptor as fifth argument, a byte is written to it at every point of durable work.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from evomerge_compiler import recipe as recipes
from evomerge_compiler.conclusion import conclude
from evomerge_compiler.events import Observer
from evomerge_compiler.evolution import Evolution
from evomerge_compiler.executors.simulated import Landscape, SimulatedExecutor
from evomerge_compiler.history import Ending
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.run_folder.setup import RunSetup

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = ROOT / "recipes" / "quickstart.yaml"


def evolve(
    run_dir: Path,
    gens: int,
    *,
    recipe: Path = QUICKSTART,
    workers: int = 0,
    landscape: Landscape | None = None,
    overrides: Sequence[str] = (),
    observers: Sequence[Observer] = (),
    final: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> Ending:
    """Runs or resumes an evolution in ``run_dir``."""
    loaded = recipes.load(recipe, overrides=tuple(overrides))
    setup = RunSetup(loaded, recipe.read_bytes(), {"simulated": True}, tuple(overrides))
    folder = RunFolder.open(run_dir, create_from=setup)
    with folder.hold(), SimulatedExecutor(landscape, n_workers=workers) as executor:
        ending = Evolution(loaded, folder, executor, observers, clock).run(gens)
        if final and gens > 0:
            conclude(loaded, folder, executor, ending)
    return ending


def digest(run_dir: Path) -> dict[str, bytes]:
    """Every tracked file of a run but the lock, which holds a relative path, by name."""
    skipped = {".evomerge", "models"}
    return {
        str(path.relative_to(run_dir)): path.read_bytes()
        for path in sorted(run_dir.rglob("*"))
        if path.is_file()
        and not skipped & set(path.relative_to(run_dir).parts)
        and path.name != "recipe.lock.yaml"
    }


def tell_points(descriptor: int) -> None:
    """Writes a byte at every point of durable work of this process."""
    from faults.kill_points import install

    os.set_inheritable(descriptor, False)
    install(None, lambda: os.write(descriptor, b"."))


if __name__ == "__main__":
    if len(sys.argv) > 5:
        tell_points(int(sys.argv[5]))
    evolve(
        Path(sys.argv[2]),
        int(sys.argv[3]),
        recipe=Path(sys.argv[1]),
        workers=int(sys.argv[4]),
        landscape=Landscape(delay_s=0.02),
        overrides=("search.plateau.patience=0",),
    )
