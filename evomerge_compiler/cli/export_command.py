"""``evomerge export``: a candidate as a model folder to give away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from evomerge_compiler.cli.common import (
    best_of,
    json_option,
    merge_options,
    merge_options_of,
    print_json,
    split_run_reference,
)


@click.command(epilog="Example: evomerge export runs/quickstart out/winner")
@click.argument("target", metavar="RUN[:ID]")
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@merge_options
@json_option
def command(target: str, out: Path, **flags: Any) -> None:
    """Write a candidate's model (the best one by default) with a model card.

    mergekit-yaml makes the weights again; their hash must be that of the scored ones.
    """
    from evomerge_compiler.export import export

    folder, candidate = split_run_reference(target)
    exported = export(folder, candidate or best_of(folder), out, merge_options_of(flags))
    if flags["as_json"]:
        print_json(
            {
                "id": str(exported.id),
                "path": str(out),
                "tensors_sha256": exported.model.tensors_sha256,
                "verified": exported.verified,
            }
        )
        return
    said = "the same weights as were scored" if exported.verified else "no hash on record"
    click.echo(f"{exported.id} -> {out} ({said})")
