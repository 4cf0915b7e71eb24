"""Oracles in which the budget alone decides: a pass rate at every cap, and a draw on which side a lineage falls."""

from __future__ import annotations

from pydantic import Field

from sp_search.oracles.base import OraclePart, uniform


class LineageOracle(OraclePart):
    """A lineage passes at a cap when its draw lies below the pass rate there."""

    kept: bool = Field(
        False, description="a lineage's luck is drawn once and kept at every level, instead of anew at each"
    )

    def draw(self, budget: float, seed: int) -> float:
        """Return the luck of a lineage at a cap, in [0, 1): the less, the sooner it passes."""
        return uniform(seed) if self.kept else uniform(seed, budget)

    def passes(self, budget: float, seed: int) -> bool:
        """Return whether the lineage's draw is below the pass rate at that cap."""
        return self.draw(budget, seed) < self.pass_rate(budget)

    def cost_inherited(self, budget: float, previous: float, seed: int) -> float:
        """Return the price of bringing a lineage from `previous` to `budget`.

        What was trained at the lower cap counts towards the higher one, and nothing is paid on the way down; a lineage
        that fails there costs its level in full, as from scratch.
        """
        full = self.cost(budget)
        return max(0.0, full - self.cost(previous)) if self.passes(budget, seed) else full
