"""The command line: one command a file, parse and print only.

Commands are imported when they are called, so that ``evomerge --help`` costs no more than click.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from types import FrameType
from typing import Any

import click

from evomerge_compiler import errors
from evomerge_compiler.errors import EvomergeError

# Of the variables that stand for options.
PREFIX = "EVOMERGE"
# Command to the line of help shown in the list, in the order people need them.
COMMANDS = {
    "ls": "List recipes, templates, methods, strategies, evaluators, models or runs.",
    "cp": "Copy a shipped recipe or template, or a run's candidate, to edit it.",
    "validate": "Check recipes: every mistake at once, with line and column.",
    "compile": "Print the mergekit YAML that would run.",
    "plan": "Show every step that would run, its reason, and what it needs.",
    "merge": "Run one merge and write the model to disk.",
    "evaluate": "Score a model, recipe or candidate in its domains.",
    "evolve": "Evolve a recipe; the same command resumes.",
    "simulate": "Try a search in seconds, on a simulated landscape.",
    "status": "Say where a run is.",
    "show": "Show a run's candidates as a table.",
    "diff": "Compare two candidates: genes, merge and scores.",
    "why": "Compare a candidate with its parents: genes, scores, items that flipped.",
    "transfer": "Compare merges with their parents: items lost and newly solved, lengths.",
    "lineage": "Show the ancestors of a candidate.",
    "report": "Write a run as one HTML file.",
    "ask": "Print the candidates that wait for scores, to score them with another tool.",
    "tell": "Give a candidate the scores that another tool, or a hand, came to.",
    "retry": "Run the failed candidates of the open generation again.",
    "fork": "Start a new run from a generation of an old one.",
    "check": "Verify every file of a run, like fsck.",
    "gc": "Free the disk space that a run can rebuild.",
    "export": "Write a candidate's model, re-merged by mergekit and compared by hash.",
    "bench": "Measure this machine: start-up, merges, candidates a minute.",
    "doctor": "Check the installation: versions, GPU, sandbox, disk.",
    "schema": "Print the JSON schema of recipe files, for editors.",
    "completion": "Print the shell completion script.",
}


class Commands(click.Group):
    """Loads each command's module on first use and suggests the nearest command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of :data:`COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command's own module's ``command``."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"evomerge_compiler.cli.{cmd_name}_command")
        command: click.Command = module.command
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                # click's own name is that of the parameter, which nobody who types sees.
                parameter.envvar = variable(cmd_name, parameter)
                parameter.allow_from_autoenv = False
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's own, with the nearest command named."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            ctx.fail(f"no command {name!r}; {errors.did_you_mean(name, COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def variable(command: str, option: click.Option) -> str:
    """The environment variable of an option: ``EVOMERGE_EVOLVE_WANDB`` of evolve's ``--wandb``."""
    flag = next(flag for flag in option.opts if flag.startswith("--"))
    return f"{PREFIX}_{command}_{flag[2:]}".replace("-", "_").upper()


@click.group(
    cls=Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": PREFIX,
        "max_content_width": 99,
    },
    epilog="Start with: evomerge compile recipes/quickstart.yaml",
)
@click.option("-v", "--verbose", count=True, help="More on stderr; twice for everything.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors on stderr.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(
    package_name="evomerge-compiler", prog_name="evomerge", allow_from_autoenv=False
)
@click.pass_context
def evomerge(ctx: click.Context, verbose: int, quiet: bool, debug: bool) -> None:
    """Compile, run and evolve mergekit merges from YAML recipes."""
    import logging

    level = (
        logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    )
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(message)s")
    ctx.ensure_object(dict).update(debug=debug, quiet=quiet, verbose=verbose)


def main(argv: list[str] | None = None) -> None:
    """Runs the command and ends the process with the documented exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(argv))


class _Terminated(BaseException):
    """SIGTERM, raised where the program stands so that everything is put away."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _Terminated


def run(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Args:
        argv: Arguments without the program's name; the process's own by default.
    """
    arguments = sys.argv[1:] if argv is None else argv
    given: dict[str, Any] = {}  # the options before the command, as click reads them
    try:
        result: Any = evomerge.main(
            arguments, prog_name="evomerge", standalone_mode=False, obj=given
        )
        return result if isinstance(result, int) else errors.EXIT_OK
    except EvomergeError as error:
        if given.get("debug"):
            traceback.print_exc()
        click.echo(error.render(), err=True)
        return error.exit_code
    except click.exceptions.Exit as error:
        return int(error.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted; run the same command again to go on", err=True)
        return errors.EXIT_INTERRUPTED
    except _Terminated:
        return errors.EXIT_TERMINATED
    except click.ClickException as error:
        error.show()
        return errors.EXIT_BAD_INPUT
    except BrokenPipeError:
        # The reader went away (`| head`): nothing is wrong, nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.EXIT_OK
    except Exception as error:
        if given.get("debug"):
            traceback.print_exc()
        full = errors.full_disk(error)
        if full is not None:
            click.echo(full.render(), err=True)
            return full.exit_code
        click.echo(f"bug: {type(error).__name__}: {error}", err=True)
        if not given.get("debug"):
            again = "run again as `evomerge --debug ...` and report what it prints"
            click.echo(f"  help: {again}", err=True)
        return errors.EXIT_BUG
