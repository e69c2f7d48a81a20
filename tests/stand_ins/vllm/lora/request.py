"""See the package."""


class LoRARequest:
    """Never used here."""
