"""Generation arguments: every name is one that the backend knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evomerge_compiler import yamlio
from evomerge_compiler.errors import ErrorList, EvomergeError, MissingPrerequisite, RecipeError
from evomerge_compiler.evaluation import backends, generation
from evomerge_compiler.evaluation.presets import load_presets
from evomerge_compiler.evaluation.spec import plan_evaluation
from evomerge_compiler.evaluation.task_index import local_tasks
from evomerge_compiler.recipe_schema import EvaluationSpec


def checked(kwargs: str, *, own: str = "{}", backend: str = "hf") -> None:
    text = (
        f"evaluation:\n  backend: {backend}\n  gen_kwargs: {kwargs}\n"
        f"  tasks: {{x: {{task: t, metric: m, gen_kwargs: {own}}}}}\n"
    )
    document = yamlio.parse(text)
    assert isinstance(document.data, dict)
    generation.check(EvaluationSpec.model_validate(document.data["evaluation"]), document)


def test_transformers_knows_every_name() -> None:
    from transformers import GenerationConfig

    fields = set(vars(GenerationConfig()))
    assert set(generation.TRANSFORMERS) <= fields
    own = {"n", "stop"}  # vLLM's
    assert set(generation.REFUSED) - own <= fields


@pytest.mark.parametrize(
    ("kwargs", "says", "hint", "column"),
    [
        ("{max_gen_tok: 5}", "'max_gen_tok'", "did you mean 'max_gen_toks'?", 16),
        ("{top_q: 5}", "'top_q'", "did you mean 'top_p'?", 16),
        ("{presence_penalty: 1}", "'presence_penalty'", "", 16),
        ("{max_time: 5}", "'max_time' cannot be set", "how fast the machine is", 16),
        ("{stop: a}", "'stop' cannot be set", "until", 16),
        ("{max_gen_toks: many}", "whole number of tokens, at least 1, got 'many'", "256", 30),
        ("{do_sample: 1}", "true or false, got 1", "true", 27),
        ("{temperature: -1}", "at least 0, got -1", "0.7", 29),
        ("{until: [1]}", "a text at which an answer ends", "until", 23),
    ],
)
def test_mistakes_have_places(kwargs: str, says: str, hint: str, column: int) -> None:
    with pytest.raises(RecipeError) as caught:
        checked(kwargs)
    error = caught.value
    assert says in error.message and hint in (error.hint or "")
    assert error.place is not None and (error.place.line, error.place.column) == (3, column)


def test_all_are_told_at_once() -> None:
    with pytest.raises(ErrorList) as caught:
        checked("{max_gen_tok: 5, do_sample: 1}", own="{top_q: 1}")
    assert [e.place.line for e in caught.value.errors if e.place] == [3, 3, 4]


def test_each_backend_has_its_own() -> None:
    checked("{until: a, max_gen_toks: 5, temperature: 0.5, do_sample: true, num_beams: 2}")
    checked("{until: [a], max_tokens: 5, presence_penalty: 1, seed: 3}", backend="vllm")
    with pytest.raises(EvomergeError, match="num_beams"):
        checked("{num_beams: 2}", backend="vllm")
    for preset in load_presets().by_name.values():
        assert not generation.unknown(preset.gen_kwargs, "hf")


def test_what_only_vllm_knows_is_not_handed_to_transformers(tmp_path: Path) -> None:
    given: dict[str, Any] = {"backend": "vllm", "gen_kwargs": {"presence_penalty": 1}}
    spec = EvaluationSpec.model_validate({"tasks": {"x": {"task": "t", "metric": "m"}}, **given})
    plan = plan_evaluation(spec, folder=tmp_path)
    with pytest.raises(MissingPrerequisite, match="'presence_penalty' is vLLM's"):
        backends.available(plan, "cpu")


def test_the_words_for_lengths_and_the_default_are_lm_evals(tmp_path: Path) -> None:
    from lm_eval.models.huggingface import HFLM
    from lm_eval.models.utils import normalize_gen_kwargs

    assert HFLM.max_gen_toks.fget(None) == generation.ANSWER_TOKENS
    given = {name: 5 + place for place, name in enumerate(reversed(generation.LENGTHS))}
    assert generation.answer_tokens(given) == normalize_gen_kwargs(dict(given))["max_gen_toks"]
    assert generation.answer_tokens({"until": ["a"]}) is None
    for name in generation.LENGTHS:
        text = f"task: own\noutput_type: generate_until\ngeneration_kwargs: {{{name}: 7}}\n"
        (tmp_path / "own.yaml").write_text(text)
        assert local_tasks([tmp_path])["own"].max_gen_toks == 7
