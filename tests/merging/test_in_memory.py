"""Merges in memory give the bits and the files of the command, for whatever compiles."""

from __future__ import annotations

import gc
import json
import random
import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from compile_kit import compile_file, write_recipe
from in_process import CPU, run_plan_in_process
from test_golden import CASES, IN_THE_ZOO, ZOO, recipe_of
from tiny_models import write_model

from evomerge_compiler import recipe, worker
from evomerge_compiler.compiler import MergePlan, compile_recipe, rendering
from evomerge_compiler.errors import WorkFailed
from evomerge_compiler.merging import mergekit_tasks
from evomerge_compiler.merging.cli import run_plan
from evomerge_compiler.merging.in_memory import InMemoryUnavailable, Merger, PreparedMerge
from evomerge_compiler.merging.tensors import add_tensor, spec_of
from evomerge_compiler.merging.weights import TensorsHash, TensorSpec, read_tensors

A, B, C = "models/src/a", "models/src/b", "models/src/c"
SCORED = "evaluation: {tasks: {x: {task: t, metric: m}}}\n"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def mergers(tmp_path_factory: pytest.TempPathFactory) -> list[Merger]:
    """With our kernels and without; nothing is kept between merges, so each proves itself."""
    folder = tmp_path_factory.mktemp("work")
    return [Merger(folder, CPU, kernels=kernels, kept_bytes=0) for kernels in (True, False)]


