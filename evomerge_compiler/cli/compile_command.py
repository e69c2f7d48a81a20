"""``evomerge compile``: the mergekit YAML that would run, nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from evomerge_compiler.cli.common import (
    json_option,
    print_json,
    recipe_options,
    split_models,
)
from evomerge_compiler.compiler import MergePlan
from evomerge_compiler.errors import UsageError


@click.command(
    epilog="Examples: evomerge compile recipes/quickstart.yaml --select c02  |  "
    "evomerge compile recipes/quickstart.yaml -o out/"
)
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--select",
    metavar="SLOT",
    help="Only this candidate of generation 0, as a file that runs: c02.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write DIR/SLOT/mergekit.yaml for each candidate.",
)
@click.option("--raw", is_flag=True, help="The template's own text, before it is checked.")
@recipe_options
@json_option
def command(
    recipe: Path,
    select: str | None,
    out: Path | None,
    raw: bool,
    overrides: tuple[str, ...],
    models: str,
    as_json: bool,
) -> None:
    """Print the mergekit YAML that would run.

    A merge recipe gives its own; an experiment its generation 0, one candidate after the other to
    read. One candidate (--select), or each file of -o, runs unchanged with the command in its
    first line. Values of genes can be set with -S genome.NAME=VALUE.
    """  # fmt: skip
    from evomerge_compiler import recipe as recipes
    from evomerge_compiler.compiler import render_raw

    if raw and (out is not None or as_json):
        raise UsageError("--raw goes with neither -o nor --json", hint="it prints plain text")
    loaded = recipes.load(recipe, overrides=overrides, models=split_models(models))
    genomes = recipes_of(loaded, select)
    if raw:
        texts = [f"# {name}\n{render_raw(merge).rstrip()}\n" for name, merge in genomes.items()]
        click.echo("---\n".join(texts), nl=False)
        return
    plans = compiled(loaded, genomes)
    paths = {} if out is None else write(plans, out)
    if as_json:
        files = {name: {"path": str(path)} for name, path in paths.items()}
        print_json({name: files.get(name, {}) | as_data(plan) for name, plan in plans.items()})
    elif paths:
        click.echo("\n".join(map(str, paths.values())))
    else:
        click.echo(printed(plans, again(recipe, overrides, models)), nl=False)


def recipes_of(loaded, select: str | None):  # type: ignore[no-untyped-def]
    """Slot name to the merge recipe of each genome that is asked for."""
    from evomerge_compiler.errors import did_you_mean
    from evomerge_compiler.evolution import arrange
    from evomerge_compiler.seeds import seed_proposals
    from evomerge_compiler.strategies.factory import build

    if loaded.kind == "merge":
        found = {loaded.name: loaded}
    else:
        proposals = arrange([*build(loaded).ask(0), *seed_proposals(loaded)])
        found = {f"c{i:02d}": loaded.with_genome(p.genome) for i, p in enumerate(proposals)}
    if select is None:
        return found
    if select not in found:
        raise UsageError(f"no candidate {select!r}", hint=did_you_mean(select, found))
    return {select: found[select]}


def compiled(loaded, genomes) -> dict[str, MergePlan]:  # type: ignore[no-untyped-def]
    """Every plan, or every mistake."""
    from evomerge_compiler.compiler import check_dead_genes, compile_recipe
    from evomerge_compiler.errors import ErrorList, EvomergeError

    plans, problems = {}, {}
    for name, merge in genomes.items():
        try:
            plans[name] = compile_recipe(merge)
        except ErrorList as errors:
            problems.update({error.render(): error for error in errors.errors})
        except EvomergeError as error:
            # Candidates share most of their mistakes: each is shown once.
            problems[error.render()] = error
    if problems:
        raise ErrorList(list(problems.values()))
    if loaded.kind == "experiment":
        check_dead_genes(loaded)
    return plans


def references(plan: MergePlan) -> dict[str, str]:
    """Alias to what a person can pass to mergekit: hub id or absolute folder."""
    return {alias: model.reference for alias, model in plan.models.items()}


def printed(plans: dict[str, MergePlan], call: str) -> str:
    """The text of one candidate; of several, one after the other, to read.

    Args:
        plans: Slot name to plan.
        call: The command, without the slot that gives a file which runs.
    """
    how = "save as mergekit.yaml and run"
    texts = {name: plan.written(references(plan), how=how) for name, plan in plans.items()}
    if len(texts) > 1:
        # Candidates share the names of their stages: together they are no file that runs.
        texts = {
            name: f"# {name} ({call} {name} prints a file that runs)\n{text}"
            for name, text in texts.items()
        }
    return "---\n".join(texts.values())


def again(recipe: Path, overrides: Sequence[str], models: str) -> str:
    """The same command for one slot, which is to follow."""
    words = ["evomerge", "compile", str(recipe)]
    for text in overrides:
        words += ["-S", text]
    return shlex.join([*words, *(["--models", models] if models else []), "--select"])


def write(plans: dict[str, MergePlan], out: Path) -> dict[str, Path]:
    """One file a candidate, each with the command that runs it; slot name to file."""
    from evomerge_compiler.yamlio import write_atomic

    paths = {}
    for name, plan in plans.items():
        # A folder each, as in a generation: mergekit-multi keeps its stages beside the file.
        path = out / name / "mergekit.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, plan.written(references(plan), how=f"run in {path.parent}"))
        paths[name] = path
    return paths


def as_data(plan: MergePlan) -> dict[str, object]:
    """The plan as plain data."""
    return {
        "merge_key": plan.merge_key,
        "random_seed": plan.random_seed,
        "stages": [dict(stage.document, name=stage.name) for stage in plan.stages],
        "models": references(plan),
        "layers": plan.n_layers,
        "notes": list(plan.notes),
    }
