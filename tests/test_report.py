"""The page of a run: phases, races and fronts on it, and a browser that has nothing to say."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from simulated_run import ROOT, evolve

from evomerge_compiler.executors.simulated import Landscape
from evomerge_compiler.report.html import page
from evomerge_compiler.report.plots import HEIGHT, WIDTH, Axis, Phase, phases_of, progress
from evomerge_compiler.report.summary import candidate_rows
from evomerge_compiler.run_folder import RunFolder

RECIPE = ROOT / "recipes" / "ps_then_dfs.yaml"
PATH_GENES = "path_step, source, path_scale, donor_weight"
BROWSER = shutil.which("chromium")


def settings(strategy: str, *more: str) -> tuple[str, ...]:
    """Two phases of three generations each."""
    parts = (("ps", "weight"), ("dfs", PATH_GENES))
    phases = ", ".join(
        f"{{name: {name}, genes: [{genes}], generations: 3, strategy: {strategy}}}"
        for name, genes in parts
    )
    plateau = "search.plateau.patience=0"
    return ("search.population=6", plateau, f"search.phases=[{phases}]", *more)


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("report") / "raced"
    overrides = settings("tournament", "evaluation.racing={alpha: 0.4}")
    evolve(run, 6, recipe=RECIPE, overrides=overrides, landscape=Landscape(n_items=100, width=0.2))
    return run


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("report") / "front"
    overrides = settings("nsga2", "search.objectives=[math, structured_data]")
    # What the second phase has found after one generation does not beat all of the first.
    evolve(run, 4, recipe=RECIPE, overrides=overrides, landscape=Landscape(n_items=300, width=0.1))
    return run


class Page(HTMLParser):
    """Tables as rows of cells, and the elements of drawings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.begins: list[str] = []
        self.shapes: list[tuple[str, dict[str, str]]] = []
        self.titles: list[str] = []
        self._rows: list[list[str]] = []
        self._into: list[str] | None = None
        self._begins = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "table":
            self._rows = self.tables.setdefault(given["id"], [])
        elif tag == "tr":
            self._rows.append([])
            self._begins = given.get("class") == "begins"
        elif tag in ("td", "th"):
            self._into = self._rows[-1]
            self._into.append("")
        elif tag == "title":
            self._into = self.titles
            self._into.append("")
        elif tag in ("rect", "circle", "polyline"):
            self.shapes.append((tag, given))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "title"):
            if self._begins and self._into is not None and len(self._into) == 1:
                self.begins.append(self._into[0])
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into[-1] += data


def test_phases_part_the_generations_and_the_candidates(raced: Path) -> None:
    found = Page(page(raced))
    rows = found.tables["generations"]
    start = RunFolder.open(raced).search_state(3)["starts_from"]
    assert [row[0] for row in rows[1:]] == [
        "phase ps moves weight", "000", "001", "002",
        f"phase dfs moves {PATH_GENES}, from {start}", "003", "004", "005",
    ]  # fmt: skip
    assert found.begins == ["003/c00"]
    bands = [shape for tag, shape in found.shapes if tag == "rect"]
    # The second begins between generations 2 and 3 of 0 to 5.
    assert [(float(b["x"]), float(b["width"])) for b in bands] == [(0, 100), (100, 100)]
    assert bands[0]["fill"] != bands[1]["fill"]


def test_the_best_of_a_generation_is_no_estimate(raced: Path) -> None:
    rows = Page(page(raced)).tables["generations"]
    known = candidate_rows(raced)
    assert rows[0][-1] == "dropped"
    for row in rows[1:]:
        if len(row) > 1:
            own = [c for c in known if str(c["id"]).startswith(row[0])]
            whole = [float(str(c["fitness"])) for c in own if c["state"] == "scored"]
            assert row[1] == (f"{max(whole):.4f}" if whole else "")
            assert int(row[-1]) == len(own) - len(whole)
    assert any(row[-1] not in ("0", "dropped") for row in rows if len(row) > 1)


