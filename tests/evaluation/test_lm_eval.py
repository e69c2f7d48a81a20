"""Sessions score as lm-eval does, and close its traps."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from evaluation_toys import CHAT_TEMPLATE, TASKS, byte_tokenizer, new_model, save, toy_lines

from evomerge_compiler.errors import (
    EvomergeError,
    MissingPrerequisite,
    RecipeError,
    WorkFailed,
)
from evomerge_compiler.evaluation import metered
from evomerge_compiler.evaluation.lm_eval import Session
from evomerge_compiler.evaluation.perplexity import Passage
from evomerge_compiler.evaluation.results import Evaluation, domain_rows, samples, to_lm_eval
from evomerge_compiler.evaluation.spec import EvaluationPlan, eval_key, plan_evaluation
from evomerge_compiler.recipe_schema import EvaluationSpec

UPPER = {"task": "evomerge_toy_upper", "metric": "exact_match", "filter": "first"}
CHOICE = {"task": "evomerge_toy_choice", "metric": "acc"}
JUDGED = {"task": "evomerge_toy_judged", "metric": "right"}
ROLLING = {"task": "evomerge_toy_rolling", "metric": "bits_per_byte"}


def make_plan(tasks: Mapping[str, Any], **more: Any) -> EvaluationPlan:
    salt = more.pop("salt", "evomerge")
    spec = {"tasks": dict(tasks), "batch_size": 16, "include_path": [str(TASKS)], **more}
    return plan_evaluation(
        EvaluationSpec.model_validate(spec), folder=TASKS, device="cpu", salt=salt
    )


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(make_plan({"few": {**UPPER, "num_fewshot": 2}, "zero": UPPER, "mc": CHOICE}))


@pytest.fixture(scope="module")
def everything(session: Session, toy_models: Mapping[str, Path]) -> Evaluation:
    return session.evaluate(toy_models["a"], "all", identity="a")


def reference(model: Path, tasks: list[str], num_fewshot: int | None, **more: Any) -> Any:
    """What lm-eval itself says of a freshly loaded model."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    return lm_eval.simple_evaluate(
        "hf", model_args=f"pretrained={model},dtype=float32", tasks=tasks, batch_size=16,
        device="cpu", num_fewshot=num_fewshot, bootstrap_iters=0,
        task_manager=TaskManager(include_path=str(TASKS), include_defaults=False), **more,
    )  # fmt: skip


def assert_same(found: Evaluation, expected: Any) -> None:
    from lm_eval.api.metrics import mean_stderr

    for group in found.tasks.values():
        for task in group:
            theirs = expected["results"][task.name]
            for column, value in task.metrics.items():
                assert value == pytest.approx(theirs[column], abs=1e-12), column
                # With its bootstrap off, lm-eval gives no errors at all: ask its formula.
                error = mean_stderr([item.values[column] for item in task.items])
                corpus = column.split(",")[0] in ("chrf", "brier_score", "bits_per_byte")
                assert task.stderr[column] == (None if corpus else pytest.approx(error))
            answers = {(s["doc_id"], s["filter"]): s for s in expected["samples"][task.name]}
            assert len(answers) == len(task.items) * len(task.items[0].filtered)
            for item in task.items:
                for name, filtered in item.filtered.items():
                    record = answers[item.doc_id, name]
                    assert list(filtered) == record["filtered_resps"]
                    assert [a[0] for a in item.arguments] == [a[0] for a in record["arguments"]]


def test_a_session_equals_lm_eval_on_a_fresh_load(toy_models: Mapping[str, Path]) -> None:
    tasks = {"u": {**UPPER, "num_fewshot": 2}, "c": CHOICE, "j": JUDGED, "r": ROLLING}
    session = Session(make_plan(tasks))
    names = [str(task["task"]) for task in tasks.values()]
    session.evaluate(toy_models["a"], "all")
    for name in ("b", "a"):  # by the second time, models are swapped in place
        found = session.evaluate(toy_models[name], "all")
        assert_same(found, reference(toy_models[name], names, 2))
    assert (session.resident.fresh_loads, session.resident.swaps) == (1, 2)


