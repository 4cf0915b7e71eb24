"""Which stored states of a study may go, where `limits.checkpoints` says how many are to be kept.

Nothing goes that is needed: the cheapest verified program of every milestone, what a later visit may inherit, what
still runs. A visit that another one hides from all heirs stays hidden, as a history only grows: what is gone is never
missed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sp_search.levels import LevelOutcome, SearchState
from sp_search.search import Search
from sp_search.store import CheckpointStore

Progress = Callable[[Search], None]
WhenSafe = Callable[[Callable[[], object]], object]


def may_go(search: Search, stored: dict[int, list[int]], keep: int) -> list[tuple[int, int]]:
    """Return the (member, visit) among those `stored` that are not needed, but for every member's `keep` newest."""
    state = search.state
    chosen = [search.selection(milestone) for milestone in state.terms.milestones]
    needed = {(found[0].member, found[0].visit) for found in chosen if found is not None}
    needed |= {(assignment.member, assignment.visit) for assignment in search.cut.values()}
    over = len(state.history)  # the visit that is open
    gone = []
    for member, visits in stored.items():
        spare = [visit for visit in sorted(visits, reverse=True) if visit < over and (member, visit) not in needed]
        spare = [visit for visit in spare if not _inheritable(state, member, visit)]
        gone += [(member, visit) for visit in spare[keep:]]
    return gone


def _inheritable(state: SearchState, member: int, visit: int) -> bool:
    """Whether a later visit, of whatever level, may take this one's weights."""
    one = state.history[visit]
    if state.inherit == "off" or member not in one.members:
        return False
    return not any(_hides(other, one, member) for other in state.history)


def _hides(other: LevelOutcome, one: LevelOutcome, member: int) -> bool:
    """Whether every heir of `one` would rather take `other`: the order in which `cohorts` chooses a donor.

    A level above that passed goes before one that failed; at one level the newer visit does, unless it alone failed.
    """
    if member not in other.members or not set(one.members[member].lineages) <= set(other.members[member].lineages):
        return False
    passed = other.verdict == "passed"
    if other.level == one.level:
        return other.visit > one.visit and (passed or one.verdict != "passed")
    return passed and one.verdict != "passed" and other.level > one.level


def collecting(
    store: CheckpointStore, keep: int | None, progress: Progress, when_safe: WhenSafe = lambda act: act()
) -> Progress:
    """Return `progress` as it is to be told: it throws away, whenever a level has closed, what may go by then.

    `when_safe` does so once nobody can take the study up from a line before.
    """
    closed = 0

    def told(search: Search) -> None:
        nonlocal closed
        if len(search.state.history) > closed:
            closed = len(search.state.history)
            for member, visit in may_go(search, store.visits(), keep or 0):
                when_safe(partial(store.remove, member, visit))
        progress(search)

    return progress if keep is None else told
