"""Writes the math items: ``python generate.py``, or ``--out DIR`` elsewhere."""

from __future__ import annotations

import families_arithmetic  # noqa: F401 each module registers its families
import families_equations  # noqa: F401
import families_fractions  # noqa: F401
import families_geometry  # noqa: F401
import families_long_stories  # noqa: F401
import families_sequences  # noqa: F401
import families_stories  # noqa: F401
from asking import tasks

if __name__ == "__main__":
    tasks.main()
