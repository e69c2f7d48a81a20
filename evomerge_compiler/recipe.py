"""Recipes: strict loading of what a person wrote, with every mistake named at its place.

``kind: experiment`` names models, a template, the genes that may vary, the evaluation and the
search. ``kind: merge`` is one fixed genome; with ``from:`` it is a point of an experiment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from evomerge_compiler import recipe_phases, templates, yamlio
from evomerge_compiler.assets import ZOO_PREFIX, names
from evomerge_compiler.errors import ErrorList, EvomergeError, Place, RecipeError, did_you_mean
from evomerge_compiler.gene import BY_MODEL, OTHER_TENSORS, Gene
from evomerge_compiler.gene_spec import init_problems, is_declaration, read_gene
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.recipe_candidates import read_genome
from evomerge_compiler.recipe_errors import validate
from evomerge_compiler.recipe_overrides import override, replace_models
from evomerge_compiler.recipe_racing import racing_problems
from evomerge_compiler.recipe_schema import (
    CandidateFile,
    EvaluationSpec,
    ExperimentFile,
    MergeFields,
    MergeFile,
    ModelSpec,
    RaySpec,
    SearchSpec,
    SimulationSpec,
)
from evomerge_compiler.templates import Template
from evomerge_compiler.yamlio import Document

BASE_ALIAS = "base"
DEFAULT_LAYER_GROUPS = 4
RECIPE_SUFFIXES = (".yaml", ".yml")
LOCK_NAME = "recipe.lock.yaml"
# What the results of a run call the models that are no parents.
UNIFORM, WINNER, CONTROL = "uniform", "winner", "control"


@dataclass(frozen=True)
class Recipe:
    """A recipe, checked and ready to compile.

    Attributes:
        kind: ``experiment`` or ``merge``.
        name: Used for the run folder.
        models: Parents by alias, in recipe order (``per: model`` ranges over these).
        base: Alias of the base model; a base of its own has the alias ``base``.
        base_spec: Set when the base is not one of ``models``.
        template: What the genome renders through.
        space: The genes that may vary and the fixed ones.
        genome: The fixed genome of a merge; the initial genome of an experiment.
        n_groups: Layer groups that ``per: layer_group`` ranges over.
        dtype, out_dtype, tokenizer, chat_template, config_from: As in the file.
        evaluation: How candidates are scored, if the file says.
        search: How genomes are proposed (experiments).
        seeds: Recipe files put into generation 0, absolute.
        seed: The one seed every random draw comes from.
        document: The file as read, for places.
        folder: What relative paths in the file are relative to.
        simulation: What stands in for models when the search is simulated.
        ray: What a worker asks of its node when there is a cluster of them.
        run: The run folder that it is of: crossings of models find their parents there.
    """

    kind: Literal["experiment", "merge"]
    name: str
    models: Mapping[str, ModelSpec]
    base: str
    base_spec: ModelSpec | None
    template: Template
    space: GenomeSpace
    genome: Genome
    n_groups: int
    dtype: str
    out_dtype: str | None
    tokenizer: str | None
    chat_template: str | None
    config_from: str | None
    evaluation: EvaluationSpec | None
    search: SearchSpec | None
    seeds: tuple[Path, ...]
    seed: int
    document: Document = field(repr=False)
    folder: Path
    simulation: SimulationSpec = field(default_factory=SimulationSpec)
    ray: RaySpec = field(default_factory=RaySpec)
    run: Path | None = None

    @property
    def all_models(self) -> dict[str, ModelSpec]:
        """Parents, and the base when it is none of them, by alias."""
        extra = {BASE_ALIAS: self.base_spec} if self.base_spec is not None else {}
        return {**self.models, **extra}

    def with_genome(self, genome: Genome) -> Recipe:
        """The merge of one genome of this experiment."""
        return replace(self, kind="merge", genome=genome)

    def in_run(self, run: Path) -> Recipe:
        """The same recipe as that of a run folder."""
        return replace(self, run=run)


def load(
    path: str | Path,
    *,
    overrides: Sequence[str] = (),
    models: Sequence[str] = (),
) -> Recipe:
    """Loads a recipe of any kind.

    Args:
        path: The file, or the name of a shipped recipe.
        overrides: ``key=value`` with dotted keys, as given with ``-S``.
        models: Models that replace the recipe's own in order, as given with ``--models``; paths
            are relative to the current folder.

    Raises:
        RecipeError: Something is wrong; several mistakes come as one ErrorList.
    """
    found = find(path)
    document = yamlio.read_file(found)
    data = document.data
    if not isinstance(data, dict):
        raise document.error(
            "expected a mapping of recipe keys",
            hint="start from a shipped recipe: evomerge cp quickstart mine.yaml",
        )
    folder, locked_overrides, locked_models = _started_with(found)
    # A lock's models are seen from the recipe already.
    seen_from = folder if models else None
    document = replace_models(document, models or locked_models, seen_from)
    for text in (*locked_overrides, *overrides):
        document = override(document, text)
    loaded = from_document(document, folder)
    return loaded.in_run(found.parent) if _is_run(found) else loaded


def from_data(data: Mapping[str, object], folder: Path, name: str = "<made>") -> Recipe:
    """A recipe of plain data that comes from no file.

    Args:
        data: As a recipe file holds it.
        folder: What relative paths in it are relative to.
        name: Stands for the file in places.
    """
    return from_document(Document(data=dict(data), file=name), folder)


def from_document(document: Document, folder: Path) -> Recipe:
    """A recipe of any kind from a document that was read.

    Raises:
        RecipeError: Something is wrong; several mistakes come as one ErrorList.
    """
    data = document.data
    assert isinstance(data, dict)
    kind = data.get("kind", "experiment")
    if kind == "experiment":
        return _Builder(document, folder).experiment(validate(ExperimentFile, document))
    if kind == "merge" and "from" in data:
        return _candidate(document, folder)
    if kind == "merge":
        return _Builder(document, folder).merge(validate(MergeFile, document))
    raise document.error(
        f"unknown kind {kind!r}",
        ("kind",),
        hint=did_you_mean(str(kind), ("experiment", "merge")),
    )


def find(path: str | Path) -> Path:
    """The file of a recipe given as path or as the name of a shipped one."""
    candidate = Path(path)
    if candidate.exists():
        return candidate
    known = names("recipes")
    if str(path) in known:
        return known[str(path)]
    name = candidate.name
    hint = did_you_mean(name.removesuffix(".yaml"), known)
    raise RecipeError("no such recipe", hint=hint, place=Place(str(path)))


def _started_with(path: Path) -> tuple[Path, tuple[str, ...], tuple[str, ...]]:
    """The folder, overrides and models that go with a recipe file.

    A run keeps its recipe byte for byte; what that was relative to, and what was set on the
    command line when the run was started, stand in the lock beside it.
    """
    if not _is_run(path):
        return path.parent, (), ()
    lock = path.parent / LOCK_NAME
    data = yamlio.read_file(lock, kind="lock").data
    if not isinstance(data, dict) or not isinstance(data.get("folder"), str):
        raise RecipeError("expected the lock of a run", place=Place(str(lock)))
    folder = path.parent / data["folder"]
    return folder, tuple(data.get("overrides") or ()), tuple(data.get("models") or ())


def _is_run(path: Path) -> bool:
    """Whether a recipe file is that of a run folder."""
    return path.name == "recipe.yaml" and (path.parent / LOCK_NAME).is_file()


class _Builder:
    """Builds a :class:`Recipe` from a validated file, collecting mistakes."""

    def __init__(self, document: Document, folder: Path) -> None:
        self.document = document
        self.folder = folder.resolve()
        self.problems: list[EvomergeError] = []

    def error(
        self, message: str, path: tuple[str | int, ...], hint: str | None = None
    ) -> EvomergeError:
        return self.document.error(message, path, hint=hint)

    def experiment(self, file: ExperimentFile) -> Recipe:
        if file.evaluation.holdout == 0:
            message = "a search needs held-out items: what it claims is claimed on these"
            hint = "expected more than 0 and less than 1, such as 0.5"
            self.problems.append(self.error(message, ("evaluation", "holdout"), hint))
        seeds = []
        for index, name in enumerate(file.seeds):
            path = (self.folder / name).resolve()
            if not path.is_file():
                message = f"no recipe file {name!r}"
                hint = f"it is looked for in {self.folder}"
                self.problems.append(self.error(message, ("seeds", index), hint))
            seeds.append(path)
        built = self.build(file, "experiment", file.evaluation, file.search, tuple(seeds))
        search, wrong = recipe_phases.settle(file.search, built.space, self.document)
        if wrong:
            raise ErrorList(wrong)
        return replace(built, search=search, simulation=file.simulation, ray=file.ray)

    def merge(self, file: MergeFile) -> Recipe:
        return self.build(file, "merge", file.evaluation, None, ())

    def build(
        self,
        file: MergeFields,
        kind: Literal["experiment", "merge"],
        evaluation: EvaluationSpec | None,
        search: SearchSpec | None,
        seeds: tuple[Path, ...],
    ) -> Recipe:
        self.check_models(file)
        try:
            template = templates.load(file.template, base_folder=self.folder)
        except EvomergeError as error:
            if error.place is None:
                error.place = self.document.place(("template",))
            raise ErrorList([*self.problems, error]) from None
        space = self.space(file, template, n_groups=file.layer_groups or DEFAULT_LAYER_GROUPS)
        genome = space.initial()
        if kind == "merge":
            self.check_fixed_genome(file, space)
        self.problems += racing_problems(evaluation, search, self.document)
        if self.problems:
            raise ErrorList(self.problems)
        return Recipe(
            kind=kind,
            name=file.name,
            models=file.models,
            base=BASE_ALIAS if file.base is not None else next(iter(file.models)),
            base_spec=file.base,
            template=template,
            space=space,
            genome=genome,
            n_groups=space.n_groups,
            dtype=file.dtype,
            out_dtype=file.out_dtype,
            tokenizer=file.tokenizer,
            chat_template=file.chat_template,
            config_from=file.config_from,
            evaluation=evaluation,
            search=search,
            seeds=seeds,
            seed=file.seed,
            document=self.document,
            folder=self.folder,
        )

    def check_fixed_genome(self, file: MergeFields, space: GenomeSpace) -> None:
        """A merge has one genome: no ranges, and no value that would do nothing."""
        active = set(space.values(space.initial()))
        for name, value in file.genome.items():
            if is_declaration(value) and "value" not in value:
                message = f"a merge holds one value of {name!r}, got a range"
                hint = "write the value itself, or make it a kind: experiment"
                self.problems.append(self.error(message, ("genome", name), hint))
            elif name in space.fixed and name not in active:
                message = f"gene {name!r} is not active here, so its value would do nothing"
                self.problems.append(self.error(message, ("genome", name)))

    def check_models(self, file: MergeFields) -> None:
        if file.base is not None and BASE_ALIAS in file.models:
            message = "a model has the alias 'base' and there is a base of its own"
            self.problems.append(self.error(message, ("models", BASE_ALIAS), "rename the model"))
        for alias in (UNIFORM, WINNER, CONTROL):
            if alias in file.models:
                message = f"the alias {alias!r} has a meaning of its own in the results of a run"
                self.problems.append(self.error(message, ("models", alias), "rename the model"))
        if OTHER_TENSORS in file.models:
            message = f"the alias {OTHER_TENSORS!r} means all tensors without a filter"
            at = ("models", OTHER_TENSORS)
            self.problems.append(self.error(message, at, "rename the model"))
        aliases = [*file.models, *([BASE_ALIAS] if file.base is not None else [])]
        for key in ("tokenizer", "chat_template", "config_from"):
            alias = getattr(file, key)
            if alias is not None and alias not in aliases:
                message = f"{key} names {alias!r}, which is no model of this recipe"
                self.problems.append(self.error(message, (key,), did_you_mean(alias, aliases)))
        specs = [(("models", alias), spec) for alias, spec in file.models.items()]
        if file.base is not None:
            specs.append((("base",), file.base))  # type: ignore[arg-type]
        for at, spec in specs:
            if spec.path.startswith(ZOO_PREFIX):
                name = spec.path[len(ZOO_PREFIX) :]
                known = names("zoo")
                if name not in known:
                    hint = did_you_mean(name, known)
                    message = f"no zoo model {name!r}"
                    self.problems.append(self.error(message, (*at, "path"), hint))

    def space(self, file: MergeFields, template: Template, n_groups: int) -> GenomeSpace:
        declared = {gene.name: gene for gene in template.genes_for(len(file.models))}
        settled = template.fixed_for(len(file.models), n_groups)
        shapes = dict(declared)
        free: dict[str, Gene] = {}
        held: dict[str, object] = {}
        for name, value in file.genome.items():
            at = ("genome", name)
            if name not in declared:
                hint = did_you_mean(name, declared)
                message = f"template {template.name!r} reads no gene {name!r}"
                self.problems.append(self.document.error(message, at, hint=hint, key=True))
            elif is_declaration(value):
                range_only = {key: part for key, part in value.items() if key != "value"}
                gene, wrong = read_gene(name, range_only, self.error, at)
                self.problems += wrong
                if gene is not None and "value" in value:
                    shapes[name], held[name] = gene, value["value"]
                elif gene is not None:
                    free[name] = gene
                    self.problems += init_problems(gene, file.models, self.error, at)
            else:
                held[name] = value
        for name, gene in declared.items():
            if name in free or name in held:
                continue
            if name in settled:
                held[name] = settled[name]
            else:
                free[name] = gene
        # Recipe order first, then the template's own order for what the recipe leaves out.
        order = [*(n for n in file.genome if n in free), *(n for n in declared if n in free)]
        genes = tuple(_with_weights(free[name], file.models) for name in dict.fromkeys(order))
        # The difference of the base from itself is nothing: no gene has a value for it.
        ranged = tuple(file.models)
        if template.base == "origin" and file.base is None:
            ranged = ranged[1:] or ranged
        shell = GenomeSpace(genes, {}, {}, ranged, n_groups)
        self.check_conditions(genes, shapes)
        fixed = {
            name: self.held(shell, shapes[name], held[name], shapes[name] is not declared[name])
            for name in declared
            if name in held
        }
        return GenomeSpace(
            genes=genes,
            fixed=fixed,
            fixed_genes={name: shapes[name] for name in fixed},
            models=ranged,
            n_groups=n_groups,
        )

    def held(self, shell: GenomeSpace, gene: Gene, value: object, declared: bool) -> object:
        # A template's range says where to search. A person who fixes a number may step out of
        # it; what mergekit cannot take is found when the merge is compiled.
        free = replace(gene, low=-math.inf, high=math.inf) if gene.kind != "choice" else gene
        at = ("genome", gene.name, *(("value",) if declared else ()))
        shaped, wrong = shell.shape(free, value, self.error, at)
        self.problems += wrong
        return shaped

    def check_conditions(self, genes: Sequence[Gene], declared: Mapping[str, Gene]) -> None:
        known = {**declared, **{gene.name: gene for gene in genes}}
        for gene in genes:
            for parent, allowed in gene.when.items():
                at = ("genome", gene.name, "when", parent)
                if parent not in known:
                    hint = did_you_mean(parent, known)
                    self.problems.append(self.error(f"no gene {parent!r}", at, hint))
                    continue
                if known[parent].per is not None:
                    message = f"{parent!r} has many values; a condition needs a single one"
                    self.problems.append(self.error(message, at))
                    continue
                for value in allowed:
                    wrong = known[parent].problem(value)
                    if wrong:
                        self.problems.append(self.error(f"{parent}: {wrong}", at))


def _with_weights(gene: Gene, models: Mapping[str, ModelSpec]) -> Gene:
    """A model's ``weight`` in the recipe is the first value of its ``weight`` genes."""
    given = {alias: spec.weight for alias, spec in models.items() if spec.weight is not None}
    if gene.name != "weight" or not given or gene.per not in BY_MODEL:
        return gene
    start = gene.init if isinstance(gene.init, Mapping) else dict.fromkeys(models, gene.init)
    return replace(gene, init={**start, **given})


def _candidate(document: Document, folder: Path) -> Recipe:
    """A candidate of the experiment that ``from:`` names."""
    file: CandidateFile = validate(CandidateFile, document)
    target = (folder / file.from_).resolve()
    if not target.is_file():
        raise document.error(
            f"no recipe at {file.from_!r}", ("from",), hint=f"it is looked for in {folder}"
        )
    experiment = load(target)
    if experiment.kind != "experiment":
        raise document.error("from: must name an experiment, not a merge", ("from",))
    merged = experiment.with_genome(read_genome(document, experiment.space))
    return replace(merged, name=file.name or experiment.name, document=document)
