"""The figures as a page of Markdown, with the machine that they come from."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from evomerge_compiler.bench import SUITES
from evomerge_compiler.bench.figures import Figure
from evomerge_compiler.processes import run_command
from evomerge_compiler.yamlio import write_atomic

_SECTION = "\n## "
COLUMNS = ("what", "median", "low", "high", "unit", "n", "bound", "holds", "note")
_PACKAGES = ("evomerge-compiler", "torch", "transformers", "mergekit", "lm_eval", "ray")
_HEAD = """\
# Benchmarks

Written by `{command}`. Each figure is a median with the smallest and the largest of `n`
rounds. The two sides of a ratio take turns in one run. A bound is what a figure is meant to keep;
no test asserts one.

| machine | |
"""
_RULE = "| --- | --- |\n"


def machine() -> dict[str, str]:
    """What the figures depend on."""
    found = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "GPU": _gpu(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    }
    versions = []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found | {"packages": ", ".join(versions)}


def _processor() -> str:
    """The model's name as the kernel knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpu() -> str:
    from evomerge_compiler.merging.options import gpu_available

    if not gpu_available():
        return "none"
    asked = run_command(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"])
    return asked.stdout_tail.strip().splitlines()[0] if asked.returncode == 0 else "one"


def row(figure: Figure) -> list[str]:
    """A figure as cells under :data:`COLUMNS`."""
    holds = {None: "", True: "yes", False: "no"}[figure.holds]
    numbers = [number(value) for value in (figure.value, figure.low, figure.high)]
    bound = str(figure.bound or "")
    return [figure.name, *numbers, figure.unit, str(figure.n), bound, holds, figure.note]


def number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def write(path: Path, figures: Sequence[Figure], described: Mapping[str, str]) -> list[str]:
    """Writes the page. What people wrote on it stays, and so do other tables of the same machine.

    Args:
        path: The file.
        figures: In the order of the tables.
        described: Of the machine, see :func:`machine`.

    Returns:
        The suites whose tables are no longer there, since they came from another machine.
    """
    machine = "".join(f"| {key} | {value} |\n" for key, value in described.items())
    before, *sections = path.read_text("utf-8").split(_SECTION) if path.is_file() else [""]
    old = {_suite(section): section for section in sections if _suite(section) in SUITES}
    words = [section for section in sections if _suite(section) not in SUITES]
    tables = dict(old) if before.rpartition(_RULE)[2].strip() == machine.strip() else {}
    for name, suite in SUITES.items():
        rows = [figure for figure in figures if figure.suite == name]
        if rows:
            title = f"{name}: {suite.summary}\n\n"
            reading = f"{suite.reading}\n\n" if suite.reading else ""
            table = _line(COLUMNS) + _line(["---"] * len(COLUMNS))
            tables[name] = title + reading + table + "".join(_line(row(each)) for each in rows)
    ordered = [tables[name] for name in SUITES if name in tables]
    head = _HEAD.format(command=f"evomerge bench -o {path}") + _RULE + machine
    texts = (text.strip() + "\n" for text in (*ordered, *words))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, _SECTION.join([head, *texts]))
    return [name for name in old if name not in tables]


def _suite(section: str) -> str:
    """The suite that a section of the page is of, by its title, or what else stands there."""
    return section.partition("\n")[0].partition(":")[0]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
