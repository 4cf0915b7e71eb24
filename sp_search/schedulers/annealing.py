"""Proposal 0 of the post: computational annealing. Budgets go up fast, down slowly, up slower, until they meet.

Most failures are provisional, as a failure is dear: it costs all of its lineages, a pass only those up to the first.
Steps halve the bracket between failure and pass on a logarithmic scale, so each turn is slower than the last, and only
the failure that settles the search is confirmed in full: by lineages that come down from what passed, which reach the
least budget more often, and by as many fresh ones, which share no history. The defaults were chosen in simulation
(docs/search_comparison.md), where a lineage passes with chance one half.
"""

from __future__ import annotations

from math import sqrt
from typing import Literal

from pydantic import Field

from sp_search.levels import LevelOutcome, Visit
from sp_search.schedulers.base import BudgetScheduler, Resolved, View


class Annealing(BudgetScheduler):
    """Bracket C* between a level that failed and a level that passed, and narrow the bracket from both sides.

    The first way up takes fresh lineages at every level: lineages that are carried along and cannot learn the task
    would carry the search past every budget. On the way down lineages that passed above go first.
    """

    kind: Literal["annealing"] = "annealing"
    up: float = Field(1.4, gt=1, description="factor of the cap on the first way up")
    tries: int = Field(2, ge=1, description="failures that are enough to go on, provisionally (at most a verdict's)")
    tolerance: float = Field(
        0.0, ge=0, description="distance between failure and pass that is close enough, as a share"
    )

    def next_visit(self, view: View) -> Visit | Resolved:
        """Climb until something passes, then halve the bracket, then confirm the failure at its lower end."""
        high = view.least_found
        if high is None:
            return self._up_fast(view)
        failed = [outcome.level for outcome in view.history if outcome.found_level is None and outcome.level < high]
        low = max([view.floor, *failed])
        caps = view.space.caps
        if caps[high] > (1 + self.tolerance) * caps[low + 1]:
            return self._between(view, low, high)
        confirmed = any(outcome.level == low and _confirms(outcome) for outcome in view.history)
        if low == view.floor or confirmed:
            return Resolved(level=high)
        return Visit(level=low, phase="confirm", evidence=view.evidence, fresh=(view.evidence + 1) // 2)

    def _up_fast(self, view: View) -> Visit | Resolved:
        level = view.floor + 1
        if view.history:
            last = view.history[-1].level
            if last == view.top:
                return Resolved(level=None)
            level = max(last + 1, view.space.at_most(view.space.caps[last] * self.up) or 0)
        level = min(level, view.top)
        evidence = view.evidence if level == view.top else min(self.tries, view.evidence)
        return Visit(level=level, phase="up_fast", evidence=evidence, fresh=evidence)

    def _between(self, view: View, low: int, high: int) -> Visit:
        caps = view.space.caps
        middle = view.space.at_most(sqrt(caps[max(low, 0)] * caps[high])) or 0
        level = max(low + 1, min(middle, high - 1))
        phase = "down_slow" if view.history[-1].found_level is not None else "up_slower"
        return Visit(level=level, phase=phase, evidence=min(self.tries, view.evidence))


def _confirms(outcome: LevelOutcome) -> bool:
    """Whether a failure has all its evidence, from above too, or had its chance: what stayed undecided stays so."""
    return outcome.phase == "confirm" or (outcome.verdict == "failed" and outcome.phase != "up_fast")