def test_with_a_chat_template_too(toy_models: Mapping[str, Path], tmp_path: Path) -> None:
    shutil.copytree(toy_models["a"], tmp_path / "chat")
    (tmp_path / "chat" / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    plan = make_plan(
        {"u": {**UPPER, "num_fewshot": 1}, "c": CHOICE},
        apply_chat_template=True,
        system_instruction="be loud",
    )
    session = Session(plan)
    found = session.evaluate(tmp_path / "chat", "all")
    theirs = reference(
        tmp_path / "chat", ["evomerge_toy_upper", "evomerge_toy_choice"], 1,
        apply_chat_template=True, system_instruction="be loud",
    )  # fmt: skip
    assert_same(found, theirs)
    with pytest.raises(MissingPrerequisite, match="no chat template"):
        session.evaluate(toy_models["a"], "all")


def test_scores_are_not_all_alike(everything: Evaluation) -> None:
    """Guards the other tests: equal zeros would prove nothing."""
    assert 0.1 < everything.scores.domains["zero"].value < 0.9
    assert 0.5 < everything.scores.domains["mc"].value < 1
    finishes = {i.finish for task in everything.tasks["zero"] for i in task.items}
    assert "stop" in finishes


def test_a_subset_has_the_prompts_and_results_of_the_full_set(
    session: Session, everything: Evaluation, toy_models: Mapping[str, Path]
) -> None:
    whole = {i.doc_id: i for t in everything.tasks["few"] for i in t.items}
    seen = []
    for split in ("held_out", "search"):
        part = session.evaluate(toy_models["a"], split)  # type: ignore[arg-type]
        for item in (i for t in part.tasks["few"] for i in t.items):
            full = whole[item.doc_id]
            assert (item.arguments, item.filtered) == (full.arguments, full.filtered)
            assert (item.values, item.tokens) == (full.values, full.tokens)
            seen.append(item.doc_id)
    assert sorted(seen) == sorted(whole)


def test_prompts_do_not_depend_on_the_candidate(
    session: Session, everything: Evaluation, toy_models: Mapping[str, Path]
) -> None:
    before = [i.arguments for t in everything.tasks["few"] for i in t.items]
    again = session.evaluate(toy_models["b"], "all")
    assert [i.arguments for t in again.tasks["few"] for i in t.items] == before
    other = Session(session.plan).evaluate(toy_models["b"], "all")
    assert [i.arguments for t in other.tasks["few"] for i in t.items] == before


def test_results_do_not_depend_on_what_was_scored_before(
    session: Session, toy_models: Mapping[str, Path]
) -> None:
    first = session.score(toy_models["a"], "search", identity="a")
    for name in ("b", "deep", "b"):
        assert session.score(toy_models[name], "search").domains != first.domains
    again = session.score(toy_models["a"], "search", identity="a")
    assert again == first and again.items == first.items
    assert first.eval_key == eval_key("a", session.plan, "search")
    assert session.score(toy_models["a"], "search").eval_key == ""


def test_items_carry_values_in_the_order_of_their_hashes(everything: Evaluation) -> None:
    (task,) = everything.tasks["zero"]
    hashes = [item.item_hash for item in task.items]
    assert hashes == sorted(hashes)
    items = everything.scores.items["zero"]
    assert math.fsum(items.values) / len(items.values) == pytest.approx(
        everything.scores.domains["zero"].value
    )
    assert len(items.values) == len(items.tokens) == everything.scores.domains["zero"].n
    assert everything.scores.items["mc"].tokens == ()
    # The same items asked with other prompts are the same set.
    assert items.item_set == everything.scores.items["few"].item_set


def test_tokens_end_where_the_answer_ends(everything: Evaluation) -> None:
    for item in (i for t in everything.tasks["zero"] for i in t.items):
        text = item.responses[0][0]
        if item.finish == "stop":  # one token a byte, and the newline that stopped it
            assert item.tokens == len(text.encode()) + 1
        elif item.finish == "length":
            assert item.tokens == 8
    (task,) = everything.tasks["zero"]
    assert max(i.tokens or 0 for i in task.items) <= 8


def test_a_model_that_ends_its_text_finishes_by_eos(tmp_path: Path) -> None:
    import torch

    model = new_model(0, tied=False)
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.model.norm.weight.zero_()  # all logits equal: the first token wins every time
        model.lm_head.weight[256] += 1
    model.model.norm.weight.data.fill_(1.0)
    model.generation_config.eos_token_id = [0, 256]  # token 0, "!", ends text too
    folder = save(model, tmp_path / "m")
    found = Session(make_plan({"zero": UPPER}, limit=5)).evaluate(folder, "search")
    items = [i for t in found.tasks["zero"] for i in t.items]
    assert {i.finish for i in items} == {"eos"} and {i.tokens for i in items} == {1}


def test_the_full_search_split_is_the_search_without_its_limit(
    session: Session, toy_models: Mapping[str, Path]
) -> None:
    model = toy_models["a"]
    limited = Session(dataclasses.replace(session.plan, limit=3))
    few = limited.score(model, "search", identity="a")
    full = limited.score(model, "full_search", identity="a")
    whole = session.score(model, "search", identity="a")
    assert (full, full.items) == (whole, whole.items) and full.eval_key == whole.eval_key
    assert few.eval_key != full.eval_key
    assert all(score.n > few.domains[domain].n for domain, score in full.domains.items())


def test_a_corpus_metric_has_item_values_and_no_stderr(toy_models: Mapping[str, Path]) -> None:
    tasks = {"u": {**UPPER, "metric": "chrf"}}
    found = Session(make_plan(tasks)).evaluate(toy_models["a"], "all")
    assert found.scores.domains["u"].stderr is None
    values = found.scores.items["u"].values
    right = [i.values["exact_match,first"] for t in found.tasks["u"] for i in t.items]
    assert all(value == 100.0 for value, ok in zip(values, right, strict=True) if ok)
    assert min(values) < 100.0


def test_a_tag_is_one_domain_of_several_tasks(toy_models: Mapping[str, Path]) -> None:
    tasks = {
        "both": {**CHOICE, "task": "evomerge_toy_choices"},
        "one": CHOICE,
        "two": {**CHOICE, "task": "evomerge_toy_choice_b"},
    }
    found = Session(make_plan(tasks)).evaluate(toy_models["a"], "search")
    both, one, two = (found.scores.domains[name] for name in tasks)
    assert both.n == one.n + two.n and one.value != two.value
    assert both.value == pytest.approx((one.value + two.value) / 2)
    assert one.stderr is not None and two.stderr is not None
    assert both.stderr == pytest.approx(math.hypot(one.stderr, two.stderr) / 2)
    items = found.scores.items
    assert sorted(items["both"].values) == sorted(items["one"].values + items["two"].values)
    # Equal items asked in two ways fall on the same side, and are still two items.
    assert len({items[name].item_set for name in tasks}) == 3


def test_a_tag_whose_tasks_lack_the_metric() -> None:
    with pytest.raises(RecipeError, match="no metric 'right'"):
        Session(make_plan({"j": {**JUDGED, "task": "evomerge_toy_all"}}))


def test_prefetch_sees_all_answers_at_once(toy_models: Mapping[str, Path]) -> None:
    session = Session(make_plan({"j": JUDGED}))
    judge = session._tasks[session.plan.tasks[0].asked][0].task.get_config("process_results")
    seen = judge.__globals__["PREFETCHED"]
    seen.clear()
    assert seen == [session.score(toy_models["a"], "search").domains["j"].n]


def test_nothing_is_tokenised_or_built_twice(
    session: Session, toy_models: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session.score(toy_models["a"], "search")
    kind = type(session.resident.lm.tokenizer)
    seen: list[str] = []
    encode = kind._encode_plus  # what both encode() and a call of a tokenizer come down to

    def watched(self: Any, text: Any, *arguments: Any, **options: Any) -> Any:
        seen.extend([text] if isinstance(text, str) else text)
        return encode(self, text, *arguments, **options)

    monkeypatch.setattr(kind, "_encode_plus", watched)
    monkeypatch.setattr("evomerge_compiler.evaluation.task_files.build_requests", None)
    assert session.score(toy_models["b"], "search").domains["zero"].n > 20
    assert set(seen) == {"\n", "<|end|>"}  # lm-eval's stop strings, and no prompt


def test_batches_are_kept_below_a_limit(
    toy_models: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metered, "KEPT_BATCHES_BYTES", 4 << 10)
    session = Session(make_plan({"zero": UPPER}, batch_size=2))
    first = session.score(toy_models["a"], "search")
    assert first.domains["zero"].n > 20
    assert 0 < len(session.resident.lm.encodings.batches) <= 4
    assert session.score(toy_models["a"], "search").domains == first.domains


def test_perplexity_uses_the_resident_model(
    session: Session, toy_models: Mapping[str, Path]
) -> None:
    lines = [Passage(line.partition(">")[2], context=line.split(">")[0]) for line in toy_lines()]
    session.score(toy_models["b"], "search")
    swaps = session.resident.swaps
    taught = session.text_score(toy_models["a"], lines)
    assert session.resident.swaps == swaps + 1
    assert taught.n_bytes == sum(len(passage.text) for passage in lines)
    assert taught.bits_per_byte < session.text_score(toy_models["deep"], lines).bits_per_byte


def test_generation_arguments_reach_the_model(toy_models: Mapping[str, Path]) -> None:
    short = Session(make_plan({"d": UPPER}, gen_kwargs={"max_gen_toks": 2}))
    assert max(short.score(toy_models["a"]).items["d"].tokens) == 2
    sampling = {"do_sample": True, "temperature": 1.5}
    drawn = [
        Session(make_plan({"d": UPPER}, gen_kwargs=sampling)).evaluate(toy_models["a"])
        for _ in range(2)
    ]
    greedy = Session(make_plan({"d": UPPER})).evaluate(toy_models["a"])
    answers = [[i.filtered for t in e.tasks["d"] for i in t.items] for e in (*drawn, greedy)]
    assert answers[0] == answers[1] != answers[2]


# --------------------------------------------------------------------------------------
# Models that must not get a score


def edited(source: Path, target: Path, edit: Any) -> Path:
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target)
    tensors = load_file(target / "model.safetensors")
    edit(tensors)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


def failure(session: Session, model: Path) -> WorkFailed:
    with pytest.raises(WorkFailed) as caught:
        session.score(model, "search")
    assert caught.value.step == "evaluate"
    assert str(model) not in caught.value.message
    return caught.value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite(
    session: Session, toy_models: Mapping[str, Path], tmp_path: Path, value: float
) -> None:
    def edit(tensors: Any) -> None:
        tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = value

    good = session.score(toy_models["a"], "search")
    model = edited(toy_models["a"], tmp_path / "m", edit)
    assert failure(session, model).reason == "non_finite"
    assert session.score(toy_models["a"], "search") == good


@pytest.mark.parametrize("task", [UPPER, CHOICE, ROLLING])
def test_finite_weights_that_compute_nan(
    task: Any, toy_models: Mapping[str, Path], tmp_path: Path
) -> None:
    def edit(tensors: Any) -> None:
        for name in ("up", "gate"):  # their product overflows
            tensors[f"model.layers.0.mlp.{name}_proj.weight"] *= 1e30

    model = edited(toy_models["a"], tmp_path / "m", edit)
    session = Session(make_plan({"d": task}))
    assert failure(session, model).reason == "non_finite"


def test_a_model_that_lacks_a_tensor_is_refused_swapped_or_fresh(
    session: Session, toy_models: Mapping[str, Path], tmp_path: Path
) -> None:
    def edit(tensors: Any) -> None:
        del tensors["model.layers.1.mlp.up_proj.weight"]

    model = edited(toy_models["a"], tmp_path / "m", edit)
    session.score(toy_models["a"], "search")
    for attempt in (session, Session(session.plan)):
        failed = failure(attempt, model)
        assert failed.reason == "invalid" and "up_proj" in failed.message


def test_damaged_folders(session: Session, toy_models: Mapping[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert failure(session, tmp_path / "empty").reason == "invalid"
    shutil.copytree(toy_models["a"], tmp_path / "no-weights")
    (tmp_path / "no-weights" / "model.safetensors").unlink()
    assert failure(session, tmp_path / "no-weights").reason == "invalid"
    shutil.copytree(toy_models["a"], tmp_path / "cut")
    with (tmp_path / "cut" / "model.safetensors").open("r+b") as file:
        file.truncate(5000)
    session.score(toy_models["a"], "search")
    assert failure(session, tmp_path / "cut").reason == "invalid"


def test_a_deleted_folder_does_not_matter_to_the_loaded_model(
    session: Session, toy_models: Mapping[str, Path], tmp_path: Path
) -> None:
    expected = session.score(toy_models["a"], "search")
    session.resident.drop()
    shutil.copytree(toy_models["a"], tmp_path / "m")
    assert session.score(tmp_path / "m", "search") == expected
    with (tmp_path / "m" / "model.safetensors").open("r+b") as file:
        file.truncate(0)  # a model mapped on it would die of SIGBUS
    assert session.score(toy_models["b"], "search") != expected
    assert session.score(toy_models["a"], "search") == expected


def test_generation_defaults_of_a_model_count(
    session: Session, toy_models: Mapping[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(toy_models["a"], tmp_path / "m")
    file = tmp_path / "m" / "generation_config.json"
    letter = byte_tokenizer().encode("A")
    file.write_text(json.dumps({**json.loads(file.read_text()), "eos_token_id": letter}))
    plain = session.evaluate(toy_models["a"], "search")
    loads = session.resident.fresh_loads
    other = session.evaluate(tmp_path / "m", "search")  # an A now ends the text
    assert session.resident.fresh_loads == loads + 1

    def count(found: Evaluation, finish: str) -> int:
        return sum(i.finish == finish for t in found.tasks["zero"] for i in t.items)

    assert count(plain, "eos") == 0 < count(other, "eos")


def test_untied_models_swap_too(tmp_path: Path) -> None:
    models = [save(new_model(s, tied=False), tmp_path / str(s)) for s in (3, 4)]
    session = Session(make_plan({"mc": CHOICE}))
    found = [session.score(m, "search") for m in (*models, models[0])]
    assert session.resident.swaps == 2 and session.resident.fresh_loads == 1
    assert found[0] == found[2] != found[1]


# --------------------------------------------------------------------------------------
# Mistakes in recipes


@pytest.mark.parametrize(
    ("task", "message", "hint"),
    [
        ({**CHOICE, "metric": "ac"}, "no metric 'ac'", "'acc'"),
        ({**UPPER, "filter": "frist"}, "no filter 'frist'", "'first'"),
        ({**CHOICE, "num_fewshot": 3}, "zero-shot by its own file", "num_fewshot"),
    ],
)
def test_mistakes_are_found_before_any_model(task: Any, message: str, hint: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        Session(make_plan({"d": task}))
    assert hint in str(caught.value.hint)


def test_a_metric_that_only_answers_could_show(toy_models: Mapping[str, Path]) -> None:
    session = Session(make_plan({"d": {**UPPER, "metric": "exact_matches"}}))
    with pytest.raises(RecipeError, match="no metric") as caught:
        session.score(toy_models["a"], "search")
    assert "exact_match" in str(caught.value.hint)


def test_a_metric_that_is_better_when_lower_is_no_fitness(toy_models: Mapping[str, Path]) -> None:
    session = Session(make_plan({"d": {**CHOICE, "metric": "brier_score"}}))
    with pytest.raises(RecipeError, match="better when lower"):
        session.score(toy_models["a"], "search")
    assert session.evaluate(toy_models["a"], "search").scores.domains["d"].value > 0


def test_an_answer_must_leave_room_for_its_prompt(toy_models: Mapping[str, Path]) -> None:
    session = Session(make_plan({"d": UPPER}, max_length=8))
    with pytest.raises(RecipeError, match="leaves no room for a prompt in 8"):
        session.score(toy_models["a"], "search")


def test_a_chat_template_that_breaks(toy_models: Mapping[str, Path], tmp_path: Path) -> None:
    shutil.copytree(toy_models["a"], tmp_path / "m")
    (tmp_path / "m" / "chat_template.jinja").write_text("{{ raise_exception('no users') }}")
    session = Session(make_plan({"d": UPPER}, apply_chat_template=True))
    with pytest.raises(RecipeError, match="no users"):
        session.score(tmp_path / "m", "search")


def test_no_items_on_a_side(toy_models: Mapping[str, Path]) -> None:
    session = Session(make_plan({"d": CHOICE}, holdout=0.0))
    with pytest.raises(RecipeError, match="no held-out items"):
        session.score(toy_models["a"], "held_out")


def test_a_judge_that_raises_is_the_candidates_failure(
    toy_models: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(make_plan({"j": JUDGED}))
    loaded = session._tasks[session.plan.tasks[0].asked][0]
    judge = loaded.task.get_config("process_results")
    monkeypatch.setitem(judge.__globals__, "prefetch", None)
    monkeypatch.setitem(judge.__globals__, "VERDICTS", {})
    failed = failure(session, toy_models["a"])
    assert failed.reason == "crashed" and "KeyError" in failed.message


@pytest.mark.parametrize("kind", ["MemoryError", "RuntimeError"])
def test_running_out_of_memory_is_the_candidates_failure(
    session: Session,
    toy_models: Mapping[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    errors: dict[str, Exception] = {
        "MemoryError": MemoryError(),
        "RuntimeError": RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    }

    def raises(*_: Any, **__: Any) -> None:
        raise errors[kind]

    session.score(toy_models["a"], "search")
    monkeypatch.setattr(session.resident.lm, "generate_until", raises)
    assert failure(session, toy_models["a"]).reason == "out_of_memory"


def test_an_unknown_release_of_lm_eval_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan({"d": CHOICE})
    monkeypatch.setattr("evomerge_compiler.evaluation.task_files.lm_eval_version", lambda: "0.5.0")
    with pytest.raises(MissingPrerequisite, match=r"lm-eval 0\.5\.0 is installed"):
        Session(plan)


@pytest.mark.long
def test_stock_tasks_come_from_lm_evals_own_index() -> None:
    with pytest.raises(RecipeError, match="no task 'gsm8kk'") as caught:
        Session(make_plan({"d": {**CHOICE, "task": "gsm8kk"}}))
    assert caught.value.hint == "did you mean 'gsm8k'?"
    plan = dataclasses.replace(make_plan({"d": {**CHOICE, "task": "gsm8k"}}), offline=True)
    with pytest.raises(MissingPrerequisite, match="cannot be read"):
        Session(plan)


def test_code_that_would_run_unboxed_is_refused(tmp_path: Path) -> None:
    text = (TASKS / "toy_choice.yaml").read_text().replace("toy_choice", "toy_unsafe")
    shutil.copy(TASKS / "toys.py", tmp_path)
    (tmp_path / "unsafe.yaml").write_text(text + "unsafe_code: true\n")
    plan = make_plan(
        {"d": {**CHOICE, "task": "evomerge_toy_unsafe"}}, include_path=[str(tmp_path)]
    )
    with pytest.raises(EvomergeError, match="outside the sandbox"):
        Session(plan)


# --------------------------------------------------------------------------------------
# Forms


def test_the_form_of_lm_evals_own_results(everything: Evaluation) -> None:
    found = to_lm_eval(everything, model="zoo:a")
    assert json.loads(json.dumps(found)) == found
    upper = found["results"]["evomerge_toy_upper"]
    assert {"exact_match,first", "exact_match_stderr,first", "chrf,letters"} <= set(upper)
    assert upper["chrf_stderr,letters"] == "N/A"
    assert found["versions"] == {"evomerge_toy_upper": 2.0, "evomerge_toy_choice": 1.0}
    assert found["n-samples"]["evomerge_toy_choice"] == {"original": 84, "effective": 84}
    assert found["evomerge"]["domains"]["mc"]["value"] == everything.scores.domains["mc"].value
    text = json.dumps(found)
    assert "0x" not in text and str(Path.home()) not in text


def test_rows_and_samples(everything: Evaluation) -> None:
    rows = domain_rows(everything)
    assert [row.domain for row in rows] == ["few", "zero", "mc"]
    zero = rows[1]
    assert zero.mean_tokens is not None and 1 < zero.mean_tokens <= 8
    assert zero.truncated_share is not None and 0 <= zero.truncated_share < 1
    assert rows[2].mean_tokens is None and rows[2].truncated_share is None
    kept = list(samples(everything))
    assert {name for name, _ in kept} == {"evomerge_toy_upper", "evomerge_toy_choice"}
    choice = next(record for name, record in kept if name == "evomerge_toy_choice")
    assert {"doc_id", "doc", "target", "resps", "filtered_resps", "acc"} <= set(choice)


@pytest.mark.parametrize(("task", "started"), [({"task": "evomerge_code"}, True), (UPPER, False)])
def test_the_sandbox_starts_with_the_session_of_a_task_that_runs_code(
    task: dict[str, str], started: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evomerge_compiler.evaluation import lm_eval, sandbox

    calls: list[str] = []
    monkeypatch.setattr(sandbox, "configure", lambda unsafe: calls.append(f"unsafe={unsafe}"))
    started_now = property(lambda self: calls.append("started"))
    monkeypatch.setattr(sandbox.Sandbox, "layers", started_now)
    lm_eval._start_sandbox(make_plan({"d": task}))
    assert calls == ["unsafe=False", *(["started"] if started else [])]
