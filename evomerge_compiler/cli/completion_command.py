"""``evomerge completion``: shell completion, as click makes it."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(epilog='Example: eval "$(evomerge completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the shell completion script; evaluate it in your shell's start-up file."""
    from evomerge_compiler.cli import evomerge

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(evomerge, {}, "evomerge", "_EVOMERGE_COMPLETE").source())
