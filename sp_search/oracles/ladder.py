"""Levels that grow by a constant factor, and training whose price is the cap: what the closed forms have in common."""

from __future__ import annotations

import math
from functools import cached_property

from pydantic import Field, model_validator

from sp_search.oracles.base import levels_in
from sp_search.oracles.lineages import LineageOracle


class Ladder(LineageOracle):
    """Levels low, low * ratio, low * ratio^2, ... up to high; training a lineage at a cap costs that cap."""

    low: float = Field(1.0, gt=0, description="least level")
    high: float = Field(1e3, gt=0, description="no level is above it")
    ratio: float = Field(1.05, gt=1, description="factor between neighbouring levels")

    @model_validator(mode="after")
    def _low_below_high(self) -> Ladder:
        if self.low >= self.high:
            raise ValueError(f"low has to be below high, got low={self.low}, high={self.high}")
        self.levels  # noqa: B018  # says when there are too many
        return self

    @cached_property
    def levels(self) -> list[float]:
        """Return the levels, a last one at `high` where the ladder ends there but for rounding."""
        steps = math.log(self.high / self.low) / math.log(self.ratio)
        number = levels_in(steps, f"low={self.low:g}, high={self.high:g} and ratio={self.ratio!r}")
        return [self.low * self.ratio**step for step in range(number)]

    def cost(self, budget: float) -> float:
        """Return the cap itself: training in proportion to what the program computes."""
        return budget


def reaches(budget: float, onset: float) -> bool:
    """Return whether a cap is at or above `onset`, whatever rounding did to a level that was meant to equal it."""
    return budget >= onset * (1 - 1e-12)
