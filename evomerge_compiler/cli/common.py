"""What several commands share: options, output, and finding runs and candidates."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.errors import UsageError

if TYPE_CHECKING:
    from evomerge_compiler.launch import Options
    from evomerge_compiler.merging.options import MergeOptions

F = TypeVar("F", bound=Callable[..., Any])


def set_option(command: F) -> F:
    """``-S key=value``."""
    return click.option(
        "-S", "--set", "overrides", multiple=True, metavar="KEY=VALUE",
        help="Set a value of the recipe, such as -S search.population=16. Repeatable.",
    )(command)  # fmt: skip


def recipe_options(command: F) -> F:
    """``-S key=value`` and ``--models a,b,c``."""
    command = set_option(command)
    return click.option(
        "--models", "models", default="", metavar="A,B,C",
        help="Hub ids, or paths from here, that replace the recipe's models in order.",
    )(command)  # fmt: skip


def merge_options(command: F) -> F:
    """mergekit's own flags, under mergekit's own names."""
    options = [
        click.option("--cuda/--no-cuda", default=None, help="Merge on the GPU; found by itself."),
        click.option(
            "--low-cpu-memory",
            is_flag=True,
            help="Keep results on the GPU, where mergekit-yaml merges to the disk.",
        ),
        click.option("--allow-crimes", is_flag=True, help="Let mergekit mix architectures."),
        click.option("--trust-remote-code", is_flag=True, help="Run code that models bring."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _known_device(_ctx: click.Context, _option: click.Parameter, text: str) -> str:
    """Refuses what names no device, before anything is read or run."""
    from evomerge_compiler.gpus import parse_device

    parse_device(text)
    return text


def device_option(command: F) -> F:
    """``--device``: where models are scored."""
    return click.option(
        "--device", callback=_known_device, default="auto", show_default=True,
        help="Where models are scored: auto, cpu, cuda or cuda:N.",
    )(command)  # fmt: skip


def work_options(command: F) -> F:
    """How candidates are merged and scored: all that evolve and what goes on with a run take."""
    options = [
        click.option(
            "-j", "--jobs", type=click.IntRange(min=1),
            help="Candidates at a time; by default one for each GPU, or one.",
        ),
        click.option(
            "--executor", type=click.Choice(["warm", "cli", "ray"]), default="warm",
            show_default=True,
            help="How candidates are merged: warm, in memory; cli, by mergekit-yaml and the disk; "
            "ray, as warm, on the nodes of a Ray cluster.",
        ),
        click.option(
            "--ray-address",
            help="auto, host:port or ray://host:port; without it, ray runs on this machine alone.",
        ),
        device_option,
        click.option(
            "--retries", type=click.IntRange(min=0), default=1, show_default=True,
            help="New tries for a candidate whose worker crashed.",
        ),
        click.option("--timeout_s", type=float, help="Seconds for one merge or one evaluation."),
        click.option(
            "--no-sandbox", is_flag=True, help="Run generated code without the sandbox."
        ),
        click.option(
            "--confirm_run_unsafe_code", is_flag=True,
            help="Accepted as lm-eval's flag; generated code runs in the sandbox all the same.",
        ),
        click.option(
            "--accept-lock", is_flag=True,
            help="Go on although versions or models differ from those the run began with.",
        ),
        merge_options,
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def work_of(flags: Mapping[str, Any]) -> Options:
    """What :func:`work_options` were given, as launch options.

    Raises:
        UsageError: They do not go together.
    """
    from evomerge_compiler.launch import Options

    if flags["ray_address"] is not None and flags["executor"] != "ray":
        raise UsageError("--ray-address goes with --executor ray")
    limit_s = flags["timeout_s"]
    return Options(
        executor=flags["executor"],
        ray_address=flags["ray_address"],
        jobs=flags["jobs"],
        device=flags["device"],
        retries=flags["retries"],
        merge=merge_options_of(flags, timeout_s=limit_s),
        overrides=() if limit_s is None else (f"evaluation.timeout_s={limit_s}",),
        unsafe_code=flags["no_sandbox"],
        accept_lock=flags["accept_lock"],
    )


def merge_options_of(flags: Mapping[str, Any], timeout_s: float | None = None) -> MergeOptions:
    """What :func:`merge_options` were given."""
    from evomerge_compiler.merging.options import MergeOptions

    names = ("cuda", "low_cpu_memory", "allow_crimes", "trust_remote_code")
    return MergeOptions(timeout_s=timeout_s, **{name: flags[name] for name in names})


def json_option(command: F) -> F:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")(command)


def one_form(**forms: bool) -> None:
    """Refuses more than one form of output, of which all but one would be ignored.

    Raises:
        UsageError: Several flags are set.
    """
    given = [f"--{name}" for name, wanted in forms.items() if wanted]
    if len(given) > 1:
        several = " and ".join(given)
        raise UsageError(f"{several} are forms of one output", hint="give one of them")


def split_models(text: str) -> tuple[str, ...]:
    """``a,b,c`` as a tuple; empty for no text."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def require_writable(folder: Path) -> None:
    """Looks whether a folder can be written, or made, before hours are spent on what goes there.

    Raises:
        UsageError: It cannot.
    """
    there = folder.absolute()
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        raise UsageError(f"{folder} cannot be a folder: {there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{there} cannot be written", hint="name another folder")


