"""What makes a comparison of models worthless although its statistics are right.

A parent whose answers are cut at the token limit loses to any merge that is terser; one prompted
through another chat template answers another question; a model that says nothing may still score
where silence is right; held-out items that were searched on measure memory. Each is looked at
and reported, beside the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evomerge_compiler.baselines import Contender
from evomerge_compiler.candidate import Scores
from evomerge_compiler.evaluation.overlap import overlap_elsewhere
from evomerge_compiler.evaluation.spec import EvaluationPlan
from evomerge_compiler.executors.base import Job
from evomerge_compiler.recipe import Recipe

# A larger share of such answers may be the whole of a lead.
MAX_SHARE = 0.02
CUT = "l"


def findings(
    recipe: Recipe,
    held_out: Mapping[str, Scores],
    contenders: Sequence[Contender],
    shared: Mapping[str, object] | None,
) -> dict[str, object]:
    """All that was looked at, as ``final.yaml`` holds it.

    Args:
        recipe: The experiment.
        held_out: Model to its scores on held-out items.
        contenders: Those that are compared.
        shared: What :func:`overlap` says, where there are tasks to look at.
    """
    found = {name: answers(scores) for name, scores in held_out.items()}
    templates = chat_templates(recipe, contenders)
    return {
        "answers": {name: row for name, row in found.items() if row is not None},
        "chat_template": templates,
        **({} if shared is None else {"overlap": dict(shared)}),
        "warnings": warnings(found, templates, shared),
    }


def answers(scores: Scores) -> dict[str, float] | None:
    """How the answers of a model ended.

    Returns:
        Mean ``tokens``, and the shares ``cut`` at the token limit and ``empty``; None where
        nothing is generated.
    """
    generated = [items for items in scores.items.values() if items.finish]
    n = sum(len(items.finish) for items in generated)
    if n == 0:
        return None
    ends = [end for items in generated for end in items.finish]
    tokens = [count for items in generated for count in items.tokens]
    # The end token, or the one that completes the stop string, is counted.
    empty = sum(end != CUT and count <= 1 for end, count in zip(ends, tokens, strict=True))
    return {"tokens": sum(tokens) / n, "cut": ends.count(CUT) / n, "empty": empty / n}


def chat_templates(recipe: Recipe, contenders: Sequence[Contender]) -> dict[str, object]:
    """Whether all models were asked through the same chat template.

    Returns:
        ``applied``: whether the evaluation uses them; ``same``: whether they are one template,
        which is of no account where they are not applied.
    """
    assert recipe.evaluation is not None
    known = {_template(contender.job) for contender in contenders}
    return {"applied": recipe.evaluation.apply_chat_template, "same": len(known) <= 1}


def _template(job: Job) -> str | None:
    """Hash of the chat template that a job's model has; ``""`` for none."""
    if job.model is not None:
        return job.model.facts.chat_template
    assert job.plan is not None
    donor = job.plan.chat_template_donor
    return "" if donor is None else job.plan.models[donor].facts.chat_template


def overlap(evaluation: EvaluationPlan, before: Mapping[str, Any] | None) -> dict[str, object]:
    """How many held-out items are search items too.

    Args:
        evaluation: Whose items.
        before: What this function said at an earlier end of the run; tasks that are still the
            same are not read again.
    """
    # A larger limit searches on more items.
    of = f"{evaluation.tasks_hash} limit {evaluation.limit}"
    if before is not None and before.get("of") == of:
        return dict(before)
    found = overlap_elsewhere(evaluation)
    rows: dict[str, object] = {
        "of": of,
        "held_out": dict(found.held_out),
        "shared": dict(found.shared),
    }
    return rows | ({"unknown": dict(found.unknown)} if found.unknown else {})


def warnings(
    found: Mapping[str, Mapping[str, float] | None],
    templates: Mapping[str, object],
    shared: Mapping[str, Any] | None = None,
) -> list[str]:
    """What a person has to look at before a lead is believed, one sentence each.

    Args:
        found: Model to what :func:`answers` says of it.
        templates: What :func:`chat_templates` says.
        shared: What :func:`overlap` says, where there are tasks to look at.
    """
    out = []
    for kind, words, remedy in (
        ("cut", "were cut at the token limit", "raise max_gen_toks"),
        ("empty", "are empty", "look at them with --log_samples"),
    ):
        worst = {n: row[kind] for n, row in found.items() if row and row[kind] > MAX_SHARE}
        if worst:
            shares = ", ".join(f"{share:.1%} of {name}" for name, share in worst.items())
            out.append(f"answers {words}: {shares}; {remedy} before you believe a lead")
    if templates["applied"] and not templates["same"]:
        out.append(
            "the models were asked through different chat templates: a lead may be the template's"
        )
    for domain, n in (shared or {}).get("shared", {}).items():
        if n:
            of = shared["held_out"][domain] if shared else 0
            out.append(f"{n} of {of} held-out items of {domain} are search items too")
    return out
