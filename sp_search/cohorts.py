"""Who takes part in a visit: lineages that were carried along, with whose weights, clones of them, or fresh ones."""

from __future__ import annotations

from sp_search.levels import OpenMember, SearchState, configuration
from sp_search.records import Donor


def fitting(state: SearchState) -> list[int]:
    """Return the members whose configuration fits the open level, those first that passed most recently."""
    assert state.open is not None
    level = state.open.level
    fitting = [
        entry.member
        for entry in state.population.members
        if entry.member not in state.dropped and entry.budgets[level] is not None
    ]
    passed = next((outcome for outcome in reversed(state.history) if outcome.passed), None)
    proven = set() if passed is None else {member for _, member in passed.passing}
    return sorted(fitting, key=lambda member: (member not in proven, member))


def next_cohorts(
    state: SearchState, missing: dict[int, int], *, fresh: bool
) -> tuple[SearchState, dict[int, OpenMember]]:
    """Return members with `missing` lineages of every configuration, at most `replicas` of them each."""
    missing, members = dict(missing), {}
    take = fresh_cohort if fresh else inheriting_cohort
    for member in fitting(state):
        wanted = missing[configuration(state, member)]
        if wanted > 0:
            state, members[member] = take(state, member, min(wanted, state.population.replicas))
            missing[configuration(state, member)] -= len(members[member].lineages)
    return state, members


def _donor(state: SearchState, member: int, level: int) -> Donor | None:
    """Return the state that a member inherits: of the nearest passing level at or above, else the nearest below.

    Coming down from a budget that passed reaches the least budget in more lineages than growing to it from below, so a
    level that failed on the way up is taken up again from above, not from its own failure.
    """
    carried = set(state.lineages.get(member, ()))
    above = below = None
    for one in reversed(state.history):
        nearer_above = level <= one.level and one.verdict == "passed" and (above is None or one.level < above.level)
        nearer_below = one.level <= level and (below is None or one.level > below.level)
        if not (nearer_above or nearer_below) or member not in one.members:
            continue
        if carried <= set(one.members[member].lineages):
            above, below = (one if nearer_above else above), (one if nearer_below else below)
    chosen = above or below
    if chosen is None:
        return None
    stored = chosen.members[member]
    carried_in_order = sorted(state.lineages[member], key=lambda lineage: lineage not in stored.passing)
    return Donor(visit=chosen.visit, lineages=stored.lineages, sources=carried_in_order)


def _untried(state: SearchState, member: int, donor: Donor) -> list[int]:
    """Return a donor's lineages without those whose failure at this very level is known already, and still counts."""
    assert state.open is not None
    level, roots = next(one.level for one in state.history if one.visit == donor.visit), state.roots.get(member, {})
    known = {row.root for row in state.open.known if row.member == member and level == state.open.level}
    return [lineage for lineage in donor.sources if roots.get(lineage, lineage) not in known]


def inheriting_cohort(state: SearchState, member: int, count: int) -> tuple[SearchState, OpenMember]:
    """Return a member with at most `count` of the lineages that it carries (fresh ones where it carries none)."""
    assert state.open is not None
    donor = None if state.inherit == "off" else _donor(state, member, state.open.level)
    if donor is None:
        return fresh_cohort(state, member, count)
    lineages = _untried(state, member, donor)[:count]
    if not lineages:
        return fresh_cohort(state, member, count)
    if state.inherit == "clones":
        state, lineages, sources = _cloned(state, member, donor, lineages)
        donor = donor.model_copy(update={"sources": sources})
    else:
        donor = donor.model_copy(update={"sources": lineages})
    return state, OpenMember(attempt=0, lineages=lineages, init_from=donor)


def _cloned(
    state: SearchState, member: int, donor: Donor, lineages: list[int]
) -> tuple[SearchState, list[int], list[int]]:
    """Replace what failed by clones of what passed. A clone has an index of its own, and the root of its source."""
    outcome = next(one for one in state.history if one.visit == donor.visit)
    passing = [one for one in outcome.members[member].passing if one in lineages]
    failing = [one for one in lineages if one not in passing]
    if not passing or not failing:
        return state, lineages, lineages
    state, clones = fresh_lineages(state, member, len(failing))
    sources = [passing[index % len(passing)] for index in range(len(clones))]
    known = state.roots.get(member, {})
    roots = known | {clone: known.get(source, source) for clone, source in zip(clones, sources, strict=True)}
    state = state.model_copy(update={"roots": {**state.roots, member: roots}})
    return state, passing + clones, passing + sources


def fresh_cohort(state: SearchState, member: int, count: int) -> tuple[SearchState, OpenMember]:
    """Return a member with `count` new lineages."""
    state, fresh = fresh_lineages(state, member, count)
    return state, OpenMember(attempt=0, lineages=fresh, init_from=None)


def fresh_lineages(state: SearchState, member: int, count: int) -> tuple[SearchState, list[int]]:
    """Take the member's next lineage indices."""
    first = state.next_lineage.get(member, 0)
    fresh = list(range(first, first + count))
    return state.model_copy(update={"next_lineage": {**state.next_lineage, member: first + count}}), fresh


def replace_lineages(state: SearchState, member: int) -> tuple[SearchState, OpenMember]:
    """Give a member that lost its lineages for good the next indices."""
    assert state.open is not None
    state, fresh = fresh_lineages(state, member, len(state.open.members[member].lineages))
    return state, OpenMember(attempt=0, lineages=fresh, init_from=None, replaced=1)
