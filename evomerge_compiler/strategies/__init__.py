"""Search algorithms: one a file, behind one ask/tell protocol.

A strategy has no I/O, no clock and no hidden state: given the same space, parameters and seed,
and told the same outcomes, it asks for the same genomes. That is how a run resumes: the run
folder is replayed through ``ask`` and ``tell``.

To add one: a file here with a class decorated with :func:`.base.strategy`, and its name in
``MODULES`` below. The contract suite in ``tests/strategies`` then runs over it.
"""

from __future__ import annotations

import importlib

from evomerge_compiler.strategies.base import Strategy, StrategyType, registry

MODULES = (
    "cma_es",
    "elite_recovery",
    "map_elites",
    "nsga2",
    "random_search",
    "sobol",
    "tournament",
)


def all_strategies() -> dict[str, StrategyType]:
    """Every strategy by name."""
    for module in MODULES:
        importlib.import_module(f"evomerge_compiler.strategies.{module}")
    return dict(sorted(registry().items()))


__all__ = ["Strategy", "StrategyType", "all_strategies"]
