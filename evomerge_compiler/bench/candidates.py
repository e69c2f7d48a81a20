"""Candidates a minute: executors of evomerge beside what people do without it.

Every side merges and scores the same candidates on the same items with the same batch size, one
at a time, on one thread. The first candidate of a side does not count where the side goes on in
one process: it pays for imports and for loading tasks. A round is several candidates, because a
candidate that shares stages with earlier ones costs the executors less.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from evomerge_compiler import launch
from evomerge_compiler.bench.commands import seconds, tools_environment
from evomerge_compiler.bench.figures import Figure, at_least, figure, ratio
from evomerge_compiler.bench.setting import Setting, in_turns
from evomerge_compiler.bench.work import Work, n_items, prepare, run_all, search_items
from evomerge_compiler.compiler import MergePlan
from evomerge_compiler.executors.base import Executor, Job
from evomerge_compiler.process_pool import WorkerPool

# Side to the name that the table gives it.
SIDES = {
    "warm": "executor warm",
    "cli": "executor cli",
    "commands": "commands mergekit-multi and lm_eval",
    "fresh": "loop of run_merge and a fresh simple_evaluate",
    "kept": "the same loop, keeping lm-eval's index of tasks",
}
# Rounds, and candidates a round.
SIZE = (3, 4)
# What people without evomerge are to gain. mergekit-evolve keeps the index of tasks, Mergenetic
# makes it again for every candidate, as ``simple_evaluate`` does when it is given none.
BOUNDS = {"cli": at_least(20), "commands": None, "fresh": at_least(5), "kept": at_least(5)}
# Equal work gives equal scores; a GPU may round an answer or two another way.
_SCORE_TOLERANCE = 0.01


@dataclass(frozen=True)
class Measured:
    """One candidate, or a round of them, of one side.

    Attributes:
        seconds: Wall time of a candidate.
        score: Mean of its domains, on which the sides must agree.
    """

    seconds: float
    score: float


Side = Callable[[MergePlan], Measured]


def run(setting: Setting) -> Iterator[Figure]:
    """Measures all sides in turns."""
    rounds, n_candidates = setting.size(SIZE, (1, 1))
    work = prepare(setting, "candidates", rounds * n_candidates + 1)
    with ExitStack() as stack:
        pools = [stack.enter_context(WorkerPool(1, environment=tools_environment())) for _ in "fk"]
        items = pools[0].submit(search_items, work.evaluation).result()
        fresh, kept = (OtherTools(work, items, setting.device, pool) for pool in pools)
        calls: dict[str, Side] = {
            name: partial(_score, stack.enter_context(_executor(work, name, setting)))
            for name in ("warm", "cli")
        }
        calls["commands"] = fresh.by_commands
        calls["fresh"] = partial(fresh.in_a_loop, keep_index=False)
        calls["kept"] = partial(kept.in_a_loop, keep_index=True)
        if not setting.quick:
            for name in set(calls) - {"commands"}:
                calls[name](work.plans[0])
        sides = {
            name: partial(_of_round, call, work, n_candidates) for name, call in calls.items()
        }
        found = in_turns(sides, rounds)
    note = f"{n_items(items)} items, one thread; a round is {n_candidates} candidates"
    yield from _figures(found, note + differences(found))


def _figures(found: Mapping[str, Sequence[Measured]], note: str) -> Iterator[Figure]:
    rates = {name: [60 / each.seconds for each in values] for name, values in found.items()}
    for name, values in rates.items():
        yield figure(SIDES[name], values, "candidates/min", note=note)
    for name, bound in BOUNDS.items():
        sides = (SIDES["warm"], SIDES[name])
        yield ratio(sides, rates["warm"], rates[name], bound=bound, note=note)


def differences(found: Mapping[str, Sequence[Measured]]) -> str:
    """What to tell where sides score a candidate differently, and so did not do the same work.

    On a busy machine generated code may run into its time limit on one side alone.
    """
    out = []
    for number, measured in enumerate(zip(*found.values(), strict=True)):
        scores = [each.score for each in measured]
        if max(scores) - min(scores) > _SCORE_TOLERANCE:
            told = ", ".join(
                f"{name} {each.score:.3f}" for name, each in zip(found, measured, strict=True)
            )
            out.append(f"; SCORES DIFFER in round {number}: {told}")
    return "".join(out)


def _of_round(call: Side, work: Work, n_candidates: int, number: int) -> Measured:
    """The mean of a round; the first plan of all is for warming up."""
    first = 1 + number * n_candidates
    found = [call(plan) for plan in work.plans[first : first + n_candidates]]
    return Measured(
        statistics.mean(each.seconds for each in found),
        statistics.mean(each.score for each in found),
    )


def _executor(work: Work, name: str, setting: Setting) -> AbstractContextManager[Executor]:
    options = launch.Options(executor=name, device=setting.device, merge=work.options)
    return launch.executor_for(work.recipe, work.evaluation, work.folder / name, options)


def _score(executor: Executor, plan: MergePlan) -> Measured:
    """One candidate through an executor."""
    started = time.monotonic()
    [result] = run_all(executor, [Job("candidate", plan=plan)])
    seconds = time.monotonic() - started
    domains = result.scores["search"].domains.values()
    return Measured(seconds, statistics.mean(score.value for score in domains))


class OtherTools:
    """mergekit and lm-eval by themselves.

    Args:
        work: The candidates.
        items: Name of each task to indices of its items.
        device: ``cpu`` or ``cuda``.
        pool: One worker, in which the loop runs.
    """

    def __init__(
        self, work: Work, items: Mapping[str, list[int]], device: str, pool: WorkerPool
    ) -> None:
        self.work = work
        self.items = items
        self.device = device
        self.pool = pool
        self.folder = Path(tempfile.mkdtemp(dir=work.folder))
        self._n_merged = 0
        # As the sessions of evomerge choose: a CPU computes in float32.
        self.dtype = "float32" if device == "cpu" else "auto"
        self.references = {alias: str(path) for alias, path in work.sources.items()}

    def by_commands(self, plan: MergePlan) -> Measured:
        """One ``mergekit-multi`` and one ``lm_eval``."""
        folder = self.folder / "commands"
        folder.mkdir()
        (folder / "mergekit.yaml").write_text(plan.written(self.references), "utf-8")
        env = tools_environment()
        merge = [*plan.command().split(), *(["--cuda"] if self.device == "cuda" else [])]
        total = seconds(merge, folder, env)
        evaluation = self.work.evaluation
        arguments = [
            "--model", "hf", "--model_args", f"pretrained=OUT,dtype={self.dtype}",
            "--tasks", ",".join(self.items), "--samples", json.dumps(self.items),
            "--batch_size", str(evaluation.batch_size), "--device", self.device,
            "--include_path", evaluation.include_paths[0], "--output_path", "results.json",
        ]  # fmt: skip
        total += seconds(["lm_eval", "run", *arguments], folder, env)
        [written] = folder.glob("results_*.json")  # lm-eval adds the time to the name
        results = json.loads(written.read_text("utf-8"))["results"]
        shutil.rmtree(folder)
        return Measured(total, self._mean(results))

    def in_a_loop(self, plan: MergePlan, *, keep_index: bool) -> Measured:
        """``run_merge`` to disk and ``simple_evaluate``, in a warm process."""
        # mergekit keeps what it has read by its path, so no two merges may have the same.
        self._n_merged += 1
        args = (
            plan.written(self.references), plan.random_seed, self.folder / str(self._n_merged),
            self.items, self.work.evaluation.batch_size, self.work.evaluation.include_paths[0],
            keep_index, self.device, self.dtype,
        )  # fmt: skip
        took, results = self.pool.submit(merge_and_evaluate, *args).result()
        return Measured(took, self._mean(results))

    def _mean(self, results: Mapping[str, Mapping[str, float]]) -> float:
        """Mean of the domains, from lm-eval's results."""
        return statistics.mean(
            results[task.task][task.column] for task in self.work.evaluation.tasks
        )


