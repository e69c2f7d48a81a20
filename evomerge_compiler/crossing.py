"""Crossovers of models: candidates that merge other candidates of their run.

An ordinary candidate is a point of its experiment's space. A *crossing* is a point of the space of
another template, whose models are candidates of earlier generations: their recipes compose. Its
``recipe.yaml`` names them, so a person may change its genes and its parents alike:

    kind: merge
    from: ../../../recipe.yaml
    template: split_slerp
    models:
      first:
        path: ../../002/c05/recipe.yaml
      second:
        path: ../../000/c01/recipe.yaml
    genome:
      split: 0.4375
      t_before: 0.31
      t_after: 0.69
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evomerge_compiler import templates
from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.errors import ErrorList, EvomergeError, did_you_mean
from evomerge_compiler.gene import Path
from evomerge_compiler.genome import Genome, GenomeSpace, MakeError, plain_error
from evomerge_compiler.yamlio import Scalar

# The parents of a crossing, in the order of the models of its template.
ALIASES = ("first", "second", "third")
LINEAR = "linear"
SPLIT_SLERP = "split_slerp"
# Templates that cross, and how many parents each takes.
N_PARENTS = {LINEAR: (2, 3), SPLIT_SLERP: (2, 2)}
KEYS = ("template", "models", "genome")
_PATH = re.compile(r"\.\./\.\./([0-9]{3,6}/c[0-9]{2,5})/recipe\.yaml\Z")
_EXAMPLE = "../../002/c05/recipe.yaml"


@dataclass(frozen=True, eq=False)
class Crossing(Genome):
    """A point of the space of a crossover, and the candidates that it crosses.

    Attributes:
        template: A name of :data:`N_PARENTS`.
        models: The parents, in the order of the template's models.
    """

    template: str
    models: tuple[CandidateId, ...]

    def plain(self) -> dict[str, object]:
        """The crossing as plain dicts, lists and scalars; nothing else is like it."""
        named = zip(ALIASES, map(str, self.models), strict=False)
        return {"template": self.template, "models": dict(named), "genome": dict(self.values)}

    def __reduce__(self) -> tuple[object, ...]:
        return (Crossing, (dict(self.values), self.template, self.models))

    @property
    def space(self) -> GenomeSpace:
        """The genes of its template."""
        return space_of(self.template, len(self.models))

    def moved(self, values: Genome) -> Crossing:
        """Other values for the genes, of the same parents."""
        return Crossing(values.values, self.template, self.models)

    def document(self) -> dict[str, object]:
        """What its recipe holds besides ``kind`` and ``from``."""
        models = {
            alias: {"path": f"../../{parent}/recipe.yaml"}
            for alias, parent in zip(ALIASES, self.models, strict=False)
        }
        return {"template": self.template, "models": models, "genome": dict(self.values)}


@functools.lru_cache(maxsize=16)
def space_of(template: str, n_parents: int) -> GenomeSpace:
    """The genes of a crossover, as its template declares them."""
    loaded = templates.load(template)
    settled = loaded.fixed_for(n_parents, 1)
    genes = loaded.genes_for(n_parents)
    return GenomeSpace(
        genes=tuple(gene for gene in genes if gene.name not in settled),
        fixed=settled,
        fixed_genes={gene.name: gene for gene in genes if gene.name in settled},
        models=ALIASES[:n_parents],
        n_groups=1,
    )


def crossing(template: str, models: Sequence[CandidateId], flat: Sequence[Scalar]) -> Crossing:
    """A crossing of a value for every coordinate of its space, quantised.

    Args:
        template: A name of :data:`N_PARENTS`.
        models: The parents.
        flat: ``(n_coordinates,)`` values.
    """
    space = space_of(template, len(models))
    return Crossing(space.from_flat(flat).values, template, tuple(models))


def genome_space(space: GenomeSpace, genome: Genome) -> GenomeSpace:
    """The space that a genome is a point of: its crossover's, or else its experiment's."""
    return genome.space if isinstance(genome, Crossing) else space


def is_crossing(data: Mapping[str, object]) -> bool:
    """Whether the data of a candidate's recipe is that of a crossing."""
    return bool({"template", "models"} & data.keys())


def parse(
    data: Mapping[str, object], error: MakeError = plain_error
) -> tuple[Crossing | None, list[EvomergeError]]:
    """Reads what a candidate's recipe holds of a crossing.

    Args:
        data: The recipe, with ``template``, ``models`` and ``genome``.
        error: Makes an error with a place.

    Returns:
        The crossing, None when there are problems; and all problems found.
    """
    problems = [error(f"{key} is missing", (), None) for key in KEYS if key not in data]
    template = data.get("template")
    if "template" in data and template not in N_PARENTS:
        message = f"expected a template that crosses models, got {template!r}"
        hint = did_you_mean(str(template), N_PARENTS)
        problems.append(error(message, ("template",), hint))
    models, wrong = _read_models(data.get("models", {}), error)
    problems += wrong
    if problems:
        return None, problems
    least, most = N_PARENTS[str(template)]
    if not least <= len(models) <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        message = f"template {template!r} crosses {wanted} models, got {len(models)}"
        return None, [error(message, ("models",), None)]
    space = space_of(str(template), len(models))
    genome, problems = space.parse(data["genome"], error, ("genome",))
    if problems:
        return None, problems
    return Crossing(genome.values, str(template), models), []


def read(data: Mapping[str, object], error: MakeError) -> Crossing:
    """As :func:`parse`.

    Raises:
        ErrorList: There are problems.
    """
    found, problems = parse(data, error)
    if found is None:
        raise ErrorList(problems)
    return found


def _read_models(
    data: object, error: MakeError
) -> tuple[tuple[CandidateId, ...], list[EvomergeError]]:
    """The parents, by their paths."""
    if not isinstance(data, Mapping):
        return (), [error("expected a mapping of aliases to models", ("models",), None)]
    problems: list[EvomergeError] = []
    models: list[CandidateId] = []
    wanted = ALIASES[: len(data)]
    if tuple(data) != wanted:
        message = f"expected the models {', '.join(wanted)}, got {', '.join(map(str, data))}"
        return (), [error(message, ("models",), "they are told apart by their order")]
    for alias, spec in data.items():
        at: Path = ("models", alias)
        path = spec.get("path") if isinstance(spec, Mapping) and list(spec) == ["path"] else None
        match = _PATH.match(path) if isinstance(path, str) else None
        if match is None:
            hint = f"a crossing merges candidates of its own run: {{path: {_EXAMPLE}}}"
            problems.append(error(f"expected the path of a candidate, got {spec!r}", at, hint))
            continue
        parent = CandidateId.parse(match[1])
        if parent in models:
            problems.append(error(f"{parent} is named twice", at, "cross two different ones"))
        models.append(parent)
    return tuple(models), problems
