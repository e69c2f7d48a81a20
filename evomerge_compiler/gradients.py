"""Values over depth, as a template sees them.

A gene ``per: depth`` holds a few values, its anchors, from the first layer to the last. In a
genome they are a plain list; to a template they are a :class:`Gradient`, for a list there means
one value a layer group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evomerge_compiler.errors import CompileError


@dataclass(frozen=True)
class Gradient:
    """A value that changes over depth in straight lines.

    Attributes:
        anchors: ``(n_anchors,)`` values at equal distances from the first layer to the last.
    """

    anchors: tuple[float, ...]

    def misplaced(self) -> CompileError:
        """What is wrong where one value, or one a layer group, is needed."""
        return CompileError(
            "a gene per depth stands where the template needs one value, or one a layer group",
            hint="give the gene no per:, or per: layer_group",
        )

    # Layouts walk through lists and compare numbers; a gradient is neither.

    def __iter__(self) -> Iterator[float]:
        """Raises: :class:`CompileError`."""
        raise self.misplaced()

    def __len__(self) -> int:
        """Raises: :class:`CompileError`."""
        raise self.misplaced()

    def __ge__(self, other: object) -> bool:
        """Raises: :class:`CompileError`."""
        raise self.misplaced()

    __gt__ = __le__ = __lt__ = __ge__


def gradients(value: object) -> object:
    """The value of a gene over depth with its innermost lists as gradients."""
    if isinstance(value, Mapping):
        return {key: gradients(part) for key, part in value.items()}
    assert isinstance(value, (list, tuple))
    return Gradient(tuple(value))


def over_depth(value: object) -> bool:
    """Whether a value, or one of its filters, is a gradient."""
    parts = value.values() if isinstance(value, Mapping) else [value]
    return any(isinstance(part, Gradient) for part in parts)
