"""The documentation shows what is there: real items, and a domain that works as it is printed."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "evaluators.md").read_text(encoding="utf-8")


def test_items_that_are_shown_are_in_the_data() -> None:
    rows = [
        json.loads(line)
        for path in (ROOT / "evaluators").glob("*/data/*.jsonl")
        for line in path.read_text(encoding="utf-8").split("\n")
        if line
    ]
    known = {row["id"]: row for row in rows}
    shown = re.findall(r"`([a-z_]+-[0-9a-f]{12})`", PAGE)
    assert len(shown) >= 19, "one of each kind"
    assert [name for name in shown if name not in known] == []
    counts = {row["id"].rpartition("-")[0] for row in rows} - {
        "code", "math", "multilingual", "structured_data",
    }  # fmt: skip
    assert counts <= {name.rpartition("-")[0] for name in shown}, "a kind is not shown"


def test_the_numbers_of_items_are_right() -> None:
    for domain, n_tasks, n_items in re.findall(
        r"\| `evomerge_(\w+)` \| (\d+) \| ([\d,]+) \|", PAGE
    ):
        files = list((ROOT / "evaluators" / domain / "data").glob("*.jsonl"))
        lines = sum(len(path.read_text(encoding="utf-8").strip().split("\n")) for path in files)
        assert (len(files), lines) == (int(n_tasks), int(n_items.replace(",", ""))), domain


def test_the_domain_of_the_page_works_as_it_is_printed(tmp_path: Path) -> None:
    blocks = re.findall(r"`(evaluators/colours/[\w./]+)`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    for name, text in blocks:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    from evomerge_compiler.evaluation.spec import plan_evaluation, spec_of_tasks
    from evomerge_compiler.evaluation.task_files import TaskLoader

    spec = spec_of_tasks(["my_colours"], tmp_path, include_path=["evaluators"])
    plan = plan_evaluation(spec, folder=tmp_path)
    assert plan.offline and plan.tasks[0].metric == "exact_match"
    (loaded,) = TaskLoader(plan).load(plan.tasks[0])
    for document in loaded.documents:
        said = f"{document['answer'].title()}."
        assert loaded.task.process_results(document, [said]) == {"exact_match": 1.0}


def test_the_genes_and_phases_of_the_page_are_read_as_they_are_printed() -> None:
    from evomerge_compiler import recipe as recipes
    from evomerge_compiler import yamlio
    from evomerge_compiler.compiler import compile_recipe
    from evomerge_compiler.strategies.factory import build

    page = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    section = page[page.index("## Spaces and phases") :]
    genes, phases = (
        yamlio.parse(text, file="search.md").data
        for text in re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)[:2]
    )

    def with_parts(name: str, **parts: object) -> recipes.Recipe:
        path = ROOT / "recipes" / f"{name}.yaml"
        data = dict(yamlio.read_file(path).data)
        return recipes.from_data({**data, **parts}, path.parent)

    loaded = with_parts("ties", **genes)
    compile_recipe(loaded)
    assert loaded.space.fixed["density"] == [0.5, 0.9]
    assert loaded.space.by_name["weight"].anchors == 3
    build(with_parts("ps_then_dfs", **phases))


def test_the_crossovers_of_models_of_the_page_are_read_as_they_are_printed() -> None:
    from evomerge_compiler import crossing, yamlio
    from evomerge_compiler import recipe as recipes
    from evomerge_compiler.strategies.factory import build
    from evomerge_compiler.strategies.model_crossover import ModelCrossover

    page = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    section = page[page.index("## Model-level crossover") :]
    search, candidate = (
        yamlio.parse(text, file="search.md").data
        for text in re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)[:2]
    )
    path = ROOT / "recipes" / "quickstart.yaml"
    data = dict(yamlio.read_file(path).data)
    strategy = build(recipes.from_data({**data, **search}, path.parent))
    assert isinstance(strategy, ModelCrossover) and strategy.n_children == 3
    found, problems = crossing.parse(candidate)
    assert problems == [] and found is not None
    assert found.document() == {key: candidate[key] for key in crossing.KEYS}
