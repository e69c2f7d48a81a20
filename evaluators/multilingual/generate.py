"""Writes the items of the multilingual tasks: ``python generate.py [--out FOLDER]``."""

from __future__ import annotations

from pathlib import Path

import families_conventions
import families_language_id
import families_question_answering
import families_translation

from evomerge_compiler.scoring.authoring import Authoring

tasks = Authoring(folder=Path(__file__).parent / "data", seed=20261121)
for families in (
    families_translation,
    families_language_id,
    families_question_answering,
    families_conventions,
):
    families.register(tasks)

if __name__ == "__main__":
    tasks.main()
