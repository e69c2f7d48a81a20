"""``evomerge bench``: this machine in figures."""

from __future__ import annotations

import click

from evomerge_compiler.cli.common import json_option, print_json, table


@click.command(epilog="Example: evomerge bench --json")
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--candidates", type=click.IntRange(min=1, max=8), default=4, show_default=True)
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, show_default=True)
@json_option
def command(repeats: int, candidates: int, jobs: int, as_json: bool) -> None:
    """Measure start-up, compile, and candidates a minute on this machine."""
    from evomerge_compiler import bench

    figures = []
    for figure in bench.run(repeats, candidates, jobs):
        click.echo(f"{figure.name}: {figure.value:.2f} {figure.unit}", err=True)
        figures.append(figure)
    if as_json:
        print_json([vars(figure) for figure in figures])
        return
    rows = [
        (f.name, f"{f.value:.2f}", f"{f.low:.2f}", f"{f.high:.2f}", f.unit, f.n) for f in figures
    ]
    click.echo(table(("what", "median", "min", "max", "unit", "n"), rows))
