"""The shipped grammar is the installed mergekit's, and reading it needs no torch."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from evomerge_compiler.compiler import mergekit_grammar as grammar
from evomerge_compiler.compiler.value_domains import DOMAINS

METHODS = (
    "arcee_fusion breadcrumbs breadcrumbs_ties dare_linear dare_ties della della_linear karcher "
    "linear model_stock multislerp nearswap nuslerp passthrough ram ramplus_tl sce slerp "
    "task_arithmetic ties"
).split()


def test_the_shipped_grammar_is_the_live_registry() -> None:
    folder, version, key = grammar.find_installed()
    live = grammar.dump_in_child(folder, version, key)
    assert json.loads(grammar.SHIPPED.read_text()) == live


def test_all_twenty_methods_are_there() -> None:
    assert sorted(grammar.installed().methods) == METHODS


def test_reading_the_grammar_imports_neither_mergekit_nor_torch() -> None:
    program = (
        "import sys; from evomerge_compiler.compiler import mergekit_grammar as g; g.installed(); "
        "print([m for m in ('torch', 'mergekit', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_another_mergekit_is_read_from_its_registry_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(grammar, "SHIPPED", tmp_path / "none.json")
    dumps: list[str] = []
    shipped = json.loads((Path(grammar.__file__).parent / "mergekit_grammar.json").read_text())

    def dump(folder: Path, version: str, key: str) -> dict[str, object]:
        dumps.append(version)
        return shipped

    monkeypatch.setattr(grammar, "dump_in_child", dump)
    for _ in range(2):
        grammar.installed.cache_clear()
        assert len(grammar.installed().methods) == 20
    grammar.installed.cache_clear()
    assert len(dumps) == 1


def test_a_torn_cache_is_read_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torn = tmp_path / "torn.json"
    torn.write_text('{"version": "0.1')
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(grammar, "SHIPPED", torn)
    shipped = json.loads((Path(grammar.__file__).parent / "mergekit_grammar.json").read_text())
    monkeypatch.setattr(grammar, "dump_in_child", lambda *_: shipped)
    grammar.installed.cache_clear()
    assert len(grammar.installed().methods) == 20
    grammar.installed.cache_clear()


def test_random_methods_are_those_whose_code_draws() -> None:
    from mergekit import sparsify
    from mergekit.merge_methods import arcee_fusion, registry
    from mergekit.merge_methods.generalized_task_arithmetic import GeneralizedTaskArithmeticMerge

    drawing = {
        kind
        for kind, function in (
            ("random", sparsify.bernoulli),
            ("della_magprune", sparsify.della_magprune),
            ("magnitude", sparsify.magnitude),
            ("magnitude_outliers", sparsify.magnitude_outliers),
        )
        if "torch.bernoulli" in inspect.getsource(function)
    }
    found = set()
    for method in registry.registered_methods():
        if isinstance(method, GeneralizedTaskArithmeticMerge):
            kind = method.sparsification_method
            if kind is not None and kind.value in drawing:
                found.add(method.spec.name)
            continue
        module = sys.modules[f"mergekit.merge_methods.{_module_of(method)}"]
        if any(word in inspect.getsource(module) for word in ("rand", "bernoulli", "multinomial")):
            found.add(method.spec.name)
    assert "randint" in inspect.getsource(arcee_fusion)
    assert found == grammar.RANDOM_METHODS


def _module_of(method: object) -> str:
    name = method.spec.name  # type: ignore[attr-defined]
    return {"ramplus_tl": "ram"}.get(name, name)


def test_every_domain_and_unread_parameter_names_a_parameter_of_mergekit() -> None:
    methods = grammar.installed().methods
    for method, parameter in DOMAINS:
        assert parameter in methods[method].parameters
    for method, unread in grammar.UNREAD_PARAMETERS.items():
        assert set(unread) <= set(methods[method].parameters)


def test_architectures_name_tensors_of_real_models(tiny_models) -> None:  # type: ignore[no-untyped-def]
    from evomerge_compiler.compiler.source_files import read_tensors

    for kind, name in (
        ("qwen2", "Qwen2ForCausalLM"),
        ("qwen3", "Qwen3ForCausalLM"),
        ("llama", "LlamaForCausalLM"),
    ):
        architecture = grammar.installed().architectures[name]
        listed = {t for layer in range(4) for t in architecture.in_layer(layer)}
        listed |= set(architecture.outside_layers())
        tensors = set(read_tensors(tiny_models(kind)["base"]))
        assert tensors <= listed
        assert listed - tensors == {"lm_head.weight"}
