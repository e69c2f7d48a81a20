"""One merge or one evaluation outside an evolution: of a recipe, a candidate, or a model."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from evomerge_compiler import recipe as recipes
from evomerge_compiler.assets import ZOO_PREFIX
from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.compiler import MergePlan, compile_recipe
from evomerge_compiler.compiler.model_headers import SourceModel, source_model
from evomerge_compiler.errors import MissingPrerequisite, UsageError
from evomerge_compiler.gene_spec import declaration, shape
from evomerge_compiler.merging.cli import MergedModel, run_plan
from evomerge_compiler.merging.options import MergeOptions, gpu_available
from evomerge_compiler.merging.parents import source_folders
from evomerge_compiler.merging.sources import materialise
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.recipe_schema import ModelSpec
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.yamlio import dump


def merge_target(
    text: str,
    candidate: CandidateId | None,
    options: MergeOptions,
    overrides: tuple[str, ...] = (),
) -> tuple[Recipe, MergeOptions]:
    """The merge that a recipe file, or a candidate of a run, describes, and how to do it.

    Raises:
        UsageError: It is an experiment, which has many merges.
        MissingPrerequisite: It was merged on a GPU, and there is none.
    """
    if candidate is not None:
        run = RunFolder.open(text)
        stored = run.candidate(candidate)
        if stored.problem is not None:
            raise stored.problem
        assert stored.genome is not None
        return run.recipe.with_genome(stored.genome), as_merged(run, options)
    loaded = recipes.load(text, overrides=overrides)
    if loaded.kind != "merge":
        raise UsageError(
            f"{text} is an experiment with many merges",
            hint="name a candidate as RUN:003/c05, or a recipe with kind: merge",
        )
    return loaded, options


def as_merged(run: RunFolder, options: MergeOptions) -> MergeOptions:
    """The options that make a run's candidates again, where they leave open on what device.

    A GPU draws other random numbers than a CPU: what it merged there is another model here.

    Raises:
        MissingPrerequisite: The run merged on a GPU, and there is none.
    """
    if options.cuda is not None:
        return options
    cuda = "merge_device" in run.lock.resolved  # left out where it is the CPU
    if cuda and not gpu_available():
        raise MissingPrerequisite(
            f"{run.root} was merged on a GPU and none is found",
            hint="--no-cuda merges on the CPU, which may give another model",
        )
    return replace(options, cuda=cuda)


def model_target(text: str) -> SourceModel:
    """A model given as folder, ``zoo:NAME``, GGUF file or hub id."""
    spec = ModelSpec(path=text)
    try:
        return source_model("model", spec, Path.cwd())
    except UsageError:
        raise
    except Exception as error:
        if text.startswith(ZOO_PREFIX) or Path(text).exists() or "/" not in text:
            raise
        raise MissingPrerequisite(
            f"model {text!r} is not on this machine",
            hint=f"fetch it first: hf download {text}",
        ) from error


def merge_to(
    recipe: Recipe, out: Path, options: MergeOptions, *, work: Path | None = None
) -> tuple[MergePlan, MergedModel]:
    """Merges one recipe to a folder, with tokenizer and config.

    Args:
        recipe: ``kind: merge``.
        out: The folder to write.
        options: mergekit's flags.
        work: Keeps stages for later merges; a folder beside ``out``, removed at the end, by
            default.

    Raises:
        EvomergeError: The recipe does not compile, or the merge fails.
    """
    plan = compile_recipe(recipe)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _work_folder(out, work) as folder:
        sources = source_folders(plan, recipe.folder, folder, options)
        return plan, run_plan(plan, sources, work=folder, out=out, options=options)


@contextmanager
def _work_folder(out: Path, work: Path | None) -> Iterator[Path]:
    if work is not None:
        yield work
        return
    temporary = Path(tempfile.mkdtemp(prefix=".evomerge-", dir=out.parent))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary)


def model_folder(model: SourceModel, work: Path) -> Path:
    """The model's folder, fetched or converted when it has to be."""
    return materialise(model, Path.cwd(), work)


def standalone_text(run_path: Path, candidate: CandidateId, destination: Path) -> str:
    """A candidate as a ``kind: merge`` recipe that needs nothing of its run.

    Args:
        run_path: The run folder.
        candidate: Which one.
        destination: The folder it will lie in; relative model paths are rewritten for it.
    """
    run = RunFolder.open(run_path)
    stored = run.candidate(candidate)
    if stored.problem is not None or stored.genome is None:
        raise stored.problem or UsageError(f"{candidate} has no genome")
    recipe = run.recipe
    data = recipe.document.data
    assert isinstance(data, dict)
    kept = ("version", "template", "layer_groups", "dtype", "out_dtype", "tokenizer",
            "chat_template", "config_from", "seed", "evaluation")  # fmt: skip
    out: dict[str, object] = {"kind": "merge", "name": recipe.name}
    out |= {key: data[key] for key in kept if key in data}
    out["models"] = {
        alias: _moved(spec, recipe.folder, destination) for alias, spec in recipe.models.items()
    }
    if recipe.base_spec is not None:
        out["base"] = _moved(recipe.base_spec, recipe.folder, destination)
    # Fixed genes at the template's own values are the template's business.
    active = recipe.space.values(stored.genome)
    genes = {**recipe.space.fixed_genes, **recipe.space.by_name}
    shapes = {gene.name: shape(gene) for gene in recipe.template.genes}
    out["genome"] = {
        name: value if shape(genes[name]) == shapes[name] else declaration(genes[name], value)
        for name, value in active.items()
        if recipe.template.fixed.get(name) != value or shape(genes[name]) != shapes[name]
    }
    return f"# {run.name} {candidate}\n" + dump(out)


def _moved(spec: ModelSpec, old: Path, new: Path) -> dict[str, object]:
    """A model's recipe entry with its relative path seen from another folder."""
    data = {k: v for k, v in spec.model_dump().items() if v is not None}
    path = old / spec.path
    if not spec.path.startswith(ZOO_PREFIX) and path.exists():
        data["path"] = os.path.relpath(path.resolve(), new.resolve())
    return data
