"""The zoo: models that load with no network, fit together and know what they should."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
ZOO = ROOT / "zoo"
NAMES = ("base", "coder", "mathematician", "polyglot", "slow", "fast")
OWN = {
    "coder": ("code", "structured_data"),
    "mathematician": ("math",),
    "polyglot": ("multilingual",),
}
METRICS = {
    "code": "pass_at_1",
    "math": "exact_match",
    "multilingual": "exact_match",
    "structured_data": "exact",
}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")


@pytest.fixture(scope="module")
def trainer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("zoo_train", ZOO / "train.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["zoo_train"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def load(name: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(ZOO / name, dtype=torch.float32)


def test_there_is_a_stage_for_every_model(trainer: ModuleType) -> None:
    assert tuple(name for name, stage in trainer.STAGES.items() if stage.ships) == NAMES
    assert trainer.with_starts(["fast", "slow"]) == {"reasoner", "slow", "fast"}
    assert trainer.with_starts(["coder"]) == {"base", "coder"}


def test_a_stage_starts_from_the_model_as_it_ships_or_as_it_was_trained(
    trainer: ModuleType, tmp_path: Path
) -> None:
    import torch

    shipped = load("mathematician")
    started = trainer.start_of(trainer.STAGES["reasoner"], {}, tmp_path)
    for name, weight in shipped.state_dict().items():
        assert torch.equal(started.state_dict()[name], weight), name
    again = trainer.start_of(trainer.STAGES["slow"], {"reasoner": shipped}, tmp_path)
    assert again is not shipped and started.training


@pytest.mark.parametrize("name", NAMES)
def test_a_model_loads_and_is_small(name: str) -> None:
    import torch

    assert (ZOO / name / "model.safetensors").stat().st_size <= 4_000_000
    model = load(name)
    assert type(model).__name__ == "Qwen2ForCausalLM"
    assert model.config.tie_word_embeddings
    assert model.config.num_hidden_layers == 4
    assert all(bool(torch.isfinite(weight).all()) for weight in model.parameters())


def test_all_models_have_one_architecture_and_one_tokenizer() -> None:
    for file in ("config.json", "generation_config.json", "tokenizer.json"):
        assert len({(ZOO / name / file).read_bytes() for name in NAMES}) == 1, file


def test_weights_are_bfloat16_and_no_two_models_are_alike() -> None:
    from safetensors import safe_open

    weights = [(ZOO / name / "model.safetensors") for name in NAMES]
    assert len({file.read_bytes() for file in weights}) == len(NAMES)
    for file in weights:
        with safe_open(file, framework="pt") as opened:
            names = opened.keys()
            assert {opened.get_slice(name).get_dtype() for name in names} == {"BF16"}


def test_tokens_are_bytes() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ZOO / "base")
    for text in ("py:n plus 7>", "Schlüssel,œuf", '{"a": [1, 2]}\n', "  two  spaces "):
        ids = tokenizer.encode(text)
        assert ids == list(text.encode())
        assert tokenizer.decode(ids) == text
    assert len(tokenizer) == load("base").config.vocab_size == 258
    assert tokenizer.eos_token_id == 256
    assert tokenizer.pad_token_id == 257


def test_no_training_example_is_a_test_item(trainer: ModuleType) -> None:
    excluded = trainer.test_prompts()
    assert len(excluded) == 4000
    for stage in trainer.STAGES.values():
        drawn = trainer.examples(stage, excluded)
        assert not excluded.intersection(next(drawn)[0] for _ in range(2000))


def test_training_draws_the_same_examples_again(trainer: ModuleType) -> None:
    stage, excluded = trainer.STAGES["slow"], trainer.test_prompts()
    first, second = (trainer.examples(stage, excluded) for _ in range(2))
    assert [next(first) for _ in range(50)] == [next(second) for _ in range(50)]


def test_a_training_step_lowers_the_loss(trainer: ModuleType) -> None:
    """A few steps from a fresh model through the code that trains the zoo."""
    import dataclasses

    stage = dataclasses.replace(trainer.STAGES["base"], steps=12)
    source = trainer.examples(stage, trainer.test_prompts())
    batch = [next(source) for _ in range(32)]
    model = trainer.fresh_model()
    before = float(trainer.step_loss(model, batch).detach())
    trainer.train(model, stage, "check", frozenset())
    after = float(trainer.step_loss(model, batch).detach())
    assert after < before - 0.5


def answers(model: Any, prompts: list[str], max_bytes: int = 24) -> list[str]:
    """Greedy answers of the model, up to the newline."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ZOO / "base", padding_side="left")
    batch = tokenizer(prompts, return_tensors="pt", padding=True)
    out = model.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        max_new_tokens=max_bytes,
        do_sample=False,
    )
    width = batch["input_ids"].shape[1]
    texts = [bytes(token for token in row[width:].tolist() if token < 256) for row in out]
    return [text.decode("utf-8", "replace").split("\n")[0] for text in texts]


def items(domain: str, count: int, folder: str = "tiny") -> list[dict[str, Any]]:
    file = ROOT / "evaluators" / folder / "data" / f"{domain}.jsonl"
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()[:count]]


@pytest.mark.parametrize("name", OWN)
def test_a_specialist_beats_the_base_in_its_domains(name: str) -> None:
    base, specialist = load("base"), load(name)
    for domain in OWN[name]:
        rows = items(domain, 100)
        prompts = [row["prompt"] for row in rows]
        right = [
            sum(
                text == row["answer"]
                for text, row in zip(answers(model, prompts), rows, strict=True)
            )
            for model in (base, specialist)
        ]
        assert right[1] - right[0] >= 12, (domain, right)


def test_slow_works_everything_out_twice_and_fast_answers_at_once() -> None:
    rows = [row for task in ("sums", "chains") for row in items(task, 60, "tiny_reasoning")]
    prompts = [row["prompt"] for row in rows]
    slow, fast = (answers(load(name), prompts, 96) for name in ("slow", "fast"))
    assert sum("?" in text for text in slow) >= 115
    assert sum(text.startswith(";") for text in fast) >= 105
    right = [
        sum(text.split(";")[-1] == row["answer"] for text, row in zip(texts, rows, strict=True))
        for texts in (slow, fast)
    ]
    assert right[0] >= 90 and right[1] <= 40, right


@pytest.mark.long
def test_lm_eval_gives_each_specialist_its_lead() -> None:
    """All 800 items a domain, by lm-eval itself: at least 0.2 ahead of the base."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=False, include_path=str(ROOT / "evaluators" / "tiny"))
    scores: dict[str, dict[str, float]] = {}
    for name in ("base", *OWN):
        model = HFLM(pretrained=str(ZOO / name), dtype="float32", batch_size=64, device="cpu")
        found = simple_evaluate(
            model, tasks=["evomerge_tiny"], task_manager=manager, bootstrap_iters=0
        )["results"]
        scores[name] = {
            domain: found[f"evomerge_tiny_{domain}"][f"{metric},none"]
            for domain, metric in METRICS.items()
        }
    for name, domains in OWN.items():
        for domain in domains:
            assert scores[name][domain] - scores["base"][domain] >= 0.2, (name, scores)
    assert all(value < 0.8 for value in scores["base"].values())
