"""``python -m evomerge_compiler`` is ``evomerge``."""

from evomerge_compiler.cli import main

if __name__ == "__main__":
    main()
