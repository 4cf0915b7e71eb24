"""What evidence says about a number: its value, its 95 % interval, and how surely it lies above or below another.

`above(x)` and `below(x)` are one-sided p values: small when the truth hardly lies on the other side of x. Rates are
exact binomial (Clopper and Pearson 1934); paired rates McNemar's exact test, their interval Newcombe's tenth (1998);
unpaired ones Fisher's exact test and Newcombe's hybrid; means Student's t, Welch's where nothing pairs. Where units
do not differ at all, t says nothing and the sign test is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import NamedTuple, Protocol

from sp_search.experiments.base import CONFIDENCE

TOLERANCE = 1e-9
FARTHEST = 37.0
"""Standard deviations beyond which a p value is 0 in floating point."""


class Estimate(Protocol):
    """A number with its uncertainty."""

    @property
    def value(self) -> float: ...

    def interval(self) -> Limits:
        """Return the two-sided interval."""
        ...

    def above(self, x: float) -> float:
        """Return the p value against `the truth is at most x`."""
        ...

    def below(self, x: float) -> float:
        """Return the p value against `the truth is at least x`."""
        ...


class Limits(NamedTuple):
    """Both ends of an interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Counted:
    """A number without sampling error."""

    value: float

    def interval(self) -> Limits:
        return Limits(self.value, self.value)

    def above(self, x: float) -> float:
        return float(self.value <= x + TOLERANCE * max(1.0, abs(x)))

    def below(self, x: float) -> float:
        return float(self.value >= x - TOLERANCE * max(1.0, abs(x)))


@dataclass(frozen=True)
class Rate:
    """The share of units in which something happened."""

    events: int
    n: int

    @property
    def value(self) -> float:
        return self.events / self.n

    def interval(self) -> Limits:
        from scipy.stats import binomtest

        found = binomtest(self.events, self.n).proportion_ci(CONFIDENCE, method="exact")
        return Limits(float(found.low), float(found.high))

    def above(self, x: float) -> float:
        from scipy.stats import binom

        return 0.0 if x < 0 else 1.0 if x >= 1 else float(binom.sf(self.events - 1, self.n, x))

    def below(self, x: float) -> float:
        from scipy.stats import binom

        return 0.0 if x > 1 else 1.0 if x <= 0 else float(binom.cdf(self.events, self.n, x))


@dataclass(frozen=True)
class Mean:
    """The mean of units, or of the differences of paired ones."""

    units: tuple[float, ...]

    @property
    def value(self) -> float:
        return fmean(self.units)

    @property
    def sd(self) -> float:
        spread = stdev(self.units) if len(self.units) > 1 else 0.0
        return spread if spread > TOLERANCE * max(1.0, abs(self.value)) else 0.0

    def interval(self) -> Limits:
        from scipy.stats import t

        n = len(self.units)
        radius = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * self.sd / sqrt(n) if n > 1 else float("inf")
        return Limits(self.value - radius, self.value + radius)

    def above(self, x: float) -> float:
        return self._p(self.value - x)

    def below(self, x: float) -> float:
        return self._p(x - self.value)

    def _p(self, distance: float) -> float:
        from scipy.stats import t

        n = len(self.units)
        if n < 2:
            return 1.0
        if self.sd == 0.0:
            return 0.5**n if distance > TOLERANCE else 1.0
        return float(t.sf(distance * sqrt(n) / self.sd, n - 1))


@dataclass(frozen=True)
class Means:
    """The difference of two means of unpaired units (Welch 1947)."""

    first: Mean
    second: Mean

    @property
    def value(self) -> float:
        return self.first.value - self.second.value

    def _error(self) -> tuple[float, float]:
        """Return the standard error and its degrees of freedom."""
        parts = [mean.sd**2 / len(mean.units) for mean in (self.first, self.second)]
        total = sum(parts)
        if total == 0.0:
            return 0.0, 1.0
        freedom = [part**2 / (len(mean.units) - 1) for part, mean in zip(parts, (self.first, self.second), strict=True)]
        return sqrt(total), total**2 / sum(freedom)

    def interval(self) -> Limits:
        from scipy.stats import t

        error, freedom = self._error()
        radius = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
        return Limits(self.value - radius, self.value + radius)

    def above(self, x: float) -> float:
        return self._p(self.value - x)

    def below(self, x: float) -> float:
        return self._p(x - self.value)

    def _p(self, distance: float) -> float:
        from scipy.stats import t

        error, freedom = self._error()
        if error == 0.0:
            return 0.5 ** min(len(self.first.units), len(self.second.units)) if distance > TOLERANCE else 1.0
        return float(t.sf(distance / error, freedom))


