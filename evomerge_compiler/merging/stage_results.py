"""Tensors of stages that are never written: made when they are read, held until nobody needs them.

Small tensors are made several at once, a *batch*. mergekit seeds its generator once a stage and
makes tensors in one order, so that a stage that draws random numbers has to be made in that order
from its start, whoever asks. All others are made in any order. This module knows nothing of
mergekit or torch.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
Batch = Sequence[str]


@dataclass(frozen=True)
class StageTensors:
    """The tensors of a stage and what each is made from.

    Attributes:
        names: In the order in which mergekit makes them.
        reads: Name to the tensors that it is made from, as (model, name). Models that are no
            stages are there to be read at any time.
        in_order: The order counts, since the stage draws random numbers.
    """

    names: Sequence[str]
    reads: Mapping[str, Sequence[tuple[str, str]]]
    in_order: bool


@dataclass(frozen=True)
class Needed:
    """What of a stage a merge makes.

    Attributes:
        names: The tensors that are made, in the stage's order.
        uses: How often each of them will be read by later stages. One that is not was made for
            what it draws.
    """

    names: Sequence[str]
    uses: Counter[str]


def needed(stages: Mapping[str, StageTensors]) -> dict[str, Needed]:
    """What of each stage is made for the last one.

    Args:
        stages: In order of execution; the last one is the result.
    """
    uses: dict[str, Counter[str]] = {name: Counter() for name in stages}
    found = {}
    last = list(stages)[-1]
    for name, stage in reversed(list(stages.items())):
        wanted = list(stage.names)
        if name != last:
            at = [place for place, tensor in enumerate(wanted) if uses[name][tensor]]
            wanted = (
                wanted[: max(at, default=-1) + 1] if stage.in_order else [wanted[i] for i in at]
            )
        for tensor in wanted:
            for source, read in stage.reads[tensor]:
                if source in uses:
                    uses[source][read] += 1
        found[name] = Needed(wanted, uses[name])
    return found


def result_order(stages: Mapping[str, StageTensors]) -> list[str]:
    """An order for the last stage in which few tensors of earlier stages have to be held.

    That is its own order when it draws random numbers. Otherwise its tensors follow those that
    they are made from: a layer that a path passes twice is then used twice in a row.
    """
    *_, result = stages.values()
    if result.in_order:
        return list(result.names)
    places = {
        name: {tensor: at for at, tensor in enumerate(stage.names)}
        for name, stage in stages.items()
    }
    known: dict[tuple[str, str], int] = {}

    def place(name: str, tensor: str) -> int:
        """Where a tensor's first random origin comes in its stage, or its own place."""
        key = (name, tensor)
        if key not in known:
            reads = stages[name].reads[tensor]
            origins = [place(*read) for read in reads if read[0] in stages]
            own = not origins or stages[name].in_order
            known[key] = places[name][tensor] if own else max(origins)
        return known[key]

    last = list(stages)[-1]
    return sorted(result.names, key=lambda tensor: place(last, tensor))


class StageResults(Generic[T]):
    """The tensors of one stage of one merge.

    Args:
        batches: Those that are made together, in the stage's order.
        make: Makes a batch.
        uses: How often each tensor will be read.
        in_order: Batches are made one after the other, whichever is asked for.
        kept: Where they stay for other merges, None when they do not.
    """

    def __init__(
        self,
        batches: Sequence[Batch],
        make: Callable[[Batch], Iterable[T]],
        uses: Mapping[str, int],
        *,
        in_order: bool,
        kept: dict[str, T] | None = None,
    ) -> None:
        self._make = make
        self._in_order = in_order
        self._coming = iter(batches)
        self._batches = {name: batch for batch in batches for name in batch}
        self._left = Counter(uses)
        self._held: dict[str, T] = {}
        self._kept = kept

    def read(self, name: str) -> T:
        """One tensor; it is let go when this was the last time that it is read."""
        if self._kept is not None and name in self._kept:
            return self._kept[name]
        if name not in self._held:
            self._advance(name)
        value = self._held[name]
        self._left[name] -= 1
        if self._left[name] <= 0:
            del self._held[name]
        return value

    def _advance(self, last: str) -> None:
        """Makes the batch of a tensor, and those before it where the order counts."""
        for batch in self._coming if self._in_order else [self._batches[last]]:
            made = dict(zip(batch, self._make(batch), strict=True))
            if self._kept is not None:
                self._kept.update(made)
            self._held.update(
                (n, value) for n, value in made.items() if self._left[n] or n == last
            )
            if last in made:
                return
        raise RuntimeError(f"{last} was read more often than foreseen")

    @property
    def n_held(self) -> int:
        """Tensors that are held at the moment, without those that are kept."""
        return len(self._held)


class KeptStages(Generic[T]):
    """Whole stages that are small enough to stay in memory, those used last first.

    Args:
        limit_bytes: Of all of them together.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._stages: OrderedDict[str, tuple[int, dict[str, T]]] = OrderedDict()

    def stage(self, key: str, n_bytes: int) -> dict[str, T] | None:
        """Where the tensors of a stage stay, by name; None when it is too large for that.

        Args:
            key: Content key of the stage.
            n_bytes: Of all its tensors.
        """
        if n_bytes > self.limit_bytes:
            return None
        self._stages[key] = self._stages.pop(key, (n_bytes, {}))
        while sum(size for size, _ in self._stages.values()) > self.limit_bytes:
            self._stages.popitem(last=False)
        return self._stages[key][1]

    def clear(self) -> None:
        """Lets all of them go."""
        self._stages.clear()

    def __iter__(self) -> Iterator[str]:
        return iter(self._stages)
