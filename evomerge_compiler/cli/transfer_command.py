"""``evomerge transfer``: what merges break of what their parents can do, and their lengths."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from evomerge_compiler.cli.common import json_option, print_json, split_run_reference, table
from evomerge_compiler.evaluation.transfer import QUANTILES, Side

if TYPE_CHECKING:
    from evomerge_compiler.report.transfer import DomainItems, TransferItem, TransferTable

WIDTH = 99


@click.command(
    epilog="Examples: evomerge transfer runs/long-to-short  |  evomerge transfer "
    "runs/long-to-short:best --items 10  |  evomerge transfer runs/long-to-short --split held_out"
)
@click.argument("run", metavar="RUN[:ID]")
@click.option(
    "--split",
    type=click.Choice(["search", "held_out"]),
    default="search",
    show_default=True,
    help="Which items; held-out ones are asked of finalists, and of some of a front.",
)
@click.option(
    "--items",
    "count",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="With an ID: items to show, for each domain.",
)
@json_option
def command(run: str, split: Side, count: int, as_json: bool) -> None:
    """Compare merges with their parents: items lost and newly solved, and lengths.

    Without ID the front is shown, or the best candidate. `lost` are items that some parent has
    right and the merge wrong, of the `solvable` ones that some parent has right; their share is
    the negative transfer rate. Parents have one too: what only another one can do. `new` are
    items that no parent has right. `against` is the mean over domains of tokens / tokens of the
    slow model - 1.
    """
    from evomerge_compiler.report.transfer import items_of, transfer_of
    from evomerge_compiler.run_folder import RunFolder

    path, id = split_run_reference(run)
    folder = RunFolder.open(path)
    found = transfer_of(folder, split, None if id is None else [id])
    domains = [] if id is None else items_of(folder, id, split, texts=count > 0)
    if as_json:
        data: dict[str, Any] = asdict(found)
        if id is not None:
            data["domains"] = [_data(domain, count) for domain in domains]
        print_json(data)
        return
    click.echo(_table(found))
    for domain in domains:
        click.echo("\n".join(_items(domain, count)))


def _data(domain: DomainItems, count: int) -> dict[str, Any]:
    """Plain data with at most ``count`` items of each kind, and their whole numbers."""
    data = asdict(domain)
    for name in ("lost", "new"):
        data[f"n_{name}"] = len(data[name])
        data[name] = data[name][:count]
    return data


def _table(found: TransferTable) -> str:
    header = [f"{found.split.replace('_', '-')} items", "mean", "lost", "solvable", "rate", "new"]
    if found.slow is not None:
        header += ["tokens", *QUANTILES, f"against {found.slow}"]
    return table(header, [_row(row, found.slow is not None) for row in found.rows])


def _row(row: Mapping[str, Any], generates: bool) -> Sequence[object]:
    cells = [row["name"], f"{row['mean']:.3f}", row.get("lost", "-"), row.get("solvable", "-")]
    cells += [_share(row.get("rate"), ""), row.get("new", "-")]
    if generates:
        said = row.get("tokens", {})
        cells += [f"{said['mean']:.1f}" if said else "-"]
        cells += [said.get(name, "-") for name in QUANTILES]
        cells += [_share(row.get("length_change"), "+")]
    return cells


def _share(value: float | None, sign: str) -> str:
    return "-" if value is None else f"{value:{sign}.1%}"


def _items(domain: DomainItems, count: int) -> Iterator[str]:
    yield ""
    yield (
        f"{domain.domain}: of {domain.n} items {domain.solvable} are solvable, "
        f"{len(domain.lost)} lost, {len(domain.new)} new"
    )
    if domain.note:
        yield f"its items cannot be shown: {domain.note}"
        return
    for items, name in ((domain.lost, "lost"), (domain.new, "new")):
        for item in items[:count]:
            yield _item(item, name)


def _item(item: TransferItem, name: str) -> str:
    assert item.item is not None
    by = f" (right: {', '.join(item.right)})" if item.right else ""
    target = textwrap.shorten(item.item.target, 30, placeholder="...") + by
    prompt = textwrap.shorten(
        item.item.prompt, max(WIDTH - len(target) - 22, 20), placeholder="..."
    )
    return f"  {name:<4}  {item.item.item_hash[:8]}  {prompt} => {target}"
