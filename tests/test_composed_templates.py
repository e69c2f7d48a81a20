"""The composed templates, rendered and merged for real by mergekit on tiny models."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from evomerge_compiler import templates, yamlio
from evomerge_compiler.compiler import emission, layouts
from evomerge_compiler.errors import TemplateError
from evomerge_compiler.genome import GenomeSpace

ALIASES = ("coder", "mathematician", "polyglot")
N_LAYERS = 4
COMBINATIONS = list(
    itertools.product(("linear", "slerp"), ("ties", "dare_ties"), ("frankenmerge", "dfs"))
)
ARCHITECTURES = ("qwen2", "llama")
# Small enough for the RMS norms to be scale-free in float32.
NO_EPS = 1e-14


@dataclass(frozen=True)
class Model:
    """A model as a template sees it."""

    alias: str
    ref: str
    weight: float | None = None
    n_layers: int = N_LAYERS


def render(
    name: str,
    fixed: Mapping[str, object] | None = None,
    *,
    references: Mapping[str, str] | None = None,
    models: Sequence[str] = ALIASES,
    base: str = "base",
    n_groups: int = 4,
    n_layers: int = N_LAYERS,
) -> list[dict[str, Any]]:
    """The documents of a template, all genes at their first values but for ``fixed``."""
    template = templates.load(name)
    genes = template.genes_for(len(models))
    declared = {gene.name: gene for gene in genes}
    shell = GenomeSpace((), {}, {}, tuple(models), n_groups)
    held: dict[str, object] = {}
    settled = template.fixed_for(len(models), n_groups)
    for gene, value in {**settled, **(fixed or {})}.items():
        held[gene], wrong = shell.shape(
            declared[gene], value, lambda message, path, hint: TemplateError(message), ()
        )
        assert not wrong, wrong
    free = tuple(gene for gene in genes if gene.name not in held)
    space = GenomeSpace(
        free, held, {gene: declared[gene] for gene in held}, tuple(models), n_groups
    )
    refs = references or {alias: f"models/src/{alias}" for alias in (*models, base)}
    context = {
        "g": space.values(space.initial()),
        "models": [Model(alias, refs[alias]) for alias in models],
        "base": Model(base, refs[base]),
        "n_layers": n_layers,
        "groups": layouts.layer_groups(n_layers, n_groups),
        "dtype": "float32",
        "out_dtype": None,
        "layout": layouts.namespace(**emission.FUNCTIONS),
    }
    return list(yaml.safe_load_all(template.render(context)))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Architecture to alias to the folder of a tiny random model."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    kinds: dict[str, tuple[Any, Any]] = {
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "llama": (LlamaConfig, LlamaForCausalLM),
    }
    root = tmp_path_factory.mktemp("sources")
    out: dict[str, dict[str, str]] = {}
    for kind, (config, model) in kinds.items():
        out[kind] = {}
        for index, alias in enumerate((*ALIASES, "base")):
            torch.manual_seed(index)
            settings = config(
                vocab_size=64,
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=N_LAYERS,
                num_attention_heads=4,
                num_key_value_heads=2,
                rms_norm_eps=NO_EPS,
                initializer_range=0.2,
                tie_word_embeddings=False,
            )
            folder = root / kind / alias
            built = model(settings)
            # Norm weights of 1 would hide a norm that is taken from the wrong source.
            for name, parameter in built.named_parameters():
                if "norm" in name:
                    torch.nn.init.uniform_(parameter, 0.5, 1.5)
            built.save_pretrained(folder)
            out[kind][alias] = str(folder)
    return out


def merge(documents: list[dict[str, Any]], folder: Path) -> Path:
    """Runs documents through mergekit's own ``mergekit-multi`` command, in this process."""
    from mergekit.scripts import multimerge

    folder.mkdir(parents=True)
    config = folder / "mergekit.yaml"
    config.write_text(yamlio.dump_all(documents), encoding="utf-8")
    arguments = [str(config), "-I", str(folder / "stages"), "--out-path", str(folder / "out")]
    arguments += ["--random-seed", "7", "--no-write-model-card", "--quiet"]
    multimerge.main.main(arguments, standalone_mode=False)
    return folder / "out"


