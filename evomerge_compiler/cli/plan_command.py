"""``evomerge plan``: what would run, and why. Also ``evolve -n``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evomerge_compiler.cli.common import (
    device_option,
    json_option,
    print_json,
    recipe_options,
    split_models,
    table,
)

if TYPE_CHECKING:
    from evomerge_compiler.launch import Options
    from evomerge_compiler.needs import How, Machine, Resource
    from evomerge_compiler.plan_bounds import RaceRange, WrittenParents
    from evomerge_compiler.planning import Plan


@click.command(
    epilog="Examples: evomerge plan recipes/quickstart.yaml --gens 3  |  "
    "evomerge plan recipes/qwen-1.5b.yaml --gpu-gb 8 --ram-gb 16 --disk-gb 20"
)
@click.argument("recipe", metavar="RECIPE|RUN")
@click.option("--gens", type=click.IntRange(min=0), help="Generations in all.")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Default: runs/NAME.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="As of evolve.")
@click.option("--executor", type=click.Choice(["warm", "cli", "ray"]), default="warm",
              show_default=True, help="As of evolve.")  # fmt: skip
@device_option
@click.option("--cuda/--no-cuda", default=None, help="Merge on the GPU; found by itself.")
@click.option("--gpu-gb", type=click.FloatRange(min=0), help="Of another machine: a GPU's memory.")
@click.option("--gpus", type=click.IntRange(min=1), help="Of another machine: how many of them.")
@click.option("--ram-gb", type=click.FloatRange(min=0), help="Of another machine: its memory.")
@click.option("--disk-gb", type=click.FloatRange(min=0), help="Of another machine: its free disk.")
@recipe_options
@json_option
def command(recipe: str, as_json: bool, **flags: Any) -> int:
    """Show every step of the next generation with its reason, and whether it all fits."""
    from evomerge_compiler.launch import Options
    from evomerge_compiler.merging.options import MergeOptions

    options = Options(
        run_dir=flags["run_dir"],
        generations=flags["gens"],
        executor=flags["executor"],
        jobs=flags["jobs"],
        device=flags["device"],
        merge=MergeOptions(cuda=flags["cuda"]),
        overrides=flags["overrides"],
        models=split_models(flags["models"]),
    )
    told: dict[Resource, float | None] = {
        "disk": flags["disk_gb"],
        "RAM": flags["ram_gb"],
        "GPU memory": flags["gpu_gb"],
    }
    given = {name: int(gb * 1e9) for name, gb in told.items() if gb is not None}
    return show(recipe, options, given, flags["gpus"], as_json=as_json)


def show(
    recipe: str,
    options: Options,
    given: dict[Resource, int],
    n_gpus: int | None = None,
    *,
    as_json: bool,
) -> int:
    """Plans and prints.

    Args:
        recipe: A recipe or a run.
        options: As for an evolution.
        given: Bytes of another machine, in place of what is free here.
        n_gpus: GPUs of another machine; by default those here, or one where a size is given.
        as_json: Print JSON.
    """
    from evomerge_compiler import gpus, launch, needs, planning
    from evomerge_compiler.errors import UsageError

    loaded, _, folder = launch.load(recipe, options)
    if loaded.search is None:
        raise UsageError(f"recipe {loaded.name!r} is a single merge, there is nothing to plan")
    gens = options.generations
    machine = needs.Machine({**needs.this_machine(folder).free, **given})
    plan = planning.plan(
        loaded,
        folder,
        loaded.search.generations if gens is None else gens,
        evaluation=launch.evaluation_of(loaded, options),
        how=_how(options, machine, n_gpus or (1 if "GPU memory" in given else len(gpus.names()))),
        machine=machine,
    )
    if as_json:
        print_json(_plain(plan))
        return 0
    rows = [(s.candidate, s.what, "run" if s.runs else "skip", s.reason) for s in plan.steps]
    click.echo(table(("candidate", "step", "", "reason"), rows))
    for line in _summary(plan):
        click.echo(line)
    return 0


def _how(options: Options, machine: Machine, n_gpus: int) -> How:
    """Where an evolution with these options would work, on that machine."""
    from evomerge_compiler import gpus
    from evomerge_compiler.needs import How

    has_gpu = bool(machine.free.get("GPU memory"))
    device, _ = gpus.parse_device(options.device)
    if device == "auto":
        device = "cuda" if has_gpu else "cpu"
    on_gpu = has_gpu if options.merge.cuda is None else options.merge.cuda
    cores = None if options.executor == "ray" else len(os.sched_getaffinity(0))
    how = How(options.executor, 1, device, "cuda" if on_gpu else "cpu", max(1, n_gpus), cores)
    by_itself = 1 if options.executor == "ray" else len(how.placement.gpus)
    return replace(how, workers=options.jobs or max(1, by_itself))


def _plain(plan: Plan) -> dict[str, object]:
    from evomerge_compiler.needs import RESOURCES, remedies, total

    return {
        "steps": [vars(step) for step in plan.steps],
        "generations_left": plan.generations_left,
        "candidates_left": plan.candidates_left,
        "needs": [vars(need) for need in plan.needs],
        "room": [
            {
                "resource": name,
                "needed_bytes": total(plan.needs, name),
                "free_bytes": plan.machine.free.get(name, 0),
                "fits": plan.machine.fits(plan.needs, name),
            }
            for name in RESOURCES
        ],
        "remedies": remedies(plan.needs, plan.machine, plan.how),
        "workers": plan.how.workers,
        "gpus": len(plan.how.placement.gpus),
        "seconds_per_candidate": plan.time.seconds,
        "candidates_per_hour": plan.candidates_per_hour,
        "seconds": plan.seconds,
        "seconds_at_least": plan.seconds_at_least,
        "seconds_allowed": plan.seconds_allowed,
        "basis": plan.time.basis,
        "racing": _plain_race(plan.race),
        "parents": None if plan.parents is None else vars(plan.parents),
        "shortlist": None if plan.shortlist is None else vars(plan.shortlist),
        "shortlist_seconds": plan.shortlist_seconds,
        "final": None if plan.final is None else vars(plan.final),
        "final_seconds": plan.final_seconds,
    }


def _plain_race(race: RaceRange | None) -> dict[str, int] | None:
    if race is None:
        return None
    return {
        "candidates": race.racing,
        "asked_everything": race.whole,
        "first_look": race.rung,
        "items_at_most": race.at_most,
        "items_at_least": race.at_least,
        "audit_items": race.audit_items,
    }


def _summary(plan: Plan) -> Iterator[str]:
    """What is to come, what it needs, and whether it fits."""
    from evomerge_compiler.needs import RESOURCES, remedies, total

    kinds = Counter(f"{s.what.split()[0]} {'to run' if s.runs else 'reused'}" for s in plan.steps)
    counts = ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "nothing"
    yield f"\nthis generation: {counts}"
    yield (
        f"to come: {plan.generations_left} generations, at most {plan.candidates_left} candidates"
    )
    yield from _race_lines(plan.race)
    yield from _parent_lines(plan.parents)
    if plan.shortlist is not None:
        short = plan.shortlist
        yield (
            f"shortlist: at the end the best {short.candidates} are asked all search items, "
            f"about {short.items:,} in place of {short.searched:,}"
        )
    yield ""
    yield table(("", "needed by", ""), [(n.resource, n.what, size(n.n_bytes)) for n in plan.needs])
    yield ""
    for name in RESOURCES:
        needed, free = total(plan.needs, name), plan.machine.free.get(name, 0)
        if needed:
            fits = "fits" if plan.machine.fits(plan.needs, name) else "DOES NOT FIT"
            each = " on each GPU" if name == "GPU memory" and plan.how.n_gpus > 1 else ""
            yield f"{name}: {size(needed)} of {size(free)} free{each}: {fits}"
    yield from (f"  help: {line}" for line in remedies(plan.needs, plan.machine, plan.how))
    n = plan.how.workers
    workers = "one worker" if n == 1 else f"{n} workers"
    if plan.how.placement.gpus and n > 1:
        workers += f" on {plan.how.n_gpus} GPU{'s' if plan.how.n_gpus > 1 else ''}"
    least = plan.seconds_at_least
    dropped = "" if least is None else f" if nothing is dropped, {hours(least)} if all are"
    yield (
        f"expected time with {workers}: {hours(plan.seconds)}{dropped}, "
        f"{plan.candidates_per_hour:.1f} candidates an hour"
    )
    yield from _end_lines(plan)
    yield f"  {plan.time.basis}"
    allowed = plan.seconds_allowed
    if allowed is not None and allowed < plan.seconds:
        n = int(allowed * plan.candidates_per_hour / 3600)
        yield f"  search.budget.hours ends it after {hours(allowed)}, about {n} candidates"
    if plan.how.placement.overlaps:
        yield "  the CPU merges the next candidates while the GPU scores"


def _end_lines(plan: Plan) -> Iterator[str]:
    """What comes after the search, and how long it all takes."""
    if plan.final is None:
        return
    parts = [f"{hours(plan.shortlist_seconds)} for the shortlist"] if plan.shortlist else []
    also = " and the control" if plan.final.control else ""
    parts.append(f"{hours(plan.final_seconds)} for the final test{also}")
    whole = plan.seconds + plan.shortlist_seconds + plan.final_seconds
    yield f"  then {' and '.join(parts)}: {hours(whole)} in all"


def _race_lines(race: RaceRange | None) -> Iterator[str]:
    """Between what racing asks at least and at most."""
    if race is None:
        return
    if not race.saves:
        yield f"racing: it saves nothing, for no task has more than {race.rung} items"
        return
    whole = f"; the {race.whole} before them calibrate and are asked everything"
    yield f"racing: {race.racing} candidates race{whole if race.whole else ''}"
    yield f"  nothing dropped: {race.at_most:,} items"
    yield (
        f"  all that race dropped at their first look, after {race.rung} items a task: "
        f"{race.at_least:,} items ({race.at_least / race.at_most:.0%})"
    )
    if race.audited:
        yield f"  the audit at the end asks dropped ones at most {race.audit_items:,} items more"


def _parent_lines(parents: WrittenParents | None) -> Iterator[str]:
    """How many candidates crossings may write to disk, and from when on."""
    if parents is None:
        return
    if parents.max_stages is None:
        yield "crossings: no parent is written to disk, for max_stages is null"
    elif not parents.at_most:
        most = parents.max_stages
        yield f"crossings: no parent is written to disk, for no chain has over {most} merges"
    else:
        yield (
            f"crossings: at most {parents.at_most} parents of {size(parents.bytes_each)} each are "
            f"written to models/parents, from generation {parents.since:03d} on, where chains may "
            f"have over {parents.max_stages} merges"
        )


def size(n_bytes: int) -> str:
    """Bytes in the unit that suits them."""
    value, units = float(n_bytes), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.1f} {units[0]}"


def hours(seconds: float) -> str:
    """Seconds as hours and minutes."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
