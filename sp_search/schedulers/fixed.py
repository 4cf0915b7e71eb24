"""One budget, the largest: what is cheaper under it is the proposer's to find."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sp_search.levels import Visit
from sp_search.schedulers.base import BudgetScheduler, Resolved, View


class Fixed(BudgetScheduler):
    """Hear every member at the largest budget once. With a search by proposals, that is a budget search of its own."""

    kind: Literal["fixed"] = "fixed"
    cheaper: bool = Field(True, description="ask only for proposals that compute less than what passed already")

    def next_visit(self, view: View) -> Visit | Resolved:
        """Visit the top, then take what was found."""
        if view.history:
            return Resolved(level=view.least_found)
        return Visit(level=view.top, phase="searching", evidence=view.evidence, every=True, cheaper=self.cheaper)