def print_json(data: object) -> None:
    """Plain data as indented JSON on stdout."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def split_run_reference(text: str) -> tuple[Path, CandidateId | None]:
    """``RUN:003/c05`` or ``RUN`` as a folder and an id.

    ``RUN`` is a folder, or the name of one under ``runs/``. ``RUN:best`` is the best candidate.

    Raises:
        UsageError: There is no such run.
    """
    run, _, candidate = text.partition(":")
    folder = run_path(run)
    if not candidate:
        return folder, None
    if candidate == "best":
        return folder, best_of(folder)
    return folder, CandidateId.parse(candidate)


def run_path(text: str) -> Path:
    """The run folder that ``text`` names.

    Raises:
        UsageError: There is none.
    """
    for folder in (Path(text), Path("runs") / text):
        if (folder / "recipe.lock.yaml").is_file():
            return folder
    known = sorted(p.parent.name for p in Path("runs").glob("*/recipe.lock.yaml"))
    hint = f"runs here: {', '.join(known)}" if known else "evomerge evolve makes one"
    raise UsageError(f"no run folder {text!r}", hint=hint)


def is_run_reference(text: str) -> bool:
    """Whether ``text`` is a run or a candidate of one, rather than a recipe or model."""
    run = text.partition(":")[0]
    return any(
        (folder / "recipe.lock.yaml").is_file() for folder in (Path(run), Path("runs") / run)
    )


def best_of(folder: Path) -> CandidateId:
    """The best candidate so far.

    Raises:
        UsageError: The run has scored none.
    """
    from evomerge_compiler import yamlio

    path = folder / "best.yaml"
    if not path.is_file():
        raise UsageError(f"{folder} has no best candidate yet", hint="evomerge evolve scores some")
    data = yamlio.read_file(path, kind="best.yaml").data
    assert isinstance(data, Mapping)
    return CandidateId.parse(str(data["id"]))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A plain text table: numbers right, words left, two spaces between."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [
        max(len(str(h)), *(len(row[i]) for row in cells)) if cells else len(str(h))
        for i, h in enumerate(header)
    ]

    def line(row: Sequence[str], original: Sequence[object] | None = None) -> str:
        parts = []
        for i, cell in enumerate(row):
            words = " " in cell and any(map(str.isalpha, cell))
            number = original is not None and cell and cell[0] in "0123456789-+." and not words
            parts.append(cell.rjust(widths[i]) if number and i else cell.ljust(widths[i]))
        return "  ".join(parts).rstrip()

    return "\n".join([line(list(header)), *(line(row, row) for row in cells)])
