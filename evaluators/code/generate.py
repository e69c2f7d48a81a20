"""Writes the items of the code tasks: ``python evaluators/code/generate.py [--out FOLDER]``."""

from __future__ import annotations

import random
from pathlib import Path

# Imported for the families that they register, in the order in which they are written.
import families_algorithms  # noqa: F401
import families_checks  # noqa: F401
import families_choices  # noqa: F401
import families_codes  # noqa: F401
import families_constructs  # noqa: F401
import families_formats  # noqa: F401
import families_lists  # noqa: F401
import families_loops  # noqa: F401
import families_numbers  # noqa: F401
import families_parsing  # noqa: F401
import families_records  # noqa: F401
import families_sequences  # noqa: F401
import families_tables  # noqa: F401
import families_text  # noqa: F401
from questions import FAMILIES, Family, mending, writing

from evomerge_compiler.scoring.authoring import Authoring, Item

ITEMS_PER_FAMILY = 10

tasks = Authoring(folder=Path(__file__).parent / "data", seed=20261121)


def _add(family: Family) -> None:
    def write(rng: random.Random) -> Item | None:
        return writing(family.draw(rng))

    write.__name__ = family.name
    tasks.family(family.task, difficulty=family.difficulty, items=ITEMS_PER_FAMILY)(write)


def _add_repair(family: Family) -> None:
    def mend(rng: random.Random) -> Item | None:
        return mending(family.draw(rng), rng)

    mend.__name__ = f"repair_{family.name}"
    tasks.family("repair", difficulty=family.difficulty, items=ITEMS_PER_FAMILY)(mend)


for _family in FAMILIES:
    _add(_family)
for _family in FAMILIES:
    if _family.repair:
        _add_repair(_family)

if __name__ == "__main__":
    tasks.main()
