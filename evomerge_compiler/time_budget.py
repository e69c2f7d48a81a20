"""``search.budget.hours``: counted over all calls that work on a run, not anew in each.

What was spent stands in ``.evomerge``, for tracked files hold no time. Where that folder is gone,
as in a clone, a run that its budget had ended is known by ``final.yaml``, which names the budget
that was used up: it stays at an end, and goes on when the budget is raised.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path

from evomerge_compiler import yamlio
from evomerge_compiler.run_folder import RunFolder

log = logging.getLogger(__name__)
SPENT_FILE = Path(".evomerge") / "spent.json"
# As ``final.yaml`` names the reason, and the budget beside it.
REASON, HOURS = "time", "hours"


class TimeBudget:
    """The hours that a search may take.

    Args:
        folder: Its run folder.
        hours: The recipe's; None for no limit, and then nothing is counted.
        clock: Seconds.
    """

    def __init__(self, folder: RunFolder, hours: float | None, clock: Callable[[], float]) -> None:
        self._path = folder.root / SPENT_FILE
        self._limit_s = math.inf if hours is None else hours * 3600
        self._clock = clock
        self._before_s = 0.0 if hours is None else spent_s(folder)
        self._began_s = clock()

    @property
    def used_up(self) -> bool:
        """Whether all of it is spent."""
        return self._spent_s() >= self._limit_s

    def keep(self) -> None:
        """Notes what is spent, so that a kill costs the budget no more than a candidate."""
        if math.isfinite(self._limit_s):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            yamlio.write_atomic(self._path, json.dumps({"seconds": self._spent_s()}) + "\n")

    def _spent_s(self) -> float:
        return self._before_s + self._clock() - self._began_s


def spent_s(folder: RunFolder) -> float:
    """Seconds that a run's search has taken under its budget, as far as they are known."""
    final = folder.final() or {}
    ended_s = 3600.0 * final.get(HOURS, 0.0) if final.get("reason") == REASON else 0.0
    try:
        kept = json.loads((folder.root / SPENT_FILE).read_text(encoding="utf-8"))
        return max(float(kept["seconds"]), ended_s)
    except FileNotFoundError:
        return ended_s
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be used, the time before is not counted: %s", SPENT_FILE, error)
        return ended_s
