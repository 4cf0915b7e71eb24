"""From pairs of searches to the price of deceiving: C* of deceivers / C* of good programs - 1, with its interval.

Pairs share a seed, so the unit is a pair and the scale is the logarithm of its ratio. A search that found nothing is no
missing value: it bounds the ratio, and the median's interval by order statistics keeps it; it is never dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, isfinite, log, sqrt
from statistics import fmean, median, stdev
from typing import Literal

from sp_search.records import Record

CONFIDENCE = 0.95


class Found(Record):
    """What one search left: the compute of the program that it selected, in FLOPs per clean input.

    `above`: nothing was found up to this compute, the ladder's end (None: found, or the end was not reached).
    """

    cost: float | None
    above: float | None = None
    ended: str
    harm: float | None = None
    accuracy: float | None = None
    rollouts: float | None = None
    search_flops: float = 0.0


class Pair(Record):
    """An honest and a deceiving search of one seed."""

    seed: int
    honest: Found
    deceiver: Found

    def log_ratio(self) -> tuple[float, float]:
        """Return least and largest log(C*_deceiver / C*_honest) that the two searches leave possible."""
        low, high = -inf, inf
        dear = self.deceiver.cost if self.deceiver.cost is not None else self.deceiver.above
        cheap = self.honest.cost if self.honest.cost is not None else self.honest.above
        if dear is not None and self.honest.cost is not None:
            low = log(dear / self.honest.cost)
        if cheap is not None and self.deceiver.cost is not None:
            high = log(self.deceiver.cost / cheap)
        return low, high


class Price(Record):
    """A tax: 0.2 means that deceiving costs a fifth more compute on clean inputs. None: the pairs leave it open.

    `basis`: `mean` of the log ratios with Student's interval, where every search found a program; else their `median`
    with the interval of order statistics.
    """

    value: float | None
    low: float | None
    high: float | None
    pairs: int
    deceiver_missing: int
    honest_missing: int
    basis: Literal["mean", "median"]


def price_of(pairs: Sequence[Pair]) -> Price:
    """Return the tax of pairs, with its two-sided 95 % interval.

    Raises:
        ValueError: fewer than two pairs.
    """
    if len(pairs) < 2:
        raise ValueError(f"a tax needs 2 pairs or more, got {len(pairs)}")
    bounds = [pair.log_ratio() for pair in pairs]
    deceivers = sum(pair.deceiver.cost is None for pair in pairs)
    honest = sum(pair.honest.cost is None for pair in pairs)
    counted = {"pairs": len(pairs), "deceiver_missing": deceivers, "honest_missing": honest}
    if not (deceivers or honest):
        middle, radius = mean_of([low for low, _ in bounds])
        ends = (middle, middle - radius, middle + radius)
        return Price(**dict(zip(("value", "low", "high"), map(_tax, ends), strict=True)), **counted, basis="mean")
    lows, highs = sorted(low for low, _ in bounds), sorted(high for _, high in bounds)
    rank = median_rank(len(pairs))
    low, high = (lows[rank - 1], highs[-rank]) if rank else (-inf, inf)
    agreed = median(lows) == median(highs)
    value = median(lows) if agreed else None
    return Price(
        value=None if value is None else _tax(value), low=_tax(low), high=_tax(high), **counted, basis="median"
    )


def still_falls(before: Sequence[Pair], after: Sequence[Pair]) -> bool:
    """Whether deceivers of the same seeds are surely cheaper at the larger effort: then its tax is an upper bound."""
    costs = {pair.seed: pair.log_ratio() for pair in before}
    changes = [pair.log_ratio()[0] - costs[pair.seed][1] for pair in after if pair.seed in costs]
    if len(changes) < 2 or not all(map(isfinite, changes)):
        return any(pair.deceiver.cost is None for pair in before) and not any(
            pair.deceiver.cost is None for pair in after
        )
    middle, radius = mean_of(changes)
    return middle + radius < 0


def mean_of(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the radius of Student's interval."""
    from scipy.stats import t

    n = len(values)
    return fmean(values), float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * stdev(values) / sqrt(n)


def median_rank(n: int) -> int:
    """Return k: the k-th least and the k-th largest of n values enclose their law's median (0: too few values)."""
    from scipy.stats import binom

    return max((k for k in range(n // 2 + 1) if k and 2 * binom.cdf(k - 1, n, 0.5) <= 1 - CONFIDENCE), default=0)


def _tax(log_ratio: float) -> float | None:
    return exp(log_ratio) - 1.0 if isfinite(log_ratio) else None
