"""What a run comes to: its finalists against parents, base and uniform merge on new items.

Fitness only ever sees the search split. Where the search asked few of its items, the best are
asked all of them first (:mod:`.shortlist`). Then the finalists, the best few that search items
cannot tell apart, are tested on the held-out split, and the one that is best over both splits
wins. It is compared there with every parent, the base, the uniform merge and, on request, the
best of as many random candidates. Choosing a finalist by the items that then judge it would favour
it, so all comparisons of all finalists are corrected as one family (Holm 1979), which holds
whichever of them is reported afterwards; and the intervals are widened to 1 - 0.05 / finalists
(Benjamini and Yekutieli, JASA 100, 2005: one interval reported out of several). What the best on
search items loses from these to held-out ones is the optimism; it is always shown.

The claim: a gain is claimed when the winner beats every parent, each comparison being
significant. As all must hold, which parent is called the best makes no difference (Berger,
Technometrics 24, 1982: intersection-union test). Of several objectives, to beat a parent is to be
better in one and worse in none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evomerge_compiler import baselines, guards, racing, shortlist, time_budget
from evomerge_compiler import fitness as fit
from evomerge_compiler.baselines import SPLITS, Contender, name_of, uniform_plan
from evomerge_compiler.candidate import Outcome, Scores
from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.evaluation.statistics import PairedDifference, compare, holm, unpaired
from evomerge_compiler.evaluation.transfer import transfer_table
from evomerge_compiler.events import Observer
from evomerge_compiler.executors.base import Executor, Job, Split
from evomerge_compiler.history import Ending
from evomerge_compiler.recipe import CONTROL, UNIFORM, WINNER, Recipe
from evomerge_compiler.run_folder import RunFolder
from evomerge_compiler.shortlist import FULL, Shortlist

LEVEL = 0.05
GAIN, LOSS, TRADE_OFF = "gain", "loss", "trade-off"
NO_DIFFERENCE, NOTHING = "not distinguishable", "nothing to compare"

# In the order of files and tables.
_ALL_SPLITS: tuple[Split, ...] = ("search", FULL, "held_out")

BothSplits = Mapping[Split, Scores]


@dataclass(frozen=True)
class Control:
    """The best of a search that only guesses, at the same cost.

    Attributes:
        best: Its best outcome, None when none could be scored.
        n_candidates: How many it drew.
    """

    best: Outcome | None
    n_candidates: int


def conclude(
    recipe: Recipe,
    folder: RunFolder,
    executor: Executor,
    ending: Ending,
    control: Control | None = None,
    evaluation: EvaluationPlan | None = None,
    observers: Sequence[Observer] = (),
) -> dict[str, object]:
    """Asks the shortlist, scores the contenders, compares them, and writes ``final.yaml``.

    Scores that an earlier call committed are used again. ``best.yaml`` names the winner then.

    Args:
        recipe: The experiment.
        folder: Its run folder.
        executor: Scores models.
        ending: What the search came to.
        control: What random candidates came to, if there were any.
        evaluation: The tasks, to look for search items among held-out ones; None where scores
            come from a landscape.
        observers: Are told of each model that is scored.

    Returns:
        What ``final.yaml`` holds.

    Raises:
        EvomergeError: A source model cannot be scored at all.
    """
    recipe = recipe.in_run(folder.root)
    short = shortlist.ask(recipe, folder, executor, ending, observers)
    decided, kept = (short.ending, short.places) if short else (ending, frozenset())
    contenders, failed = _contenders(recipe, decided, control)
    every = [*contenders, *racing.audited(recipe, ending)]
    folder.keep_baselines(kept | baselines.places(every))
    held, not_scored = baselines.score(folder, executor, every, observers)
    table = _Table(recipe, decided, control, held, short)
    final = table.final()
    failed |= not_scored | dict(short.failed if short else {})
    if failed:
        final["not_scored"] = failed
    scored = [c for c in contenders if c.name in held]
    if recipe.evaluation is not None and recipe.evaluation.racing is not None:
        final["racing"] = racing.findings(recipe, ending, held)
    shared = None
    if evaluation is not None:
        before = (folder.final() or {}).get("guards", {}).get("overlap")
        # A shortlist was chosen by items beyond the limit.
        shared = guards.overlap(replace(evaluation, limit=None) if short else evaluation, before)
    held_out = {name: splits["held_out"] for name, splits in table.models.items()}
    final["guards"] = guards.findings(recipe, held_out, scored, shared)
    folder.write_final(final)
    if table.winner is not None:
        folder.write_best(table.winner)
        if decided.front:
            folder.write_front(table.search.objectives, decided.front, table.winner)
    return final


def _contenders(
    recipe: Recipe, ending: Ending, control: Control | None
) -> tuple[list[Contender], dict[str, str]]:
    """Base, parents, uniform merge, control, finalists, and more of the front.

    Returns:
        The contenders, and those that there cannot be with the reason.
    """
    out, without = baselines.models(recipe), {}
    try:
        out.append(Contender(UNIFORM, Job(UNIFORM, plan=uniform_plan(recipe), splits=SPLITS)))
    except EvomergeError as error:
        # Parents of another depth, say, have no average; the report says so.
        without[UNIFORM] = f"invalid: {error.message}"
    if control is not None and control.best is not None:
        out.append(_held_out(recipe, CONTROL, control.best))
    tested = {o.id: o for o in (*ending.finalists, *ending.spread)}
    out += [_held_out(recipe, name_of(id), outcome) for id, outcome in tested.items()]
    return out, without


def _held_out(recipe: Recipe, name: str, outcome: Outcome) -> Contender:
    """A candidate on held-out items; the search has scored it on the others.

    What was told from outside is scored on those too: it compares with nothing measured here.
    """
    told = outcome.scores is not None and outcome.scores.told
    return baselines.candidate(recipe, outcome, SPLITS if told else ("held_out",), name)


# --------------------------------------------------------------------------------------


class _Table:
    """All scores of a run's end, and what they say.

    Args:
        recipe: The experiment.
        ending: What the search came to, and the shortlist made of it.
        control: The control arm, if there is one.
        scored: Name to the scores of each contender.
        short: The shortlist, if there is one.
    """

    def __init__(
        self,
        recipe: Recipe,
        ending: Ending,
        control: Control | None,
        scored: Mapping[str, BothSplits],
        short: Shortlist | None,
    ) -> None:
        assert recipe.evaluation is not None and recipe.search is not None
        self.recipe, self.search, self.ending = recipe, recipe.search, ending
        self.control, self.short = control, short
        self.shares = fit.weights(recipe.evaluation)
        self.objective = self.search.objectives[0]
        names = [*recipe.all_models, UNIFORM]
        self.models: dict[str, BothSplits] = {n: s for n, s in scored.items() if n in names}
        if control is not None and control.best is not None and CONTROL in scored:
            self.models[CONTROL] = _splits(control.best, scored[CONTROL], None)
        self.finalists = self._tested(ending.finalists, scored)
        self.others = list(self.models)
        # What is measured on held-out items, besides the knee, which is a finalist.
        self.spread: dict[str, BothSplits] = {
            str(o.id): splits for o, splits in self._tested(ending.spread, scored)
        }
        self.winner = self._choose()
        for outcome, splits in self.finalists:
            if outcome is self.winner:
                self.models[WINNER] = splits
        parents = [name for name in recipe.models if name in self.models]
        self.best_parent = max(
            parents, key=lambda n: self._value(self.models[n]["held_out"]), default=None
        )

    def _tested(
        self, outcomes: Sequence[Outcome], scored: Mapping[str, BothSplits]
    ) -> list[tuple[Outcome, BothSplits]]:
        """Those that could be scored on held-out items, with all that is known of them."""
        return [
            (o, _splits(o, scored[name_of(o.id)], self.short))
            for o in outcomes
            if name_of(o.id) in scored
        ]

    def _value(self, scores: Scores) -> float:
        return fit.fitness(scores, self.shares, [self.objective]).value

    def _choose(self) -> Outcome | None:
        """The finalist that is best over all its items; of equal ones the search's favourite."""

        def pooled(splits: BothSplits) -> float:
            both = [splits.get(FULL, splits["search"]), splits["held_out"]]
            sizes = [sum(score.n for score in scores.domains.values()) for scores in both]
            total = sum(n * self._value(scores) for n, scores in zip(sizes, both, strict=True))
            return total / sum(sizes)

        best = max(self.finalists, key=lambda finalist: pooled(finalist[1]), default=None)
        return self.ending.best if best is None else best[0]

    def final(self) -> dict[str, object]:
        """What ``final.yaml`` holds."""
        ending = self.ending
        searched = self.short.searched if self.short else ending
        out: dict[str, object] = {"reason": ending.reason}
        if ending.reason == time_budget.REASON:
            out[time_budget.HOURS] = self.search.budget.hours
        out |= {
            "winner": str(self.winner.id) if self.winner else None,
            "search_best": str(searched.best.id) if searched.best else None,
            "candidates": ending.n_candidates,
            "failed": dict(ending.failures),
            "infeasible": ending.n_infeasible,
            "objectives": list(self.search.objectives),
            "parents": list(self.recipe.models),
            "best_parent": self.best_parent,
            "models": {
                name: {split: self._row(splits[split]) for split in _ALL_SPLITS if split in splits}
                for name, splits in self.models.items()
            },
            "finalists": [
                {"id": str(o.id)} | {s: self._value(splits[s]) for s in _ALL_SPLITS if s in splits}
                for o, splits in self.finalists
            ],
        }
        if self.short is not None:
            out["shortlist"] = self.short.plain()
        transfer = transfer_table({**self.models, **self.spread}, self.recipe.models)
        if transfer:
            out["transfer"] = transfer
        if self.control is not None:
            best = self.control.best
            out["control"] = {
                "candidates": self.control.n_candidates,
                "best": str(best.id) if best else None,
            }
        if ending.front:
            out["front"] = [self._point(outcome) for outcome in ending.front]
        if self.search.constraints and WINNER in self.models:
            out["constraints"] = self._constraints()
        out |= self._comparisons()
        return out

    def _row(self, scores: Scores) -> dict[str, object]:
        mean = fit.fitness(scores, self.shares)
        row: dict[str, object] = {"mean": mean.value, "stderr": mean.stderr}
        names = [name for name in self.search.objectives if name not in self.shares]
        if names != [fit.MEAN]:
            values = fit.fitness(scores, self.shares, names).objectives if names else ()
            row["objectives"] = dict(zip(names, values, strict=True))
        row["domains"] = {
            domain: {"value": score.value, "stderr": score.stderr, "n": score.n}
            for domain, score in scores.domains.items()
        }
        return row

    def _point(self, outcome: Outcome) -> dict[str, object]:
        assert outcome.fitness is not None
        values = zip(self.search.objectives, outcome.fitness.objectives, strict=True)
        point = {"id": str(outcome.id), "knee": outcome is self.ending.best, **dict(values)}
        full = self.short.scores(outcome.id) if self.short else None
        if full is not None:
            point[FULL] = self._objectives(full)
        measured = self.models.get(WINNER) if outcome is self.winner else None
        splits = measured or self.spread.get(str(outcome.id))
        if splits is not None:
            point["held_out"] = self._objectives(splits["held_out"])
        return point

    def _objectives(self, scores: Scores) -> dict[str, float]:
        found = fit.fitness(scores, self.shares, self.search.objectives)
        return dict(zip(self.search.objectives, found.objectives, strict=True))

    def _constraints(self) -> list[dict[str, object]]:
        """Each constraint with its bound and the winner's score, on every split."""
        rows: list[dict[str, object]] = [
            {"domain": spec.domain, "at_least": str(spec.at_least)}
            for spec in self.search.constraints
        ]
        for split in SPLITS:
            scores = {name: splits[split] for name, splits in self.models.items()}
            parents = {name: scores[name] for name in self.recipe.models if name in scores}
            base = scores.get(self.recipe.base)
            if fit.needs_models(self.search.constraints) and (not parents or base is None):
                continue
            found = fit.bounds(self.search.constraints, parents, base)
            for row, bound in zip(rows, found, strict=True):
                value = scores[WINNER].domains[bound.domain].value
                row[split] = {"bound": bound.at_least, "value": value}
        full = self.models[WINNER].get(FULL)
        if self.short is not None and full is not None:
            for row, bound in zip(rows, self.short.constraints, strict=True):
                row[FULL] = {"bound": bound.at_least, "value": full.domains[bound.domain].value}
        return rows

    # -- comparisons ------------------------------------------------------------------------

    def _comparisons(self) -> dict[str, object]:
        """The winner against all others, the verdict, and the optimism."""
        if WINNER not in self.models:
            return {"verdict": {"claim": NOTHING, "comparisons": 0}}
        measured = [self.models[WINNER][split] for split in SPLITS]
        alone = unpaired(measured, self.search.objectives, self.shares)
        if alone:
            # A claim on the other domains would be about something else than was searched for.
            return {"verdict": {"claim": NOTHING, "comparisons": 0, "unpaired": alone}}
        leads = {
            (str(outcome.id), other, objective): self._lead(splits, other, objective)
            for outcome, splits in self.finalists
            for other in self.others
            for objective in self.search.objectives
        }
        corrected = dict(zip(leads, holm([lead.p_value for lead in leads.values()]), strict=True))
        against = {}
        for other in self.others:
            rows = {}
            for objective in self.search.objectives:
                key = (str(self.winner.id) if self.winner else "", other, objective)
                rows[objective] = self._against(other, objective, leads[key], corrected[key])
            first, *rest = rows.values()
            further = dict(zip(self.search.objectives[1:], rest, strict=True))
            against[other] = first | ({"objectives": further} if further else {})
        return {
            "winner_against": against,
            "verdict": {
                "claim": self._claim(against),
                "comparisons": len(leads),
                "finalists": len(self.finalists),
            },
            "optimism": self._optimism(),
        }

    def _lead(self, splits: BothSplits, other: str, objective: str) -> PairedDifference:
        return compare(
            splits["held_out"],
            self.models[other]["held_out"],
            weights=self.shares,
            objective=objective,
            method=None,
            confidence=1 - LEVEL / len(self.finalists),
            other_items=(splits["search"], self.models[other]["search"]),
        )

    def _against(
        self, other: str, objective: str, held: PairedDifference, p_holm: float
    ) -> dict[str, object]:
        """The winner's lead with its interval, and how much of it selection made up."""
        search = compare(
            self.models[WINNER]["search"],
            self.models[other]["search"],
            weights=self.shares,
            objective=objective,
        )
        gained, lost = _flips(self.models[WINNER]["held_out"], self.models[other]["held_out"])
        return {
            "search": _lead(search),
            "held_out": _lead(held) | {"test": held.method, "gained": gained, "lost": lost},
            "optimism": search.difference - held.difference,
            "p_holm": p_holm,
            "better": held.difference > 0 and p_holm <= LEVEL,
            "worse": held.difference < 0 and p_holm <= LEVEL,
        }

    def _claim(self, against: Mapping[str, Mapping[str, Any]]) -> str:
        parents = [against[name] for name in self.recipe.models if name in against]
        if not parents:
            return NOTHING
        better, worse = [], []
        for parent in parents:
            rows = [parent, *parent.get("objectives", {}).values()]
            better.append(any(row["better"] for row in rows))
            worse.append(any(row["worse"] for row in rows))
        if all(better) and not any(worse):
            return GAIN
        if any(w and not b for b, w in zip(better, worse, strict=True)):
            return LOSS
        return TRADE_OFF if any(worse) else NO_DIFFERENCE

    def _optimism(self) -> dict[str, object]:
        """How much better the best on search items looked on the items that chose it.

        The winner's is no measure of it: held-out items had a say in choosing that one. The two
        splits may be unequally hard, so a parent's own gap is shown beside it.
        """
        out: dict[str, object] = {}
        for outcome, splits in self.finalists:
            if outcome is self.ending.best:
                out = {"id": str(outcome.id), **self._gap(splits)}
        if out and self.best_parent is not None:
            out["best_parent"] = self._gap(self.models[self.best_parent])
        return out

    def _gap(self, splits: BothSplits) -> dict[str, float]:
        search, held = (self._value(splits[split]) for split in SPLITS)
        out = {"search": search, "held_out": held, "gap": search - held}
        if FULL not in splits:
            return out
        full = self._value(splits[FULL])
        return out | {FULL: full, "full_gap": full - held}


def _splits(outcome: Outcome, scored: BothSplits, short: Shortlist | None) -> dict[Split, Scores]:
    """All that is known of a candidate."""
    assert outcome.scores is not None
    out: dict[Split, Scores] = {"search": scored.get("search", outcome.scores)}
    full = short.scores(outcome.id) if short else None
    return out | ({} if full is None else {FULL: full}) | {"held_out": scored["held_out"]}


def _flips(winner: Scores, other: Scores) -> tuple[int, int]:
    """Items that the winner alone has right, and items that the other alone has right."""
    pairs = [
        (mine, theirs)
        for domain, items in winner.items.items()
        for mine, theirs in zip(items.right, other.items[domain].right, strict=True)
    ]
    return sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)


def _lead(paired: PairedDifference) -> dict[str, object]:
    return {
        "difference": paired.difference,
        "low": paired.low,
        "high": paired.high,
        "confidence": paired.confidence,
        "p_value": paired.p_value,
        "n": paired.n,
    }
