"""Brings the rows of embeddings to the order of one tokenizer, by index instead of by token.

The rule is mergekit's: a row that a model lacks is that of the only model that has the token, else
the base model's, else the mean of those that have it; it is zero where none has it. mergekit finds
that out for every token, model, tensor and merge anew (12 us a row); here it is found out once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import torch

M = TypeVar("M")


@dataclass(frozen=True)
class VocabularyRows(Generic[M]):
    """Where each model has the rows of a vocabulary.

    Attributes:
        rows: For each model, its row for every token id (n_tokens,), -1 where it has none.
        lacking: Token ids that some model lacks (n_lacking,).
        donors: For each model, which of these it gives alone: indices into ``lacking``.
        averaged: For each number of models, which of these are the mean of that many.
    """

    rows: Mapping[M, torch.Tensor]
    lacking: torch.Tensor
    donors: Mapping[M, torch.Tensor]
    averaged: Mapping[int, torch.Tensor]

    @classmethod
    def find(
        cls,
        token_ids: Sequence[int],
        permutations: Mapping[M, Mapping[int, int]],
        models: Sequence[M],
        base: M | None,
    ) -> VocabularyRows[M]:
        """Works out the rows.

        Args:
            token_ids: Ids of all tokens of the tokenizer.
            permutations: For each model, token id to its row, negative where it has none.
            models: Those whose rows are aligned; their order is that of sums.
            base: Whose rows go before means, if it is one of them.
        """
        import torch

        ids = torch.tensor(token_ids)
        rows = {}
        for model in models:
            rows[model] = torch.full((len(token_ids),), -1)
            rows[model][ids] = torch.tensor([permutations[model][token] for token in token_ids])
        has = torch.stack([rows[model] >= 0 for model in models])
        lacking = (~has).any(0).nonzero()[:, 0]
        has = has[:, lacking]
        count = has.sum(0)
        alone = {model: has[at] & (count == 1) for at, model in enumerate(models)}
        mean = count > 1
        if base is not None and base in alone:
            alone[base] = has[list(models).index(base)]
            mean &= ~alone[base]
        numbers = sorted(set(count[mean].tolist()))
        averaged = {number: (mean & (count == number)).nonzero()[:, 0] for number in numbers}
        donors = {model: chosen.nonzero()[:, 0] for model, chosen in alone.items()}
        return cls(rows, lacking, donors, averaged)

    def align(self, tensors: Mapping[M, torch.Tensor], axis: int) -> dict[M, torch.Tensor]:
        """Aligns tensors of all models along the axis that counts tokens."""
        import torch

        views = {model: tensor.movedim(axis, 0) for model, tensor in tensors.items()}
        first = next(iter(views.values()))
        dtype = reduce(torch.promote_types, (view.dtype for view in views.values()))
        zeros = first.new_zeros((len(self.lacking), *first.shape[1:]), dtype=dtype)
        fill = self._fill(views, zeros)
        aligned = {}
        for model, view in views.items():
            rows = self.rows[model]
            new = first.new_empty((len(rows), *first.shape[1:]), dtype=dtype)
            has = (rows >= 0).nonzero()[:, 0]
            new[has] = view[rows[has]].to(dtype)
            missing = (rows[self.lacking] < 0).nonzero()[:, 0]
            new[self.lacking[missing]] = fill[missing]
            aligned[model] = new.movedim(0, axis)
        return aligned

    def _fill(self, views: Mapping[M, torch.Tensor], fill: torch.Tensor) -> torch.Tensor:
        """The rows of all lacking tokens, written into zeros."""
        for model, chosen in self.donors.items():
            fill[chosen] = views[model][self.rows[model][self.lacking[chosen]]].to(fill.dtype)
        for count, chosen in self.averaged.items():
            total = fill[chosen]
            for model, view in views.items():
                rows = self.rows[model][self.lacking[chosen]]
                has = (rows >= 0).nonzero()[:, 0]
                total[has] += view[rows[has]]
            fill[chosen] = total / count
        return fill
