"""The final words of a run: tables on held-out and search items, and what they mean, plainly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evomerge_compiler.conclusion import GAIN, LOSS, NO_DIFFERENCE, NOTHING, TRADE_OFF
from evomerge_compiler.fitness import TOKENS
from evomerge_compiler.recipe import CONTROL, UNIFORM, WINNER

Final = Mapping[str, Any]
_COLUMNS = {"full_search": "all search", "held_out": "held out"}
_SPLITS = {"search": "search", "full_search": "all search", "held_out": "held-out"}
TESTS = {"mcnemar": "exact McNemar", "bootstrap": "bootstrap", "clt": "t test"}


def final_text(recipe_name: str, final: Final, run: Path) -> str:
    """What a run prints at its end; the last line is the verdict.

    Args:
        recipe_name: The recipe's.
        final: What ``final.yaml`` holds.
        run: The run folder, for the commands that are named.
    """
    blocks = [_opening(recipe_name, final)]
    for split, title in (("held_out", "held-out items"), ("search", "search items")):
        blocks.append(_split_table(final, split, title))
    for name, why in final.get("not_scored", {}).items():
        blocks.append(f"{name} could not be scored: {why}")
    if final.get("front"):
        blocks.append(_front(final))
    if "held_out" in final.get("transfer", {}):
        blocks.append(_transfer(final))
    blocks.append("\n".join([*_findings(final), *_paths(final, run), _verdict(final)]))
    return "\n\n".join(blocks)


def _opening(recipe_name: str, final: Final) -> str:
    words = [f"{recipe_name}: ended by {final['reason']}, {final['candidates']} candidates"]
    failed = final["failed"]
    if failed:
        reasons = ", ".join(f"{count} {reason}" for reason, count in failed.items())
        words.append(f"{sum(failed.values())} failed ({reasons})")
    if final["infeasible"]:
        words.append(f"{final['infeasible']} break a constraint")
    return ", ".join(words)


# -- tables --------------------------------------------------------------------------------


def _split_table(final: Final, split: str, title: str) -> str:
    models = final["models"]
    if not models:
        return f"no model could be scored on {title}"
    first = next(iter(models.values()))[split]
    domains, objectives = list(first["domains"]), list(first.get("objectives", ()))
    objectives = [name for name in objectives if name != "mean"]
    n = sum(domain["n"] for domain in first["domains"].values())
    lines = [[f"{title} (n={n})", *domains, "mean", *objectives]]
    for name, splits in models.items():
        row = splits[split]
        cells = [_value(row["domains"][domain]) for domain in domains]
        further = [f"{row['objectives'][objective]:.3f}" for objective in objectives]
        lines.append(
            [_title(name, final), *cells, _value({**row, "value": row["mean"]}), *further]
        )
    return _columns(lines)


def _columns(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _title(name: str, final: Final) -> str:
    if name == WINNER:
        return f"winner {final['winner']}"
    if name == CONTROL:
        return f"best of {final['control']['candidates']} random candidates"
    return f"{name} (best parent)" if name == final["best_parent"] else name


def _value(score: Final) -> str:
    stderr = score.get("stderr")
    return f"{score['value']:.3f}" + (f" ± {stderr:.3f}" if stderr is not None else "")


def _front(final: Final) -> str:
    objectives = final["objectives"]
    further = ["full_search"] if "shortlist" in final else []
    further.append("held_out")
    header = [*objectives, *(f"{name} {_COLUMNS[s]}" for s in further for name in objectives)]
    lines = [["the front", *header, ""]]
    for point in final["front"]:
        values = [f"{point[name]:.3f}" for name in objectives]
        for split in further:
            found = point.get(split)
            values += [f"{found[name]:.3f}" if found else "-" for name in objectives]
        lines.append([point["id"], *values, "knee" if point["knee"] else ""])
    return _columns(lines)


def _transfer(final: Final) -> str:
    """What became of what the parents have right, and lengths where they are searched for."""
    table = final["transfer"]
    slow = table["slow"] if TOKENS in final["objectives"] else None
    header = ["what is kept of the parents (held-out items)", "lost", "of", "rate", "new"]
    if slow is not None:
        header += ["tokens", "p10", "p50", "p90", "max", f"against {slow}"]
    lines = [header]
    for name, row in table["held_out"].items():
        rate = row.get("rate")
        shares = [str(row.get(key, "-")) for key in ("lost", "solvable")]
        shares += ["-" if rate is None else f"{rate:.1%}", str(row.get("new", "-"))]
        said = row.get("tokens")
        if slow is not None:
            change = row.get("length_change")
            shares += [f"{said['mean']:.1f}"] if said else ["-"]
            shares += [str(said[key]) if said else "-" for key in ("p10", "p50", "p90", "max")]
            shares += ["-" if change is None else f"{change:+.1%}"]
        lines.append([_title(name, final), *shares])
    return _columns(lines)


# -- sentences -----------------------------------------------------------------------------


def _findings(final: Final) -> Iterator[str]:
    """What is to be known before the verdict."""
    if "shortlist" in final:
        yield from _shortlist(final)
    finalists = final["finalists"]
    if len(finalists) > 1:
        splits = [split for split in _SPLITS if split in finalists[0]]
        rows = ", ".join(
            f"{one['id']} {' / '.join(f'{one[split]:.3f}' for split in splits)}"
            for one in finalists
        )
        yield f"Finalists, on {' / '.join(_SPLITS[split] for split in splits)} items: {rows}."
    for other, name in ((UNIFORM, "the uniform merge"), (CONTROL, "random candidates")):
        if other in final.get("winner_against", {}):
            against = final["winner_against"][other]
            yield f"The winner {_against(f'{name}', against)} {_evidence(against, final)}."
    for objective in final["objectives"][1:]:
        best = final.get("winner_against", {}).get(final["best_parent"])
        if best:
            against = best["objectives"][objective]
            words = _against(f"the best parent in {objective}", against)
            yield f"The winner {words} {_evidence(against, final)}."
    if final.get("optimism"):
        yield _optimism(final)
    if "racing" in final:
        yield from _racing(final["racing"])
    for row in final.get("constraints", ()):
        held = row.get("held_out")
        if held and held["value"] < held["bound"]:
            yield (
                f"On held-out items the winner misses the constraint {row['domain']} >= "
                f"{row['at_least']}: {held['value']:.3f} of {held['bound']:.3f}."
            )
    for warning in final["guards"]["warnings"]:
        yield f"Beware: {warning}."


def _shortlist(final: Final) -> Iterator[str]:
    """What all search items made of the best of the search."""
    short = final["shortlist"]
    if short["leader"] is None:
        yield "Shortlist: none of the best of the search could be asked all search items."
        return
    rows, several = short["candidates"], len(final["objectives"]) > 1
    leader = next(row for row in rows if row["id"] == short["leader"])
    who = f"{len(rows)} points of the front" if several else f"the best {len(rows)} of the search"
    leads = f"the knee is {leader['id']} there" if several else f"{leader['id']} leads"
    before = (
        f"on {short['items']:,} it was {final['search_best']}"
        if several
        else (f"it was {_ordinal(leader['place'])} on {short['items']:,}")
    )
    if leader["place"] == 1:
        before = f"as on {short['items']:,}"
    yield (f"Shortlist: {who} were asked all {short['of']:,} search items; {leads} ({before}).")
    if "violation" in leader:
        yield "On all search items none of them keeps to the constraints; this one is the nearest."


def _ordinal(n: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th") if n % 100 not in (11, 12, 13) else "th"
    return f"{n}{ending}"


def _optimism(final: Final) -> str:
    """What the best on search items lost on items that had no say in choosing it."""
    found = final["optimism"]
    parent = found.get("best_parent")
    beside = f" (of the best parent {parent['gap']:+.3f})" if parent else ""
    if "full_search" not in found:
        return (
            f"Optimism: the search's best, {found['id']}, scored {found['search']:.3f} on "
            f"search items and {found['held_out']:.3f} on held-out ones, a gap of "
            f"{found['gap']:+.3f}{beside}."
        )
    return (
        f"Optimism: the best of the shortlist, {found['id']}, scored {found['search']:.3f} on the "
        f"items of the search, {found['full_search']:.3f} on all search items and "
        f"{found['held_out']:.3f} on held-out ones, gaps of {found['gap']:+.3f}{beside} and "
        f"{found['full_gap']:+.3f}."
    )


def _racing(racing: Final) -> Iterator[str]:
    yield (
        f"Racing: {racing['items']} of {racing['of']} items asked ({racing['share']:.0%}), "
        f"{racing['dropped']} candidates dropped."
    )
    error = racing.get("error")
    if error:
        ahead = racing["wrongly_dropped"]
        yield (
            f"Estimates of {error['n']} dropped candidates, asked all items for this check "
            f"({racing['audit_items']} items): off by {error['mean']:+.3f} on average, "
            f"{error['largest']:.3f} at most; {ahead or 'none'} of them is better than the best."
        )


def _paths(final: Final, run: Path) -> Iterator[str]:
    if final["winner"] is not None:
        yield f"Winner: {run / 'generations' / final['winner']}"
        yield f"Export it: evomerge export {run} OUT"


def _verdict(final: Final) -> str:
    """One sentence that says plainly whether the winner is better on held-out items."""
    claim = final["verdict"]["claim"]
    if final["winner"] is None:
        why = "no candidate could be scored"
        if final["infeasible"]:
            why = "no candidate keeps to the constraints"
        return f"Verdict: there is no winner, {why}."
    if claim == NOTHING:
        domains = ", ".join(final["verdict"].get("unpaired", ()))
        why = f": {domains} gave no two results of single items" if domains else ""
        return f"Verdict: there is nothing to compare the winner with, item by item{why}."
    if len(final["objectives"]) > 1:
        return f"Verdict: {_SEVERAL[claim]}. Against {_several(final)}."
    name = _decisive(final)
    against = final["winner_against"][name]
    evidence = _evidence(against, final)
    who = f"the best parent {name}" if name == final["best_parent"] else f"the parent {name}"
    if claim == GAIN:
        every = "every parent, " if len(_parents(final)) > 1 else ""
        lead = f"{against['held_out']['difference']:.3f}"
        gain = f"Verdict: a real gain. The winner beats {every}{who} by {lead} {evidence}."
        average = final["winner_against"].get(UNIFORM)
        if average is None or average["better"]:
            return gain
        return f"{gain} It does not beat the uniform merge, which needs no search."
    words = "a loss" if claim == LOSS else "no gain is shown"
    return f"Verdict: {words}. The winner {_against(who, against)} {evidence}."


_SEVERAL = {
    GAIN: "a real gain, better than every parent in an objective and worse than none",
    LOSS: "a loss, a parent is better in an objective and worse in none",
    TRADE_OFF: "a trade-off",
    NO_DIFFERENCE: "no gain over every parent is shown",
}


def _several(final: Final) -> str:
    """Each parent with the objectives in which the winner is better and worse."""
    out = []
    for name in _parents(final):
        against = final["winner_against"][name]
        rows = {final["objectives"][0]: against, **against["objectives"]}
        better = [objective for objective, row in rows.items() if row["better"]]
        worse = [objective for objective, row in rows.items() if row["worse"]]
        words = [f"better in {', '.join(better)}"] if better else []
        words += [f"worse in {', '.join(worse)}"] if worse else []
        out.append(f"{name} {' and '.join(words) or 'not distinguishable'}")
    return "; ".join(out)


def _parents(final: Final) -> list[str]:
    return [name for name in final["parents"] if name in final["winner_against"]]


def _decisive(final: Final) -> str:
    """The parent on which the verdict turns: one that beats the winner, the best one, or one
    that is not beaten though it is not the best.
    """
    against, best = final["winner_against"], str(final["best_parent"])
    worse = [name for name in _parents(final) if against[name]["worse"]]
    left = [name for name in _parents(final) if not against[name]["better"]]
    for names in (worse, left):
        if names:
            return best if best in names else names[0]
    return best


def _against(other: str, against: Final) -> str:
    difference = against["held_out"]["difference"]
    if against["better"]:
        return f"beats {other} by {difference:.3f}"
    if against["worse"]:
        return f"is worse than {other} by {-difference:.3f}"
    return f"is not distinguishable from {other}: it differs by {difference:+.3f}"


def _evidence(against: Final, final: Final) -> str:
    held = against["held_out"]
    many = final["verdict"]["comparisons"]
    level = f"{100 * held['confidence']:.3g} %"
    p = against["p_holm"]
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    corrected = f" after Holm's correction for {many} comparisons" if many > 1 else ""
    return (
        f"on held-out items ({level} interval {held['low']:+.3f} to {held['high']:+.3f}, "
        f"{TESTS[held['test']]} {shown}{corrected})"
    )
