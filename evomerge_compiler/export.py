"""A candidate as a model folder to give away: weights, tokenizer, model card with its history.

The weights are made again by ``mergekit-yaml`` and compared with the hash of what was scored, so
that what is exported is what the numbers are about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import evomerge_compiler
from evomerge_compiler.candidate import CandidateId
from evomerge_compiler.compiler import compile_recipe
from evomerge_compiler.compiler.merge_plan import MergePlan
from evomerge_compiler.crossing import Crossing
from evomerge_compiler.errors import RunDamaged, UsageError
from evomerge_compiler.merging.cli import MergedModel
from evomerge_compiler.merging.options import MergeOptions
from evomerge_compiler.recipe import WINNER, Recipe
from evomerge_compiler.report.lineage import ancestors, as_tree
from evomerge_compiler.run_folder import RunFolder, StoredCandidate
from evomerge_compiler.single import as_merged, merge_to
from evomerge_compiler.standalone import standalone_plan, write_standalone
from evomerge_compiler.yamlio import write_atomic

CARD = "README.md"
CONFIG = "mergekit_config.yml"
RECIPE = "recipe.yaml"


@dataclass(frozen=True)
class Exported:
    """An exported candidate.

    Attributes:
        id: Which one.
        model: Its folder and hash.
        verified: Whether the hash is that of the scored weights; False when none is on record.
    """

    id: CandidateId
    model: MergedModel
    verified: bool


def export(run_path: Path, candidate: CandidateId, out: Path, options: MergeOptions) -> Exported:
    """Merges a scored candidate again into ``out`` and writes its model card.

    Raises:
        UsageError: The candidate has no scores.
        MissingPrerequisite: It was merged on a GPU, and there is none.
        RunDamaged: It no longer compiles to the merge that was scored, or the weights differ
            from those that were scored.
    """
    run = RunFolder.open(run_path)
    stored = run.candidate(candidate)
    if stored.scores is None or stored.genome is None:
        raise UsageError(
            f"{candidate} has no scores to export",
            hint=f"evomerge show {run_path} lists those that have",
        )
    recipe = run.recipe.with_genome(stored.genome)
    plan = compile_recipe(recipe)
    if stored.text is not None and plan.written() != stored.text:
        raise RunDamaged(
            f"{candidate} compiles to another merge than the one that was scored",
            hint="models, mergekit or evomerge have changed since; "
            f"evomerge evolve {run_path} says which",
        )
    _, merged = merge_to(recipe, out, as_merged(run, options), work=run_path / "models")
    if isinstance(stored.genome, Crossing):
        # The card shows all of the merge, and the recipes that evomerge makes it from.
        plan = standalone_plan(run_path, candidate, plan)
        write_standalone(run_path, candidate, out / RECIPE)
    scored = stored.scores.weights
    if scored and scored != merged.tensors_sha256:
        raise RunDamaged(
            f"the weights of {candidate} made again differ from those that were scored "
            f"({merged.tensors_sha256[:12]} and {scored[:12]})",
            hint="another device or library version gives other digits; see recipe.lock.yaml",
        )
    write_card(out, recipe, plan, run=run, candidate=stored)
    return Exported(candidate, merged, bool(scored))


def write_card(
    out: Path,
    recipe: Recipe,
    plan: MergePlan,
    *,
    run: RunFolder | None = None,
    candidate: StoredCandidate | None = None,
) -> None:
    """Writes ``README.md`` (the model card) and ``mergekit_config.yml`` into a model folder."""
    references = {alias: model.reference for alias, model in plan.models.items()}
    # Folders of this machine mean nothing to others: the card names models as the recipe does.
    named = {alias: _public(recipe, alias, ref) for alias, ref in references.items()}
    text = plan.written(named, how="save as mergekit.yaml where its models lie and run")
    write_atomic(out / CONFIG, text)
    parts = [_front_matter(named), f"# {recipe.name}\n", _origin(recipe, run, candidate)]
    parts.append("## Models\n\n" + "\n".join(f"- `{alias}`: {r}" for alias, r in named.items()))
    if candidate is not None and run is not None:
        parts += _scores(candidate, run.final())
        parts.append("## Lineage\n\n```\n" + _tree(run, candidate) + "\n```")
    parts.append("## Merge\n\n```yaml\n" + text.strip() + "\n```")
    write_atomic(out / CARD, "\n\n".join(part.strip() for part in parts) + "\n")


def _public(recipe: Recipe, alias: str, reference: str) -> str:
    spec = recipe.all_models.get(alias)
    return spec.path if spec is not None else reference


def _front_matter(named: Mapping[str, str]) -> str:
    hub = [ref for ref in named.values() if ref.count("/") == 1 and not ref.startswith(("/", "."))]
    lines = ["---", "library_name: transformers", "tags:", "- mergekit", "- merge", "- evomerge"]
    if hub:
        lines += ["base_model:", *(f"- {name}" for name in hub)]
    return "\n".join([*lines, "---"])


def _origin(recipe: Recipe, run: RunFolder | None, candidate: StoredCandidate | None) -> str:
    text = (
        f"Merged by [mergekit] from a recipe compiled by evomerge {evomerge_compiler.__version__}"
    )
    if run is not None and candidate is not None:
        text += f"; candidate {candidate.id} of the run `{run.name}`"
    text += f", template `{_template(recipe)}`."
    return text + "\n\n[mergekit]: https://github.com/arcee-ai/mergekit"


def _template(recipe: Recipe) -> str:
    genome = recipe.genome
    return genome.template if isinstance(genome, Crossing) else recipe.template.name


def _scores(candidate: StoredCandidate, final: Mapping[str, Any] | None) -> list[str]:
    assert candidate.scores is not None
    lines = ["| domain | metric | value | stderr | items |", "|---|---|---|---|---|"]
    for domain, s in candidate.scores.domains.items():
        stderr = "-" if s.stderr is None else f"{s.stderr:.4f}"
        lines.append(f"| {domain} | {s.metric} | {s.value:.4f} | {stderr} | {s.n} |")
    table = "\n".join(lines)
    parts = [f"## Scores on search items\n\nThe search chose by these; they flatter.\n\n{table}"]
    if not candidate.scores.complete:
        parts = [f"## Estimated scores\n\n{_estimate(candidate, final)}\n\n{table}"]
    if final is not None and final["winner"] == str(candidate.id) and WINNER in final["models"]:
        parts.append("## Scores on held-out items\n\n" + _held_out(final))
    return parts


def _estimate(candidate: StoredCandidate, final: Mapping[str, Any] | None) -> str:
    """What the numbers of a candidate are that a race dropped, and how far they were off."""
    assert candidate.scores is not None and candidate.scores.race is not None
    race, fitness = candidate.scores.race, candidate.fitness
    assert fitness is not None
    stderr = "" if fitness.stderr is None else f" ± {fitness.stderr:.4f} (one standard error)"
    text = (
        f"A race dropped this candidate after {race.seen} of {race.of} search items: it was "
        f"confidently worse than the best so far. Its score of {fitness.value:.4f}{stderr} is an "
        "estimate of what all items would give, and so are those of its domains; no claim rests "
        "on them."
    )
    audited = final["racing"]["audited"] if final is not None and "racing" in final else []
    for row in audited:
        if row["id"] == str(candidate.id):
            text += f" Asked all items at the end of the run, it scored {row['all_items']:.4f}."
    return text


def _held_out(final: Mapping[str, Any]) -> str:
    lines = ["| model | mean | " + " | ".join(_domains(final)) + " |"]
    lines.append("|---" * (2 + len(_domains(final))) + "|")
    for name, splits in final["models"].items():
        row = splits["held_out"]
        cells = [f"{row['domains'][domain]['value']:.4f}" for domain in _domains(final)]
        lines.append(f"| {name} | {row['mean']:.4f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _domains(final: Mapping[str, Any]) -> list[str]:
    return list(final["models"][WINNER]["held_out"]["domains"])


def _tree(run: RunFolder, candidate: StoredCandidate) -> str:
    return as_tree(ancestors(run.root, candidate.id), str(candidate.id))
