"""What a run comes to: winner, parents, base and uniform merge on items that no one searched on.

Fitness only ever sees the search split. At the end the winner is scored on the held-out split
beside every parent, the base and the uniform merge, and each difference is reported with a
paired interval. The gap between what the winner gained on search items and on held-out items is
the selection optimism; it is always shown.
"""

from __future__ import annotations

from collections.abc import Mapping

from evomerge_compiler import baselines
from evomerge_compiler import fitness as fit
from evomerge_compiler.baselines import SPLITS, Contender, uniform_plan
from evomerge_compiler.candidate import Scores
from evomerge_compiler.compiler import compile_recipe
from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.evaluation.statistics import PairedDifference, compare
from evomerge_compiler.executors.base import Executor, Job, Split
from evomerge_compiler.history import Ending
from evomerge_compiler.recipe import Recipe
from evomerge_compiler.run_folder import RunFolder

UNIFORM = "uniform"
WINNER = "winner"


def conclude(
    recipe: Recipe, folder: RunFolder, executor: Executor, ending: Ending
) -> dict[str, object]:
    """Scores the contenders on both splits, compares them, and writes ``final.yaml``.

    Scores that an earlier call committed are used again.

    Returns:
        What ``final.yaml`` holds.

    Raises:
        EvomergeError: A source model cannot be scored at all.
    """
    contenders, without = contenders_of(recipe, ending)
    scores, failed = baselines.score(folder, executor, contenders)
    failed |= without
    assert recipe.evaluation is not None
    shares = fit.weights(recipe.evaluation)
    final = _summary(recipe, ending, scores, failed, shares)
    folder.write_final(final)
    return final


def contenders_of(recipe: Recipe, ending: Ending) -> tuple[list[Contender], dict[str, str]]:
    """Base, parents, uniform merge and winner; the first two as they are, no merge at all.

    Returns:
        The contenders, and those that there cannot be with the reason.
    """
    out = baselines.models(recipe)
    without = {}
    try:
        out.append(Contender(UNIFORM, Job(UNIFORM, plan=uniform_plan(recipe), splits=SPLITS)))
    except EvomergeError as error:
        # Parents of another depth, say, have no average; the report says so.
        without[UNIFORM] = f"invalid: {error.message}"
    if ending.best is not None:
        plan = compile_recipe(recipe, genome=ending.best.genome)
        job = Job(WINNER, plan=plan, splits=SPLITS, genome=ending.best.genome)
        out.append(Contender(WINNER, job))
    return out, without


# --------------------------------------------------------------------------------------


def _summary(
    recipe: Recipe,
    ending: Ending,
    scores: Mapping[str, Mapping[Split, Scores]],
    failed: Mapping[str, str],
    shares: Mapping[str, float],
) -> dict[str, object]:
    parents = [name for name in recipe.models if name in scores]
    best_parent = max(
        parents, key=lambda name: _mean(scores[name]["held_out"], shares), default=None
    )
    final: dict[str, object] = {
        "reason": ending.reason,
        "winner": str(ending.best.id) if ending.best else None,
        "candidates": ending.n_candidates,
        "failed": dict(ending.failures),
        "best_parent": best_parent,
        "models": {
            name: {split: _row(splits[split], shares) for split in SPLITS}
            for name, splits in scores.items()
        },
    }
    if failed:
        final["not_scored"] = dict(failed)
    if WINNER in scores:
        others = [name for name in scores if name != WINNER]
        final["winner_against"] = {
            name: _compare(scores[WINNER], scores[name], shares) for name in others
        }
    return final


def _mean(scores: Scores, shares: Mapping[str, float]) -> float:
    return fit.fitness(scores, shares).value


def _row(scores: Scores, shares: Mapping[str, float]) -> dict[str, object]:
    mean = fit.fitness(scores, shares)
    domains: dict[str, object] = {
        domain: {"value": score.value, "stderr": score.stderr, "n": score.n}
        for domain, score in scores.domains.items()
    }
    return {"mean": mean.value, "stderr": mean.stderr, "domains": domains}


def _compare(
    winner: Mapping[Split, Scores], other: Mapping[Split, Scores], shares: Mapping[str, float]
) -> dict[str, object]:
    """The winner's lead with its interval, and how much of it selection made up."""
    leads = {split: compare(winner[split], other[split], weights=shares) for split in SPLITS}
    out: dict[str, object] = {split: _lead(lead) for split, lead in leads.items()}
    out["optimism"] = leads["search"].difference - leads["held_out"].difference
    out["better"] = leads["held_out"].better
    return out


def _lead(paired: PairedDifference) -> dict[str, object]:
    return {
        "difference": paired.difference,
        "low": paired.low,
        "high": paired.high,
        "p_value": paired.p_value,
        "n": paired.n,
    }
