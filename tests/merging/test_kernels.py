"""Kernels against mergekit's own methods, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mergekit.merge_methods import merge_tensors, registered_methods

from evomerge_compiler.merging import kernel_cuts, kernel_order, kernels
from evomerge_compiler.merging.kernels import Findings, Group, Scratch

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
CHUNK = 4096
# A row, less than a chunk, a chunk, one more, several and a rest; odd and even; one column.
SHAPES = ((1,), (33,), (CHUNK,), (CHUNK + 1,), (3, 1), (13, 700), (64, 200), (3 * CHUNK + 77,))
DEFAULTS = {
    "task_arithmetic": {"normalize": False, "rescale": False},
    "ties": {"normalize": True, "rescale": False},
    "dare_ties": {"normalize": False, "rescale": True},
    "dare_linear": {"normalize": False, "rescale": True},
    "breadcrumbs": {"normalize": False, "rescale": False},
    "breadcrumbs_ties": {"normalize": False, "rescale": False},
    "della": {"normalize": True, "rescale": True},
    "della_linear": {"normalize": False, "rescale": True},
}
WEIGHTS = (0.7, -0.4, 0.55)
DENSITIES = (0.6, 0.3, 0.8)
MORE = {"breadcrumbs": {"gamma": 0.03}, "della": {"epsilon": 0.05}}


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(-1).view(torch.uint8)


def models(n: int, shape: Sequence[int], dtype: torch.dtype, seed: int = 0) -> list[torch.Tensor]:
    """A base and models near it; a third of their values is the base's."""
    torch.manual_seed(seed)
    base = (torch.randn(*shape) * 0.02).to(dtype)
    changed = [torch.randn(*shape) * 0.002 * (torch.rand(*shape) < 0.7) for _ in range(n)]
    return [base, *((base.float() + change).to(dtype) for change in changed)]


def extras(method: str) -> dict[str, float]:
    return dict(next((more for name, more in MORE.items() if method.startswith(name)), {}))


def compare(
    method: str,
    tensors: Sequence[torch.Tensor],
    base_index: int | None,
    per_input: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    scratch: Scratch | None = None,
    **more: Any,
) -> torch.Tensor:
    """Merges with both, and asserts equal bits, types and numbers drawn."""
    names = next((list(values) for values in per_input if values), [])
    values = {name: [p[name] for p in per_input if p] for name in names}
    casts = {name: value for name, value in more.items() if name.endswith("dtype")}
    torch.manual_seed(3)
    theirs = merge_tensors(
        tensors, method, parameters={**options, **values}, base_index=base_index, **casts
    )
    state = torch.get_rng_state()
    torch.manual_seed(3)
    kernel = kernels.fast(method)
    assert kernel is not None
    group = Group(tensors, more.get("out"), more.get("keys"))
    scratch = scratch or Scratch(chunk=CHUNK)
    result = kernel([group], base_index, per_input, options, scratch, **casts)
    assert result is not None
    (ours,) = result.tensors
    assert result.finite is bool(theirs.isfinite().all())
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert torch.equal(bits(ours), bits(theirs))
    assert torch.equal(state, torch.get_rng_state())
    return ours


def differences(
    method: str, tensors: Sequence[torch.Tensor], densities: Sequence[float] = DENSITIES,
    weights: Sequence[float] = WEIGHTS, scratch: Scratch | None = None, *,
    keys: Sequence[str] | None = None, **options: Any,
) -> torch.Tensor:  # fmt: skip
    """Compares a method that adds differences to the first tensor."""
    options = {**DEFAULTS[method], "lambda": 1.0, "int8_mask": False, **options}
    more = extras(method)
    per_input = [
        {"weight": weight, "density": density, **more}
        for weight, density in zip(weights, densities, strict=False)
    ][: len(tensors) - 1]
    return compare(method, tensors, 0, [{}, *per_input], options, scratch, keys=keys)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_linear(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    tensors = models(2, shape, dtype)
    for n in (1, 2, 3):
        for weights in (WEIGHTS, (0.25, 0.5, 0.25), (1.0, 0.0, -0.5)):
            for normalize in (True, False):
                per_input = [{"weight": weight} for weight in weights[:n]]
                compare("linear", tensors[:n], None, per_input, {"normalize": normalize})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [*SHAPES, (1024 * 1024 + 77,)])
