"""Baseline: bisect the logarithm of the budget between what failed and what passed, from the whole ladder on.

The fewest visits, but not the least work: the first is at the root of the range, which can be that many times the least
budget (measured on a range of 1e6: 48 times it on average; `doubling_bisect` mends this).
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from sp_search.levels import Visit
from sp_search.schedulers.base import BudgetScheduler, Resolved, View


class LogBisect(BudgetScheduler):
    """Visit the level in the middle of the bracket until the bracket is narrow enough."""

    kind: Literal["log_bisect"] = "log_bisect"
    tolerance: float = Field(
        0.0, ge=0, description="share by which the answer may exceed the least budget (0: by no level)"
    )

    def next_visit(self, view: View) -> Visit | Resolved:
        """Halve the bracket between the largest failure and the least pass above it (the ladder's ends at first)."""
        caps, least = view.space.caps, view.least_found
        high = view.top + 1 if least is None else least
        failed = [outcome.level for outcome in view.history if outcome.verdict != "passed" and outcome.level < high]
        low = max(failed, default=view.floor)
        if high - low <= 1 or (least is not None and caps[least] <= (1 + self.tolerance) * caps[low + 1]):
            return Resolved(level=least)
        middle = math.sqrt(caps[max(low, 0)] * caps[min(high, view.top)])
        level = max(low + 1, min(view.space.at_most(middle) or 0, high - 1))
        return Visit(level=level, phase="bisecting", evidence=view.evidence)
