"""The recipe of a candidate: the genome in it, a point of its experiment or a crossing."""

from __future__ import annotations

from evomerge_compiler import crossing
from evomerge_compiler.errors import ErrorList, EvomergeError
from evomerge_compiler.genome import Genome, GenomeSpace
from evomerge_compiler.recipe_errors import validate
from evomerge_compiler.recipe_schema import CandidateFile
from evomerge_compiler.yamlio import Document

# What a candidate in a run folder names as its experiment.
FROM_CANDIDATE = "../../../recipe.yaml"


def read_genome(document: Document, space: GenomeSpace) -> Genome:
    """The genome of a ``kind: merge`` recipe with ``from:``.

    Args:
        document: The file as read.
        space: The space of the experiment that it is a point of.

    Raises:
        ErrorList: Everything that is wrong with it, each at its place.
    """
    file: CandidateFile = validate(CandidateFile, document)

    def error(message: str, path: tuple[str | int, ...], hint: str | None) -> EvomergeError:
        return document.error(message, path, hint=hint)

    if isinstance(document.data, dict) and crossing.is_crossing(document.data):
        if file.from_ != FROM_CANDIDATE:
            hint = f"a crossing lies in a run folder: write from: {FROM_CANDIDATE}"
            raise error("only a candidate of a run crosses models", ("from",), hint)
        return crossing.read(document.data, error)
    genome, problems = space.parse(file.genome, error, ("genome",))
    if problems:
        raise ErrorList(problems)
    return genome
