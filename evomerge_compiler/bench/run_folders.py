"""A run of 10,000 candidates, made by a simulated search: how long it takes to look at it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from evomerge_compiler.bench.commands import evomerge, seconds
from evomerge_compiler.bench.figures import Figure, at_most, figure
from evomerge_compiler.bench.setting import Setting, in_turns
from evomerge_compiler.launch import Options
from evomerge_compiler.simulation import simulate

RECIPE = "quickstart"


def run(setting: Setting) -> Iterator[Figure]:
    """Fills a run folder, then times commands on it."""
    population, generations = setting.size((100, 100), (8, 2))
    folder = setting.folder("run_folders") / "run"
    overrides = (
        f"search.population={population}",
        f"search.generations={generations}",
        "search.plateau.patience=0",
    )
    started = time.monotonic()
    simulate(RECIPE, Options(run_dir=folder, overrides=overrides))
    made_s = time.monotonic() - started
    note = f"{population * generations:,} candidates"
    yield figure("simulated search that makes the run", [made_s], "s", note=note)
    # What a resumed run does before it goes on: every generation is asked and told again.
    sides = {
        "evomerge status RUN": ("status", at_most(1.0)),
        "evomerge show RUN": ("show", None),
        "resume: replay, and the final table again": ("simulate", at_most(5.0)),
        "evomerge check RUN": ("check", None),
    }
    calls = {name: partial(_time, command, folder) for name, (command, _) in sides.items()}
    found = in_turns(calls, setting.size(4, 1))
    for name, (_, bound) in sides.items():
        yield figure(name, found[name], "s", bound=bound, note=note)


def _time(command: str, folder: Path, _round: int) -> float:
    return seconds(evomerge(command, str(folder)), folder.parent)
