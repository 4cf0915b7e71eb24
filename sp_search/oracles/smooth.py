"""Part `smooth`: the pass rate rises with the logarithm of the budget, as an S, up to a plateau."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sp_search.oracles.ladder import Ladder


class Smooth(Ladder):
    """Pass rate `rate` / (1 + (middle / budget)^slope), a logistic function of log(budget).

    No cap is safe to exclude: below C*, the first level with a rate of one half, lineages still pass now and then.
    """

    kind: Literal["smooth"] = "smooth"
    middle: float = Field(100.0, gt=0, description="cap at which lineages pass at half of `rate`")
    slope: float = Field(8.0, gt=0, description="steepness: odds of passing grow as budget^slope")
    rate: float = Field(0.95, gt=0, le=1, description="share of lineages that pass at a large budget")

    def pass_rate(self, budget: float) -> float:
        """Return the logistic function of log(budget)."""
        odds: float = (self.middle / budget) ** self.slope
        return self.rate / (1.0 + odds)
