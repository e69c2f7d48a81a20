"""Bits per byte and coherence."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from evaluation_toys import byte_tokenizer, new_model, train

from evomerge_compiler import assets
from evomerge_compiler.errors import UsageError, WorkFailed
from evomerge_compiler.evaluation.perplexity import (
    Passage,
    bits_per_byte,
    coherence,
    default_text,
    read_text,
)

TEXT = "one fish, two fish, red fish, blue fish. " * 6
WINDOW = 32


@pytest.fixture(scope="module")
def reader() -> Any:
    """A model that knows the text, in windows of the length that it was taught."""
    model = new_model(0)
    windows = [TEXT[at : at + WINDOW] for at in range(len(TEXT) - WINDOW)]
    train(model, byte_tokenizer(), windows, steps=60, seed=0)
    return model


def bits(model: Any, text: str = TEXT, batch_size: int | None = None) -> float:
    found = bits_per_byte(
        model, byte_tokenizer(), text, window_tokens=WINDOW, batch_size=batch_size
    )
    assert found.n_tokens == found.n_bytes == len(text)
    return found.bits_per_byte


def test_the_code_length_is_the_sum_of_log_probabilities(reader: Any) -> None:
    import torch

    tokenizer = byte_tokenizer()
    ids = [tokenizer.eos_token_id, *tokenizer.encode(TEXT[:100])]
    with torch.no_grad():
        logprobs = reader(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    length = -sum(float(logprobs[at, token]) for at, token in enumerate(ids[1:])) / math.log(2)
    found = bits_per_byte(reader, tokenizer, TEXT[:100])
    assert found.bits_per_byte == pytest.approx(length / 100, rel=1e-5)
    assert found.n_tokens == found.n_bytes == 100
    assert found.token_perplexity == pytest.approx(2 ** (length / 100), rel=1e-5)


def test_windows_score_each_token_once_with_context(reader: Any) -> None:
    # `bits` asserts that the count is right.
    assert bits(reader, batch_size=1) == pytest.approx(bits(reader, batch_size=8), rel=1e-5)
    # Half a window is context enough for this text; without context it would cost far more.
    assert bits(reader) < 0.5
    blind = bits_per_byte(reader, byte_tokenizer(), TEXT, window_tokens=2).bits_per_byte
    assert blind > 2 * bits(reader)


def test_windows_know_the_context_length_of_the_model(reader: Any) -> None:
    seen = []
    hook = reader.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        reader.config.max_position_embeddings = 20
        assert bits_per_byte(reader, byte_tokenizer(), TEXT).n_tokens == len(TEXT)
    finally:
        reader.config.max_position_embeddings = 256
        hook.remove()
    assert max(seen) == 20


def test_bytes_not_characters(reader: Any) -> None:
    assert bits_per_byte(reader, byte_tokenizer(), "é日").n_bytes == 5


def test_a_tokenizer_without_special_tokens(reader: Any) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None
    found = bits_per_byte(reader, tokenizer, "o")
    assert found.bits_per_byte == pytest.approx(math.log2(257))
    assert bits_per_byte(reader, tokenizer, "on").n_tokens == 2
    with_prefix = bits_per_byte(reader, byte_tokenizer(), "o")
    assert with_prefix.bits_per_byte != found.bits_per_byte and with_prefix.n_tokens == 1


def test_contexts_are_read_and_not_scored(reader: Any) -> None:
    tokenizer = byte_tokenizer()
    whole = bits_per_byte(reader, tokenizer, TEXT[:30])
    start = bits_per_byte(reader, tokenizer, TEXT[:12])
    rest = bits_per_byte(reader, tokenizer, [Passage(TEXT[12:30], context=TEXT[:12])])
    total = start.bits_per_byte * 12 + rest.bits_per_byte * 18
    # A context without a beginning-of-text token stands alone, as prompts do.
    assert (rest.n_tokens, rest.n_bytes) == (18, 18)
    assert total == pytest.approx(whole.bits_per_byte * 30, rel=0.1)
    many = [Passage(TEXT[at : at + 5], context=TEXT[:at]) for at in range(1, 60)]
    together = bits_per_byte(reader, tokenizer, many, window_tokens=16)
    apart = [bits_per_byte(reader, tokenizer, [p], window_tokens=16) for p in many]
    mean = sum(found.bits_per_byte for found in apart) / len(apart)
    assert together.bits_per_byte == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("name", ["base", "polyglot"])
def test_coherence_orders_a_ladder_of_noise(name: str) -> None:
    import torch
    import transformers

    folder = assets.zoo_model(f"zoo:{name}")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    clean = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    passages = default_text()

    def noisy_bits(noise: float) -> float:
        model.load_state_dict(clean)
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += noise * parameter.std() * torch.randn_like(parameter)
        return bits_per_byte(model, tokenizer, passages).bits_per_byte

    ladder = [noisy_bits(noise) for noise in (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)]
    scores = [coherence(found, [ladder[0], 99.0]) for found in ladder]
    assert scores == sorted(set(scores), reverse=True)
    assert scores[0] == 1.0 and scores[-1] < 0.1


def test_coherence_is_clipped_and_measured_against_the_best_parent() -> None:
    assert coherence(0.5, [0.6, 2.0]) == 1.0
    assert coherence(1.6, [0.6, 2.0]) == pytest.approx(math.exp(-1.0))
    with pytest.raises(UsageError, match="at least one parent"):
        coherence(1.0, [])


def test_a_broken_model_has_no_perplexity() -> None:
    model = new_model(0)
    model.model.norm.weight.data[3] = float("nan")
    with pytest.raises(WorkFailed) as caught:
        bits_per_byte(model, byte_tokenizer(), TEXT)
    assert caught.value.reason == "non_finite"


def test_texts(tmp_path: Path, reader: Any) -> None:
    passages = default_text()
    assert len(passages) == 256 and passages == default_text(300)[:256]
    assert {"math", "py"} <= {passage.context.split(":")[0] for passage in passages}
    assert all(passage.text.endswith("\n") for passage in passages)
    with pytest.raises(UsageError, match="no text file"):
        read_text(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes(b"\xe9\xe8")
    with pytest.raises(UsageError, match="expected UTF-8"):
        read_text(tmp_path / "latin.txt")
    with pytest.raises(UsageError, match="is empty"):
        bits_per_byte(reader, byte_tokenizer(), "")
