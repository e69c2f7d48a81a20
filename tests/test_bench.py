"""Every suite of `evomerge bench` at tiny sizes, for real. No test asserts a time."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evomerge_compiler import bench, cli, errors
from evomerge_compiler.bench import candidates, merge_sides, page, usage
from evomerge_compiler.bench.figures import Figure, at_least, at_most, figure, ratio
from evomerge_compiler.bench.random_models import Shape, write_family
from evomerge_compiler.bench.stopwatch import Stopwatch
from evomerge_compiler.errors import EvomergeError, MissingPrerequisite
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.process_pool import WorkerPool

TINY = Shape(layers=2, hidden=32, inner=48, heads=4, kv_heads=2, vocabulary=300)
# These start many processes, each of which imports for seconds.
SLOW = ("candidates", "ray", "merges", "racing")


@pytest.mark.parametrize(
    "suite", [pytest.param(s, marks=pytest.mark.long) if s in SLOW else s for s in bench.SUITES]
)
def test_a_suite_measures_what_it_says(
    suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "page.md"
    arguments = ["bench", suite, "--quick", "--json", "--work", tmp_path, "-o", target]
    assert cli.run([str(argument) for argument in arguments]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["machine"]["cores"] == str(os.cpu_count())
    assert data["figures"]
    for found in data["figures"]:
        assert found["suite"] == suite
        assert found["n"] >= 1
        assert math.isfinite(found["value"])
        assert found["low"] <= found["value"] <= found["high"]
        assert found["unit"] != "times" or len(found["sides"]) == 2
        assert f"| {found['name']} |" in target.read_text()
        assert "DIFFER" not in found.get("note", "")
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]


def test_suites_are_listed_and_misspelt_ones_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bench", "--list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in bench.SUITES)
    assert cli.run(["bench", "--list", "--json"]) == 0
    assert [suite["suite"] for suite in json.loads(capsys.readouterr().out)] == [*bench.SUITES]
    assert cli.run(["bench", "start-up"]) == 2
    assert "did you mean 'start_up'?" in capsys.readouterr().err


def test_figures_are_medians_and_ratios_go_round_by_round() -> None:
    found = figure("x", [3.0, 1.0, 2.0], "s", bound=at_most(2))
    assert (found.value, found.low, found.high, found.n, found.holds) == (2.0, 1.0, 3.0, 3, True)
    found = ratio(("a", "b"), [2.0, 9.0, 8.0], [1.0, 3.0, 1.0], bound=at_least(4))
    assert (found.value, found.low, found.high, found.holds) == (3.0, 2.0, 8.0, False)
    assert found.plain()["sides"] == ["a", "b"]
    assert figure("x", [1.0], "s").holds is None


def test_the_page_holds_the_machine_and_a_table_for_each_suite(tmp_path: Path) -> None:
    rows = [
        Figure("fast", 0.1234, 0.1, 0.2, "s", 3, suite="start_up", bound=at_most(1)),
        Figure("slow", 1234.5, 1.0, 2.0, "s", 3, suite="merges", note="why"),
    ]
    page.write(tmp_path / "page.md", rows, {"cores": "2"})
    text = (tmp_path / "page.md").read_text()
    assert "| cores | 2 |" in text
    assert "| fast | 0.123 | 0.100 | 0.200 | s | 3 | at most 1 | yes |  |" in text
    assert "| slow | 1234 | 1.00 | 2.00 | s | 3 |  |  | why |" in text
    assert text.index("## start_up") < text.index("## merges")
    assert "## ray" not in text


def test_a_page_keeps_other_tables_and_words_of_the_same_machine(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    slow = Figure("slow", 2.0, 1.0, 3.0, "s", 3, suite="merges")
    page.write(path, [slow], {"cores": "2"})
    path.write_text(path.read_text() + "\n## Why\n\nBecause.\n\n## Why\n\nAnd so.\n")
    page.write(path, [Figure("fast", 1.0, 1.0, 1.0, "s", 1, suite="start_up")], {"cores": "2"})
    text = path.read_text()
    assert text.index("fast") < text.index("slow") < text.index("## Why\n\nBecause.\n")
    assert f"Written by `evomerge bench -o {path}`" in text  # as given, to be given again
    assert page.write(path, [slow], {"cores": "2"}) == []
    assert path.read_text() == text
    # Another machine's figures go, which is told; what people wrote stays.
    assert page.write(path, [slow], {"cores": "64"}) == ["start_up"]
    text = path.read_text()
    assert "fast" not in text and text.endswith("## Why\n\nBecause.\n\n## Why\n\nAnd so.\n")
    # The same machine, wherever the file is.
    path.rename(tmp_path / "moved.md")
    page.write(tmp_path / "moved.md", [Figure("x", 1, 1, 1, "s", 1, suite="ray")], {"cores": "64"})
    assert "slow" in (tmp_path / "moved.md").read_text()


def test_what_is_measured_is_on_the_page_when_a_later_suite_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(name: str, setting: bench.Setting) -> Iterator[Figure]:
        yield Figure(f"a figure of {name}", 1.0, 1.0, 1.0, "s", 1, suite=name)
        if name == "sandbox":
            raise MissingPrerequisite("no sandbox")

    monkeypatch.setattr(bench, "run", run)
    made = tmp_path / "new" / "page.md"
    elsewhere = [Figure("x", 1.0, 1.0, 1.0, "s", 1, suite=name) for name in ("merges", "sandbox")]
    page.write(made, elsewhere, {"cores": "64"})
    arguments = ["bench", "start_up", "sandbox", "-o", str(made)]
    assert cli.run(arguments) == errors.EXIT_MISSING_PREREQUISITE
    told = capsys.readouterr().err
    assert f"{made}: the table of merges was another machine's" in told
    assert "the table of sandbox" not in told
    text = made.read_text()
    assert "a figure of start_up" in text and "sandbox" not in text and "merges" not in text


def test_what_a_bench_needs_is_looked_for_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(name: str, setting: bench.Setting) -> Iterator[Figure]:
        raise AssertionError("it has started")

    monkeypatch.setattr(bench, "run", run)
    (tmp_path / "file").touch()
    arguments = ["bench", "start_up", "-o", str(tmp_path / "file" / "page.md")]
    assert cli.run(arguments) == errors.EXIT_BAD_INPUT
    assert "is a file" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.run(["bench", "start_up", "ray"]) == errors.EXIT_MISSING_PREREQUISITE
    assert "suite ray measures ray, which is not installed" in capsys.readouterr().err


def test_parts_exclude_what_they_call() -> None:
    class Clock:
        def outer(self) -> int:
            return sum(self.inner() for _ in range(3))

        def inner(self) -> int:
            return len(hashlib.sha256(bytes(2_000_000)).digest())

    watch = Stopwatch()
    parts = {"outer": (Clock, "outer"), "inner": (Clock, "inner")}
    with watch.watching(parts):
        assert Clock().outer() == 96
    assert watch.seconds["inner"] > watch.seconds["outer"] > 0
    counted = dict(watch.seconds)
    Clock().outer()
    assert watch.seconds == counted


def test_a_wrapped_method_that_was_inherited_is_inherited_again() -> None:
    class Parent:
        def name(self) -> str:
            return "parent"

    class Child(Parent):
        pass

    watch = Stopwatch()
    with watch.watching({"name": (Child, "name")}):
        assert Child().name() == "parent"
    assert "name" not in vars(Child)
    assert set(watch.seconds) == {"name"}


def hold(n_bytes: int) -> int:
    """Fills memory for long enough to be seen on a busy machine; runs in a worker."""
    held = b"1" * n_bytes
    time.sleep(1)
    return len(held)


def test_memory_and_processor_time_of_children_are_seen() -> None:
    others = set(usage.descendants(os.getpid()))  # of tests before, such as the sandbox
    before = usage.cpu_seconds()
    with usage.watched_memory(usage.started_from_now()) as peak, WorkerPool(1) as pool:
        assert pool.submit(hold, 100_000_000).result() == 100_000_000
        pool.submit(sum, range(20_000_000)).result()
        spent = usage.cpu_seconds() - before
        started = usage.descendants(os.getpid())
        with usage.watched_memory(usage.started_from_now()) as later:
            pool.submit(hold, 100_000_000).result()
    assert spent > 0
    assert 100_000_000 <= peak.n_bytes < 300_000_000
    assert started and later.n_bytes == 0  # it was there before
    assert not any(usage.private_bytes(pid) for pid in set(started) - others)


def test_the_memory_of_each_side_of_a_merge_is_its_own(tmp_path: Path) -> None:
    models = write_family(tmp_path / "models", TINY, ("one", "two"))
    genome = {"weight": {"one": 0.6, "two": 0.4}}
    plan = merge_sides.compile_merge(tmp_path, "linear", models, genome, None)
    options = MergeOptions(cuda=False, offline=True)
    with merge_sides.InMemory(tmp_path / "work", options, 1, "cpu") as memory:
        before = memory.merge(plan).peak_bytes
        with WorkerPool(1) as other:
            assert other.submit(hold, 4 * before).result()
        assert before <= memory.merge(plan).peak_bytes < 2 * before


def test_random_models_are_made_of_their_base(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folders = write_family(tmp_path, TINY, ("base", "one"))
    base, one = (load_file(path / "model.safetensors") for path in folders.values())
    assert {name: tuple(t.shape) for name, t in base.items()} == dict(TINY.tensors())
    assert sum(t.numel() for t in base.values()) == TINY.n_parameters
    name = "model.layers.0.mlp.up_proj.weight"
    change = (one[name].float() - base[name].float()).std()
    assert 0 < change < base[name].float().std() / 10
    model, info = AutoModelForCausalLM.from_pretrained(folders["one"], output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert torch.isfinite(model(torch.tensor([[1, 2, 3]])).logits).all()
    assert AutoTokenizer.from_pretrained(folders["one"]).encode("a")


def test_the_real_shape_has_the_parameters_of_qwen2_1_5b() -> None:
    assert Shape().n_parameters == 1_543_714_304
    assert len(list(Shape().tensors())) == 338


def test_sides_that_did_other_work_are_refused() -> None:
    one = merge_sides.Merged(1.0, "a", 1)
    with pytest.raises(EvomergeError, match="linear: the merge in memory differs"):
        merge_sides.check_equal(one, merge_sides.Merged(2.0, "b", 1), "linear")
    merge_sides.check_equal(one, merge_sides.Merged(2.0, "a", 1), "linear")


def test_a_side_that_scores_differently_is_told() -> None:
    one, other = candidates.Measured(1.0, 0.7), candidates.Measured(2.0, 0.6)
    assert candidates.differences({"warm": [one, one], "cli": [one, one]}) == ""
    told = candidates.differences({"warm": [one, one], "cli": [one, other]})
    assert told == "; SCORES DIFFER in round 1: warm 0.700, cli 0.600"


def test_looking_at_the_suites_loads_nothing_heavy() -> None:
    code = (
        "import sys; from evomerge_compiler.cli import run; assert run(['bench', '--list']) == 0;"
        "sys.exit('torch' in sys.modules)"
    )
    from evomerge_compiler.processes import run_command

    assert run_command([sys.executable, "-c", code]).returncode == 0
