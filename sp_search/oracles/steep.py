"""Part `steep`: nobody passes below a cap, and from it on lineages pass at one rate.

The setting in which the theory of searching an unknown threshold is exact: doubling pays at most 4 C*, a randomised
start e C* (online bidding; Chrobak, Kenyon, Noga, Young 2008).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sp_search.oracles.ladder import Ladder, reaches


class Steep(Ladder):
    """Pass rate 0 below `onset` and `rate` from there on; if that is .5 or more, C* is the first level from `onset` on.

    With `kept` this is the stated model of inheritance: moving a passing lineage from a to b > a costs b - a, a fail
    costs its full level, success is drawn once for each lineage.
    """

    kind: Literal["steep"] = "steep"
    onset: float = Field(100.0, gt=0, description="cap from which lineages pass")
    rate: float = Field(0.5, gt=0, le=1, description="share of lineages that pass from there on")

    def pass_rate(self, budget: float) -> float:
        """Return 0 or `rate`."""
        return self.rate if reaches(budget, self.onset) else 0.0