_managers: dict[str, Any] = {}


def merge_and_evaluate(
    text: str, seed: int, folder: Path, items: Mapping[str, list[int]], batch_size: int,
    include_path: str, keep_index: bool, device: str, dtype: str,
) -> tuple[float, dict[str, dict[str, float]]]:  # fmt: skip
    """One candidate as a loop of one's own handles it; runs in a worker.

    As in mergekit-evolve and Mergenetic, merges go to disk and the model is loaded afresh.

    Args:
        text: The merge, several documents for several stages.
        seed: Of mergekit's random numbers.
        folder: Where the merges go; removed afterwards.
        items: Name of each task to indices of its items.
        batch_size: Prompts a batch.
        include_path: Folder with the tasks.
        keep_index: Whether lm-eval's index of tasks outlives the candidate.
        device: ``cpu`` or ``cuda``.
        dtype: Of the loaded model.

    Returns:
        Seconds, and lm-eval's results by task.
    """
    import lm_eval
    import yaml
    from lm_eval.tasks import TaskManager
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    if keep_index and include_path not in _managers:
        _managers[include_path] = TaskManager(include_path=include_path)
    options = MergeOptions(random_seed=seed, cuda=device == "cuda", write_model_card=False)
    started = time.monotonic()
    out = folder / "final"
    stages: dict[str, str] = {}
    for document in yaml.safe_load_all(text):
        name = document.pop("name", "final")
        out = folder / name
        options.apply_global_options()  # seeds, as the command does
        run_merge(MergeConfiguration.model_validate(_renamed(document, stages)), str(out), options)
        stages[name] = str(out)
    found = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(out), "dtype": dtype},
        tasks=list(items),
        samples=dict(items),
        batch_size=batch_size,
        device=device,
        task_manager=_managers.get(include_path) or TaskManager(include_path=include_path),
        log_samples=False,
    )
    shutil.rmtree(folder)
    return time.monotonic() - started, found["results"]


def _renamed(data: Any, stages: Mapping[str, str]) -> Any:
    """A document with the folders of earlier stages in place of their names."""
    if isinstance(data, dict):
        return {key: _renamed(value, stages) for key, value in data.items()}
    if isinstance(data, list):
        return [_renamed(value, stages) for value in data]
    return stages.get(data, data) if isinstance(data, str) else data
