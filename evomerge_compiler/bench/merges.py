"""Merges at the shape of Qwen2-1.5B, with random weights: time, private memory, bandwidth.

One side is mergekit's command with its start and its files. The other is what a warm worker does
for a candidate: plan, merge into the resident model, look for NaN, hash. Both have the same
number of threads, and their tensors are compared by hash.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evomerge_compiler.bench.commands import thread_counts
from evomerge_compiler.bench.figures import Bound, Figure, at_least, at_most, figure, ratio
from evomerge_compiler.bench.merge_sides import (
    Command,
    InMemory,
    Merged,
    check_equal,
    compile_merge,
)
from evomerge_compiler.bench.random_models import Shape, write_family
from evomerge_compiler.bench.setting import Setting
from evomerge_compiler.compiler import MergePlan
from evomerge_compiler.errors import MissingPrerequisite
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.process_pool import WorkerPool
from evomerge_compiler.processes import worker_environment

FAMILY = ("origin", "one", "two")
QUICK_SHAPE = Shape(layers=4, hidden=64, inner=96, heads=4, kv_heads=2, vocabulary=512)
PEAK_BOUND = at_most(1.5)
# Three models, and at most three more while mergekit-multi writes its stages.
_MODELS_ON_DISK = 6.5
_COPIED_BYTES = 1 << 29


@dataclass(frozen=True)
class Method:
    """A merge that is measured.

    Attributes:
        template: The template that makes it.
        bound: For how many times faster it is in memory, nothing being known of its sources.
        known_bound: The same for the candidates after the first.
        base: Whether it is told a base; the pipeline takes the first of its models.
        genome: Its genes.
        varied: Genes of another candidate of the same search.
        rounds: How often it is measured.
        threads: Whether it is measured with a thread for each core too: the sorts and random draws
            of the others run on one.
    """

    template: str
    bound: Bound | None
    base: bool
    genome: Mapping[str, object]
    varied: Mapping[str, object] = field(default_factory=dict)
    rounds: int = 1
    threads: bool = False
    known_bound: Bound | None = None


def _shares(one: float, two: float) -> dict[str, float]:
    return {"one": one, "two": two}


_DENSITY = {"density": _shares(0.6, 0.4)}
METHODS = {
    "linear of two": Method(
        "linear", at_least(2.5), False, {"weight": _shares(0.6, 0.4)},
        {"weight": _shares(0.3, 0.7)}, rounds=3, threads=True,
    ),
    "slerp of two": Method(
        "slerp", None, False, {"t": 0.4}, {"t": 0.7}, rounds=2, threads=True,
        known_bound=at_least(5),
    ),
    "dare_ties of two over a base": Method(
        "dare_ties", at_least(2), True, {"weight": _shares(0.6, 0.4), **_DENSITY},
        {"weight": _shares(0.3, 0.7)},
    ),
    "ties of two over a base": Method(
        "ties", at_least(2), True, {"weight": _shares(0.6, 0.4), **_DENSITY},
        {"weight": _shares(0.3, 0.7)},
    ),
    "three_stage (slerp, dare_ties, dfs)": Method(
        "three_stage", at_least(2), False,
        {"interpolation": "slerp", "ensemble": "dare_ties", "recombination": "dfs"},
        {"slerp_t": 0.7},
    ),
    "three_stage (linear, ties, frankenmerge)": Method(
        "three_stage", at_least(2), False,
        {"interpolation": "linear", "ensemble": "ties", "recombination": "frankenmerge"},
        {"linear_weight": 0.7},
    ),
}  # fmt: skip
QUICK_METHODS = ("ties of two over a base", "three_stage (slerp, dare_ties, dfs)")


def run(setting: Setting) -> Iterator[Figure]:
    """Makes the models, measures each method, and removes all."""
    folder = setting.folder("merges")
    shape = QUICK_SHAPE if setting.quick else _shape(setting, folder)
    cores = os.cpu_count() or 1
    bandwidth = {}
    for threads in setting.size(sorted({1, cores}), [1]):
        copied = _bandwidth(threads, setting.size(_COPIED_BYTES, 1 << 16))
        bandwidth[threads] = max(copied)
        note = _threads(threads)
        yield figure("memory bandwidth: read and written by a copy", copied, "GB/s", note=note)
    models = write_family(folder / "models", shape, FAMILY)
    for name in setting.size(tuple(METHODS), QUICK_METHODS):
        plans = _plans(METHODS[name], models, folder)
        for threads in bandwidth if METHODS[name].threads else (1,):
            yield from _method(name, plans, shape, threads, bandwidth[threads], setting)
    shutil.rmtree(folder / "models")


def _shape(setting: Setting, folder: Path) -> Shape:
    """The largest shape that the disk has room for, at most that of the real model.

    Raises:
        MissingPrerequisite: Not even the layers that were asked for fit.
    """
    free = shutil.disk_usage(folder).free
    asked = Shape() if setting.layers is None else Shape(layers=setting.layers)
    for layers in range(asked.layers, 0, -1):
        shape = Shape(layers=layers)
        if shape.n_bytes * _MODELS_ON_DISK <= free and (not setting.layers or shape == asked):
            return shape
    raise MissingPrerequisite(
        f"the models need {asked.n_bytes * _MODELS_ON_DISK / 1e9:.0f} GB on disk, "
        f"{free / 1e9:.0f} GB are free",
        hint="name a folder on another disk with --work, or fewer --layers",
    )


def _plans(
    method: Method, models: Mapping[str, Path], folder: Path
) -> tuple[MergePlan, MergePlan]:
    """A candidate, and another one of the same search."""
    tuned = {name: path for name, path in models.items() if name != FAMILY[0]}
    merged = models if method.template == "three_stage" else tuned
    base = models[FAMILY[0]] if method.base else None
    first, second = (
        compile_merge(folder, method.template, merged, genome, base)
        for genome in (method.genome, {**method.genome, **method.varied})
    )
    return first, second


def _method(
    name: str, plans: tuple[MergePlan, MergePlan], shape: Shape, threads: int, bandwidth: float,
    setting: Setting,
) -> Iterator[Figure]:  # fmt: skip
    method = METHODS[name]
    folder = setting.folder("merges")
    options = MergeOptions(cuda=setting.device == "cuda", offline=True)
    command = Command(folder / "command", options, threads)
    by_command: list[Merged] = []
    steady: list[Merged] = []
    known: list[Merged] = []
    with InMemory(folder / "work", options, threads, setting.device) as memory:
        first = memory.merge(plans[0])
        for _ in range(setting.size(method.rounds, 1)):
            by_command.append(command.merge(plans[0]))
            steady.append(memory.merge(plans[0], afresh=True))
            check_equal(by_command[-1], steady[-1], name)
            known.append(memory.merge(plans[1]))
    note = f"{shape.n_parameters / 1e9:.2f}e9 parameters, {_threads(threads)}"
    command_s, steady_s, known_s = (
        [each.seconds for each in side] for side in (by_command, steady, known)
    )
    yield figure(f"{name}: command", command_s, "s", note=note)
    yield figure(f"{name}: in memory", steady_s, "s", note=note)
    yield figure(f"{name}: in memory, first of the process", [first.seconds], "s", note=note)
    yield figure(f"{name}: in memory, sources known", known_s, "s", note=note)
    yield ratio(
        ("command", "in memory"), command_s, steady_s, bound=method.bound, note=note,
        name=f"{name}: command / in memory",
    )  # fmt: skip
    yield ratio(
        ("command", "in memory, sources known"), command_s, known_s, bound=method.known_bound,
        name=f"{name}: command / in memory, sources known", note=note,
    )  # fmt: skip
    for side, merged in (("command", by_command[-1]), ("in memory", known[-1])):
        bound = PEAK_BOUND if side == "in memory" else None
        yield ratio(
            ("peak private memory", "bytes of the model"), [merged.peak_bytes], [shape.n_bytes],
            name=f"{name}: peak private memory, {side}, in models", bound=bound, note=note,
        )  # fmt: skip
    if method.template == "linear":
        floor_s = 3 * shape.n_bytes / (bandwidth * 1e9)  # two models read, one written
        yield ratio(
            ("in memory", "time of the bytes"), steady_s, [floor_s] * len(steady_s), note=note,
            name=f"{name}: in memory / its bytes at the bandwidth",
        )  # fmt: skip


def _threads(n: int) -> str:
    return "1 thread" if n == 1 else f"{n} threads"


def _bandwidth(threads: int, n_bytes: int) -> list[float]:
    environment = worker_environment() | thread_counts(threads)
    with WorkerPool(1, environment=environment) as pool:
        return pool.submit(copy_memory, n_bytes).result()


def copy_memory(n_bytes: int) -> list[float]:
    """GB/s that a copy of a large buffer reads and writes together; runs in a worker."""
    import torch

    source = torch.ones(n_bytes, dtype=torch.uint8)
    target = torch.zeros_like(source)
    found = []
    for _ in range(5):
        started = time.perf_counter()
        target.copy_(source)
        found.append(2 * n_bytes / (time.perf_counter() - started) / 1e9)
    return found
