"""A merge of many small tensors: hardly any arithmetic, so its time is what the machinery adds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from evomerge_compiler.bench.figures import Figure, at_most, figure, ratio
from evomerge_compiler.bench.merge_sides import Command, InMemory, check_equal, compile_merge
from evomerge_compiler.bench.random_models import Shape, write_family
from evomerge_compiler.bench.setting import Setting
from evomerge_compiler.merging.options import MergeOptions

# 12 tensors a layer, and two: 7,010 in all.
LAYERS, QUICK_LAYERS = 584, 3


def run(setting: Setting) -> Iterator[Figure]:
    """Merges by the command and in memory."""
    folder = setting.folder("many_tensors")
    layers, rounds = setting.size((LAYERS, 3), (QUICK_LAYERS, 1))
    shape = Shape(layers=layers, hidden=32, inner=48, heads=4, kv_heads=2, vocabulary=512)
    models = write_family(folder / "models", shape, ("one", "two"))
    genome = {"weight": {"one": 0.6, "two": 0.4}}
    plan = compile_merge(folder, "linear", models, genome, None)
    options = MergeOptions(cuda=False, offline=True)
    command = Command(folder / "command", options, threads=1)
    with InMemory(folder / "work", options, 1, "cpu") as memory:
        first = memory.merge(plan)
        by_command = command.merge(plan)  # takes minutes: once
        steady = [memory.merge(plan) for _ in range(rounds)]
    check_equal(by_command, steady[-1], "many tensors")
    memory_s = [each.seconds for each in steady]
    command_s = [by_command.seconds]
    shutil.rmtree(folder / "models")
    note = f"{len(list(shape.tensors())):,} tensors, 1 thread"
    yield figure("linear of two: command", command_s, "s", note=note)
    yield figure("linear of two: in memory", memory_s, "s", bound=at_most(3.0), note=note)
    yield figure("linear of two: in memory, first of the process", [first.seconds], "s", note=note)
    yield ratio(("command", "in memory"), command_s * rounds, memory_s)
