"""Reads ``search.phases``: which genes move when, and which are held meanwhile.

A phase moves the genes it names and holds all others: at the values of the best candidate so far,
or at their first values while there is none. So a recipe can search the parameter space first and
the data-flow space of what came of it second, as Akiba et al. do (arXiv:2403.13187, section 3.3).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate

from evomerge_compiler.errors import EvomergeError, did_you_mean
from evomerge_compiler.genome import GenomeSpace
from evomerge_compiler.recipe_schema import PhaseSpec, SearchSpec
from evomerge_compiler.yamlio import Document

AT = ("search", "phases")


def starts(phases: Sequence[PhaseSpec]) -> list[int]:
    """``(n_phases,)`` number of the generation with which each phase begins."""
    return [0, *accumulate(phase.generations for phase in phases)][: len(phases)]


def phase_of(phases: Sequence[PhaseSpec], generation: int) -> int | None:
    """Index of the phase that a generation belongs to, None where there are no phases.

    The last phase goes on for as long as the search does.
    """
    begun = [index for index, start in enumerate(starts(phases)) if start <= generation]
    return begun[-1] if begun else None


def begun_by(phases: Sequence[PhaseSpec], generation: int) -> str | None:
    """The name of the phase that begins with a generation, if one does."""
    index = phase_of(phases, generation)
    if index is None or starts(phases)[index] != generation:
        return None
    return phases[index].name


def settle(
    search: SearchSpec, space: GenomeSpace, document: Document
) -> tuple[SearchSpec, list[EvomergeError]]:
    """The search with the generations that its phases add up to, and what is wrong with them.

    Args:
        search: As written.
        space: All genes of the recipe.
        document: The recipe, for places.
    """
    if not search.phases:
        return search, []
    problems = [
        *_written_twice(search, document),
        *_gene_problems(search, space, document),
        *_unread(search, document),
    ]
    total = sum(phase.generations for phase in search.phases)
    return search.model_copy(update={"generations": total}), problems


def _written_twice(search: SearchSpec, document: Document) -> Iterator[EvomergeError]:
    if "generations" in search.model_fields_set:
        yield document.error(
            "the phases say how many generations there are",
            ("search", "generations"),
            hint="leave it out; --gens stops earlier, or lets the last phase go on",
            key=True,
        )
    names = [phase.name for phase in search.phases]
    for index, name in enumerate(names):
        if name in names[:index]:
            message = f"two phases are called {name!r}"
            yield document.error(message, (*AT, index, "name"), hint="rename one of them")


def _gene_problems(
    search: SearchSpec, space: GenomeSpace, document: Document
) -> Iterator[EvomergeError]:
    moved: dict[str, str] = {}
    for index, phase in enumerate(search.phases):
        known = [name for name in phase.genes if name in space.by_name]
        can_move = {*moved, *known}
        for place, name in enumerate(phase.genes):
            at = (*AT, index, "genes", place)
            if name in space.fixed:
                message = f"gene {name!r} is held at {space.fixed[name]!r} by the recipe"
                hint = "free it in the recipe's genome, or leave it out here"
                yield document.error(message, at, hint=hint)
            elif name not in space.by_name:
                hint = did_you_mean(name, space.by_name)
                yield document.error(f"unknown gene {name!r}", at, hint=hint)
            elif name in moved:
                message = f"gene {name!r} is moved by phase {moved[name]!r} already"
                yield document.error(message, at, hint="name it in one phase only")
            elif not _possible(space, name, can_move):
                message = f"gene {name!r} is never active in phase {phase.name!r}"
                hint = f"{space.condition(name)}; move what it depends on in this phase or before"
                yield document.error(message, at, hint=hint)
            else:
                moved[name] = phase.name
    named = {name for phase in search.phases for name in phase.genes}
    for name in space.by_name:
        if name not in named and _possible(space, name, named):
            hint = "add it to the genes of a phase, or write its value in the genome to fix it"
            yield document.error(f"no phase moves gene {name!r}", AT, hint=hint, key=True)


def _unread(search: SearchSpec, document: Document) -> Iterator[EvomergeError]:
    """What the search says for phases that all say it themselves."""
    if any(phase.strategy is None for phase in search.phases):
        return
    for key in ("strategy", "parameters"):
        if key in search.model_fields_set:
            message = f"nothing reads this {key}: every phase has a strategy of its own"
            hint = "leave it out here, or there"
            yield document.error(message, ("search", key), hint=hint, key=True)


def _possible(
    space: GenomeSpace, name: str, moving: Collection[str], below: tuple[str, ...] = ()
) -> bool:
    """Whether a gene can become active while ``moving`` move and all others keep still."""
    if name in below:
        return False
    genes = {**space.fixed_genes, **space.by_name}
    still = {**space.nested(space.initial_values), **space.fixed}
    for parent, allowed in genes[name].when.items():
        if parent not in genes or not _possible(space, parent, moving, (*below, name)):
            return False
        values = [(type(value), value) for value in allowed]
        if parent not in moving and (type(still[parent]), still[parent]) not in values:
            return False
    return True
