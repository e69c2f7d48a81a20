"""``evomerge why``: what changed in a candidate's genes beside what changed in its scores."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.cli.common import (
    best_of,
    json_option,
    print_json,
    run_path,
    split_run_reference,
    table,
)

if TYPE_CHECKING:
    from evomerge_compiler.report.why import Comparison, DomainChange, Explanation, Flip

WIDTH = 99


@click.command(
    epilog="Examples: evomerge why runs/quickstart 003/c05  |  evomerge why runs/quickstart:best "
    "--items 10  |  evomerge why runs/quickstart --no-items"
)
@click.argument("run", metavar="RUN[:ID]")
@click.argument("candidate", required=False, metavar="[ID]")
@click.option(
    "--items",
    "count",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Items to show, for each domain and direction.",
)
@click.option(
    "--no-items", is_flag=True, help="Count the items that flipped, do not look them up."
)
@json_option
def command(run: str, candidate: str | None, count: int, no_items: bool, as_json: bool) -> None:
    """Compare a candidate with its parents: genes, scores, and items that flipped.

    ID is the best candidate by default. A candidate without parents is compared with the best
    source model and the uniform merge, where they are scored. Intervals are paired, over the
    items that both answered; a star marks one that leaves out zero.
    """  # fmt: skip
    from evomerge_compiler.report.why import explain
    from evomerge_compiler.run_folder import RunFolder

    if candidate is None:
        folder, id = split_run_reference(run)
        id = id or best_of(folder)
    else:
        folder = run_path(run)
        id = best_of(folder) if candidate == "best" else CandidateId.parse(candidate)
    count = 0 if no_items else count
    found = explain(RunFolder.open(folder), id, texts=count > 0)
    if as_json:
        print_json(_data(found, count))
    else:
        click.echo("\n".join(_lines(found, count)))


def _data(found: Explanation, count: int) -> dict[str, Any]:
    """Plain data with at most ``count`` items a domain and direction, and their whole numbers."""
    data = asdict(found)
    for comparison, plain in zip(found.comparisons, data["comparisons"], strict=True):
        for change, domain in zip(comparison.domains, plain["domains"], strict=True):
            domain |= {"difference": change.difference, "moved": change.moved}
            for name in ("gained", "lost"):
                domain[f"n_{name}"] = len(domain[name])
                domain[name] = domain[name][:count]
    return data


def _lines(found: Explanation, count: int) -> Iterator[str]:
    yield click.style(f"{found.id}: {found.state}, {found.origin} by {found.operator}", bold=True)
    if found.note:
        yield found.note
    for comparison in found.comparisons:
        yield ""
        yield click.style(f"{comparison.other} -> {found.id}", bold=True)
        yield from _comparison(comparison, count)


def _comparison(comparison: Comparison, count: int) -> Iterator[str]:
    if comparison.genes:
        yield ""
        rows = [(gene.name, gene.old, gene.new) for gene in comparison.genes]
        yield table(("gene", "old", "new"), rows)
    changes = [*comparison.domains, *([comparison.mean] if comparison.mean else [])]
    if changes:
        yield ""
        yield _scores(changes)
    for domain in comparison.domains:
        yield from _items(domain, count)
    yield ""
    yield from textwrap.wrap(comparison.verdict, WIDTH)
    for sibling in comparison.siblings:
        moves = ", ".join(f"{d}{'' if d.moved else ' (no more than chance)'}"
                          for d in sibling.domains if d.difference)  # fmt: skip
        text = f"{sibling.id} changed {sibling.gene} alone: {moves or 'no score changed'}."
        yield from textwrap.wrap(text, WIDTH, subsequent_indent="  ")


def _scores(changes: Sequence[DomainChange]) -> str:
    header = ["domain", "old", "new", "change", "95 %, paired", "gained", "lost"]
    rows = []
    for change in changes:
        interval = "-"
        if change.low is not None and change.high is not None:
            interval = f"{change.low:+.3f} to {change.high:+.3f}{' *' if change.moved else ''}"
        paired = interval != "-" and change.domain != "mean"
        rows.append(
            [change.domain, f"{change.old:.4f}", f"{change.new:.4f}", f"{change.difference:+.4f}",
             interval, *((len(change.gained), len(change.lost)) if paired else ("", "")),
             change.note]
        )  # fmt: skip
    if any(change.note for change in changes):
        return table([*header, "note"], rows)
    return table(header, [row[:-1] for row in rows])


def _items(change: DomainChange, count: int) -> Iterator[str]:
    if count == 0 or not (change.gained or change.lost):
        return
    if change.items_note:
        yield f"\n{change.domain}: its items cannot be shown: {change.items_note}"
        return
    for flips, name in ((change.gained, "wrong -> right"), (change.lost, "right -> wrong")):
        if flips:
            of = f", {count} of {len(flips)}" if len(flips) > count else ""
            yield f"\n{change.domain}, {name}{of}:"
            yield from (_item(flip) for flip in flips[:count])


def _item(flip: Flip) -> str:
    assert flip.item is not None
    target = textwrap.shorten(flip.item.target, 30, placeholder="...")
    room = WIDTH - len(target) - 16
    prompt = textwrap.shorten(flip.item.prompt, room, placeholder="...")
    return f"  {flip.item.item_hash[:8]}  {prompt} => {target}"
