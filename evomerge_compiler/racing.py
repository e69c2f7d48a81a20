"""Racing in a search: whom candidates race against, and how good the estimates were.

The race of a generation follows from the generations before it: the rival is the best so far, and
the answers of all who were asked everything calibrate the items. The first generation has no rival
and is asked everything. So a resumed run, and any number of workers, come to the same races.

An estimate steers the search and nothing else: what was dropped is never the best, a finalist or a
rival. At the end a seeded sample of it is asked all items, to say how far the estimates were off.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

from evomerge_compiler import fitness as fit
from evomerge_compiler.baselines import Contender, candidate, name_of
from evomerge_compiler.candidate import Outcome, Scores
from evomerge_compiler.evaluation.irt import calibrate
from evomerge_compiler.evaluation.race import MIN_ITEMS, Race, track
from evomerge_compiler.executors.base import Split
from evomerge_compiler.history import Ending, History
from evomerge_compiler.recipe import Recipe

# Models that calibrate the items, the latest ones: more of them change little.
MAX_CALIBRATING = 64
_TOLERANCE = 1e-4  # files round


def race_of(recipe: Recipe, history: History) -> Race | None:
    """The race of the next generation; None where candidates are asked everything.

    Args:
        recipe: The experiment.
        history: All generations before it.

    Raises:
        RecipeError: The tasks cannot be raced: one has too few items, or a metric that is no
            mean over items.
    """
    assert recipe.evaluation is not None and recipe.search is not None
    spec = recipe.evaluation.racing
    rival = rival_of(history)
    if spec is None or rival is None:
        return None
    answers = list(history.answers.values())
    for domain in rival.domains:
        problem = _unfit(rival, domain)
        if problem:
            message = f"evaluation.racing: {domain}: {problem}"
            hint = "leave racing out, or this task"
            raise recipe.document.error(message, ("evaluation", "racing"), hint=hint)
    tracks = {}
    for domain, items in rival.items.items():
        known = [one.items[domain].values for one in answers][-MAX_CALIBRATING:]
        calibration = calibrate(known) if spec.irt and len(known) > 1 else None
        salt = f"{recipe.seed}\n{items.item_set}"
        tracks[domain] = track(len(items.values), salt, calibration)
    objective = recipe.search.objectives[0]
    shares = fit.weights(recipe.evaluation) if objective == fit.MEAN else {objective: 1.0}
    return Race(rival, tracks, tuple(spec.rungs), shares, spec.alpha)


def rival_of(history: History) -> Scores | None:
    """Whom the next generation races against: the best that was asked everything, if any."""
    found = [o.scores for o in history.leaders if o.scores is not None]
    # What was told from outside was asked who knows what.
    return next((scores for scores in found if scores.eval_key in history.answers), None)


def _unfit(scores: Scores, domain: str) -> str:
    """Why a domain cannot be raced, or nothing."""
    values = scores.items[domain].values if domain in scores.items else ()
    if len(values) < MIN_ITEMS:
        return f"expected at least {MIN_ITEMS} items, got {len(values)}"
    mean = math.fsum(values) / len(values)
    found = scores.domains[domain]
    if abs(mean - found.value) > _TOLERANCE:
        return f"{found.metric} is no mean over items: {found.value:g}, and the mean is {mean:g}"
    return ""


# -- the check at the end ------------------------------------------------------------------


def audited(recipe: Recipe, ending: Ending) -> list[Contender]:
    """The dropped candidates that are asked everything at the end: a seeded sample."""
    assert recipe.evaluation is not None
    spec = recipe.evaluation.racing
    if spec is None:
        return []

    def draw(outcome: Outcome) -> str:
        return hashlib.sha256(f"audit\n{recipe.seed}\n{outcome.id}".encode()).hexdigest()

    drawn = sorted(ending.dropped, key=draw)[: spec.audit]
    return [candidate(recipe, outcome, ("search",)) for outcome in drawn]


def findings(
    recipe: Recipe, ending: Ending, scored: Mapping[str, Mapping[Split, Scores]]
) -> dict[str, object]:
    """What racing saved and what it got wrong, as ``final.yaml`` holds it.

    Args:
        recipe: The experiment.
        ending: What the search came to.
        scored: Name to the scores of those that :func:`audited` names.
    """
    assert recipe.evaluation is not None and recipe.search is not None
    shares, objective = fit.weights(recipe.evaluation), recipe.search.objectives[:1]
    rows, asked = [], []
    for outcome in ending.dropped:
        found = scored.get(name_of(outcome.id), {}).get("search")
        if found is not None and outcome.fitness is not None:
            asked += [score.n for score in found.domains.values()]
            value = fit.fitness(found, shares, objective).value
            rows.append(
                {
                    "id": str(outcome.id),
                    "estimate": outcome.fitness.value,
                    "stderr": outcome.fitness.stderr,
                    "all_items": value,
                    "error": outcome.fitness.value - value,
                }
            )
    out: dict[str, object] = {
        "items": ending.items.asked,
        "of": ending.items.of,
        "share": ending.items.asked / ending.items.of if ending.items.of else 1.0,
        "dropped": len(ending.dropped),
        "audited": rows,
        "audit_items": sum(asked),
    }
    errors = [float(row["error"]) for row in rows]  # type: ignore[arg-type]
    if errors:
        out["error"] = error_of(errors)
    best = ending.best.fitness.value if ending.best and ending.best.fitness else math.inf
    out["wrongly_dropped"] = sum(float(row["all_items"]) > best for row in rows)  # type: ignore[arg-type]
    return out


def error_of(errors: Sequence[float]) -> dict[str, float | int]:
    """Mean, mean absolute and largest of some estimates' errors."""
    return {
        "n": len(errors),
        "mean": math.fsum(errors) / len(errors),
        "mean_absolute": math.fsum(map(abs, errors)) / len(errors),
        "largest": max(map(abs, errors)),
    }
