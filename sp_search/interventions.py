"""What people ask of a search while it runs or after it has ended, as pure transitions over its state.

Nothing that was measured is thrown away: a pass stays a pass, and failures that more is asked than they say are *set
aside*: a further visit of their level counts them, and tries only who is missing. A search that had ended goes on where
what is asked gives it something to do.
"""

from __future__ import annotations

from sp_search.events import Action, Extended, MemberAdded, MemberStopped, Retried, Stop
from sp_search.levels import LevelOutcome, SearchState, configuration, running
from sp_search.records import Population
from sp_search.visits import drop, undecide

CLIMBED = ("resolved",)
"""Ends after which only a further milestone is something to do."""
TRIED = ("exhausted", "undecided")
"""Ends after which further lineages of a level are."""
OWN_ENDS = (*CLIMBED, *TRIED, "no_members")
"""Ends of the search's own; every other is a limit, or somebody who stopped it."""


def stop_member(state: SearchState, event: MemberStopped) -> tuple[SearchState, list[Action]]:
    """Take a member out of the search; what it has open is undecided."""
    reason = f"stopped by {event.by}"
    if event.member in running(state):
        return drop(undecide(state, event.member), event.member, reason)
    if event.member in state.dropped or event.member >= len(state.population.members):
        return state, []
    update = {"dropped": {**state.dropped, event.member: reason}}
    if event.member not in state.live:
        return state.model_copy(update=update), []
    live = [member for member in state.live if member != event.member]
    return state.model_copy(update={**update, "live": live}), [Stop(member=event.member, reason=reason)]


def add_member(state: SearchState, event: MemberAdded) -> SearchState:
    """Let a further member take part from the next visit on."""
    members = [*state.population.members, event.added]
    population = Population(members=members, replicas=state.population.replicas)
    gaps = state.space.measure != "rollouts"
    state = state.model_copy(update={"population": population, "gaps": gaps})
    return _asked_again(state, [event.added.member])


def retry(state: SearchState, event: Retried) -> SearchState:
    """Let members take part again from the next visit on, with the lineages that they left unjudged."""
    again = [member for member in event.members if member in state.dropped]
    dropped = {member: reason for member, reason in state.dropped.items() if member not in again}
    first = {member: state.left[member] for member in again if member in state.left}
    left = {member: lineage for member, lineage in state.left.items() if member not in again}
    update = {"dropped": dropped, "left": left, "next_lineage": {**state.next_lineage, **first}}
    state = state.model_copy(update=update)
    return _asked_again(state, again) if again or state.finished == "failures" else state


def extend_search(state: SearchState, event: Extended) -> SearchState:
    """Climb further milestones, try further lineages, or go on after a limit."""
    evidence = _evidence(state)
    population = state.population.model_copy(update={"replicas": event.replicas})
    terms = state.terms.model_copy(update={"milestones": event.milestones})
    state = state.model_copy(update={"terms": terms, "population": population})
    if state.finished is None or state.finished == "no_members":
        return state
    if state.finished in CLIMBED:
        further = state.milestone_index + 1 < len(event.milestones)
        return _going_on(state, milestone_index=state.milestone_index + 1) if further else state
    if state.finished in TRIED:
        return _tried_again(state) if _evidence(state) > evidence or state.finished == "undecided" else state
    return _going_on(state, set_aside=[*state.set_aside, *_unfinished(state)])


def _unfinished(state: SearchState) -> list[int]:
    """Return the visit that a limit closed before its verdict was known."""
    last = [] if state.finished in (None, *OWN_ENDS) else state.history[-1:]
    return [one.visit for one in last if not one.passed and one.verdict == "undecided"]


def _tried_again(state: SearchState) -> SearchState:
    """Take a milestone up again whose budgets failed in fewer lineages than are asked for now."""
    short = [
        one.visit
        for one in state.history
        if one.milestone == state.milestone and not one.passed
        if state.population.proposals or least_tried(state, one) < _evidence(state)
    ]
    found = {index: level for index, level in state.found.items() if index != state.milestone_index}
    return _going_on(state, found=found, set_aside=[*state.set_aside, *short])


def _evidence(state: SearchState) -> int:
    """Return the conclusive failures of a configuration that exhaust a level; of proposals, of all that it asks for."""
    population = state.population
    return max(state.terms.lineages_to_fail, population.replicas * max(1, population.proposals))


def least_tried(state: SearchState, outcome: LevelOutcome) -> int:
    """Return the conclusive lineages of the configuration that has fewest, of all that fit the level."""
    heard = [configuration(state, member) for _, member in outcome.conclusive]
    groups = {configuration(state, one.member) for one in state.population.members if one.budgets[outcome.level]}
    return min((heard.count(group) for group in groups), default=len(heard))


def _asked_again(state: SearchState, members: list[int]) -> SearchState:
    """Set the failures aside of every level that these members fit and were not heard at, or not with every lineage."""
    visits = [*_unfinished(state), *(one.visit for one in state.history if _concerns(state, one, members))]
    if state.open is not None:
        visits.append(state.open.visit)
    state = state.model_copy(update={"set_aside": [*state.set_aside, *visits]})
    if state.finished is None:
        return state
    found = {index: level for index, level in state.found.items() if index != state.milestone_index}
    return _going_on(state, found=found)


def _concerns(state: SearchState, outcome: LevelOutcome, members: list[int]) -> bool:
    heard = set() if outcome.undecided else {member for _, member in outcome.conclusive}
    fitting = (state.population.members[member].budgets[outcome.level] is not None for member in members)
    return not outcome.passed and any(
        fits and member not in heard for member, fits in zip(members, fitting, strict=True)
    )


def _going_on(state: SearchState, **update: object) -> SearchState:
    """Return a search that had ended as one that goes on; its trials were over with it."""
    return state.model_copy(update={"finished": None, "live": [], **update})
