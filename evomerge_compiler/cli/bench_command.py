"""``evomerge bench``: this machine in figures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evomerge_compiler.cli.common import json_option, print_json, require_writable, table

if TYPE_CHECKING:
    from evomerge_compiler.bench import Figure


@click.command(
    epilog="Examples: evomerge bench start_up candidates  |  "
    "evomerge bench -o docs/benchmarks.md  |  evomerge bench merges --layers 8 --work /scratch"
)
@click.argument("suites", nargs=-1, metavar="[SUITE]...")
@click.option("--list", "list_only", is_flag=True, help="List the suites and end.")
@click.option("--quick", is_flag=True, help="Tiny sizes: shows that all works, measures nothing.")
@click.option(
    "--layers", type=click.IntRange(min=1), help="Of the 1.5B models; fewer need less disk."
)
@click.option("--work", type=click.Path(path_type=Path, file_okay=False),
              help="Where models and runs are made and removed; 20 GB for merges.")  # fmt: skip
@click.option("--cache", type=click.Path(path_type=Path, file_okay=False),
              help="Where suites of hours keep scores; the same call goes on.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=1),
              help="Of suites that search; each has its own number.")  # fmt: skip
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, show_default=True,
              help="Workers of suites that search.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False),
              help="Also write a page of Markdown; this machine's other tables stay.")  # fmt: skip
@json_option
def command(
    suites: tuple[str, ...],
    list_only: bool,
    quick: bool,
    layers: int | None,
    work: Path | None,
    cache: Path | None,
    seeds: int | None,
    jobs: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Measure this machine: all suites but those that take hours, or those named.

    The two sides of a ratio take turns in the same run. Nothing else should run meanwhile.
    """
    from evomerge_compiler import bench
    from evomerge_compiler.bench import page

    names = bench.chosen(suites)
    if list_only:
        listed = [
            {"suite": name, "minutes": suite.minutes, "what": suite.summary}
            for name, suite in bench.SUITES.items()
            if not suites or name in names
        ]
        if as_json:
            print_json(listed)
        else:
            rows = [(s["suite"], f"{s['minutes']:g}", s["what"]) for s in listed]
            click.echo(table(("suite", "minutes", "what"), rows))
        return
    bench.require(names)
    if output is not None:
        require_writable(output.parent)
    if not quick:
        minutes = sum(bench.SUITES[name].minutes for name in names)
        click.echo(f"{', '.join(names)}: about {minutes:g} minutes on two cores", err=True)
    machine = page.machine()
    figures: list[Figure] = []
    with _folder(work) as folder:
        setting = bench.Setting(folder, quick, layers, bench.device(), cache, seeds, jobs)
        for name in names:
            for figure in bench.run(name, setting):
                value = f"{page.number(figure.value)} {figure.unit}"
                click.echo(f"{figure.suite}: {figure.name}: {value}", err=True)
                figures.append(figure)
            if output is not None:  # now, since the next suite may fail after hours
                gone = page.write(output, figures, machine)
                for other in (suite for suite in gone if suite not in names):
                    click.echo(f"{output}: the table of {other} was another machine's", err=True)
    if as_json:
        print_json({"machine": machine, "figures": [figure.plain() for figure in figures]})
        return
    for name in names:
        suite = bench.SUITES[name]
        click.echo("\n" + "\n".join(filter(None, (f"{name}: {suite.summary}", suite.reading))))
        rows_of = [page.row(figure) for figure in figures if figure.suite == name]
        click.echo(table(page.COLUMNS, rows_of))


@contextmanager
def _folder(parent: Path | None) -> Iterator[Path]:
    """A folder that is removed afterwards."""
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="evomerge-bench-", dir=parent) as folder:
        yield Path(folder)
