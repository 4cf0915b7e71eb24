"""Part `bump`: lineages pass, then fail again over a stretch of larger budgets, then pass: no order to bisect by.

The shape of model-wise double descent (Nakkiran et al. 2019, 1912.02292), where a larger network does worse.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sp_search.oracles.ladder import Ladder, reaches


class Bump(Ladder):
    """Pass rate `rate` from `onset` on, less by the share `depth` from `begin` * onset to `begin` * `width` * onset.

    C* is the first level at or above `onset`, below the bump.
    """

    kind: Literal["bump"] = "bump"
    onset: float = Field(50.0, gt=0, description="cap from which lineages pass")
    rate: float = Field(0.8, gt=0, le=1, description="share of lineages that pass outside the bump")
    begin: float = Field(1.5, gt=1, description="where the bump begins, as a multiple of `onset`")
    width: float = Field(3.0, gt=1, description="where the bump ends, as a multiple of where it begins")
    depth: float = Field(1.0, ge=0, le=1, description="share of the pass rate that is lost in the bump (1: all)")

    def pass_rate(self, budget: float) -> float:
        """Return 0, `rate`, or what the bump leaves of it."""
        if not reaches(budget, self.onset):
            return 0.0
        first, end = self.onset * self.begin, self.onset * self.begin * self.width
        inside = reaches(budget, first) and not reaches(budget, end)
        return self.rate * (1.0 - self.depth) if inside else self.rate
