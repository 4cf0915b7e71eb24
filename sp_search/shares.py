"""Compound scaling: one cap and shares say how far every axis of a program grows, so its price is known beforehand.

From the least values the axes grow one step at a time, each at the pace of its share, until the next step would cost
more than the cap (after Tan and Le 2019, 1905.11946, whose proportions are fixed). Paces are of the logarithm of an
axis: with equal shares all axes reach their largest values together. A larger cap never takes anything away, nothing
costs more than the cap, and every configuration lies on some path.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from math import exp, inf, log
from typing import NamedTuple

Price = Callable[[dict[str, int]], float]


class Range(NamedTuple):
    """The values that an axis may have, both ends included."""

    low: int
    high: int


Ranges = dict[str, Range]


def free_axes(ranges: Ranges) -> list[str]:
    """Return the axes that can grow, in their order."""
    return [name for name, (low, high) in ranges.items() if low < high]


def shared_axes(ranges: Ranges) -> list[str]:
    """Return the axes that have a share: all that can grow but the last, which takes what they leave."""
    return free_axes(ranges)[:-1]


def grown(ranges: Ranges, shares: Sequence[float], price: Price, cap: float) -> dict[str, int] | None:
    """Return the furthest values on the path of `shares` that cost at most `cap`, or None where the least cost more.

    Args:
        ranges: the values of every axis.
        shares: of every axis in `shared_axes`, in [0, 1], each of what those before it leave.
        price: of the axes' values; it rises with each of them.
        cap: in the unit of `price`.
    """
    steps = _steps(ranges, shares)
    least = {name: low for name, (low, _) in ranges.items()}

    def at(count: int) -> dict[str, int]:
        return least | dict(steps[:count])

    if price(least) > cap:
        return None
    return at(bisect_right(range(1, len(steps) + 1), cap, key=lambda count: price(at(count))))


def shares_of(ranges: Ranges, values: dict[str, int]) -> list[float]:
    """Return shares whose path passes through `values`: at the price of these, `grown` returns them."""
    free = free_axes(ranges)
    paces = {
        name: log((values[name] + 0.5) / ranges[name].low) / log(ranges[name].high / ranges[name].low) for name in free
    }
    shares, left = [], sum(paces.values())
    for name in free[:-1]:
        shares.append(paces[name] / left)
        left -= paces[name]
    return shares


def _steps(ranges: Ranges, shares: Sequence[float]) -> list[tuple[str, int]]:
    """Return every step (axis, new value) of the path, in order; an axis without a share grows after the others."""
    timed: list[tuple[float, str, int]] = []
    left = 1.0
    for name, share in zip(free_axes(ranges), [*shares, 1.0], strict=False):  # the last takes all that is left
        low, high = ranges[name]
        pace = left * share * log(high / low)
        timed += [(log(value / low) / pace if pace > 0 else inf, name, value) for value in range(low + 1, high + 1)]
        left *= 1.0 - share
    return [(name, value) for _, name, value in sorted(timed)]


def share_of_log(value: float, low: float, high: float) -> float:
    """Return where `value` lies between `low` (0) and `high` (1) on a logarithmic scale, both ends being the limits."""
    if high <= low:
        return 1.0
    return min(1.0, max(0.0, log(value / low) / log(high / low)))


def from_share_of_log(share: float, low: float, high: float) -> float:
    """Return the value at `share` between `low` and `high` on a logarithmic scale, exact at both ends."""
    return high if share >= 1.0 else low if share <= 0.0 else min(high, low * exp(share * log(high / low)))
