"""Measures this machine: start-up, compile, and candidates a minute by the command line tools.

Every figure is the median of several runs of a whole process, or of one executor over several
candidates; ratios are made in one run, side by side. Nothing here is asserted by a test.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evomerge_compiler import launch
from evomerge_compiler import recipe as recipes
from evomerge_compiler.compiler import compile_recipe
from evomerge_compiler.executors.base import Job
from evomerge_compiler.processes import run_command
from evomerge_compiler.strategies.factory import build

BENCH_RECIPE = "quickstart"


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        name: What was measured.
        value: The median.
        low: The smallest.
        high: The largest.
        unit: ``s`` or ``candidates/min``.
        n: Runs.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    n: int


def run(repeats: int, candidates: int, jobs: int) -> Iterator[Figure]:
    """Measures one figure after the other.

    Args:
        repeats: Runs of each command.
        candidates: Candidates of the quickstart recipe to merge and score.
        jobs: Workers.
    """
    yield command_time("evomerge --help", ["--help"], repeats)
    recipe = str(recipes.find(BENCH_RECIPE))
    yield command_time("evomerge compile quickstart", ["compile", recipe], repeats)
    yield candidate_rate(candidates, jobs)


def command_time(name: str, arguments: Sequence[str], repeats: int) -> Figure:
    """Wall time of the whole command, one warm-up apart."""
    argv = [sys.executable, "-m", "evomerge_compiler", *arguments]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats + 1):
            done = run_command(argv, cwd=Path(folder), env=dict(os.environ), timeout_s=120)
            if done.returncode != 0:
                raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr_tail}")
            seconds.append(done.seconds)
    seconds = seconds[1:]
    return Figure(name, statistics.median(seconds), min(seconds), max(seconds), "s", repeats)


def candidate_rate(candidates: int, jobs: int) -> Figure:
    """Candidates a minute by ``mergekit-yaml`` for each stage and a resident evaluation."""
    recipe = recipes.load(BENCH_RECIPE)
    options = launch.Options(jobs=jobs)
    evaluation = launch.evaluation_of(recipe, options)
    genomes = [p.genome for p in build(recipe).ask(0)][:candidates]
    work = [Job(f"c{i}", plan=compile_recipe(recipe, genome=g)) for i, g in enumerate(genomes)]
    seconds = []
    with (
        tempfile.TemporaryDirectory() as folder,
        launch.executor_for(recipe, evaluation, Path(folder), options) as executor,
    ):
        started = time.monotonic()
        for _, result in executor.run(work):
            if result.failure is not None:
                raise RuntimeError(f"a candidate failed: {result.failure.message}")
            seconds.append(result.merge_s + result.evaluate_s)
        rate = 60 * len(work) / (time.monotonic() - started)
    name = f"quickstart with mergekit-yaml, -j {jobs}"
    slow, fast = 60 * jobs / max(seconds), 60 * jobs / min(seconds)
    return Figure(name, rate, slow, fast, "candidates/min", len(work))
