"""``evomerge schema``: the JSON schema of recipe files.

Editors that run yaml-language-server check a recipe as it is typed when its first line is
``# yaml-language-server: $schema=PATH``.
"""

from __future__ import annotations

from typing import Any

import click

from evomerge_compiler.cli.common import print_json


@click.command(epilog="Example: evomerge schema > schemas/recipe.schema.json")
@click.argument("kind", type=click.Choice(["recipe", "candidate"]), default="recipe")
def command(kind: str) -> None:
    """Print the JSON schema of recipe files, for editors."""
    print_json(schema_of(kind))


def schema_of(kind: str) -> dict[str, Any]:
    """The JSON schema of one kind of file, as plain data."""
    from pydantic import TypeAdapter

    from evomerge_compiler.recipe_schema import CandidateFile, ExperimentFile, MergeFile

    if kind == "candidate":
        return CandidateFile.model_json_schema(by_alias=True)
    adapter: TypeAdapter[Any] = TypeAdapter(ExperimentFile | MergeFile | CandidateFile)
    return adapter.json_schema(by_alias=True)
