"""A candidate's ``recipe.yaml``: the one file of a run that people edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evomerge_compiler import crossing, yamlio
from evomerge_compiler.errors import ErrorList, EvomergeError, Place, RecipeError, did_you_mean
from evomerge_compiler.genome import Genome, GenomeSpace, MakeError, plain_error
from evomerge_compiler.recipe_candidates import FROM_CANDIDATE
from evomerge_compiler.run_folder.files import load_plain


def candidate_text(genome: Genome) -> str:
    """``recipe.yaml`` of a candidate: the file people edit."""
    own: dict[str, object] = {"genome": genome.plain()}
    if isinstance(genome, crossing.Crossing):
        own = genome.document()
    return yamlio.dump({"kind": "merge", "from": FROM_CANDIDATE, **own})


def candidate_genome(text: str, file: str, space: GenomeSpace, crossover: str = "") -> Genome:
    """The genome in a candidate's ``recipe.yaml``, which a person may have edited.

    Args:
        text: The file.
        file: Its name, for places.
        space: The experiment's.
        crossover: Template of the crossing that the slot holds, empty for a genome of the space.

    Raises:
        EvomergeError: Something in it is wrong; the place says where.
    """
    own = crossing.KEYS if crossover else ("genome",)
    canonical = _canonical(text, own)
    if canonical is not None:
        genome, problems = _parsed(canonical, space, crossover, plain_error)
        if genome is not None:
            return genome
    document = yamlio.parse(text, file=file)
    if text and not text.endswith("\n"):
        # A file cut inside its last number reads as another number.
        last = text.count("\n") + 1
        column = len(text) - (text.rfind("\n") + 1) + 1
        raise RecipeError(
            "expected a line break at the end of the file",
            hint="save the file whole",
            place=Place(file, last, column, text.rsplit("\n", 1)[-1]),
        )

    def error(message: str, path: tuple[str | int, ...], hint: str | None) -> EvomergeError:
        return document.error(message, path, hint=hint)

    data = document.data
    if not isinstance(data, dict):
        raise document.error("expected a mapping with kind, from and genome")
    found: list[EvomergeError] = []
    known = ("kind", "from", *own, "name")
    for key in data:
        if key not in known:
            hint = did_you_mean(key, known)
            found.append(document.error(f"unknown key {key!r}", (key,), hint=hint, key=True))
    fixed = {"kind": "merge", "from": FROM_CANDIDATE}
    for key, only in (fixed | ({"template": crossover} if crossover else {})).items():
        if data.get(key) != only:
            yours = "genome and the paths of models are" if crossover else "genome is"
            hint = f"in a run folder only the {yours} yours to edit"
            found.append(error(f"expected {key}: {only}, got {data.get(key)!r}", (key,), hint))
    found += [error(f"{key} is missing", (), None) for key in own if key not in data]
    genome = None
    if all(key in data for key in own):
        genome, problems = _parsed(data, space, crossover, error)
        found += problems
    if found or genome is None:
        raise ErrorList(found)
    return genome


def _parsed(
    data: Mapping[str, object], space: GenomeSpace, crossover: str, error: MakeError
) -> tuple[Genome | None, list[EvomergeError]]:
    """The genome in a candidate's data, None when there are problems; and all of these."""
    if crossover:
        return crossing.parse(data, error) if data["template"] == crossover else (None, [])
    genome, problems = space.parse(data["genome"], error, ("genome",))
    return (None, problems) if problems else (genome, [])


def _canonical(text: str, own: Sequence[str]) -> dict[str, object] | None:
    """The data of a text that is just as evomerge writes it, else None.

    Strict reading costs ten times as much, and folders may hold thousands of candidates.
    """
    import yaml

    if not text.startswith("kind: merge\nfrom: "):
        return None
    try:
        data = load_plain(text)
        if not isinstance(data, dict) or yamlio.dump(data) != text:
            return None
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    whole = list(data) == ["kind", "from", *own] and data["from"] == FROM_CANDIDATE
    return data if whole else None