def tensors(folder: str | Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(Path(folder) / "model.safetensors")


def logits(folder: str | Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return model(torch.arange(24)[None] % 64, use_cache=False).logits


def layer(tensor_map: Mapping[str, Any], index: int) -> dict[str, Any]:
    prefix = f"model.layers.{index}."
    return {
        name.removeprefix(prefix): t for name, t in tensor_map.items() if name.startswith(prefix)
    }


# --------------------------------------------------------------------------------------
# three_stage


def combination(names: Sequence[str]) -> dict[str, object]:
    return dict(zip(("interpolation", "ensemble", "recombination"), names, strict=True))


def test_the_eight_combinations_differ() -> None:
    texts = {yamlio.dump_all(render("three_stage", combination(c))) for c in COMBINATIONS}
    assert len(texts) == 8


def test_stage_two_keeps_one_minus_the_threshold_and_amplifies() -> None:
    dare = render("three_stage", combination(("linear", "dare_ties", "dfs")))[1]
    assert dare["parameters"] == {"normalize": False, "rescale": False, "lambda": 2.0}
    assert [m["parameters"] for m in dare["models"]] == [{"weight": 0.5, "density": 0.9}] * 2
    ties = render("three_stage", combination(("linear", "ties", "dfs")))[1]
    assert ties["parameters"] == {"normalize": True, "lambda": 1.0}


def test_shares_of_a_stage_sum_to_one_without_float_noise() -> None:
    genes = {**combination(("linear", "ties", "dfs")), "linear_weight": 0.9}
    one, two, _ = render("three_stage", {**genes, "ensemble_weight": 0.7})
    assert [m["parameters"]["weight"] for m in one["models"]] == [0.1, 0.9]
    assert [m["parameters"]["weight"] for m in two["models"]] == [0.3, 0.7]


def test_small_weights_are_numbers_to_yaml() -> None:
    genes = {**combination(("linear", "ties", "dfs")), "donor_weight": 0.0001}
    final = render("three_stage", genes)[2]
    weights = [s["parameters"]["weight"] for s in final["slices"][1]["sources"]]
    assert weights == [0.99996667, 0.00003333]


def test_a_base_among_the_models() -> None:
    first = render("three_stage", combination(("linear", "ties", "dfs")), base="coder")
    assert first[1]["base_model"] == "models/src/coder"
    assert [m["model"] for m in first[1]["models"]] == ["s1", "models/src/polyglot"]
    # The difference of the base from itself is nothing: it must not be an input a second time.
    third = render("three_stage", combination(("linear", "ties", "dfs")), base="polyglot")
    assert [m["model"] for m in third[1]["models"]] == ["s1"]


@pytest.mark.parametrize("models", [("a", "b"), ("a", "b", "c", "d")])
def test_three_stage_wants_three_models(models: tuple[str, ...]) -> None:
    with pytest.raises(
        TemplateError, match=f"expected exactly 3 models, got {len(models)}"
    ) as caught:
        render("three_stage", models=models)
    assert caught.value.hint is not None
    assert caught.value.place is not None and caught.value.place.line > 1


# Two that meet each choice once are enough to run every time.
MARKED = [
    pytest.param(c, marks=() if i in (0, 7) else pytest.mark.long, id="-".join(c))
    for i, c in enumerate(COMBINATIONS)
]


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("names", MARKED)
def test_every_combination_merges_loads_and_runs(
    kind: str, names: tuple[str, ...], sources: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    import torch

    documents = render("three_stage", combination(names), references=sources[kind])
    out = merge(documents, tmp_path / "merge")
    merged = tensors(out)
    assert set(merged) == set(tensors(sources[kind]["coder"]))
    assert all(torch.isfinite(t).all() for t in merged.values())
    assert torch.isfinite(logits(out)).all()
    # Embedding, final norm and head are those of stage 2, bit for bit.
    stage = tensors(tmp_path / "merge" / "stages" / "s2")
    for name in ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"):
        assert torch.equal(merged[name], stage[name]), name
        assert not torch.equal(merged[name], tensors(sources[kind]["coder"])[name]), name


def test_stages_are_the_stated_sums(sources: dict[str, dict[str, str]], tmp_path: Path) -> None:
    import torch

    genes = {**combination(("linear", "dare_ties", "frankenmerge")), "linear_weight": 0.25}
    # With one coordinate in a million dropped, DARE is the plain signed sum.
    documents = render("three_stage", {**genes, "density": 0.95}, references=sources["qwen2"])
    for model in documents[1]["models"]:
        model["parameters"]["density"] = 1.0
    out = tensors(merge(documents, tmp_path / "merge"))
    one, two, three, base = (tensors(sources["qwen2"][a]) for a in (*ALIASES, "base"))
    name = "model.layers.0.self_attn.q_proj.weight"
    first = 0.75 * one[name] + 0.25 * two[name]
    deltas = torch.stack([0.5 * (first - base[name]), 0.5 * (three[name] - base[name])])
    majority = torch.where(deltas.sum(0) >= 0, 1.0, -1.0)
    expected = base[name] + 2.0 * (deltas * (deltas.sign() == majority)).sum(0)
    # Layer groups come from 0, 1, 2, 0: layer 0 is stage 2, layers 1 and 2 are the models'.
    assert torch.allclose(out[name], expected, atol=1e-6)
    for index, source in ((1, one), (2, two)):
        for key, tensor in layer(out, index).items():
            assert torch.equal(tensor, layer(source, index)[key]), key


# --------------------------------------------------------------------------------------
# frankenmerge and dfs


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_frankenmerge_takes_whole_groups(
    kind: str, sources: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    import torch

    documents = render(
        "frankenmerge", {"source": [1, 0, 1, 1]}, references=sources[kind], models=ALIASES[:2]
    )
    out = tensors(merge(documents, tmp_path / "merge"))
    one, two = (tensors(sources[kind][alias]) for alias in ALIASES[:2])
    for index, source in enumerate((two, one, two, two)):
        for key, tensor in layer(out, index).items():
            assert torch.equal(tensor, layer(source, index)[key]), (index, key)
    for name in ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"):
        assert torch.equal(out[name], one[name]), name


def test_frankenmerge_wants_two_models() -> None:
    with pytest.raises(TemplateError, match="expected at least 2 models, got 1"):
        render("frankenmerge", models=ALIASES[:1])


def taken(documents: list[dict[str, Any]]) -> list[str]:
    """The model of each slice of a final document that has the largest weight there."""

    def weight(source: dict[str, Any]) -> float:
        value = source["parameters"]["weight"]
        return float(value[-1]["value"] if isinstance(value, list) else value)

    slices = documents[-1]["slices"]
    return [max(part["sources"], key=weight)["model"].split("/")[-1] for part in slices]


@pytest.mark.parametrize("n_models", [2, 3, 5])
def test_frankenmerge_starts_with_each_model_in_turn(n_models: int) -> None:
    models = [f"m{index}" for index in range(n_models)]
    found = taken(render("frankenmerge", models=models, n_groups=8, n_layers=8))
    assert found == [models[index % n_models] for index in range(8)]
    source = next(g for g in templates.load("frankenmerge").genes_for(n_models))
    assert source.choices == tuple(range(n_models))


def test_one_model_may_take_a_path_through_itself() -> None:
    genes = {"path_step": ["once", "twice", "once", "once"], "keep_depth": False}
    documents = render("dfs", genes, models=("a",), base="a")
    assert taken(documents) == ["a"] * 5


def test_fixed_values_fit_fewer_layer_groups() -> None:
    documents = render("three_stage", combination(("linear", "ties", "dfs")), n_groups=2)
    assert [part["sources"][1]["model"] for part in documents[-1]["slices"]] == [
        "models/src/coder",
        "models/src/mathematician",
    ]


def hand_scaled(folder: str, steps: Sequence[int], scales: Sequence[float]) -> Any:
    """Logits of a model whose layers run in the order ``steps``, inputs scaled by ``scales``."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    body = model.model
    ids = torch.arange(24)[None] % 64
    with torch.no_grad():
        hidden = body.embed_tokens(ids)
        positions = torch.arange(24)[None]
        rotary = body.rotary_emb(hidden, positions)
        mask = torch.full((24, 24), float("-inf")).triu(1)[None, None]
        for index, scale in zip(steps, scales, strict=True):
            hidden = body.layers[index](
                hidden * scale, attention_mask=mask, position_embeddings=rotary
            )
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        return model.lm_head(body.norm(hidden))


PATH = {
    "path_step": ["once", "twice", "skip", "once"],
    "path_scale": [0.8, 2.0, 1.0, 0.6],
    "donor_weight": 0.0,
}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_path_equals_the_hand_scaled_forward_pass(
    kind: str, sources: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    import torch

    documents = render("dfs", PATH, references=sources[kind], models=ALIASES[:2])
    out = merge(documents, tmp_path / "merge")
    one = sources[kind]["coder"]
    expected = hand_scaled(one, (0, 1, 1, 3), (0.8, 2.0, 2.0, 0.6))
    assert torch.allclose(logits(out), expected, atol=2e-4)
    # The comparison sees each ingredient: without the scales, or the repeat, it would fail.
    unscaled = hand_scaled(one, (0, 1, 1, 3), (1.0, 1.0, 1.0, 1.0))
    straight = hand_scaled(one, (0, 1, 2, 3), (0.8, 2.0, 2.0, 0.6))
    assert not torch.allclose(unscaled, expected, atol=2e-2)
    assert not torch.allclose(straight, expected, atol=2e-2)


def test_the_hand_scaled_pass_without_a_path_is_the_model(
    sources: dict[str, dict[str, str]],
) -> None:
    import torch

    one = sources["qwen2"]["coder"]
    assert torch.allclose(hand_scaled(one, range(4), [1.0] * 4), logits(one), atol=1e-4)


def test_epsilon_is_the_only_difference(
    sources: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    """With a large epsilon the two differ, which is what "up to the norm's epsilon" means."""
    import json
    import shutil

    import torch

    folder = tmp_path / "large_eps"
    shutil.copytree(sources["qwen2"]["coder"], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.05}))
    references = {**sources["qwen2"], "coder": str(folder)}
    out = merge(render("dfs", PATH, references=references, models=ALIASES[:2]), tmp_path / "merge")
    expected = hand_scaled(str(folder), (0, 1, 1, 3), (0.8, 2.0, 2.0, 0.6))
    assert not torch.allclose(logits(out), expected, atol=2e-3)


def test_the_donor_grows_with_depth(sources: dict[str, dict[str, str]], tmp_path: Path) -> None:
    import torch

    references = sources["llama"]
    documents = render("dfs", {"donor_weight": 0.3}, references=references, models=ALIASES[:2])
    out = tensors(merge(documents, tmp_path / "merge"))
    one, two = (tensors(references[alias]) for alias in ALIASES[:2])
    for index, share in enumerate((0.0, 0.1, 0.2, 0.3)):
        for key, tensor in layer(out, index).items():
            blend = (1 - share) * layer(one, index)[key] + share * layer(two, index)[key]
            assert torch.allclose(tensor, blend, atol=1e-6), (index, key)
    assert torch.equal(out["lm_head.weight"], one["lm_head.weight"])


@pytest.mark.parametrize(
    ("path_step", "n_layers"),
    [(["once", "twice", "twice", "once"], 6), (["once", "skip", "once", "once"], 3)],
)
def test_a_path_may_change_the_depth_of_a_llama(
    path_step: list[str], n_layers: int, sources: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    import torch

    genes = {"path_step": path_step, "keep_depth": False}
    documents = render("dfs", genes, references=sources["llama"], models=ALIASES[:2])
    out = merge(documents, tmp_path / "merge")
    assert {int(n.split(".")[2]) for n in tensors(out) if ".layers." in n} == set(range(n_layers))
    assert torch.isfinite(logits(out)).all()


@pytest.mark.parametrize("template", ["dfs", "ps_dfs", "three_stage"])
def test_a_free_depth_keeps_to_its_bounds(
    template: str, sources: dict[str, dict[str, str]]
) -> None:
    genes: dict[str, object] = {"path_step": ["twice"] * 4, "keep_depth": False}
    if template == "three_stage":
        genes |= combination(("linear", "ties", "dfs"))

    def depth(**bounds: int) -> int:
        last = render(template, {**genes, **bounds}, references=sources["llama"])[-1]
        ranges = [piece["sources"][0]["layer_range"] for piece in last["slices"]]
        return sum(end - start for start, end in ranges)

    assert depth() == 8
    assert depth(max_depth=5) == 5
    genes["path_step"] = ["skip", "once", "skip", "skip"]
    assert depth() == 1
    assert depth(min_depth=3) == 3


def test_no_key_is_lost_in_mergekits_own_configuration(
    sources: dict[str, dict[str, str]],
) -> None:
    from mergekit.config import MergeConfiguration

    for names in COMBINATIONS:
        for document in render("three_stage", combination(names), references=sources["qwen2"]):
            plain = {key: value for key, value in document.items() if key != "name"}
            known = set(MergeConfiguration.model_fields)
            assert set(plain) <= known
            MergeConfiguration.model_validate(plain)


# --------------------------------------------------------------------------------------
# ps and ps_dfs

METHODS = ("ties", "dare_ties", "task_arithmetic", "linear")


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("method", METHODS)
def test_parameter_space_merges(
    method: str, kind: str, sources: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    import torch

    weight = {"coder": [1.0, 0.0], "mathematician": [0.0, 1.0], "polyglot": [0.0, 0.0]}
    genes = {"method": method, "weight": weight}
    documents = render("ps", genes, references=sources[kind], n_groups=2)
    out = tensors(merge(documents, tmp_path / "merge"))
    one, two, _, base = (tensors(sources[kind][a]) for a in (*ALIASES, "base"))
    for index, source in ((0, one), (1, one), (2, two), (3, two)):
        name = f"model.layers.{index}.mlp.up_proj.weight"
        moved = out[name] - base[name]
        if method in ("task_arithmetic", "linear"):
            assert torch.allclose(out[name], source[name], atol=1e-6)
        else:
            # Half of the difference is kept (DARE scales it up by 2), the rest is the base's.
            kept = moved != 0
            scale = 2.0 if method == "dare_ties" else 1.0
            assert 0.4 < kept.float().mean() < 0.6
            expected = scale * (source[name] - base[name])[kept]
            # DARE keeps the size of the difference in all, not of each part of it.
            ratio = moved[kept] / expected
            assert torch.allclose(ratio, ratio.mean().expand_as(ratio), atol=1e-3)
            assert float(ratio.mean()) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_parameter_space_then_data_flow(
    method: str, sources: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    import torch

    genes = {
        "method": method,
        "path_step": ["once", "twice", "skip", "once"],
        "source": [0, 0, 0, 3],
        "repeat_source": [0, 1, 0, 0],
        "donor_weight": 0.0,
    }
    documents = render("ps_dfs", genes, references=sources["llama"])
    out = tensors(merge(documents, tmp_path / "merge"))
    stage = tensors(tmp_path / "merge" / "stages" / "s1")
    one, _, three, _ = (tensors(sources["llama"][a]) for a in (*ALIASES, "base"))
    for index, (source, taken) in enumerate(((stage, 0), (stage, 1), (one, 1), (three, 3))):
        for key, tensor in layer(out, index).items():
            assert torch.equal(tensor, layer(source, taken)[key]), (index, key)
    assert torch.equal(out["model.embed_tokens.weight"], stage["model.embed_tokens.weight"])
