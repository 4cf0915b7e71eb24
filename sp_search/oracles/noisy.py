"""Part `noisy`: programs have an accuracy, and just below the least budget it is a near miss of the milestone.

Whoever judges by samples can be wrong here in both directions; `passes` is the truth that the sample estimates.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Literal

from pydantic import Field, model_validator

from sp_search.oracles.ladder import Ladder, reaches

CHANCE = 0.5
"""Accuracy of a program that computes next to nothing."""
_NORMAL = NormalDist()


class Noisy(Ladder):
    """Every lineage has a cap of its own from which it is `good`: `middle` * exp(spread * z), z standard normal.

    Below it lies a plateau of `near_miss`, over a factor of `plateau` in budget, and below that accuracy falls in
    proportion to the budget, towards chance. Half of the lineages pass at `middle`, so C* is the first level at or
    above it.
    """

    kind: Literal["noisy"] = "noisy"
    middle: float = Field(100.0, gt=0, description="cap from which half of the lineages are good")
    spread: float = Field(0.05, gt=0, description="standard deviation of the logarithm of lineages' own caps")
    milestone: float = Field(0.99, gt=CHANCE, le=1, description="accuracy from which a lineage passes")
    good: float = Field(
        0.997,
        gt=CHANCE,
        le=1,
        description="accuracy from a lineage's own cap on; .99 can be certified of it by samples",
    )
    near_miss: float = Field(0.9895, gt=CHANCE, lt=1, description="accuracy just below a lineage's own cap")
    plateau: float = Field(4.0, ge=1, description="factor in budget over which the near miss stretches")

    @model_validator(mode="after")
    def _the_milestone_lies_between(self) -> Noisy:
        if not self.near_miss < self.milestone <= self.good:
            raise ValueError(
                f"near_miss < milestone <= good is needed, got {self.near_miss}, {self.milestone}, {self.good}"
            )
        return self

    @property
    def milestone_asked(self) -> float:
        """The milestone."""
        return self.milestone

    def own_cap(self, budget: float, seed: int) -> float:
        """Return the cap from which a lineage is good; drawn anew at every level unless luck is kept."""
        luck = self.draw(budget, seed) or 2.0**-53
        return self.middle * math.exp(self.spread * _NORMAL.inv_cdf(luck))

    def accuracy(self, budget: float, seed: int) -> float:
        """Return the true accuracy of a lineage."""
        own = self.own_cap(budget, seed)
        if reaches(budget, own):
            return self.good
        return CHANCE + (self.near_miss - CHANCE) * min(1.0, budget * self.plateau / own)

    def passes(self, budget: float, seed: int) -> bool:
        """Return whether the true accuracy is at the milestone."""
        return self.accuracy(budget, seed) >= self.milestone

    def pass_rate(self, budget: float) -> float:
        """Return the share of lineages whose own cap is at most that one: the normal distribution of its logarithm."""
        return _NORMAL.cdf(math.log(budget / self.middle) / self.spread)
