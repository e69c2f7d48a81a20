"""Code answers: run in the sandbox and judged, from the start of its server."""

from __future__ import annotations

import time
from collections.abc import Iterator

from evomerge_compiler import assets
from evomerge_compiler.bench.figures import Figure, at_most, figure
from evomerge_compiler.bench.setting import Setting
from evomerge_compiler.process_pool import WorkerPool
from evomerge_compiler.scoring import code, items

ITEMS = "code/data/functions.jsonl"


def run(setting: Setting) -> Iterator[Figure]:
    """Times answers that do nothing and answers that are right, a fresh process each round."""
    n, rounds = setting.size((200, 5), (4, 1))
    rows = _rows(n)
    trivial = [f"{row['signature']}\n    return None\n" for row in rows]
    right = [str(row["answer"]) for row in rows]
    for name, answers, bound in (
        ("trivial answers", trivial, at_most(10.0)),
        ("reference answers", right, None),
    ):
        found = [_in_a_process(rows, answers) for _ in range(rounds)]
        note = f"{n} items, a mean score of {found[0][1]:.2f}"
        yield figure(name, [seconds for seconds, _ in found], "s", bound=bound, note=note)


def _rows(n: int) -> list[items.Row]:
    """The first items of the shipped code task."""
    found = [folder / ITEMS for folder in assets.folders("evaluators")]
    return items.read(next(path for path in found if path.is_file()))[:n]


def _in_a_process(rows: list[items.Row], answers: list[str]) -> tuple[float, float]:
    # The sandbox remembers what it has run, and its server starts once a process.
    with WorkerPool(1) as pool:
        return pool.submit(judge_all, rows, answers).result()


def judge_all(rows: list[items.Row], answers: list[str]) -> tuple[float, float]:
    """Runs and judges answers as an evaluation does; runs in a worker.

    Args:
        rows: The items.
        answers: One text each.

    Returns:
        Seconds, and the mean score.
    """
    started = time.monotonic()
    code.prefetch(list(zip(rows, answers, strict=True)))
    scores = [code.score(row, [answer]) for row, answer in zip(rows, answers, strict=True)]
    seconds = time.monotonic() - started
    return seconds, sum(score["pass_at_1"] for score in scores) / len(scores)
