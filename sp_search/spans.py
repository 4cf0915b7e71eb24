"""From the least to the most that something can be: the two ends of an estimate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """An amount that lies between `least` and `most`."""

    least: float
    most: float

    def times(self, factor: float) -> Span:
        """Return so many of it."""
        return Span(self.least * factor, self.most * factor)


def total(spans: Iterable[Span]) -> Span:
    """Return the sum, end by end."""
    found = list(spans)
    return Span(sum(one.least for one in found), sum(one.most for one in found))
