"""The least budget that passes, from both sides: what a search found, and what failed below it."""

from __future__ import annotations

from itertools import count
from math import floor

from sp_search.levels import counts
from sp_search.records import Minimum
from sp_search.search import Search
from sp_search.selection import cost_bound


def found_cap(search: Search, milestone: float) -> float | None:
    """Return the least cap that the selected program of `milestone` keeps (C := min(C, cost found)), or None."""
    best = search.selection(milestone)
    if best is None:
        return None
    space = search.state.space
    if space.controls:
        return cost_bound(*best, search.confidence)
    return min(best[0].budget.cap, space.caps[space.covering(cost_bound(*best, search.confidence))])


def statistical_minimum(search: Search, milestone: float) -> Minimum:
    """State the least budget from both sides, from what was found and from the levels below it that failed.

    What failed at an easier milestone failed at this one too. The failures reach up to the failed cap and no further:
    the next possible budget is one rollout more, or the next price on a ladder that lists them all; between two mean
    budgets, or prices of members that joined later, everything is possible. Proposals that failed exclude none of the
    programs that were not proposed.
    """
    high = found_cap(search, milestone)
    if search.state.population.proposals:
        return Minimum(low=None, high=high, basis="none", text="programs that were not proposed may need less")
    failed = {
        outcome.level: outcome
        for outcome in search.state.history
        if outcome.verdict == "failed" and outcome.milestone <= milestone and (high is None or outcome.cap < high)
        if counts(search.state, outcome)
    }
    if not failed or search.state.space.controls:
        return Minimum(low=None, high=high, basis="none", text="no smaller budget was tried to a verdict")
    worst = max(failed.values(), key=lambda outcome: (outcome.level, outcome.tried))
    easier = f" at milestone {worst.milestone:g}" if worst.milestone < milestone else ""
    text = (
        f"budget {worst.cap:g} failed{easier} in {worst.tried} lineages: "
        f"pass rate <= {worst.pass_rate_high:.2f} at {1 - search.state.terms.false_negative:.0%}"
    )
    low, safe_low = _next_possible(search, worst.level), _least_unfailed(search, set(failed))
    return Minimum(low=low, safe_low=safe_low, high=high, basis="statistical", text=text)


def _next_possible(search: Search, level: int) -> float | None:
    """Return the least budget above a level's cap that a program could have; None at the top."""
    space = search.state.space
    if space.kind == "mean" or search.state.gaps:
        return space.caps[level]
    if space.measure == "rollouts":
        return floor(space.caps[level]) + 1.0
    return min(space.caps[level + 1 :], default=None)


def _least_unfailed(search: Search, failed: set[int]) -> float | None:
    """Return the least budget that did not fail itself, if all below it did; None where budgets cannot be listed."""
    space = search.state.space
    if space.kind == "mean" or search.state.gaps:
        return None
    if space.measure == "rollouts":
        rollouts = {floor(space.caps[level]) for level in failed}
        least = next(one for one in count(1) if one not in rollouts)
        return float(least) if least > 1 else None
    return next((cap for level, cap in enumerate(space.caps) if level not in failed), None) if 0 in failed else None
