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
    from evomerge_compiler.run_check import check
    from evomerge_compiler.run_folder import RunFolder

    findings = check(RunFolder.open(run_path(run)))
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{finding.path}: {finding.message}")
        click.echo(f"{len(findings)} findings" if findings else "ok")
    return EXIT_RUN_DAMAGED if findings else EXIT_OK
