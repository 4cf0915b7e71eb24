"""Baseline: double the budget until a program passes.

What failed below costs at most what the passing budget does, so a search pays at most ratio^2 / (ratio - 1) times the
least budget that passes: 4 with ratio 2, the best that a schedule without chance can promise. With a start drawn at
random and ratio e it pays e times as much on average, the best of all (online bidding: Chrobak, Kenyon, Noga and Young
2008; Epstein and Levin 2010). These are the prices where one lineage decides; with more, every failure costs them all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from sp_search.levels import Visit
from sp_search.records import derive_seed
from sp_search.schedulers.base import View
from sp_search.schedulers.oblivious import Oblivious, rungs


class Doubling(Oblivious):
    """Visit levels whose caps grow by a constant ratio, and take the first that passes."""

    kind: Literal["doubling"] = "doubling"
    ratio: float | None = Field(
        None, gt=1, description="factor of the cap from visit to visit (default: 2, or e with a random start)"
    )
    randomised: bool = Field(False, description="start at random, between the least cap and `ratio` times as much")

    def visits(self, view: View) -> Iterator[Visit]:
        """Yield the ladder's levels at that ratio, the top being the last."""
        ratio = self.ratio or (math.e if self.randomised else 2.0)
        offset = derive_seed(view.seed, "doubling") / 2**63 if self.randomised else 0.0
        for level in rungs(view, ratio, offset):
            yield Visit(level=level, phase="doubling", evidence=view.evidence)
