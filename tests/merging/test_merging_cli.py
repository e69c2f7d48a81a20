"""Real merges by mergekit-yaml; each process costs seconds, so that they are shared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import write_model

from evomerge_compiler.errors import MissingPrerequisite, UsageError, WorkFailed
from evomerge_compiler.merging import cli
from evomerge_compiler.merging.cli import MergedModel, run_plan
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.merging.verify import check_loads
from evomerge_compiler.merging.weights import TensorInfo, read_tensors, tensors_sha256

A, B = "models/src/a", "models/src/b"
SLIDING = ["full_attention", "sliding_attention", "full_attention", "sliding_attention"]
SLIDES = {"use_sliding_window": True, "sliding_window": 16, "layer_types": SLIDING}


def values(info: TensorInfo) -> np.ndarray:
    """A bfloat16 tensor as float32."""
    with info.file.open("rb") as stream:
        stream.seek(info.start)
        bits = np.frombuffer(stream.read(info.end - info.start), "<u2").astype("<u4") << 16
    return bits.view("<f4").reshape(info.shape)


def config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def pair(folder: Path, **kwargs: Any) -> dict[str, Path]:
    # Signs that mergekit splits paths at, and a space: none of them may matter.
    names = {"a": "a+b@c d", "b": "b"}
    return {
        alias: write_model(folder / name, seed=seed, **kwargs)
        for seed, (alias, name) in enumerate(names.items())
    }


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work+space @here")


@pytest.fixture(scope="module")
def linear(plans: Any, work: Path) -> MergedModel:
    sources = pair(work / "linear")
    plan = plans.plan([plans.stage("final", plans.linear(0.75, 0.25), A, B)], tokenizer="b")
    return run_plan(plan, sources, work=work, out=work / "out" / "linear")


@pytest.fixture(scope="module")
def deep(plans: Any, work: Path) -> MergedModel:
    """Two stages; the second stacks layers 0-2 of the first on layers 1-3 of b."""
    sources = pair(work / "deep", kind="qwen3", config=SLIDES)
    first = plans.stage("s1", plans.linear(), A, B)
    last = plans.stage("final", plans.stack(("s1", 0, 3), (B, 1, 4)), "s1", B)
    plan = plans.plan([first, last], n_layers=6)
    return run_plan(plan, sources, work=work, out=work / "out" / "deep")


def test_merge_is_the_weighted_mean(linear: MergedModel, work: Path) -> None:
    name = "model.layers.2.mlp.up_proj.weight"
    one, other = (read_tensors(work / "linear" / f)[name] for f in ("a+b@c d", "b"))
    merged = values(read_tensors(linear.path)[name])
    np.testing.assert_allclose(
        merged, 0.75 * values(one) + 0.25 * values(other), rtol=2**-7, atol=1e-6
    )


def test_what_is_reported_is_what_is_on_disk(linear: MergedModel) -> None:
    tensors = read_tensors(linear.path)
    assert linear.tensors_sha256 == tensors_sha256(linear.path)
    assert linear.n_parameters == sum(info.n_elements for info in tensors.values())
    assert linear.n_bytes == 2 * linear.n_parameters


def test_nothing_but_the_model_is_left(linear: MergedModel) -> None:
    assert sorted(path.name for path in linear.path.iterdir()) == [
        "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
        "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    assert not list(linear.path.parent.glob(".*"))
    # Who may read one of them may read all: safetensors alone would hide the weights.
    assert len({path.stat().st_mode for path in linear.path.iterdir()}) == 1


def test_each_donor_gives_its_part(linear: MergedModel) -> None:
    assert json.loads((linear.path / "tokenizer.json").read_text()) == {"name": "b"}
    assert (linear.path / "chat_template.jinja").read_text().startswith("a+b@c d: ")


def test_merged_models_load_with_nothing_missing(linear: MergedModel, deep: MergedModel) -> None:
    check_loads(linear.path)
    check_loads(deep.path)


def test_depth_changes_are_finished(deep: MergedModel, work: Path) -> None:
    written = config(deep.path)
    assert written["num_hidden_layers"] == 6
    assert written["layer_types"] == SLIDING[:3] + SLIDING[1:]
    last = values(read_tensors(deep.path)["model.layers.5.mlp.up_proj.weight"])
    own = values(read_tensors(work / "deep" / "b")["model.layers.3.mlp.up_proj.weight"])
    np.testing.assert_array_equal(last, own)


def test_only_earlier_stages_are_kept(deep: MergedModel, work: Path, plans: Any) -> None:
    kept = [path.name for path in (work / "stages").iterdir() if path.name != ".locks"]
    assert kept == [plans.stage("s1", plans.linear(), A, B).stage_key]
    assert config(work / "stages" / kept[0])["num_hidden_layers"] == 4


def test_mergekit_failures_are_the_candidates_own(plans: Any, tmp_path: Path) -> None:
    sources = pair(tmp_path)
    document = plans.linear() | {"merge_method": "nosuch"}
    plan = plans.plan([plans.stage("final", document, A, B)])
    with pytest.raises(WorkFailed) as error:
        run_plan(plan, sources, work=tmp_path / "work", out=tmp_path / "out")
    assert (error.value.reason, error.value.step) == ("invalid", "merge")
    expected = "mergekit failed in stage final: RuntimeError: Unimplemented merge method nosuch"
    assert error.value.message == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a+b@c d", "b", "work"]


def test_an_existing_model_is_never_overwritten(plans: Any, tmp_path: Path) -> None:
    out = write_model(tmp_path / "out")
    plan = plans.plan([plans.stage("final", plans.linear(), A, B)])
    with pytest.raises(UsageError, match="is there already"):
        run_plan(plan, pair(tmp_path), work=tmp_path / "work", out=out)


def test_a_full_disk_is_noticed_before_the_merge(
    plans: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evomerge_compiler.merging.weights.free_space_bytes", lambda _: 1000)
    plan = plans.plan([plans.stage("final", plans.linear(), A, B)])
    with pytest.raises(MissingPrerequisite, match="GB of disk"):
        run_plan(plan, pair(tmp_path), work=tmp_path / "work", out=tmp_path / "out")


def test_needed_space_counts_what_is_missing(plans: Any, tmp_path: Path) -> None:
    sources = pair(tmp_path)
    held = sum(info.end - info.start for info in read_tensors(sources["a"]).values())
    cache = cli.StageCache(tmp_path / "stages")
    final = plans.stage("final", plans.stack(("s1", 0, 4), (B, 0, 4)), "s1", B)
    stages = [plans.stage("s1", plans.linear(), A, B), final]
    needed = cli.needed_bytes(plans.plan(stages, n_layers=8), sources, cache)
    assert needed == int(held * 2 * 2 * 1.05)
    with cache.stage(stages[0].stage_key, lambda part: "hash"):
        pass
    assert cli.needed_bytes(plans.plan(stages, n_layers=8), sources, cache) == needed // 2
    wide = [plans.stage("final", plans.linear() | {"dtype": "float32"}, A, B)]
    assert cli.needed_bytes(plans.plan(wide), sources, cache) == int(held * 2 * 1.05)


def test_sources_named_anywhere_in_a_document() -> None:
    document = {"models": [{"model": A}, {"model": "s1"}], "tokenizer_source": B, "x": [A, 1]}
    assert cli.mentioned(document) == [A, B]


# --------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_depth_changes_of_other_architectures(plans: Any, tmp_path: Path, kind: str) -> None:
    sources = pair(tmp_path, kind=kind, tied=kind != "llama")
    document = plans.stack((A, 0, 4), (B, 2, 4), (B, 2, 4), (A, 3, 4))
    plan = plans.plan([plans.stage("final", document, A, B)], n_layers=9)
    merged = run_plan(plan, sources, work=tmp_path / "work", out=tmp_path / "out")
    check_loads(merged.path)
    assert config(merged.path)["num_hidden_layers"] == 9


@pytest.mark.long
@pytest.mark.parametrize("donor", ["a", "b"])
def test_tied_and_untied_parents(plans: Any, tmp_path: Path, donor: str) -> None:
    """Whoever gives the config: a head that was merged is a head that is used."""
    sources = {
        "a": write_model(tmp_path / "a", tied=True),
        "b": write_model(tmp_path / "b", tied=False, seed=1),
    }
    plan = plans.plan([plans.stage("final", plans.linear(), A, B)], config=donor)
    merged = run_plan(plan, sources, work=tmp_path / "work", out=tmp_path / "out")
    check_loads(merged.path)
    assert config(merged.path)["tie_word_embeddings"] is False
    tensors = read_tensors(merged.path)
    embedding = values(read_tensors(sources["a"])["model.embed_tokens.weight"])
    head = values(read_tensors(sources["b"])["lm_head.weight"])
    expected = (embedding + head) / 2
    np.testing.assert_allclose(values(tensors["lm_head.weight"]), expected, atol=2**-8)


@pytest.mark.long
def test_non_finite_weights_are_a_failure(plans: Any, tmp_path: Path) -> None:
    plan = plans.plan([plans.stage("final", plans.linear(1.0, -1.0), A, B)])
    with pytest.raises(WorkFailed, match="NaN or infinity") as error:
        run_plan(plan, pair(tmp_path), work=tmp_path / "work", out=tmp_path / "out")
    assert error.value.reason == "non_finite" and not (tmp_path / "out").exists()


@pytest.mark.long
def test_a_kept_stage_is_not_merged_again(plans: Any, tmp_path: Path) -> None:
    sources = pair(tmp_path)
    entries = [{"model": name, "parameters": {"weight": 0.5}} for name in ("s1", B)]
    middle = plans.linear() | {"models": entries, "base_model": "s1"}
    first = plans.stage("s1", plans.linear(), A, B)
    second = plans.stage("s2", middle, "s1", B)
    last = plans.stage("final", plans.stack(("s2", 0, 4)), "s2")
    plan = plans.plan([first, second, last])
    work = tmp_path / "work"
    one = run_plan(plan, sources, work=work, out=tmp_path / "one")
    marker = work / "stages" / first.stage_key / "OK"
    marker.unlink()
    two = run_plan(plan, sources, work=work, out=tmp_path / "two")
    assert one.tensors_sha256 == two.tensors_sha256
    # s2 was there, so that nobody asked for s1.
    assert not marker.exists()


@pytest.mark.long
def test_time_limit_of_a_whole_merge(plans: Any, tmp_path: Path) -> None:
    plan = plans.plan([plans.stage("final", plans.linear(), A, B)])
    with pytest.raises(WorkFailed, match="it ran past the time limit") as error:
        run_plan(
            plan, pair(tmp_path), work=tmp_path / "work", out=tmp_path / "out",
            options=MergeOptions(cuda=False, timeout_s=0.5),
        )  # fmt: skip
    assert error.value.reason == "timeout"


@pytest.mark.long
def test_asking_for_a_gpu_that_is_not_there_is_the_machines_fault(
    plans: Any, tmp_path: Path
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    plan = plans.plan([plans.stage("final", plans.linear(), A, B)])
    with pytest.raises(MissingPrerequisite, match="--cuda") as error:
        run_plan(
            plan, pair(tmp_path), work=tmp_path / "work", out=tmp_path / "out",
            options=MergeOptions(cuda=True),
        )  # fmt: skip
    assert error.value.exit_code == 3


@pytest.mark.long
def test_embeddings_follow_the_tokenizer_that_is_named(
    plans: Any, tmp_path: Path, unequal_models: dict[str, Path]
) -> None:
    """mergekit brings rows to the donor's order and count; the donor's weights may be absent."""
    sources = {"a": unequal_models["tied"], "b": unequal_models["vocab"]}
    document = plans.stack((A, 0, 4)) | {"tokenizer_source": B}
    plan = plans.plan([plans.stage("final", document, A)], tokenizer="b", template=None)
    merged = run_plan(plan, sources, work=tmp_path / "work", out=tmp_path / "out")
    check_loads(merged.path)
    rows = read_tensors(merged.path)["model.embed_tokens.weight"].shape[0]
    assert config(merged.path)["vocab_size"] == rows
    from transformers import AutoTokenizer

    own, expected = (AutoTokenizer.from_pretrained(p) for p in (merged.path, sources["b"]))
    assert own.get_vocab() == expected.get_vocab()
    assert len(own) <= rows
