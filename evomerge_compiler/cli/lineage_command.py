"""``evomerge lineage``: where a candidate comes from."""

from __future__ import annotations

import click

from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.cli.common import best_of, json_option, one_form, print_json, run_path


@click.command(epilog="Example: evomerge lineage runs/quickstart 003/c05")
@click.argument("run")
@click.argument("candidate", default="best")
@click.option("--mermaid", is_flag=True, help="A Mermaid graph on stdout.")
@json_option
def command(run: str, candidate: str, mermaid: bool, as_json: bool) -> None:
    """Show the ancestors of a candidate (the best one by default) as a tree."""
    from evomerge_compiler.report.lineage import ancestors, as_mermaid, as_tree

    one_form(mermaid=mermaid, json=as_json)
    folder = run_path(run)
    start = best_of(folder) if candidate == "best" else CandidateId.parse(candidate)
    family = ancestors(folder, start)
    if as_json:
        print_json(family)
    elif mermaid:
        click.echo(as_mermaid(family))
    else:
        click.echo(as_tree(family, str(start)))
