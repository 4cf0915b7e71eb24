"""From the largest budget down, one level after another, for as long as programs pass."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sp_search.levels import Visit
from sp_search.schedulers.base import BudgetScheduler, Resolved, View


class Descent(BudgetScheduler):
    """Visit the top, then the level `stride` below the least that passed; stop where one fails."""

    kind: Literal["descent"] = "descent"
    stride: int = Field(1, ge=1, description="levels gone down at a time")

    def next_visit(self, view: View) -> Visit | Resolved:
        least = view.least_found
        if view.history and view.history[-1].found_level is None:
            return Resolved(level=least)
        level = view.top if least is None else least - self.stride
        if level <= view.floor:  # no such level, or an easier milestone has failed there
            return Resolved(level=least)
        return Visit(level=level, phase="down", evidence=view.evidence)