def texts(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    kept = [path for path in files if not path.name.startswith("model.safetensors")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def streamed_sha256(merge: PreparedMerge) -> str:
    digest = TensorsHash()
    names = []
    for name, tensor in merge.stream():
        assert spec_of(tensor) == merge.tensors[name]
        add_tensor(digest, name, tensor)
        names.append(name)
    assert sorted(names) == list(merge.tensors)
    return digest.hexdigest()


def check(mergers: list[Merger], plan: MergePlan, sources: Mapping[str, Path], work: Path) -> None:
    """The merge in memory is that of the command: tensors, what is said of them, and files."""
    expected = run_plan_in_process(plan, sources, work)
    written = read_tensors(expected.path)
    specs = {name: TensorSpec(info.dtype, info.shape) for name, info in written.items()}
    for merger in mergers:
        merge = merger.prepare(plan, sources)
        assert list(merge.tensors.items()) == list(specs.items())
        assert texts(merge.shell) == texts(expected.path)
        assert streamed_sha256(merge) == expected.tensors_sha256


def plans_of(path: Path, n: int, seed: int) -> Iterator[MergePlan]:
    """The initial plan of a recipe, and ``n`` with drawn genomes."""
    loaded = recipe.load(path)
    yield compile_recipe(loaded)
    source = random.Random(seed)
    for _ in range(n):
        yield compile_recipe(loaded, genome=rendering.sample(loaded.space, source))


# -- what compiles ----------------------------------------------------------------------------


def of_each_kind() -> Iterator[Any]:
    """All cases on both architectures; the default tests have each method's plain one on both."""
    for name, method, genome in CASES:
        for kind in ("qwen2", "llama"):
            marks = [pytest.mark.long] if kind == "llama" and name != method else []
            yield pytest.param(method, genome, kind, id=f"{name}-{kind}", marks=marks)


@pytest.mark.parametrize(("method", "genome", "kind"), of_each_kind())
def test_every_method(
    method: str, genome: str, kind: str, mergers: list[Merger], tmp_path: Path,
    tiny_models: Callable[[str], dict[str, Path]],
) -> None:  # fmt: skip
    models = tiny_models(kind)
    *_, drawn = plans_of(recipe_of(method, tmp_path, models, genome), 1, seed=5)
    check(mergers, drawn, models, tmp_path)


def composed(template: str, folder: Path, models: Mapping[str, Path], dtypes: str) -> Path:
    groups = "layer_groups: 4\n" if template in ("dfs", "ps_dfs") else ""
    aliases = "ab" if template == "split_slerp" else "abc"
    return write_recipe(
        folder,
        kind="experiment",
        models={alias: models[alias] for alias in aliases},
        base=models["base"],
        template=template,
        rest=groups + dtypes + SCORED,
    )


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
@pytest.mark.parametrize(
    "template", ["frankenmerge", "dfs", "ps", "ps_dfs", "split_slerp", "three_stage"]
)
def test_composed_templates(
    template: str, kind: str, mergers: list[Merger], tmp_path: Path,
    tiny_models: Callable[[str], dict[str, Path]],
) -> None:  # fmt: skip
    models = tiny_models(kind)
    dtypes = {"qwen2": "dtype: bfloat16\n", "llama": "dtype: float32\nout_dtype: float16\n"}
    for plan in plans_of(composed(template, tmp_path, models, dtypes[kind]), 2, seed=2):
        check(mergers, plan, models, tmp_path)


@pytest.mark.parametrize("interpolation", ["linear", "slerp"])
@pytest.mark.parametrize("ensemble", ["ties", "dare_ties"])
@pytest.mark.parametrize("recombination", ["frankenmerge", "dfs"])
def test_three_stages_of_the_zoo(
    interpolation: str, ensemble: str, recombination: str, mergers: list[Merger], tmp_path: Path
) -> None:
    chosen = {"interpolation": interpolation, "ensemble": ensemble, "recombination": recombination}
    plan = quickstart(*(f"genome.{name}={choice}" for name, choice in chosen.items()))
    check(mergers, plan, zoo_sources(plan), tmp_path)


def quickstart(*overrides: str) -> MergePlan:
    return compile_recipe(recipe.load(ZOO.parent / "recipes/quickstart.yaml", overrides=overrides))


def zoo_sources(plan: MergePlan) -> dict[str, Path]:
    return {a: ZOO / model.spec.path.removeprefix("zoo:") for a, model in plan.models.items()}


# -- plans made by hand -----------------------------------------------------------------------


def ensemble(method: str, first: str, *others: str, **more: Any) -> dict[str, Any]:
    parameters = {"weight": 0.7, "density": 0.6} | ({"epsilon": 0.1} if "della" in method else {})
    models = [{"model": name, "parameters": parameters} for name in others]
    return {"merge_method": method, "base_model": first, "models": models} | more


def family(folder: Path, aliases: str = "abc", **kwargs: Any) -> dict[str, Path]:
    return {
        alias: write_model(folder / alias, seed=seed, **kwargs)
        for seed, alias in enumerate(aliases)
    }


F32, BF16 = {"dtype": "float32"}, {"dtype": "bfloat16"}
# s1 and s2 draw in a chain; s2 is read in another order than its own, and twice.
LATER = [
    [(A, 2, 4), ("s2", 0, 2), ("s2", 2, 4)],
    [("s2", 2, 4), ("s2", 0, 3), (A, 1, 2), ("s2", 1, 2)],
    [("s2", 3, 4), ("s2", 2, 3), ("s1", 1, 2), ("s2", 0, 1)],
]


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
@pytest.mark.parametrize("parts", LATER, ids=["shifted", "reordered", "reversed"])
@pytest.mark.parametrize("types", [F32, BF16], ids=["float32", "bfloat16"])
def test_random_stages_in_a_chain(
    parts: list[tuple[str, int, int]], kind: str, types: dict[str, str], mergers: list[Merger],
    plans: Any, tmp_path: Path,
) -> None:  # fmt: skip
    first = plans.stage("s1", ensemble("dare_linear", A, B, C) | types, A, B, C)
    second = plans.stage("s2", ensemble("della", A, "s1", B) | types, A, "s1", B)
    last = plans.stack(*parts) | BF16
    inputs = list(dict.fromkeys(name for name, _, _ in parts))
    stages = [first, second, plans.stage("final", last, *inputs)]
    plan = plans.plan(stages, n_layers=sum(end - start for _, start, end in parts))
    check(mergers, plan, family(tmp_path, kind=kind, tied=kind == "qwen2"), tmp_path)


@pytest.mark.parametrize("ranges", [[(2, 4), (0, 2)], [(0, 2), (0, 2), (3, 4)], [(3, 4), (0, 4)]])
def test_a_random_stage_that_reads_layers_in_another_order(
    ranges: list[tuple[int, int]], mergers: list[Merger], plans: Any, tmp_path: Path
) -> None:
    """Which tensor is drawn for first is decided by what is read, not by what is made."""
    first = plans.stage("s1", ensemble("dare_ties", A, B, C) | F32, A, B, C)
    slices = [
        {
            "sources": [
                {"model": "s1", "layer_range": [start, end]},
                {"model": B, "layer_range": [start, end]},
                {"model": C, "layer_range": [4 - end, 4 - start]},
            ]
        }
        for start, end in ranges
    ]
    last = ensemble("dare_linear", "s1") | BF16 | {"slices": slices}
    last |= {"parameters": {"weight": 0.5, "density": 0.5}}
    del last["models"]
    stages = [first, plans.stage("final", last, "s1", B, C)]
    plan = plans.plan(stages, n_layers=sum(end - start for start, end in ranges))
    check(mergers, plan, family(tmp_path), tmp_path)


def test_random_numbers_are_those_of_the_seed(
    mergers: list[Merger], plans: Any, tmp_path: Path
) -> None:
    """And nobody else's: drawing between two tensors of a merge changes nothing."""
    import torch

    sources = family(tmp_path)
    stage = plans.stage("final", ensemble("dare_ties", A, B, C) | F32, A, B, C)
    plan = plans.plan([stage])
    hashes = set()
    for seed in (1, 2):
        seeded = replace(plan, random_seed=seed, merge_key=str(seed))
        check(mergers, seeded, sources, tmp_path)
        for merger in mergers:
            digest = TensorsHash()
            for name, tensor in merger.prepare(seeded, sources).stream():
                torch.rand(3)
                add_tensor(digest, name, tensor)
            hashes.add(digest.hexdigest())
    assert len(hashes) == 2
    torch.manual_seed(0)
    expected = torch.rand(4)
    torch.manual_seed(0)
    streamed_sha256(mergers[0].prepare(plan, sources))
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("config", ["a", "b"])
@pytest.mark.parametrize("tied", [(True, False), (False, True), (False, False)])
def test_donors_and_heads(
    config: str, tied: tuple[bool, bool], mergers: list[Merger], plans: Any, tmp_path: Path
) -> None:
    """Whether the result is tied depends on the merged bits where the config says it is."""
    sources = {
        alias: write_model(tmp_path / alias, seed=seed, tied=tied[seed])
        for seed, alias in enumerate("ab")
    }
    for number, weights in enumerate([(0.5, 0.5), (1.0, 0.0)]):
        final = plans.stage("final", plans.linear(*weights), A, B)
        for template in (None, "b"):
            plan = plans.plan([final], config=config, tokenizer="b", template=template)
            plan = replace(plan, merge_key=f"{number}{template}")
            check(mergers, plan, sources, tmp_path)


def test_a_head_that_equals_the_embedding_stays_tied(
    mergers: list[Merger], plans: Any, tmp_path: Path
) -> None:
    """A tied config with a head on disk: the merged bits are asked, also of a stage that draws."""
    sources = family(tmp_path, tied=False, config={"tie_word_embeddings": True})
    for alias in "ab":
        untied_to_tied(sources[alias])
    for number, document in enumerate([plans.linear(), ensemble("dare_ties", A, B) | BF16]):
        plan = plans.plan([plans.stage("final", document, A, B)])
        check(mergers, replace(plan, merge_key=str(number)), sources, tmp_path)
        merge = mergers[0].prepare(plan, sources)
        config = json.loads((merge.shell / "config.json").read_text())
        # DARE drops other elements of the head than of the embedding.
        assert config["tie_word_embeddings"] is (number == 0)


def untied_to_tied(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, path, metadata={"format": "pt"})


def split(folder: Path) -> None:
    """Spreads the weights of a model over three files."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    names: dict[str, str] = {}
    tensors = load_file(path)
    for number in range(3):
        file = f"model-{number + 1:05d}-of-00003.safetensors"
        part = {name: tensors[name] for name in sorted(tensors)[number::3]}
        save_file(part, folder / file, metadata={"format": "pt"})
        names |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    path.unlink()


def test_weights_in_several_files(mergers: list[Merger], plans: Any, tmp_path: Path) -> None:
    sources = family(tmp_path, tied=False)
    for alias in "ac":
        split(sources[alias])
    stage = plans.stage("final", ensemble("dare_ties", A, B, C) | F32, A, B, C)
    check(mergers, plans.plan([stage]), sources, tmp_path)


def test_embeddings_follow_a_tokenizer(
    mergers: list[Merger], plans: Any, tmp_path: Path, unequal_models: dict[str, Path]
) -> None:
    sources = {"a": unequal_models["tied"], "b": unequal_models["vocab"]}
    first = plans.linear(0.25, 0.75) | {"tokenizer_source": B}
    stages = [
        plans.stage("s1", first, A, B),
        plans.stage("final", plans.linear() | {"tokenizer_source": A} | renamed(), "s1", B),
    ]
    for tokenizer in "ab":
        plan = plans.plan(stages, tokenizer=tokenizer, template=None)
        check(mergers, replace(plan, merge_key=tokenizer), sources, tmp_path)


def renamed() -> dict[str, Any]:
    models = [{"model": name, "parameters": {"weight": 0.5}} for name in ("s1", B)]
    return {"base_model": "s1", "models": models}


def test_architectures_that_mergekit_has_no_file_for(
    mergers: list[Merger], plans: Any, tmp_path: Path
) -> None:
    """It takes them apart by building them from their configuration."""
    import torch
    from transformers import OPTConfig, OPTForCausalLM

    sources = {}
    for seed, alias in enumerate("ab"):
        torch.manual_seed(seed)
        config = OPTConfig(
            vocab_size=64, hidden_size=16, num_hidden_layers=2, ffn_dim=32,
            num_attention_heads=2, max_position_embeddings=32, word_embed_proj_dim=16,
        )  # fmt: skip
        OPTForCausalLM(config).save_pretrained(tmp_path / alias)
        sources[alias] = tmp_path / alias
    first = plans.stage("s1", ensemble("dare_ties", A, B) | F32, A, B)
    last = plans.stage("final", plans.linear() | renamed(), "s1", B)
    plan = plans.plan([first, last], n_layers=2, template=None)
    check(mergers, plan, sources, tmp_path)


# -- failures ---------------------------------------------------------------------------------


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def reason(work: Callable[[], object]) -> tuple[str, str, str]:
    with pytest.raises(WorkFailed) as error:
        work()
    return error.value.message, error.value.reason, error.value.step


UP, DOWN = "model.layers.1.mlp.up_proj.weight", "model.layers.2.mlp.down_proj.weight"


def infinite(tensors: dict[str, Any]) -> None:
    tensors[UP][0, 0] = float("inf")
    tensors[DOWN][-1, -1] = float("nan")


DAMAGES: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any]], object] | None]] = {
    "unknown method": ({"merge_method": "nosuch"}, None),
    "missing parameter": ({"models": [{"model": A}, {"model": B}]}, None),
    "missing tensor": ({}, lambda tensors: tensors.pop(UP)),
    "other shape": ({}, lambda tensors: tensors.update({UP: tensors[UP][:4].clone()})),
    "not finite": ({}, infinite),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("early", [True, False], ids=["first stage", "last stage"])
def test_failures_read_as_the_commands_do(
    damage: str, early: bool, mergers: list[Merger], plans: Any, tmp_path: Path
) -> None:
    changes, spoil = DAMAGES[damage]
    sources = family(tmp_path, "ab")
    if spoil is not None:
        rewrite(sources["b"], spoil)  # type: ignore[arg-type]
    broken = plans.linear() | changes
    if early:
        stages = [plans.stage("s1", broken, A, B), plans.stage("final", renamed_only(plans), "s1")]
    else:
        stages = [plans.stage("final", broken, A, B)]
    plan = plans.plan(stages)
    expected = reason(lambda: run_plan_in_process(plan, sources, tmp_path))
    for merger in mergers:
        assert reason(lambda m=merger: list(m.prepare(plan, sources).stream())) == expected


def renamed_only(plans: Any) -> dict[str, Any]:
    return dict(plans.stack(("s1", 0, 4)))


def test_the_first_failing_stage_is_the_one_that_is_told(
    mergers: list[Merger], plans: Any, tmp_path: Path
) -> None:
    """The command would never have come to the second stage's fault."""
    sources = family(tmp_path, "ab")
    rewrite(sources["b"], infinite)
    first = plans.stage("s1", plans.linear(), A, B)
    last = plans.stage("final", plans.stack(("s1", 0, 4)) | {"merge_method": "nosuch"}, "s1")
    plan = plans.plan([first, last])
    expected = reason(lambda: run_plan_in_process(plan, sources, tmp_path))
    assert "2 merged tensors hold NaN or infinity" in expected[0]
    for merger in mergers:
        assert reason(lambda m=merger: m.prepare(plan, sources)) == expected


def test_a_merge_that_takes_too_long(plans: Any, tmp_path: Path) -> None:
    merger = Merger(tmp_path / "work", replace(CPU, timeout_s=0.0))
    plan = plans.plan([plans.stage("final", plans.linear(), A, B)])
    merge = merger.prepare(plan, family(tmp_path, "ab"))
    message, why, step = reason(lambda: list(merge.stream()))
    assert message == "mergekit failed in stage final: it ran past the time limit"
    assert (why, step) == ("timeout", "merge")


def test_what_only_the_command_can_decide(plans: Any, tmp_path: Path) -> None:
    """A result with tensors of other names than its inputs': transformers has to load it."""
    sources = family(tmp_path, "ab")
    for folder in sources.values():
        rewrite(folder, lambda tensors: tensors.update(extra=tensors[UP].clone()))
    plan = plans.plan([plans.stage("final", plans.linear(), A, B)])
    with pytest.raises(InMemoryUnavailable, match="for transformers to say"):
        Merger(tmp_path / "work", CPU).prepare(plan, sources)


def test_another_mergekit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mergekit_tasks, "MERGEKIT_VERSION", "0.1.4")
    with pytest.raises(InMemoryUnavailable, match="merging in memory knows"):
        Merger(tmp_path, CPU)


# -- what it costs ----------------------------------------------------------------------------


def test_only_text_is_written_and_shells_are_shared(plans: Any, tmp_path: Path) -> None:
    sources = family(tmp_path)
    work = tmp_path / "work"
    merger = Merger(work, CPU)
    shells = set()
    for weight in (0.25, 0.5):
        first = plans.stage("s1", plans.linear(weight, 1 - weight), A, B)
        last = plans.stage("final", plans.stack(("s1", 0, 3), (C, 1, 4)), "s1", C)
        merge = merger.prepare(plans.plan([first, last], n_layers=6), sources)
        streamed_sha256(merge)
        shells.add(merge.shell)
    assert len(shells) == 1
    assert {path.suffix for path in work.rglob("*") if path.is_file()} <= {".json", ".jinja"}
    assert not list(work.rglob("*.part"))
    assert merger.prepare(plans.plan([first, last], n_layers=6), sources).shell in shells


def test_a_changed_donor_gets_another_shell(plans: Any, tmp_path: Path) -> None:
    sources = family(tmp_path, "ab")
    plan = plans.plan([plans.stage("final", plans.linear(), A, B)])
    before = Merger(tmp_path / "work", CPU).prepare(plan, sources).shell
    (sources["a"] / "generation_config.json").write_text(json.dumps({"eos_token_id": 12345}))
    after = Merger(tmp_path / "work", CPU).prepare(plan, sources).shell
    assert before != after
    assert "12345" in (after / "generation_config.json").read_text()


def test_resident_tensors_are_filled(mergers: list[Merger], plans: Any, tmp_path: Path) -> None:
    import torch

    sources = family(tmp_path)
    last = plans.stage("final", plans.stack(("s1", 0, 2), (C, 0, 2)), "s1", C)
    plan = plans.plan([plans.stage("s1", plans.linear(), A, B), last])
    for merger in mergers:
        merge = merger.prepare(plan, sources)
        own = {n: t.clone() for n, t in merge.stream()}
        resident = {n: torch.empty_like(t) for n, t in own.items() if "norm" not in n}
        for name, tensor in merge.stream(resident):
            assert name not in resident or tensor is resident[name]
            assert torch.equal(tensor, own[name])


def test_each_tensor_is_made_once_and_few_are_held(
    plans: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that passes each layer twice, over two stages."""
    made: list[str] = []
    alive = 0
    most = 0
    compute = mergekit_tasks.StageTasks.compute

    def counted(self: Any, batch: Sequence[str], *args: Any) -> Any:
        nonlocal alive, most
        merged = compute(self, batch, *args)
        made.extend(batch)
        if self.layout.specs.keys() != merge.tensors.keys():  # of an earlier stage
            alive += len(batch)
            most = max(most, alive)
            for tensor in merged.tensors:
                weakref.finalize(tensor, release)
        return merged

    def release() -> None:
        nonlocal alive
        alive -= 1

    monkeypatch.setattr(mergekit_tasks.StageTasks, "compute", counted)
    sources = family(tmp_path, n_layers=6)
    first = plans.stage("s1", ensemble("dare_ties", A, B, C) | F32, A, B, C)
    second = plans.stage("s2", plans.linear() | renamed() | F32, "s1", B)
    path = [("s2", layer, layer + 1) for layer in range(6) for _ in range(2)]
    stages = [first, second, plans.stage("final", plans.stack(*path), "s2")]
    merger = Merger(tmp_path / "work", CPU, kept_bytes=0)
    assert merger.scratch is not None
    merger.scratch.chunk = 1  # no tensor is small
    merge = merger.prepare(plans.plan(stages, n_layers=12), sources)
    for _ in merge.stream():
        pass
    n_layer = 12  # tensors of a Qwen2 layer
    assert len(made) == (2 + 6 * n_layer) * 2 + 2 + 12 * n_layer
    assert most <= 4


def test_kept_stages_are_not_made_again(
    plans: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = family(tmp_path)
    merger = Merger(tmp_path / "work", CPU, kept_bytes=10**8)
    stages = [
        plans.stage("s1", ensemble("dare_ties", A, B, C) | F32, A, B, C),
        plans.stage("final", plans.stack(("s1", 0, 4)), "s1"),
    ]
    plan = plans.plan(stages)
    check([merger], plan, sources, tmp_path)
    made: list[str] = []
    compute = mergekit_tasks.StageTasks.compute
    monkeypatch.setattr(
        mergekit_tasks.StageTasks, "compute",
        lambda self, batch, *args: made.extend(batch) or compute(self, batch, *args),
    )  # fmt: skip
    streamed_sha256(merger.prepare(plan, sources))
    assert sorted(made) == sorted(read_tensors(sources["a"]))


def mapped(folder: Path) -> set[str]:
    """The files of a folder that this process holds; those that were removed say so."""
    maps = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
    return {words[-1] for words in maps if words[-1].startswith(str(folder))}


@pytest.mark.parametrize("made_again", [False, True])
def test_files_that_were_removed_are_let_go(made_again: bool, plans: Any, tmp_path: Path) -> None:
    sources = family(tmp_path)
    merger = Merger(tmp_path / "work", CPU, kept_bytes=10**8)
    # The first stage is kept, and its tensors are views of the file.
    first = plans.stage("s1", plans.stack((C, 0, 2), (C, 2, 4)), C)
    last = plans.stage("final", plans.stack(("s1", 0, 2), (A, 2, 4)), "s1", A)
    plan = plans.plan([first, last])
    before = streamed_sha256(merger.prepare(plan, sources))
    weights = str(sources["c"] / "model.safetensors")
    assert mapped(sources["c"]) == {weights} and list(merger.kept)
    shutil.rmtree(sources["c"])
    if made_again:
        write_model(sources["c"], seed=2)
    else:
        plan = plans.plan([plans.stage("final", plans.linear(), A, B)])
    after = streamed_sha256(merger.prepare(plan, sources))
    assert mapped(sources["c"]) == ({weights} if made_again else set())
    assert (after == before) == made_again
    assert mapped(sources["a"]), "the others stay open"


def test_a_merge_is_gone_with_its_last_user(plans: Any, tmp_path: Path) -> None:
    """A worker that has settled never looks for circles among what it had by then."""
    merger, sources = Merger(tmp_path / "work", CPU), family(tmp_path)
    plan = plans.plan([plans.stage("final", plans.linear(), A, B)])
    merger.prepare(plan, sources)  # what the libraries leave behind at their first use is theirs
    gc.disable()
    try:
        merge = weakref.ref(merger.prepare(plan, sources))
        assert merge() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("on_gpu", [True, False])
def test_a_merge_into_a_folder_leaves_the_gpu_to_the_process_that_scores(
    on_gpu: bool, plans: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a GPU that torch only says it has."""
    import torch

    merger = Merger(tmp_path / "work", CPU, kept_bytes=10**8)
    monkeypatch.setattr(worker, "_mergers", {(tmp_path / "work", CPU): merger})
    given_back: list[list[str]] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: on_gpu)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given_back.append(list(merger.kept)))
    first = plans.stage("s1", plans.linear(), A, B)
    plan = plans.plan([first, plans.stage("final", plans.stack(("s1", 0, 4)), "s1")])
    worker.merge_in_memory(plan, family(tmp_path), tmp_path / "work", tmp_path / "out", CPU)
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert list(merger.kept) == ([] if on_gpu else [first.stage_key])
    assert given_back == ([[]] if on_gpu else []), "when nothing holds it any more"


