"""``evomerge gc``: free the space that a run can rebuild."""

from __future__ import annotations

import click

from evomerge_compiler.cli.common import run_path


@click.command(epilog="Example: evomerge gc runs/quickstart -n")
@click.argument("run")
@click.option("-n", "--dry-run", is_flag=True, help="Only say how much.")
def command(run: str, dry_run: bool) -> None:
    """Free the disk space that a run can rebuild: merged stages, downloads, caches."""
    from evomerge_compiler.run_folder.check import gc

    freed = gc(run_path(run), dry_run=dry_run)
    click.echo(f"{'would free' if dry_run else 'freed'} {freed / 2**20:.1f} MiB")