@dataclass(frozen=True)
class Rates:
    """The difference of two rates: `both`, `only_first`, `only_second`, `neither` of n pairs.

    Unpaired rates of equal or unequal n have `pairs` None.
    """

    first: Rate
    second: Rate
    pairs: tuple[int, int, int, int] | None = None

    @property
    def value(self) -> float:
        return self.first.value - self.second.value

    def interval(self) -> Limits:
        from scipy.stats import norm

        z = float(norm.ppf((1 + CONFIDENCE) / 2))
        return Limits(self._low(z), self._high(z))

    def above(self, x: float) -> float:
        return self._exact(more=True) if x == 0 else self._inverted(lambda z: self._low(z) - x, self.value > x)

    def below(self, x: float) -> float:
        return self._exact(more=False) if x == 0 else self._inverted(lambda z: x - self._high(z), self.value < x)

    def _exact(self, *, more: bool) -> float:
        from scipy.stats import binom, fisher_exact

        if self.pairs is not None:
            _, first, second, _ = self.pairs
            return float(binom.sf((first if more else second) - 1, first + second, 0.5)) if first + second else 1.0
        table = [[one.events, one.n - one.events] for one in (self.first, self.second)]
        return float(fisher_exact(table, alternative="greater" if more else "less").pvalue)

    def _inverted(self, slack: Callable[[float], float], beyond: bool) -> float:
        """Return the error at which the interval just reaches: `slack` falls with z."""
        from scipy.optimize import brentq
        from scipy.stats import norm

        if not beyond:
            return 1.0
        if slack(FARTHEST) > 0:
            return float(norm.sf(FARTHEST))
        return float(norm.sf(brentq(slack, 0.0, FARTHEST)))

    def _correlation(self) -> float:
        if self.pairs is None:
            return 0.0
        both, first, second, neither = self.pairs
        product = (both + first) * (second + neither) * (both + second) * (first + neither)
        return (both * neither - first * second) / sqrt(product) if product else 0.0

    def _low(self, z: float) -> float:
        one, two = _wilson(self.first, z), _wilson(self.second, z)
        return self.value - self._radius(self.first.value - one.low, two.high - self.second.value)

    def _high(self, z: float) -> float:
        one, two = _wilson(self.first, z), _wilson(self.second, z)
        return self.value + self._radius(one.high - self.first.value, self.second.value - two.low)

    def _radius(self, a: float, b: float) -> float:
        return sqrt(max(0.0, a * a - 2 * self._correlation() * a * b + b * b))


@dataclass(frozen=True)
class Stated:
    """A number of which only a 95 % interval over n units is known: Student's, or without width n units alike."""

    value: float
    low: float
    high: float
    n: int

    @property
    def error(self) -> float:
        from scipy.stats import t

        return (self.high - self.low) / (2 * float(t.ppf((1 + CONFIDENCE) / 2, self._freedom)))

    @property
    def _freedom(self) -> int:
        return max(1, self.n - 1)

    def interval(self) -> Limits:
        return Limits(self.low, self.high)

    def above(self, x: float) -> float:
        return self._p(self.value - x)

    def below(self, x: float) -> float:
        return self._p(x - self.value)

    def _p(self, distance: float) -> float:
        from scipy.stats import t

        if self.error == 0.0:
            return 0.5**self.n if distance > 0 else 1.0  # the sign test
        return float(t.sf(distance / self.error, self._freedom))


@dataclass(frozen=True)
class Against:
    """What was sampled minus a number without sampling error, or (`reverse`) the other way round."""

    sampled: Estimate
    counted: float
    reverse: bool = False

    @property
    def value(self) -> float:
        return (self.counted - self.sampled.value) if self.reverse else (self.sampled.value - self.counted)

    def interval(self) -> Limits:
        low, high = self.sampled.interval()
        if self.reverse:
            return Limits(self.counted - high, self.counted - low)
        return Limits(low - self.counted, high - self.counted)

    def above(self, x: float) -> float:
        return self.sampled.below(self.counted - x) if self.reverse else self.sampled.above(self.counted + x)

    def below(self, x: float) -> float:
        return self.sampled.above(self.counted - x) if self.reverse else self.sampled.below(self.counted + x)


def _wilson(rate: Rate, z: float) -> Limits:
    """Return Wilson's score interval (1927)."""
    n, p = rate.n, rate.value
    middle, radius = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Limits((middle - radius) / (1 + z * z / n), (middle + radius) / (1 + z * z / n))


def bootstrap(units: Sequence[float], draws: int = 2_000) -> Limits:
    """Return the percentile interval of the mean over resampled units; the same units give the same interval."""
    import numpy as np

    generator = np.random.default_rng(0)
    means = np.asarray(units)[generator.integers(0, len(units), (draws, len(units)))].mean(1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Limits(float(low), float(high))
