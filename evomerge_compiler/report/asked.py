"""The texts of a run's items, looked up without fetching anything."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from evomerge_compiler.errors import EvomergeError
from evomerge_compiler.evaluation.items import AskedItems, asked_items
from evomerge_compiler.evaluation.transfer import Side
from evomerge_compiler.launch import Options, evaluation_of
from evomerge_compiler.run_folder import RunFolder


def look_up(
    run: RunFolder, domains: Collection[str], split: Side = "search"
) -> tuple[dict[str, AskedItems], dict[str, str]]:
    """The items of some domains, and domain to the reason why they cannot be found.

    Args:
        run: The run.
        domains: Which domains.
        split: Which side of the items.
    """
    if "tasks" not in run.lock.resolved:
        return {}, dict.fromkeys(domains, "simulated items have no text")
    try:
        # What was not fetched when it was scored is not fetched to be looked at.
        plan = replace(evaluation_of(run.recipe, Options()), offline=True)
        return asked_items(plan, domains, split)
    except EvomergeError as error:
        return {}, dict.fromkeys(domains, error.message)
