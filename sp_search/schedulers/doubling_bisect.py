"""Baseline: double the budget until a program passes, then bisect between that budget and the last that failed.

Doubling bounds the price of what is too large, and bisection finds the level: unbounded search (Bentley and Yao 1976).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sp_search.levels import Visit
from sp_search.schedulers.base import BudgetScheduler, Resolved, View
from sp_search.schedulers.doubling import Doubling
from sp_search.schedulers.log_bisect import LogBisect


class DoublingBisect(BudgetScheduler):
    """The two baselines one after the other."""

    kind: Literal["doubling_bisect"] = "doubling_bisect"
    ratio: float = Field(2.0, gt=1, description="factor of the cap from visit to visit on the way up")
    tolerance: float = Field(
        0.0, ge=0, description="share by which the answer may exceed the least budget (0: by no level)"
    )

    def next_visit(self, view: View) -> Visit | Resolved:
        """Do as the baseline whose turn it is."""
        if view.least_found is None:
            return Doubling(ratio=self.ratio).next_visit(view)
        return LogBisect(tolerance=self.tolerance).next_visit(view)
