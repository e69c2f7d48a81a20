"""Every bad input ends with exit code 2 and an error that names file, line, column and remedy."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from bad_inputs import SCORED, Case, all_cases
from compile_kit import write_template
from model_builders import write_header_model

from evomerge_compiler import processes
from evomerge_compiler.cli import run

CASES = all_cases()
GOOD = (
    "kind: merge",
    "models: {a: {path: ../a}, b: {path: ../b}, c: {path: ../c}}",
    "base: {path: ../base}",
    "template: linear",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good models and odd ones, beside each other."""
    root = tmp_path_factory.mktemp("bad")
    odd: dict[str, dict[str, object]] = {
        **{alias: {} for alias in ("base", "a", "b", "c")},
        "no_config": {"drop": ("config.json",)},
        "no_weights": {"drop": ("model.safetensors",)},
        "pickled": {"drop": ("model.safetensors",)},
        "truncated": {},
        "llama": {"architectures": ["LlamaForCausalLM"], "model_type": "llama"},
        "wide": {"hidden_size": 16},
        "heads": {"num_attention_heads": 4},
        "deep": {"num_hidden_layers": 6},
        "rope": {"rope_theta": 1e6},
        "yarn": {"rope_scaling": {"type": "yarn", "factor": 4.0}},
        "eps": {"rms_norm_eps": 1e-5},
        "untied": {"tie_word_embeddings": False},
        "rows": {"vocab_size": 32},
        "words": {"vocab": [chr(100 + i) for i in range(20)]},
        "chat": {"chat_template": "{{ messages }}"},
        "tall": {"num_hidden_layers": 12},
        "quantised": {"quantization_config": {"quant_method": "gptq"}},
        "other_shape": {"shapes": {"model.layers.2.input_layernorm.weight": [4]}},
        "missing": {"shapes": {"model.layers.3.input_layernorm.weight": None}},
        "strange": {"architectures": ["StrangeForCausalLM"], "model_type": "strange"},
    }
    for name, settings in odd.items():
        write_header_model(root / name, **settings)  # type: ignore[arg-type]
    (root / "pickled" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    weights = root / "truncated" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    (root / "damaged.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1, 5))
    return root


def write(case: Case, root: Path, folder: Path) -> Path:
    """The case's files; returns the recipe."""
    if case.header is not None:
        (folder / "t.yaml.j2").write_text(case.header)
    elif case.body is not None:
        write_template(folder, case.body, methods=case.methods, genes=case.genes)
    lines = list(GOOD)
    if case.header is not None:
        lines[-1] = "template: ./t.yaml.j2"
    for line in case.recipe:
        word = line.split(":")[0]
        taken = [
            i for i, good in enumerate(lines) if i < len(GOOD) and good.startswith(word + ":")
        ]
        if taken:
            lines[taken[0]] = line
        else:
            lines.append(line)
    # `base:` alone stands for no base of its own.
    lines = [line for line in lines if line != "base:"]
    (folder / "r.yaml").write_text(case.text or "\n".join(lines) + "\n")
    for name, kind in case.extra.items():
        body = ["kind: experiment", *GOOD[1:], SCORED]
        if kind == "circle":
            body = ["kind: merge", "models: {a: {path: r.yaml}, b: {path: ../b}}", *GOOD[2:]]
            body[1] = "models:\n  a: {path: r.yaml}\n  b: {path: ../b}"
        (folder / name).write_text("\n".join(body) + "\n")
    return folder / "r.yaml"


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a bad input started a process")

    monkeypatch.setattr(processes, "start_process", refuse)
    monkeypatch.setattr(processes, "run_command", refuse)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_bad_input(
    case: Case, root: Path, no_process: None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = root / "".join(c if c.isalnum() else "_" for c in "case " + case.name)
    folder.mkdir()
    recipe = write(case, root, folder)

    assert run(["validate", str(recipe)]) == 2

    text = capsys.readouterr().err
    first = text.split("\n")[0]
    match = re.match(r"(?P<file>.+?):(?P<line>\d+):(?P<column>\d+): error: (?P<message>.*)", first)
    assert match, text
    assert Path(match["file"]).name == case.file, text
    line = Path(match["file"]).read_text().split("\n")[int(match["line"]) - 1]
    assert case.at in line, text
    assert int(match["column"]) <= len(line) + 1, text
    assert case.says in match["message"], text
    remedy = re.search(r"^  help: (.*)$", text, re.MULTILINE)
    assert remedy and case.help in remedy[1], text


def test_the_table_is_large_and_says_each_thing_once() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_good_recipe_of_the_table_is_good(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = root / "good"
    folder.mkdir()
    (folder / "r.yaml").write_text("\n".join(GOOD) + "\n")
    assert run(["validate", str(folder / "r.yaml")]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("name", ["LINEAR", "TIES", "SLICES", "STAGES"])
def test_the_good_bodies_of_the_table_are_good(
    name: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import bad_inputs

    folder = root / f"good_{name}"
    folder.mkdir()
    write_template(folder, getattr(bad_inputs, name), methods="linear, ties")
    lines = [*GOOD[:-1], "template: ./t.yaml.j2"]
    (folder / "r.yaml").write_text("\n".join(lines) + "\n")
    assert run(["validate", str(folder / "r.yaml")]) == 0, capsys.readouterr().err
