"""What growth by rollouts and growth of the network share: climb until a level passes, then perhaps come down again."""

from __future__ import annotations

from pydantic import Field

from sp_search.levels import Visit
from sp_search.schedulers.base import BudgetScheduler, Resolved, View


class Growing(BudgetScheduler):
    """Visit the levels from the least upwards, weights carried along, until one passes.

    That level can lie above the least one, as a level may fail for want of training. With `descend` the search comes
    down again from there, level by level with the weights that passed, until one fails.
    """

    stride: int = Field(1, ge=1, description="levels climbed at a time")
    descend: bool = Field(False, description="come down again from the first level that passes")

    def next_visit(self, view: View) -> Visit | Resolved:
        """Climb by `stride` to the first verified level; it, or the way down from it, settles the milestone."""
        history, evidence = view.history, view.evidence
        if not history:
            return Visit(level=min(view.floor + 1, view.top), phase="growing", evidence=evidence)
        last, least = history[-1], view.least_found
        if least is not None:
            below_failed = last.phase == "descending" and last.verdict != "passed"
            if not self.descend or below_failed or least - 1 <= view.floor:
                return Resolved(level=least)
            return Visit(level=least - 1, phase="descending", evidence=evidence)
        if last.level == view.top:
            return Resolved(level=None)
        return Visit(level=min(last.level + self.stride, view.top), phase="growing", evidence=evidence)
