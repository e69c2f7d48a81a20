"""evomerge: compile, run and evolve mergekit merges from YAML recipes."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("evomerge-compiler")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0+unknown"
