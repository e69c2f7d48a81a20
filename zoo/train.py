"""Trains the zoo from one seed: ``python zoo/train.py --out zoo``.

A base is trained on all four tiny domains until it knows each of them in part, at a constant
learning rate: it is left un-annealed on purpose.  Every other model is a short full fine-tune of
that base whose learning rate decays along a cosine, the specialists on their own domain alone.
Each specialist gains there and forgets some of the rest; all stay in one basin, so that averaging
their weights keeps much of the gains and undoes the forgetting (Wortsman et al. 2022, "Model
soups"; Ilharco et al. 2023, "Editing models with task arithmetic").

The slow and the fast model only differ in how much they write.  Both are short fine-tunes of one
that was taught to solve problems of several steps with any number of them written out: what it
takes to be right is in both, so that merges of the two are right too, at lengths between theirs.

Test items never enter the training: examples are drawn from the same families and dropped when
their prompt is a test prompt.  bfloat16 autocast is used for the matrix products, float32 for
the weights; the shipped weights are bfloat16.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

ZOO = Path(__file__).resolve().parent
EVALUATORS = ZOO.parent / "evaluators"
TASKS = (EVALUATORS / "tiny", EVALUATORS / "tiny_reasoning")
sys.path[:0] = map(str, TASKS)

from families import Item, draw  # noqa: E402 - live beside the task files
from problems import FAMILIES as PROBLEMS  # noqa: E402

END_ID, PAD_ID, VOCAB_SIZE = 256, 257, 258  # after the 256 bytes
# Rotary positions have no weights: the models can be asked the long tasks, though they know none.
MAX_TOKENS = 4096
BATCH = 64
WARM_UP_STEPS = 100
Example = tuple[str, str]


# How much of a solution is written out: any share of it, all of it twice, mostly the result alone.
Style = Literal["any", "long", "short"]
# Share of the solutions in any style that go through all steps twice.
TWICE = 0.15
# Share of the short solutions that are the result alone. The others teach the model to come to an
# end once it has begun: never asked to, it would leave that to the slow one in every merge, which
# would then either write everything twice or nothing at all.
AT_ONCE = 0.7


@dataclass(frozen=True)
class Stage:
    """One training run.

    Attributes:
        start: the model it starts from; empty for a fresh one.
        seed: picks the stream of examples.
        steps: optimiser steps of BATCH examples.
        rate: the highest learning rate.
        mix: domain -> share of the examples.
        style: how solutions are written, of a model for problems of several steps.
        rounded: whether it starts from the weights as they ship, in bfloat16, so that it can be
            trained again without its start.
        ships: whether the model is written.
    """

    start: str
    seed: int
    steps: int
    rate: float
    mix: dict[str, float] = field(default_factory=dict)
    style: Style | None = None
    rounded: bool = False
    ships: bool = True

    @property
    def decays(self) -> bool:
        """Whether the rate falls; the base's does not."""
        return bool(self.start)


STAGES = {
    # Shares that bring the four domains to about 0.5 together: math takes the most practice.
    "base": Stage(
        "",
        0,
        1400,
        2e-3,
        {"code": 0.1, "math": 0.5, "multilingual": 0.27, "structured_data": 0.13},
    ),
    "coder": Stage("base", 10, 300, 5e-4, {"code": 0.5, "structured_data": 0.5}),
    "mathematician": Stage("base", 11, 300, 5e-4, {"math": 1.0}),
    "polyglot": Stage("base", 12, 300, 5e-4, {"multilingual": 1.0}),
    "reasoner": Stage("mathematician", 30, 300, 1e-3, style="any", rounded=True, ships=False),
    "slow": Stage("reasoner", 31, 60, 5e-4, style="long"),
    "fast": Stage("reasoner", 31, 60, 5e-4, style="short"),
}


def test_prompts() -> frozenset[str]:
    """The prompts that no training example may have."""
    files = [file for folder in TASKS for file in sorted((folder / "data").glob("*.jsonl"))]
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    return frozenset(json.loads(line)["prompt"] for line in lines)


def examples(stage: Stage, excluded: frozenset[str]) -> Iterator[Example]:
    """Draws training examples without end.

    Args:
        stage: says which domains or how much of a solution.
        excluded: prompts to leave out.

    Yields:
        Prompt and answer.
    """
    rng = random.Random(f"train:{stage.seed}")
    families = list(PROBLEMS.values())
    domains, shares = list(stage.mix), list(stage.mix.values())
    while True:
        if stage.style:
            problem = rng.choice(families)(rng)
            n_steps, twice = _amount(stage.style, len(problem.steps), rng)
            if problem.prompt not in excluded:
                yield problem.prompt, problem.solution(n_steps, twice=twice)
            continue
        domain = rng.choices(domains, shares)[0]
        item: Item = draw(domain, rng)
        while item.prompt in excluded:
            item = draw(domain, rng)
        yield item.prompt, item.answer


def _amount(style: Style, n_steps: int, rng: random.Random) -> tuple[int, bool]:
    """How many steps a solution shows, and whether it goes through all of them twice."""
    if style == "short":
        return 0 if rng.random() < AT_ONCE else rng.randint(1, n_steps), False
    if style == "long" or rng.random() < TWICE:
        return n_steps, True
    return rng.randint(0, n_steps), False


def padded(batch: list[Example]) -> tuple[Tensor, Tensor]:
    """Turns examples into bytes.

    Args:
        batch: the examples.

    Returns:
        Token ids and labels, both (n_examples, longest); labels are -100 outside of the answer
        and the newline that ends it.
    """
    import torch

    pairs = [(prompt.encode(), f"{answer}\n".encode()) for prompt, answer in batch]
    longest = max(len(prompt) + len(answer) for prompt, answer in pairs)
    ids = torch.full((len(pairs), longest), PAD_ID)
    labels = torch.full((len(pairs), longest), -100)
    for row, (prompt, answer) in enumerate(pairs):
        text = torch.tensor(list(prompt + answer))
        ids[row, : len(text)] = text
        labels[row, len(prompt) : len(text)] = text[len(prompt) :]
    return ids, labels