def test_a_front_says_of_which_phase_its_candidates_are(front: Path) -> None:
    found = Page(page(front))
    points = RunFolder.open(front).front()
    phases = ["ps" if point.id.generation < 3 else "dfs" for point in points]
    assert {"ps", "dfs"} == set(phases), "both phases have candidates on the front"
    assert [row[:2] for row in found.tables["front"][1:]] == [
        [str(point.id), phase] for point, phase in zip(points, phases, strict=True)
    ]
    titles = [title for title in found.titles if ", phase" in title]
    assert [title.split(", knee")[0] for title in titles] == [
        f"{point.id}, phase {phase}" for point, phase in zip(points, phases, strict=True)
    ]
    colours = {phase.name: phase.colour for phase in phases_of(RunFolder.open(front))}
    circles = [shape for tag, shape in found.shapes if tag == "circle"]
    assert [circle["fill"] for circle in circles] == [colours[phase] for phase in phases]
    assert all(0 <= float(c["cx"]) <= WIDTH and 0 <= float(c["cy"]) <= HEIGHT for c in circles)


def test_a_phase_that_has_not_begun_is_not_drawn(tmp_path: Path) -> None:
    run = tmp_path / "run"
    evolve(run, 2, recipe=RECIPE, overrides=settings("tournament"), final=False)
    found = Page(page(run))
    assert [row[0] for row in found.tables["generations"][1:]] == [
        "phase ps moves weight", "000", "001",
    ]  # fmt: skip
    assert len([tag for tag, _ in found.shapes if tag == "rect"]) == 1


# -- plots ---------------------------------------------------------------------------------


def test_progress_keeps_the_best_and_leaves_out_what_is_not_known() -> None:
    drawn = progress([None, 0.2, 0.1, None, 0.6], [None, 0.1, 0.1, None, 0.35], [])
    assert drawn is not None
    assert (drawn.low, drawn.high, drawn.last) == (0.1, 0.6, 4)
    assert drawn.best == "50.00,80.00 100.00,80.00 150.00,80.00 200.00,0.00"
    assert drawn.mean == "50.00,100.00 100.00,100.00 200.00,50.00"
    assert drawn.phases == ()


def test_there_is_no_progress_of_one_generation() -> None:
    assert progress([0.5], [0.4], []) is None
    assert progress([None, 0.5], [None, 0.4], []) is None
    assert progress([], [], []) is None


def test_phases_of_uneven_length_are_drawn_as_long_as_they_are() -> None:
    parts = [
        Phase(name, first, (), None, "#000") for name, first in (("a", 0), ("b", 1), ("c", 4))
    ]
    drawn = progress([0.1, 0.2, 0.3, 0.4, 0.5], [None] * 5, parts)
    assert drawn is not None
    assert [(name, at, width) for name, _, at, width in drawn.phases] == [
        ("a", 0, 25), ("b", 25, 150), ("c", 175, 25),
    ]  # fmt: skip


def test_an_axis_of_one_value_has_it_in_the_middle() -> None:
    assert Axis.over([3.0, 3.0], 10.0).at(3.0) == 5.0
    assert Axis.over([-2.0, 3.0], 10.0).at(3.0) == 10.0


# -- in a browser --------------------------------------------------------------------------


def said(file: Path) -> list[str]:
    """What a browser writes to the console when it shows a file."""
    assert BROWSER is not None
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
            f"--user-data-dir={file.parent / 'browser'}", "--dump-dom", file.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert "</html>" in done.stdout
    return re.findall(r":CONSOLE[^\]]*\] (.*)", done.stderr)


@pytest.mark.skipif(BROWSER is None, reason="there is no chromium")
@pytest.mark.parametrize("name", ["raced", "front"])
def test_a_browser_finds_nothing_wrong(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    text = page(request.getfixturevalue(name))
    file = tmp_path / "page.html"
    file.write_text(text)
    assert said(file) == []
    # It would say so: the same page with one number that is none.
    file.write_text(re.sub(r'width="\d+\.\d+"', 'width="nan"', text, count=1))
    assert any('attribute width: Expected length, "nan"' in line for line in said(file))
