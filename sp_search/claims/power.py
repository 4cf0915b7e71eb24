"""The power of a test: how likely n units decide, if the truth is what the claim states.

Rates exactly (binomial; paired ones McNemar's test over the discordant pairs), means by the noncentral t with the
standard deviation that was seen. Where no effect is stated, nothing is said of a mean.
"""

from __future__ import annotations

from collections.abc import Callable
from math import asin, sqrt
from typing import NamedTuple

from sp_search.claims.estimates import Against, Estimate, Mean, Means, Rate, Rates
from sp_search.claims.records import Above, Below, Differs, Test

ENOUGH = 0.8
MOST_UNITS = 100_000


class Power(NamedTuple):
    """The power of n units, and the units that a power of .8 needs; None where nothing is stated or it is too many."""

    power: float | None = None
    n_needed: int | None = None


def power_of(test: Test, found: Estimate, n: int, alpha: float) -> Power:
    """Return the power of a two-sided test at level `alpha`.

    Args:
        test: of the part; it states the effect.
        found: what was seen, for the spread and the discordance.
        n: units.
        alpha: of the test.
    """
    curve = _curve(test, found, alpha)
    return Power() if curve is None else Power(curve(n), units_needed(curve))


def _curve(test: Test, found: Estimate, alpha: float) -> Callable[[int], float] | None:
    """Return power as a function of the units, or None where no effect or no spread is known."""
    match test, found:
        case ((Above() | Below()), Rate()):
            above = isinstance(test, Above)
            truth = test.expected if test.expected is not None else float(above)
            return lambda n: rate_power(test.than, truth, n, alpha, above=above)
        case ((Above() | Below()), Mean()) if test.expected is not None and found.sd > 0:
            distance = (test.expected - test.than) * (1 if isinstance(test, Above) else -1) / found.sd
            return lambda n: t_power(distance, n, alpha)
        case Differs(), Mean() if found.sd > 0:
            distance = test.effect / found.sd
            return lambda n: t_power(distance, n, alpha)
        case Differs(), Means() if max(found.first.sd, found.second.sd) > 0:
            spread = sqrt(found.first.sd**2 + found.second.sd**2)
            return lambda n: t_power(test.effect / spread, n, alpha)
        case Differs(), Rates(pairs=pairs):
            if pairs is None:
                base = found.second.value
                return lambda n: rates_power(min(1.0, base + test.effect), base, n, alpha)
            effect = min(1.0, test.effect)
            discordant = max(effect, (pairs[1] + pairs[2]) / found.first.n)
            return lambda n: mcnemar_power(effect, discordant, n, alpha)
        case Differs(), Against(sampled=Rate(), reverse=reverse):
            truth = found.counted + (-test.effect if reverse else test.effect)
            return lambda n: rate_power(found.counted, min(1.0, max(0.0, truth)), n, alpha, above=not reverse)
        case Differs(), Against(sampled=Mean() as mean) if mean.sd > 0:
            return lambda n: t_power(test.effect / mean.sd, n, alpha)
    return None


def rate_power(than: float, truth: float, n: int, alpha: float, *, above: bool) -> float:
    """Return the chance that the exact binomial test finds a rate above (below) `than` if it is `truth`."""
    from scipy.stats import binom

    if above:
        least = int(binom.isf(alpha / 2, n, than)) + 1  # the first count whose tail is at most alpha / 2
        return float(binom.sf(least - 1, n, truth))
    most = int(binom.ppf(alpha / 2, n, than))
    most -= binom.cdf(most, n, than) > alpha / 2
    return float(binom.cdf(most, n, truth)) if most >= 0 else 0.0


def mcnemar_power(effect: float, discordant: float, n: int, alpha: float) -> float:
    """Return the power of McNemar's exact test for a difference of `effect` when that share of pairs is discordant."""
    import numpy as np
    from scipy.stats import binom

    pairs = np.arange(n + 1)
    least = binom.isf(alpha / 2, pairs, 0.5) + 1
    hit = np.where(pairs > 0, binom.sf(least - 1, pairs, (discordant + effect) / (2 * discordant)), 0.0)
    return float((binom.pmf(pairs, n, discordant) * hit).sum())


def t_power(distance: float, n: int, alpha: float) -> float:
    """Return the power of a t test for a truth `distance` standard deviations away, in the right direction."""
    from scipy.stats import nct, norm, t

    if distance <= 0 or n < 2:
        return 0.0
    shift = distance * sqrt(n)
    if shift > 30:  # beyond what the noncentral t is computed for
        return 1.0
    if n > 1_000:
        return float(norm.sf(norm.isf(alpha / 2) - shift))
    return float(nct.sf(t.isf(alpha / 2, n - 1), n - 1, shift))


def rates_power(one: float, other: float, n: int, alpha: float) -> float:
    """Return the power for two unpaired rates with n units each, by the arcsine transform (Cohen 1988)."""
    from scipy.stats import norm

    distance = 2 * abs(asin(sqrt(one)) - asin(sqrt(other)))
    return float(norm.sf(norm.isf(alpha / 2) - distance * sqrt(n / 2)))


def units_needed(curve: Callable[[int], float]) -> int | None:
    """Return the units from which the power is .8 by bisection, or None beyond `MOST_UNITS`.

    Exact tests rise in teeth: a few units more can have a little less power.
    """
    high = 2
    while curve(high) < ENOUGH:
        if high >= MOST_UNITS or (high > 4_000 and curve(high) < 0.2):
            return None
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if curve(middle) >= ENOUGH else (middle, high)
    return high
