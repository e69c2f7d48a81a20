"""``evomerge check``: fsck for run folders."""

from __future__ import annotations

import click

from evomerge_compiler.cli.common import json_option, print_json, run_path
from evomerge_compiler.errors import EXIT_OK, EXIT_RUN_DAMAGED


@click.command(epilog="Example: evomerge check runs/quickstart")
@click.argument("run")
@json_option
def command(run: str, as_json: bool) -> int:
    """Verify every file of a run against its seals and check lines. Exit 5 if one is wrong."""
    from evomerge_compiler.run_folder.check import check

    findings = check(run_path(run))
    damage = [finding for finding in findings if finding.level == "damage"]
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(str(finding))
            if finding.hint:
                click.echo(f"  help: {finding.hint}")
        notes = len(findings) - len(damage)
        click.echo(f"{len(damage)} damaged, {notes} notes" if findings else "ok")
    return EXIT_RUN_DAMAGED if damage else EXIT_OK
