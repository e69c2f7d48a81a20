"""``evomerge merge``: one merge to disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from evomerge_compiler.cli.common import (
    is_run_reference,
    json_option,
    merge_options,
    merge_options_of,
    print_json,
    set_option,
    split_run_reference,
)
from evomerge_compiler.errors import UsageError


@click.command(
    epilog="Examples: evomerge merge recipes/mine.yaml -o out  |  "
    "evomerge merge runs/quickstart:best -o out"
)
@click.argument("target", metavar="RECIPE|RUN:ID")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, file_okay=False),
              help="The model folder to write.")  # fmt: skip
@set_option
@merge_options
@json_option
def command(target: str, out: Path, overrides: tuple[str, ...], **flags: Any) -> None:
    """Run one merge and write the model with tokenizer, config and model card.

    The result is checked for non-finite weights and loads in transformers as it is.
    """
    from evomerge_compiler import export, single

    folder, candidate = _split(target)
    if candidate is not None and overrides:
        raise UsageError(
            "-S goes with a recipe, a candidate has its values",
            hint=f"evomerge cp {folder}:{candidate} DEST makes a recipe of it",
        )
    given = merge_options_of(flags)
    recipe, options = single.merge_target(folder, candidate, given, overrides)
    plan, merged = single.merge_to(recipe, out, options)
    export.write_card(out, recipe, plan)
    if flags["as_json"]:
        print_json(
            {
                "path": str(out),
                "merge_key": plan.merge_key,
                "tensors_sha256": merged.tensors_sha256,
                "parameters": merged.n_parameters,
                "seconds": round(merged.seconds, 3),
            }
        )
    else:
        click.echo(out)


def _split(target: str):  # type: ignore[no-untyped-def]
    """Recipe path and None, or run folder and candidate."""
    if not is_run_reference(target):
        return target, None
    folder, candidate = split_run_reference(target if ":" in target else f"{target}:best")
    return str(folder), candidate