def step_loss(model: Qwen2ForCausalLM, batch: list[Example]) -> Tensor:
    """Mean cross-entropy of the answers' bytes.

    Short and long examples go through the model apart, which saves a quarter of the padding.

    Args:
        model: the model.
        batch: the examples of one step.

    Returns:
        The loss, a scalar.
    """
    import torch
    from torch.nn import functional

    batch = sorted(batch, key=lambda pair: len((pair[0] + pair[1]).encode()))
    half = len(batch) // 2
    total, count = torch.zeros(()), 0
    for part in (batch[:half], batch[half:]):
        ids, labels = padded(part)
        targets = labels[:, 1:]
        known = targets != -100
        with torch.autocast("cpu", torch.bfloat16):
            # no mask: padding follows the text, where causal attention does not look
            hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state[known]
            logits = functional.linear(hidden, model.lm_head.weight)
        total = total + functional.cross_entropy(logits.float(), targets[known], reduction="sum")
        count += int(known.sum())
    return total / count


def train(
    model: Qwen2ForCausalLM, stage: Stage, name: str, excluded: frozenset[str]
) -> Qwen2ForCausalLM:
    """Runs one stage in place.

    Args:
        model: the model to train.
        stage: the settings.
        name: the model's name.
        excluded: prompts to leave out.

    Returns:
        The same model.
    """
    import torch

    source = examples(stage, excluded)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    started, total = time.monotonic(), 0.0
    for step in range(stage.steps):
        if stage.decays:
            scale = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / stage.steps))
        else:
            scale = min(1, (step + 1) / WARM_UP_STEPS)
        for group in optimizer.param_groups:
            group["lr"] = stage.rate * scale
        loss = step_loss(model, [next(source) for _ in range(BATCH)])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        total += loss.item()
        if (step + 1) % 100 == 0:
            seconds = time.monotonic() - started
            sys.stderr.write(f"{name} {step + 1} loss {total / 100:.3f} {seconds:.0f} s\n")
            total = 0.0
    return model


def fresh_model() -> Qwen2ForCausalLM:
    """A Qwen2 with random weights: 1.4 million parameters, tied embeddings."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCAB_SIZE,
            hidden_size=192,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
            max_position_embeddings=MAX_TOKENS,
            rope_theta=10000.0,
            bos_token_id=None,
            eos_token_id=END_ID,
        )
    )


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer whose token ids are the bytes of the text, then an end and a padding token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # The byte-level alphabet: printable Latin-1 stands for itself, the rest follows from 256 on.
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = (byte for byte in range(256) if byte not in printable)
    letters = {byte: chr(256 + place) for place, byte in enumerate(hidden)}
    vocabulary = {letters.get(byte, chr(byte)): byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        pad_token="<|pad|>",
        model_max_length=MAX_TOKENS,
        clean_up_tokenization_spaces=False,
    )


def save(model: Qwen2ForCausalLM, folder: Path) -> None:
    """Writes weights in bfloat16, configuration, generation defaults and tokenizer.

    Args:
        model: the model, which is left as it is.
        folder: where; an existing folder is replaced once the new one is whole.
    """
    import copy

    import torch

    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        whole = Path(scratch) / folder.name
        shipped = copy.deepcopy(model).to(torch.bfloat16)
        shipped.config.pad_token_id = shipped.generation_config.pad_token_id = PAD_ID
        shipped.save_pretrained(whole)
        byte_tokenizer().save_pretrained(whole)
        for file in whole.iterdir():
            file.chmod(0o644)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(whole, folder)


def start_of(stage: Stage, trained: dict[str, Qwen2ForCausalLM], out: Path) -> Qwen2ForCausalLM:
    """The model that a stage trains on from, which is no one else's.

    Args:
        stage: the stage.
        trained: the models of the stages before it, in float32.
        out: where those are written.
    """
    import copy

    import torch
    from transformers import AutoModelForCausalLM

    if not stage.start:
        return fresh_model()
    if not stage.rounded:
        return copy.deepcopy(trained[stage.start])
    folder = out if stage.start in trained else ZOO
    model: Qwen2ForCausalLM = AutoModelForCausalLM.from_pretrained(
        folder / stage.start, dtype=torch.float32
    )
    return model.train()


def with_starts(names: list[str]) -> set[str]:
    """These models and all that must be trained before them."""
    wanted = set(names)
    for name in reversed(STAGES):
        stage = STAGES[name]
        if name in wanted and stage.start and not stage.rounded:
            wanted.add(stage.start)
    return wanted


def main() -> None:
    """Trains and writes the models."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model folders")
    shipped = [name for name, stage in STAGES.items() if stage.ships]
    parser.add_argument(
        "--only", default=",".join(shipped), help="models to train, such as slow,fast"
    )
    arguments = parser.parse_args()
    out: Path = arguments.out
    unknown = sorted(set(arguments.only.split(",")) - set(shipped))
    if unknown:
        parser.error(f"--only: expected some of {', '.join(shipped)}, got {', '.join(unknown)}")
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # one thread adds in one order
    excluded = test_prompts()
    wanted = with_starts(arguments.only.split(","))
    models: dict[str, Qwen2ForCausalLM] = {}
    for name, stage in STAGES.items():
        if name in wanted:
            models[name] = train(start_of(stage, models, out), stage, name, excluded)
            if stage.ships:
                save(models[name], out / name)


if __name__ == "__main__":
    main()
