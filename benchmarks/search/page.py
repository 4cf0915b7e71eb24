"""The page of the comparison: its tables between markers in docs/search_comparison.md, and its figure, from the rows."""


def write() -> None:
    """Write nothing yet."""
