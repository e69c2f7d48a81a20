"""``evomerge evolve``: the main job. The same command resumes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evomerge_compiler.cli import progress
from evomerge_compiler.cli.common import (
    json_option,
    print_json,
    recipe_options,
    split_models,
    work_of,
    work_options,
)
from evomerge_compiler.errors import UsageError
from evomerge_compiler.events import Observer

if TYPE_CHECKING:
    from evomerge_compiler.launch import Options
    from evomerge_compiler.run_folder import RunFolder


@click.command(
    epilog="Examples: evomerge evolve recipes/quickstart.yaml --gens 5 -j 2  |  "
    "evomerge evolve runs/quickstart (goes on where it stopped)"
)
@click.argument("recipe", metavar="RECIPE|RUN")
@click.option("--gens", type=click.IntRange(min=0), help="Generations in all; 0 only writes 000.")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Default: runs/NAME.")
@work_options
@click.option("--limit", type=click.IntRange(min=1), help="Search items a task at most.")
@click.option("--batch_size", type=click.IntRange(min=1), help="Prompts a batch.")
@click.option("--backend", type=click.Choice(["hf", "vllm"]), help="What computes the answers.")
@click.option(
    "--control",
    is_flag=True,
    help="Search as many random candidates too, and compare the winner with the best of them.",
)
@click.option("--wandb", "use_wandb", is_flag=True, help="Log to Weights & Biases.")
@click.option("--wandb-project", help="With --wandb; evomerge by default.")
@click.option("--display", type=click.Choice(progress.DISPLAYS), default="auto",
              show_default=True, help="How progress is shown on stderr.")  # fmt: skip
@click.option("-n", "--dry-run", is_flag=True, help="Show the plan and stop, as evomerge plan.")
@recipe_options
@json_option
@click.pass_context
def command(ctx: click.Context, /, recipe: str, **flags: Any) -> int:
    """Evolve a recipe; the same command resumes.

    Everything is in the run folder: kill it at any moment and run it again.
    """  # fmt: skip
    from evomerge_compiler import launch
    from evomerge_compiler.report.verdict import final_text

    if flags["dry_run"]:
        from evomerge_compiler.cli.plan_command import show

        return show(recipe, options_of(flags), {}, as_json=flags["as_json"])
    if (ctx.obj or {}).get("quiet"):
        flags["display"] = "none"
    with contextlib.ExitStack() as stack:
        result = launch.evolve(
            recipe, options_of(flags), lambda folder: _observers(flags, folder, stack)
        )
    if flags["as_json"]:
        print_json(_generation_0(result.folder) if result.final is None else result.final)
    elif result.final is None:
        click.echo(f"generation 000 is in {result.folder.root}; edit its recipes, then evolve")
    else:
        click.echo(final_text(result.folder.recipe.name, result.final, result.folder.root))
    return result.exit_code


def _generation_0(folder: RunFolder) -> dict[str, object]:
    """What ``--gens 0`` wrote, for a program that edits it."""
    candidates = [str(candidate.id) for candidate in folder.candidates(0)]
    return {"run": str(folder.root), "candidates": candidates, "final": None}


def options_of(flags: dict[str, Any]) -> Options:
    """The flags as launch options; those that have a place in the recipe become overrides."""
    if flags["wandb_project"] is not None and not flags["use_wandb"]:
        raise UsageError("--wandb-project goes with --wandb", hint="add --wandb")
    settings = {
        "evaluation.limit": flags["limit"],
        "evaluation.batch_size": flags["batch_size"],
        "evaluation.backend": flags["backend"],
        "search.control": "true" if flags["control"] else None,
    }
    overrides = [f"{key}={value}" for key, value in settings.items() if value is not None]
    work = work_of(flags)
    return replace(
        work,
        run_dir=flags["run_dir"],
        generations=flags["gens"],
        overrides=(*flags["overrides"], *overrides, *work.overrides),
        models=split_models(flags["models"]),
    )


def _observers(
    flags: dict[str, Any], folder: Path, stack: contextlib.ExitStack
) -> Sequence[Observer]:
    out: list[Observer] = []
    shown = progress.make(flags["display"])
    if shown is not None:
        if isinstance(shown, progress.BarProgress):
            stack.enter_context(shown)
        out.append(shown)
    if flags["use_wandb"]:
        from evomerge_compiler.tracking import WandbTracker

        tracker = WandbTracker(folder, project=flags["wandb_project"] or "evomerge")
        stack.callback(tracker.close)
        out.append(tracker)
    return out
