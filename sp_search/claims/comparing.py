"""What cells say: which estimate stands for one of them, and for the difference of two."""

from __future__ import annotations

from math import sqrt

from sp_search.claims.estimates import Against, Counted, Estimate, Mean, Means, Rate, Rates, Stated
from sp_search.experiments.base import Cell


def estimate(cell: Cell) -> Estimate:
    """Return what a cell says of its number."""
    if cell.exact:
        return Counted(cell.value)
    if cell.events is not None:
        return Rate(cell.events, cell.n)
    return Mean(tuple(cell.units)) if cell.units else Stated(cell.value, cell.low, cell.high, cell.n)


def difference(cell: Cell, other: Cell, *, paired: bool) -> Estimate:
    """Return what two cells say of `cell` minus `other`.

    Raises:
        ValueError: they should pair, and one has not the other's number of units.
    """
    if cell.exact and other.exact:
        return Counted(cell.value - other.value)
    if cell.exact or other.exact:
        sampled, counted = (other, cell) if cell.exact else (cell, other)
        return Against(estimate(sampled), counted.value, reverse=cell.exact)
    if paired and cell.units and other.units and len(cell.units) != len(other.units):
        raise ValueError(
            f"'{cell.name}' has {len(cell.units)} units and '{other.name}' {len(other.units)}: they cannot pair; "
            "write paired: false"
        )
    if paired and cell.units and other.units:
        return _paired(cell, other)
    if cell.events is not None and other.events is not None:
        return Rates(Rate(cell.events, cell.n), Rate(other.events, other.n))
    if min(len(cell.units), len(other.units)) > 1:
        return Means(Mean(tuple(cell.units)), Mean(tuple(other.units)))
    return _stated(cell, other)


def _paired(cell: Cell, other: Cell) -> Estimate:
    if cell.events is None or other.events is None:
        return Mean(tuple(a - b for a, b in zip(cell.units, other.units, strict=True)))
    counts = [0, 0, 0, 0]
    for a, b in zip(cell.units, other.units, strict=True):
        counts[2 * (not a) + (not b)] += 1
    both, first, second, neither = counts
    return Rates(Rate(cell.events, cell.n), Rate(other.events, other.n), (both, first, second, neither))


def _stated(cell: Cell, other: Cell) -> Stated:
    """Combine two intervals by the squares of their radii (MOVER, Zou and Donner 2008)."""
    value = cell.value - other.value
    low = value - sqrt((cell.value - cell.low) ** 2 + (other.high - other.value) ** 2)
    high = value + sqrt((cell.high - cell.value) ** 2 + (other.value - other.low) ** 2)
    return Stated(value, low, high, min(cell.n, other.n))
