"""evomerge: compile, run and evolve mergekit merges from YAML recipes."""


def __getattr__(name: str) -> str:
    """``__version__``, looked up when it is asked for: reading metadata costs start-up time."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("evomerge-compiler")
    except PackageNotFoundError:
        return "0+unknown"  # a checkout that is not installed
