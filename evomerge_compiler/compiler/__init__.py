"""The compiler: a recipe and a genome become ordinary mergekit YAML, or an error with a place.

In the order in which a merge passes through: ``compiling`` (the way through), ``model_headers``
(what the models say of themselves; ``source_files`` and ``gguf_header`` read them), ``rendering``
(template to documents, with ``emission`` and ``layouts`` as the templates' vocabulary),
``mergekit_grammar`` (what the installed mergekit accepts), the checks (``merge_documents``,
``parameter_checks``, ``value_domains``, ``tensor_checks``, ``donors``, ``gene_effects``), and
``plan_building`` and ``merge_plan`` (canonical text, stages and keys).
"""

from evomerge_compiler.compiler.compiling import (
    MergePlan,
    Stage,
    World,
    check_dead_genes,
    compile_recipe,
    gather,
    render_raw,
)

__all__ = [
    "MergePlan",
    "Stage",
    "World",
    "check_dead_genes",
    "compile_recipe",
    "gather",
    "render_raw",
]
