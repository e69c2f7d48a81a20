"""The rules of the house, read from syntax trees: layers, processes, printing, imports, size."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "evomerge_compiler"
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS = [
    {
        "durability",
        "errors",
        "yamlio",
        "assets",
        "gpus",
        "processes",
        "process_pool",
        "process_supervisor",
    },
    {
        "recipe",
        "recipe_errors",
        "recipe_candidates",
        "recipe_overrides",
        "recipe_racing",
        "recipe_phases",
        "recipe_schema",
        "gene",
        "genome",
        "gene_spec",
        "gene_units",
        "gradients",
        "candidate",
        "crossing",
        "templates",
    },
    {"compiler", "fitness", "strategies"},
    {"merging", "evaluation", "scoring", "executors", "worker", "run_folder"},
    {
        "ask_tell",
        "baselines",
        "conclusion",
        "control",
        "events",
        "evolution",
        "guards",
        "history",
        "launch",
        "plan_bounds",
        "plan_time",
        "planning",
        "racing",
        "needs",
        "seeds",
        "shortlist",
        "simulation",
        "single",
        "standalone",
        "time_budget",
    },
    {"report", "tracking", "export", "bench"},
    {"cli", "__main__", "__init__"},
]
HEAVY = {"torch", "transformers", "mergekit", "lm_eval", "ray", "wandb", "datasets", "peft"}
MAX_LINES = 450


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def layer_of(part: str) -> int:
    found = [number for number, layer in enumerate(LAYERS) if part in layer]
    assert found, f"{part} is in no layer: add it to LAYERS"
    return found[0]


def imports(tree: ast.AST) -> list[str]:
    out = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            out += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            out.append(node.module)
            out += [f"{node.module}.{alias.name}" for alias in node.names]
    return out


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_its_own_layer_or_below(path: Path) -> None:
    own = layer_of(part_of(path))
    for name in imports(ast.parse(path.read_text())):
        if name.startswith("evomerge_compiler."):
            other = name.split(".")[1]
            if (PACKAGE / other).is_dir() or (PACKAGE / f"{other}.py").is_file():
                assert layer_of(other) <= own, f"{path.name} (layer {own}) imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_inside_functions(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        for name in imports(node) if isinstance(node, (ast.Import, ast.ImportFrom)) else []:
            assert name.split(".")[0] not in HEAVY, f"{path.name} imports {name} at the top"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


def calls(tree: ast.AST) -> set[str]:
    out = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            out.add(ast.unparse(node.func))
    return out


def test_only_processes_starts_processes() -> None:
    starters = set(
        "subprocess.run subprocess.Popen subprocess.check_output subprocess.call os.system"
        " os.popen os.fork multiprocessing.Process".split()
    )
    # The pool is a part of `processes`; the others are programs that it starts.
    programs = {"processes.py", "process_pool.py", "process_supervisor.py", "sandbox_server.py",
                "sandbox_layers.py"}  # fmt: skip
    for path in MODULES:
        if path.name not in programs:
            found = calls(ast.parse(path.read_text())) & starters
            assert not found, f"{path.name} starts processes: {found}"


# mergekit's registry is read for checks; its planner and tasks are not its public interface.
MERGEKIT_USERS = {
    "mergekit_grammar.py", "mergekit_inputs.py", "mergekit_layout.py", "mergekit_parameters.py",
    "mergekit_tasks.py", "planned_stages.py",
}  # fmt: skip


def test_mergekit_is_used_in_few_places() -> None:
    for path in MODULES:
        names = {name.split(".")[0] for name in imports(ast.parse(path.read_text()))}
        # The benchmark drives mergekit's own loop, to be compared with it.
        allowed = path.name in MERGEKIT_USERS or part_of(path) == "bench"
        assert "mergekit" not in names or allowed, path.name


def test_only_cli_and_report_print() -> None:
    for path in MODULES:
        if part_of(path) in ("cli", "report") or path.name in (
            "process_supervisor.py", "sandbox_server.py",
        ):  # fmt: skip
            continue
        found = calls(ast.parse(path.read_text())) & {"print", "click.echo", "click.secho"}
        assert not found, f"{path.name} prints"


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["ls", "strategies"], ["schema"], ["compile", "--help"], ["evolve", "--help"]],
)
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    """What makes start-up fast is what is not imported."""
    light = HEAVY | {"numpy.random", "pydantic"} if arguments == ["--help"] else HEAVY
    code = (
        "import sys; from evomerge_compiler.cli import run; code = run(sys.argv[1:]);"
        f"heavy = sorted({light}"
        " & set(sys.modules)); print(heavy, file=sys.stderr); sys.exit(code or bool(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
