"""Candidates a minute with one and two workers of a local Ray cluster, and without Ray."""

from __future__ import annotations

import time
from collections.abc import Iterator

from evomerge_compiler import launch
from evomerge_compiler.bench.figures import Figure, figure, ratio
from evomerge_compiler.bench.setting import Setting
from evomerge_compiler.bench.work import Work, prepare, run_all
from evomerge_compiler.executors.base import Job

WORKERS = (1, 2)


def run(setting: Setting) -> Iterator[Figure]:
    """Measures each number of workers with both executors, one after the other."""
    n = setting.size(8, 2)
    work = prepare(setting, "ray", max(WORKERS) + n)
    rates: dict[tuple[str, int], float] = {}
    for workers in WORKERS:
        for executor in ("warm", "ray"):
            rates[executor, workers] = rate = _rate(work, executor, workers, setting)
            yield figure(f"executor {executor}, -j {workers}", [rate], "candidates/min")
    for workers in WORKERS:
        over, under = rates["ray", workers], rates["warm", workers]
        yield ratio((f"ray, -j {workers}", f"warm, -j {workers}"), [over], [under])
    yield ratio(("ray, -j 2", "ray, -j 1"), [rates["ray", 2]], [rates["ray", 1]])


def _rate(work: Work, executor: str, workers: int, setting: Setting) -> float:
    """Candidates a minute after each worker has done one."""
    options = launch.Options(
        executor=executor, jobs=workers, device=setting.device, merge=work.options
    )
    folder = work.folder / f"{executor}-{workers}"
    jobs = [Job(f"c{number}", plan=plan) for number, plan in enumerate(work.plans)]
    first, others = jobs[: max(WORKERS)], jobs[max(WORKERS) :]
    with launch.executor_for(work.recipe, work.evaluation, folder, options) as running:
        run_all(running, first)
        started = time.monotonic()
        run_all(running, others)
        return 60 * len(others) / (time.monotonic() - started)
