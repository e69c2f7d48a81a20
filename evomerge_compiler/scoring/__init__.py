"""What the shipped evaluators are made of, and what an evaluator of one's own may use.

- :mod:`.items` reads the items of a task from beside its YAML file.
- :mod:`.answers` finds the answer in what a chat model writes: behind its thoughts, inside
  fences, in any script's digits.
- :mod:`.documents` finds and reads JSON, YAML, CSV and TSV.
- :mod:`.values` compares plain values strictly.
- :mod:`.authoring` draws items from families and writes them as JSON Lines.
- :mod:`.code`, :mod:`.math`, :mod:`.multilingual` and :mod:`.structured_data` judge answers; task
  files name their functions: ``process_results: !function evomerge_compiler.scoring.code.score``.
"""