# -- the command itself -----------------------------------------------------------------------


def test_the_command_gives_the_same(tmp_path: Path) -> None:
    """The reference of the other tests is that of a process for each stage."""
    models = {alias: ZOO / name for alias, name in IN_THE_ZOO.items()}
    plan = compile_file(recipe_of("dare_ties", tmp_path, models))
    compare_with_command(plan, models, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("ensemble", ["ties", "dare_ties"])
def test_the_command_gives_the_same_in_three_stages(ensemble: str, tmp_path: Path) -> None:
    recombination = {"ties": "frankenmerge", "dare_ties": "dfs"}[ensemble]
    plan = quickstart(f"genome.ensemble={ensemble}", f"genome.recombination={recombination}")
    compare_with_command(plan, zoo_sources(plan), tmp_path)


def compare_with_command(plan: MergePlan, sources: Mapping[str, Path], work: Path) -> None:
    expected = run_plan(plan, sources, work=work, out=work / "out", options=CPU)
    merge = Merger(work, CPU).prepare(plan, sources)
    assert streamed_sha256(merge) == expected.tensors_sha256
    assert texts(merge.shell) == texts(expected.path)
    again = run_plan_in_process(plan, sources, work / "again")
    assert again.tensors_sha256 == expected.tensors_sha256
