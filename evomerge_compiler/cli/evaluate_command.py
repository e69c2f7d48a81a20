"""``evomerge evaluate``: domain scores of one model."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from evomerge_compiler.cli.common import (
    device_option,
    is_run_reference,
    json_option,
    merge_options,
    merge_options_of,
    print_json,
    require_writable,
    split_run_reference,
    table,
)
from evomerge_compiler.errors import UsageError
from evomerge_compiler.recipe import RECIPE_SUFFIXES

LOG = logging.getLogger(__name__)
DEFAULT_RECIPE = "quickstart"
# What --perplexity holds when it names no file.
OWN_TEXT = ""
_OVERRIDES = ("limit", "batch_size", "backend")
_WITH_TASKS = (
    "num_fewshot", "include_path", "apply_chat_template", "system_instruction", "gen_kwargs",
)  # fmt: skip


@click.command(
    epilog="Examples: evomerge evaluate zoo:coder  |  evomerge evaluate runs/quickstart:best "
    "--split held_out  |  evomerge evaluate out/model --recipe recipes/qwen-1.5b.yaml  |  "
    "evomerge evaluate org/model --tasks evomerge_domains --apply_chat_template"
)
@click.argument("target", metavar="MODEL|RECIPE|RUN:ID")
@click.option(
    "--recipe",
    "recipe_name",
    default=None,
    metavar="RECIPE",
    help="Whose evaluation is used; the target's own, or quickstart, by default.",
)
@click.option(
    "--tasks",
    metavar="A,B",
    help="Presets, tasks or groups in place of a recipe's evaluation (`evomerge ls evaluators`).",
)
@click.option("--num_fewshot", type=click.IntRange(min=0), help="With --tasks.")
@click.option(
    "--include_path",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    help="With --tasks: further folders of task files.",
)
@click.option("--apply_chat_template", is_flag=True, help="With --tasks: prompts are chat turns.")
@click.option("--system_instruction", metavar="TEXT", help="With --tasks: the system turn.")
@click.option("--gen_kwargs", metavar="K=V,...", help="With --tasks, e.g. max_gen_toks=1024.")
@click.option(
    "--split",
    type=click.Choice(["search", "full_search", "held_out", "all"]),
    default="all",
    show_default=True,
    help="Which items; full_search: those of the search whatever the limit.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Search items a task at most.")
@click.option("--batch_size", type=click.IntRange(min=1), help="Prompts a batch.")
@device_option
@click.option("--backend", type=click.Choice(["hf", "vllm"]), help="What computes the answers.")
@click.option(
    "--output_path",
    type=click.Path(path_type=Path),
    help="Folder for results.json as lm-eval writes it, and samples_TASK.jsonl.",
)
@click.option("--log_samples", is_flag=True, help="Write the samples into --output_path.")
@click.option(
    "--perplexity",
    is_flag=False,
    flag_value=OWN_TEXT,
    metavar="[FILE]",
    help="Also bits per byte on a text; without FILE (then last on the line), the zoo's own.",
)
@click.option(
    "--text",
    "perplexity_text",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The text for --perplexity and --coherence, where --perplexity names none.",
)
@click.option(
    "--coherence",
    is_flag=True,
    help="Also how near the model comes to the best of the recipe's models on the text.",
)
@click.option("--no-sandbox", is_flag=True, help="Run generated code without the sandbox.")
@merge_options
@json_option
def command(target: str, **flags: Any) -> None:
    """Score a model, a merge recipe or a candidate in its domains, with standard errors."""
    from evomerge_compiler.evaluation.results import domain_rows, to_lm_eval

    _check_flags(flags)
    with tempfile.TemporaryDirectory(prefix="evomerge-") as work:
        evaluation, extra = _evaluate(target, flags, Path(work))
    data = to_lm_eval(evaluation, model=target)
    data["evomerge"].update(extra)
    if flags["output_path"] is not None:
        _write(evaluation, data, flags["output_path"], samples=flags["log_samples"])
    if flags["as_json"]:
        print_json(data)
        return
    rows = [
        (r.domain, r.task, r.metric, f"{r.value:.4f}",
         "-" if r.stderr is None else f"± {r.stderr:.4f}", r.n,
         "-" if r.mean_tokens is None else f"{r.mean_tokens:.1f}")
        for r in domain_rows(evaluation)
    ]  # fmt: skip
    click.echo(table(("domain", "task", "metric", "value", "stderr", "n", "tokens"), rows))
    for name, value in extra.items():
        click.echo(f"{name}: {value:.4f}")


def _evaluate(target: str, flags: dict[str, Any], work: Path):  # type: ignore[no-untyped-def]
    from evomerge_compiler import launch, single
    from evomerge_compiler import recipe as recipes
    from evomerge_compiler.evaluation.lm_eval import Session

    text = _text(flags)  # first: a file that is not there must not cost an evaluation
    merge, merging = _merge_of(target, merge_options_of(flags))
    given = {key: flags[key] for key in _OVERRIDES if flags[key]}
    if flags["recipe_name"] is not None or merge is None:
        asked = recipes.load(flags["recipe_name"] or DEFAULT_RECIPE)
    else:
        asked = merge
    if asked.evaluation is not None:
        asked = replace(asked, evaluation=asked.evaluation.model_copy(update=given))
    options = launch.Options(
        device=flags["device"], merge=merging, unsafe_code=flags["no_sandbox"]
    )
    plan = (
        _plan_of_tasks(flags, options) if flags["tasks"] else launch.evaluation_of(asked, options)
    )
    plan, replaced = launch.with_backend(plan, options)
    if replaced:
        LOG.warning("%s", replaced)
    plan, merging = _on_one_gpu(plan, merging)
    if plan.backend == "vllm" and text is not None:
        raise UsageError("vLLM gives no perplexity", hint="score the text with --backend hf")
    if merge is not None:
        folder = work / "model"
        compiled, _ = single.merge_to(merge, folder, merging)
        identity = compiled.merge_key
    else:
        model = single.model_target(target)
        folder, identity = single.model_folder(model, work), model.identity
    session = Session(plan)
    evaluation = session.evaluate(folder, flags["split"], identity=identity)
    return evaluation, _text_scores(text, flags, session, folder, asked, work)


def _on_one_gpu(plan: Any, merge: Any):  # type: ignore[no-untyped-def]
    """The same work for this process, which from now on sees the GPU of ``--device`` only.

    As a run's workers do: mergekit-yaml and vLLM have no other way to take the one that is named.
    """
    from evomerge_compiler.executors.placement import place, placed

    placement = place(plan.device, merge)
    os.environ.update(placement.environment(0))
    return placed(plan, merge, placement, 1)


def _plan_of_tasks(flags: dict[str, Any], options: Any):  # type: ignore[no-untyped-def]
    """The evaluation that ``--tasks`` and its companions describe."""
    from evomerge_compiler.evaluation.spec import plan_evaluation, spec_of_tasks

    here = Path.cwd()
    spec = spec_of_tasks(
        [name.strip() for name in flags["tasks"].split(",")],
        here,
        num_fewshot=flags["num_fewshot"],
        include_path=list(flags["include_path"]),
        apply_chat_template=flags["apply_chat_template"],
        system_instruction=flags["system_instruction"],
        gen_kwargs=_pairs(flags["gen_kwargs"]),
        limit=flags["limit"],
        batch_size=flags["batch_size"],
        backend=flags["backend"],
    )
    return plan_evaluation(
        spec,
        folder=here,
        device=options.device,
        trust_remote_code=options.merge.trust_remote_code,
        unsafe_code=options.unsafe_code,
    )


def _pairs(text: str | None) -> dict[str, Any]:
    """``key=value,key=value`` as lm-eval takes it; values are YAML scalars."""
    import yaml

    pairs = {}
    for part in text.split(",") if text else []:
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--gen_kwargs: expected key=value, got {part!r}")
        pairs[key.strip()] = yaml.safe_load(value)
    return pairs


def _check_flags(flags: dict[str, Any]) -> None:
    if flags["output_path"] is not None:
        require_writable(flags["output_path"])
    elif flags["log_samples"]:
        raise UsageError("--log_samples needs a place to write to", hint="add --output_path DIR")
    if flags["perplexity"] and flags["perplexity_text"]:
        raise UsageError("--perplexity and --text both name a text", hint="give one of them")
    if flags["tasks"] and flags["recipe_name"]:
        raise UsageError("--tasks and --recipe both say what is asked", hint="give one of them")
    if not flags["tasks"]:
        for name in _WITH_TASKS:
            if flags[name] not in (None, False, ()):
                raise UsageError(
                    f"--{name} goes with --tasks; a recipe's evaluation has its own",
                    hint=f"write {name}: under evaluation: in the recipe",
                )


def _merge_of(target: str, options: Any):  # type: ignore[no-untyped-def]
    """The merge recipe that ``target`` names and how to merge it; None when it is a model."""
    from evomerge_compiler import single

    if is_run_reference(target):
        folder, candidate = split_run_reference(target if ":" in target else f"{target}:best")
        return single.merge_target(str(folder), candidate, options)
    if target.endswith(RECIPE_SUFFIXES):
        return single.merge_target(target, None, options)
    return None, options


def _text(flags: dict[str, Any]):  # type: ignore[no-untyped-def]
    """The text for bits per byte and coherence, None where neither is asked for."""
    from evomerge_compiler.evaluation.perplexity import default_text, read_text

    path = flags["perplexity"] or flags["perplexity_text"]
    if path:
        return read_text(Path(path))
    return default_text() if flags["coherence"] or flags["perplexity"] == OWN_TEXT else None


def _text_scores(
    text: Any, flags: dict[str, Any], session: Any, folder: Path, recipe: Any, work: Path
) -> dict[str, float]:
    """Bits per byte, and coherence against the recipe's own models."""
    from evomerge_compiler import single
    from evomerge_compiler.compiler import gather
    from evomerge_compiler.evaluation.perplexity import bits_per_byte, coherence

    if text is None:
        return {}

    def bits(model: Path) -> float:
        session.load(model)
        lm = session.resident.lm
        return float(bits_per_byte(lm.model, lm.tokenizer, text).bits_per_byte)

    own = bits(folder)
    out = {"bits_per_byte": own}
    if flags["coherence"]:
        parents = [m for alias, m in gather(recipe).sources.items() if alias in recipe.models]
        out["coherence"] = coherence(own, [bits(single.model_folder(p, work)) for p in parents])
    return out


def _write(evaluation: Any, data: dict[str, Any], folder: Path, *, samples: bool) -> None:
    from evomerge_compiler.evaluation.results import samples as records
    from evomerge_compiler.yamlio import write_atomic

    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "results.json", json.dumps(data, indent=2, default=str) + "\n")
    if not samples:
        return
    lines: dict[str, list[str]] = {}
    for task, record in records(evaluation):
        lines.setdefault(task, []).append(json.dumps(record, ensure_ascii=False, default=str))
    for task, texts in lines.items():
        write_atomic(folder / f"samples_{task}.jsonl", "\n".join(texts) + "\n")
