"""95 % intervals of what an audit counted or averaged over its examples: Clopper-Pearson, empirical Bernstein."""

from __future__ import annotations

from torch import Tensor

from sp_search.records import Count, Interval
from sp_search.selection import accuracy_interval, mean_interval
from sp_search.train.evaluate import sample_of

CONFIDENCE = 0.95


def rate(happened_B: Tensor, *, tests: int = 1) -> Interval:
    """Return the share of examples with its Clopper-Pearson interval; `tests`: among so many the largest is shown."""
    count = Count(correct=int(happened_B.sum()), n=len(happened_B))
    return accuracy_interval(count, (1.0 - CONFIDENCE) / tests)


def mean(values_B: Tensor, low: float, high: float, *, tests: int = 1) -> Interval:
    """Return the mean of values that lie in low..high (empirical Bernstein: no assumption on their law)."""
    return mean_interval(sample_of(values_B, low, high, exact=False), (1.0 - CONFIDENCE) / tests)
