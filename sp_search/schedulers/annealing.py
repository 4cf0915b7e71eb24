"""Proposal 0 of the post: computational annealing. Budgets go up fast, down slowly, up slower, until they meet.

The first pass upwards is quick and its failures are provisional: a budget that failed on the way up may pass when it is
reached from above with inherited weights. A failure on the way down or on a later, slower way up counts.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sp_search.levels import Visit
from sp_search.schedulers.base import BudgetScheduler, Resolved, View


class Annealing(BudgetScheduler):
    """Bracket C* between a level that failed and a level that passed, and narrow the bracket from both sides.

    Phase 0 multiplies the cap by `up` until a program passes; phase 1 multiplies by `down` until none does; phase 2
    climbs by `slower`; later phases go on with steps whose logarithm halves. No step is smaller than one level, so the
    ladder's resolution ends the search: C* is the passing level whose lower neighbour failed.
    """

    kind: Literal["annealing"] = "annealing"
    up: float = Field(2.0, gt=1, description="factor of the cap on the first way up")
    down: float = Field(0.8, gt=0, lt=1, description="factor of the cap on the way down")
    slower: float = Field(1.05, gt=1, description="factor of the cap on the second way up")
    provisional: int = Field(2, ge=1, description="failures that are enough to go on upwards")
    confirm: int = Field(2, ge=0, description="fresh lineages that have to fail too where a budget fails after a pass")

    def next_visit(self, view: View) -> Visit | Resolved:
        """Replay the milestone's visits into a bracket and a phase, then take the phase's next step."""
        phase, low, high = 0, view.floor, view.top + 1
        for outcome in view.history:
            passed = outcome.found_level is not None
            if outcome.found_level is not None:
                high = min(high, outcome.found_level)
            else:
                low = outcome.level
            if passed == (phase % 2 == 0):
                low = view.floor if phase == 0 else low
                phase += 1
        if high <= view.top and high - low <= 1:
            return Resolved(level=high)
        if phase == 0:
            return self._first_way_up(view)
        if phase % 2:
            target = view.space.at_most(view.space.caps[high] * self._factor(phase))
            level = high - 1 if target is None else target
        else:
            level = view.space.at_most(view.space.caps[low] * self._factor(phase)) or 0
        level = max(low + 1, min(level, high - 1))
        return Visit(level=level, phase=_phase_name(phase), evidence=view.evidence, fresh=self.confirm)

    def _first_way_up(self, view: View) -> Visit | Resolved:
        level = view.floor + 1
        if view.history:
            last = view.history[-1]
            if last.level == view.top and last.tried >= view.evidence:
                return Resolved(level=None)
            level = max(last.level + 1, view.space.at_most(view.space.caps[last.level] * self.up) or 0)
        level = min(level, view.top)
        evidence = view.evidence if level == view.top else min(self.provisional, view.evidence)
        return Visit(level=level, phase=_phase_name(0), evidence=evidence)

    def _factor(self, phase: int) -> float:
        """Return the phase's factor: `down`, `slower`, then ever closer to 1."""
        base = self.down if phase % 2 else self.slower
        return float(base ** (0.5 ** ((phase - 1) // 2)))


def _phase_name(phase: int) -> str:
    return ("up_fast", "down_slow", "up_slower")[phase] if phase < 3 else ("up_slower", "down_slower")[phase % 2]
