"""How one setting differs from another in a figure: paired over common seeds or not, with an interval and a p-value.

Costs are compared as ratios of geometric means (they span orders of magnitude), accuracies as differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import exp, log
from typing import NamedTuple

CONFIDENCE = 0.95
RESAMPLES = 9_999


class Effect(NamedTuple):
    """How one setting differs from another in one figure.

    value: ratio of geometric means (costs) or difference of means (accuracy), `one` to `other`; with its 95 % interval
    and the p-value of a permutation test, both None where a single pair or a single study a side says nothing of luck.
    """

    figure: str
    kind: str
    paired: bool
    n: int
    n_other: int
    value: float | None
    low: float | None
    high: float | None
    p: float | None


def mean(kind: str, values: Sequence[float]) -> float:
    """Return the geometric mean of costs, the arithmetic one of accuracies."""
    if kind == "difference":
        return sum(values) / len(values)
    return exp(sum(map(log, values)) / len(values))


def effect(figure: str, kind: str, one: Mapping[int, float], other: Mapping[int, float]) -> Effect:
    """Return how `one` differs from `other` (values by seed): over common seeds where there are any, else over all."""
    scale: Callable[[float], float] = log if kind == "ratio" else float
    back: Callable[[float], float] = exp if kind == "ratio" else float
    common = sorted(set(one) & set(other))
    paired = bool(common)
    if not one or not other:
        return Effect(figure, kind, paired, len(one), len(other), None, None, None, None)
    first, second = ([scale(values[seed]) for seed in (common if paired else values)] for values in (one, other))
    middle = sum(first) / len(first) - sum(second) / len(second)
    low, high, p = _luck(first, second, paired=paired)
    least, most = (None if limit is None else back(limit) for limit in (low, high))
    return Effect(figure, kind, paired, len(first), len(second), back(middle), least, most, p)


def _luck(first: list[float], second: list[float], *, paired: bool) -> tuple[float | None, float | None, float | None]:
    """Return the interval of a difference of means (Student's paired, else Welch's) and a permutation test's p-value.

    The test is exact where there are at most `RESAMPLES` permutations: of n pairs, no p is below 2 ** (1 - n).
    """
    if min(len(first), len(second)) < 2:
        return None, None, None
    import numpy as np
    from scipy import stats

    spread = np.ptp(np.subtract(first, second)) if paired else max(np.ptp(first), np.ptp(second))
    middle = float(np.mean(first) - np.mean(second))
    if spread == 0:  # no luck to be seen: the same difference every time
        low = high = middle
    elif paired:
        low, high = stats.ttest_rel(first, second).confidence_interval(CONFIDENCE)
    else:
        low, high = stats.ttest_ind(first, second, equal_var=False).confidence_interval(CONFIDENCE)
    test = stats.permutation_test(
        (first, second),
        lambda x, y, axis: np.mean(x, axis=axis) - np.mean(y, axis=axis),
        permutation_type="samples" if paired else "independent",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return float(low), float(high), float(test.pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted for how many of them there are (Holm, 1979)."""
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for place, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - place)))
        adjusted[index] = largest
    return adjusted
