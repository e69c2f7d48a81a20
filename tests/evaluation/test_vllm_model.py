"""lm-eval's vLLM class under ours, with a stand-in for the engine: the items of transformers.

What needs a GPU is in ``tests/gpu``.
"""

from __future__ import annotations

import ast
import errno
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_lm_eval import CHOICE, JUDGED, ROLLING, UPPER, make_plan

from evomerge_compiler import worker
from evomerge_compiler.errors import MissingPrerequisite, WorkFailed
from evomerge_compiler.evaluation import backends, vllm_model
from evomerge_compiler.evaluation.lm_eval import Session
from evomerge_compiler.evaluation.spec import EvaluationPlan, eval_key
from evomerge_compiler.evaluation.vllm_model import VllmModel, arguments, usage_of

STAND_INS = Path(__file__).resolve().parents[1] / "stand_ins"
# Two tasks of equal prompts and unequal arguments are where answers could be mixed up.
SHORT = {**UPPER, "gen_kwargs": {"max_gen_toks": 3}}


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Any]:
    """The stand-in, found here and in workers. lm-eval's class can be made once only."""
    sys.path.insert(0, str(STAND_INS))
    yield importlib.import_module("vllm")
    sys.path.remove(str(STAND_INS))


def plan(**more: Any) -> EvaluationPlan:
    tasks = {"long": UPPER, "short": SHORT, "c": CHOICE, "j": JUDGED, "r": ROLLING}
    return make_plan(tasks, limit=12, **more)


def test_items_are_those_of_transformers(
    stand_in: Any, toy_models: Mapping[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    by_hf = Session(plan()).evaluate(toy_models["a"], "search", identity="a")
    session = Session(plan(backend="vllm"))
    by_vllm = session.evaluate(toy_models["a"], "search", identity="a")
    for domain, results in by_hf.tasks.items():
        for one, other in zip(results, by_vllm.tasks[domain], strict=True):
            for a, b in zip(one.items, other.items, strict=True):
                assert (a.item_hash, a.tokens, a.finish) == (b.item_hash, b.tokens, b.finish)
                assert a.values == pytest.approx(b.values, abs=1e-5)
                if a.tokens is not None:
                    assert a.responses == b.responses
    assert "length" in {item.finish for item in by_vllm.tasks["short"][0].items}
    assert "stop" in {item.finish for item in by_vllm.tasks["long"][0].items}
    assert by_hf.n_parameters == by_vllm.n_parameters
    assert capsys.readouterr().out == ""  # stdout is for data, and vLLM would log there
    # The scores of two backends are never taken for each other.
    assert by_hf.scores.eval_key != by_vllm.scores.eval_key
    assert stand_in.ENGINES[-1] == {"max_num_seqs": 16, "share": 0.85, "dtype": "auto"}


def test_every_model_has_an_engine_in_a_process_of_its_own(
    stand_in: Any, toy_models: Mapping[str, Path]
) -> None:
    asked = replace(plan(backend="vllm"), tasks=plan().tasks[:1])
    n_engines = len(stand_in.ENGINES)
    found, seconds = worker.score_model(asked, toy_models["a"], ("search", "held_out"), "a")
    assert set(found) == {"search", "held_out"} and seconds > 0
    assert len(stand_in.ENGINES) == n_engines and not worker._sessions


def test_a_model_that_does_not_load_is_the_candidates_failure(
    stand_in: Any, toy_models: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(**_: Any) -> None:
        raise ValueError(f"{toy_models['a']} has 7 heads")

    model = VllmModel(plan(backend="vllm"))
    vllm_model.metered_vllm()
    monkeypatch.setattr("lm_eval.models.vllm_causallms.LLM", refuses)
    with pytest.raises(WorkFailed, match="does not load the model: MODEL has 7 heads") as error:
        model.load(toy_models["a"])
    assert error.value.reason == "invalid"


def test_a_full_disk_is_not(
    stand_in: Any, toy_models: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: Any) -> None:
        raise OSError(errno.ENOSPC, "no space", "vllm/torch_compile_cache")

    vllm_model.metered_vllm()
    monkeypatch.setattr("lm_eval.models.vllm_causallms.LLM", full)
    with pytest.raises(OSError, match="torch_compile_cache"):
        VllmModel(plan(backend="vllm")).load(toy_models["a"])


@pytest.mark.parametrize(
    ("finish_reason", "stop_reason", "finish"),
    [
        ("length", None, "length"),
        ("stop", "\n", "stop"),
        ("stop", "<end>", "eos"),
        ("stop", 7, "eos"),
        ("stop", None, "eos"),
    ],
)
def test_how_an_answer_ended(finish_reason: str, stop_reason: object, finish: str) -> None:
    output = SimpleNamespace(
        token_ids=(1, 2), cumulative_logprob=-1.0, finish_reason=finish_reason,
        stop_reason=stop_reason,
    )  # fmt: skip
    used = usage_of(output, "<end>")
    assert (used.tokens, used.finish) == (2, finish)
    output.cumulative_logprob = float("nan")
    with pytest.raises(WorkFailed, match="not finite"):
        usage_of(output, "<end>")


def test_the_names_that_are_used_are_those_of_lm_evals_class() -> None:
    """From its source, since it can only be imported where vLLM is."""
    package = importlib.util.find_spec("lm_eval")
    assert package is not None and package.submodule_search_locations
    file = Path(package.submodule_search_locations[0], "models", "vllm_causallms.py")
    tree = ast.parse(file.read_text())
    made = next(n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == "VLLM")
    methods = {n.name: n.args for n in made.body if isinstance(n, ast.FunctionDef)}

    def names(method: str) -> list[str]:
        return [argument.arg for argument in methods[method].args]

    own = set(arguments(Path("m"), plan(backend="vllm"))) - {"gpu_memory_utilization"}
    assert own <= set(names("__init__")) and methods["__init__"].kwarg is not None
    assert names("_model_generate") == ["self", "requests", "generate", "sampling_params"]
    assert names("generate_until") == ["self", "requests", "disable_tqdm"]
    assert {"max_length", "apply_chat_template"} <= methods.keys()


def test_without_vllm_or_a_gpu_transformers_score(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = plan(backend="vllm")
    found, why = backends.available(asked, "cpu")
    assert found == plan() and "on the CPU" in why
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found, why = backends.available(asked, "cuda")
    assert found == plan() and "not installed" in why
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert backends.available(asked, "cuda") == (asked, "")
    assert backends.available(plan(), "cpu") == (plan(), "")


def test_a_vllm_that_cannot_be_imported_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    vllm_model.metered_vllm.cache_clear()
    monkeypatch.setitem(sys.modules, "lm_eval.models.vllm_causallms", None)
    with pytest.raises(MissingPrerequisite, match="backend is vllm, which cannot be imported"):
        vllm_model.metered_vllm()


def test_the_key_of_transformers_scores_is_the_one_it_always_was() -> None:
    asked = plan()
    assert eval_key("m", asked) == eval_key("m", replace(asked, gpu_workers=2))
    assert eval_key("m", asked) != eval_key("m", replace(asked, backend="vllm"))
