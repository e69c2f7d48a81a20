"""``evomerge diff``: what differs between two candidates, in meaning rather than in text."""

from __future__ import annotations

import click

from evomerge_compiler.cli.common import json_option, print_json, table


@click.command(
    epilog="Examples: evomerge diff runs/a:003/c05 (against its parents)  |  "
    "evomerge diff runs/a:003/c05 runs/b:best"
)
@click.argument("a")
@click.argument("b", required=False)
@json_option
def command(a: str, b: str | None, as_json: bool) -> None:
    """Compare two candidates: genes, merge and scores.

    A is RUN:ID; B is another RUN:ID or an ID of the same run; without B, the parents of A.
    """
    from evomerge_compiler.report.difference import differences

    compared = differences(a, b)
    if as_json:
        print_json(compared)
        return
    for comparison in compared:
        click.secho(f"{comparison['old']} -> {comparison['new']}", bold=True)
        rows = comparison["changes"]
        if rows:
            cells = [(r["what"], r["name"], r["old"], r["new"]) for r in rows]
            click.echo(table(("what", "name", "old", "new"), cells))
        else:
            click.echo("no difference")
