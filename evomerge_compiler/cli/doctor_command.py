"""``evomerge doctor``: what the installation has, and what it lacks for which task."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from evomerge_compiler.cli.common import json_option, print_json, table
from evomerge_compiler.errors import EXIT_MISSING_PREREQUISITE, EXIT_OK, EvomergeError

# What evomerge was tested with; another version of these may move a private interface.
TESTED = {"mergekit": "0.1.5", "lm-eval": "0.4.13"}
MINIMUM = {"jinja2": "3.1.6", "torch": "2.6", "transformers": "5.3"}
OPTIONAL = {"ray": "--executor ray", "vllm": "--backend vllm", "gguf": "GGUF models"}


@dataclass(frozen=True)
class Check:
    """One line of the report: ``ok``, ``note`` (works, but read it) or ``missing``."""

    name: str
    state: str
    detail: str


@click.command(epilog="Example: evomerge doctor --json")
@json_option
def command(as_json: bool) -> int:
    """Check the installation: versions, GPU, sandbox, disk. Exit 3 when something is missing."""
    checks = [*_versions(), _mergekit_command(), _gpu(), _sandbox(), _disk(), *_optional()]
    if as_json:
        print_json([vars(check) for check in checks])
    else:
        click.echo(table(("what", "state", "detail"), [tuple(vars(c).values()) for c in checks]))
    missing = any(check.state == "missing" for check in checks)
    return EXIT_MISSING_PREREQUISITE if missing else EXIT_OK


def _versions() -> list[Check]:
    from packaging.version import Version

    out = [Check("python", "ok", sys.version.split()[0])]
    for name in ("mergekit", "lm-eval", "transformers", "torch", "jinja2", "wandb"):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            out.append(Check(name, "missing", f"pip install {name}"))
            continue
        if name in MINIMUM and Version(version) < Version(MINIMUM[name]):
            out.append(Check(name, "missing", f"{version}, needs {MINIMUM[name]} or later"))
        elif name in TESTED and version != TESTED[name]:
            out.append(Check(name, "note", f"{version}, tested with {TESTED[name]}"))
        else:
            out.append(Check(name, "ok", version))
    return out


def _mergekit_command() -> Check:
    beside = Path(sys.executable).with_name("mergekit-yaml")
    found = str(beside) if beside.exists() else shutil.which("mergekit-yaml")
    if found is None:
        return Check("mergekit-yaml", "missing", "pip install mergekit")
    return Check("mergekit-yaml", "ok", found)


def _gpu() -> Check:
    from evomerge_compiler import gpus

    try:
        import torch
    except ImportError:
        return Check("gpu", "missing", "torch does not import")
    found = gpus.visible()
    if not found:
        return Check("gpu", "note", "none found; merges and evaluations run on the CPU")
    listed = ", ".join(f"{gpu.model} ({gpu.total_bytes / 1e9:.1f} GB)" for gpu in found)
    if not torch.cuda.is_available():
        return Check("gpu", "note", f"{listed}; this torch has no CUDA for it, the CPU is used")
    n_workers = len(gpus.names())
    return Check("gpu", "ok", f"{listed}; evolve has -j {n_workers} by default, one a GPU")


def _sandbox() -> Check:
    from evomerge_compiler.evaluation import sandbox

    try:
        layers = sandbox.shared().layers
    except EvomergeError as error:
        return Check("sandbox", "missing", error.message)
    return Check("sandbox", "ok", ", ".join(layers))


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    state = "ok" if free > 10 * 2**30 else "note"
    return Check("disk", state, f"{free / 2**30:.1f} GiB free here")


def _optional() -> list[Check]:
    return [
        Check(name, "ok" if importlib.util.find_spec(name) else "note",
              "installed" if importlib.util.find_spec(name) else f"not installed ({use})")
        for name, use in OPTIONAL.items()
    ]  # fmt: skip
