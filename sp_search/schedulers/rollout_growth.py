"""Proposal 2A of the post: keep the network, train with few rollouts, add rollouts until it is good enough."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sp_search.levels import LevelOutcome
from sp_search.records import LevelSpace
from sp_search.schedulers.base import BudgetScheduler, Resolved, Visit


class RolloutGrowth(BudgetScheduler):
    """Visit the levels from the least upwards, weights carried along, and stop at the first that passes.

    The level that it names can lie above the least one: a level that fails for want of training is never seen again.
    """

    kind: Literal["rollout_growth"] = "rollout_growth"
    stride: int = Field(1, ge=1, description="levels climbed at a time")

    def next_visit(self, history: list[LevelOutcome], space: LevelSpace, floor: int) -> Visit | Resolved:
        """Climb by `stride`; the first verified level settles the milestone."""
        if not history:
            return Visit(level=min(floor + 1, len(space.caps) - 1), phase="growing")
        last = history[-1]
        if last.verdict == "passed":
            return Resolved(level=last.found_level)
        if last.level == len(space.caps) - 1:
            return Resolved(level=None)
        return Visit(level=min(last.level + self.stride, len(space.caps) - 1), phase="growing")
