"""Writes the items of the structured-data tasks.

``python evaluators/structured_data/generate.py [--out FOLDER]``
"""

from __future__ import annotations

import families_convert  # noqa: F401  each registers its families
import families_edit  # noqa: F401
import families_extract  # noqa: F401
import families_query  # noqa: F401
import families_syntax  # noqa: F401
import families_table  # noqa: F401
from tasks import TASKS

if __name__ == "__main__":
    TASKS.main()
