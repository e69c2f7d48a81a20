"""evomerge: compile, run and evolve mergekit merges from YAML recipes."""
