"""What growth by rollouts and growth of the network share: climb until a level passes, then perhaps come down again."""

from __future__ import annotations

from pydantic import Field

from sp_search.levels import LevelOutcome
from sp_search.records import LevelSpace
from sp_search.schedulers.base import BudgetScheduler, Resolved, Visit


class Growing(BudgetScheduler):
    """Visit the levels from the least upwards, weights carried along, until one passes.

    That level can lie above the least one, as a level may fail for want of training. With `descend` the search comes
    down again from there, level by level with the weights that passed, until one fails.
    """

    stride: int = Field(1, ge=1, description="levels climbed at a time")
    descend: bool = Field(False, description="come down again from the first level that passes")

    def next_visit(self, history: list[LevelOutcome], space: LevelSpace, floor: int) -> Visit | Resolved:
        """Climb by `stride` to the first verified level; it, or the way down from it, settles the milestone."""
        if not history:
            return Visit(level=min(floor + 1, len(space.caps) - 1), phase="growing")
        last = history[-1]
        passed = [outcome.found_level for outcome in history if outcome.found_level is not None]
        if passed:
            least, below_failed = min(passed), last.phase == "descending" and last.verdict != "passed"
            if not self.descend or below_failed or least - 1 <= floor:
                return Resolved(level=least)
            return Visit(level=least - 1, phase="descending")
        if last.level == len(space.caps) - 1:
            return Resolved(level=None)
        return Visit(level=min(last.level + self.stride, len(space.caps) - 1), phase="growing")
