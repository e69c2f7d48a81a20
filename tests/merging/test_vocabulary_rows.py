"""Rows are aligned as mergekit aligns them, bit for bit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from evomerge_compiler.merging.vocabulary_rows import VocabularyRows


def mergekits(
    rows: dict[Any, dict[int, int]], tensors: dict[Any, Any], base: Any, axis: int
) -> dict[Any, Any]:
    from mergekit.tokenizer import PermutedVocabulary

    vocabulary = {f"t{token}": token for token in next(iter(rows.values()))}
    info = SimpleNamespace(
        tokenizer=SimpleNamespace(get_vocab=lambda: vocabulary), permutations=rows
    )
    task = PermutedVocabulary.model_construct(
        tokens=None, pad_to_multiple_of=None, base_model=base, vocabulary_axis=axis
    )
    aligned: dict[Any, Any] = task.execute(info, tensors)
    return aligned


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtypes", [("bfloat16",) * 3, ("float32", "bfloat16", "float16")])
@pytest.mark.parametrize("with_base", [True, False])
def test_rows_are_mergekits(axis: int, dtypes: tuple[str, ...], with_base: bool) -> None:
    """Tokens that all, some, one or none of the models have, in other places."""
    import torch
    from mergekit.common import ModelPath, ModelReference

    generator = torch.Generator().manual_seed(axis)
    models = [ModelReference(model=ModelPath(path=name)) for name in "abc"]
    n_tokens, n_rows = 40, 50
    rows, tensors = {}, {}
    for model, dtype in zip(models, dtypes, strict=True):
        places = torch.randperm(n_rows, generator=generator)[:n_tokens].tolist()
        has = (torch.rand(n_tokens, generator=generator) < 0.6).tolist()
        tokens = torch.randperm(n_tokens, generator=torch.Generator().manual_seed(9)).tolist()
        rows[model] = {t: places[t] if has[t] else -1 for t in tokens}
        shape = (n_rows, 6) if axis == 0 else (6, n_rows)
        tensors[model] = torch.randn(shape, generator=generator).to(getattr(torch, dtype))
    base = models[1] if with_base else None
    expected = mergekits(rows, tensors, base, axis)
    found = VocabularyRows.find(list(rows[models[0]]), rows, models, base).align(tensors, axis)
    assert list(found) == list(expected)
    for model in models:
        assert found[model].dtype == expected[model].dtype
        assert torch.equal(found[model], expected[model])