def test_slerp(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    base, other = torch.randn(2, *shape).to(dtype)
    for t in (0.0, 0.35, 1.0, 1.2):
        for pair in ((base, other), (base, base), (base, -base), (base, torch.zeros_like(base))):
            compare("slerp", pair, 1, [{}, {}], {"t": t})


@pytest.mark.parametrize("scale", [None, 1.0, -0.3])
def test_passthrough(scale: float | None) -> None:
    tensor = torch.randn(13, 700).bfloat16()
    out = torch.empty_like(tensor)
    assert compare("passthrough", [tensor], None, [{"scale": scale}], {}, out=out).equal(out)


def ranks_rows_of_one(method: str, shape: tuple[int, ...]) -> bool:
    """Whether mergekit draws with a probability of 0/0: a rank among one, over no ranks."""
    return method.startswith("della") and shape[-1] == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("method", "shape"),
    [(m, s) for m in DEFAULTS for s in SHAPES if not ranks_rows_of_one(m, s)],
)
def test_differences(method: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    swapped = {name: not value for name, value in DEFAULTS[method].items()}
    for n in (1, 2, 3):
        tensors = models(n, shape, dtype)
        differences(method, tensors)
        differences(method, tensors, **swapped, **{"lambda": 0.7, "int8_mask": True})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("method", "shape"), [(m, s) for m in DEFAULTS for s in SHAPES if ranks_rows_of_one(m, s)]
)
def test_what_mergekit_cannot_do_is_left_to_it(
    method: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    options = {**DEFAULTS[method], "lambda": 1.0, "int8_mask": False}
    values = {"weight": 0.5, "density": 0.5, **extras(method)}
    tensors = models(1, shape, dtype)
    kernel = kernels.fast(method)
    assert kernel is not None
    state = torch.get_rng_state()
    assert kernel([Group(tensors)], 0, [{}, values], options, Scratch(chunk=CHUNK)) is None
    assert torch.equal(state, torch.get_rng_state())
    with pytest.raises(RuntimeError, match="p_in"):
        differences(method, tensors)


SMALL = ((3, 50), (1,), (33,), (7, 13), (640,), (5, 8), (129,))
# Parameters of each input, and those they share.
SMALL_CALLS: dict[str, tuple[list[dict[str, float]], dict[str, Any]]] = {
    "linear": ([{"weight": weight} for weight in WEIGHTS], {"normalize": True}),
    "slerp": ([{}, {}], {"t": 0.3}),
    "passthrough": ([{"scale": 0.3}], {}),
    **{
        method: (
            [{}, *({"weight": w, "density": d} | extras(method)
                   for w, d in zip(WEIGHTS[:2], DENSITIES[:2], strict=True))],
            {**shared, "lambda": 0.7, "int8_mask": False},
        )
        for method, shared in DEFAULTS.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("types", [(b, None) for b in DTYPES] + [(torch.float32, torch.bfloat16)])
@pytest.mark.parametrize("method", SMALL_CALLS)
def test_small_tensors_together_are_merged_as_one_by_one(
    method: str, types: tuple[torch.dtype, torch.dtype | None]
) -> None:
    """mergekit merges one after the other; of ours some have memory of their own, some not."""
    per_input, shared = SMALL_CALLS[method]
    base_index = 0 if method not in ("linear", "passthrough") else None
    casts = dict(zip(("dtype", "out_dtype"), types, strict=True))
    shapes = [shape for shape in SMALL if not ranks_rows_of_one(method, shape)]
    found = [
        models(len(per_input) - 1, shape, torch.bfloat16, seed)[: len(per_input)]
        for seed, shape in enumerate(shapes)
    ]
    values = {name: [given[name] for given in per_input if given] for name in per_input[-1]}
    torch.manual_seed(3)
    theirs = [
        merge_tensors(
            tensors, method, parameters={**shared, **values}, base_index=base_index, **casts
        )
        for tensors in found
    ]
    state = torch.get_rng_state()
    scratch = Scratch(Findings(), CHUNK)
    kernel = kernels.fast(method)
    assert kernel is not None
    for step in (1, 2):  # then from what was found out; what is scaled alone needs a place to go
        outs = [
            torch.empty_like(tensor) if i % step == 0 or method == "passthrough" else None
            for i, tensor in enumerate(theirs)
        ]
        groups = [
            Group(tensors, out, [(i, k) for k in range(len(tensors))])
            for i, (tensors, out) in enumerate(zip(found, outs, strict=True))
        ]
        torch.manual_seed(3)
        result = kernel(groups, base_index, per_input, shared, scratch, **casts)
        assert result is not None and result.finite
        assert torch.equal(state, torch.get_rng_state())
        for ours, expected, out in zip(result.tensors, theirs, outs, strict=True):
            assert (ours.dtype, ours.shape) == (expected.dtype, expected.shape)
            assert torch.equal(bits(ours), bits(expected))
            assert out is None or out.data_ptr() == ours.data_ptr()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["ties", "breadcrumbs", "breadcrumbs_ties"])
def test_models_that_come_back_at_other_densities_are_sorted_once(
    method: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, sort = [], kernel_cuts._sorted
    monkeypatch.setattr(
        kernel_cuts, "_sorted", lambda *a, **k: made.append(a[0].index) or sort(*a, **k)
    )
    scratch = Scratch(Findings(), CHUNK)
    tensors = models(2, (13, 300), dtype)
    for number, density in enumerate((0.6, 0.2, 0.1, 0.45, 0.9)):
        differences(method, tensors, (density, density / 2), scratch=scratch, keys=["b", "x", "y"])
        assert made == ([1, 2] if number else [])
    # What is too much to be kept is sorted once, in vain, and selected from then on.
    scratch.findings = Findings(limit_bytes=13 * 300 * 4)
    for density in (0.6, 0.2, 0.1, 0.45):
        differences(method, tensors, (density, density / 2), scratch=scratch, keys=["b", "x", "y"])
    assert made == [1, 2] * 2


@pytest.mark.parametrize("density", [0.0, 0.06, 0.5, 0.94, 1.0, 1.5])
@pytest.mark.parametrize("method", DEFAULTS)
def test_density_to_its_edges(method: str, density: float) -> None:
    tensors = models(2, (13, 700), torch.bfloat16)
    for rescale in (True, False):
        differences(method, tensors, (density, 0.4), rescale=rescale)
        differences(method, tensors, (0.4, density), rescale=rescale)


@pytest.mark.parametrize("weights", [(0.0, 0.0), (0.5, -0.5), (1e-9, 0.0), (300.0, 1e-3)])
@pytest.mark.parametrize("method", DEFAULTS)
def test_weights_that_cancel(method: str, weights: tuple[float, float]) -> None:
    tensors = models(2, (13, 700), torch.bfloat16)
    for normalize in (True, False):
        differences(method, tensors, weights=weights, normalize=normalize)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", DEFAULTS)
def test_few_magnitudes_zeros_and_extremes(method: str, dtype: torch.dtype) -> None:
    info = torch.finfo(dtype)
    values = torch.tensor([0.0, -0.0, 1.0, -1.0, 2.0, info.tiny, -info.tiny / 4, info.max / 8])
    generator = torch.Generator().manual_seed(5)
    tensors = [
        values[torch.randint(0, n, (9, 1000), generator=generator)].to(dtype) for n in (2, 4, 7, 8)
    ]
    differences(method, tensors[:3])
    differences(method, tensors)
    differences(method, tensors, normalize=True, rescale=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_five_models_in_whole_columns(dtype: torch.dtype) -> None:
    assert torch.get_num_threads() == 1
    tensors = models(5, (64, 200), dtype)
    differences("ties", tensors, (0.5,) * 5, (0.3, 0.4, -0.2, 0.9, 0.1))
    differences("task_arithmetic", tensors, (1.0,) * 5, (0.3, 0.4, -0.2, 0.9, 0.1))


@pytest.mark.parametrize("method", ["linear", "slerp", "ties", "dare_ties"])
def test_types_are_converted_as_mergekit_does(method: str) -> None:
    tensors = [t.to(d) for t, d in zip(models(2, (13, 700), torch.float32), DTYPES, strict=True)]
    for dtype in (None, *DTYPES):
        for out_dtype in (None, torch.bfloat16, torch.float32, torch.float64):
            casts = {"dtype": dtype, "out_dtype": out_dtype}
            if method == "linear":
                compare(method, tensors, 1, [{"weight": w} for w in WEIGHTS],
                        {"normalize": True}, **casts)  # fmt: skip
            elif method == "slerp":
                compare(method, tensors[:2], 0, [{}, {}], {"t": 0.3}, **casts)
            else:
                given = {"weight": 0.6, "density": 0.5}
                options = {**DEFAULTS[method], "lambda": 1.0, "int8_mask": False}
                compare(method, tensors, 1, [given, {}, given], options, **casts)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_the_values(data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(sorted({*DEFAULTS, "linear"} - {"della", "della_linear"})))
    dtype = data.draw(st.sampled_from(DTYPES))
    n_models = data.draw(st.integers(1, 3))
    n = data.draw(st.integers(1, 70))
    number = st.floats(-8, 8, width=16)
    tensors = [
        torch.tensor(data.draw(st.lists(number, min_size=n, max_size=n))).to(dtype)
        for _ in range(n_models + 1)
    ]
    weights = data.draw(st.lists(st.floats(-2, 2), min_size=4, max_size=4))
    if method == "linear":
        options = {"normalize": data.draw(st.booleans()) and abs(sum(weights)) > 0.1}
        per_input = [{"weight": weight} for weight in weights[: len(tensors)]]
        compare(method, tensors, None, per_input, options, Scratch(chunk=32))
        return
    densities = data.draw(st.lists(st.floats(0, 1), min_size=3, max_size=3))
    flags = {name: data.draw(st.booleans()) for name in ("normalize", "rescale")}
    flags["lambda"] = data.draw(st.sampled_from([1.0, 0.3, -2.0]))
    differences(method, tensors, densities, weights, Scratch(chunk=32), **flags)


def test_result_goes_where_it_belongs() -> None:
    tensors = models(2, (13, 700), torch.bfloat16)
    for method in ("ties", "dare_ties"):
        out = torch.nn.Parameter(torch.empty(13, 700, dtype=torch.bfloat16))
        given = {"weight": 0.6, "density": 0.5}
        options = {**DEFAULTS[method], "lambda": 1.0, "int8_mask": False}
        result = compare(method, tensors, 0, [{}, given, given], options, out=out)
        assert result.data_ptr() == out.data_ptr()
    kernel = kernels.fast("linear")
    assert kernel is not None
    with pytest.raises(ValueError, match="bfloat16 tensor of shape"):
        kernel([Group(tensors[:1], torch.empty(3))], None, [{"weight": 1.0}], {"normalize": True},
               Scratch())  # fmt: skip


def test_what_was_found_out_serves_equal_keys_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found, find = [], kernel_cuts._find_cut
    monkeypatch.setattr(
        kernel_cuts, "_find_cut", lambda *a, **k: found.append(a[0].index) or find(*a, **k)
    )
    scratch = Scratch(Findings(), chunk=CHUNK)
    base, first, second = models(2, (13, 700), torch.bfloat16)
    other = models(1, (13, 700), torch.bfloat16, seed=9)[1]
    for method in ("ties", "breadcrumbs"):
        differences(method, [base, first, second], scratch=scratch, keys=["b", "x", "y"])
        assert found == [1, 2]
        differences(method, [base, first, second], weights=(0.1, 0.9), scratch=scratch,
                    keys=["b", "x", "y"])  # fmt: skip
        assert found == [1, 2]
        differences(method, [base, other, second], scratch=scratch, keys=["b", "z", "y"])
        assert found == [1, 2, 1]
        differences(method, [base, other, second], (0.5, 0.3), scratch=scratch,
                    keys=["b", "z", "y"])  # fmt: skip
        assert found == [1, 2, 1, 1]
        found.clear()
    for t in (0.2, 0.7):
        compare("slerp", [base, first], 0, [{}, {}], {"t": t}, scratch, keys=["b", "x"])
        compare("slerp", [base, first], 1, [{}, {}], {"t": t}, scratch, keys=["b", "x"])
        compare("slerp", [base, other], 0, [{}, {}], {"t": t}, scratch, keys=["b", "z"])


def test_findings_drop_what_was_not_used_for_longest() -> None:
    findings = Findings(limit_bytes=2 * 1024 + 2)
    found = []

    def recall(key: str | None) -> None:
        findings.recall(key, lambda: found.append(key), lambda _: 1)

    for key in ("a", "b", "a", "c", "a", "b", None, None):
        recall(key)
    assert found == ["a", "b", "c", "b", None, None]
    assert len(findings) == 2


def test_whole_runs_and_zeros_need_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("ordered")

    monkeypatch.setattr(kernel_cuts, "_front", refuse)
    base, model = models(1, (100, 100), torch.bfloat16)
    differences("ties", [base, model], (0.9,))  # cuts among the unchanged values
    distinct = torch.randperm(10_000).float() + 1
    differences("ties", [torch.zeros(10_000), distinct], (0.37,))
    with pytest.raises(AssertionError, match="ordered"):
        differences("ties", [base, model], (0.2,))


@pytest.mark.parametrize("n", [1, 2, 16, 17, 100, 5000, (1 << 18) - 1, (1 << 18) + 5, 600_000])
@pytest.mark.parametrize("n_values", [1, 2, 40, 3000])
def test_front_of_equal_keys_is_that_of_the_sort(n: int, n_values: int) -> None:
    draw = np.random.default_rng(n + n_values)
    shaped = {
        "drawn": draw.integers(0, n_values, n),
        "rising": np.arange(n) * n_values // n,
        "falling": (n - np.arange(n)) * n_values // n,
        "skewed": np.minimum(np.abs(draw.normal(size=n)) * n_values / 4, n_values).astype(int),
    }
    for keys in (keys.astype(np.int16) for keys in shaped.values()):
        ranked = torch.argsort(torch.from_numpy(keys).float(), descending=True).numpy()
        for n_front in sorted({1, n // 10, n // 2, n - 1} - {0}):
            value = int(keys[ranked[n_front - 1]])
            found = kernel_order.front(keys.copy(), np.empty(n, np.int32), n_front, value)
            assert found is not None
            expected = ranked[:n_front][keys[ranked[:n_front]] == value]
            assert np.array_equal(np.sort(found), np.sort(expected))


def test_another_order_is_noticed_and_taken_from_the_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernel_order.is_known.__wrapped__()
    argsort = torch.argsort
    with monkeypatch.context() as patch:
        patch.setattr(torch, "argsort", lambda *a, **k: argsort(*a, **k, stable=True))
        assert not kernel_order.is_known.__wrapped__()
    monkeypatch.setattr(kernel_order, "is_known", lambda: False)
    for dtype in DTYPES:
        for method in ("ties", "breadcrumbs"):
            differences(method, models(2, (13, 700), dtype), rescale=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("density", [0.001, 0.3, 0.9])
def test_what_is_not_finite_stays_so(dtype: torch.dtype, density: float) -> None:
    base, first, second = models(2, (13, 700), dtype)
    first[0, :20] = float("nan")
    first[1, :20] = float("inf")
    second[2, :20] = -float("inf")
    options = {**DEFAULTS["ties"], "lambda": 1.0, "int8_mask": False}
    parameters = {"weight": [0.6, 0.4], "density": density, **options}
    theirs = merge_tensors([base, first, second], "ties", parameters=parameters, base_index=0)
    kernel = kernels.fast("ties")
    assert kernel is not None
    per_input = [{}, *({"weight": weight, "density": density} for weight in (0.6, 0.4))]
    groups = [Group([base, first, second])]
    result = kernel(groups, 0, per_input, options, Scratch(chunk=CHUNK))
    assert result is not None and not result.finite
    (ours,) = result.tensors
    assert torch.equal(theirs.isfinite(), ours.isfinite())
    assert torch.equal(bits(theirs.nan_to_num()), bits(ours.nan_to_num()))


@pytest.mark.parametrize(
    "case",
    [
        "float64", "integers", "scalar", "empty", "strided", "shapes", "gradient", "no base",
        "base alone", "odd five", "NaN density", "drawn below 0", "epsilon too large",
    ],
)  # fmt: skip
def test_declines_before_anything_is_drawn_or_written(case: str) -> None:
    method, shape, density, base_index = "dare_ties", (6, 50), 0.5, 0
    tensors = models(2, shape, torch.float32)
    match case:
        case "float64":
            tensors = [tensor.double() for tensor in tensors]
        case "integers":
            tensors = [tensor.long() for tensor in tensors]
        case "scalar":
            tensors = [tensor[0, 0].clone() for tensor in tensors]
        case "empty":
            tensors = [tensor[:0] for tensor in tensors]
        case "strided":
            tensors = [tensor.T for tensor in tensors]
        case "shapes":
            tensors[1] = tensors[1][:3]
        case "gradient":
            tensors[1].requires_grad_()
        case "no base":
            base_index = None
        case "base alone":
            tensors = tensors[:1]
        case "odd five":
            tensors = models(5, (3, 50), torch.float32)
        case "NaN density":
            density = float("nan")
        case "drawn below 0":
            density = -0.1
        case "epsilon too large":
            method = "della"
    out = torch.full_like(tensors[0], 7).detach()
    state = torch.get_rng_state()
    kernel = kernels.fast(method)
    assert kernel is not None
    per_input = [{"weight": 0.5, "density": density, "epsilon": 0.5}] * len(tensors)
    options = {**DEFAULTS[method], "lambda": 1.0}
    groups = [Group(tensors, out)]
    assert kernel(groups, base_index, per_input, options, Scratch()) is None
    assert torch.equal(state, torch.get_rng_state())
    assert bool((out == 7).all())


def test_only_methods_of_mergekit_have_kernels() -> None:
    names = {method.spec.name for method in registered_methods()}
    assert names > set(kernels._KERNELS)
    assert kernels.fast("karcher") is None


def test_memory_is_that_of_chunks_and_large_buffers_go_back() -> None:
    scratch = Scratch(chunk=CHUNK)
    tensors = models(2, (400, 1000), torch.bfloat16)
    out = torch.empty_like(tensors[0])
    per_input = [{"weight": 1.0}] * 3
    compare("linear", tensors, None, per_input, {"normalize": True}, scratch, out=out)
    compare("slerp", tensors[:2], 0, [{}, {}], {"t": 0.3}, scratch, out=out)
    held = sum(buffer.numel() for buffer in scratch._buffers.values())
    assert held < 8 * 4 * CHUNK + 4 * out.numel()  # slerp sums over a million at once
    scratch.take("huge", 1 << 20, torch.float32)
    scratch.trim(kept_bytes=1 << 20)
    assert "huge" not in scratch._buffers
    assert scratch._buffers
