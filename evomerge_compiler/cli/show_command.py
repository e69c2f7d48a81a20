"""``evomerge show``: a run's candidates as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import click

from evomerge_compiler.cli.common import json_option, one_form, print_json, run_path, table
from evomerge_compiler.errors import UsageError, did_you_mean


@click.command(epilog="Example: evomerge show runs/quickstart --sort-by fitness --only-changed")
@click.argument("run")
@click.option("--gen", type=int, help="Only this generation.")
@click.option(
    "--front", is_flag=True, help="Only what no candidate beats in all objectives, and the knee."
)
@click.option("--sort-by", metavar="COLUMN", help="Sort by a column, best or highest first.")
@click.option("--sort-order", type=click.Choice(["asc", "desc"]), help="With --sort-by; desc.")
@click.option("--only-changed", is_flag=True, help="Hide columns that hold one value throughout.")
@click.option("--keep", multiple=True, metavar="COLUMN", help="Only these columns and the id.")
@click.option("--drop", multiple=True, metavar="COLUMN", help="All but these columns.")
@click.option("--precision", type=int, default=4, show_default=True, help="Decimals.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV on stdout.")
@click.option("--md", "as_md", is_flag=True, help="A Markdown table on stdout.")
@json_option
def command(
    run: str,
    gen: int | None,
    front: bool,
    sort_by: str | None,
    sort_order: str | None,
    only_changed: bool,
    keep: tuple[str, ...],
    drop: tuple[str, ...],
    precision: int,
    as_csv: bool,
    as_md: bool,
    as_json: bool,
) -> None:
    """Show a run's candidates: state, fitness, domains and genes."""
    from evomerge_compiler.report.summary import candidate_rows

    one_form(csv=as_csv, md=as_md, json=as_json)
    if sort_order and not sort_by:
        raise UsageError("--sort-order goes with --sort-by", hint="name a column")
    rows = candidate_rows(run_path(run), gen, front=front)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for name in (*keep, *drop, *([sort_by] if sort_by else [])):
        if name not in columns:
            raise UsageError(f"no column {name!r}", hint=did_you_mean(name, columns))
    if sort_by:
        rows = _sorted(rows, sort_by, descending=sort_order != "asc")
    columns = _columns(rows, columns, keep, drop, only_changed)
    rows = [{name: row.get(name) for name in columns} for row in rows]
    if as_json:
        print_json(rows)
        return
    cells = [[_cell(row[name], precision) for name in columns] for row in rows]
    text = _as_csv if as_csv else _as_markdown if as_md else table
    click.echo(text(columns, cells), nl=not as_csv)


def _sorted(
    rows: list[dict[str, object]], name: str, *, descending: bool
) -> list[dict[str, object]]:
    have = [row for row in rows if row.get(name) is not None]
    lack = [row for row in rows if row.get(name) is None]
    number = all(isinstance(row[name], (int, float)) for row in have)
    have.sort(
        key=lambda row: row[name] if number else str(row[name]),  # type: ignore[arg-type,return-value]
        reverse=descending,
    )
    return have + lack


def _columns(
    rows: Sequence[dict[str, object]],
    columns: list[str],
    keep: tuple[str, ...],
    drop: tuple[str, ...],
    only_changed: bool,
) -> list[str]:
    chosen = [c for c in columns if (not keep or c in keep or c == "id") and c not in drop]
    if only_changed:
        chosen = [c for c in chosen if c == "id" or len({str(r.get(c)) for r in rows}) > 1]
    return chosen


def _cell(value: object, precision: int) -> str:
    if value is None:
        return "-"
    return f"{value:.{precision}f}" if isinstance(value, float) else str(value)


def _as_csv(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(cells)
    return stream.getvalue()


def _as_markdown(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
